package chart_test

import (
	"context"
	"os"
	"testing"
	"time"

	"corbie/munin"
	"corbie/ui/chart"
	"corbie/ui/uitest"
)

func TestLook(t *testing.T) {
	now := time.Now()
	f := uitest.New(now)
	out := "<body bgcolor=white style='color-scheme:light dark'>"
	h := f.Known[0]
	for _, g := range f.Drawn[h.ID] {
		for _, d := range []time.Duration{24 * time.Hour, 7 * 24 * time.Hour} {
			r := munin.Range{From: now.Add(-d), To: now}
			step := chart.StepFor(r, uitest.Interval, 400)
			var src []munin.Source
			for i := range g.Fields {
				src = append(src, g.Source(h.ID, &g.Fields[i], h.Interval))
			}
			ss, _ := f.Query(context.Background(), src, chart.Align(r, step), step)
			m := chart.New(chart.Request{Host: h.ID.Name(), Graph: &g, Series: ss, Range: r, Interval: uitest.Interval, Location: time.UTC, Now: now})
			b := m.SVG(chart.Picture{Width: 480, Height: 200})
			os.WriteFile("/tmp/look/"+g.Name+d.String()+".svg", b, 0o644)
			out += "<img src='" + g.Name + d.String() + ".svg'>"
		}
	}
	os.WriteFile("/tmp/look/index.html", []byte(out), 0o644)
}
