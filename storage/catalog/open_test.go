package catalog_test

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"corbie/munin"
	"corbie/storage/catalog"
)

// tamper runs a statement on a catalogue that nobody has open.
func tamper(t *testing.T, path, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite3", path)
	must(t, err)
	_, err = db.ExecContext(t.Context(), statement)
	must(t, errors.Join(err, db.Close()))
}

func TestACatalogueOfANewerProgramIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.db")
	closeCatalog(t, open(t, path))
	tamper(t, path, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, 1)")
	if c, err := catalog.Open(path, catalog.Options{}); err == nil || !strings.Contains(err.Error(), "newer corbie") {
		t.Errorf("open gave %v, %v", c, err)
	}
	if c, err := catalog.OpenReadOnly(path, catalog.Options{}); err == nil || !strings.Contains(err.Error(), "newer corbie") {
		t.Errorf("open for reading gave %v, %v", c, err)
	}
}

func TestAFileThatIsNoCatalogueIsRefusedAndKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.db")
	text := []byte(strings.Repeat("this is no database. ", 1000))
	must(t, os.WriteFile(path, text, 0o600))
	if c, err := catalog.Open(path, catalog.Options{}); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("open gave %v, %v", c, err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != string(text) {
		t.Errorf("the file was changed: %v", err)
	}
}

func TestAReaderWorksBesideAWriterAndAfterIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "with space & ?#%41", "catalog.db")
	if _, err := catalog.OpenReadOnly(path, catalog.Options{}); !errors.Is(err, munin.ErrNotFound) {
		t.Errorf("without a catalogue: %v", err)
	}
	must(t, os.Mkdir(filepath.Dir(path), 0o700))
	c := open(t, path)
	reader := func(want int) {
		t.Helper()
		ro, err := catalog.OpenReadOnly(path, catalog.Options{})
		must(t, err)
		defer closeCatalog(t, ro)
		hosts, err := ro.Hosts(t.Context())
		if must(t, err); len(hosts) != want {
			t.Errorf("a reader sees %d hosts, want %d", len(hosts), want)
		}
		for _, err := range []error{
			ro.Record(t.Context(), answer("c", start())), ro.Configure(t.Context(), nil), ro.SaveStates(t.Context(), states()),
			ro.SaveReport(t.Context(), munin.Report{}),
		} {
			if err == nil || !strings.Contains(err.Error(), "reading only") {
				t.Errorf("a reader could write: %v", err)
			}
		}
	}
	reader(0)
	must(t, c.Record(t.Context(), answer("a", start())))
	must(t, c.Record(t.Context(), answer("b", start())))
	reader(2)
	closeCatalog(t, c)
	reader(2)
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}

func TestAReaderNeedsNoRightToWriteWhileNobodyWrites(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may write everywhere")
	}
	path := filepath.Join(t.TempDir(), "catalog.db")
	c := open(t, path)
	must(t, c.Record(t.Context(), answer("a", start())))
	closeCatalog(t, c)
	must(t, os.Chmod(filepath.Dir(path), 0o500))
	t.Cleanup(func() { must(t, os.Chmod(filepath.Dir(path), 0o700)) })
	ro, err := catalog.OpenReadOnly(path, catalog.Options{})
	must(t, err)
	defer closeCatalog(t, ro)
	if hosts, err := ro.Hosts(t.Context()); err != nil || len(hosts) != 1 {
		t.Errorf("a reader sees %v, %v", hosts, err)
	}
}

func TestOpeningAgainMakesNoCopy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.db")
	closeCatalog(t, open(t, path))
	closeCatalog(t, open(t, path))
	if found, err := filepath.Glob(path + ".before-*"); err != nil || len(found) != 0 {
		t.Errorf("copies: %v, %v", found, err)
	}
}

func TestAnOlderCatalogueIsCopiedAndBroughtUpToDate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.db")
	c := open(t, path)
	must(t, c.Record(t.Context(), answer("web;a", start(), "cpu")))
	must(t, c.SaveStates(t.Context(), states()))
	closeCatalog(t, c)

	const broken = "-- +goose Up\nALTER TABLE hosts ADD COLUMN note TEXT;\nALTER TABLE nonsense ADD COLUMN note TEXT;\n"
	if c, err := catalog.OpenWithStep(path, "00099_broken.sql", broken); err == nil {
		closeCatalog(t, c)
		t.Fatal("a migration that fails gave no error")
	}
	wantOld := func(path string) {
		t.Helper()
		c := open(t, path)
		hosts, err := c.Hosts(t.Context())
		if err != nil || len(hosts) != 1 || hosts[0].ID != "web;a" {
			t.Errorf("%s holds %v, %v", path, hosts, err)
		}
		closeCatalog(t, c)
	}
	wantOld(path) // nothing of the broken one is left

	const step = "-- +goose Up\nALTER TABLE hosts ADD COLUMN note TEXT NOT NULL DEFAULT 'x';\n"
	c, err := catalog.OpenWithStep(path, "00099_note.sql", step)
	must(t, err)
	hosts, err := c.Hosts(t.Context())
	if err != nil || len(hosts) != 1 {
		t.Errorf("after the migration: %v, %v", hosts, err)
	}
	if got, err := c.States(t.Context()); err != nil || len(got) != len(states()) {
		t.Errorf("after the migration %d states, %v", len(got), err)
	}
	closeCatalog(t, c)
	if c, err := catalog.Open(path, catalog.Options{}); err == nil {
		closeCatalog(t, c)
		t.Error("the program before opened the newer catalogue")
	}
	wantOld(path + ".before-99")
}
