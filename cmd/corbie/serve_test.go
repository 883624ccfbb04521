package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestAReloadSaysWhatTakesEffectOnlyAtTheNextStart(t *testing.T) {
	dir := t.TempDir()
	conf := filepath.Join(dir, "corbie.yml")
	writeFile(t, conf, "interval: 1m\n", 0o644)
	master := startMaster(t, filepath.Join(dir, "data"), conf)
	writeFile(t, conf, "interval: 2m\nconcurrency: 7\nnotify: {wait: 5s}\n", 0o644)
	if err := master.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	master.waitFor(t, "configuration reloaded")
	for key, want := range map[string]bool{"concurrency": true, "notify": true, "interval": false, "listen": false, "retention": false} {
		if got := strings.Contains(master.logged(), "when the master is started again\" key="+key); got != want {
			t.Errorf("%s is named: %v, want %v\n%s", key, got, want, master.logged())
		}
	}
}

func TestADamagedCatalogueSaysWhatToDo(t *testing.T) {
	dir := t.TempDir()
	conf := filepath.Join(dir, "corbie.yml")
	writeFile(t, conf, "interval: 1m\n", 0o644)
	writeFile(t, filepath.Join(dir, catalogFile), strings.Repeat("this is no database\n", 500), 0o644)
	_, talk, code := corbie(t, "serve", "--config", conf, "--data", dir, "--listen", "127.0.0.1:0")
	if code != exitFailed || !strings.Contains(talk, "move it away and start again") {
		t.Errorf("exit %d: %s", code, talk)
	}
	if err := os.Rename(filepath.Join(dir, catalogFile), filepath.Join(dir, "old")); err != nil {
		t.Fatal(err)
	}
	startMaster(t, dir, conf)
}

func TestServeRefusesAnIntervalOfNothing(t *testing.T) {
	_, talk, code := corbie(t, "serve", "--interval", "0s", "--data", t.TempDir())
	if code != exitUsage || !strings.Contains(talk, "--interval") {
		t.Errorf("exit %d: %s", code, talk)
	}
}
