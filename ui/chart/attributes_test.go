package chart_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"corbie/munin"
	"corbie/ui/chart"
)

func TestARateHasATotalAndEveryFieldItsPercentile(t *testing.T) {
	values := make([]float64, 101)
	for i := range values {
		values[i] = float64(i)
	}
	m := model(t, "graph_title t\ngraph_vlabel bytes per ${graph_period}\ngraph_period minute\na.label a\na.type DERIVE\nb.label b\n", series("a", values...), series("b", values...))
	a, b := m.Curves[0].Figures, m.Curves[1].Figures
	near(t, "the 95th percentile of a gauge", b.P95, 95)
	near(t, "the 95th percentile of a rate by the minute", a.P95, 95*60)
	near(t, "what a rate adds up to", a.Total, 5050*300)
	near(t, "the total of a gauge", b.Total, unknown)
	percent := model(t, "graph_title t\ngraph_vlabel %\na.label a\na.type DERIVE\n", series("a", values...))
	near(t, "the total of percent", percent.Curves[0].Figures.Total, unknown)
}

func TestTheTotalBelowZeroHasFiguresAndNoLine(t *testing.T) {
	m := model(t, "graph_title t\ngraph_total all\nup.label up\nup.negative down\ndown.label down\ndown.graph no\n", series("up", 3, 5), series("down", 7, 9))
	if len(m.Curves) != 4 || !m.Curves[2].Total || !m.Curves[3].Mirrored {
		t.Fatalf("got %+v", m.Curves)
	}
	near(t, "the total above", m.Curves[2].Figures.Max, 5)
	near(t, "the total below", m.Curves[3].Figures.Max, 9)
	near(t, "its line", m.Curves[3].Top[0], unknown)
}

func TestGraphPrintfFormatsTheLegend(t *testing.T) {
	f := func(printf, scale string, v float64, want string) {
		t.Helper()
		m := model(t, "graph_title t\ngraph_scale "+scale+"\ngraph_printf "+printf+"\na.label a\n", series("a", v))
		if got := m.Format(v); got != want {
			t.Errorf("%s of %v is %q, want %q", printf, v, got, want)
		}
	}
	f("%6.2lf", "yes", 12345, "12.35k")
	f("%6.2lf", "no", 12345, "12345.00")
	f("%3.0lf", "yes", 7.6, "8")
	f("%5.1lf%s", "yes", 2.5e6, "2.5M")
	f("%+.1lf %%", "no", 2.25, "+2.2 %")
	f("%le", "no", 1500, "1.500000e+03")
	f("%lg", "no", 1500, "1500")
	f("about %.0lf things", "no", 3, "about 3 things")
	for _, wrong := range []string{"%d", "%lf %lf", "plain", "%", "%.99lf", "%s"} {
		m := model(t, "graph_title t\ngraph_printf "+wrong+"\na.label a\n", series("a", 1500))
		if got := m.Format(1500); got != "1.5k" || len(m.Notes) != 1 {
			t.Errorf("%q gives %q and the notes %q", wrong, got, m.Notes)
		}
	}
}

func TestGraphArgsShapeTheAxis(t *testing.T) {
	f := func(args string, low, high float64, labels string) {
		t.Helper()
		m := model(t, "graph_title t\ngraph_args "+args+"\na.label a\n", series("a", 520, 560, 540))
		s := m.YScale(120)
		var got []string
		for _, tick := range s.Ticks {
			got = append(got, tick.Label)
		}
		if s.Low != low || s.High != high || labels != "" && strings.Join(got, " ") != labels {
			t.Errorf("%s: the scale is %v to %v, labels %v; want %v to %v, %s", args, s.Low, s.High, got, low, high, labels)
		}
	}
	f("--base 1000", 520, 560, "520 530 540 550 560")
	f("-l 0", 0, 600, "0 200 400 600")
	f("-l0 -u1000", 0, 1000, "")
	f("--lower 0 --upper=1000", 0, 1000, "")
	f("--lower-limit 530 --upper-limit 550 --rigid", 530, 550, "")
	f("-r -l 530 -u 550", 530, 550, "")
	f("--title '-l 5' --lower-limit \"0\"", 0, 600, "")
	f("--font -l --color -u -l 0", 0, 600, "")
	f("--alt-autoscale", 520, 560, "")
	f("-l 0 --units-exponent 3", 0, 600, "0 0.2k 0.4k 0.6k")
	f("-l 0 -X 0", 0, 600, "0 200 400 600")
	f("-l 700 -u 600", 520, 560, "")
	f("-l inf -u nan --nosuch 5", 520, 560, "")
	if m := model(t, "graph_title t\ngraph_args --vertical-label 'leases held' -l 0\na.label a\n", series("a", 1)); m.Unit != "leases held" {
		t.Errorf("the unit is %q", m.Unit)
	}
	for _, args := range []string{"--logarithmic", "-o", "--loga"} {
		if s := model(t, "graph_title t\ngraph_args "+args+"\na.label a\n", series("a", 3, 40)).YScale(120); !s.Log || s.Low != 2 || s.High != 50 {
			t.Errorf("%s: the scale is %+v", args, s)
		}
	}
}

func TestTrendsAndPredictionsGoOnIntoTheFuture(t *testing.T) {
	const steps, ahead = 60, 12
	values := make([]float64, steps)
	for i := range values {
		if values[i] = float64(i % 12); i >= steps-ahead {
			values[i] = unknown
		}
	}
	g := parse(t, "graph_title t\ngraph_future 12\na.label a\na.trend yes\na.predict 3600,0\n")
	now := start.Add((steps - ahead) * step)
	m := chart.New(chart.Request{
		Graph: g, Series: []munin.Series{series("a", values...)}, Range: munin.Range{From: start, To: start.Add(steps * step)}, Interval: step, Now: now,
	})
	if len(m.Curves) != 3 || m.Curves[1].Label != "a trend" || m.Curves[2].Label != "a prediction" || !m.Curves[2].Derived {
		t.Fatalf("curves are %+v, notes %q", m.Curves, m.Notes)
	}
	near(t, "the trend where values end", m.Curves[1].Values[steps-ahead-1], 5.5)
	near(t, "the trend in the future", m.Curves[1].Values[steps-ahead+4], (5+6+7+8+9+10+11)/7.0)
	if v := m.Curves[2].Values[steps-5]; !(v >= 0 && v <= 11) || math.Abs(v-m.Curves[2].Values[steps-5-12]) > 3 {
		t.Errorf("the prediction is %v, an hour before it was %v", v, m.Curves[2].Values[steps-5-12])
	}
	if svg := string(m.SVG(chart.Picture{Width: 400, Height: 175})); !strings.Contains(svg, ">now</text>") {
		t.Error("the picture does not say where the future begins")
	}
	bad := parse(t, "graph_title t\na.label a\na.predict soon\n")
	m = chart.New(chart.Request{Graph: bad, Series: []munin.Series{series("a", 1, 2)}, Range: munin.Range{From: start, To: start.Add(10 * time.Minute)}, Now: now})
	if len(m.Curves) != 1 || len(m.Notes) != 1 || !strings.Contains(m.Notes[0], "such as 86400,12") {
		t.Errorf("curves %d, notes %q", len(m.Curves), m.Notes)
	}
}

// The SVG and the PNG are made of one scene; the options hold the model's own columns.
func TestTheOptionsHoldTheSameNumbersAsThePicture(t *testing.T) {
	for name, m := range pictures(t) {
		live := m.Live(chart.Picture{Width: 400, Height: 175})
		for i := range m.Curves {
			c := &m.Curves[i]
			column := live.Columns["c"+string(rune('0'+i))]
			for j, v := range c.Values {
				if c.Mirrored {
					v = -v
				}
				if got := column[j]; got != v && !(math.IsNaN(got) && math.IsNaN(v)) {
					t.Errorf("%s: value %d of %s is %v in the options and %v in the picture", name, j, c.Label, got, v)
				}
			}
		}
		scale := m.YScale(129)
		if len(live.YTicks) != len(scale.Ticks) {
			t.Errorf("%s: the options have %d labels, the picture %d", name, len(live.YTicks), len(scale.Ticks))
		}
	}
}

func TestACdefThatLooksBackHasItsNewestValue(t *testing.T) {
	m := model(t, "graph_title t\na.label a\na.cdef a,900,TREND\nb.label b\nb.cdef a,2,*\nc.label c\nc.cdef d,2,*\nd.label d\nd.cdef d,100,*\n",
		series("a", 3, 6, 9), series("b", 1, 1, 1), series("c", 1, 1, 1), series("d", 1, 2, 3))
	near(t, "the newest trend", m.Curves[0].Figures.Current, 6)
	near(t, "an earlier field counts after its cdef", m.Curves[1].Values[2], 12)
	near(t, "a later field counts before its cdef", m.Curves[2].Values[2], 6)
}

func TestARightAxisHasItsOwnNumbersAtTheSameHeights(t *testing.T) {
	f := func(args, want string) {
		t.Helper()
		m := model(t, "graph_title t\ngraph_args "+args+"\na.label a\n", series("a", 0, 100))
		scale := m.YScale(90)
		var got []string
		for i, tick := range scale.Right {
			if tick.Value != scale.Ticks[i].Value {
				t.Errorf("%s: label %d stands at %v, the left one at %v", args, i, tick.Value, scale.Ticks[i].Value)
			}
			got = append(got, tick.Label)
		}
		if text := strings.Join(got, " "); text != want {
			t.Errorf("%s: right labels are %q, want %q", args, text, want)
		}
		option := m.Live(chart.Picture{Width: 600, Height: 136}).Option
		axes, ok := option["yAxis"].([]map[string]any)
		if !ok || (len(axes) == 2) != (want != "") {
			t.Errorf("%s: the options have the axes %v", args, option["yAxis"])
		}
		if svg := string(m.SVG(chart.Picture{Width: 400, Height: 120, Bare: true})); want != "" && strings.Count(svg, "text-anchor=\"end\"") < len(scale.Ticks)+2 {
			t.Errorf("%s: the small picture has no labels at the right:\n%s", args, svg)
		}
	}
	f("--right-axis 2:0", "0 100 200")
	f("--right-axis 0.1:-5", "-5 0 5")
	f("--right-axis -1:100", "100 50 0")
	f("--right-axis 1.8:32", "32 122 212")
	f("--right-axis 0.25:0.5", "0.5 13.0 25.5")
	f("--right-axis 1000:0", "0 50k 100k")
	f("--right-axis 1:0 --right-axis-format %.2lf°", "0.00° 50.00° 100.00°")
	f("--right-axis 0:5", "")
	f("--right-axis inf:5", "")
	f("--right-axis 1", "")
	f("--right-axis-label only", "")
}

func TestTheLeftAxisHasItsFormat(t *testing.T) {
	scale := model(t, "graph_title t\ngraph_args --left-axis-format %.1lf%%\na.label a\n", series("a", 0, 100)).YScale(90)
	if scale.Ticks[1].Label != "50.0%" {
		t.Errorf("labels are %v", scale.Ticks)
	}
}

func TestColoursMayBeClear(t *testing.T) {
	m := model(t, "graph_title t\na.label a\na.draw AREA\na.colour 11223380\nb.label b\nb.colour 11223300\nc.label c\nc.line 5:ff000033\n",
		series("a", 1, 9), series("b", 1, 9), series("c", 1, 9))
	near(t, "half clear", m.Curves[0].Colour.Clear, 1-128/255.0)
	near(t, "all clear", m.Curves[1].Colour.Clear, 1)
	near(t, "a clear line", m.Rules[0].Colour.Clear, 0.8)
	svg := string(m.SVG(chart.Picture{Width: 400, Height: 120, Bare: true}))
	if !strings.Contains(svg, `fill="#112233" class="f2" fill-opacity="0.502"`) || strings.Count(svg, "#112233") != 1 || !strings.Contains(svg, `stroke-opacity="0.2"`) {
		t.Errorf("the picture is\n%s", svg)
	}
}

func TestArgsThatComeAfterWinAndMayHoldLines(t *testing.T) {
	m := model(t, "graph_title t\ngraph_args --base 1000 -l 0 HRULE:40#ff0000:full\ngraph_args_after -r -u 50 -l 10\na.label a\n", series("a", 20, 30))
	if s := m.YScale(90); s.Low != 10 || s.High != 50 {
		t.Errorf("the scale is %v to %v", s.Low, s.High)
	}
	if len(m.Rules) != 1 || m.Rules[0].Value != 40 || m.Rules[0].Label != "full" || m.Rules[0].Colour.Light != "#ff0000" {
		t.Errorf("lines are %+v", m.Rules)
	}
	var many strings.Builder
	for range 100 {
		many.WriteString(" HRULE:1#ff0000")
	}
	if m := model(t, "graph_title t\ngraph_args"+many.String()+"\na.label a\n", series("a", 1)); len(m.Rules) > 6 {
		t.Errorf("%d lines", len(m.Rules))
	}
}

func TestSumsAreWhatRatesAddUpToInAnHourOrADay(t *testing.T) {
	text := "graph_title Mail\ngraph_vlabel mails per ${graph_period}\ngraph_period minute\ngraph_args -l 0 -u 60\na.label a\na.type DERIVE\na.warning 3\na.cdef a,2,*\nb.label b\n"
	hours := series("a", 1, 2, 3)
	hours.Step = time.Hour
	gauge := series("b", 7, 7, 7)
	gauge.Step = time.Hour
	sums := func(text string, by time.Duration) *chart.Model {
		return chart.New(chart.Request{
			Graph: parse(t, text), Series: []munin.Series{hours, gauge}, Range: munin.Range{From: start, To: start.Add(3 * time.Hour)},
			Interval: step, Now: start.Add(3 * time.Hour), Sum: by,
		})
	}
	m := sums(text, time.Hour)
	near(t, "two of an hour", m.Curves[0].Values[1], 2*2*3600)
	near(t, "a gauge", m.Curves[1].Values[1], 7)
	near(t, "all of three hours", m.Curves[0].Figures.Total, 2*(1+2+3)*3600)
	near(t, "the level", m.Rules[0].Value, 3*2*3600)
	if s := m.YScale(100); m.Title != "Mail, sums by the hour" || m.Unit != "mails per hour" || s.High < 2*3*3600 {
		t.Errorf("title %q, unit %q, scale to %v", m.Title, m.Unit, s.High)
	}
	for _, c := range []struct{ text, want string }{
		{"graph_title t\na.label a\n", "per day"},
		{"graph_title t\ngraph_vlabel bytes/s\na.label a\n", "bytes/s, summed by the day"},
		{"graph_title t\ngraph_vlabel_sum_year litres a day\na.label a\n", "litres a day"},
	} {
		if m := sums(c.text, 24*time.Hour); m.Unit != c.want {
			t.Errorf("the unit is %q, want %q", m.Unit, c.want)
		}
	}
}
