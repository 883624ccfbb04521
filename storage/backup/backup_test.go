package backup_test

import (
	"context"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"corbie/munin"
	"corbie/storage"
	"corbie/storage/backup"
	"corbie/storage/catalog"
	"corbie/storage/series"
)

// master is a data folder in use.
type master struct {
	dir     string
	samples *storage.Samples
	catalog *catalog.Catalog
}

func ids() []munin.SeriesID {
	var out []munin.SeriesID
	for _, host := range []munin.HostID{"web;a", "web;b", "c"} {
		for _, field := range []string{"down", "up"} {
			out = append(out, munin.SeriesID{Host: host, Graph: "if_eth0", Field: field})
		}
	}
	return out
}

func source(_ context.Context, id munin.SeriesID) (munin.Source, error) {
	return munin.Source{ID: id, Type: munin.Derive, Heartbeat: 2 * time.Hour}, nil
}

func startMaster(t *testing.T) *master {
	t.Helper()
	m := &master{dir: filepath.Join(t.TempDir(), "data")}
	var old []munin.Reading
	for at := time.Now().Add(-90 * 24 * time.Hour).Truncate(time.Hour); time.Since(at) > 2*24*time.Hour; at = at.Add(time.Hour) {
		for i, id := range ids() {
			old = append(old, munin.Reading{ID: id, Point: munin.Point{T: at.UnixMilli(), V: float64(at.Unix() * int64(i+1))}})
		}
	}
	if err := series.WriteBlocks(t.Context(), storage.RawDir(m.dir), slices.Values(old)); err != nil {
		t.Fatal(err)
	}
	m.open(t)
	if _, err := m.samples.RollUp(t.Context(), source); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(m.dir, "alerts"), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(m.dir, "alerts", "silences"), []byte("quiet"), 0o600); err != nil {
		t.Fatal(err)
	}
	m.add(t, 0, 100)
	return m
}

func (m *master) open(t *testing.T) {
	t.Helper()
	var err error
	if m.samples, err = storage.Open(m.dir, storage.Options{}); err != nil {
		t.Fatal(err)
	}
	if m.catalog, err = catalog.Open(filepath.Join(m.dir, "catalog.db"), catalog.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.samples.Close(); err != nil {
			t.Error(err)
		}
		if err := m.catalog.Close(); err != nil {
			t.Error(err)
		}
	})
}

// add stores minutes of the last day, some of them late, and what the catalogue knows.
func (m *master) add(t *testing.T, from, to int) {
	t.Helper()
	base := time.Now().Add(-24 * time.Hour).Truncate(time.Hour)
	for _, late := range []bool{false, true} {
		var batch []munin.Reading
		for n := from; n < to; n++ {
			if (n%3 == 0) != late {
				continue
			}
			for i, id := range ids() {
				batch = append(batch, munin.Reading{ID: id, Point: munin.Point{T: base.Add(time.Duration(n) * time.Minute).UnixMilli(), V: float64(n * i)}})
			}
		}
		if err := m.samples.Append(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	poll := &munin.Poll{
		Host: "web;a", Banner: "a", Start: time.Now(), Slot: time.Now(),
		Graphs: []munin.Graph{{Name: "if_eth0", Title: "Traffic " + string(rune('0'+to/100))}},
	}
	if err := m.catalog.Record(t.Context(), poll); err != nil {
		t.Fatal(err)
	}
}

// content is everything that can be asked, as it is shown.
func (m *master) content(t *testing.T) (points [][]munin.Point, shown []munin.Series, title string) {
	t.Helper()
	r := munin.Range{From: time.Now().Add(-100 * 24 * time.Hour), To: time.Now().Truncate(24 * time.Hour)}
	var sources []munin.Source
	for _, id := range ids() {
		raw, err := m.samples.Raw(t.Context(), id, r)
		if err != nil {
			t.Fatal(err)
		}
		points = append(points, raw)
		s, _ := source(t.Context(), id)
		sources = append(sources, s)
	}
	shown, err := m.samples.Query(t.Context(), sources, r, 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	g, err := m.catalog.Graph(t.Context(), "web;a", "if_eth0")
	if err != nil {
		t.Fatal(err)
	}
	return points, shown, g.Title
}

func wantSame(t *testing.T, got, want *master) {
	t.Helper()
	points, shown, title := got.content(t)
	wantPoints, wantShown, wantTitle := want.content(t)
	same := func(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }
	for i := range wantPoints {
		if !slices.Equal(points[i], wantPoints[i]) || len(points[i]) < 2000 {
			t.Errorf("%s: %d samples, want %d", ids()[i], len(points[i]), len(wantPoints[i]))
		}
		for k, b := range wantShown[i].Buckets {
			if g := shown[i].Buckets[k]; g.Count != b.Count || !same(g.Avg, b.Avg) || !same(g.Min, b.Min) || !same(g.Max, b.Max) {
				t.Errorf("%s: day %d is %+v, want %+v", ids()[i], k, g, b)
			}
		}
	}
	if title != wantTitle {
		t.Errorf("title %q, want %q", title, wantTitle)
	}
}

func TestARestoredMasterShowsWhatTheRunningOneShowed(t *testing.T) {
	m := startMaster(t)
	dir := filepath.Join(t.TempDir(), "backup")
	first, err := backup.Make(t.Context(), m.dir, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if first.New == 0 || first.Bytes < first.New {
		t.Errorf("the first backup: %+v", first)
	}
	// The second one takes only what is new.
	m.add(t, 100, 200)
	second, err := backup.Make(t.Context(), m.dir, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if second.New == 0 || second.New > first.New*9/10 {
		t.Errorf("the second backup copied %d bytes, the first %d", second.New, first.New)
	}
	checked, err := backup.Check(t.Context(), dir, nil)
	if err != nil || checked.Files != second.Files || checked.Bytes != second.Bytes {
		t.Errorf("checked %+v, %v; want %+v", checked, err, second)
	}
	restored := &master{dir: filepath.Join(t.TempDir(), "new")}
	seen := int64(0)
	if _, err := backup.Restore(t.Context(), dir, restored.dir, func(n int64) { seen += n }); err != nil || seen != second.Bytes {
		t.Fatalf("%v; progress %d of %d", err, seen, second.Bytes)
	}
	text, err := os.ReadFile(filepath.Join(restored.dir, "alerts", "silences"))
	if string(text) != "quiet" {
		t.Errorf("silences: %q, %v", text, err)
	}
	restored.open(t)
	wantSame(t, restored, m)
	restored.add(t, 200, 210) // it goes on
}

func TestRestoreTouchesNothingWhenTheBackupOrThePlaceIsNotGood(t *testing.T) {
	m := startMaster(t)
	dir := filepath.Join(t.TempDir(), "backup")
	if _, err := backup.Make(t.Context(), m.dir, dir, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := backup.Restore(t.Context(), dir, m.dir, nil); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("restore over a master: %v", err)
	}
	if _, err := backup.Restore(t.Context(), t.TempDir(), t.TempDir(), nil); err == nil || !strings.Contains(err.Error(), "no finished backup") {
		t.Errorf("restore from an empty folder: %v", err)
	}
	var largest string
	size := int64(0)
	err := filepath.WalkDir(filepath.Join(dir, "objects"), func(path string, e fs.DirEntry, err error) error {
		if info, statErr := e.Info(); err == nil && statErr == nil && !e.IsDir() && info.Size() > size {
			largest, size = path, info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(largest)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)/2] ^= 1
	if err := os.WriteFile(largest, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := backup.Check(t.Context(), dir, nil); err == nil || !strings.Contains(err.Error(), "delete what is damaged") {
		t.Errorf("check of a damaged backup: %v", err)
	}
	place := filepath.Join(t.TempDir(), "new")
	if _, err := backup.Restore(t.Context(), dir, place, nil); err == nil || !strings.Contains(err.Error(), "nothing was changed") {
		t.Errorf("restore of a damaged backup: %v", err)
	}
	if _, err := os.Stat(place); err == nil {
		t.Error("the restore that was refused made the folder")
	}
}

func TestAnInterruptedBackupLeavesTheOneBefore(t *testing.T) {
	m := startMaster(t)
	dir := filepath.Join(t.TempDir(), "backup")
	before, err := backup.Make(t.Context(), m.dir, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	m.add(t, 100, 200)
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := backup.Make(ctx, m.dir, dir, func(int64) { cancel() }); err == nil {
		t.Fatal("it was not interrupted")
	}
	after, err := backup.Check(t.Context(), dir, nil)
	if err != nil || after.Made != before.Made {
		t.Errorf("afterwards %+v, %v; before %+v", after, err, before)
	}
	if _, err := backup.Make(t.Context(), m.dir, dir, nil); err != nil {
		t.Errorf("the next one: %v", err)
	}
}

func FuzzManifest(f *testing.F) {
	sum := strings.Repeat("ab", 32)
	f.Add([]byte(`{"version":1,"files":[{"path":"raw/wal/00000000","size":1,"sha256":"` + sum + `"}]}`))
	f.Add([]byte(`{"version":1,"files":[{"path":"../etc/passwd","size":1,"sha256":"` + sum + `"}]}`))
	f.Add([]byte(`{"version":1,"files":[{"path":"/x","size":-1,"sha256":"../../../x"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		paths, err := backup.ParseManifest(text)
		if err != nil {
			return
		}
		for _, p := range paths {
			if !filepath.IsLocal(p) || strings.Contains(p, "..") && strings.Contains("/"+p+"/", "/../") {
				t.Errorf("path %q was taken", p)
			}
		}
	})
}

// inode tells whether two names are one file.
func inode(t *testing.T, path string) uint64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Ino //nolint:forcetypeassert // it is one on Linux
}

// inodes are all files below a folder, by what they are on disk.
func inodes(t *testing.T, dir string) map[uint64]string {
	t.Helper()
	all := make(map[uint64]string)
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			all[inode(t, path)] = strings.TrimPrefix(path, dir)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestOnOneDiskOnlyWhatNeverChangesIsLinkedAndNoMasterAltersIt(t *testing.T) {
	m := startMaster(t)
	dir := filepath.Join(t.TempDir(), "backup")
	made, err := backup.Make(t.Context(), m.dir, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if made.Linked == 0 || made.Linked >= made.New || made.New > made.Bytes {
		t.Errorf("linked %d of %d bytes, %d in all", made.Linked, made.New, made.Bytes)
	}
	ours, linked := inodes(t, m.dir), 0
	for file, object := range inodes(t, filepath.Join(dir, "objects")) {
		name, ok := ours[file]
		if !ok {
			continue
		}
		linked++
		base := filepath.Base(name)
		block := base == "index" || base == "meta.json" || filepath.Base(filepath.Dir(name)) == "chunks"
		if !block || strings.HasPrefix(name, "/raw/wal") || strings.HasPrefix(name, "/raw/wbl") || strings.HasPrefix(name, "/raw/chunks_head") {
			t.Errorf("%s is the same file as %s", object, name)
		}
		if strings.HasSuffix(object, ".part") {
			t.Errorf("%s was left", object)
		}
	}
	if linked < 6 {
		t.Errorf("only %d files are linked", linked)
	}
	// The master goes on, with late samples of times that were backed up; it is stopped and started, and forgets old blocks.
	m.add(t, 100, 300)
	if err := m.samples.Close(); err != nil {
		t.Fatal(err)
	}
	if m.samples, err = storage.Open(m.dir, storage.Options{Retention: 10 * 24 * time.Hour}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.samples.RollUp(t.Context(), source); err != nil {
		t.Fatal(err)
	}
	if _, err := backup.Check(t.Context(), dir, nil); err != nil {
		t.Errorf("the master altered its backup: %v", err)
	}
	// So does one that was restored from it.
	restored := &master{dir: filepath.Join(t.TempDir(), "new")}
	if _, err := backup.Restore(t.Context(), dir, restored.dir, nil); err != nil {
		t.Fatal(err)
	}
	theirs := inodes(t, restored.dir)
	for file, object := range inodes(t, dir) {
		if name, shared := theirs[file]; shared {
			t.Errorf("the restored %s is the object %s", name, object)
		}
	}
	restored.open(t)
	restored.add(t, 300, 310)
	if _, err := backup.Check(t.Context(), dir, nil); err != nil {
		t.Errorf("the restored master altered the backup: %v", err)
	}
}

func TestOnAnotherDiskEverythingIsCopied(t *testing.T) {
	const other = "/dev/shm"
	m := startMaster(t)
	dir, err := os.MkdirTemp(other, "corbie-backup-") //nolint:usetesting // its folders are on the first disk
	if err != nil {
		t.Skipf("no second file system: %v", err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if device(t, dir) == device(t, m.dir) {
		t.Skipf("%s is on the file system of the temporary folders", other)
	}
	made, err := backup.Make(t.Context(), m.dir, dir, nil)
	if err != nil || made.Linked != 0 || made.New == 0 {
		t.Errorf("%+v, %v; want no links", made, err)
	}
	if _, err := backup.Check(t.Context(), dir, nil); err != nil {
		t.Error(err)
	}
}

func device(t *testing.T, path string) uint64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Dev //nolint:forcetypeassert // it is one on Linux
}

func TestAFileOfTheDataFolderThatIsAnObjectAlreadyIsLinkedAgain(t *testing.T) {
	m := startMaster(t)
	dir := filepath.Join(t.TempDir(), "backup")
	first, err := backup.Make(t.Context(), m.dir, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	// Without the list nothing is known to be there.
	if err := os.Remove(filepath.Join(dir, "backup.json")); err != nil {
		t.Fatal(err)
	}
	second, err := backup.Make(t.Context(), m.dir, dir, nil)
	if err != nil || first.Linked == 0 || second.Linked == 0 {
		t.Errorf("linked %d, then %d bytes; %v", first.Linked, second.Linked, err)
	}
	if _, err := backup.Check(t.Context(), dir, nil); err != nil {
		t.Error(err)
	}
	if parts, _ := filepath.Glob(filepath.Join(dir, "objects", "*.part")); len(parts) > 0 {
		t.Errorf("%s were left", parts)
	}
}
