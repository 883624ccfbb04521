package transport_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"corbie/master/transport"
)

const patience = 20 * time.Second

func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "reach")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700); err != nil { //nolint:gosec // it has to be run
		t.Fatal(err)
	}
	return path
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := transport.Dial(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestAProgramsInputAndOutputAreTheSession(t *testing.T) {
	path := script(t, `echo "# munin node at $1:$2"; while read -r line; do echo "got $line"; done`)
	conn := dial(t, "cmd://"+path+"  a;b  $(id)")
	lines := bufio.NewScanner(conn)
	for _, step := range []struct{ say, want string }{{"", "# munin node at a;b:$(id)"}, {"list\n", "got list"}, {"quit\n", "got quit"}} {
		if _, err := io.WriteString(conn, step.say); err != nil {
			t.Fatal(err)
		}
		if !lines.Scan() || lines.Text() != step.want {
			t.Fatalf("got %q, want %q, %v", lines.Text(), step.want, lines.Err())
		}
	}
}

func TestWhyAProgramEndedIsSaid(t *testing.T) {
	conn := dial(t, "cmd://"+script(t, `echo "Host key verification failed." >&2; exit 255`))
	_, err := conn.Read(make([]byte, 10))
	if err == nil || !strings.Contains(err.Error(), "Host key verification failed.") || !strings.Contains(err.Error(), "255") {
		t.Errorf("error %v", err)
	}
	if _, err := transport.Dial(t.Context(), "cmd:///no/such/program"); err == nil || !strings.Contains(err.Error(), "/no/such/program") {
		t.Errorf("error %v", err)
	}
}

func TestAProgramThatTalksOrHangsBlocksNothing(t *testing.T) {
	conn := dial(t, "cmd://"+script(t, `dd if=/dev/zero bs=1024 count=1024 >&2 2>/dev/null; echo ready; exec sleep 1000`))
	reader := bufio.NewReader(conn)
	if line, err := reader.ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("%q, %v", line, err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	var timeout net.Error
	if _, err := reader.ReadByte(); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("a deadline does not hold: %v", err)
	}
}

func TestClosingEndsTheProgramAndItsChildren(t *testing.T) {
	dir := t.TempDir()
	conn := dial(t, "cmd://"+script(t, `trap "" TERM; sleep 1000 & echo $! >`+dir+`/child; echo $$; wait; sleep 1000`))
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var pid, child int
	text, err := os.ReadFile(filepath.Join(dir, "child"))
	if err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]*int{line: &pid, string(text): &child} {
		if _, err := fmt.Sscan(from, to); err != nil {
			t.Fatal(err)
		}
	}
	begun := time.Now()
	if err := conn.Close(); err != nil || time.Since(begun) > time.Second {
		t.Errorf("closing took %v: %v", time.Since(begun), err)
	}
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for alive(pid) || alive(child) {
		if <-ticker.C; time.Since(begun) > patience {
			t.Fatal("something of it is still there")
		}
	}
}

// alive says whether a process runs; one that only waits to be collected does not.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func TestSocketsOfThisMachineAndOfOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "node.sock")
	for network, address := range map[string]string{"unix": path, "tcp": "127.0.0.1:0"} {
		listener, err := (&net.ListenConfig{}).Listen(t.Context(), network, address)
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		go func() {
			conn, err := listener.Accept()
			if err == nil {
				_, _ = io.WriteString(conn, "hello\n")
				_ = conn.Close()
			}
		}()
		to := listener.Addr().String()
		if network == "unix" {
			to = "unix://" + path
		}
		if line, err := bufio.NewReader(dial(t, to)).ReadString('\n'); err != nil || line != "hello\n" {
			t.Errorf("%s: %q, %v", to, line, err)
		}
	}
}

func TestAddressesThatMakeNoSenseAreRefused(t *testing.T) {
	for _, text := range []string{
		"ssh://-oProxyCommand=x", "ssh://u@-x", "ssh://-l@host", "ssh://host:0/x", "ssh://host:x/x", "ssh://", "ssh://host args", "ssh://a b@c",
		"cmd://relative", "cmd://", "unix://relative", "unix:///a b", "ftp://host", "cmd:///a\x00b", "ssh://ho$st/x", "ssh://host;id/x",
	} {
		if a, err := transport.Parse(text); err == nil {
			t.Errorf("%q is accepted: %+v", text, a)
		}
	}
	for _, text := range []string{
		"host:4949", "ssh://host", "ssh://me@host:2222/usr/bin/x --spoolfetch", "ssh://[::1]:22/x", "cmd:///bin/x a b", "unix:///run/x", "ssh://under_score/x",
	} {
		if a, err := transport.Parse(text); err != nil || a.String() != text {
			t.Errorf("%q: %+v, %v", text, a, err)
		}
	}
}

// A stand-in for ssh shows how it is called: as an administrator would, asking nobody, with keys checked.
func TestSSHIsCalledSoThatItAsksNobody(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "ssh"), []byte("#!/bin/sh\nprintf '%s|' \"$@\"; echo\n"), 0o700); err != nil { //nolint:gosec // it has to be run
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	conn := dial(t, "ssh://munin-async@node1.example.com:2222/usr/share/munin/munin-async --spoolfetch")
	line, err := bufio.NewReader(conn).ReadString('\n')
	want := "-T|-o|BatchMode=yes|-o|ConnectTimeout=10|-l|munin-async|-p|2222|--|node1.example.com|/usr/share/munin/munin-async|--spoolfetch|\n"
	if err != nil || line != want {
		t.Errorf("%q, %v, want %q", line, err, want)
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"host:4949", "ssh://me@host:22/x y", "cmd:///bin/x y", "unix:///run/x", "ssh://[::1]:22/x", "ssh://@/"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := transport.Parse(text)
		if err == nil && a.String() != text {
			t.Errorf("%q became %q", text, a)
		}
	})
}
