package main

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// startDemo serves the made-up fleet, with so much history, until the test ends, and returns the address of its pages.
func startDemo(tb testing.TB, dir, history string) (*process, string) {
	tb.Helper()
	p := start(tb, "corbie demo", nil, "corbie", "demo", "--dir", dir, "--history", history, "--listen", "127.0.0.1:0")
	_, address, _ := strings.Cut(p.waitFor(tb, "msg=listening"), " url=")
	address, _, _ = strings.Cut(address, " ")
	return p, address
}

func fetchPage(t *testing.T, url string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := new(http.Client).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v\n%s", url, answer.Status, err, body)
	}
	return string(body)
}

func TestTheDemonstrationHasSomethingToShow(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "demo")
	p, address := startDemo(t, dir, "60d")
	front := fetchPage(t, address+"/")
	for _, name := range []string{"www1.example.com", "db2.example.com", "imap1.example.com", "nas1.example.com"} {
		if !strings.Contains(front, name) {
			t.Errorf("the overview does not name %s", name)
		}
	}
	problems := fetchPage(t, address+"/problems")
	for _, what := range []string{"www6.example.com", "df._dev_md0", "raid.md0", "postfix_mailqueue.deferred", "ntp_offset.offset"} {
		if !strings.Contains(problems, what) {
			t.Errorf("the problems do not name %s", what)
		}
	}
	if report := fetchPage(t, address+"/capacity"); !strings.Contains(report, "/var/lib/mysql") || !strings.Contains(report, "/var/mail") {
		t.Error("the report does not name the disks that fill up")
	}
	// Samples of the last weeks, and hours before them.
	for _, days := range []string{"now-2d", "now-50d"} {
		rows := strings.Count(fetchPage(t, address+"/h/www1.example.com/load.csv?from="+days), "\n")
		if rows < 100 {
			t.Errorf("%d rows since %s", rows, days)
		}
	}
	// The nodes are polled, and only the silent one does not answer.
	p.waitFor(t, "a poll was given up")
	if log := p.logged(); strings.Count(log, "given up") != strings.Count(log, "host=web;www6.example.com") {
		t.Errorf("other hosts are silent, too:\n%s", log)
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-p.done
	if !p.cmd.ProcessState.Success() {
		t.Errorf("it ended with %s", p.cmd.ProcessState)
	}
}

func TestTheDemonstrationEmptiesNoFolderButItsOwn(t *testing.T) {
	dir := t.TempDir()
	precious := filepath.Join(dir, "precious")
	writeFile(t, precious, "mine", 0o600)
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
