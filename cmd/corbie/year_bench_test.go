package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"corbie/munin"
	"corbie/storage"
	"corbie/storage/series"
	"corbie/storage/storagetest"
)

const (
	yearSeed   = 9
	yearStep   = 5 * time.Minute
	askedCount = 50  // how many fields the larger questions ask for
	liveFields = 200 // how many a master's store takes poll by poll
)

// history is generated samples in a store of ours, with hours and days.
type history struct {
	fields int
	r      munin.Range
	dir    string

	sources []munin.Source
	store   *storage.Samples
}

// newHistory makes the samples of a number of fields up to today.
func newHistory(b *testing.B, fields, years int) *history {
	b.Helper()
	to := time.Now().Truncate(24 * time.Hour)
	h := &history{fields: fields, r: munin.Range{From: to.AddDate(0, 0, -365*years), To: to}, dir: b.TempDir()}
	var values map[munin.SeriesID]func(time.Time) float64
	h.sources, values = storagetest.Fleet(yearSeed, fields)
	must(b, storagetest.Backfill(h.dir, values, h.r, yearStep))
	var err error
	if h.store, err = storage.Open(h.dir, storage.Options{}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { must(b, h.store.Close()) })
	known := make(map[munin.SeriesID]munin.Source)
	for _, s := range h.sources {
		known[s.ID] = s
	}
	_, err = h.store.RollUp(b.Context(), func(_ context.Context, id munin.SeriesID) (munin.Source, error) { return known[id], nil })
	must(b, err)
	return h
}

// samples is how many there are of each field.
func (h *history) samples() float64 { return float64(h.r.Duration() / yearStep) }

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// BenchmarkYears keeps a year of 5-minute values of 2,000 fields (CORBIE_BENCH_FIELDS says otherwise) in our store, in VictoriaMetrics and, for some
// of them, in RRD files as munin-update makes them; then it asks all three for the graphs of a year, and of five years. It prints what the
// values take on the disk and how long the answers take.
func BenchmarkYears(b *testing.B) {
	fields := 2000
	if text := os.Getenv("CORBIE_BENCH_FIELDS"); text != "" {
		var err error
		fields, err = strconv.Atoi(text)
		must(b, err)
	}
	fields = max(fields, askedCount)
	for b.Loop() {
		years := []*history{newHistory(b, fields, 1), newHistory(b, 2*askedCount, 5)}
		files, dir := newRRDFiles(b, years[0]), b.TempDir()
		engine := startVictoria(b, dir)
		engine.take(b, "year", years[0], fields)
		years[0].printDisk(b, files, engine.stop(b))
		engine = startVictoria(b, dir)
		engine.take(b, "fiveyears", years[1], askedCount)
		askAll(b, years, files, engine)
	}
}

// printDisk prints what a year takes, where VictoriaMetrics takes so many bytes for all of it.
func (h *history) printDisk(b *testing.B, files *rrdFiles, engine float64) {
	b.Helper()
	t := sheet()
	samples, fields := h.samples(), float64(h.fields)
	row := func(what string, kB float64, kept string, per float64, note string) {
		fmt.Fprintf(t, "%s\t%.1f kB\t%s\t%.2f B\t%s\t\n", what, kB/1000, kept, per, note)
	}
	fmt.Fprintf(t, "\na year of %d fields, on the disk\ta field\traw values of\ta raw value\taim\t\n", h.fields)
	written := treeBytes(b, storage.RawDir(h.dir)) / fields
	live, same := liveDisk(b)
	raw := written * live / same
	hours, days := treeBytes(b, filepath.Join(h.dir, "hour"))/fields, treeBytes(b, filepath.Join(h.dir, "day"))/fields
	row("corbie, raw", raw, "a year", raw/samples, "3.6 B a value")
	row("corbie, hours", hours, "", hours/samples, "85 kB")
	row("corbie, days", days, "", days/samples, "9 kB")
	row("corbie, all three", raw+hours+days, "a year", (raw+hours+days)/samples, "")
	if files != nil {
		row("RRD file, normal", files.normal, "2 days", files.normal/(2*288), "")
		row("RRD file, huge", files.huge, "400 days", files.huge/hugeRows, "")
	}
	if engine > 0 {
		row("VictoriaMetrics", engine/fields, "a year", engine/fields/samples, "")
	}
	flush(b, t)
	fmt.Printf("raw as a master leaves it after its merges: %+.1f %% of the %.1f kB that these fields take written at once, measured with %d fields, poll by poll\n",
		100*(live/same-1), written/1000, liveFields)
	if files != nil {
		fmt.Printf("an RRD file keeps average, least and greatest of each value: a huge one takes %.1f times our raw values of the same 400 days (aim: 7)\n",
			files.huge/hugeRows/(raw/samples))
	}
	b.ReportMetric(raw/samples, "B/value")
	b.ReportMetric(hours/1000, "kB/hours")
	b.ReportMetric(days/1000, "kB/days")
}

// liveDisk has a master's store take some fields poll by poll, as time goes by, until it has merged them into two blocks of 27 days. It compares
// the bytes of these with those of the same values when they are written at once.
func liveDisk(b *testing.B) (grown, written float64) {
	b.Helper()
	const perHost, block = 100, 27 * 24 * time.Hour
	from := time.Unix(0, time.Now().UnixNano()/int64(block)*int64(block)).Add(-3 * block)
	sources, values := storagetest.Fleet(yearSeed, liveFields)
	dir, now := b.TempDir(), atomic.Int64{}
	clock := func() time.Time { return time.UnixMilli(now.Load()) }
	now.Store(from.UnixMilli())
	db, err := series.Open(dir, series.Options{Now: clock, Work: 50 * time.Millisecond})
	must(b, err)
	batch := make([]munin.Reading, perHost)
	for t := from; t.Before(from.Add(2*block + 24*time.Hour)); t = t.Add(yearStep) {
		now.Store(t.UnixMilli())
		for host := 0; host < liveFields; host += perHost {
			for i := range batch {
				id := sources[host+i].ID
				batch[i] = munin.Reading{ID: id, Point: munin.Point{T: t.UnixMilli(), V: values[id](t)}}
			}
			must(b, db.Append(b.Context(), batch))
		}
	}
	for deadline := time.Now().Add(5 * time.Minute); blocksOf(b, db, block) < 2; <-time.After(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.Fatal("the blocks are not merged")
		}
	}
	must(b, db.Close())
	grown = largeBlocks(b, dir, block)

	_, values = storagetest.Fleet(yearSeed, liveFields)
	dir = b.TempDir()
	must(b, storagetest.Backfill(dir, values, munin.Range{From: from, To: from.Add(2 * block)}, yearStep))
	return grown, treeBytes(b, storage.RawDir(dir))
}

// blocksOf counts the finished blocks of a length.
func blocksOf(b *testing.B, db *series.DB, length time.Duration) (n int) {
	b.Helper()
	blocks, _, err := db.Finished()
	must(b, err)
	for _, one := range blocks {
		if one.Span.To-one.Span.From == length.Milliseconds() {
			n++
		}
	}
	return n
}

// largeBlocks are the bytes of the blocks of a length below a folder.
func largeBlocks(b *testing.B, dir string, length time.Duration) (total float64) {
	b.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*", "meta.json"))
	must(b, err)
	for _, name := range names {
		var meta struct{ MinTime, MaxTime int64 }
		text, err := os.ReadFile(name)
		must(b, err)
		must(b, json.Unmarshal(text, &meta))
		if meta.MaxTime-meta.MinTime == length.Milliseconds() {
			total += treeBytes(b, filepath.Dir(name))
		}
	}
	return total
}

// treeBytes are the sizes of the files below a folder, without logs.
func treeBytes(b *testing.B, dir string) (total float64) {
	b.Helper()
	must(b, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || filepath.Base(filepath.Dir(path)) == "wal" || e.Name() == "reserve" {
			return err
		}
		info, err := e.Info()
		if err == nil {
			total += float64(info.Size())
		}
		return err
	}))
	return total
}

// processor is the processor time that this process has used.
func processor(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
