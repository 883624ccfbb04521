package storage_test

import (
	"fmt"
	"math"
	"strconv"
	"testing"
	"time"

	"corbie/munin"
	"corbie/storage"
	"corbie/storage/storagetest"
)

// benchSources are fields of 5-minute samples, ten to a graph; every other one is a counter.
func benchSources(n int) []munin.Source {
	out := make([]munin.Source, n)
	for i := range out {
		out[i] = munin.Source{
			ID: munin.SeriesID{
				Host:  munin.HostID("web;host" + strconv.Itoa(i/100)),
				Graph: "graph" + strconv.Itoa(i/10%10), Field: "field" + strconv.Itoa(i%10),
			},
			Type:      []munin.FieldType{munin.Gauge, munin.Derive}[i%2],
			Heartbeat: 630 * time.Second,
		}
	}
	return out
}

// BenchmarkAppend stores what one host says in one poll: 100 values.
func BenchmarkAppend(b *testing.B) {
	s := open(b, b.TempDir())
	names := newLargeNames()
	const hosts, fields = 100, largeHostFields
	begin := time.Now().Add(-6 * 24 * time.Hour)
	batch := make([]munin.Reading, fields)
	b.ReportAllocs()
	n := 0
	used := processor(b)
	for b.Loop() {
		names.poll(batch, n%hosts, n/hosts, begin.Add(time.Duration(n/hosts)*10*time.Second))
		if err := s.Append(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
		n++
	}
	spent := processor(b) - used
	b.ReportMetric(float64(spent.Nanoseconds())/float64(n*fields), "cpu-ns/sample")
	b.ReportMetric(float64(n*fields)/spent.Seconds(), "samples/cpu-s")
}

func yearOf(b *testing.B, sources []munin.Source) (*storage.Samples, munin.Range) {
	b.Helper()
	return yearsOf(b, sources, 1)
}

func yearsOf(b *testing.B, sources []munin.Source, years int) (*storage.Samples, munin.Range) {
	b.Helper()
	dir := b.TempDir()
	to := time.Now().Truncate(time.Hour)
	r := munin.Range{From: to.Add(-time.Duration(years) * 365 * 24 * time.Hour), To: to}
	values := make(map[munin.SeriesID]func(time.Time) float64)
	for i, source := range sources {
		values[source.ID] = func(t time.Time) float64 {
			if source.Type.IsRate() {
				return float64(t.Unix()) * float64(1000+i)
			}
			return math.Round(1e9 + 1e8*math.Sin(float64(t.Unix())/86400+float64(i)))
		}
	}
	if err := storagetest.Backfill(dir, values, r, 5*time.Minute); err != nil {
		b.Fatal(err)
	}
	return open(b, dir), r
}

// BenchmarkQueryYear reads a year of 5-minute samples for a picture of 800 steps.
func BenchmarkQueryYear(b *testing.B) {
	for _, n := range []int{1, 50} {
		b.Run(fmt.Sprintf("series=%d", n), func(b *testing.B) {
			sources := benchSources(n)
			s, r := yearOf(b, sources)
			b.ReportAllocs()
			for b.Loop() {
				got, err := s.Query(b.Context(), sources, r, 11*time.Hour)
				if err != nil || got[0].Buckets[400].Count != 132 {
					b.Fatal(err, got[0].Buckets[400])
				}
			}
		})
	}
}

// BenchmarkLatest reads the newest values of one host, as is done after each poll, and of all.
func BenchmarkLatest(b *testing.B) {
	s := open(b, b.TempDir())
	sources := benchSources(10_000)
	now := time.Now()
	for n := range 36 {
		batch := make([]munin.Reading, len(sources))
		for i, source := range sources {
			batch[i] = munin.Reading{ID: source.ID, Point: munin.Point{T: now.Add(time.Duration(n-36) * 5 * time.Minute).UnixMilli(), V: float64(n * i)}}
		}
		if err := s.Append(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	for _, n := range []int{100, 10_000} {
		b.Run(fmt.Sprintf("series=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				got, err := s.Latest(b.Context(), sources[:n], now)
				if err != nil || math.IsNaN(got[n-1].V) {
					b.Fatal(err, got[n-1])
				}
			}
		})
	}
}

// BenchmarkBackfill writes a year of one series.
func BenchmarkBackfill(b *testing.B) {
	sources := benchSources(1)
	for b.Loop() {
		yearOf(b, sources)
	}
}
