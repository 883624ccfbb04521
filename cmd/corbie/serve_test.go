package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"corbie/internal/testenv"
)

func TestAReloadSaysWhatTakesEffectOnlyAtTheNextStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	conf := filepath.Join(dir, "corbie.yml")
	testenv.WriteFile(t, conf, "interval: 1m\n", 0o644)
	master := startMaster(t, filepath.Join(dir, "data"), conf)
	testenv.WriteFile(t, conf, "interval: 2m\nconcurrency: 7\nnotify: {wait: 5s}\n", 0o644)
	master.Signal(t, syscall.SIGHUP)
	master.WaitFor(t, "configuration reloaded")
	for key, want := range map[string]bool{"concurrency": true, "notify": true, "interval": false, "listen": false, "retention": false} {
		if got := strings.Contains(master.Log(), "when the master is started again\" key="+key); got != want {
			t.Errorf("%s is named: %v, want %v\n%s", key, got, want, master.Log())
		}
	}
}

func TestFactsAreOnThePagesAndReloaded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	conf := filepath.Join(dir, "corbie.yml")
	text := "interval: 1m\ngroups: {web: {facts: {owner: web team}}}\nhosts: {\"web;www1\": {address: \"127.0.0.1:1\", facts: {rack: B7}}}\n"
	testenv.WriteFile(t, conf, text, 0o644)
	master := startMaster(t, filepath.Join(dir, "data"), conf)
	got := master.page(t, "/inventory.csv")
	if !strings.Contains(got, ",owner,rack\n") || !strings.Contains(got, ",web team,B7\n") {
		t.Errorf("the inventory is %q", got)
	}
	testenv.WriteFile(t, conf, strings.Replace(text, "rack: B7", "rack: C2, ipmi: yes", 1), 0o644)
	master.Signal(t, syscall.SIGHUP)
	master.WaitFor(t, "configuration reloaded")
	if got = master.page(t, "/h/www1"); !strings.Contains(got, "C2") || strings.Contains(got, "B7") {
		t.Errorf("the page of the host shows the facts of before: %s", got)
	}
}

func TestADamagedCatalogueIsSetAsideAndThatIsAProblem(t *testing.T) {
	t.Parallel()
	plugins := testenv.PublicDir(t)
	testenv.WriteFile(t, filepath.Join(plugins, "one"), "#!/bin/sh\n[ \"$1\" = config ] && echo v.label v || echo v.value 1\n", 0o755)
	conf := writeConfig(t, startNode(t, plugins), "")
	dir := t.TempDir()
	stored := func() bool {
		out, _, _ := corbie(t, "export", "web1", "one", "--data", dir)
		return strings.Contains(out, ",one,v,1\n")
	}
	startMaster(t, dir, conf)
	testenv.Eventually(t, "a value is stored", stored)
	for _, damage := range []func(path string) error{
		func(path string) error {
			return os.WriteFile(path, []byte(strings.Repeat("this is no database\n", 500)), 0o600)
		},
		func(path string) error {
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for i := 4096; i < len(text); i++ { // all pages but the first
				text[i] ^= byte(i)
			}
			return os.WriteFile(path, text, 0o600)
		},
	} {
		data := dir
		dir = t.TempDir()
		mustCorbie(t, "backup", filepath.Join(dir, "copy"), "--data", data)
		dir = filepath.Join(dir, "data")
		mustCorbie(t, "restore", filepath.Join(dir, "..", "copy"), "--data", dir)
		if err := damage(filepath.Join(dir, catalogFile)); err != nil {
			t.Fatal(err)
		}
		master := startMaster(t, dir, conf)
		if !strings.Contains(master.Log(), "the catalogue was damaged and is set aside") {
			t.Errorf("it does not say what it did:\n%s", master.Log())
		}
		testenv.Eventually(t, "values are stored again", stored)
		testenv.Eventually(t, "it is a problem", func() bool {
			out, _, _ := corbie(t, "problems", "--data", dir)
			return strings.Contains(out, "corbie_storage")
		})
	}
}

func TestASecondMasterIsRefusedAtOnceAndOneAfterAKillIsNot(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	conf := filepath.Join(dir, "corbie.yml")
	testenv.WriteFile(t, conf, "interval: 1m\n", 0o644)
	data := filepath.Join(dir, "data")
	for range 3 {
		first := startMaster(t, data, conf)
		_, talk, code := corbie(t, "serve", "--config", conf, "--data", data, "--listen", "127.0.0.1:0")
		if want := "is in use by process " + strconv.Itoa(first.Cmd.Process.Pid); code != exitFailed || !strings.Contains(talk, want) {
			t.Errorf("exit %d: %s", code, talk)
		}
		first.Kill()
	}
}

func TestServeRefusesAnIntervalOfNothing(t *testing.T) {
	_, talk, code := corbie(t, "serve", "--interval", "0s", "--data", t.TempDir())
	if code != exitUsage || !strings.Contains(talk, "--interval") {
		t.Errorf("exit %d: %s", code, talk)
	}
}

func TestPollSaysThatANodeDoesNotOfferAPlugin(t *testing.T) {
	t.Parallel()
	plugins := testenv.PublicDir(t)
	testenv.WriteFile(t, filepath.Join(plugins, "big"), "#!/bin/sh\n[ \"$1\" = config ] && echo v.label v || echo v.value 1234567890\n", 0o755)
	address := startNode(t, plugins)
	_, talk, code := corbie(t, "poll", address, "--plugin", "nothing")
	if code != exitFailed || !strings.Contains(talk, "the node does not offer nothing") {
		t.Errorf("exit %d: %s", code, talk)
	}
	dir := t.TempDir()
	conf := filepath.Join(dir, "corbie.yml")
	testenv.WriteFile(t, conf, "interval: 1s\nhosts: {node.test: '"+address+"'}\n", 0o644)
	startMaster(t, dir, conf)
	testenv.Eventually(t, "a value is exported with all its digits", func() bool {
		out, _, _ := corbie(t, "export", "node.test", "big", "--data", dir)
		return strings.Contains(out, ",big,v,1234567890\n")
	})
}

func TestDamagedSilencesSayWhatToDo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	conf := filepath.Join(dir, "corbie.yml")
	testenv.WriteFile(t, conf, "interval: 1m\n", 0o644)
	if err := os.Mkdir(filepath.Join(dir, alertsFolder), 0o750); err != nil {
		t.Fatal(err)
	}
	silences := filepath.Join(dir, alertsFolder, "silences")
	testenv.WriteFile(t, silences, "\x08these are no silences", 0o644)
	_, talk, code := corbie(t, "serve", "--config", conf, "--data", dir, "--listen", "127.0.0.1:0")
	if code != exitFailed || !strings.Contains(talk, silences) || !strings.Contains(talk, "move it away and start again") {
		t.Errorf("exit %d: %s", code, talk)
	}
	if err := os.Remove(silences); err != nil {
		t.Fatal(err)
	}
	startMaster(t, dir, conf)
}

func TestADamagedNotificationLogIsUsedUpToTheDamage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	conf := filepath.Join(dir, "corbie.yml")
	testenv.WriteFile(t, conf, "interval: 1m\n", 0o644)
	if err := os.Mkdir(filepath.Join(dir, alertsFolder), 0o750); err != nil {
		t.Fatal(err)
	}
	testenv.WriteFile(t, filepath.Join(dir, alertsFolder, "nflog"), "\x08this is no log", 0o644)
	master := startMaster(t, dir, conf)
	if !strings.Contains(master.Log(), "dropped the torn end of the notification log") {
		t.Errorf("the log does not say that something was dropped:\n%s", master.Log())
	}
}
