package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"corbie/internal/testenv"
)

// startDemo serves the made-up fleet, with so much history, until the test ends.
func startDemo(tb testing.TB, dir, history string) *process {
	tb.Helper()
	p := start(tb, "corbie demo", nil, "corbie", "demo", "--dir", dir, "--history", history, "--listen", "127.0.0.1:0")
	p.WaitFor(tb, "msg=listening")
	return p
}

func TestTheDemonstrationHasSomethingToShow(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "demo")
	p := startDemo(t, dir, "12d")
	front := p.page(t, "/")
	for _, name := range []string{"www1.example.com", "db2.example.com", "imap1.example.com", "nas1.example.com"} {
		if !strings.Contains(front, name) {
			t.Errorf("the overview does not name %s", name)
		}
	}
	problems := p.page(t, "/problems")
	for _, what := range []string{"www6.example.com", "df._dev_md0", "raid.md0", "postfix_mailqueue.deferred", "ntp_offset.offset"} {
		if !strings.Contains(problems, what) {
			t.Errorf("the problems do not name %s", what)
		}
	}
	if report := p.page(t, "/capacity"); !strings.Contains(report, "/var/lib/mysql") || !strings.Contains(report, "/var/mail") {
		t.Error("the report does not name the disks that fill up")
	}
	// Samples of the last days, and hours before them.
	value := regexp.MustCompile(`(?m),[0-9.]+$`)
	for _, days := range []string{"from=now-2d&to=now", "from=now-11d&to=now-7d"} {
		if rows := value.FindAllString(p.page(t, "/h/www1.example.com/load.csv?"+days), -1); len(rows) < 90 {
			t.Errorf("%d values with %s", len(rows), days)
		}
	}
	// The nodes are polled, and only the silent one does not answer.
	p.WaitFor(t, "a poll was given up")
	if log := p.Log(); strings.Count(log, "given up") != strings.Count(log, "host=web;www6.example.com") {
		t.Errorf("other hosts are silent, too:\n%s", log)
	}
	p.Stop(t)
}

func TestTheDemonstrationEmptiesNoFolderButItsOwn(t *testing.T) {
	dir := t.TempDir()
	precious := filepath.Join(dir, "precious")
	testenv.WriteFile(t, precious, "mine", 0o600)
	_, talk, code := corbie(t, "demo", "--dir", dir)
	if code != exitUsage || !strings.Contains(talk, "a folder of its own") {
		t.Errorf("exit %d: %s", code, talk)
	}
	if _, err := os.Stat(precious); err != nil {
		t.Error(err)
	}
	if _, talk, code = corbie(t, "demo", "--history", "5m", "--dir", t.TempDir()); code != exitUsage || !strings.Contains(talk, "--history") {
		t.Errorf("exit %d: %s", code, talk)
	}
}
