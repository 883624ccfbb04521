package poll_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"corbie/master/poll"
	"corbie/munin"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// fakeNode is a node in this process. What it answers can be changed by a hook, which may misbehave as it likes.
type fakeNode struct {
	name    string
	also    string // another name under which it is known; empty: none
	plugins []string
	answers map[string]string // "config load" → text without the dot
	// hook sees every command first; when it is true the command is answered. It may write to and close conn.
	hook func(conn net.Conn, command string) bool
}

const capLine = "cap multigraph dirtyconfig\n"

// soundNode has three plugins: a plain one, a multigraph and a dirty one. All its values are value.
func soundNode(name string, value int) *fakeNode {
	dirty := fmt.Sprintf("graph_title Dirty\nd.label d\nd.value %d\n", value)
	return &fakeNode{
		name: name, plugins: []string{"plain", "multi", "dirty"},
		answers: map[string]string{
			"config plain": "graph_title Plain\na.label a\nb.label b\nb.type DERIVE\n",
			"fetch plain":  fmt.Sprintf("a.value %d\nb.value %d\n", value, value),
			"config multi": "multigraph multi\ngraph_title Multi\nm.label m\nmultigraph multi.sub\ngraph_title Sub\nn.label n\n",
			"fetch multi":  fmt.Sprintf("multigraph multi\nm.value %d\nmultigraph multi.sub\nn.value %d\n", value, value),
			"config dirty": dirty, "fetch dirty": "must.value 666\n",
		},
	}
}

// soundSeries are the series of a soundNode.
const soundSeries = 5

func (n *fakeNode) serve(conn net.Conn) {
	defer conn.Close()
	if n.hook != nil && n.hook(conn, "banner") {
		return
	}
	if _, err := io.WriteString(conn, "# munin node at "+n.name+"\n"); err != nil {
		return
	}
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		command := strings.TrimSpace(lines.Text())
		if n.hook != nil && n.hook(conn, command) {
			continue
		}
		if command == "quit" || n.say(conn, command) != nil {
			return
		}
	}
}

// say answers a command as a node should.
func (n *fakeNode) say(conn net.Conn, command string) error {
	word, arg, _ := strings.Cut(command, " ")
	answer := "# Unknown command\n"
	switch word {
	case "cap":
		answer = capLine
	case "list":
		answer = "\n"
		if arg == "" || arg == n.name || arg == n.also {
			answer = strings.Join(n.plugins, " ") + "\n"
		}
	case "nodes":
		answer = n.name + "\n.\n"
	case "config", "fetch":
		text, ok := n.answers[command]
		if !ok {
			text = "# Unknown service\n"
		}
		answer = text + ".\n"
	}
	_, err := io.WriteString(conn, answer)
	return err
}

// listen serves the node on a port of its own.
func (n *fakeNode) listen(t *testing.T) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var sessions sync.WaitGroup
	var mu sync.Mutex
	open := make(map[net.Conn]bool)
	sessions.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[conn] = true
			mu.Unlock()
			sessions.Go(func() {
				n.serve(conn)
				mu.Lock()
				delete(open, conn)
				mu.Unlock()
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for conn := range open {
			conn.Close()
		}
		mu.Unlock()
		sessions.Wait()
	})
	return l.Addr().String()
}

// session polls the node once, over TCP.
func (n *fakeNode) session(t *testing.T, change func(*poll.Target, *poll.SessionOptions)) *munin.Poll {
	t.Helper()
	target := poll.Target{
		Host: munin.HostID(n.name), Address: n.listen(t), Interval: 5 * time.Minute,
		Timeouts: poll.Timeouts{Dial: 5 * time.Second, Idle: 5 * time.Second, Plugin: 10 * time.Second, Host: 30 * time.Second},
	}
	opts := poll.SessionOptions{Slot: time.Unix(1_700_000_000, 0)}
	if change != nil {
		change(&target, &opts)
	}
	return poll.Session(t.Context(), target, opts)
}

func values(result *munin.Poll) map[string]float64 {
	got := make(map[string]float64)
	for _, r := range result.Readings {
		got[r.ID.Graph+"."+r.ID.Field] = r.V
	}
	return got
}

func faults(result *munin.Poll) string {
	var b strings.Builder
	for _, f := range result.Faults {
		b.WriteString(f.String() + "\n")
	}
	return b.String()
}

// memory keeps what a poller stores and tells.
type memory struct {
	mu    sync.Mutex
	order []string // append, record, observe
	kept  map[munin.SeriesID][]munin.Point
	polls map[munin.HostID][]*munin.Poll
	told  chan *munin.Poll
	err   error // of Append
}

func newMemory() *memory {
	return &memory{kept: make(map[munin.SeriesID][]munin.Point), polls: make(map[munin.HostID][]*munin.Poll), told: make(chan *munin.Poll, 10_000)}
}

func (m *memory) Append(_ context.Context, readings []munin.Reading) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.order = append(m.order, "append")
	if m.err != nil {
		return m.err
	}
	for _, r := range readings {
		m.kept[r.ID] = append(m.kept[r.ID], r.Point)
	}
	return nil
}

// fail makes Append fail from now on; nil ends that.
func (m *memory) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}

func (m *memory) Record(_ context.Context, result *munin.Poll) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.order = append(m.order, "record")
	m.polls[result.Host] = append(m.polls[result.Host], result)
	return nil
}

func (m *memory) observe(_ context.Context, result *munin.Poll) {
	m.mu.Lock()
	m.order = append(m.order, "observe")
	m.mu.Unlock()
	m.told <- result
}

func (m *memory) of(host munin.HostID) []*munin.Poll {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.polls[host]
}

func (m *memory) options() poll.Options {
	return poll.Options{Sink: m, Catalog: m, Observe: m.observe, Log: quiet()}
}

// run starts a poller and returns what stops it and waits for its end.
func run(t *testing.T, p *poll.Poller) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
}
