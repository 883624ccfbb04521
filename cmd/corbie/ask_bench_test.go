package main

import (
	"fmt"
	"math"
	"testing"
	"time"
)

// question is one that pages ask: the fields of a graph or of fifty, over years, in steps.
type question struct {
	what   string
	years  int
	count  int           // of fields
	step   time.Duration // decides what is read: steps of whole hours or days are made of those
	aim    time.Duration
	metric string
}

func questions() []question {
	const hour = time.Hour
	raw := 10*hour + 55*time.Minute
	return []question{
		{"a year of 1 field, from raw values", 1, 1, raw, 3 * time.Millisecond, "ms/year-1-raw"},
		{"a year of 50 fields, from raw values", 1, askedCount, raw, 120 * time.Millisecond, "ms/year-50-raw"},
		{"a year of 1 field, from hours", 1, 1, 6 * hour, 0, ""},
		{"a year of 50 fields, from hours", 1, askedCount, 6 * hour, 35 * time.Millisecond, "ms/year-50-hours"},
		{"five years of 1 field, from days", 5, 1, 48 * hour, 0, ""},
		{"five years of 50 fields, from days", 5, askedCount, 48 * hour, 40 * time.Millisecond, "ms/5years-50-days"},
	}
}

// askAll asks each question of each store, and prints how long the answers take at best, everything in memory.
func askAll(b *testing.B, years []*history, files *rrdFiles, engine *victoria) {
	b.Helper()
	t := sheet()
	fmt.Fprint(t, "\na graph with average, least, greatest; warm, quickest of some\tsteps\tcorbie\tprocessor\taim\trrdtool xport, huge\tVictoriaMetrics\t\n")
	for _, q := range questions() {
		h := years[min(q.years-1, 1)]
		steps := int(h.r.Duration() / q.step)
		took, used := h.time(b, q)
		beside := func(other time.Duration) string {
			if other == 0 {
				return ""
			}
			return fmt.Sprintf("%s: %.1f times", inMS(other), float64(other)/float64(took))
		}
		aim := ""
		if q.aim > 0 {
			aim = inMS(q.aim)
			b.ReportMetric(float64(took.Microseconds())/1000, q.metric)
		}
		var rrd time.Duration
		if q.years == 1 { // that is what the files keep
			rrd = files.time(b, h.r, q)
		}
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\t%s\t%s\t\n", q.what, steps, inMS(took), inMS(used), aim, beside(rrd), beside(engine.time(b, h.r, q)))
	}
	flush(b, t)
}

func inMS(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }

// time asks our store: the least time on the clock, and the processor time of one answer on average.
func (h *history) time(b *testing.B, q question) (took, used time.Duration) {
	b.Helper()
	ask := func() {
		got, err := h.store.Query(b.Context(), h.sources[:q.count], h.r, q.step)
		must(b, err)
		// The middle of each is complete.
		want := int(q.step / yearStep)
		for i := range got {
			if n := got[i].Buckets[len(got[i].Buckets)/2].Count; n != want {
				b.Fatalf("%s: a step of %s has %d values, want %d", q.what, got[i].ID, n, want)
			}
		}
	}
	ask()
	before := processor(b)
	took, times := quickest(ask)
	return took, (processor(b) - before) / time.Duration(times)
}

// quickest is how long a call takes when nothing disturbs it: the least of five to 25 times, as many as there are in three seconds.
func quickest(call func()) (took time.Duration, times int) {
	const least, most, long = 5, 25, 3 * time.Second
	took = math.MaxInt64
	for first := time.Now(); times < least || times < most && time.Since(first) < long; times++ {
		began := time.Now()
		call()
		took = min(took, time.Since(began))
	}
	return took, times
}
