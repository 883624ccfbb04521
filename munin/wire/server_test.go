package wire_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"corbie/munin/wire"
)

// fakeNode answers like a node with three plugins.
type fakeNode struct {
	output map[string]string // "config load" → text
	slow   chan struct{}     // run waits until it is closed; nil: not at all
}

func (f *fakeNode) List(_ context.Context, node string, caps wire.Caps) []string {
	switch {
	case node != "" && node != "node1.example.com":
		return nil
	case !caps.Multigraph:
		return []string{"cpu", "load"}
	}
	return []string{"cpu", "load", "multi"}
}

func (f *fakeNode) Nodes(context.Context) []string { return []string{"node1.example.com"} }

func (f *fakeNode) Run(ctx context.Context, plugin string, verb wire.Verb, _ wire.Caps) []byte {
	if f.slow != nil {
		select {
		case <-f.slow:
		case <-ctx.Done():
		}
	}
	name := map[wire.Verb]string{wire.VerbConfig: "config ", wire.VerbFetch: "fetch "}[verb] + plugin
	if text, ok := f.output[name]; ok {
		return []byte(text)
	}
	return []byte("# Unknown service\n")
}

func loadNode() *fakeNode {
	return &fakeNode{output: map[string]string{
		"config load": "graph_title Load average\ngraph_vlabel load\nload.label load\n",
		"fetch load":  "load.value 0.10\n",
	}}
}

// dial connects a client to a node's session, which ends with the test.
func dial(t *testing.T, h wire.Handler, opts wire.ServerOptions) (client net.Conn, conn *wire.ServerConn, ended <-chan error) {
	t.Helper()
	client, server := net.Pipe()
	opts.Name, opts.Version = "node1.example.com", "2.0.73"
	conn = wire.NewServerConn(server, opts)
	result := make(chan error, 1)
	go func() { result <- conn.Serve(t.Context(), h) }()
	t.Cleanup(func() { _ = client.Close() })
	return client, conn, result
}

// talk sends all at once and returns all that the node says until it closes.
func talk(t *testing.T, h wire.Handler, say string) string {
	t.Helper()
	client, _, ended := dial(t, h, wire.ServerOptions{})
	go func() { _, _ = io.WriteString(client, say) }() // The node may close before it has read all.
	heard, err := io.ReadAll(client)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("the session ended with %v", err)
	}
	return string(heard)
}

func TestASessionReadsAsMuninsNodeWritesIt(t *testing.T) {
	got := talk(t, loadNode(), "cap multigraph dirtyconfig\nlist node1.example.com\nconfig load\nfetch load\nfetch nope\nbogus\nnodes\nversion\nquit\n")
	want := `# munin node at node1.example.com
cap multigraph dirtyconfig
cpu load multi
graph_title Load average
graph_vlabel load
load.label load
.
load.value 0.10
.
# Unknown service
.
# Unknown command. Try cap, list, nodes, config, fetch, version or quit
node1.example.com
.
munins node on node1.example.com version: 2.0.73
`
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestCommandsComeInAnyCaseWithAnyLineEnd(t *testing.T) {
	const banner = "# munin node at node1.example.com\n"
	for say, want := range map[string]string{
		"FETCH load\r\nQuit\r\n":                  "load.value 0.10\n.\n",
		"Fetch   load   more\n.\n":                "load.value 0.10\n.\n",
		"list\nquit \n":                           "cpu load\n",
		"list NODE1.Example.com\n.\n":             "cpu load\n",
		"list elsewhere\nquit\n":                  "\n",
		"cap multigraph\nlist\ncap\nlist\nquit\n": "cap multigraph dirtyconfig\ncpu load multi\ncap multigraph dirtyconfig\ncpu load\n",
		"\nquit\n":         "# Unknown command. Try cap, list, nodes, config, fetch, version or quit\n",
		"starttls\nquit\n": "# Unknown command. Try cap, list, nodes, config, fetch, version or quit\n",
		"fetch\nquit\n":    "# Unknown service\n.\n",
		"quit\nversion\n":  "",
		strings.Repeat("fetch load\n", 500) + ".\n":  strings.Repeat("load.value 0.10\n.\n", 500),
		strings.Repeat("x", 4000) + "\nversion\n.\n": "# Unknown command. Try cap, list, nodes, config, fetch, version or quit\nmunins node on node1.example.com version: 2.0.73\n",
	} {
		if got := talk(t, loadNode(), say); got != banner+want {
			t.Errorf("%.40q: got\n%s\nwant\n%s", say, got, want)
		}
	}
}

func TestTheLastCommandNeedsNoLineEnd(t *testing.T) {
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		_ = wire.NewServerConn(conn, wire.ServerOptions{Name: "n"}).Serve(context.Background(), loadNode())
	}()
	client, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := io.WriteString(client, "fetch load"); err != nil {
		t.Fatal(err)
	}
	if err := client.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if heard, err := io.ReadAll(client); err != nil || string(heard) != "# munin node at n\nload.value 0.10\n.\n" {
		t.Errorf("heard %q, %v", heard, err)
	}
}

func TestWhatWouldBreakTheProtocolIsLeftOutOfAnAnswer(t *testing.T) {
	long := strings.Repeat("x", wire.MaxLineBytes)
	node := &fakeNode{output: map[string]string{
		"fetch bad": "a.value 1\r\n.\r\n\n\n  .\nb.value 2\r" + long + "\n.\nc.value 3",
	}}
	var plugin string
	var lines int
	client, _, _ := dial(t, node, wire.ServerOptions{Dropped: func(p string, n int) { plugin, lines = p, n }})
	go func() { _, _ = io.WriteString(client, "fetch bad\nquit\n") }() // The test reads what comes of it.
	heard, err := io.ReadAll(client)
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(string(heard), "\n")
	if want := "a.value 1\n  .\nb.value 2\nc.value 3\n.\n"; body != want {
		t.Errorf("got %.200q, want %q", body, want)
	}
	if plugin != "bad" || lines != 3 {
		t.Errorf("told of %d lines of %q", lines, plugin)
	}
}

// countingConn counts the writes of a node.
type countingConn struct {
	net.Conn
	writes int
}

func (c *countingConn) Write(b []byte) (int, error) {
	c.writes++
	return c.Conn.Write(b)
}

func TestEachAnswerIsOneWrite(t *testing.T) {
	client, server := net.Pipe()
	counting := &countingConn{Conn: server}
	ended := make(chan error)
	go func() {
		ended <- wire.NewServerConn(counting, wire.ServerOptions{Name: "n"}).Serve(t.Context(), loadNode())
	}()
	go func() { _, _ = io.WriteString(client, "cap multigraph\nlist\nconfig load\nnodes\nquit\n") }() // Read below.
	if _, err := io.ReadAll(client); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if counting.writes != 5 {
		t.Errorf("%d writes for a banner and four answers", counting.writes)
	}
}

func TestALineWithoutEndEndsTheSession(t *testing.T) {
	client, _, ended := dial(t, loadNode(), wire.ServerOptions{})
	go func() { _, _ = client.Write(bytes.Repeat([]byte("a"), 1<<20)) }() // The node closes before it is through.
	if _, err := io.Copy(io.Discard, client); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, wire.ErrCommandTooLong) {
		t.Errorf("err = %v", err)
	}
}

func TestASilentClientIsGivenUpAfterExactlyTheIdleTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _, ended := dial(t, loadNode(), wire.ServerOptions{Idle: time.Minute})
		begin := time.Now()
		go func() { _, _ = io.Copy(io.Discard, client) }() // It only listens.
		if err := <-ended; !errors.Is(err, wire.ErrIdle) || time.Since(begin) != time.Minute {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
	})
}

func TestAByteNowAndThenDoesNotKeepASessionOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _, ended := dial(t, loadNode(), wire.ServerOptions{Idle: time.Minute})
		begin := time.Now()
		go func() { _, _ = io.Copy(io.Discard, client) }() // It listens, and
		var saying sync.WaitGroup
		defer saying.Wait()
		saying.Go(func() { // says a byte every ten seconds.
			for {
				time.Sleep(10 * time.Second) //nolint:forbidigo // fake time
				if _, err := client.Write([]byte("f")); err != nil {
					return
				}
			}
		})
		if err := <-ended; !errors.Is(err, wire.ErrIdle) || time.Since(begin) != time.Minute {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
	})
}

func TestAClientThatDoesNotReadIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _, ended := dial(t, loadNode(), wire.ServerOptions{Write: 30 * time.Second})
		begin := time.Now()
		if err := <-ended; !errors.Is(err, wire.ErrIdle) || time.Since(begin) != 30*time.Second {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
		_ = client.Close() // The node has given it up.
	})
}

func TestASessionEndsWhenItsTimeIsUpEvenInTheMiddleOfAPlugin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node := loadNode()
		node.slow = make(chan struct{})
		client, _, ended := dial(t, node, wire.ServerOptions{Session: 5 * time.Minute, Idle: time.Hour})
		begin := time.Now()
		go func() { _, _ = io.Copy(io.Discard, client) }() // It waits for its answer.
		if _, err := io.WriteString(client, "fetch load\n"); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; !errors.Is(err, wire.ErrSessionOver) || time.Since(begin) != 5*time.Minute {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
	})
}

func TestADrainedSessionAnswersWhatWasAskedAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node := loadNode()
		node.slow = make(chan struct{})
		client, conn, ended := dial(t, node, wire.ServerOptions{})
		reader := bufio.NewReader(client)
		if banner, err := reader.ReadString('\n'); err != nil || banner != "# munin node at node1.example.com\n" {
			t.Fatalf("%q, %v", banner, err)
		}
		if _, err := io.WriteString(client, "fetch load\n"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if _, idle := conn.IdleSince(); idle {
			t.Error("a session that runs a plugin is idle")
		}
		conn.Drain()
		close(node.slow)
		if heard, err := io.ReadAll(reader); err != nil || string(heard) != "load.value 0.10\n.\n" {
			t.Errorf("heard %q, %v", heard, err)
		}
		if err := <-ended; !errors.Is(err, wire.ErrDrained) {
			t.Errorf("err = %v", err)
		}
	})
}

func TestDrainingEndsAWaitingSessionAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, conn, ended := dial(t, loadNode(), wire.ServerOptions{})
		go func() { _, _ = io.Copy(io.Discard, client) }() // It only listens.
		synctest.Wait()
		begin := time.Now()
		if since, idle := conn.IdleSince(); !idle || !since.Equal(begin) {
			t.Errorf("idle %v since %v", idle, since)
		}
		conn.Drain()
		if err := <-ended; !errors.Is(err, wire.ErrDrained) || time.Since(begin) != 0 {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
	})
}

func FuzzParseCommand(f *testing.F) {
	for _, seed := range []string{
		"list", "LIST node\r\n", "cap multigraph dirtyconfig", "fetch if_eth0.100", "config ", ".", "", "quit ",
		"\x00fetch load", "fetch ../../etc/passwd", "starttls", "cap\tmultigraph", strings.Repeat("a ", 3000),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		got := wire.ParseCommand(line)
		if strings.ContainsAny(got.Arg, " \t\r\n") {
			t.Errorf("argument %q has blanks", got.Arg)
		}
		if got.Verb == wire.VerbUnknown && got != (wire.Command{}) {
			t.Errorf("an unknown command says %+v", got)
		}
		if again := wire.ParseCommand(line + "\r\n"); again != got {
			t.Errorf("with a line end it is %+v, without %+v", again, got)
		}
	})
}

func FuzzAppendBody(f *testing.F) {
	for _, seed := range []string{"a.value 1\n", ".\n", "\r\n.\r\n", "x", "\n\n.", "a\r.\rb\x00\xff"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, output []byte) {
		body, dropped := wire.AppendBody(nil, output)
		lines := bytes.Split(body, []byte("\n"))
		for i, line := range lines {
			last := i == len(lines)-1
			if (len(line) == 0) != last || string(line) == "." || bytes.ContainsRune(line, '\r') {
				t.Fatalf("line %d of the body is %q", i, line)
			}
		}
		again, droppedAgain := wire.AppendBody(nil, body)
		if !bytes.Equal(again, body) || droppedAgain != 0 {
			t.Errorf("a body changes when it is made one: %q, %q", body, again)
		}
		if dropped == 0 {
			want := bytes.FieldsFunc(output, func(r rune) bool { return r == '\n' || r == '\r' })
			if !slices.EqualFunc(want, lines[:len(lines)-1], bytes.Equal) {
				t.Errorf("%q became %q", output, body)
			}
		}
	})
}

func ExampleParseCommand() {
	fmt.Println(wire.ParseCommand("Fetch load\r\n").Arg)
	// Output: load
}
