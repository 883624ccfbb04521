package munin_test

import (
	"testing"

	"corbie/munin"
)

func TestAnAttributeReadsAsItWasSet(t *testing.T) {
	var g munin.Graph
	for name, value := range map[string]string{
		"graph_title": "T", "graph_category": "disk", "graph_order": "a b=c", "graph_period": "minute", "graph_scale": "no",
		"graph_noscale": "yes", "graph": "no", "graph_width": "300", "host_name": "x", "update_rate": "60",
	} {
		if err := g.Set(name, value); err != nil || g.Attr(name) != value {
			t.Errorf("%s: %q, want %q, %v", name, g.Attr(name), value, err)
		}
	}
	var f munin.Field
	for name, value := range map[string]string{
		"label": "L", "type": "DERIVE", "draw": "LINE2", "colour": "FF0000", "negative": "up", "graph": "no", "skipdraw": "yes",
		"min": "0", "max": "1.5", "warning": "3:10", "critical": ":20", "unknown_limit": "5", "sum": "a b", "cdef": "a,8,*",
	} {
		if err := f.Set(name, value); err != nil || f.Attr(name) != value {
			t.Errorf("%s: %q, want %q, %v", name, f.Attr(name), value, err)
		}
	}
	if empty := (munin.Field{}); empty.Attr("min") != "U" || empty.Attr("warning") != ":" || empty.Attr("unknown_limit") != "" {
		t.Error("what was never set reads as if it were")
	}
}
