package series_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"corbie/munin"
	"corbie/storage/series"
)

// smallFiles makes files of the log so small that each snapshot is followed by another part of it.
const smallFiles = 64 << 10

// snapshot writes one and fails when nothing was written.
func snapshot(tb testing.TB, db *series.DB) series.Snapshot {
	tb.Helper()
	s, err := db.Snapshot(tb.Context(), 1)
	if err != nil || s == (series.Snapshot{}) {
		tb.Fatalf("snapshot: %+v, %v", s, err)
	}
	return s
}

// snapshots lists the snapshots in a folder, and what is left of interrupted ones.
func snapshots(tb testing.TB, dir string) []string {
	tb.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "chunk_snapshot.*"))
	if err != nil {
		tb.Fatal(err)
	}
	return found
}

// forget removes the part of the log that the newest snapshot makes superfluous, so that what is there comes from the snapshot.
func forget(tb testing.TB, dir string) {
	tb.Helper()
	var segment, offset int
	found := snapshots(tb, dir)
	if len(found) == 0 {
		tb.Fatal("there is no snapshot")
	}
	if _, err := fmt.Sscanf(filepath.Base(slices.Max(found)), "chunk_snapshot.%d.%d", &segment, &offset); err != nil || segment == 0 {
		tb.Fatalf("snapshot of file %d of the log: %v", segment, err)
	}
	for i := range segment {
		if err := os.Remove(filepath.Join(dir, "wal", fmt.Sprintf("%08d", i))); err != nil && !errors.Is(err, fs.ErrNotExist) {
			tb.Fatal(err)
		}
	}
}

// killedWriting copies the folder of a DB that is being written to. A late sample is in the log of late samples after all else, so that is copied first.
func killedWriting(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	for _, part := range append([]string{"wbl", "wal"}, snapshots(t, dir)...) {
		name := filepath.Base(part)
		if err := os.CopyFS(filepath.Join(to, name), os.DirFS(filepath.Join(dir, name))); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// stored are readings that were acknowledged, by many at once.
type stored struct {
	mu  sync.Mutex
	all map[munin.SeriesID][]munin.Reading
}

func (s *stored) add(readings []munin.Reading) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range readings {
		s.all[r.ID] = append(s.all[r.ID], r)
	}
}

func (s *stored) clone() map[munin.SeriesID][]munin.Reading {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[munin.SeriesID][]munin.Reading, len(s.all))
	for id, readings := range s.all {
		out[id] = slices.Clone(readings)
	}
	return out
}

// host stores what one host says, step after step from one on, every fifth time an hour late, and ever new fields, until ctx ends. It returns the step to go
// on with.
func (s *stored) host(ctx context.Context, db *series.DB, name string, begin time.Time, n int) (int, error) {
	for ; ctx.Err() == nil; n++ {
		at := begin.Add(time.Duration(n) * 100 * time.Millisecond)
		if n%5 == 4 {
			at = at.Add(-time.Hour - 50*time.Millisecond)
		}
		batch := make([]munin.Reading, 0, 50)
		for f := range cap(batch) {
			id := munin.SeriesID{Host: munin.HostID(name), Graph: "g", Field: fmt.Sprint("f", f)}
			if f > 40 {
				id.Field = fmt.Sprint("of", n/10, "n", f)
			}
			batch = append(batch, munin.Reading{ID: id, Point: munin.Point{T: at.UnixMilli(), V: float64(n*n*f) + 0.5}})
		}
		if err := db.Append(context.WithoutCancel(ctx), batch); err != nil {
			return n, err
		}
		s.add(batch)
	}
	return n, nil
}

// during stores what three hosts say as long as what runs.
func (s *stored) during(t *testing.T, db *series.DB, begin time.Time, steps *[3]int, what func()) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var hosts sync.WaitGroup
	var failed [len(steps)]error
	for i := range steps {
		hosts.Go(func() { steps[i], failed[i] = s.host(ctx, db, fmt.Sprint("host", i), begin, steps[i]) })
	}
	what()
	stop()
	hosts.Wait()
	if err := errors.Join(failed[:]...); err != nil {
		t.Fatal(err)
	}
}

func (s *stored) check(t *testing.T, db *series.DB, want map[munin.SeriesID][]munin.Reading) {
	t.Helper()
	ids := make([]munin.SeriesID, 0, len(want))
	for id := range want {
		ids = append(ids, id)
	}
	have := make([]map[munin.Point]bool, len(ids))
	r := munin.Range{From: time.Now().AddDate(0, 0, -10), To: time.Now().AddDate(0, 0, 1)}
	err := db.Scan(t.Context(), ids, r, func(i int, points *series.Points) error {
		have[i] = make(map[munin.Point]bool)
		for p, ok := points.Next(); ok; p, ok = points.Next() {
			have[i][p] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	missing, all := 0, 0
	for i, id := range ids {
		for _, r := range want[id] {
			all++
			if !have[i][r.Point] {
				missing++
			}
		}
	}
	if missing > 0 || all == 0 {
		t.Fatalf("of %d samples that were acknowledged %d are missing", all, missing)
	}
}

func TestASnapshotLosesNothingThatIsStoredMeanwhile(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir, series.Options{LogFile: smallFiles})
	s := &stored{all: make(map[munin.SeriesID][]munin.Reading)}
	begin := time.Now().Add(-20 * time.Hour)
	var steps [3]int
	for round := range 6 {
		var want map[munin.SeriesID][]munin.Reading
		var crashed string
		s.during(t, db, begin, &steps, func() {
			waitFor(t, "enough log for a snapshot", func() bool {
				done, err := db.Snapshot(t.Context(), 3*smallFiles)
				if err != nil {
					t.Error(err)
				}
				return done.Samples > 0
			})
			want = s.clone()
			crashed = killedWriting(t, dir)
		})
		forget(t, crashed)
		var log lockedLog
		after, err := series.Open(crashed, series.Options{LogFile: smallFiles, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err, log.String())
		}
		s.check(t, after, want)
		if round%2 == 0 { // It goes on, and dies again.
			more := every(id("more"), time.Now(), time.Hour, 0)
			add(t, after, more...)
			again := killed(t, crashed)
			closeDB(t, after)
			if after, err = series.Open(again, series.Options{}); err != nil {
				t.Fatal(err)
			}
			s.check(t, after, want)
			wantSame(t, scan(t, after, id("more")), more)
		}
		closeDB(t, after)
	}
	closeDB(t, db)
	s.check(t, open(t, dir, series.Options{}), s.clone())
}

func TestASeriesThatTheTSDBForgotGoesOn(t *testing.T) {
	db := open(t, t.TempDir(), series.Options{Work: 50 * time.Millisecond})
	now := time.Now().Truncate(time.Minute)
	want := every(id("back"), now, 30*time.Hour, 29*time.Hour)
	add(t, db, want...)
	add(t, db, every(id("other"), now, 30*time.Hour, 0)...)
	waitFor(t, "the series has left the memory", func() bool {
		s, err := db.Stat(t.Context())
		return err == nil && s.Blocks > 1 && s.Series == 1
	})
	more := every(id("back"), now, time.Hour, 0)
	add(t, db, more...)
	wantSame(t, scan(t, db, id("back")), append(want, more...))
}

// withLog is a store whose log has several files, and what is in it.
func withLog(t *testing.T, opts series.Options) (*series.DB, string, *stored) {
	t.Helper()
	dir := t.TempDir()
	opts.LogFile = smallFiles
	db := open(t, dir, opts)
	s := &stored{all: make(map[munin.SeriesID][]munin.Reading)}
	for _, batch := range batches(time.Now().Add(-time.Hour).Truncate(time.Second), 300) {
		add(t, db, batch...)
		s.add(batch)
	}
	return db, dir, s
}

// TestASnapshotIsUsedAlsoWhereTheLogEndsInAPieceOfARecord kills the writer in the middle of a write after a snapshot. One series has late samples only.
func TestASnapshotIsUsedAlsoWhereTheLogEndsInAPieceOfARecord(t *testing.T) {
	db, dir, s := withLog(t, series.Options{})
	late := every(id("late"), time.Now(), 20*time.Hour, 19*time.Hour)
	add(t, db, late...)
	for _, batch := range batches(time.Now().Add(-50*time.Minute).Truncate(time.Second), 300) {
		add(t, db, batch...)
		s.add(batch)
	}
	snapshot(t, db)
	add(t, db, every(id("last"), time.Now(), time.Hour, 0)...)
	crashed := killed(t, dir)
	forget(t, crashed)
	found, err := filepath.Glob(filepath.Join(crashed, "wal", "0*"))
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(slices.Max(found))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(slices.Max(found), info.Size()-10); err != nil {
		t.Fatal(err)
	}
	var log lockedLog
	said := 0
	progress := func(done, of int) {
		if said++; done > of || done < 0 || of > 10 || said == 1 && (done != 0 || of < 2) {
			t.Errorf("call %d says that %d of %d are read", said, done, of)
		}
	}
	for range 2 {
		after := open(t, crashed, series.Options{Logger: slog.New(slog.NewTextHandler(&log, nil)), Progress: progress})
		s.check(t, after, s.clone())
		wantSame(t, scan(t, after, id("late")), late)
		closeDB(t, after)
	}
	if !strings.Contains(log.String(), "damaged") {
		t.Errorf("the log was not damaged: %s", log.String())
	}
}

func TestADamagedSnapshotIsNotUsedAndNothingIsLost(t *testing.T) {
	db, dir, s := withLog(t, series.Options{})
	snapshot(t, db)
	for name, spoil := range map[string]func(path string, text []byte) error{
		"flipped": func(path string, text []byte) error {
			text[len(text)/2] ^= 0x55
			return os.WriteFile(path, text, 0o600)
		},
		"cut short": func(path string, text []byte) error { return os.WriteFile(path, text[:len(text)/2+7], 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			crashed := killed(t, dir)
			path := filepath.Join(snapshots(t, crashed)[0], "00000000")
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := spoil(path, text); err != nil {
				t.Fatal(err)
			}
			var log lockedLog
			after := open(t, crashed, series.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			s.check(t, after, s.clone())
			if !strings.Contains(log.String(), "snapshot") {
				t.Errorf("the log does not say so: %s", log.String())
			}
		})
	}
}

func TestASnapshotIsWrittenOnlyWhereItSavesEnough(t *testing.T) {
	room := uint64(1 << 40)
	db, dir, s := withLog(t, series.Options{Free: func(string) (uint64, error) { return room, nil }})
	nothing := func(why string, after int64) {
		t.Helper()
		if done, err := db.Snapshot(t.Context(), after); err != nil || done != (series.Snapshot{}) || len(snapshots(t, dir)) > 1 {
			t.Errorf("%s: %+v, %v, %v", why, done, err, snapshots(t, dir))
		}
	}
	nothing("the log is short", 1<<30)
	room = 16<<20 + 100_000
	nothing("there is no room", 1)
	room = 1 << 40
	if done := snapshot(t, db); done.Series != 100 || done.Samples != 30_000 || done.Bytes < 10_000 {
		t.Errorf("wrote %+v", done)
	}
	nothing("there is nothing new", 1)
	ended, end := context.WithCancel(t.Context())
	end()
	for _, batch := range batches(time.Now().Add(-50*time.Minute).Truncate(time.Second), 300) {
		add(t, db, batch...)
		s.add(batch)
	}
	if _, err := db.Snapshot(ended, 1); !errors.Is(err, context.Canceled) || len(snapshots(t, dir)) != 1 {
		t.Errorf("interrupted: %v, %v", err, snapshots(t, dir))
	}
	if done := snapshot(t, db); done.Samples != 60_000 || len(snapshots(t, dir)) != 1 {
		t.Errorf("the second one: %+v, %v", done, snapshots(t, dir))
	}
	reader := openReadOnly(t, dir)
	if done, err := reader.Snapshot(t.Context(), 1); err != nil || done != (series.Snapshot{}) {
		t.Errorf("a reader wrote one: %+v, %v", done, err)
	}
	s.check(t, reader, s.clone())
}

func TestASnapshotThatFindsNoRoomCostsNothing(t *testing.T) {
	if !alone(t) {
		return
	}
	db, dir, s := withLog(t, series.Options{})
	lift := limitFiles(t, 10_000)
	if done, err := db.Snapshot(t.Context(), 1); err == nil || len(snapshots(t, dir)) != 0 {
		t.Errorf("it is there: %+v, %v", done, snapshots(t, dir))
	}
	lift()
	add(t, db, every(id("more"), time.Now(), time.Hour, 0)...)
	snapshot(t, db)
	crashed := killed(t, dir)
	forget(t, crashed)
	s.check(t, open(t, crashed, series.Options{}), s.clone())
}

func TestASeriesWithTooManySamplesForASnapshotIsReadFromTheLog(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir, series.Options{LogFile: smallFiles})
	begin := time.Now().Add(-20 * time.Hour)
	readings := make([]munin.Reading, 60_001)
	for i := range readings {
		readings[i] = munin.Reading{ID: id("a"), Point: munin.Point{T: begin.Add(time.Duration(i) * 500 * time.Millisecond).UnixMilli(), V: float64(i)}}
	}
	add(t, db, readings...)
	if done, err := db.Snapshot(t.Context(), 1); err == nil || len(snapshots(t, dir)) != 0 {
		t.Errorf("wrote %+v", done)
	}
	wantSame(t, scan(t, open(t, killed(t, dir), series.Options{}), id("a")), readings)
}

// TestASnapshotOutlivesWhatComesAfterIt stops, starts, and cuts blocks after a snapshot.
func TestASnapshotOutlivesWhatComesAfterIt(t *testing.T) {
	dir := t.TempDir()
	opts := series.Options{LogFile: smallFiles, Work: 50 * time.Millisecond}
	now := time.Now().Truncate(time.Second)
	s := &stored{all: make(map[munin.SeriesID][]munin.Reading)}
	fill := func(db *series.DB, ago time.Duration, count int) {
		for _, batch := range batches(now.Add(-ago), count) {
			add(t, db, batch...)
			s.add(batch)
		}
	}
	db := open(t, dir, opts)
	fill(db, 30*time.Hour, 300)
	snapshot(t, db)
	crashed := killed(t, dir)
	forget(t, crashed)
	db = open(t, crashed, opts)
	closeDB(t, db)
	db = open(t, crashed, opts)
	s.check(t, db, s.clone())
	fill(db, 40*time.Hour, 30) // late
	fill(db, 20*time.Hour, 300)
	fill(db, time.Hour, 30)
	waitFor(t, "blocks were cut", func() bool { return blocks(t, db) > 1 })
	s.check(t, db, s.clone())
	fill(db, 50*time.Minute, 300)
	snapshot(t, db)
	closeDB(t, db)
	for range 2 {
		db = open(t, crashed, opts)
		s.check(t, db, s.clone())
		closeDB(t, db)
	}
}
