package series_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"corbie/munin"
	"corbie/storage/series"
)

func openReadOnly(tb testing.TB, dir string) *series.DB {
	tb.Helper()
	db, err := series.OpenReadOnly(dir, series.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { closeDB(tb, db) })
	return db
}

func TestAReaderSeesEverythingStoredBesideARunningWriter(t *testing.T) {
	dir := t.TempDir()
	now := time.Now().Truncate(time.Minute)
	db := open(t, dir, series.Options{})
	want := every(id("web;a"), now, 3*time.Hour, 0)
	add(t, db, want...)
	add(t, db, every(id("web;b"), now, time.Hour, 0)...)
	lateOnes := every(id("web;b"), now, 5*24*time.Hour, time.Hour)
	add(t, db, lateOnes...)
	reader := openReadOnly(t, dir)
	wantSame(t, scan(t, reader, id("web;a")), want)
	if got := scan(t, reader, id("web;b")); len(got) != len(lateOnes)+12 {
		t.Errorf("got %d samples of the late host, want %d", len(got), len(lateOnes)+12)
	}
	if err := reader.Append(t.Context(), want); err == nil {
		t.Error("the reader could append")
	}
	// The writer goes on undisturbed, and the next reader sees it.
	more := munin.Reading{ID: id("web;a"), Point: munin.Point{T: now.Add(time.Minute).UnixMilli(), V: 1}}
	add(t, db, more)
	wantSame(t, scan(t, db, id("web;a")), append(want, more))
	wantSame(t, scan(t, openReadOnly(t, dir), id("web;a")), append(want, more))
	closeDB(t, db)
	wantSame(t, scan(t, openReadOnly(t, dir), id("web;a")), append(want, more))
}

// A block of late samples reaches to the end of its 8 hours, past samples that are only in the log.
func TestAReaderSeesWhatIsOnlyInTheLogAfterLateSamplesBecameABlock(t *testing.T) {
	dir := t.TempDir()
	now := time.Now().Truncate(8 * time.Hour) // where blocks end
	db := open(t, dir, series.Options{})
	// In order, but not so much that the first block is cut.
	want := every(id("a"), now, 20*time.Hour, 0)
	first := len(want) * 11 / 20
	add(t, db, want[:first]...)
	// Late ones, in the hours that are not a block yet.
	b := every(id("b"), now.Add(-10*time.Hour), time.Hour, 0)
	add(t, db, b[6:]...)
	add(t, db, b[:6]...)
	for _, r := range want[first:] {
		add(t, db, r)
	}
	waitFor(t, "blocks are cut", func() bool { return blocks(t, db) >= 2 })
	reader := openReadOnly(t, dir)
	wantSame(t, scan(t, reader, id("a")), want)
	wantSame(t, scan(t, reader, id("b")), b)
}

func TestReadersLeaveNothingBehind(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir, series.Options{})
	add(t, db, every(id("a"), time.Now(), time.Hour, 0)...)
	reader := openReadOnly(t, dir)
	scratch := func() []string {
		found, err := filepath.Glob(filepath.Join(dir, "readonly-*"))
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	if len(scratch()) != 1 {
		t.Fatalf("scratch folders while reading: %v", scratch())
	}
	closeDB(t, reader)
	if len(scratch()) != 0 {
		t.Errorf("left behind: %v", scratch())
	}
	// One that was killed leaves its folder, and the next to come removes it; a folder in use stays.
	dead := filepath.Join(dir, "readonly-dead")
	if err := os.Mkdir(dead, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dead, "inuse"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	alive := openReadOnly(t, dir)
	openReadOnly(t, dir)
	if got := scratch(); len(got) != 2 {
		t.Errorf("scratch folders of two readers: %v", got)
	}
	if got := scan(t, alive, id("a")); len(got) != 12 {
		t.Errorf("the first reader sees %d samples", len(got))
	}
}

func TestReadingWhatDoesNotExistFails(t *testing.T) {
	if db, err := series.OpenReadOnly(filepath.Join(t.TempDir(), "none"), series.Options{}); err == nil {
		closeDB(t, db)
		t.Error("no error")
	}
}

func TestReadersKeepUpWithAWriterThatCutsBlocks(t *testing.T) {
	dir := t.TempDir()
	now := time.Now().Truncate(time.Minute)
	db := open(t, dir, series.Options{})
	stored := make(chan int)
	go func() {
		defer close(stored)
		all := every(id("a"), now, 6*24*time.Hour, 0)
		for i := 0; i < len(all); i += 100 {
			if err := db.Append(t.Context(), all[i:min(i+100, len(all))]); err != nil {
				return
			}
			stored <- min(i+100, len(all))
		}
	}()
	for n := range stored {
		reader, err := series.OpenReadOnly(dir, series.Options{})
		if err != nil {
			t.Fatal(err)
		}
		got := scan(t, reader, id("a"))
		if len(got) < n {
			t.Errorf("%d samples are stored, a reader sees %d", n, len(got))
		}
		closeDB(t, reader)
	}
	if blocks(t, db) == 0 {
		t.Error("no block was cut meanwhile: the test shows nothing")
	}
}
