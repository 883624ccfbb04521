package paint_test

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"
	"unicode"

	"corbie/munin"
	"corbie/ui/chart"
	"corbie/ui/chart/paint"
)

var start = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

const step = 5 * time.Minute

func painter(tb testing.TB) *paint.Painter {
	tb.Helper()
	p, err := paint.New()
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// model is a graph of n steps; each field's values are a function of its number and the step.
func model(tb testing.TB, config string, n int, value func(field, step int) float64) *chart.Model {
	tb.Helper()
	reply := munin.ParseConfig("test", []byte(config))
	if len(reply.Graphs) != 1 {
		tb.Fatalf("%d graphs, faults %v", len(reply.Graphs), reply.Faults)
	}
	g := &reply.Graphs[0]
	var all []munin.Series
	for i := range g.Fields {
		s := munin.Series{ID: munin.SeriesID{Field: g.Fields[i].Name}, Start: start, Step: step, Last: munin.Point{V: math.NaN()}}
		for j := range n {
			v := value(i, j)
			b := munin.Bucket{Avg: v, Min: v, Max: v, Count: 1}
			if math.IsNaN(v) {
				b = munin.Gap()
			} else {
				s.Last = munin.Point{T: start.Add(time.Duration(j) * step).UnixMilli(), V: v}
			}
			s.Buckets = append(s.Buckets, b)
		}
		all = append(all, s)
	}
	r := munin.Range{From: start, To: start.Add(step * time.Duration(n))}
	return chart.New(chart.Request{Host: "web1", Graph: g, Series: all, Range: r, Interval: step, Now: r.To})
}

func seven(tb testing.TB) *chart.Model {
	tb.Helper()
	config := "graph_title CPU usage\ngraph_vlabel %\ngraph_args --base 1000 -l 0\n"
	for i, name := range []string{"system", "user", "nice", "idle", "iowait", "irq", "softirq"} {
		config += name + ".label " + name + "\n" + name + ".draw " + []string{"AREA", "STACK"}[min(i, 1)] + "\n"
	}
	return model(tb, config, 400, func(field, step int) float64 {
		return 12 + 6*math.Sin(float64(step)/30+float64(field)) + 2*math.Sin(float64(step*step%97))
	})
}

func decode(t *testing.T, body []byte) image.Image {
	t.Helper()
	img, err := png.Decode(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if dir := os.Getenv("CORBIE_PICTURES"); dir != "" {
		name := filepath.Base(t.Name())
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s-%d.png", name, len(body))), body, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return img
}

func TestAPictureHasItsSizeAndFewColours(t *testing.T) {
	p, m := painter(t), seven(t)
	for _, pic := range []chart.Picture{
		{Width: 497, Height: 240},
		{Width: 640, Height: 260, Theme: chart.DarkTheme},
		{Width: 160, Height: 60, Bare: true},
		{Width: 400, Height: 175, Scale: 2},
		{Width: 1600, Height: 800, Bare: true},
	} {
		body, err := p.PNG(m, pic)
		if err != nil {
			t.Fatal(err)
		}
		img := decode(t, body)
		scale, scene := max(pic.Scale, 1), m.Scene(pic)
		if got := img.Bounds(); got.Dx() != pic.Width*scale || got.Dy() != int(scene.Height)*scale {
			t.Errorf("%+v is drawn as %v, want %d×%v", pic, got, pic.Width*scale, scene.Height*float64(scale))
		}
		if palette, ok := img.ColorModel().(color.Palette); !ok || len(palette) > 256 {
			t.Errorf("%+v has no palette", pic)
		}
		if limit := 60_000 * scale * scale; pic.Width <= 640 && len(body) > limit {
			t.Errorf("%+v takes %d bytes", pic, len(body))
		}
	}
}

func TestAnAreaIsDrawnWhereItsValuesAre(t *testing.T) {
	m := model(t, "graph_title t\ngraph_args -l 0 -u 100 -r\na.label a\na.draw AREA\na.colour ff0000\n", 100, func(_, step int) float64 {
		if step >= 40 && step < 60 {
			return math.NaN()
		}
		return 50
	})
	pic := chart.Picture{Width: 500, Height: 240, Theme: chart.LightTheme}
	body, err := painter(t).PNG(m, pic)
	if err != nil {
		t.Fatal(err)
	}
	img, plot := decode(t, body), m.Scene(pic).Plot
	red := func(part, height float64) bool {
		r, g, b, _ := img.At(int(plot.X+part*plot.W), int(plot.Y+(1-height)*plot.H)).RGBA()
		return r > 0x9000 && g < 0xb000 && b < 0xb000
	}
	for _, c := range []struct {
		part, height float64
		want         bool
	}{
		{0.21, 0.13, true},
		{0.21, 0.45, true},
		{0.21, 0.53, false},
		{0.79, 0.33, true},
		{0.51, 0.33, false},
	} {
		if red(c.part, c.height) != c.want {
			t.Errorf("at %.0f %% of the width and %.0f of the height: drawn is %v, want %v", 100*c.part, 100*c.height, !c.want, c.want)
		}
	}
}

// texts are labels of every kind of script, and what is in none.
func texts() []string {
	return []string{
		"received packets", "ÀÉÎõü ßœŒ Æ", "Θερμοκρασία δίσκου", "Загрузка процессора ЖШЩЮ", "עומס המעבד (load)", "تحميل المعالج 5 دقائق",
		"处理器负载", "プロセッサー使用率", "디스크 사용량", "आगत", "โหลดเฉลี่ย", "disk 💾 full 🔥👩‍💻", "a\u0301e\u0308", "MMMMWWWW@@@@", "\U0010ffff\ue000",
		"→ ← ↑ ↓ ▲ ■ ●", "½ ¾ ‰ € ™ ® ©", "ﷺ ﷽", "ქართული", "Հայերեն",
	}
}

func TestNoTextIsWiderThanTheModelThinks(t *testing.T) {
	p := painter(t)
	for _, text := range texts() {
		for _, size := range []float64{9, 10, 11, 13} {
			for _, bold := range []bool{false, true} {
				it := chart.Item{Kind: chart.Text, Text: text, Size: size, Bold: bold}
				if got, room := p.Width(text, size, bold), it.Box().W; got > room+0.5 {
					t.Errorf("%q at %v (bold: %v) is drawn %.1f pixels wide and has %.1f", text, size, bold, got, room)
				}
			}
		}
	}
	worst := map[rune]float64{}
	for r := rune(0x20); r < 0x1fb00; r++ {
		if r >= 0x1100 && r < 0x2e80 || r >= 0xa000 && r < 0xac00 || r >= 0xd7a4 && r < 0x1f300 {
			continue // rare scripts and signs: they move together where they have to
		}
		rare := unicode.In(r, unicode.Canadian_Aboriginal, unicode.Ogham, unicode.Thai, unicode.Lao, unicode.Cuneiform)
		if rare || !unicode.In(r, unicode.L, unicode.N, unicode.P, unicode.S) {
			continue
		}
		it := chart.Item{Kind: chart.Text, Text: string(r), Size: 11}
		if over := p.Width(string(r), 11, false) - it.Box().W; over > 0.5 && len(worst) < 40 {
			worst[r] = over
		}
	}
	for r, over := range worst {
		t.Errorf("%U is drawn %.1f pixels wider than the model thinks", r, over)
	}
}

func TestEveryScriptLeavesInk(t *testing.T) {
	p := painter(t)
	for _, text := range texts() {
		m := model(t, "graph_title t\na.label "+text+"\nb.label x\n", 3, func(_, step int) float64 { return float64(step) })
		blank := model(t, "graph_title t\na.label .\nb.label x\n", 3, func(_, step int) float64 { return float64(step) })
		pic := chart.Picture{Width: 400, Height: 120, Theme: chart.LightTheme}
		ink := func(m *chart.Model) int {
			body, err := p.PNG(m, pic)
			if err != nil {
				t.Fatal(err)
			}
			img, dark := decode(t, body), 0
			for y := 120; y < img.Bounds().Dy(); y++ {
				for x := 24; x < 200; x++ {
					if r, _, _, _ := img.At(x, y).RGBA(); r < 0x8000 {
						dark++
					}
				}
			}
			return dark
		}
		if with, without := ink(m), ink(blank); with < without+5 {
			t.Errorf("%q leaves %d dark dots, without it there are %d", text, with, without)
		}
	}
}

func FuzzPNG(f *testing.F) {
	p := painter(f)
	for _, text := range texts() {
		f.Add(text, "--base 1024 -l 0", 1.5, 300, 120)
	}
	f.Add("\u202e\x00\xff", "-o -r -l -5 -u 5", math.Inf(1), 160, 60)
	f.Add("t", "-A", -1e300, 1, 9999)
	f.Fuzz(func(t *testing.T, label, args string, value float64, width, height int) {
		g := &munin.Graph{Title: label, VLabel: label, Args: args, Period: "second", Fields: []munin.Field{
			{Name: "a", Label: label, Line: "3::" + label, Draw: munin.Draw{Kind: munin.Area}},
			{Name: "b", Label: label, Draw: munin.Draw{Kind: munin.Stack}, Negative: "a"},
		}}
		s := munin.Series{ID: munin.SeriesID{Field: "a"}, Start: start, Step: step}
		for _, v := range []float64{value, 1, math.NaN(), -value, 3} {
			s.Buckets = append(s.Buckets, munin.Bucket{Avg: v, Min: v, Max: v, Count: 1})
		}
		m := chart.New(chart.Request{Graph: g, Series: []munin.Series{s}, Range: munin.Range{From: start, To: start.Add(5 * step)}, Now: start})
		body, err := p.PNG(m, chart.Picture{Width: min(width, 700), Height: min(height, 500)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := png.Decode(bytes.NewReader(body)); err != nil {
			t.Fatal(err)
		}
	})
}
