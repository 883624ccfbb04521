package series_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"corbie/munin"
	"corbie/storage/disk"
	"corbie/storage/series"
	"corbie/storage/storagetest"
)

func TestAFullDiskIsSaidOnceAndStoringGoesOnByItself(t *testing.T) {
	mount := storagetest.SmallDisk(t, "size=60m")
	var log bytes.Buffer
	opts := series.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}
	db := open(t, filepath.Join(mount, "raw"), opts)
	readings := every(id("a"), time.Now().Truncate(time.Minute), 24*time.Hour, 0)
	add(t, db, readings[:20]...)
	ballast := filepath.Join(mount, "ballast")
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
	wantSame(t, scan(t, open(t, filepath.Join(mount, "raw"), opts), id("a")), readings)
}

// TestNothingPanicsOnADiskThatIsFullToTheLastByte fills the disk while the TSDB has chunks in memory that it is going to write by itself.
func TestNothingPanicsOnADiskThatIsFullToTheLastByte(t *testing.T) {
	for _, stop := range []bool{false, true} {
		mount := storagetest.SmallDisk(t, "size=60m")
		dir, ballast := filepath.Join(mount, "raw"), filepath.Join(mount, "ballast")
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

// stuckDir makes the folder of a store as kill -9 leaves it: in order and late samples in its logs, a block, and a damaged one.
func stuckDir(t *testing.T, dir string) (want []munin.Reading) {
	t.Helper()
	made := t.TempDir()
	now := time.Now().Truncate(time.Minute)
	old := every(id("a"), now.Add(-100*24*time.Hour), 24*time.Hour, 0)
	if err := series.WriteBlocks(t.Context(), made, slices.Values(old)); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(made, "01ARZ3NDEKTSV4RRFFQ69G5FAV"), 0o700); err != nil {
		t.Fatal(err)
	}
	db := open(t, made, series.Options{})
	if err := os.Remove(filepath.Join(made, "reserve")); err != nil {
		t.Fatal(err)
	}
	news, late := every(id("a"), now, time.Hour, 0), every(id("a"), now, 6*time.Hour, 5*time.Hour)
	add(t, db, news[:6]...)
	closeDB(t, db)
	db = open(t, made, series.Options{})
	if err := os.Remove(filepath.Join(made, "reserve")); err != nil {
		t.Fatal(err)
	}
	if wrote, err := db.Snapshot(t.Context(), 0); err != nil || wrote.Series == 0 {
		t.Fatalf("a snapshot of %d series, %v", wrote.Series, err)
	}
	add(t, db, news[6:]...)
	add(t, db, late...)
	if err := os.CopyFS(dir, os.DirFS(made)); err != nil {
		t.Fatal(err)
	}
	// The damaged block was set aside already: here it comes again.
	if err := os.Rename(filepath.Join(dir, "quarantine", "01ARZ3NDEKTSV4RRFFQ69G5FAV"), filepath.Join(dir, "01ARZ3NDEKTSV4RRFFQ69G5FAV")); err != nil {
		t.Fatal(err)
	}
	return slices.Concat(old, late, news)
}

// TestAStoreIsReadWhereNothingCanBeWrittenAndOpensByItself starts on a disk that is full or read-only, with what a kill leaves at each step of
// the repairs that a start makes.
func TestAStoreIsReadWhereNothingCanBeWrittenAndOpensByItself(t *testing.T) {
	left := map[string]func(t *testing.T, dir string){
		"as it is": func(*testing.T, string) {},
		"torn": func(t *testing.T, dir string) {
			t.Helper()
			all, err := filepath.Glob(filepath.Join(dir, "wal", "0*"))
			if err != nil {
				t.Fatal(err)
			}
			f, err := os.OpenFile(slices.Max(all), os.O_WRONLY|os.O_APPEND, 0)
			if err == nil {
				_, err = f.WriteString("\x02torn")
				err = errors.Join(err, f.Close())
			}
			if err != nil {
				t.Fatal(err)
			}
		},
		"a log exchanged half way": func(t *testing.T, dir string) {
			t.Helper()
			if err := os.CopyFS(filepath.Join(dir, "wbl-new"), os.DirFS(filepath.Join(dir, "wbl"))); err != nil {
				t.Fatal(err)
			}
			move(t, dir, "wbl", "wbl-old")
		},
		"a repair half done": func(t *testing.T, dir string) {
			t.Helper()
			move(t, dir, "wal/00000000", "wal/00000000.repair")
			if err := os.WriteFile(filepath.Join(dir, "wal", "00000000"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		},
	}
	for _, readOnly := range []bool{false, true} {
		for name, leave := range left {
			t.Run(fmt.Sprintf("%s, read-only %v", name, readOnly), func(t *testing.T) {
				mount := storagetest.SmallDisk(t, "size=60m")
				dir, ballast := filepath.Join(mount, "raw"), filepath.Join(mount, "ballast")
				want := stuckDir(t, dir)
				leave(t, dir)
				set := func(stuck bool) {
					switch {
					case readOnly:
						storagetest.Remount(t, mount, stuck)
					case stuck:
						storagetest.Fill(t, ballast)
					default:
						move(t, mount, "ballast", "gone")
						if err := os.Remove(filepath.Join(mount, "gone")); err != nil {
							t.Fatal(err)
						}
					}
				}
				set(true)
				opensByItself(t, dir, want, func() { set(false) })
			})
		}
	}
}

func move(t *testing.T, dir, from, to string) {
	t.Helper()
	if err := os.Rename(filepath.Join(dir, from), filepath.Join(dir, to)); err != nil {
		t.Fatal(err)
	}
}

// opensByItself opens a store where nothing can be written, and lets it go on.
func opensByItself(t *testing.T, dir string, want []munin.Reading, mend func()) {
	t.Helper()
	var log bytes.Buffer
	db, err := series.Open(dir, series.Options{Logger: slog.New(slog.NewTextHandler(&log, nil)), Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { closeDB(t, db) }()
	wantSame(t, scan(t, db, id("a")), want)
	more := munin.Reading{ID: id("a"), Point: munin.Point{T: want[len(want)-1].T + 1000, V: 1}}
	if err := db.Append(t.Context(), []munin.Reading{more}); !disk.Stuck(err) || db.Stopped() == nil || db.StoppedSince().IsZero() {
		t.Errorf("stored: %v; stopped: %v", err, db.Stopped())
	}
	if n := strings.Count(log.String(), "samples are not stored"); n != 1 || !strings.Contains(log.String(), "advice=") {
		t.Errorf("that nothing is stored is said %d times:\n%s", n, log.String())
	}
	mend()
	add(t, db, more)
	want = append(want, more)
	wantSame(t, scan(t, db, id("a")), want)
	if db.Stopped() != nil || !strings.Contains(log.String(), "stored again") || len(db.Quarantined()) != 1 {
		t.Errorf("after it can be written again: %v, set aside %v\n%s", db.Stopped(), db.Quarantined(), log.String())
	}
	wantSame(t, scan(t, open(t, killed(t, dir), series.Options{}), id("a")), want)
	closeDB(t, db)
	db = open(t, dir, series.Options{})
	wantSame(t, scan(t, db, id("a")), want)
}

// TestAShorterRetentionMakesRoomOnAFullDisk restarts with a retention that lets old blocks go, as somebody does whose disk is full.
func TestAShorterRetentionMakesRoomOnAFullDisk(t *testing.T) {
	mount, made := storagetest.SmallDisk(t, "size=60m"), t.TempDir()
	now := time.Now().Truncate(time.Minute)
	all := every(id("a"), now.Add(-48*time.Hour), 100*24*time.Hour, 0)
	if err := series.WriteBlocks(t.Context(), made, slices.Values(all)); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(mount, "raw")
	if err := os.CopyFS(dir, os.DirFS(made)); err != nil {
		t.Fatal(err)
	}
	blocks, err := filepath.Glob(filepath.Join(dir, "0*"))
	if err != nil || len(blocks) < 3 {
		t.Fatalf("blocks: %v, %v", blocks, err)
	}
	slices.Sort(blocks) // A large part of the oldest one.
	if err := os.WriteFile(filepath.Join(blocks[0], "large"), make([]byte, 30<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	storagetest.Fill(t, filepath.Join(mount, "ballast"))
	kept := open(t, dir, series.Options{Retention: 1000 * 24 * time.Hour})
	if kept.Stopped() == nil || len(scan(t, kept, id("a"))) != len(all) {
		t.Errorf("stopped: %v", kept.Stopped())
	}
	closeDB(t, kept)
	db := open(t, dir, series.Options{Retention: 30 * 24 * time.Hour})
	if db.Stopped() != nil {
		t.Errorf("there is room now: %v", db.Stopped())
	}
	add(t, db, munin.Reading{ID: id("a"), Point: munin.Point{T: now.UnixMilli(), V: 1}})
	if got := scan(t, db, id("a")); len(got) < 30*288 || len(got) > 60*288 {
		t.Errorf("%d samples are left, want those of one to two months", len(got))
	}
}

func TestAReaderReadsAReadOnlyDisk(t *testing.T) {
	mount := storagetest.SmallDisk(t, "size=60m")
	want := stuckDir(t, filepath.Join(mount, "raw"))
	storagetest.Remount(t, mount, true)
	db, err := series.OpenReadOnly(filepath.Join(mount, "raw"), series.Options{})
	if err != nil {
		t.Fatal(err)
	}
	wantSame(t, scan(t, db, id("a")), want)
	closeDB(t, db)
}

// TestADiskThatBecomesReadOnlyLosesNothing lets an ext4 fail under a store that is at work, and while the TSDB wants to write by itself.
func TestADiskThatBecomesReadOnlyLosesNothing(t *testing.T) {
	mount, fail := storagetest.FailingDisk(t)
	var asked atomic.Int64
	db, err := series.Open(filepath.Join(mount, "raw"), series.Options{Work: time.Second, Free: func(string) (uint64, error) {
		asked.Add(1)
		return 1 << 40, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	all := batches(time.Now().Add(-time.Hour).Truncate(time.Second), 600)
	for _, batch := range all[:500] {
		add(t, db, batch...)
	}
	fail()
	for _, batch := range all[500:] {
		if err := db.Append(t.Context(), batch); !errors.Is(err, syscall.EROFS) {
			t.Fatalf("on a disk that failed: %v", err)
		}
	}
	for began := asked.Load(); asked.Load() < began+3; { // The TSDB waits at the gate.
		<-time.After(50 * time.Millisecond)
	}
	if got := scan(t, db, all[0][0].ID); len(got) != 500 {
		t.Errorf("%d of 500 samples can be read", len(got))
	}
	if err := db.Close(); err != nil {
		t.Logf("closed: %v", err)
	}
	again, err := series.Open(filepath.Join(mount, "raw"), series.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer closeDB(t, again)
	if got := scan(t, again, all[0][99].ID); len(got) != 500 {
		t.Errorf("%d of 500 samples are there after a restart", len(got))
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
