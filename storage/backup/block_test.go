package backup_test

import (
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"corbie/storage"
	"corbie/storage/backup"
)

// stopped is a master with a backup, and is stopped.
func stopped(t *testing.T) (m *master, dir string) {
	t.Helper()
	m, dir = startMaster(t), filepath.Join(t.TempDir(), "backup")
	if _, err := backup.Make(t.Context(), m.dir, dir, nil); err != nil {
		t.Fatal(err)
	}
	if err := m.samples.Close(); err != nil {
		t.Fatal(err)
	}
	return m, dir
}

// oldestBlock is the path of the first block in a folder of the data folder.
func oldestBlock(t *testing.T, data, folder string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(data, folder, "0*", "meta.json"))
	if err != nil || len(found) == 0 {
		t.Fatalf("no block in %s: %v", folder, err)
	}
	return folder + "/" + filepath.Base(filepath.Dir(found[0]))
}

// damage flips a bit of a file, not of those that are linked to it.
func damage(t *testing.T, file string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 4
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func faults(t *testing.T, data string) []storage.Fault {
	t.Helper()
	found, err := storage.Verify(t.Context(), data, nil)
	if err != nil {
		t.Fatal(err)
	}
	return found.Faults
}

func TestADamagedBlockComesBackFromABackup(t *testing.T) {
	m, dir := stopped(t)
	for _, folder := range []string{"raw", "hour", "day"} {
		block := oldestBlock(t, m.dir, folder)
		damage(t, filepath.Join(m.dir, block, "chunks", "000001"))
		found := faults(t, m.dir)
		if len(found) != 1 || found[0].Path != block {
			t.Fatalf("found %+v", found)
		}
		r, err := backup.RestoreBlock(t.Context(), dir, m.dir, found[0].Path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(r.Aside, "chunks", "000001")); err != nil || r.Bytes == 0 || !r.From.Before(r.To) {
			t.Errorf("restored %+v, %v", r, err)
		}
		if found := faults(t, m.dir); len(found) > 0 {
			t.Errorf("after it was restored %+v is damaged", found)
		}
	}
	// One that the start has set aside comes back likewise, and all is as it was.
	block := oldestBlock(t, m.dir, "raw")
	if err := os.MkdirAll(filepath.Join(m.dir, "raw", "quarantine"), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(m.dir, block), filepath.Join(m.dir, "raw", "quarantine", path.Base(block))); err != nil {
		t.Fatal(err)
	}
	if _, err := backup.RestoreBlock(t.Context(), dir, m.dir, block, nil); err != nil {
		t.Fatal(err)
	}
	m.open(t)
	whole := &master{dir: filepath.Join(t.TempDir(), "whole")}
	if _, err := backup.Restore(t.Context(), dir, whole.dir, nil); err != nil {
		t.Fatal(err)
	}
	whole.open(t)
	wantSame(t, m, whole)
}

func TestABlockComesBackOnlyWhereThatIsSafe(t *testing.T) {
	m, dir := stopped(t)
	block := oldestBlock(t, m.dir, "raw")
	refused := func(block, want string) {
		t.Helper()
		before := faults(t, m.dir)
		_, err := backup.RestoreBlock(t.Context(), dir, m.dir, block, nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("restoring %s: %v, want %q", block, err, want)
		}
		if after := faults(t, m.dir); len(after) != len(before) {
			t.Errorf("the refusal %q changed something: %+v, then %+v", want, before, after)
		}
		for _, left := range []string{"set-aside", ".restore.part"} {
			if _, err := os.Stat(filepath.Join(m.dir, left)); err == nil {
				t.Errorf("after the refusal %q there is %s", want, left)
			}
		}
	}
	refused(block, "is whole")
	refused("raw/../catalog.db", "want the path of a block")
	refused("/etc/passwd", "want the path of a block")
	refused("alerts/"+path.Base(block), "want the path of a block")
	refused("raw/01ARZ3NDEKTSV4RRFFQ69G5FAV", "does not have it")

	// Its samples are in another block by now.
	place, other := filepath.Join(m.dir, block), filepath.Join(m.dir, "raw", "01ARZ3NDEKTSV4RRFFQ69G5FAV")
	if err := os.Rename(place, other); err != nil {
		t.Fatal(err)
	}
	refused(block, "by now")
	if err := os.Rename(other, place); err != nil {
		t.Fatal(err)
	}

	// The backup is damaged.
	damage(t, filepath.Join(place, "index"))
	objects, err := filepath.Glob(filepath.Join(dir, "objects", "*", "*"))
	if err != nil || len(objects) == 0 {
		t.Fatal(objects, err)
	}
	for _, object := range objects {
		damage(t, object)
	}
	refused(block, "checksum")
}
