package main_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"corbie/internal/testenv"
)

// TestRunsLeaveNeitherFilesNorChildrenBehind runs plugins of every kind 400 times, or as often as CORBIE_TEST_RUNS says, and then looks at what
// the node has open and which children it has.
func TestRunsLeaveNeitherFilesNorChildrenBehind(t *testing.T) {
	runs := 400
	if text := os.Getenv("CORBIE_TEST_RUNS"); text != "" {
		var err error
		if runs, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	dir := testenv.PublicDir(t)
	for name, script := range map[string]string{
		"good": "echo a.value 1", "bad": "echo a.value 1; echo oops >&2; exit 3", "forks": "(sleep 0.02; echo late >&2) & echo a.value 1",
		"killed": "kill -9 $$", "closes": "exec >&- 2>&-",
	} {
		testenv.WriteFile(t, filepath.Join(dir, "plugins", name), "#!/bin/sh\n"+script+"\n", 0o755)
	}
	testenv.WriteFile(t, filepath.Join(dir, "plugins/noprogram"), "no program\n", 0o755)
	config := filepath.Join(dir, "node.conf")
	testenv.WriteFile(t, config, "servicedir plugins\nsconfdir conf\nstatedir state\nnative load uptime\npeer_rate 0\n", 0o644)
	d := startNode(t, "corbie-node", "--config", config)
	names := []string{"good", "bad", "forks", "killed", "closes", "noprogram", "load", "uptime"}
	fetchMany(t, d.addr, names, len(names))
	before := openFiles(t, d.Cmd.Process.Pid)
	const sessions = 10
	for range sessions {
		fetchMany(t, d.addr, names, runs/sessions)
	}
	for limit := time.After(testenv.Patience); ; { // Sessions end, and what plugins left in the background.
		after, children := openFiles(t, d.Cmd.Process.Pid), childrenOf(t, d.Cmd.Process.Pid)
		if len(after) <= len(before) && len(children) == 0 {
			break
		}
		select {
		case <-limit:
			t.Fatalf("after %d runs: files %q, before %q, children %q", runs, after, before, children)
		case <-time.After(50 * time.Millisecond):
		}
	}
	t.Logf("%d runs: %d files open, as before, and no child; %.1f MB", runs, len(before), residentKB(t, d.Cmd.Process.Pid)/1024)
	d.Stop(t)
}

// fetchMany has one session in which it asks for plugins, one after the other.
func fetchMany(t *testing.T, addr string, names []string, times int) {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	if _, err := r.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	for i := range times {
		if _, err := fmt.Fprintf(conn, "fetch %s\n", names[i%len(names)]); err != nil {
			t.Fatal(err)
		}
		for line := ""; line != ".\n"; {
			if line, err = r.ReadString('\n'); err != nil {
				t.Fatalf("%s: %v", names[i%len(names)], err)
			}
		}
	}
}

// openFiles is what a process has open, but for what the kernel makes up.
func openFiles(t *testing.T, pid int) []string {
	t.Helper()
	folder := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var open []string
	for _, entry := range entries {
		if target, err := os.Readlink(filepath.Join(folder, entry.Name())); err == nil {
			open = append(open, target)
		}
	}
	return open
}

// childrenOf lists the children of a process, the dead ones that nobody has asked after too.
func childrenOf(t *testing.T, pid int) []string {
	t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil || len(tasks) == 0 {
		t.Fatalf("no tasks of %d: %v", pid, err)
	}
	var children []string
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		children = append(children, strings.Fields(string(text))...)
	}
	return children
}
