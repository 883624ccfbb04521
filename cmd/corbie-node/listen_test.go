package main_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"corbie/internal/testenv"
)

// askOn is ask over any connection.
func askOn(t *testing.T, conn net.Conn, commands string) string {
	t.Helper()
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(testenv.Patience)); err != nil {
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

func dialUnix(t *testing.T, path string) (net.Conn, error) {
	t.Helper()
	return (&net.Dialer{}).DialContext(t.Context(), "unix", path)
}

func TestTheNodeServesOnASocketInTheFileSystem(t *testing.T) {
	dir := testenv.PublicDir(t)
	socket, config := filepath.Join(dir, "socket"), filepath.Join(dir, "node.conf")
	testenv.WriteFile(t, config, "host_name n.example.com\nservicedir plugins\nsconfdir conf\nnative load\nsocket "+socket+" 0640\nhost 127.0.0.1\nport 1\n", 0o600)
	// One that a node left behind when it was killed.
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	left.SetUnlinkOnClose(false)
	_ = left.Close()
	testenv.WriteFile(t, config, "host unix://"+socket+"\nhost_name n.example.com\nservicedir plugins\nsconfdir conf\nnative load\n", 0o600)
	d := startDaemon(t, nil, "--config", config)
	info, err := os.Stat(socket)
	if err != nil || info.Mode() != os.ModeSocket|0o660 {
		t.Errorf("the socket's mode is %v, %v", info.Mode(), err)
	}
	conn, err := dialUnix(t, socket)
	if err != nil {
		t.Fatal(err)
	}
	if heard := askOn(t, conn, "list"); heard != "# munin node at n.example.com\nload\n" {
		t.Errorf("heard %q", heard)
	}
	out, err := exec.CommandContext(t.Context(), "corbie-node", "serve", "--config", config).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "in use by another node") {
		t.Errorf("a second node: %v: %s", err, out)
	}
	d.Stop(t)
	if _, err := os.Stat(socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the node left its socket behind: %v", err)
	}
	testenv.WriteFile(t, socket, "precious", 0o600)
	out, err = exec.CommandContext(t.Context(), "corbie-node", "serve", "--listen", "unix:"+socket).CombinedOutput()
	if text, readErr := os.ReadFile(socket); err == nil || readErr != nil || string(text) != "precious" {
		t.Errorf("a file that is no socket was replaced: %v: %s", err, out)
	}
}

// startDaemon is startNode with the addresses of the configuration, and with files to inherit.
func startDaemon(tb testing.TB, change func(*exec.Cmd), args ...string) *daemon {
	tb.Helper()
	cmd := exec.CommandContext(tb.Context(), "corbie-node", append([]string{"serve"}, args...)...)
	if change != nil {
		change(cmd)
	}
	return launch(tb, cmd)
}

func TestHangupOpensNewAddressesAndClosesOldOnesWithoutEndingSessions(t *testing.T) {
	dir := testenv.PublicDir(t)
	config := filepath.Join(dir, "node.conf")
	use := func(socket string) {
		t.Helper()
		testenv.WriteFile(t, config, fmt.Sprintf("host_name n.example.com\nservicedir plugins\nsconfdir conf\nnative load\nhost unix://%s/%s\n", dir, socket), 0o600)
	}
	use("first")
	d := startDaemon(t, nil, "--config", config)
	session, err := dialUnix(t, filepath.Join(dir, "first"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(session, make([]byte, len("# munin node at n.example.com\n"))); err != nil {
		t.Fatal(err)
	}
	use("no/folder")
	hangup(t, d)
	d.awaitLog(t, "the old one stays")
	use("second")
	hangup(t, d)
	d.awaitLog(t, "configuration read anew")
	if conn, err := dialUnix(t, filepath.Join(dir, "first")); err == nil {
		t.Error("the node still listens on the first socket")
		_ = conn.Close()
	}
	for _, f := range []struct{ dial func() (net.Conn, error) }{
		{func() (net.Conn, error) { return dialUnix(t, filepath.Join(dir, "second")) }},
		{func() (net.Conn, error) { return session, nil }},
	} {
		conn, err := f.dial()
		if err != nil {
			t.Fatal(err)
		}
		if heard := askOn(t, conn, "version"); !strings.Contains(heard, "munins node on n.example.com") {
			t.Errorf("heard %q", heard)
		}
	}
	d.Stop(t)
}

// TestSystemdsSocketIsTakenOver starts the node as systemd does with a socket unit: the socket is descriptor 3,
// and the variables name the process, which only a shell can know before it becomes the node.
func TestSystemdsSocketIsTakenOver(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	file, err := listener.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	dir := t.TempDir()
	if err := errors.Join(os.Chmod(dir, 0o755), os.Chmod(filepath.Dir(dir), 0o755)); err != nil {
		t.Fatal(err)
	}
	testenv.WriteFile(t, filepath.Join(dir, "plugins/spy"), "#!/bin/sh\necho \"fds.label [$LISTEN_FDS] $(ls /proc/self/fd | tr '\\n' ' ')\"\n", 0o755)
	config := filepath.Join(dir, "node.conf")
	testenv.WriteFile(t, config, "servicedir plugins\nsconfdir conf\nstatedir state\nnative no\nport 1\n", 0o644)
	program, err := exec.LookPath("corbie-node")
	if err != nil {
		t.Fatal(err)
	}
	d := startDaemon(t, func(c *exec.Cmd) {
		c.Path = "/bin/sh"
		c.Args = []string{"sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" "$@"`, program, "serve", "--config", config}
		c.ExtraFiles = []*os.File{file}
	})
	if d.addr != listener.Addr().String() {
		t.Errorf("the node listens on %s", d.addr)
	}
	if heard := ask(t, d.addr, "config spy"); !strings.Contains(heard, "fds.label [] 0 1 2 3 \n") { // ls has the folder open.
		t.Errorf("a plugin has inherited more than it should: %q", heard)
	}
	hangup(t, d)
	d.awaitLog(t, "configuration read anew")
	if heard := ask(t, d.addr, "list"); !strings.Contains(heard, "\nspy\n") {
		t.Errorf("after a hangup: %q", heard)
	}
	d.Stop(t)
}

func TestSystemdsWatchdogIsFedWhileTheNodeWorks(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	hear := func(limit time.Duration) string {
		message := make([]byte, 200)
		if err := conn.SetReadDeadline(time.Now().Add(limit)); err != nil {
			t.Fatal(err)
		}
		n, err := conn.Read(message)
		if err != nil {
			return ""
		}
		return string(message[:n])
	}
	await := func(want string) {
		t.Helper()
		var heard []string
		for range 30 {
			said := hear(5 * time.Second)
			if strings.HasPrefix(said, want) {
				return
			}
			if heard = append(heard, said); said == "" {
				break
			}
		}
		t.Fatalf("systemd waits for %q and heard %q", want, heard)
	}
	empty := t.TempDir()
	d := startDaemon(t, func(c *exec.Cmd) {
		c.Env = append(os.Environ(), "NOTIFY_SOCKET="+socket, "WATCHDOG_USEC=200000")
	}, "--listen", "127.0.0.1:0", "--servicedir", empty, "--sconfdir", empty)
	await("READY=1")
	await("WATCHDOG=1")
	await("WATCHDOG=1")
	hangup(t, d)
	await("RELOADING=1\nMONOTONIC_USEC=")
	await("READY=1")
	await("WATCHDOG=1")
	// A node that hangs is silent.
	if err := d.Cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for hear(300*time.Millisecond) != "" {
		continue // Said before it was stopped.
	}
	if err := d.Cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	await("WATCHDOG=1")
	d.Stop(t)
	await("STOPPING=1")
}
