package catalog_test

import (
	"fmt"
	"testing"
	"time"

	"corbie/munin"
)

// BenchmarkRecord stores what each poll says: the same 30 graphs as ever.
func BenchmarkRecord(b *testing.B) {
	c := fresh(b)
	var names []string
	for i := range 30 {
		names = append(names, fmt.Sprint("graph", i))
	}
	p := answer("web;a", start(), names...)
	b.ReportAllocs()
	for b.Loop() {
		p.Start = p.Start.Add(time.Minute)
		must(b, c.Record(b.Context(), p))
	}
}

// BenchmarkSaveStates stores changed states, flushed to the disk.
func BenchmarkSaveStates(b *testing.B) {
	for _, n := range []int{1, 1000} {
		b.Run(fmt.Sprintf("states=%d", n), func(b *testing.B) {
			c := fresh(b)
			states := make([]munin.AlertState, n)
			for i := range states {
				states[i] = munin.AlertState{ID: munin.SeriesID{Host: "web;a", Graph: "df", Field: fmt.Sprint(i)}, Since: start(), Reason: "x"}
			}
			for b.Loop() {
				for i := range states {
					states[i].Value++ // SQLite writes nothing where nothing changed
				}
				must(b, c.SaveStates(b.Context(), states))
			}
		})
	}
}
