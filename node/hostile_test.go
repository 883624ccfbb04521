package node_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"corbie/internal/testenv"
)

// hostileClients are ways to be a burden, each on a connection of its own. They return when the connection is
// closed or ctx ends.
var hostileClients = map[string]func(ctx context.Context, conn net.Conn){
	"a line without end": func(_ context.Context, conn net.Conn) {
		for {
			if _, err := conn.Write([]byte("fetch load")); err != nil {
				return
			}
		}
	},
	"a line of a megabyte": func(_ context.Context, conn net.Conn) {
		_, _ = conn.Write(append(bytes.Repeat([]byte("x"), 1<<20), '\n')) // It is cut off on the way.
	},
	"a byte now and then": func(ctx context.Context, conn net.Conn) {
		for _, b := range []byte("fetch load\n") {
			_, _ = conn.Write([]byte{b}) // The session may be over.
			select {
			case <-ctx.Done():
			case <-time.After(200 * time.Millisecond):
			}
		}
		<-ctx.Done()
	},
	"nothing at all":             func(ctx context.Context, _ net.Conn) { <-ctx.Done() },
	"half closed, never reading": func(ctx context.Context, conn net.Conn) { _ = conn.(*net.TCPConn).CloseWrite(); <-ctx.Done() },
	"binary rubbish": func(_ context.Context, conn net.Conn) {
		_, _ = conn.Write(bytes.Repeat([]byte{0, 255, '\n', 13}, 5000))
	},
	"large answers, never read": func(ctx context.Context, conn net.Conn) {
		_, _ = io.WriteString(conn, "fetch large\nfetch large\n")
		<-ctx.Done()
	},
	"commands without a pause":    func(_ context.Context, conn net.Conn) { _, _ = conn.Write(bytes.Repeat([]byte("bogus\n"), 5000)) },
	"plugins that do not exist":   func(_ context.Context, conn net.Conn) { _, _ = conn.Write(bytes.Repeat([]byte("fetch nope\n"), 2000)) },
	"connects and leaves at once": func(context.Context, net.Conn) {},
}

// TestAnHonestMasterGetsEveryAnswerAmongHostileOnes has 200 hostile clients at a time, at a node as it is by default, and at a small one
// without a limit for the rate.
func TestAnHonestMasterGetsEveryAnswerAmongHostileOnes(t *testing.T) {
	for name, config := range map[string]string{
		"by default": "", "small, at any rate": "peer_rate 0\nmax_servers 15\n",
	} {
		t.Run(name, func(t *testing.T) { amongHostileOnes(t, config) })
	}
}

func amongHostileOnes(t *testing.T, config string) {
	t.Helper()
	native := fakeNative{
		"large": func(context.Context, string, map[string]string) ([]byte, error) {
			return bytes.Repeat([]byte("some.value 1\n"), 300_000), nil
		},
		"users": func(_ context.Context, verb string, _ map[string]string) ([]byte, error) {
			return map[string][]byte{"": []byte("users.value 4\n"), "config": []byte("users.label users\n")}[verb], nil
		},
	}
	n := startNode(t, setup{scripts: map[string]string{"load": loadScript}, native: native, config: config})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	const hostile = 200
	for range hostile / len(hostileClients) {
		for _, behave := range hostileClients {
			wg.Go(func() { attack(ctx, n.addr, behave) })
		}
	}
	const deadline = 2 * time.Minute // Munin's master waits as long.
	honest := dialFrom(t, n, "127.0.0.2")
	for i := range 6 {
		if err := honest.conn.SetDeadline(time.Now().Add(deadline)); err != nil {
			t.Fatal(err)
		}
		if got := honest.body("fetch load") + honest.body("fetch users"); got != "load.value 0.10\nusers.value 4\n" {
			t.Fatalf("round %d: %q", i, got)
		}
	}
	for i := range 4 {
		late := dialFrom(t, n, "127.0.0.3")
		if got := late.ask("list"); got != "large load users" && got != "load users" {
			t.Fatalf("session %d: list %q", i, got)
		}
		_ = late.conn.Close() // The next one comes at once.
	}
}

// attack is a client that comes again and again.
func attack(ctx context.Context, addr string, behave func(ctx context.Context, conn net.Conn)) {
	const pause = 50 * time.Millisecond
	for ctx.Err() == nil {
		if conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr); err == nil {
			stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
			behave(ctx, conn)
			stop()
			_ = conn.Close()
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// dialFrom is dial from another address of the loopback network.
func dialFrom(t *testing.T, n *testNode, from string) *master {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	conn, err := dialer.DialContext(t.Context(), "tcp", n.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(testenv.Patience)); err != nil {
		t.Fatal(err)
	}
	m := &master{t: t, conn: conn, r: bufio.NewReader(conn)}
	if banner := m.line(); banner != "# munin node at Node1.example.com" {
		t.Fatalf("banner %q", banner)
	}
	return m
}
