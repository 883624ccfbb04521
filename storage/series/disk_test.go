package series_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"corbie/munin"
	"corbie/storage/series"
	"corbie/storage/storagetest"
)

func TestAFullDiskIsSaidOnceAndStoringGoesOnByItself(t *testing.T) {
	disk := storagetest.SmallDisk(t, "size=60m")
	var log bytes.Buffer
	opts := series.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}
	db := open(t, filepath.Join(disk, "raw"), opts)
	readings := every(id("a"), time.Now().Truncate(time.Minute), 24*time.Hour, 0)
	add(t, db, readings[:20]...)
	ballast := filepath.Join(disk, "ballast")
	err := os.WriteFile(ballast, make([]byte, 100<<20), 0o600)
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk did not become full: %v", err)
	}
	for _, r := range readings[20:40] {
		if err := db.Append(t.Context(), []munin.Reading{r}); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("on a full disk: %v", err)
		}
	}
	wantSame(t, scan(t, db, id("a")), readings[:20])
	if db.StoppedSince().IsZero() || strings.Count(log.String(), "level=ERROR") != 1 {
		t.Errorf("it does not say once that it stopped:\n%s", log.String())
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	add(t, db, readings[40:]...)
	add(t, db, readings[20:40]...) // what the spool of the node brings again
	if !db.StoppedSince().IsZero() || strings.Count(log.String(), "stored again") != 1 || !strings.Contains(log.String(), "not_stored=20") {
		t.Errorf("it does not say that it goes on:\n%s", log.String())
	}
	closeDB(t, db)
	wantSame(t, scan(t, open(t, filepath.Join(disk, "raw"), opts), id("a")), readings)
}

// TestNothingPanicsOnADiskThatIsFullToTheLastByte fills the disk while the TSDB has chunks in memory that it is going to write by itself.
func TestNothingPanicsOnADiskThatIsFullToTheLastByte(t *testing.T) {
	for _, stop := range []bool{false, true} {
		disk := storagetest.SmallDisk(t, "size=60m")
		dir, ballast := filepath.Join(disk, "raw"), filepath.Join(disk, "ballast")
		var asked atomic.Int64
		opts := series.Options{Work: time.Second, Free: func(dir string) (uint64, error) {
			asked.Add(1)
			var s syscall.Statfs_t
			err := syscall.Statfs(dir, &s)
			return s.Bavail * uint64(s.Bsize), err //nolint:gosec // not negative
		}}
		db := open(t, dir, opts)
		all := batches(time.Now().Add(-time.Hour).Truncate(time.Second), 600)
		for _, batch := range all[:500] {
			add(t, db, batch...)
		}
		if err := os.WriteFile(ballast, make([]byte, 100<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("the disk did not become full: %v", err)
		}
		for began := asked.Load(); asked.Load() < began+3; { // The TSDB waits at the gate.
			<-time.After(50 * time.Millisecond)
		}
		if err := db.Append(t.Context(), all[500]); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("on a full disk: %v", err)
		}
		if got := scan(t, db, all[0][0].ID); len(got) != 500 {
			t.Errorf("%d of 500 samples can be read", len(got))
		}
		if stop {
			if err := db.Close(); err != nil {
				t.Logf("closed on a full disk: %v", err)
			}
		}
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
		if stop {
			db = open(t, dir, series.Options{})
		}
		for _, batch := range all[500:] {
			add(t, db, batch...)
		}
		after := open(t, killed(t, dir), series.Options{})
		if got := scan(t, after, all[0][99].ID); len(got) != 600 {
			t.Errorf("%d of 600 samples are there after a kill", len(got))
		}
	}
}

func TestAReadOnlyDiskIsAClearErrorAndSetsNothingAside(t *testing.T) {
	disk := storagetest.SmallDisk(t, "size=60m")
	dir := filepath.Join(disk, "raw")
	db := open(t, dir, series.Options{})
	add(t, db, every(id("a"), time.Now(), time.Hour, 0)...)
	closeDB(t, db)
	if err := syscall.Mount("", disk, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := series.Open(dir, series.Options{}); !errors.Is(err, syscall.EROFS) || !strings.Contains(err.Error(), dir) {
		t.Errorf("got %v", err)
	}
	if err := syscall.Mount("", disk, "", syscall.MS_REMOUNT, "size=60m"); err != nil {
		t.Fatal(err)
	}
	if got := scan(t, open(t, dir, series.Options{}), id("a")); len(got) != 12 {
		t.Errorf("%d samples after it is writable again, want 12", len(got))
	}
}

func TestADamagedLogIsReadUpToTheDamageAndThatIsSaid(t *testing.T) {
	dir, crashed := t.TempDir(), t.TempDir()
	now := time.Now().Truncate(time.Minute)
	db := open(t, dir, series.Options{})
	for _, r := range every(id("a"), now, 6*time.Hour, 0) {
		for i := range 500 {
			r.ID.Field = "f" + strings.Repeat("y", 20) + string(rune('a'+i%26)) + string(rune('a'+i/26))
			add(t, db, r)
		}
	}
	// As it lies on the disk when the machine dies.
	if err := os.CopyFS(crashed, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	segment := filepath.Join(crashed, "wal", "00000000")
	text, err := os.ReadFile(segment)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		text[len(text)*2/3+i] ^= 0x5a
	}
	if err := os.WriteFile(segment, text, 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	after := open(t, crashed, series.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	field := id("a")
	field.Field = "f" + strings.Repeat("y", 20) + "aa"
	got := scan(t, after, field)
	if len(got) < 20 || len(got) >= 72 {
		t.Errorf("%d of 72 samples are left, want most of those before the damage", len(got))
	}
	if !strings.Contains(log.String(), "level=ERROR") || !strings.Contains(log.String(), "samples after it are lost") {
		t.Errorf("it does not say what it lost:\n%s", log.String())
	}
	add(t, after, munin.Reading{ID: field, Point: munin.Point{T: now.UnixMilli(), V: 1}})
}
