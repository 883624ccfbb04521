package chart_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"corbie/munin"
	"corbie/ui/chart"
)

// scripts are words as labels have them.
func scripts() []string {
	return []string{
		"received", "a label that is a good deal longer than any picture has room for, and on and on", "ÀÉÎõü ßœŒ",
		"Загрузка процессора ЖШЩЮ", "עומס המעבד (load)", "تحميل المعالج 5 دقائق", "处理器负载处理器负载处理器负载", "プロセッサー使用率",
		"disk 💾 full 🔥👩‍💻", "आगत โหลดเฉลี่ย", "\u202eevil\u202c", "x", "MMMMMMMMMMMMMMMMWWWWWWWW", strings.Repeat("ﷺ", 300),
	}
}

// randomGraph is a graph with so many fields, everything about it decided by chance.
func randomGraph(t *testing.T, r *rand.Rand, fields int) (*munin.Graph, float64) {
	t.Helper()
	pick := func(words ...string) string { return words[r.IntN(len(words))] }
	all := scripts()
	var b strings.Builder
	fmt.Fprintf(&b, "graph_title %s %s\n", pick(all...), pick(all...))
	if r.IntN(3) > 0 {
		fmt.Fprintf(&b, "graph_vlabel %s\n", pick(append(all, "bytes per ${graph_period}")...))
	}
	fmt.Fprintf(&b, "graph_args --base %s %s\n", pick("1000", "1024"), pick("", "-l 0", "-l 0 -u 100 -r", "--logarithmic", "-A", "--units-exponent 6", "-X -9"))
	if r.IntN(4) == 0 {
		fmt.Fprintf(&b, "graph_total %s\n", pick(all...))
	}
	fmt.Fprintf(&b, "graph_printf %s\ngraph_scale %s\n", pick("%6.2lf", "%12.9lf", "about %le units"), pick("yes", "no"))
	for i := range fields {
		fmt.Fprintf(&b, "f%d.label %s\nf%d.draw %s\nf%d.type %s\n", i, pick(all...), i, pick("LINE1", "LINE3", "AREA", "STACK", "AREASTACK"), i, pick("GAUGE", "DERIVE"))
		if r.IntN(3) == 0 {
			fmt.Fprintf(&b, "f%d.warning %d\nf%d.critical %d:%d\nf%d.line %d:ff0000:%s\n", i, r.IntN(100), i, r.IntN(10), r.IntN(100), i, r.IntN(50), pick(all...))
		}
		if r.IntN(4) == 0 && i > 0 {
			fmt.Fprintf(&b, "f%d.negative f%d\n", i, i-1)
		}
	}
	return parse(t, b.String()), math.Pow(10, float64(r.IntN(34)-14))
}

func randomModel(t *testing.T, r *rand.Rand) *chart.Model {
	t.Helper()
	g, top := randomGraph(t, r, 1+r.IntN(60))
	spans := []time.Duration{time.Minute, time.Hour, 30 * time.Hour, 8 * 24 * time.Hour, 33 * 24 * time.Hour, 400 * 24 * time.Hour, 20 * 365 * 24 * time.Hour}
	span := spans[r.IntN(len(spans))]
	to := start.Add(time.Duration(r.Int64N(int64(span))))
	req := chart.Request{
		Host: scripts()[r.IntN(len(scripts()))], Graph: g, Range: munin.Range{From: to.Add(-span), To: to},
		Now: to.Add(-span / time.Duration(1+r.IntN(9))), Location: time.FixedZone("CHAST", 12*3600+45*60),
	}
	for i := range g.Fields {
		s := munin.Series{ID: munin.SeriesID{Field: g.Fields[i].Name}, Start: req.Range.From, Step: span / 20, Last: munin.Point{V: top}}
		for range 20 {
			bucket := munin.Gap()
			if v := top * (r.Float64() - 0.2); r.IntN(10) > 0 {
				bucket = munin.Bucket{Avg: v, Min: v - top/20, Max: v + top/20, Count: 3}
			}
			s.Buckets = append(s.Buckets, bucket)
		}
		req.Series = append(req.Series, s)
	}
	var marks []chart.Mark
	for range r.IntN(5) {
		at := req.Range.From.Add(time.Duration(r.Int64N(int64(span))))
		marks = append(marks, chart.Mark{At: at, To: at.Add(span / 9), Label: scripts()[r.IntN(len(scripts()))]})
	}
	m := chart.New(req)
	m.AddMarks(marks)
	return m
}

// The seed is fixed: what fails here fails everywhere.
func TestNoTextCollidesOrIsCutAtAnySizeNumberOfFieldsOrScript(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // not for secrets
	sizes := []chart.Picture{{Width: 160, Height: 60}, {Width: 160, Height: 800}, {Width: 1600, Height: 60}, {Width: 1600, Height: 800}}
	checked, least := 0, math.MaxInt
	for n := range 400 {
		m := randomModel(t, r)
		pic := chart.Picture{Width: 160 + r.IntN(1441), Height: 60 + r.IntN(741)}
		if n < 4*len(sizes) {
			pic = sizes[n%len(sizes)]
		}
		for _, bare := range []bool{false, true} {
			pic.Bare = bare
			s := m.Scene(pic)
			texts := 0
			var boxes []chart.Box
			for i := range s.Items {
				it := &s.Items[i]
				if it.Kind != chart.Text {
					continue
				}
				texts++
				box := it.Box()
				if box.X < -0.01 || box.Y < -0.01 || box.X+box.W > s.Width+0.01 || box.Y+box.H > s.Height+0.01 {
					t.Fatalf("%+v of %v×%v: %q leaves the picture: %+v", pic, s.Width, s.Height, it.Text, box)
				}
				if i := slices.IndexFunc(boxes, box.Overlaps); i >= 0 {
					t.Fatalf("%+v: %q lies on another text: %+v on %+v", pic, it.Text, box, boxes[i])
				}
				boxes = append(boxes, box)
			}
			checked += texts
			if !bare {
				least = min(least, texts)
			}
		}
	}
	if checked < 20000 || least < 6 {
		t.Errorf("%d texts were looked at, at least %d of a picture: the test does not see them", checked, least)
	}
}
