package chart_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"corbie/munin"
	"corbie/ui/chart"
)

// pictures are the draw types and oddities that each have their expected picture in testdata.
func pictures(tb testing.TB) map[string]*chart.Model {
	tb.Helper()
	spread := series("a", 10, 20, 15, unknown, 12, 14)
	for i := range spread.Buckets {
		if spread.Buckets[i].Count > 0 {
			spread.Buckets[i].Count, spread.Buckets[i].Min, spread.Buckets[i].Max = 3, spread.Buckets[i].Avg-4, spread.Buckets[i].Avg+9
		}
	}
	a, b := series("a", 10, 20, 15, unknown, unknown, 14), series("b", 3, 4, unknown, 6, unknown, 8)
	two := func(lines string) string {
		return "graph_title Two fields\ngraph_vlabel things\na.label first\nb.label second\n" + lines
	}
	return map[string]*chart.Model{
		"line":       model(tb, two(""), a, b),
		"line3":      model(tb, two("a.draw LINE3\nb.draw LINE2\n"), a, b),
		"area":       model(tb, two("a.draw AREA\nb.draw AREA\n"), a, b),
		"stack":      model(tb, two("a.draw AREA\nb.draw STACK\n"), a, b),
		"areastack":  model(tb, two("a.draw AREASTACK\nb.draw AREASTACK\n"), a, b),
		"linestack":  model(tb, two("a.draw LINESTACK1\nb.draw LINESTACK1\n"), a, b),
		"negative":   model(tb, two("b.graph no\na.negative b\na.draw AREA\n"), a, b),
		"levels":     model(tb, two("a.warning 18\na.critical 2:25\nb.line 6:cc00cc:target\n"), a, b),
		"band":       model(tb, "graph_title Band\na.label a\n", spread),
		"base1024":   model(tb, "graph_title Memory\ngraph_args --base 1024 -l 0 --upper-limit 4096000000\ngraph_vlabel Bytes\na.label used\na.draw AREA\n", series("a", 1e9, 2e9, 3e9)),
		"log":        model(tb, two("graph_args --logarithmic\n"), series("a", 1, 100, 20000), series("b", 0, 5, 7)),
		"rigid":      model(tb, two("graph_args -r -l 0 -u 12\n"), a, b),
		"total":      model(tb, two("graph_total sum of all\n"), a, b),
		"alone":      model(tb, two("b.draw AREA\n"), series("a", unknown, 5, unknown), series("b", unknown, 3, unknown)),
		"empty":      model(tb, two(""), series("a", unknown, unknown), series("b", unknown, unknown)),
		"noscale":    model(tb, two("graph_scale no\n"), series("a", 1500, 2500, 1200), series("b", 10, 20, 30)),
		"clear":      model(tb, two("a.draw AREA\na.colour ffffff00\nb.draw STACK\nb.colour 00884480\nc.label line\nc.colour cc00cc40\n"), a, b, series("c", 1, 9, 3)),
		"right":      model(tb, two("graph_args --right-axis 0.5:20 --right-axis-label °C\n"), a, b),
		"outofrange": model(tb, two("graph_args -r -u 5\n"), series("a", 1e300, -1e300, 3), series("b", 1, math.Inf(1), 2)),
	}
}

func TestEachDrawTypeHasItsPicture(t *testing.T) {
	for name, m := range pictures(t) {
		golden(t, name+".svg", m.SVG(chart.Picture{Width: 420, Height: 180}))
	}
}

// text is one label of a picture with the box that it may fill.
type text struct {
	content          string
	left, right, top float64
	bottom           float64
}

var number = regexp.MustCompile(`^-?\d*\.?\d+$`)

// labels reads a picture as XML and gives back its texts; it fails on what is not well-formed or not a number.
func labels(t *testing.T, svg []byte) []text {
	t.Helper()
	var out []text
	decoder := xml.NewDecoder(bytes.NewReader(svg))
	var open *text
	size, anchor := 10.0, ""
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatalf("not well-formed: %v\n%.3000s", err, svg)
		}
		switch token := token.(type) {
		case xml.StartElement:
			if token.Name.Local != "text" {
				continue
			}
			open, size, anchor = &text{}, 10, "start"
			for _, a := range token.Attr {
				switch a.Name.Local {
				case "x":
					open.left = parseNumber(t, a.Value)
				case "y":
					open.bottom = parseNumber(t, a.Value)
				case "font-size":
					size = parseNumber(t, a.Value)
				case "text-anchor":
					anchor = a.Value
				}
			}
		case xml.CharData:
			if open != nil {
				open.content += string(token)
			}
		case xml.EndElement:
			if open == nil || token.Name.Local != "text" {
				continue
			}
			width := size * widthInEm(open.content)
			switch anchor {
			case "middle":
				open.left -= width / 2
			case "end":
				open.left -= width
			}
			open.right, open.top = open.left+width, open.bottom-0.75*size
			out = append(out, *open)
			open = nil
		}
	}
}

// widthInEm is how wide a text is in DejaVu Sans, which is wide as fonts go, within some hundredths.
func widthInEm(s string) float64 {
	width := 0.0
	for _, r := range s {
		switch {
		case strings.ContainsRune(" .,:;ijl|!'", r):
			width += 0.31
		case strings.ContainsRune("frt()[]-/", r):
			width += 0.38
		case strings.ContainsRune("mwMW@%", r):
			width += 0.93
		case r >= 'A' && r <= 'Z':
			width += 0.68
		default:
			width += 0.62
		}
	}
	return width
}

func parseNumber(t *testing.T, s string) float64 {
	t.Helper()
	if !number.MatchString(s) {
		t.Fatalf("%q is not a plain number", s)
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestLabelsNeverCollideNorLeaveThePicture(t *testing.T) {
	zone := time.FixedZone("EST", -5*3600)
	spans := []time.Duration{
		20 * time.Second, 10 * time.Minute, time.Hour, 6 * time.Hour, 30 * time.Hour, 8 * 24 * time.Hour,
		33 * 24 * time.Hour, 400 * 24 * time.Hour, 6 * 365 * 24 * time.Hour, 40 * 365 * 24 * time.Hour,
	}
	sizes := []chart.Picture{{Width: 300, Height: 120}, {Width: 300, Height: 120, Bare: true}, {Width: 480, Height: 175}, {Width: 1000, Height: 340, Bare: true}, {Width: 2000, Height: 900}}
	tops := []float64{0.0004, 0.7, 3, 99, 12345, 7.7e9, 3e13}
	checked := 0
	for _, span := range spans {
		for shift := range 5 {
			for i, top := range tops {
				to := start.Add(time.Duration(shift) * span / 7)
				r := munin.Range{From: to.Add(-span), To: to}
				base := []string{"1000", "1024"}[i%2]
				g := parse(t, "graph_title A title that is rather long for so small a picture\ngraph_args --base "+base+"\ngraph_vlabel bits in (-) / out (+) per second\na.label received\nb.label a label of some length\n")
				size := span / 40
				a := munin.Series{ID: munin.SeriesID{Field: "a"}, Start: r.From, Step: size}
				for n := range 40 {
					v := top * float64(n) / 40
					a.Buckets = append(a.Buckets, munin.Bucket{Avg: v, Min: v, Max: v, Count: 1})
				}
				m := chart.New(chart.Request{Graph: g, Series: []munin.Series{a}, Range: r, Location: zone, Now: to})
				for _, size := range sizes {
					all := labels(t, m.SVG(size))
					checked += len(all)
					if bad := collision(all, float64(size.Width)); bad != "" {
						t.Fatalf("%v up to %v, top %v, %dx%d: %s", span, to, top, size.Width, size.Height, bad)
					}
				}
			}
		}
	}
	if checked < 10000 {
		t.Errorf("only %d labels were looked at", checked)
	}
}

func collision(all []text, width float64) string {
	for i, a := range all {
		if a.left < -0.5 || a.right > width+0.5 {
			return fmt.Sprintf("%q leaves the picture: %.1f to %.1f of %.0f", a.content, a.left, a.right, width)
		}
		for _, b := range all[:i] {
			if a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom {
				return fmt.Sprintf("%q lies on %q", a.content, b.content)
			}
		}
	}
	return ""
}

func TestPicturesHoldTheirTitleAndFiguresInWords(t *testing.T) {
	svg := string(pictures(t)["area"].SVG(chart.Picture{Width: 400, Height: 175}))
	for _, want := range []string{"<title>web1: Two fields</title>", "first: now 14, average 14.8, maximum 20"} {
		if !strings.Contains(svg, want) {
			t.Errorf("the picture lacks %q", want)
		}
	}
}

func TestPicturesFollowTheThemeThatWasAskedFor(t *testing.T) {
	m := pictures(t)["line"]
	draw := func(theme chart.Theme) string {
		return string(m.SVG(chart.Picture{Width: 400, Height: 175, Theme: theme}))
	}
	if s := draw(chart.Auto); !strings.Contains(s, "prefers-color-scheme:dark") || !strings.Contains(s, `stroke="#0072b2"`) {
		t.Error("the picture for both themes lacks one of them")
	}
	if s := draw(chart.DarkTheme); strings.Contains(s, "<style") || strings.Contains(s, "#0072b2") {
		t.Error("the dark picture is not only dark")
	}
	if s := draw(chart.LightTheme); strings.Contains(s, "<style") || !strings.Contains(s, "#0072b2") {
		t.Error("the light picture is not only light")
	}
}

func TestOldValuesAreNotDrawnAsZeroNorUnknownOnes(t *testing.T) {
	known := model(t, "graph_title t\na.label a\na.draw AREA\n", series("a", 5, 0, 0, 5, 5, 5, 5))
	gap := model(t, "graph_title t\na.label a\na.draw AREA\n", series("a", 5, unknown, unknown, 5, 5, 5, 5))
	size := chart.Picture{Width: 400, Height: 175}
	mark := `fill-opacity="0.35"`
	if strings.Contains(string(known.SVG(size)), mark) {
		t.Error("zero is marked as unknown")
	}
	if !strings.Contains(string(gap.SVG(size)), mark) {
		t.Error("unknown is not told from zero")
	}
}

func FuzzSVG(f *testing.F) {
	f.Add("CPU", "user", "--base 1024 -l 0 -u 100", "7:ff0000:line", "a,8,*", 1.5)
	f.Add("</title><script>alert(1)</script>", `"onload="alert(1)`, "-o -r -l -5", "x", "a,UN,0,a,IF", math.Inf(1))
	f.Add("\x00\xff\u202e\U0001f4a9", "&amp;<![CDATA[", "--upper-limit=1e400 -u nan", "1e300::", "", -1e300)
	f.Fuzz(func(t *testing.T, title, label, args, line, cdef string, value float64) {
		g := &munin.Graph{
			Title: title, VLabel: label, Args: args, Total: label, Period: "second",
			Fields: []munin.Field{
				{Name: "a", Label: label, CDEF: cdef, Line: line, Draw: munin.Draw{Kind: munin.Area}, Colour: args, Warning: munin.Bounds{High: value, HasHigh: true}},
				{Name: "b", Label: title, Draw: munin.Draw{Kind: munin.Stack}, Negative: "a"},
			},
		}
		m := chart.New(chart.Request{
			Host: title, Graph: g, Series: []munin.Series{series("a", value, 1, unknown, value), series("b", value, -1, 2, 3)},
			Range: munin.Range{From: start, To: start.Add(4 * step)}, Now: start,
		})
		svg := m.SVG(chart.Picture{Width: 300, Height: 120})
		labels(t, svg)
		if bytes.Contains(bytes.ToLower(svg), []byte("<script")) || bytes.Contains(svg, []byte("NaN")) || bytes.Contains(svg, []byte("Inf")) && !strings.Contains(title+label, "Inf") && !math.IsInf(value, 0) {
			t.Fatalf("script or a number that is none: %s", svg)
		}
		if len(svg) > 200_000 {
			t.Fatalf("%d bytes for four values", len(svg))
		}
		m.Live(chart.Picture{Width: 300, Height: 120})
	})
}

func BenchmarkSVGOfSevenStackedFields(b *testing.B) {
	config := "graph_title CPU usage\n"
	var all []munin.Series
	for i := range 7 {
		name := fmt.Sprintf("f%d", i)
		config += name + ".label " + name + "\n" + name + ".draw " + []string{"AREA", "STACK"}[min(i, 1)] + "\n"
		values := make([]float64, 400)
		for j := range values {
			values[j] = 10 + 5*math.Sin(float64(i+j)/9)
		}
		all = append(all, series(name, values...))
	}
	m := model(b, config, all...)
	size := 0
	for b.Loop() {
		size = len(m.SVG(chart.Picture{Width: 480, Height: 200}))
	}
	b.ReportMetric(float64(size), "bytes")
}
