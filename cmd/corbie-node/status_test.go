package main_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"corbie/internal/testenv"
)

// verb runs corbie-node to its end.
func verb(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, talk strings.Builder
	cmd := exec.CommandContext(t.Context(), "corbie-node", args...)
	cmd.Stdout, cmd.Stderr = &out, &talk
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), talk.String(), cmd.ProcessState.ExitCode()
}

func TestStatusSaysWhyAPluginIsMissing(t *testing.T) {
	t.Parallel()
	dir := testenv.PublicDir(t)
	testenv.WriteFile(t, filepath.Join(dir, "plugins/good"), "#!/bin/sh\n[ \"$1\" = config ] && echo graph_title x || echo x.value 1\n", 0o755)
	testenv.WriteFile(t, filepath.Join(dir, "node.conf"), fmt.Sprintf("native no\nservicedir %s/plugins\nstatedir %s/state\n", dir, dir), 0o644)
	d := startNode(t, "corbie-node", "--config", filepath.Join(dir, "node.conf"))
	ask(t, d.addr, "list")
	if out, talk, code := verb(t, "status", "--address", d.addr); code != 0 || !strings.Contains(out, "good    ok     ") {
		t.Errorf("exit %d\n%s%s", code, out, talk)
	}

	testenv.WriteFile(t, filepath.Join(dir, "plugins/broken"), "#!/bin/sh\n[ \"$1\" = config ] && echo graph_title x && exit\necho no such table >&2\nexit 3\n", 0o755)
	ask(t, d.addr, "list\nfetch good\nconfig broken\nfetch broken")
	out, talk, code := verb(t, "status", "--address", d.addr)
	if code != 1 || talk != "" || !strings.Contains(out, "broken  fetch fails  ") ||
		!strings.HasSuffix(out, "\nbroken:\n    bad exit: exit status 3\n    no such table\n") {
		t.Errorf("exit %d\n%s%s", code, out, talk)
	}

	out, talk, code = verb(t, "status", "--address", d.addr, "--format", "json")
	var said struct {
		Plugins []struct {
			Plugin, Verb, Failure, Stderr string
			OK                            bool
			ExitCode                      int `json:"exit_code"`
			Ran, Good                     string
		}
		Spool *struct{}
	}
	if err := json.Unmarshal([]byte(out), &said); err != nil || code != 1 || len(said.Plugins) != 2 || said.Spool != nil {
		t.Fatalf("exit %d, %v\n%s%s", code, err, out, talk)
	}
	broken, good := said.Plugins[0], said.Plugins[1]
	if broken.Plugin != "broken" || broken.OK || broken.ExitCode != 3 || broken.Verb != "fetch" || broken.Stderr != "no such table" || broken.Good == "" {
		t.Errorf("broken: %+v", broken)
	}
	if !good.OK || good.Good != good.Ran || good.Failure != "" {
		t.Errorf("good: %+v", good)
	}
	d.Stop(t)
	if _, talk, code := verb(t, "status", "--address", d.addr); code != 1 || !strings.Contains(talk, "is the node running") {
		t.Errorf("exit %d: %s", code, talk)
	}
}

func TestStatusTellsOfTheSpool(t *testing.T) {
	t.Parallel()
	d := spoolNode(t, filepath.Join(t.TempDir(), "spool"), "native load\n")
	awaitSamples(t, d.addr, 2)
	out, talk, code := verb(t, "status", "--address", d.addr)
	if code != 0 || !regexp.MustCompile(`\n\nspool: \d+ samples in 0\.\d MB, the oldest .* ago, the newest .*\n    no master has fetched it yet\n$`).MatchString(out) {
		t.Errorf("exit %d\n%s%s", code, out, talk)
	}
	ask(t, d.addr, fmt.Sprintf("spoolfetch %d", time.Now().Unix()-2))
	out, talk, code = verb(t, "status", "--address", d.addr, "--format", "json")
	var said struct {
		Spool struct {
			Samples, Lost uint64
			Fetched       *time.Time
		}
	}
	if err := json.Unmarshal([]byte(out), &said); err != nil || code != 0 || said.Spool.Samples < 2 || said.Spool.Lost != 0 || said.Spool.Fetched == nil {
		t.Errorf("exit %d, %v\n%s%s", code, err, out, talk)
	}
	d.Stop(t)
}

func TestStatusAsksWhereTheConfigurationListens(t *testing.T) {
	t.Parallel()
	dir := testenv.PublicDir(t)
	config := filepath.Join(dir, "node.conf")
	testenv.WriteFile(t, config, fmt.Sprintf("host unix://%s/socket\nhost_name n.example.com\nnative load\nservicedir %s/plugins\nstatedir %s/state\n", dir, dir, dir), 0o644)
	d := startDaemon(t, nil, "--config", config)
	conn, err := dialUnix(t, filepath.Join(dir, "socket"))
	if err != nil {
		t.Fatal(err)
	}
	askOn(t, conn, "list")
	for _, args := range [][]string{{"--config", config}, {"--address", "unix:" + dir + "/socket"}} {
		if out, talk, code := verb(t, append([]string{"status"}, args...)...); code != 0 || !strings.Contains(out, "load    ok     ") {
			t.Errorf("%v: exit %d\n%s%s", args, code, out, talk)
		}
	}
	d.Stop(t)
}

func TestStatusOfMuninsNodeIsNotKnown(t *testing.T) {
	t.Parallel()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		fmt.Fprintln(conn, "# munin node at old.example.com")
		for lines := bufio.NewScanner(conn); lines.Scan(); {
			switch word, _, _ := strings.Cut(lines.Text(), " "); word {
			case "cap":
				fmt.Fprintln(conn, "cap multigraph dirtyconfig")
			case "quit":
				return
			default:
				fmt.Fprintln(conn, "# Unknown command. Try cap, list, nodes, config, fetch, version or quit")
			}
		}
	}()
	_, talk, code := verb(t, "status", "--address", l.Addr().String())
	if code != 1 || !strings.Contains(talk, "it does not know the question") {
		t.Errorf("exit %d: %s", code, talk)
	}
	l.Close()
	<-over
	for _, address := range []string{"a b", ":"} {
		if _, talk, code := verb(t, "status", "--address", address); code != 2 {
			t.Errorf("--address %q: exit %d: %s", address, code, talk)
		}
	}
}
