package plugins

import (
	"errors"
	"strconv"
	"strings"
)

// cpu says how much time the processors spend on what, in percent of one processor.
//
// Settings: scaleto100 (yes: 100 % is all processors together), ignore_fields (words; kept but not drawn),
// HZ (clock ticks a second, 100) and levels, in percent of all processors where they end with "%".
func cpu(r *report) error {
	text, err := r.read("proc/stat")
	if err != nil {
		return err
	}
	rest, ok := lineOf(text, "cpu")
	if !ok {
		return errors.New("/proc/stat has no line for all processors")
	}
	var ticks [9]uint64 // user nice system idle iowait irq softirq steal guest
	known := uints(rest, ticks[:])
	if known < 4 {
		return errors.New("/proc/stat says less than four times for all processors")
	}
	if known < 7 {
		known = 4
	}
	processors := max(countCPUs(text), 1)
	limit, cdef, scale := processors*100, "", "100 % is one processor; this machine has "
	if r.setting("scaleto100", "no") == "yes" {
		limit, cdef, scale = 100, ","+strconv.Itoa(processors)+",/", "100 % is all processors; this machine has "
	}
	order := "system user nice idle"
	if known >= 7 {
		order += " iowait irq softirq"
	}
	hz, err := strconv.ParseFloat(r.setting("HZ", "100"), 64)
	if err != nil || hz <= 0 {
		return errors.New("env.HZ must be a number of clock ticks a second, such as 100")
	}
	r.graph("graph_title CPU usage\ngraph_vlabel %\ngraph_scale no\ngraph_category system\ngraph_period second")
	r.attr("graph_info", "What the processors spend their time on. ", scale, strconv.Itoa(processors), ".")
	r.attr("graph_order", order)
	r.attr("graph_args", "--base 1000 -r --lower-limit 0 --upper-limit ", strconv.Itoa(limit))
	ignored := strings.Fields(r.env["ignore_fields"])
	for _, f := range cpuFields() {
		if f.column >= known {
			continue
		}
		r.field(f.name, "label "+f.name+"\nmin 0\ntype DERIVE\ninfo "+f.info)
		if f.name == "system" {
			r.field(f.name, "draw AREA")
		} else {
			r.field(f.name, "draw STACK")
		}
		for _, name := range ignored {
			if name == f.name {
				r.field(f.name, "graph no")
			}
		}
		if cdef != "" {
			r.fieldAttr(f.name, "cdef", f.name, cdef)
		}
		r.levelsOf(f.name, "", "", float64(limit))
		r.number(f.name, float64(ticks[f.column])*100/hz, 0)
	}
	return nil
}

type cpuField struct {
	name   string
	column int // in the line of /proc/stat, from 0
	info   string
}

func cpuFields() [9]cpuField {
	return [...]cpuField{
		{"system", 2, "The kernel working for programs: system calls, drivers, memory management."},
		{"user", 0, "Programs at normal priority."},
		{"nice", 1, "Programs at lowered priority."},
		{"idle", 3, "Nothing to do."},
		{"iowait", 4, "Nothing to do until a disk answers."},
		{"irq", 5, "Hardware interrupts."},
		{"softirq", 6, "Deferred work of interrupts, mostly network traffic."},
		{"steal", 7, "Wanted by this virtual machine, but given to others by its host."},
		{"guest", 8, "Virtual machines that run here; it is also counted as user."},
	}
}

// countCPUs counts the lines of single processors: cpu0, cpu1, …
func countCPUs(text []byte) int {
	n := 0
	for len(text) > 0 {
		var line []byte
		line, text = nextLine(text)
		if len(line) > 3 && string(line[:3]) == "cpu" && line[3] >= '0' && line[3] <= '9' {
			n++
		}
	}
	return n
}
