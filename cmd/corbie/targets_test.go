package main

import (
	"path/filepath"
	"strings"
	"testing"

	"corbie/internal/testenv"
)

// Files of targets are read again when they change, without being told to; a bad one changes nothing.
func TestANewTargetIsPolledWithoutAReload(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	conf := filepath.Join(dir, "corbie.yml")
	testenv.WriteFile(t, conf, "file_sd:\n  - files: [\""+dir+"/*.json\"]\n", 0o644)
	testenv.WriteFile(t, filepath.Join(dir, "a.json"), `[{"targets": ["127.0.0.1:1"], "labels": {"host": "one"}}]`, 0o644)
	data := t.TempDir()
	p := startMaster(t, data, conf)
	testenv.WriteFile(t, filepath.Join(dir, "b.json"), `[{"targets": ["127.0.0.1:2"], "labels": {"host": "two"}}]`, 0o644)
	p.WaitFor(t, "configuration reloaded")
	if out := mustCorbie(t, "hosts", "--data", data); !strings.Contains(out, "one ") || !strings.Contains(out, "two ") {
		t.Errorf("hosts:\n%s", out)
	}
	testenv.WriteFile(t, filepath.Join(dir, "b.json"), `[{"target`, 0o644)
	if line := p.WaitFor(t, "the old one stays in force"); !strings.Contains(line, "b.json: this is not YAML") {
		t.Errorf("log: %s", line)
	}
}
