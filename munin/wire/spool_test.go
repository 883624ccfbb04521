package wire_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"corbie/munin/wire"
)

// fakeSpool is a spool that says what it was asked.
type fakeSpool struct {
	lines int
	err   error
	node  string
	since int64
}

func (f *fakeSpool) Offers(_ context.Context, caps wire.Caps) bool { return caps.Spool }

func (f *fakeSpool) Fetch(_ context.Context, w io.Writer, node string, since int64) error {
	f.node, f.since = node, since
	for range f.lines {
		if _, err := io.WriteString(w, "a.value 1000:1\n"); err != nil {
			return err
		}
	}
	return f.err
}

// spoolSession is a session with a node that has a spool.
func spoolSession(t *testing.T, s wire.Spool) (conn net.Conn, r *bufio.Reader, ended chan error) {
	t.Helper()
	client, server := net.Pipe()
	ended = make(chan error, 1)
	session := wire.NewServerConn(server, wire.ServerOptions{Name: "node1", Spool: s})
	go func() { ended <- session.Serve(t.Context(), &fakeNode{}) }()
	t.Cleanup(func() { _ = client.Close() }) // Tests may have closed it.
	r = bufio.NewReader(client)
	if _, err := r.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	return client, r, ended
}

func TestSpoolIsOfferedToThoseWhoMayHaveIt(t *testing.T) {
	conn, r, _ := spoolSession(t, &fakeSpool{})
	for command, want := range map[string]string{
		"cap multigraph spool": "cap multigraph dirtyconfig spool\n", "cap multigraph": "cap multigraph dirtyconfig\n",
	} {
		if _, err := io.WriteString(conn, command+"\n"); err != nil {
			t.Fatal(err)
		}
		if got, err := r.ReadString('\n'); err != nil || got != want {
			t.Errorf("%s: %q, %v", command, got, err)
		}
	}
}

func TestSpoolIsStreamed(t *testing.T) {
	s := &fakeSpool{lines: 100_000}
	conn, r, _ := spoolSession(t, s)
	go func() { _, _ = io.WriteString(conn, "spoolfetch 123 WEB1\nversion\n") }() // The reader sees what became of it.
	n := 0
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if line == ".\n" {
			break
		}
		n++
	}
	if line, err := r.ReadString('\n'); n != s.lines || err != nil || !strings.Contains(line, "version") {
		t.Errorf("%d lines, then %q, %v", n, line, err)
	}
	if s.node != "web1" || s.since != 123 {
		t.Errorf("asked for %q since %d", s.node, s.since)
	}
}

func TestSpoolThatFailsEndsTheSessionWithoutADot(t *testing.T) {
	failed := errors.New("the disk is gone")
	conn, r, ended := spoolSession(t, &fakeSpool{lines: 3, err: failed})
	go func() { _, _ = io.WriteString(conn, "spoolfetch 0\n") }() // The reader sees what became of it.
	text, err := io.ReadAll(r)
	if err != nil || strings.Contains(string(text), "\n.\n") || string(text) == ".\n" {
		t.Errorf("got %q, %v", text, err)
	}
	if err := <-ended; !errors.Is(err, failed) {
		t.Errorf("the session ended with %v", err)
	}
}

func TestMasterThatDoesNotTakeTheSpoolIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, _, ended := spoolSession(t, &fakeSpool{lines: 100_000})
		if _, err := io.WriteString(conn, "spoolfetch 0\n"); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if err := <-ended; !errors.Is(err, wire.ErrIdle) || time.Since(start) > 2*time.Minute {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
}
