package series_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"corbie/munin"
	"corbie/storage/series"
)

// alone runs the test again in a process of its own and tells whether this is that process: a limit of the size of files holds for
// whatever the process writes, such as the log of files that "go test" keeps.
func alone(t *testing.T) bool {
	t.Helper()
	if os.Getenv("CORBIE_TEST_ALONE") == t.Name() {
		return true
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), program, "-test.run=^"+t.Name()+"$", "-test.v")
	child.Env = append(os.Environ(), "CORBIE_TEST_ALONE="+t.Name())
	if out, err := child.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

// limitFiles makes writing past so many bytes of any file fail half way, as on a disk that becomes full, until the returned
// function is called.
func limitFiles(t *testing.T, bytes uint64) (lift func()) {
	t.Helper()
	signal.Ignore(syscall.SIGXFSZ)
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	set := func(soft uint64) {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: soft, Max: before.Max}); err != nil {
			t.Fatal(err)
		}
	}
	set(bytes)
	lift = func() { set(before.Cur) }
	t.Cleanup(lift)
	return lift
}

// batches gives readings of a hundred fields, in steps of a second.
func batches(from time.Time, count int) [][]munin.Reading {
	out := make([][]munin.Reading, count)
	for i := range out {
		for field := range 100 {
			out[i] = append(out[i], munin.Reading{
				ID:    munin.SeriesID{Host: "h", Graph: "g", Field: strings.Repeat("f", field+1)},
				Point: munin.Point{T: from.Add(time.Duration(i) * time.Second).UnixMilli(), V: float64(i*i*7919 + field)},
			})
		}
	}
	return out
}

func TestWhatIsStoredAfterAFailedWriteSurvivesTheDeathOfTheProcess(t *testing.T) {
	if !alone(t) {
		return
	}
	dir := t.TempDir()
	var log bytes.Buffer
	db := open(t, dir, series.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	first := id("first")
	now := time.Now().Add(-time.Hour).Truncate(time.Second)
	var want []munin.Reading
	lift := limitFiles(t, 100_000)
	failed := 0
	for i, batch := range batches(now, 400) {
		mark := munin.Reading{ID: first, Point: munin.Point{T: batch[0].T, V: float64(i)}}
		if err := db.Append(t.Context(), append(batch, mark)); err != nil {
			if failed++; failed == 20 {
				lift()
			}
			continue
		}
		want = append(want, mark)
	}
	if failed != 20 || len(want) != 380 {
		t.Fatalf("%d appends failed and %d went well; want the 20 until there was room to fail and all others to go well", failed, len(want))
	}
	wantAll(t, scan(t, db, first), want)

	reader, err := series.OpenReadOnly(dir, series.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer closeDB(t, reader)
	wantAll(t, scan(t, reader, first), want)

	after := open(t, killed(t, dir), series.Options{})
	wantAll(t, scan(t, after, first), want)
	if n := strings.Count(log.String(), "level=ERROR"); n > 3 {
		t.Errorf("%d errors were logged for one trouble:\n%s", n, log.String())
	}
}

func TestWhatWasStoredBeforeAFailedWriteSurvivesAStopAndAStart(t *testing.T) {
	if !alone(t) {
		return
	}
	dir := t.TempDir()
	db := open(t, dir, series.Options{})
	lift := limitFiles(t, 100_000)
	var want []munin.Reading
	for _, batch := range batches(time.Now().Add(-time.Hour).Truncate(time.Second), 400) {
		if err := db.Append(t.Context(), batch); err != nil {
			break
		}
		want = append(want, batch[0])
	}
	lift()
	closeDB(t, db)
	for range 2 {
		db = open(t, dir, series.Options{})
		more := munin.Reading{ID: want[0].ID, Point: munin.Point{T: want[len(want)-1].T + 60_000, V: 1}}
		add(t, db, more)
		want = append(want, more)
		wantAll(t, scan(t, open(t, killed(t, dir), series.Options{}), want[0].ID), want)
		closeDB(t, db)
	}
}

func TestNothingIsWrittenToADiskThatIsNearlyFull(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir, series.Options{Reserve: 1 << 60})
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Fatalf("opened without room it wrote %v, %v", entries, err)
	}
	closeDB(t, db)
	free := uint64(1 << 60)
	db = open(t, dir, series.Options{
		Free: func(string) (uint64, error) { return free, nil },
	})
	readings := every(id("a"), time.Now(), time.Hour, 0)
	add(t, db, readings[:3]...)
	size := func() (n int64) {
		err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
			if info, errInfo := os.Stat(path); err == nil && errInfo == nil {
				n += info.Size()
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := size()
	free = 1000
	for _, r := range readings[3:6] {
		if err := db.Append(t.Context(), []munin.Reading{r}); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("without room: %v", err)
		}
	}
	if after := size(); after > before {
		t.Errorf("the folder grew from %d to %d bytes", before, after)
	}
	free = 1 << 60
	add(t, db, readings[6:]...)
	wantSame(t, scan(t, db, id("a")), append(readings[:3:3], readings[6:]...))
}

func TestALogWhoseRepairWasInterruptedIsRepairedAnew(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir, series.Options{})
	readings := every(id("a"), time.Now(), time.Hour, 0)
	add(t, db, readings...)
	copied := killed(t, dir)
	segment := filepath.Join(copied, "wal", "00000000")
	if err := os.Rename(segment, segment+".repair"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(segment, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	wantSame(t, scan(t, open(t, copied, series.Options{}), id("a")), readings)
}

// TestLateSamplesSurviveATornLog kills the writer in the middle of a write to one of the two logs.
func TestLateSamplesSurviveATornLog(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir, series.Options{})
	now := time.Now().Truncate(time.Second)
	late := every(id("late"), now, 6*time.Hour, 5*time.Hour)
	add(t, db, munin.Reading{ID: id("late"), Point: munin.Point{T: now.UnixMilli(), V: 1}})
	add(t, db, late...)
	add(t, db, every(id("last"), now, time.Hour, 0)...)
	crashed := killed(t, dir)
	segment := filepath.Join(crashed, "wal", "00000000")
	info, err := os.Stat(segment)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(segment, info.Size()-10); err != nil {
		t.Fatal(err)
	}
	reader, err := series.OpenReadOnly(killed(t, crashed), series.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer closeDB(t, reader)
	wantAll(t, scan(t, reader, id("late")), late)
	for range 2 {
		db := open(t, crashed, series.Options{Registerer: prometheus.NewRegistry()})
		wantAll(t, scan(t, db, id("late")), late)
		more := every(id("late"), now, 5*time.Hour, time.Hour)
		add(t, db, more...)
		late = append(late, more...)
		crashed = killed(t, crashed)
	}
}

// wantAll checks that all of want is there. A batch whose append failed may be there as well, in part.
func wantAll(t *testing.T, got []munin.Point, want []munin.Reading) {
	t.Helper()
	have := make(map[munin.Point]bool)
	for _, p := range got {
		have[p] = true
	}
	missing := 0
	for _, r := range want {
		if !have[r.Point] {
			missing++
		}
	}
	if missing > 0 || len(got) > len(want)+20 {
		t.Fatalf("%d of %d samples are missing; there are %d", missing, len(want), len(got))
	}
}

// killed copies the folder of an open DB: what would be there after kill -9.
func killed(t *testing.T, dir string) string {
	t.Helper()
	for {
		to := filepath.Join(t.TempDir(), "copy")
		err := os.CopyFS(to, os.DirFS(dir))
		if err == nil {
			return to
		}
		if !errors.Is(err, os.ErrNotExist) { // else the TSDB was just about to rename something
			t.Fatal(err)
		}
	}
}
