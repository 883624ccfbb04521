package storage_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"corbie/munin"
	"corbie/storage"
)

// restartSeries is how many series the benchmarks of a large store have: CORBIE_BENCH_SERIES, else a tenth of a million.
func restartSeries(b *testing.B) int {
	b.Helper()
	text := os.Getenv("CORBIE_BENCH_SERIES")
	if text == "" {
		return 100_000
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// BenchmarkRestart opens a store that holds twelve hours of 5-minute samples in its log: as much as there can be before blocks are cut.
func BenchmarkRestart(b *testing.B) {
	n := restartSeries(b)
	sources := benchSources(n)
	dir := b.TempDir()
	s, err := storage.Open(dir, storage.Options{})
	if err != nil {
		b.Fatal(err)
	}
	begin := time.Now().Truncate(8 * time.Hour).Add(-11*time.Hour - 30*time.Minute)
	const hostFields, slots = 100, 138
	batch := make([]munin.Reading, hostFields)
	for slot := range slots {
		at := begin.Add(time.Duration(slot) * 5 * time.Minute).UnixMilli()
		for host := 0; host < n; host += hostFields {
			for i := range batch {
				v := float64(host+i) + float64(slot*(i+1))
				batch[i] = munin.Reading{ID: sources[host+i].ID, Point: munin.Point{T: at, V: v}}
			}
			if err := s.Append(b.Context(), batch); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(resident(b))/float64(n), "B-resident/series")
	crashed := b.TempDir()
	if err := os.CopyFS(crashed+"/d", os.DirFS(dir)); err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(time.Since(began).Seconds(), "s-stop")
	for name, at := range map[string]string{"s-start-after-stop": dir, "s-start-after-kill": crashed + "/d"} {
		began, used := time.Now(), processor(b)
		s, err := storage.Open(at, storage.Options{})
		if err != nil {
			b.Fatal(err)
		}
		got, err := s.Latest(b.Context(), sources[:100], begin.Add(slots*5*time.Minute))
		if err != nil || got[7].V != got[7].V {
			b.Fatal(err, got[7])
		}
		b.ReportMetric(time.Since(began).Seconds(), name)
		b.ReportMetric((processor(b) - used).Seconds(), strings.Replace(name, "s-", "cpu-s-", 1))
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n), "series")
}

// processor is the processor time that this process has used: on a machine with much else to do it says more than the clock.
func processor(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// resident is the memory that this process holds.
func resident(b *testing.B) int64 {
	b.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Fatal(err)
	}
	var size, pages int64
	if _, err := fmt.Sscan(string(text), &size, &pages); err != nil {
		b.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}
