package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

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
