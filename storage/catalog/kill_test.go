package catalog_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"corbie/munin"
	"corbie/storage/catalog"
)

// slowStep is a migration that takes a while.
const slowStep = `-- +goose Up
ALTER TABLE hosts ADD COLUMN note TEXT NOT NULL DEFAULT 'x';
CREATE TABLE filler (n INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;
INSERT INTO filler WITH RECURSIVE count(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM count WHERE n < 30000)
	SELECT n, hex(randomblob(50)) FROM count;
`

// TestMain makes the test binary a program that can be killed while it brings a catalogue up to date.
func TestMain(m *testing.M) {
	path := os.Getenv("CORBIE_TEST_MIGRATE")
	if path == "" {
		os.Exit(m.Run()) //nolint:forbidigo // the test binary's main
	}
	c, err := catalog.OpenWithStep(path, "00099_slow.sql", slowStep)
	if err == nil {
		err = c.Close()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "child:", err)
		os.Exit(1) //nolint:forbidigo // the child's main
	}
}

// migrateAndDie brings a catalogue up to date in a process of its own, which is killed after a while, and says whether it was in time.
func migrateAndDie(t *testing.T, path string, after time.Duration) (killed bool) {
	t.Helper()
	exe, err := os.Executable()
	must(t, err)
	process, err := os.StartProcess(exe, []string{exe}, &os.ProcAttr{
		Env: append(os.Environ(), "CORBIE_TEST_MIGRATE="+path), Files: []*os.File{nil, os.Stderr, os.Stderr},
	})
	must(t, err)
	timer := time.AfterFunc(after, func() { _ = process.Kill() })
	defer timer.Stop()
	state, err := process.Wait()
	must(t, err)
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return true
	}
	if !state.Success() {
		t.Fatalf("the child failed: %v", state)
	}
	return false
}

func TestKillingAMigrationLeavesACatalogueThatOpens(t *testing.T) {
	dir := t.TempDir()
	old := filepath.Join(dir, "old.db")
	c := open(t, old)
	for i := range 50 {
		must(t, c.Record(t.Context(), answer(munin.HostID("web;host"+strconv.Itoa(i)), start(), "cpu", "df")))
	}
	must(t, c.SaveStates(t.Context(), states()))
	closeCatalog(t, c)
	text, err := os.ReadFile(old)
	must(t, err)
	began := time.Now()
	path := filepath.Join(dir, "whole.db")
	must(t, os.WriteFile(path, text, 0o600))
	migrateAndDie(t, path, time.Minute)
	whole := time.Since(began)

	count := 10
	if n := os.Getenv("CORBIE_TEST_KILLS"); n != "" {
		count, err = strconv.Atoi(n)
		must(t, err)
	}
	killed := map[string]int{}
	for round := range count {
		path := filepath.Join(dir, "round"+strconv.Itoa(round)+".db")
		must(t, os.WriteFile(path, text, 0o600))
		if migrateAndDie(t, path, time.Duration(rand.Int64N(int64(whole)))) {
			killed[progress(path)]++
		}
		c, err := catalog.OpenWithStep(path, "00099_slow.sql", slowStep)
		must(t, err)
		hosts, err := c.Hosts(t.Context())
		must(t, err)
		kept, err := c.States(t.Context())
		if must(t, err); len(hosts) != 50 || len(kept) != len(states()) {
			t.Fatalf("round %d: %d hosts, %d states", round, len(hosts), len(kept))
		}
		closeCatalog(t, c)
		before := open(t, path+".before-99")
		if hosts, err := before.Hosts(t.Context()); err != nil || len(hosts) != 50 {
			t.Fatalf("round %d: the copy has %d hosts, %v", round, len(hosts), err)
		}
		closeCatalog(t, before)
		for _, name := range []string{path, path + ".before-99"} {
			must(t, os.Remove(name))
		}
	}
	if len(killed) == 0 {
		t.Error("every migration ended before it was killed: the test shows nothing")
	}
	t.Logf("%d migrations, killed %v", count, killed)
}

// progress says how far a migration had come.
func progress(path string) string {
	if _, err := os.Stat(path + ".before-99"); !errors.Is(err, os.ErrNotExist) {
		return "after the copy was made"
	}
	if _, err := os.Stat(path + ".before-99.part"); !errors.Is(err, os.ErrNotExist) {
		return "while the copy was made"
	}
	return "before"
}
