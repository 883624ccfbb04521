package chart_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"corbie/munin"
	"corbie/ui/chart"
)

// flat is a model of one graph with constant values.
func flat(t *testing.T, draws []string, values []float64, start time.Time) *chart.Model {
	t.Helper()
	g := munin.Graph{Name: "g", Title: "Load", Period: "second"}
	var series []munin.Series
	for i, draw := range draws {
		kind, err := munin.ParseDraw(draw)
		if err != nil {
			t.Fatal(err)
		}
		name := string(rune('a' + i))
		g.Fields = append(g.Fields, munin.Field{Name: name, Label: name, Draw: kind})
		s := munin.Series{ID: munin.SeriesID{Host: "h", Graph: "g", Field: name}, Start: start, Step: time.Hour, Last: munin.Point{V: math.NaN()}}
		for range 24 {
			s.Buckets = append(s.Buckets, munin.Bucket{Avg: values[i], Min: values[i], Max: values[i], Count: 1})
		}
		series = append(series, s)
	}
	return chart.New(chart.Request{
		Graph: &g, Series: series, Range: munin.Range{From: start, To: start.Add(24 * time.Hour)}, Interval: time.Hour, Now: start.Add(24 * time.Hour),
	})
}

func TestMarksAreDrawnWhereTheyHappenedAndNotOutside(t *testing.T) {
	start := time.Date(2026, 11, 16, 0, 0, 0, 0, time.UTC)
	m := flat(t, []string{"LINE1"}, []float64{5}, start)
	m.AddMarks([]chart.Mark{
		{At: start.Add(14 * time.Hour), Label: "deploy <1.4>"},
		{At: start.Add(-time.Hour), To: start.Add(2 * time.Hour), Label: "maintenance"},
		{At: start.Add(-time.Hour), Label: "too early"},
		{At: start.Add(30 * time.Hour), Label: "too late"},
		{At: start.Add(3 * time.Hour), Label: "load critical", Level: munin.Critical},
	})
	if len(m.Marks) != 3 {
		t.Fatalf("%d marks, want 3: %v", len(m.Marks), m.Marks)
	}
	picture := string(m.SVG(chart.Picture{Width: 600, Height: 200}))
	for _, want := range []string{"16 Nov 14:00 deploy &lt;1.4&gt;", "maintenance", "load critical"} {
		if !strings.Contains(picture, want) {
			t.Errorf("the picture does not tell of %q", want)
		}
	}
	if strings.Contains(picture, "too late") || strings.Contains(picture, "too early") {
		t.Error("the picture tells of what is outside of its range")
	}
	live, err := json.Marshal(m.Live(chart.Picture{Width: 600, Height: 200}))
	if err != nil {
		t.Fatal(err)
	}
	if text := string(live); !strings.Contains(text, `"markArea"`) || !strings.Contains(text, `"deploy \u003c1.4\u003e"`) {
		t.Error("the options do not hold the marks")
	}
}

func TestAnEarlierTimeLiesOverThisOneOnTheSameScale(t *testing.T) {
	start := time.Date(2026, 11, 16, 0, 0, 0, 0, time.UTC)
	now := flat(t, []string{"LINE1"}, []float64{5}, start)
	now.Overlay(flat(t, []string{"LINE1"}, []float64{80}, start.Add(-7*24*time.Hour)), "a week before")
	if len(now.Curves) != 2 || !now.Curves[1].Past || now.Curves[1].Label != "a, a week before" {
		t.Fatalf("curves are %+v", now.Curves)
	}
	if s := now.YScale(200); s.High < 80 {
		t.Errorf("the scale ends at %v, below the earlier values", s.High)
	}
	if !strings.Contains(string(now.SVG(chart.Picture{Width: 600, Height: 200})), "stroke-dasharray=\"5 3\"") {
		t.Error("the earlier curve is not dashed")
	}

	stack := flat(t, []string{"AREA", "STACK"}, []float64{5, 6}, start)
	stack.Overlay(flat(t, []string{"AREA", "STACK"}, []float64{7, 8}, start.Add(-24*time.Hour)), "a day before")
	if len(stack.Curves) != 3 {
		t.Fatalf("%d curves, want the two of the stack and the top of the earlier one", len(stack.Curves))
	}
	if got := stack.Curves[2].Top[3]; got != 15 {
		t.Errorf("the top of the earlier stack is %v, want 15", got)
	}
}
