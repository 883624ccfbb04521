package remote_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"corbie/munin"
	"corbie/storage/remote"
	"corbie/storage/storagetest/engine"
)

// BenchmarkMillion is what series cost in an engine and in the master, scaled to a million: 50,000 series, two hours in steps of 5 minutes.
func BenchmarkMillion(b *testing.B) {
	for _, kind := range []remote.Engine{remote.VictoriaMetrics, remote.Prometheus} {
		b.Run(string(kind), func(b *testing.B) {
			for b.Loop() {
				million(b, kind)
			}
		})
	}
}

func million(b *testing.B, kind remote.Engine) {
	b.Helper()
	const hosts, fields, ticks = 500, 100, 24
	start := engine.Prometheus
	if kind == remote.VictoriaMetrics {
		start = engine.VictoriaMetrics
	}
	e := start(b)
	store, _ := open(b, b.TempDir(), remote.Options{Target: target(kind, e.URL)})
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, idle, begun := heap(), e.Usage(b), time.Now()
	first := time.Now().Add(-ticks * 5 * time.Minute).Truncate(5 * time.Minute)
	for tick := range ticks {
		at := first.Add(time.Duration(tick) * 5 * time.Minute).UnixMilli()
		for host := range hosts {
			list := make([]munin.Reading, fields)
			for f := range list {
				list[f].ID = munin.SeriesID{Host: munin.HostID(fmt.Sprintf("web;www%04d", host)), Graph: "load", Field: fmt.Sprintf("field%03d", f)}
				list[f].Point = munin.Point{T: at, V: float64(tick*(host+f) + tick*tick%7)}
			}
			if err := store.Append(b.Context(), list); err != nil {
				b.Fatal(err)
			}
		}
	}
	eventually(b, "all is sent", func() bool { return store.State().Queued == 0 })
	took := time.Since(begun)
	e.Flush(b)
	used := e.Usage(b)
	const series, samples = hosts * fields, hosts * fields * ticks
	b.ReportMetric(samples/took.Seconds(), "samples/s")
	b.ReportMetric(float64((used.CPU-idle.CPU).Nanoseconds())/samples, "engine-ns/sample")
	b.ReportMetric(float64(used.Resident-idle.Resident)/series, "engine-B/series")
	b.ReportMetric(float64(used.Disk-idle.Disk)/samples, "disk-B/sample")
	b.ReportMetric(float64(heap()-before)/series, "master-B/series")
}

// BenchmarkFiveYears draws five years of a value each 5 minutes from raw samples: of one field, and of a graph with four.
func BenchmarkFiveYears(b *testing.B) {
	for _, kind := range []remote.Engine{remote.VictoriaMetrics, remote.Prometheus} {
		b.Run(string(kind), func(b *testing.B) {
			start := engine.Prometheus
			if kind == remote.VictoriaMetrics {
				start = engine.VictoriaMetrics
			}
			e := start(b)
			store, _ := open(b, b.TempDir(), remote.Options{
				Target: target(kind, e.URL), Window: 6 * 366 * 24 * time.Hour, QueueAge: 6 * 366 * 24 * time.Hour,
				Connections: 1,
			}) // Prometheus takes nothing that is older than its window for late samples
			to := time.Now().Truncate(24 * time.Hour)
			from := to.AddDate(-5, 0, 0)
			graphs := map[string]int{"one": 1, "four": 4}
			for at := from; at.Before(to); {
				var list []munin.Reading
				for n := 0; n < 2000 && at.Before(to); n++ {
					for graph, fields := range graphs {
						for f := range fields {
							id := munin.SeriesID{Host: "web;www1", Graph: graph, Field: fmt.Sprint("field", f)}
							list = append(list, munin.Reading{ID: id, Point: munin.Point{T: at.UnixMilli(), V: float64(at.Unix()/300*int64(f+1) + int64(n%7))}})
						}
					}
					at = at.Add(5 * time.Minute)
				}
				if err := store.Append(b.Context(), list); err != nil {
					b.Fatal(err)
				}
			}
			for waits := int64(1); waits > 0; {
				last := store.State().Queued
				eventually(b, "more is sent", func() bool { waits = store.State().Queued; return waits == 0 || waits < last })
			}
			e.Flush(b)
			for graph, fields := range graphs {
				b.Run(graph, func(b *testing.B) {
					b.ReportAllocs()
					var sources []munin.Source
					for f := range fields {
						id := munin.SeriesID{Host: "web;www1", Graph: graph, Field: fmt.Sprint("field", f)}
						sources = append(sources, munin.Source{ID: id, Type: munin.Derive, Heartbeat: 10 * time.Minute})
					}
					before := e.Usage(b).CPU
					n := 0
					for b.Loop() {
						n++
						got, err := store.Query(b.Context(), sources, munin.Range{From: from, To: to}, 24*time.Hour)
						if err != nil || got[0].Buckets[1000].Count != 288 {
							b.Fatal(err, got[0].Buckets[1000])
						}
					}
					b.ReportMetric(float64(e.Usage(b).CPU-before)/float64(n)/1e6, "engine-ms/op")
				})
			}
		})
	}
}
