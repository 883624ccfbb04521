package series_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"corbie/munin"
	"corbie/storage/rollup"
	"corbie/storage/series"
)

func open(tb testing.TB, dir string, opts series.Options) *series.DB {
	tb.Helper()
	db, err := series.Open(dir, opts)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { closeDB(tb, db) })
	return db
}

// lockedLog takes the log of several DBs at once, each of which writes at any time.
type lockedLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func closeDB(tb testing.TB, db *series.DB) {
	tb.Helper()
	if err := db.Close(); err != nil {
		tb.Error(err)
	}
}

func id(host string) munin.SeriesID {
	return munin.SeriesID{Host: munin.HostID(host), Graph: "load", Field: "load"}
}

func add(tb testing.TB, db *series.DB, readings ...munin.Reading) {
	tb.Helper()
	if err := db.Append(tb.Context(), readings); err != nil {
		tb.Fatal(err)
	}
}

// every gives one reading each 5 minutes from so long ago until now, with their minutes as values.
func every(id munin.SeriesID, now time.Time, ago, until time.Duration) []munin.Reading {
	var out []munin.Reading
	for t := now.Add(-ago); t.Before(now.Add(-until)); t = t.Add(5 * time.Minute) {
		out = append(out, munin.Reading{ID: id, Point: munin.Point{T: t.UnixMilli(), V: float64(t.Unix() / 60)}})
	}
	return out
}

func scan(tb testing.TB, db *series.DB, id munin.SeriesID) []munin.Point {
	tb.Helper()
	points, err := scanErr(tb.Context(), db, id)
	if err != nil {
		tb.Fatal(err)
	}
	return points
}

func scanErr(ctx context.Context, db *series.DB, id munin.SeriesID) (out []munin.Point, err error) {
	r := munin.Range{From: time.Now().AddDate(-30, 0, 0), To: time.Now().AddDate(30, 0, 0)}
	err = db.Scan(ctx, []munin.SeriesID{id}, r, func(_ int, points *series.Points) error {
		for p, ok := points.Next(); ok; p, ok = points.Next() {
			out = append(out, p)
		}
		return nil
	})
	return out, err
}

func wantSame(tb testing.TB, got []munin.Point, want []munin.Reading) {
	tb.Helper()
	if len(got) != len(want) {
		tb.Fatalf("got %d samples, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i].Point {
			tb.Fatalf("sample %d is %v, want %v", i, got[i], want[i].Point)
		}
	}
}

// waitFor polls a condition that another goroutine brings about; the TSDB offers no event for it.
func waitFor(t *testing.T, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(30 * time.Second)
	for !condition() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("waited too long until %s", what)
		}
	}
}

func blocks(t *testing.T, db *series.DB) int {
	t.Helper()
	s, err := db.Stat(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s.Blocks
}

func TestRefusedSamplesAreCountedByHostAndReasonAndLoggedOnce(t *testing.T) {
	var log bytes.Buffer
	db := open(t, t.TempDir(), series.Options{Logger: slog.New(slog.NewTextHandler(&log, nil)), Window: 24 * time.Hour})
	now := time.Now()
	at := func(host string, d time.Duration, v float64) munin.Reading {
		return munin.Reading{ID: id(host), Point: munin.Point{T: now.Add(d).UnixMilli(), V: v}}
	}
	add(t, db, at("a", 9*time.Minute, 1), at("a", 12*time.Minute, 1), at("a", 999*time.Hour, 1), at("a", -25*time.Hour, 1))
	add(t, db, at("a", 12*time.Minute, 1), at("b", 12*time.Minute, 1), at("b", -time.Hour, 1), at("b", -time.Hour, 2))
	add(t, db, munin.Reading{ID: munin.SeriesID{Host: "a", Graph: "g"}, Point: munin.Point{T: now.UnixMilli()}})
	add(t, db, at("b", -time.Hour, 3))
	got := make(map[string]int64)
	for _, r := range db.Rejected() {
		got[string(r.Host)+" "+string(r.Reason)] = r.Count
	}
	want := map[string]int64{
		"a " + string(series.TooFarAhead): 3,
		"a " + string(series.TooOld):      1,
		"a " + string(series.Incomplete):  1,
		"b " + string(series.TooFarAhead): 1,
		"b " + string(series.Conflict):    1,
	}
	// Two values for one instant within a batch: the TSDB keeps one and does not say so.
	for key, n := range want {
		if got[key] != n {
			t.Errorf("%s: counted %d, want %d", key, got[key], n)
		}
	}
	if len(got) != len(want) {
		t.Errorf("counted %v", got)
	}
	if n := strings.Count(log.String(), "sample refused"); n != len(want) {
		t.Errorf("logged %d times, want once for each host and reason:\n%s", n, log.String())
	}
	if got := len(scan(t, db, id("a"))) + len(scan(t, db, id("b"))); got != 2 {
		t.Errorf("%d samples stored, want 2", got)
	}
}

func TestAClosedStoreSaysSo(t *testing.T) {
	db := open(t, t.TempDir(), series.Options{})
	add(t, db, every(id("a"), time.Now(), time.Hour, 0)...)
	closeDB(t, db)
	if err := db.Append(t.Context(), every(id("a"), time.Now(), time.Hour, 0)); err == nil {
		t.Error("append after close gave no error")
	}
	if _, err := scanErr(t.Context(), db, id("a")); err == nil {
		t.Error("scan after close gave no error")
	}
	closeDB(t, db)
}

func TestACancelledAppendStoresNothing(t *testing.T) {
	db := open(t, t.TempDir(), series.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := db.Append(ctx, every(id("a"), time.Now(), time.Hour, 0)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if got := scan(t, db, id("a")); len(got) != 0 {
		t.Errorf("stored %v", got)
	}
}

func TestEverythingIsThereAfterARestart(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	want := every(id("a"), now, 40*time.Hour, 0)
	db := open(t, dir, series.Options{})
	add(t, db, want[200:]...)
	add(t, db, want[:200]...) // late
	closeDB(t, db)
	db = open(t, dir, series.Options{})
	wantSame(t, scan(t, db, id("a")), want)
	next := munin.Reading{ID: id("a"), Point: munin.Point{T: now.Add(time.Minute).UnixMilli(), V: 1}}
	add(t, db, next)
	wantSame(t, scan(t, db, id("a")), append(want, next))
}

func TestMetricNamesAreValid(t *testing.T) {
	for graph, want := range map[string]string{
		"cpu": "munin_cpu", "diskstats_iops.sda": "munin_diskstats_iops", "if_eth0-1": "munin_if_eth0_1",
		"": "munin_", "größe": "munin_gr__e",
	} {
		if got := series.MetricName(graph); got != want {
			t.Errorf("%q gives %q, want %q", graph, got, want)
		}
	}
}

func TestExpiredGoesByTheWallClockAndByNewerData(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	const day = 24 * time.Hour
	block := func(ago, length time.Duration) rollup.Span {
		return rollup.Span{From: now.Add(-ago).UnixMilli(), To: now.Add(-ago + length).UnixMilli()}
	}
	var year []rollup.Span // 20 blocks of 27 days: 540 days
	for i := range 20 {
		year = append(year, block(time.Duration(540-27*i)*day, 27*day))
	}
	count := func(gone []bool) (n int) {
		for _, g := range gone {
			if g {
				n++
			}
		}
		return n
	}
	gone := series.Expired(year, 400*day, now)
	if count(gone) != 5 || !gone[0] || !gone[4] {
		t.Errorf("of 540 days with 400 to keep %v go", gone)
	}
	if n := count(series.Expired(year, 0, now)); n != 0 {
		t.Errorf("without a limit %d go", n)
	}
	// The clock of the master stands three years ahead, and it has stored a day of samples with such times.
	ahead := now.AddDate(3, 0, 0)
	odd := append(year, rollup.Span{From: ahead.Add(-day).UnixMilli(), To: ahead.UnixMilli()})
	if n := count(series.Expired(odd, 400*day, ahead)); n > 6 {
		t.Errorf("with a clock three years ahead %d of 20 blocks go", n)
	}
	// Now the clock is right again: the block from the future must not count.
	if n := count(series.Expired(odd, 400*day, now)); n != 5 {
		t.Errorf("with a block from the future %d go, want 5", n)
	}
	// A history that nothing was added to for years stays.
	if n := count(series.Expired(year[:2], 30*day, now.AddDate(5, 0, 0))); n > 1 {
		t.Errorf("of an abandoned history %d of 2 blocks go", n)
	}
	// Overlapping blocks cover their time once.
	same := []rollup.Span{block(100*day, 10*day), block(10*day, 9*day), block(10*day, 9*day), block(10*day, 9*day), block(10*day, 9*day)}
	if n := count(series.Expired(same, 40*day, now)); n != 0 {
		t.Errorf("blocks of the same 9 days counted several times: %d go", n)
	}
}

func TestRetentionRemovesOldBlocks(t *testing.T) {
	dir := t.TempDir()
	now := time.Now().Truncate(time.Minute)
	old, young := every(id("a"), now, 100*24*time.Hour, 35*24*time.Hour), every(id("a"), now, 35*24*time.Hour, time.Hour)
	writeBlocks(t, dir, append(old, young...))
	db := open(t, dir, series.Options{Retention: 40 * 24 * time.Hour})
	got := scan(t, db, id("a"))
	if len(got) < len(young) || len(got) >= len(young)+len(old) {
		t.Errorf("%d of %d samples are left, %d are young enough", len(got), len(old)+len(young), len(young))
	}
}

func TestWriteBlocksCanBeReadAndAddedTo(t *testing.T) {
	dir := t.TempDir()
	now := time.Now().Truncate(time.Minute)
	want := every(id("web;a"), now, 400*24*time.Hour, 24*time.Hour)
	want[7].V = math.Inf(1) // unknown
	writeBlocks(t, dir, want)
	db := open(t, dir, series.Options{})
	got := scan(t, db, id("web;a"))
	if len(got) != len(want) || !math.IsNaN(got[7].V) {
		t.Fatalf("got %d samples, want %d; the eighth is %v", len(got), len(want), got[7])
	}
	more := every(id("web;a"), now, 24*time.Hour, 0)
	add(t, db, more...)
	if got := scan(t, db, id("web;a")); len(got) != len(want)+len(more) {
		t.Errorf("with %d more there are %d", len(more), len(got))
	}
	if err := series.WriteBlocks(t.Context(), t.TempDir(), func(yield func(munin.Reading) bool) {
		_ = yield(want[len(want)-1]) && yield(want[0])
	}); err == nil {
		t.Error("readings in the wrong order gave no error")
	}
}

func writeBlocks(tb testing.TB, dir string, readings []munin.Reading) {
	tb.Helper()
	err := series.WriteBlocks(tb.Context(), dir, func(yield func(munin.Reading) bool) {
		for _, r := range readings {
			if !yield(r) {
				return
			}
		}
	})
	if err != nil {
		tb.Fatal(err)
	}
}

func blockDirs(t *testing.T, dir string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "0*", "meta.json"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range found {
		found[i] = filepath.Dir(found[i])
	}
	return found
}

func TestDamagedBlocksAreSetAsideAndTheRestIsRead(t *testing.T) {
	now := time.Now().Truncate(time.Minute)
	all := every(id("a"), now, 100*24*time.Hour, 24*time.Hour)
	for name, damage := range map[string]func(block string) error{
		"meta.json is missing": func(block string) error { return os.Remove(filepath.Join(block, "meta.json")) },
		"meta.json is empty":   func(block string) error { return os.Truncate(filepath.Join(block, "meta.json"), 0) },
		"meta.json is cut":     func(block string) error { return os.Truncate(filepath.Join(block, "meta.json"), 40) },
		"meta.json is of another": func(block string) error {
			return os.WriteFile(filepath.Join(block, "meta.json"), []byte(`{"ulid":"01ARZ3NDEKTSV4RRFFQ69G5FAV","version":1}`), 0o600)
		},
		"index is cut":       func(block string) error { return os.Truncate(filepath.Join(block, "index"), 100) },
		"index is missing":   func(block string) error { return os.Remove(filepath.Join(block, "index")) },
		"chunks are missing": func(block string) error { return os.RemoveAll(filepath.Join(block, "chunks")) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			writeBlocks(t, dir, all)
			found := blockDirs(t, dir)
			if len(found) < 3 {
				t.Fatalf("only %d blocks", len(found))
			}
			if err := damage(found[1]); err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			db := open(t, dir, series.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			aside := db.Quarantined()
			if len(aside) != 1 || filepath.Base(aside[0].Path) != filepath.Base(found[1]) {
				t.Fatalf("set aside %v, want %s", aside, found[1])
			}
			if _, err := os.Stat(aside[0].Path); err != nil {
				t.Error(err)
			}
			if !strings.Contains(log.String(), "damaged block set aside") {
				t.Errorf("the log does not say so: %s", log.String())
			}
			got := scan(t, db, id("a"))
			if len(got) < len(all)/3 || len(got) >= len(all) || got[len(got)-1] != all[len(all)-1].Point || got[0] != all[0].Point {
				t.Errorf("%d of %d samples can be read", len(got), len(all))
			}
			add(t, db, every(id("a"), now, time.Hour, 0)...)
		})
	}
}

func TestBadMachineIsNotTheBlocksFault(t *testing.T) {
	dir := t.TempDir()
	writeBlocks(t, dir, every(id("a"), time.Now(), 24*time.Hour, time.Hour))
	block := blockDirs(t, dir)[0]
	if os.Geteuid() == 0 {
		// Root may read everything, so a folder stands where the index is.
		if err := errors.Join(os.Remove(filepath.Join(block, "meta.json")), os.Mkdir(filepath.Join(block, "meta.json"), 0o700)); err != nil {
			t.Fatal(err)
		}
	} else if err := os.Chmod(filepath.Join(block, "meta.json"), 0); err != nil {
		t.Fatal(err)
	}
	db, err := series.Open(dir, series.Options{})
	if err == nil {
		closeDB(t, db)
		t.Error("no error")
	}
	if _, err := os.Stat(block); err != nil {
		t.Errorf("the block was moved: %v", err)
	}
}
