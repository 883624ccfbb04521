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
