package storage_test

import (
	"fmt"
	"math"
	"strconv"
	"testing"
	"time"

	"corbie/munin"
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

// BenchmarkBackfill writes a year of ten fields.
func BenchmarkBackfill(b *testing.B) {
	to := time.Now().Truncate(time.Hour)
	r := munin.Range{From: to.AddDate(-1, 0, 0), To: to}
	for b.Loop() {
		_, values := storagetest.Fleet(1, 10)
		if err := storagetest.Backfill(b.TempDir(), values, r, 5*time.Minute); err != nil {
			b.Fatal(err)
		}
	}
}
