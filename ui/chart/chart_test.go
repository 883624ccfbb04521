package chart_test

import (
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"corbie/munin"
	"corbie/ui/chart"
)

var update = flag.Bool("update", false, "rewrite the expected outputs in testdata")

// golden compares what was made with what is kept in testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; go test ./ui/chart -update writes it", err)
	}
	if string(want) != string(got) {
		t.Errorf("%s differs: run with -update and read the diff\n got %.2000s", path, got)
	}
}

var unknown = math.NaN()

// start is when the series of these tests begin; a bucket is five minutes.
var start = time.Date(2026, 3, 2, 22, 0, 0, 0, time.UTC)

const step = 5 * time.Minute

// parse reads a graph from a plugin's words.
func parse(tb testing.TB, config string) *munin.Graph {
	tb.Helper()
	reply := munin.ParseConfig("test", []byte(config))
	if len(reply.Graphs) != 1 {
		tb.Fatalf("%d graphs in the config, faults %v", len(reply.Graphs), reply.Faults)
	}
	return &reply.Graphs[0]
}

// series makes one of single samples.
func series(field string, values ...float64) munin.Series {
	s := munin.Series{ID: munin.SeriesID{Host: "h", Graph: "test", Field: field}, Start: start, Step: step, Last: munin.Point{V: unknown}}
	for i, v := range values {
		b := munin.Bucket{Avg: v, Min: v, Max: v, Count: 1}
		if math.IsNaN(v) {
			b = munin.Gap()
		} else {
			s.Last = munin.Point{T: start.Add(time.Duration(i) * step).UnixMilli(), V: v}
		}
		s.Buckets = append(s.Buckets, b)
	}
	return s
}

func model(tb testing.TB, config string, all ...munin.Series) *chart.Model {
	tb.Helper()
	r := munin.Range{From: start, To: start.Add(step * time.Duration(len(all[0].Buckets)))}
	return chart.New(chart.Request{Host: "web1", Graph: parse(tb, config), Series: all, Range: r, Interval: step, Now: r.To})
}

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.IsNaN(want) != math.IsNaN(got) || math.Abs(got-want) > 1e-9*math.Max(1, math.Abs(want)) {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

func TestStackedFieldsStandOnEachOther(t *testing.T) {
	m := model(t, "graph_title t\na.label a\na.draw AREA\nb.label b\nb.draw STACK\nc.label c\nc.draw STACK\n",
		series("a", 1, 2), series("b", 10, 20), series("c", 100, 200))
	near(t, "the foot of b", m.Curves[1].Bottom[1], 2)
	near(t, "the top of b", m.Curves[1].Top[1], 22)
	near(t, "the top of c", m.Curves[2].Top[1], 222)
	near(t, "the value of c", m.Curves[2].Values[1], 200)
	for i, c := range m.Curves {
		if c.Shape != chart.Area || c.Stack != 1 {
			t.Errorf("curve %d is shape %v of stack %d, want an area of stack 1", i, c.Shape, c.Stack)
		}
	}
}

func TestAStackOnALineIsALineAndTheFirstStackIsOne(t *testing.T) {
	m := model(t, "graph_title t\na.label a\na.draw STACK\nb.label b\nb.draw STACK\n", series("a", 1), series("b", 2))
	if m.Curves[0].Shape != chart.Line || m.Curves[1].Shape != chart.Line || m.Curves[1].Top[0] != 3 {
		t.Errorf("got %+v", m.Curves)
	}
}

func TestAreaStackAndLineStackBeginWhereTheyAreFirst(t *testing.T) {
	m := model(t, "graph_title t\na.label a\na.draw AREASTACK\nb.label b\nb.draw AREASTACK\nc.label c\nc.draw LINESTACK2\n",
		series("a", 1), series("b", 2), series("c", 4))
	near(t, "the top of b", m.Curves[1].Top[0], 3)
	near(t, "the top of c", m.Curves[2].Top[0], 7)
	if m.Curves[0].Stacked || m.Curves[2].Shape != chart.Line || m.Curves[2].Width != 2 {
		t.Errorf("got %+v", m.Curves)
	}
}

func TestAnUnknownPieceOfAStackIsAGapAndTheRestStays(t *testing.T) {
	m := model(t, "graph_title t\na.label a\na.draw AREA\nb.label b\nb.draw STACK\nc.label c\nc.draw STACK\n",
		series("a", 1, unknown), series("b", unknown, 20), series("c", 100, 200))
	near(t, "the top of b", m.Curves[1].Top[0], unknown)
	near(t, "the foot of c over an unknown b", m.Curves[2].Bottom[0], 1)
	near(t, "the top of c over an unknown b", m.Curves[2].Top[0], 101)
	near(t, "the foot of b over an unknown a", m.Curves[1].Bottom[1], 0)
	near(t, "the top of c over an unknown a", m.Curves[2].Top[1], 220)
}

func TestNegativeFieldsAreMirroredInAnyOrder(t *testing.T) {
	for _, order := range []string{"up down", "down up"} {
		m := model(t, "graph_title t\ngraph_order "+order+"\nup.label up\nup.negative down\nup.draw AREA\ndown.label down\ndown.graph no\n",
			series("up", 5), series("down", 7))
		if len(m.Curves) != 2 {
			t.Fatalf("order %s: %d curves, want 2", order, len(m.Curves))
		}
		up, down := m.Curves[0], m.Curves[1]
		if up.Field != "up" || down.Field != "down" || !down.Mirrored || up.Colour != down.Colour || down.Shape != chart.Area {
			t.Errorf("order %s: got %+v and %+v", order, up, down)
		}
		near(t, "the mirrored curve", down.Top[0], -7)
		near(t, "its value", down.Values[0], 7)
		near(t, "its figure", down.Figures.Current, 7)
	}
}

func TestHiddenFieldsAreNotDrawnButHaveFigures(t *testing.T) {
	m := model(t, "graph_title t\ngraph_order a -b\na.label a\nb.label b\nc.label c\nc.graph no\n",
		series("a", 1), series("b", 2), series("c", 3))
	if len(m.Curves) != 1 || m.Curves[0].Field != "a" {
		t.Fatalf("drawn are %+v, want only a", m.Curves)
	}
	near(t, "the figure of c", m.Fields[2].Figures.Current, 3)
}

func TestGraphPeriodAndCdefChangeWhatIsShownAndLevelsFollow(t *testing.T) {
	m := model(t, `graph_title t
graph_period minute
a.label a
a.type DERIVE
a.cdef a,8,*
a.warning 2
b.label b
b.warning 3
`, series("a", 1, 2), series("b", 5, 5))
	near(t, "a rate by the minute, times eight", m.Curves[0].Values[1], 2*60*8)
	near(t, "a's current figure", m.Curves[0].Figures.Current, 2*60*8)
	near(t, "a gauge", m.Curves[1].Values[1], 5)
	if len(m.Rules) != 2 {
		t.Fatalf("rules are %+v, want one for each field", m.Rules)
	}
	near(t, "the gauge's level", m.Rules[0].Value, 3)
	near(t, "the rate's level", m.Rules[1].Value, 2*60*8)
}

func TestACdefThatCannotBeUsedIsSaidAndTheOthersAreDrawn(t *testing.T) {
	m := model(t, "graph_title t\na.label a\na.cdef a,+\nb.label b\nc.label c\nc.cdef nosuch,2,*\n", series("a", 1), series("b", 2), series("c", 2))
	if len(m.Curves) != 1 || m.Curves[0].Field != "b" || len(m.Notes) != 2 || !strings.Contains(m.Notes[0], "a is not drawn") {
		t.Errorf("curves %+v, notes %q", m.Curves, m.Notes)
	}
}

func TestTheTotalSumsWhatIsDrawn(t *testing.T) {
	m := model(t, "graph_title t\ngraph_total all\na.label a\nb.label b\nc.label c\nc.graph no\n",
		series("a", 1, unknown, unknown), series("b", 2, 3, unknown), series("c", 100, 100, 100))
	total := m.Curves[2]
	if !total.Total || total.Label != "all" {
		t.Fatalf("the last curve is %+v", total)
	}
	for i, want := range []float64{3, 3, unknown} {
		near(t, fmt.Sprintf("sum %d", i), total.Values[i], want)
	}
}

func TestFiguresCoverTheSamplesBehindTheBuckets(t *testing.T) {
	s := series("a", 10, 20, unknown)
	s.Buckets[0] = munin.Bucket{Avg: 10, Min: 1, Max: 50, Count: 3}
	s.Last = munin.Point{T: start.Add(7 * time.Minute).UnixMilli(), V: 21}
	f := model(t, "graph_title t\na.label a\n", s).Curves[0].Figures
	near(t, "min", f.Min, 1)
	near(t, "max", f.Max, 50)
	near(t, "average", f.Average, 12.5)
	near(t, "current", f.Current, 21)
	if !f.At.Equal(start.Add(7 * time.Minute)) {
		t.Errorf("the current value is of %v", f.At)
	}
}

func TestABandIsDrawnWhereBucketsHoldMoreThanOneValue(t *testing.T) {
	s := series("a", 10, 20)
	if m := model(t, "graph_title t\na.label a\n", s); m.Curves[0].High != nil {
		t.Error("single samples have a band")
	}
	s.Buckets[0] = munin.Bucket{Avg: 10, Min: 1, Max: 50, Count: 3}
	m := model(t, "graph_title t\nb.label b\nb.negative a\na.label a\na.graph no\n", s, series("b", 1, 1))
	near(t, "the mirrored band's low", m.Curves[1].Low[0], -50)
	near(t, "the mirrored band's high", m.Curves[1].High[0], -1)
}

func TestASampleThatFellIntoTheNextBucketLeavesNoGap(t *testing.T) {
	s := series("a", 10, unknown, 20, unknown, 30)
	s.Buckets[2].Count = 2
	m := model(t, "graph_title t\na.label a\n", s)
	near(t, "the bridged bucket", m.Curves[0].Values[1], 15)
	near(t, "the other side", m.Curves[0].Values[3], 25)
	s.Buckets[2].Count = 1
	m = model(t, "graph_title t\na.label a\n", s)
	near(t, "a real gap", m.Curves[0].Values[1], unknown)
}

func TestLevelsOfStackedFieldsAndTooManyLevelsAreNotDrawn(t *testing.T) {
	m := model(t, "graph_title t\na.label a\na.draw AREA\na.warning 3\nb.label b\nb.draw STACK\nb.warning 2\n", series("a", 1), series("b", 2))
	if len(m.Rules) != 1 || m.Rules[0].Value != 3 || m.Rules[0].Level != munin.Warning {
		t.Errorf("rules are %+v, want only a's", m.Rules)
	}
	config, all := "graph_title t\n", []munin.Series{}
	for i := range 7 {
		config += fmt.Sprintf("f%d.label f\nf%d.warning %d\n", i, i, i+1)
		all = append(all, series(fmt.Sprintf("f%d", i), 1))
	}
	if m := model(t, config, all...); len(m.Rules) != 0 {
		t.Errorf("%d rules are drawn, want none when there are too many to tell apart", len(m.Rules))
	}
}

func TestTheSameFieldHasTheSameColourWhateverIsMissing(t *testing.T) {
	config := "graph_title t\na.label a\nb.label b\nc.label c\nc.colour ff8000\nd.label d\nd.colour COLOUR1\n"
	all := model(t, config, series("a", 1), series("b", 1), series("c", 1), series("d", 1))
	some := model(t, config, series("b", unknown), series("c", 1))
	for i := range all.Curves {
		if all.Curves[i].Colour != some.Curves[i].Colour {
			t.Errorf("%s has two colours", all.Curves[i].Field)
		}
	}
	if all.Curves[2].Colour.Light != "#ff8000" || all.Curves[3].Colour != all.Curves[1].Colour {
		t.Errorf("the plugin's own colours are not honoured: %+v", all.Curves[2:])
	}
}

func TestStepsAreMultiplesOfTheInterval(t *testing.T) {
	r := munin.Range{From: start, To: start.Add(30 * time.Hour)}
	f := func(interval time.Duration, most int, want time.Duration) {
		t.Helper()
		if got := chart.StepFor(r, interval, most); got != want {
			t.Errorf("step is %v, want %v", got, want)
		}
	}
	f(5*time.Minute, 400, 5*time.Minute)
	f(5*time.Minute, 359, 10*time.Minute)
	f(time.Minute, 400, 5*time.Minute)
	f(0, 100, 1080*time.Second)
}

func TestAlignedRangesHoldTheRangeAndWholeSteps(t *testing.T) {
	r := munin.Range{From: start.Add(61 * time.Second), To: start.Add(901 * time.Second)}
	got := chart.Align(r, step)
	if !got.From.Equal(start) || !got.To.Equal(start.Add(20*time.Minute)) {
		t.Errorf("got %v to %v", got.From, got.To)
	}
}
