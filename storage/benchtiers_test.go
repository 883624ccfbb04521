package storage_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"corbie/munin"
	"corbie/storage"
)

func rollUpAll(b *testing.B, s *storage.Samples, sources []munin.Source) {
	b.Helper()
	known := make(map[munin.SeriesID]munin.Source)
	for _, source := range sources {
		known[source.ID] = source
	}
	began := time.Now()
	result, err := s.RollUp(b.Context(), func(_ context.Context, id munin.SeriesID) (munin.Source, error) { return known[id], nil })
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("rolled up %d samples in %s", result.Samples, time.Since(began).Round(time.Millisecond))
}

// BenchmarkQueryTiers reads 50 series: a year of hours and five years of days, made of 5-minute samples.
func BenchmarkQueryTiers(b *testing.B) {
	sources := benchSources(50)
	for _, c := range []struct {
		name  string
		years int
		step  time.Duration
	}{{"year-of-hours", 1, 6 * time.Hour}, {"year-of-hours-each", 1, time.Hour}, {"five-years-of-days", 5, 2 * 24 * time.Hour}} {
		b.Run(fmt.Sprintf("%s/series=%d", c.name, len(sources)), func(b *testing.B) {
			s, r := yearsOf(b, sources, c.years)
			rollUpAll(b, s, sources)
			b.ReportAllocs()
			for b.Loop() {
				got, err := s.Query(b.Context(), sources, r, c.step)
				if err != nil || got[49].Buckets[100].Count != int(c.step/(5*time.Minute)) {
					b.Fatal(err, got[49].Buckets[100])
				}
			}
		})
	}
}
