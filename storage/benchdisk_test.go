package storage_test

import (
	"io/fs"
	"math"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"corbie/munin"
	"corbie/storage"
	"corbie/storage/storagetest"
)

// muninMix is what fields of real plugins look like, by twenties: counters busy and quiet, large and small gauges, percentages, constants,
// noise. Each function is called with ever later times.
func muninMix(i int) (munin.FieldType, func(time.Time) float64) {
	rng := rand.New(rand.NewPCG(uint64(i), 9)) //nolint:gosec // an index
	total, level := 0.0, rng.Float64()*1e9
	switch i % 20 {
	case 0, 1, 2, 3, 4, 5:
		return munin.Derive, func(time.Time) float64 { total += float64(rng.IntN(3_000_000)); return total }
	case 6, 7:
		return munin.Derive, func(time.Time) float64 { total += float64(rng.IntN(30) / 28); return total }
	case 8, 9, 10:
		return munin.Gauge, func(time.Time) float64 { level += float64(rng.IntN(2_000_000) - 1_000_000); return math.Round(level) }
	case 11, 12:
		return munin.Gauge, func(time.Time) float64 { return float64(100 + rng.IntN(20)) }
	case 13, 14:
		return munin.Gauge, func(time.Time) float64 { return math.Round(rng.Float64()*400) / 100 }
	case 15, 16, 17:
		return munin.Gauge, func(time.Time) float64 { return 42 }
	case 18:
		return munin.Gauge, func(t time.Time) float64 { return math.Round(float64(t.Unix()%31_536_000)/315_360) / 1 }
	}
	return munin.Gauge, func(time.Time) float64 { return rng.NormFloat64() }
}

// BenchmarkDisk stores a year of 5-minute samples of 200 fields and says what a sample and a year of a field take on the disk.
func BenchmarkDisk(b *testing.B) {
	for b.Loop() {
		dir := b.TempDir()
		sources := benchSources(200)
		values := make(map[munin.SeriesID]func(time.Time) float64)
		for i := range sources {
			sources[i].Type, values[sources[i].ID] = muninMix(i)
		}
		to := time.Now().Truncate(day)
		r := munin.Range{From: to.Add(-365 * day), To: to}
		if err := storagetest.Backfill(dir, values, r, 5*time.Minute); err != nil {
			b.Fatal(err)
		}
		s := open(b, dir)
		rollUpAll(b, s, sources)
		years := float64(len(sources))
		raw := float64(bytesIn(b, storage.RawDir(dir)))
		b.ReportMetric(raw/years/365/288, "B/sample")
		b.ReportMetric(raw/years/1000, "kB/series-year-raw")
		b.ReportMetric(float64(bytesIn(b, filepath.Join(dir, "hour")))/years/1000, "kB/series-year-hours")
		b.ReportMetric(float64(bytesIn(b, filepath.Join(dir, "day")))/years/1000, "kB/series-year-days")
	}
}

// bytesIn counts the bytes of the blocks below a folder.
func bytesIn(b *testing.B, dir string) (total int64) {
	b.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || filepath.Base(filepath.Dir(path)) == "wal" || e.Name() == "reserve" {
			return err
		}
		info, err := e.Info()
		if err == nil {
			total += info.Size()
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return total
}
