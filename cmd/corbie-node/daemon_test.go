package main_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// daemon is a program that serves until it is told to stop.
type daemon struct {
	cmd    *exec.Cmd
	addr   string
	ended  chan error
	mu     sync.Mutex
	stderr strings.Builder
}

// startNode starts "corbie-node serve" on a free port and waits until it listens.
func startNode(tb testing.TB, program string, args ...string) *daemon {
	tb.Helper()
	d := &daemon{ended: make(chan error, 1)}
	d.cmd = exec.CommandContext(tb.Context(), program, append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)...)
	d.launch(tb)
	return d
}

// launch starts the program and waits until it listens.
func (d *daemon) launch(tb testing.TB) {
	tb.Helper()
	stderr, err := d.cmd.StderrPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	addr := make(chan string, 1)
	go func() {
		d.read(stderr, addr)
		d.ended <- d.cmd.Wait()
	}()
	tb.Cleanup(func() {
		_ = d.cmd.Process.Kill() // A test that wants it to end well has stopped it already.
	})
	select {
	case d.addr = <-addr:
	case err := <-d.ended:
		tb.Fatalf("the node ended with %v:\n%s", err, d.log())
	case <-time.After(20 * time.Second):
		tb.Fatalf("the node does not listen:\n%s", d.log())
	}
}

func (d *daemon) read(stderr io.Reader, addr chan<- string) {
	listening := regexp.MustCompile(`msg=listening address=(\S+)`)
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		d.mu.Lock()
		d.stderr.WriteString(lines.Text() + "\n")
		d.mu.Unlock()
		if found := listening.FindStringSubmatch(lines.Text()); found != nil {
			addr <- found[1]
		}
	}
}

func (d *daemon) log() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stderr.String()
}

// awaitLog waits until the daemon has said something.
func (d *daemon) awaitLog(t *testing.T, text string) {
	t.Helper()
	limit := time.After(10 * time.Second)
	for !strings.Contains(d.log(), text) {
		select {
		case <-limit:
			t.Fatalf("the node does not say %q:\n%s", text, d.log())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// stop tells it to stop and wants it to end well.
func (d *daemon) stop(tb testing.TB) {
	tb.Helper()
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		tb.Fatal(err)
	}
	select {
	case err := <-d.ended:
		if err != nil {
			tb.Errorf("the node ended with %v:\n%s", err, d.log())
		}
	case <-time.After(20 * time.Second):
		tb.Errorf("the node does not stop:\n%s", d.log())
	}
}

// ask sends commands and returns all that the node says until it closes.
func ask(t *testing.T, addr, commands string) string {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, commands+"\nquit\n"); err != nil {
		t.Fatal(err)
	}
	heard, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(heard)
}

func write(tb testing.TB, path, text string, mode os.FileMode) {
	tb.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		tb.Fatal(err)
	}
}

func TestServeWithoutConfigurationOffersTheNativePlugins(t *testing.T) {
	empty := t.TempDir()
	d := startNode(t, "corbie-node", "--servicedir", empty, "--sconfdir", empty)
	heard := ask(t, d.addr, "cap multigraph dirtyconfig\nlist\nconfig load\nfetch load")
	lines := strings.Split(heard, "\n")
	if !strings.HasPrefix(lines[0], "# munin node at ") || lines[1] != "cap multigraph dirtyconfig" {
		t.Errorf("heard %q", lines[:2])
	}
	for _, name := range []string{"cpu", "load", "memory", "uptime", "processes"} {
		if !strings.Contains(" "+lines[2]+" ", " "+name+" ") {
			t.Errorf("%s is not in the list %q", name, lines[2])
		}
	}
	if !regexp.MustCompile(`(?m)^load\.value [0-9.]+$`).MatchString(heard) {
		t.Errorf("heard %s", heard)
	}
	d.stop(t)
	if !strings.Contains(d.log(), "only this machine may ask") || !strings.Contains(d.log(), "msg=stopped") {
		t.Errorf("log:\n%s", d.log())
	}
}

func TestHangupReadsTheConfigurationAnewUnlessItIsWrong(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "node.conf")
	const base = "servicedir plugins\nsconfdir conf\n"
	write(t, config, base+"host_name before.example.com\nnative load\n", 0o600)
	d := startNode(t, "corbie-node", "--config", config)
	f := func(want string) {
		t.Helper()
		if heard := ask(t, d.addr, "list"); heard != want {
			t.Errorf("heard %q, want %q", heard, want)
		}
	}
	f("# munin node at before.example.com\nload\n")
	write(t, config, base+"host_name after.example.com\nnative uptime\nlog_level 4\nunheard of\n", 0o600)
	hangup(t, d)
	d.awaitLog(t, "configuration read anew")
	f("# munin node at after.example.com\nuptime\n")
	if !strings.Contains(d.log(), `unknown key \"unheard\"`) || !strings.Contains(d.log(), "keys=log_level") {
		t.Errorf("log:\n%s", d.log())
	}
	write(t, config, base+"host_name bad.example.com\ntimeout never\n", 0o600)
	hangup(t, d)
	d.awaitLog(t, "the old one stays")
	f("# munin node at after.example.com\nuptime\n")
	if !strings.Contains(d.log(), "node.conf:4: timeout") {
		t.Errorf("log:\n%s", d.log())
	}
	d.stop(t)
}

func hangup(t *testing.T, d *daemon) {
	t.Helper()
	if err := d.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
}

func TestServeSaysWhatIsWrongWithItsAddress(t *testing.T) {
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	taken := listener.Addr().String()
	for address, want := range map[string]string{
		taken:            "address " + taken + " is in use: another munin-node or corbie-node is running? Stop it or choose --listen",
		"192.0.2.1:4949": "does not belong to this machine",
		"127.0.0.1":      "want HOST:PORT",
	} {
		out, err := exec.CommandContext(t.Context(), "corbie-node", "serve", "--listen", address).CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || !strings.Contains(string(out), want) {
			t.Errorf("%s: %v: %s", address, err, out)
		}
	}
}

func TestSystemdIsToldWhenTheNodeListens(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	t.Setenv("NOTIFY_SOCKET", socket)
	dir := t.TempDir()
	if err := errors.Join(os.Chmod(dir, 0o755), os.Chmod(filepath.Dir(dir), 0o755)); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "plugins/spy"), "#!/bin/sh\necho \"socket.label [$NOTIFY_SOCKET]\"\n", 0o755)
	config := filepath.Join(dir, "node.conf")
	write(t, config, "servicedir plugins\nsconfdir conf\nstatedir state\n", 0o600)
	d := startNode(t, "corbie-node", "--config", config)
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	message := make([]byte, 100)
	n, err := conn.Read(message)
	if err != nil || string(message[:n]) != "READY=1" {
		t.Errorf("systemd heard %q, %v", message[:n], err)
	}
	if heard := ask(t, d.addr, "config spy"); !strings.Contains(heard, "socket.label []\n") {
		t.Errorf("plugins are told of systemd: %q", heard)
	}
	d.stop(t)
}

func TestTheNodeGivesUpRootWhenItsConfigurationSaysSo(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can be given up")
	}
	dir := t.TempDir()
	if err := errors.Join(os.Chmod(dir, 0o755), os.Chmod(filepath.Dir(dir), 0o755)); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "node.conf")
	write(t, config, "user nobody\ngroup adm\nservicedir plugins\nsconfdir conf\nstatedir state\n", 0o644)
	write(t, filepath.Join(dir, "plugins/whoami"), "#!/bin/sh\necho \"me.label $(id -un) $(id -Gn)\"\n", 0o755)
	write(t, filepath.Join(dir, "conf/all"), "[*]\nuser root\n", 0o644)
	d := startNode(t, "corbie-node", "--config", config)
	if heard := ask(t, d.addr, "config whoami"); !strings.Contains(heard, "me.label nobody adm\n") {
		t.Errorf("heard %q", heard)
	}
	d.stop(t)
}
