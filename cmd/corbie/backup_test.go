package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"corbie/internal/testenv"
)

func TestABackupOfARunningMasterExportsTheSameWhenItIsRestored(t *testing.T) {
	t.Parallel()
	plugins := testenv.PublicDir(t)
	testenv.WriteFile(t, filepath.Join(plugins, "clock"), "#!/bin/sh\necho graph_title Clock\necho f.label f\necho \"f.value $(date +%s)\"\n", 0o755)
	data, dir, place := t.TempDir(), filepath.Join(t.TempDir(), "backup"), filepath.Join(t.TempDir(), "new")
	startMaster(t, data, writeConfig(t, startNode(t, plugins), ""))
	var shown map[string]string
	testenv.Eventually(t, "some values are stored", func() bool {
		shown = exported(t, data)
		return len(shown) > 2
	})
	if out := mustCorbie(t, "backup", dir, "--data", data); !strings.Contains(out, "of it new") {
		t.Errorf("backup says %q", out)
	}
	if out := mustCorbie(t, "backup", "--check", dir); !strings.Contains(out, "is whole") {
		t.Errorf("check says %q", out)
	}
	if _, talk, code := corbie(t, "restore", dir, "--data", data); code != exitFailed || !strings.Contains(talk, "not empty") {
		t.Errorf("restore over a running master: exit %d, %s", code, talk)
	}
	mustCorbie(t, "restore", dir, "--data", place)
	restored := exported(t, place)
	for key, value := range shown {
		if restored[key] != value {
			t.Errorf("%s is %q, want %q", key, restored[key], value)
		}
	}
	if _, err := os.Stat(filepath.Join(place, "catalog.db")); err != nil {
		t.Error(err)
	}
}

func TestADamagedBackupSaysHowToHaveTheRest(t *testing.T) {
	data, dir, place := t.TempDir(), filepath.Join(t.TempDir(), "backup"), filepath.Join(t.TempDir(), "new")
	mustCorbie(t, "import", "munin", "--dbdir", muninDB(t, time.Now().Unix()/86400*86400), "--data", data)
	mustCorbie(t, "backup", dir, "--data", data)
	var largest string
	var size int64
	if err := filepath.WalkDir(filepath.Join(dir, "objects"), func(path string, e os.DirEntry, err error) error {
		if info, statErr := e.Info(); err == nil && statErr == nil && !e.IsDir() && info.Size() > size {
			largest, size = path, info.Size()
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(largest); err != nil {
		t.Fatal(err)
	}
	if _, talk, code := corbie(t, "backup", "--check", dir); code != exitFailed || !strings.Contains(talk, "make the backup again") {
		t.Errorf("check: exit %d: %s", code, talk)
	}
	if _, talk, code := corbie(t, "restore", dir, "--data", place); code != exitFailed || !strings.Contains(talk, "--leave-out-damaged brings back the rest") {
		t.Errorf("restore: exit %d: %s", code, talk)
	}
	out, talk, code := corbie(t, "restore", "--leave-out-damaged", dir, "--data", place)
	if code != exitOK || !strings.Contains(talk, "left out, as it is damaged: ") || !strings.Contains(out, "is restored as of") {
		t.Errorf("the rest: exit %d: %s%s", code, out, talk)
	}
	if _, err := os.Stat(filepath.Join(place, "imported")); err != nil {
		t.Error(err)
	}
}
