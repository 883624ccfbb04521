package chart_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"corbie/munin"
	"corbie/ui/chart"
)

func yLabels(m *chart.Model, height float64) string {
	var labels []string
	for _, t := range m.YScale(height).Ticks {
		labels = append(labels, t.Label)
	}
	return strings.Join(labels, " ")
}

func TestTicksAreRoundInTheGraphsOwnPrefixes(t *testing.T) {
	f := func(args string, top float64, height float64, want string) {
		t.Helper()
		m := model(t, "graph_title t\ngraph_args "+args+"\na.label a\na.draw AREA\n", series("a", 0, top))
		if got := yLabels(m, height); got != want {
			t.Errorf("ticks are %q, want %q", got, want)
		}
	}
	f("--base 1000", 9.3, 175, "0 2 4 6 8 10")
	f("--base 1000", 93000, 175, "0 20k 40k 60k 80k 100k")
	f("--base 1000", 0.0042, 175, "0 1m 2m 3m 4m 5m")
	f("--base 1000", 0.9, 175, "0 0.2 0.4 0.6 0.8 1.0")
	f("--base 1024", 900<<30, 175, "0 200Gi 400Gi 600Gi 800Gi 1000Gi")
	f("--base 1024", 7.5*(1<<30), 175, "0 2Gi 4Gi 6Gi 8Gi")
	f("--base 1024", 3500, 175, "0 1Ki 2Ki 3Ki 4Ki")
	f("-l 0 --upper-limit 100", 40, 175, "0 20 40 60 80 100")
	f("-l0 -u=100", 40, 175, "0 20 40 60 80 100")
	f("--rigid -u 30", 400, 100, "0 10 20 30")
	f("-u 1 -l 5", 4, 100, "0 2 4")
	f("--base 1000", 93000, 60, "0 50k 100k")
}

func TestGraphScaleNoWritesPlainNumbers(t *testing.T) {
	m := model(t, "graph_title t\ngraph_scale no\na.label a\n", series("a", 0, 93000))
	if got := yLabels(m, 100); got != "0 50000 100000" {
		t.Errorf("ticks are %q", got)
	}
}

func TestALevelNearTheCurvesIsInSightAndOneFarAwayIsNot(t *testing.T) {
	f := func(level string, values []float64, want float64) {
		t.Helper()
		m := model(t, "graph_title t\na.label a\na.warning "+level+"\n", series("a", values...))
		if got := m.YScale(175).High; got != want {
			t.Errorf("the axis ends at %v, want %v", got, want)
		}
	}
	f("12", []float64{2, 9}, 15)
	f("120", []float64{2, 9}, 10)
	f("5", []float64{2, 9}, 10)
}

func TestTheAxisOfALineNeedNotBeginAtZero(t *testing.T) {
	m := model(t, "graph_title t\na.label a\n", series("a", 1000, 1010))
	if s := m.YScale(175); s.Low < 990 || s.High > 1020 {
		t.Errorf("the axis goes from %v to %v", s.Low, s.High)
	}
	m = model(t, "graph_title t\na.label a\na.draw AREA\n", series("a", 1000, 1010))
	if s := m.YScale(175); s.Low != 0 {
		t.Errorf("the axis of an area begins at %v", s.Low)
	}
}

func TestTimeTicksFollowTheCalendarWhereClocksChange(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Skip("no time zone data: ", err)
	}
	at := func(day, hour int) time.Time { return time.Date(2026, 3, day, hour, 0, 0, 0, berlin) }
	var got []string
	for _, tick := range chart.TimeTicks(munin.Range{From: at(28, 12), To: at(30, 12)}, berlin, 500, 10) {
		got = append(got, tick.Label)
		if tick.Strong != (tick.At.Hour() == 0) {
			t.Errorf("%v: strong is %v", tick.At, tick.Strong)
		}
	}
	want := []string{"12:00", "18:00", "Sun 29", "06:00", "12:00", "18:00", "Mon 30", "06:00", "12:00"}
	if !slices.Equal(got, want) {
		t.Errorf("ticks are %q, want %q", got, want)
	}
}

func TestTimeTicksOfLongRangesAreWeeksMonthsAndYears(t *testing.T) {
	f := func(span time.Duration, want string) {
		t.Helper()
		var got []string
		for _, tick := range chart.TimeTicks(munin.Range{From: start.Add(-span), To: start}, time.UTC, 400, 10) {
			got = append(got, tick.Label)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%v: %q, want %q", span, got, want)
		}
	}
	const day = 24 * time.Hour
	f(33*day, "2 Feb 9 Feb 16 Feb 23 Feb 2 Mar")
	f(400*day, "Mar May Jul Sep Nov 2026 Mar")
	f(5*365*day, "Jul 2022 Jul 2023 Jul 2024 Jul 2025 Jul 2026")
}
