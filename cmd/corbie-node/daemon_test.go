package main_test

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"corbie/internal/testenv"
)

// daemon is a corbie-node that serves until it is told to stop.
type daemon struct {
	*testenv.Process

	addr string
}

// startNode starts "corbie-node serve" on a free port and waits until it listens.
func startNode(tb testing.TB, program string, args ...string) *daemon {
	tb.Helper()
	return launch(tb, exec.CommandContext(tb.Context(), program, append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)...))
}

// launch starts a node and waits until it listens.
func launch(tb testing.TB, cmd *exec.Cmd) *daemon {
	tb.Helper()
	d := &daemon{Process: testenv.Start(tb, "corbie-node", cmd)}
	_, address, _ := strings.Cut(d.WaitFor(tb, "msg=listening"), " address=")
	d.addr, _, _ = strings.Cut(address, " ")
	return d
}

// awaitLog waits until the node has said something at any time.
func (d *daemon) awaitLog(tb testing.TB, text string) {
	tb.Helper()
	testenv.Eventually(tb, "the node says "+text, func() bool { return strings.Contains(d.Log(), text) })
}

// ask sends commands and returns all that the node says until it closes.
func ask(t *testing.T, addr, commands string) string {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return askOn(t, conn, commands)
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
	d.Stop(t)
	if !strings.Contains(d.Log(), "only this machine may ask") || !strings.Contains(d.Log(), "msg=stopped") {
		t.Errorf("log:\n%s", d.Log())
	}
}

func TestHangupReadsTheConfigurationAnewUnlessItIsWrong(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "node.conf")
	const base = "servicedir plugins\nsconfdir conf\n"
	testenv.WriteFile(t, config, base+"host_name before.example.com\nnative load\n", 0o600)
	d := startNode(t, "corbie-node", "--config", config)
	f := func(want string) {
		t.Helper()
		if heard := ask(t, d.addr, "list"); heard != want {
			t.Errorf("heard %q, want %q", heard, want)
		}
	}
	f("# munin node at before.example.com\nload\n")
	testenv.WriteFile(t, config, base+"host_name after.example.com\nnative uptime\nlog_level 4\nunheard of\n", 0o600)
	hangup(t, d)
	d.awaitLog(t, "configuration read anew")
	f("# munin node at after.example.com\nuptime\n")
	if !strings.Contains(d.Log(), `unknown key \"unheard\"`) || !strings.Contains(d.Log(), "keys=log_level") {
		t.Errorf("log:\n%s", d.Log())
	}
	testenv.WriteFile(t, config, base+"host_name bad.example.com\ntimeout never\n", 0o600)
	hangup(t, d)
	d.awaitLog(t, "the old one stays")
	f("# munin node at after.example.com\nuptime\n")
	if !strings.Contains(d.Log(), "node.conf:4: timeout") {
		t.Errorf("log:\n%s", d.Log())
	}
	d.Stop(t)
}

func hangup(t *testing.T, d *daemon) {
	t.Helper()
	d.Signal(t, syscall.SIGHUP)
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
	testenv.WriteFile(t, filepath.Join(dir, "plugins/spy"), "#!/bin/sh\necho \"socket.label [$NOTIFY_SOCKET]\"\n", 0o755)
	config := filepath.Join(dir, "node.conf")
	testenv.WriteFile(t, config, "servicedir plugins\nsconfdir conf\nstatedir state\n", 0o600)
	d := startNode(t, "corbie-node", "--config", config)
	if err := conn.SetReadDeadline(time.Now().Add(testenv.Patience)); err != nil {
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
	d.Stop(t)
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
	testenv.WriteFile(t, config, "user nobody\ngroup adm\nservicedir plugins\nsconfdir conf\nstatedir state\n", 0o644)
	testenv.WriteFile(t, filepath.Join(dir, "plugins/whoami"), "#!/bin/sh\necho \"me.label $(id -un) $(id -Gn)\"\n", 0o755)
	testenv.WriteFile(t, filepath.Join(dir, "conf/all"), "[*]\nuser root\n", 0o644)
	d := startNode(t, "corbie-node", "--config", config)
	if heard := ask(t, d.addr, "config whoami"); !strings.Contains(heard, "me.label nobody adm\n") {
		t.Errorf("heard %q", heard)
	}
	d.Stop(t)
}
