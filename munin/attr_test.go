package munin_test

import (
	"testing"
	"time"

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

func TestAHostThatAnswersSlowlyIsLateAndNotSilent(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		why          string
		answer, took time.Duration // ago, and long
		failed       bool
		silent, late bool
	}{
		{why: "an honest one", answer: 9 * time.Second, took: time.Second},
		{why: "a silent one", answer: 40 * time.Second, took: time.Second, silent: true},
		{why: "a slow one, asked for the second time", answer: 110 * time.Second, took: time.Minute, late: true},
		{why: "a slow one that went away", answer: 160 * time.Second, took: time.Minute, late: true, silent: true},
		{why: "one that failed after its last answer", answer: 40 * time.Second, took: time.Minute, failed: true, late: true, silent: true},
	} {
		h := munin.Host{Interval: 10 * time.Second, LastAnswer: now.Add(-c.answer), LastTried: now.Add(-c.answer), LastTook: c.took}
		if c.failed {
			h.LastTried = now
		}
		if h.SilentAt(now) != c.silent || h.Late() != c.late {
			t.Errorf("%s: silent %v, late %v", c.why, h.SilentAt(now), h.Late())
		}
	}
	never := munin.Host{Interval: time.Second}
	if never.SilentAt(now) {
		t.Error("a host that never answered is not one that fell silent")
	}
}
