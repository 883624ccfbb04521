package backup_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"corbie/munin"
	"corbie/storage"
	"corbie/storage/backup"
)

// objectOf finds the object of the first file of a backup whose path begins and ends so.
func objectOf(t *testing.T, dir, begins, ends string) (path, object string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "backup.json"))
	if err != nil {
		t.Fatal(err)
	}
	var listed struct {
		Files []struct {
			Path, SHA256 string
			Size         int64
		}
	}
	if err := json.Unmarshal(text, &listed); err != nil {
		t.Fatal(err)
	}
	for _, f := range listed.Files {
		if strings.HasPrefix(f.Path, begins) && strings.HasSuffix(f.Path, ends) && f.Size > 0 {
			return f.Path, filepath.Join(dir, "objects", f.SHA256[:2], f.SHA256)
		}
	}
	t.Fatalf("the backup has no %s…%s: %s", begins, ends, text)
	return "", ""
}

func flip(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)/2] ^= 0x55
	if err := os.Remove(path); err != nil { // it may be a link to a file of the master
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsGoodOfADamagedBackupComesBack(t *testing.T) {
	m := startMaster(t)
	all := everything(t, m.samples)
	for name, c := range map[string]struct {
		begins, ends string
		damage       func(t *testing.T, path string)
		says         string
		whole        bool // no value is lost
	}{
		"a chunk of a block":      {"raw/0", "/chunks/000001", flip, ": from 20", false},
		"a block's index is gone": {"raw/0", "/index", remove, ": from 20", false},
		"what a block is":         {"raw/0", "/meta.json", remove, "raw/0", false},
		"a block of hours":        {"hour/", "/index", flip, "hour/", true},
		"the log":                 {"raw/wal/", "", flip, "raw/wal: values of the last hours", false},
		"the catalogue":           {"catalog.db", "", flip, "hosts and graphs are learnt anew", true},
		"silences":                {"alerts/", "", remove, "alerts/silences", true},
	} {
		t.Run(name, func(t *testing.T) {
			dir, data := filepath.Join(t.TempDir(), "backup"), filepath.Join(t.TempDir(), "new")
			before, err := backup.Make(t.Context(), m.dir, dir, nil)
			if err != nil {
				t.Fatal(err)
			}
			damaged, object := objectOf(t, dir, c.begins, c.ends)
			c.damage(t, object)
			if _, err := backup.Restore(t.Context(), dir, data, nil); err == nil {
				t.Fatal("the damage was not seen")
			}
			result, leftOut, err := backup.RestoreGood(t.Context(), dir, data, nil)
			if err != nil || len(leftOut) != 1 || !strings.Contains(leftOut[0], c.says) || result.Files >= before.Files {
				t.Fatalf("%s: %+v, %q, %v", damaged, result, leftOut, err)
			}
			restored := &master{dir: data}
			restored.open(t)
			if set := restored.samples.Quarantined(); len(set) > 0 {
				t.Errorf("the master sets aside %v", set)
			}
			got := everything(t, restored.samples)
			if c.whole && len(got) != len(all) || !c.whole && (len(got) >= len(all) || len(got) == 0) {
				t.Errorf("%d values are there, of %d", len(got), len(all))
			}
			for at, v := range got {
				if all[at] != v {
					t.Fatalf("at %d: %v, want %v", at, v, all[at])
				}
			}
			restored.add(t, 300, 310) // it goes on
		})
	}
}

// everything is every raw value of one series, by time.
func everything(t *testing.T, samples *storage.Samples) map[int64]float64 {
	t.Helper()
	points, err := samples.Raw(t.Context(), ids()[1], munin.Range{From: time.Now().AddDate(0, 0, -100), To: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[int64]float64, len(points))
	for _, p := range points {
		out[p.T] = p.V
	}
	return out
}

func TestNothingComesBackOfABackupWithoutOneGoodFile(t *testing.T) {
	m := startMaster(t)
	dir := filepath.Join(t.TempDir(), "backup")
	if _, err := backup.Make(t.Context(), m.dir, dir, nil); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "objects")); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(t.TempDir(), "new")
	if _, _, err := backup.RestoreGood(t.Context(), dir, data, nil); err == nil || !strings.Contains(err.Error(), "nothing was changed") {
		t.Errorf("restored nothing: %v", err)
	}
	if _, err := os.Stat(data); err == nil {
		t.Error("the folder was made")
	}
	if _, _, err := backup.RestoreGood(t.Context(), dir, m.dir, nil); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("over a master: %v", err)
	}
}
