package catalog_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"corbie/munin"
	"corbie/storage/catalog"
	"corbie/storage/storagetest"
)

// lines collects a log; whole lines come from several goroutines.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func openLogged(t *testing.T, path string) (*catalog.Catalog, *lines) {
	t.Helper()
	log := &lines{}
	c, err := catalog.Open(path, catalog.Options{Logger: slog.New(slog.NewTextHandler(log, nil))})
	must(t, err)
	return c, log
}

func stateOf(field string, value float64) munin.AlertState {
	return munin.AlertState{
		ID: munin.SeriesID{Host: "web;a", Graph: "g", Field: field}, Level: munin.Critical, Open: munin.Critical,
		Since: start(), OpenSince: start(), Changed: start(), Value: value, Reason: "too high",
	}
}

// values are those of all states, by field.
func values(t *testing.T, c *catalog.Catalog) map[string]float64 {
	t.Helper()
	all, err := c.States(t.Context())
	must(t, err)
	out := make(map[string]float64)
	for _, s := range all {
		out[s.ID.Field] = s.Value
	}
	return out
}

// back waits until the catalogue is written to its file again, saving one state again and again as polls do.
func back(t *testing.T, c *catalog.Catalog) {
	t.Helper()
	for range 200 {
		must(t, c.SaveStates(t.Context(), []munin.AlertState{stateOf("again", 1)}))
		if !c.InMemory() {
			return
		}
		<-time.After(50 * time.Millisecond)
	}
	t.Fatal("it stays in memory")
}

// killedHere makes what a master leaves that was killed: a catalogue whose log holds more than its file.
func killedHere(t *testing.T, dir string) (path string) {
	t.Helper()
	from := t.TempDir()
	c := open(t, filepath.Join(from, "catalog.db"))
	must(t, c.Configure(t.Context(), []munin.Host{{ID: "web;a", Address: "192.0.2.1:4949", Interval: time.Minute}}))
	must(t, c.Record(t.Context(), answer("web;a", start(), "g")))
	must(t, c.SaveStates(t.Context(), []munin.AlertState{stateOf("before", 7)}))
	must(t, os.MkdirAll(dir, 0o700))
	must(t, os.CopyFS(dir, os.DirFS(from)))
	if info, err := os.Stat(filepath.Join(dir, "catalog.db-wal")); err != nil || info.Size() == 0 {
		t.Fatalf("there is no log: %v", err)
	}
	return filepath.Join(dir, "catalog.db")
}

// goesOn checks that all works in memory, that nobody else changes the file, and that all is there once it was written.
func goesOn(t *testing.T, c *catalog.Catalog, log *lines, path string, mend func()) {
	t.Helper()
	must(t, c.Record(t.Context(), answer("web;a", start().Add(time.Hour), "g", "later")))
	must(t, c.SaveStates(t.Context(), []munin.AlertState{stateOf("meanwhile", 8)}))
	must(t, c.Annotate(t.Context(), munin.Annotation{Kind: munin.Note, From: start(), Text: "seen", By: "me"}))
	if !c.InMemory() {
		t.Fatal("it is not in memory")
	}
	if got := values(t, c); got["before"] != 7 || got["meanwhile"] != 8 {
		t.Errorf("in memory: %v", got)
	}
	if n := strings.Count(log.String(), "level=ERROR"); n != 1 {
		t.Errorf("%d errors were logged, want one:\n%s", n, log)
	}
	if e, err := catalog.OpenToEdit(t.Context(), path); err == nil || !strings.Contains(err.Error(), "in memory") {
		t.Errorf("opened to edit: %v, %v", e, err)
	}
	mend()
	back(t, c)
	if n := strings.Count(log.String(), "is written again"); n != 1 {
		t.Errorf("that it is written again is said %d times:\n%s", n, log)
	}
	e, err := catalog.OpenToEdit(t.Context(), path)
	must(t, err)
	closeCatalog(t, e)
	must(t, c.SaveStates(t.Context(), []munin.AlertState{stateOf("after", 9)}))
	// As it would be after kill -9.
	copied := t.TempDir()
	must(t, os.CopyFS(copied, os.DirFS(filepath.Dir(path))))
	after := open(t, filepath.Join(copied, "catalog.db"))
	got := values(t, after)
	if got["before"] != 7 || got["meanwhile"] != 8 || got["after"] != 9 {
		t.Errorf("after a kill: %v", got)
	}
	graphs, err := after.Graphs(t.Context(), "web;a")
	notes, errNotes := after.Annotations(t.Context(), munin.Range{From: start().Add(-time.Hour), To: start().Add(time.Hour)})
	if must(t, errors.Join(err, errNotes)); names(graphs) != "g later" || len(notes) != 1 {
		t.Errorf("after a kill there are graphs %q and %d notes", names(graphs), len(notes))
	}
	must(t, catalog.Check(t.Context(), path))
}

func TestACatalogueOnAFullDiskOpensAndIsSavedOnceThereIsRoom(t *testing.T) {
	disk := storagetest.SmallDisk(t, "size=24m")
	for name, lose := range map[string][]string{
		"killed": nil, "killed, and no index of its log": {"-shm"}, "stopped": {"-shm", "-wal"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, ballast := filepath.Join(disk, name), filepath.Join(disk, "ballast")
			path := killedHere(t, dir)
			if len(lose) == 2 {
				closeCatalog(t, open(t, path))
			}
			for _, suffix := range lose {
				_ = os.Remove(path + suffix)
			}
			storagetest.Fill(t, ballast)
			c, log := openLogged(t, path)
			defer closeCatalog(t, c)
			goesOn(t, c, log, path, func() { must(t, os.Remove(ballast)) })
		})
	}
}

func TestACatalogueOnAReadOnlyDiskOpensAndIsSavedOnceItCanBe(t *testing.T) {
	for _, stopped := range []bool{false, true} {
		disk := storagetest.SmallDisk(t, "size=24m")
		path := killedHere(t, filepath.Join(disk, "data"))
		if stopped {
			closeCatalog(t, open(t, path))
		}
		storagetest.Remount(t, disk, true)
		c, log := openLogged(t, path)
		defer closeCatalog(t, c)
		goesOn(t, c, log, path, func() { storagetest.Remount(t, disk, false) })
		if !strings.Contains(log.String(), "read-only") {
			t.Errorf("it does not say why:\n%s", log)
		}
	}
}

func TestACatalogueThatWasOpenedOnAReadOnlyDiskIsWrittenIfItCanBeByThen(t *testing.T) {
	disk := storagetest.SmallDisk(t, "size=24m")
	path := killedHere(t, filepath.Join(disk, "data"))
	storagetest.Remount(t, disk, true)
	c, log := openLogged(t, path)
	storagetest.Remount(t, disk, false)
	must(t, c.SaveStates(t.Context(), []munin.AlertState{stateOf("later", 8)}))
	back(t, c)
	closeCatalog(t, c)
	if got := values(t, open(t, path)); got["before"] != 7 || got["later"] != 8 {
		t.Errorf("after a restart: %v\n%s", got, log)
	}
}

func TestACatalogueWhoseDiskFillsUpGoesOnInMemory(t *testing.T) {
	disk := storagetest.SmallDisk(t, "size=24m")
	path, ballast := killedHere(t, filepath.Join(disk, "data")), filepath.Join(disk, "ballast")
	c, log := openLogged(t, path)
	defer closeCatalog(t, c)
	storagetest.Fill(t, ballast)
	for i := range 2000 { // The log of SQLite may have room in it.
		p := answer("web;a", start().Add(time.Minute), "g")
		p.Graphs[0].Info = strings.Repeat("x", i)
		must(t, c.Record(t.Context(), p))
		if c.InMemory() {
			break
		}
	}
	goesOn(t, c, log, path, func() { must(t, os.Remove(ballast)) })
}

func TestACatalogueWhoseDiskFailsGoesOnInMemory(t *testing.T) {
	disk, fail := storagetest.FailingDisk(t)
	path := killedHere(t, filepath.Join(disk, "data"))
	c, log := openLogged(t, path)
	must(t, c.SaveStates(t.Context(), []munin.AlertState{stateOf("early", 6)}))
	fail()
	must(t, c.SaveStates(t.Context(), []munin.AlertState{stateOf("late", 8)}))
	if got := values(t, c); got["before"] != 7 || got["early"] != 6 || got["late"] != 8 || !c.InMemory() {
		t.Errorf("on a disk that failed: %v, in memory %v", got, c.InMemory())
	}
	if err := c.Close(); err == nil || !strings.Contains(err.Error(), "is lost") || !strings.Contains(log.String(), "read-only") {
		t.Errorf("it does not say what it could not keep: %v\n%s", err, log)
	}
}

func TestAnOlderCatalogueOnAFullDiskIsCopiedBeforeItIsReplaced(t *testing.T) {
	disk := storagetest.SmallDisk(t, "size=24m")
	path, ballast := killedHere(t, disk), filepath.Join(disk, "ballast")
	storagetest.Fill(t, ballast)
	const step = "-- +goose Up\nALTER TABLE hosts ADD COLUMN note TEXT NOT NULL DEFAULT 'x';\n"
	c, err := catalog.OpenWithStep(path, "00099_note.sql", step)
	must(t, err)
	defer closeCatalog(t, c)
	if !c.InMemory() || values(t, c)["before"] != 7 {
		t.Errorf("in memory %v: %v", c.InMemory(), values(t, c))
	}
	must(t, os.Remove(ballast))
	back(t, c)
	if old := open(t, path+".before-99"); values(t, old)["before"] != 7 {
		t.Errorf("the copy holds %v", values(t, old))
	}
	if again, err := catalog.Open(path, catalog.Options{}); err == nil || !strings.Contains(err.Error(), "newer corbie") {
		t.Errorf("the file was not brought up to date: %v, %v", again, err)
	}
}

func TestAFirstCatalogueIsMadeOnceThereIsRoom(t *testing.T) {
	disk := storagetest.SmallDisk(t, "size=8m")
	path, ballast := filepath.Join(disk, "catalog.db"), filepath.Join(disk, "ballast")
	storagetest.Fill(t, ballast)
	c, _ := openLogged(t, path)
	must(t, c.SaveStates(t.Context(), []munin.AlertState{stateOf("first", 5)}))
	must(t, os.Remove(ballast))
	back(t, c)
	closeCatalog(t, c)
	if got := values(t, open(t, path)); got["first"] != 5 {
		t.Errorf("after a restart: %v", got)
	}
}

func TestADamagedCatalogueOnAReadOnlyDiskIsSetAsideLater(t *testing.T) {
	disk := storagetest.SmallDisk(t, "size=24m")
	path, aside := filepath.Join(disk, "catalog.db"), filepath.Join(disk, "set-aside")
	text := strings.Repeat("this is no database. ", 1000)
	must(t, os.WriteFile(path, []byte(text), 0o600))
	storagetest.Remount(t, disk, true)
	if c, err := catalog.Open(path, catalog.Options{}); !catalog.Damaged(err) {
		t.Fatalf("opened %v, %v", c, err)
	}
	c, where, err := catalog.OpenAfresh(path, aside, catalog.Options{})
	must(t, err)
	must(t, c.SaveStates(t.Context(), []munin.AlertState{stateOf("meanwhile", 8)}))
	if where != path || !c.InMemory() {
		t.Errorf("it is at %s, in memory %v", where, c.InMemory())
	}
	storagetest.Remount(t, disk, false)
	back(t, c)
	closeCatalog(t, c)
	if got := values(t, open(t, path)); got["meanwhile"] != 8 {
		t.Errorf("after a restart: %v", got)
	}
	kept, err := filepath.Glob(filepath.Join(aside, "*", "catalog.db"))
	if must(t, err); len(kept) != 1 {
		t.Fatalf("set aside: %v", kept)
	}
	if got, err := os.ReadFile(kept[0]); err != nil || string(got) != text {
		t.Errorf("what was set aside is not what was there: %v", err)
	}
}
