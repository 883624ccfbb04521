package forecast

import (
	"math"
	"strconv"
	"strings"

	"corbie/munin"
)

// limit is how much a field can hold, and what that is known from.
type limit struct {
	ceiling float64
	note    string
	// guard says that the number may be a guard against absurd values rather than a ceiling: it counts only
	// once the field has come near enough.
	guard bool
}

// guardShare is the share of a guard that a field has to have used to be in the report.
const guardShare = .01

// ceilingOf says whether there is a level that a field must not reach, and which. Only gauges have one. Fields
// of which more is better, and memory that the kernel gives back when asked, are none of them.
//
// What is found first counts: the field's attribute "ceiling", its max, 100 for a percentage, the upper limit
// of the graph for the memory of programs, and the critical level for tables of the kernel.
func ceilingOf(g *munin.Graph, f *munin.Field) (limit, bool) {
	if f.Type.IsRate() {
		return limit{}, false
	}
	if text, ok := f.Extra["ceiling"]; ok {
		v, err := strconv.ParseFloat(text, 64)
		return limit{ceiling: v}, err == nil && v > 0 && !math.IsInf(v, 0)
	}
	root, _, _ := strings.Cut(g.Name, ".")
	if harmless(root, g, f) {
		return limit{}, false
	}
	return knownCeiling(root, g, f)
}

func knownCeiling(root string, g *munin.Graph, f *munin.Field) (limit, bool) {
	percent := isPercent(g)
	switch {
	case f.Bounds.HasHigh && f.Bounds.High > 0 && percent:
		return limit{ceiling: f.Bounds.High}, f.Bounds.High <= 100
	case f.Bounds.HasHigh && f.Bounds.High > 0:
		return limit{ceiling: f.Bounds.High, guard: !isBytes(g)}, true
	case percent:
		top, ok := upperLimit(g)
		return limit{ceiling: 100}, !ok || top <= 100
	case root == "memory" && f.Name == "apps":
		top, ok := upperLimit(g)
		return limit{ceiling: top}, ok
	case kernelTable(root, f.Name) && f.Critical.HasHigh && f.Critical.High > 0:
		return limit{ceiling: f.Critical.High, note: "the critical level is taken for the ceiling"}, true
	}
	return limit{}, false
}

// kernelTable knows the plugins that say how full a table of the kernel is only by their levels.
func kernelTable(graph, field string) bool {
	switch graph {
	case "open_files", "open_inodes":
		return field == "used"
	case "fw_conntrack":
		return field == "total"
	case "threads", "processes":
		return field == graph
	}
	return false
}

// harmless says that reaching the top is no problem, or no matter of filling up.
func harmless(root string, g *munin.Graph, f *munin.Field) bool {
	if f.Critical.HasLow && !f.Critical.HasHigh || f.Warning.HasLow && !f.Warning.HasHigh {
		return true // too little is the problem here
	}
	if root == "memory" && f.Name != "apps" && f.Name != "swap" {
		return true
	}
	for _, prefix := range []string{"cpu", "load", "ping", "sensors", "hddtemp", "temp", "uptime", "ntp", "smart", "vmstat"} {
		if strings.HasPrefix(root, prefix) {
			return true
		}
	}
	for _, word := range words(f.Name + " " + f.Label + " " + g.Title) {
		switch word {
		case "free", "avail", "available", "unused", "idle", "cache", "cached", "caches", "buffers", "buffer", "uptime",
			"hit", "hits", "hitrate", "ratio", "efficiency", "battery", "charge", "humidity", "loss", "cpu", "utilization",
			"utilisation", "temperature", "temperatures", "fan", "voltage", "signal", "quality", "entropy":
			return true
		}
	}
	switch strings.ToLower(strings.TrimSpace(g.Unit())) {
	case "°c", "°f", "c", "f", "degrees celsius", "celsius", "volt", "volts", "rpm", "seconds", "ms", "watt", "watts":
		return true
	}
	return false
}

// words splits at everything but letters, in lower case. The path of a mount point is one word, so that
// /var/cache is not taken for a cache.
func words(text string) []string {
	var out []string
	for _, part := range strings.Fields(strings.ToLower(text)) {
		if strings.Contains(part, "/") {
			continue
		}
		out = append(out, strings.FieldsFunc(part, func(r rune) bool { return r < 'a' || r > 'z' })...)
	}
	return out
}

func isPercent(g *munin.Graph) bool {
	unit := strings.ToLower(g.Unit())
	return strings.Contains(unit, "%") || strings.Contains(unit, "percent")
}

func isBytes(g *munin.Graph) bool {
	unit := strings.ToLower(strings.TrimSpace(g.Unit()))
	return unit == "b" || unit == "byte" || unit == "bytes"
}

// upperLimit is the --upper-limit or -u of the graph's arguments.
func upperLimit(g *munin.Graph) (float64, bool) {
	args := strings.Fields(strings.ReplaceAll(g.Args, "=", " "))
	for i, arg := range args {
		if (arg == "--upper-limit" || arg == "-u") && i+1 < len(args) {
			v, err := strconv.ParseFloat(args[i+1], 64)
			return v, err == nil && v > 0 && !math.IsInf(v, 0)
		}
	}
	return 0, false
}
