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

func TestPollSaysThatANodeDoesNotOfferAPlugin(t *testing.T) {
	plugins := publicDir(t)
	writeFile(t, filepath.Join(plugins, "big"), "#!/bin/sh\n[ \"$1\" = config ] && echo v.label v || echo v.value 1234567890\n", 0o755)
	address := startNode(t, plugins)
	_, talk, code := corbie(t, "poll", address, "--plugin", "nothing")
	if code != exitFailed || !strings.Contains(talk, "the node does not offer nothing") {
		t.Errorf("exit %d: %s", code, talk)
	}
	dir := t.TempDir()
	conf := filepath.Join(dir, "corbie.yml")
	writeFile(t, conf, "interval: 1s\nhosts: {node.test: '"+address+"'}\n", 0o644)
	startMaster(t, dir, conf)
	eventually(t, "a value is exported with all its digits", func() bool {
		out, _, _ := corbie(t, "export", "node.test", "big", "--data", dir)
		return strings.Contains(out, ",big,v,1234567890\n")
	})
}
