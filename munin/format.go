package munin

import (
	"bytes"
	"sort"
	"strconv"
	"time"
)

// AppendConfig appends the config text of a graph as a plugin would print it, multigraph line excluded.
func AppendConfig(b []byte, g *Graph) []byte {
	attr := func(name, value string) {
		if value != "" {
			b = append(b, name...)
			b = append(b, ' ')
			b = append(b, value...)
			b = append(b, '\n')
		}
	}
	attr("graph_title", g.Title)
	if len(g.Order) > 0 {
		b = append(b, "graph_order"...)
		for _, item := range g.Order {
			b = append(append(b, ' '), item...)
		}
		b = append(b, '\n')
	}
	attr("graph_args", g.Args)
	attr("graph_vlabel", g.VLabel)
	if g.NoScale {
		attr("graph_scale", "no")
	}
	if g.Period != "second" {
		attr("graph_period", g.Period)
	}
	attr("graph_category", g.Category)
	attr("graph_info", g.Info)
	attr("graph_printf", g.Printf)
	attr("graph_total", g.Total)
	attr("host_name", g.NodeName)
	if g.Hidden {
		attr("graph", "no")
	}
	for _, name := range sortedKeys(g.Extra) {
		attr(name, g.Extra[name])
	}
	for i := range g.Fields {
		b = appendFieldConfig(b, &g.Fields[i])
	}
	return b
}

func appendFieldConfig(b []byte, f *Field) []byte {
	attr := func(name, value string) {
		if value != "" {
			b = append(b, f.Name...)
			b = append(b, '.')
			b = append(b, name...)
			b = append(b, ' ')
			b = append(b, value...)
			b = append(b, '\n')
		}
	}
	attr("label", f.Label)
	if f.Type != Gauge {
		attr("type", f.Type.String())
	}
	if f.Draw != (Draw{Kind: Line, Width: 1}) && f.Draw != (Draw{}) {
		attr("draw", f.Draw.String())
	}
	attr("colour", f.Colour)
	attr("cdef", f.CDEF)
	attr("negative", f.Negative)
	if f.Hidden {
		attr("graph", "no")
	}
	if f.Bounds.HasLow {
		attr("min", formatPlain(f.Bounds.Low))
	}
	if f.Bounds.HasHigh {
		attr("max", formatPlain(f.Bounds.High))
	}
	attr("warning", formatLimit(f.Warning))
	attr("critical", formatLimit(f.Critical))
	if f.UnknownLimit > 0 {
		attr("unknown_limit", strconv.Itoa(f.UnknownLimit))
	}
	attr("info", f.Info)
	attr("extinfo", f.ExtInfo)
	attr("line", f.Line)
	for _, name := range sortedKeys(f.Extra) {
		attr(name, f.Extra[name])
	}
	return b
}

// AppendValue appends one value line; a zero time leaves the time out.
func AppendValue(b []byte, field string, at time.Time, value float64) []byte {
	b = append(b, field...)
	b = append(b, ".value "...)
	if !at.IsZero() {
		b = strconv.AppendInt(b, at.Unix(), 10)
		b = append(b, ':')
	}
	if value != value { // NaN
		return append(b, "U\n"...)
	}
	b = strconv.AppendFloat(b, value, 'f', -1, 64)
	return append(b, '\n')
}

// formatPlain writes without exponent: Munin's level and range grammar does not know one.
func formatPlain(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

func formatLimit(b Bounds) string {
	var out bytes.Buffer
	if b.IsZero() {
		return ""
	}
	if b.HasLow {
		out.WriteString(formatPlain(b.Low))
	}
	out.WriteByte(':')
	if b.HasHigh {
		out.WriteString(formatPlain(b.High))
	}
	return out.String()
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
