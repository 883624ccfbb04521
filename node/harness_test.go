package node_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"corbie/internal/testenv"
	"corbie/munin"
	"corbie/node"
)

// fakeNative is a set of native plugins made of functions.
type fakeNative map[string]func(ctx context.Context, verb string, env map[string]string) ([]byte, error)

func (f fakeNative) Names() []string {
	var names []string
	for name := range f {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (f fakeNative) Run(ctx context.Context, name, verb string, env map[string]string) ([]byte, error) {
	run, ok := f[name]
	if !ok {
		return nil, munin.ErrNotFound
	}
	return run(ctx, verb, env)
}

// lockedBuffer is a log that several goroutines write and the test reads.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// setup says what a test's node is made of.
type setup struct {
	scripts map[string]string // name → what comes after #!/bin/sh
	conf    string            // of plugin-conf.d
	config  string            // more lines of node.conf
	native  node.Native
	wait    time.Duration // ListWait
}

// testNode is a node that serves on loopback until the test ends.
type testNode struct {
	addr   string
	dir    string
	log    *lockedBuffer
	server *node.Server
	stop   func() error

	catalogue *node.Catalogue
	opts      node.Options
}

// startNode starts a node named node1.example.com.
func startNode(t *testing.T, s setup) *testNode {
	t.Helper()
	n := &testNode{dir: t.TempDir(), log: new(lockedBuffer)}
	for _, dir := range []string{n.dir, filepath.Dir(n.dir)} {
		if err := os.Chmod(dir, 0o755); err != nil { // Plugins may run as somebody else.
			t.Fatal(err)
		}
	}
	for _, dir := range []string{"plugins", "conf", "library"} {
		if err := os.Mkdir(filepath.Join(n.dir, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, script := range s.scripts {
		n.write(t, "plugins/"+name, "#!/bin/sh\n"+script+"\n", 0o755)
	}
	n.write(t, "conf/test", s.conf, 0o644)
	cfg := n.config(t, s.config)
	opts := node.Options{
		Native: s.native, Version: "1.2.3", Environ: []string{"INHERITED=yes", "PATH=/nowhere"}, ListWait: s.wait,
		Log: slog.New(slog.NewTextHandler(n.log, nil)),
	}
	if opts.Spool = node.OpenSpool(cfg, opts.Log); opts.Spool != nil {
		t.Cleanup(func() { _ = opts.Spool.Close() }) // The node has ended by then.
	}
	catalogue, err := node.NewCatalogue(t.Context(), cfg, opts)
	if err != nil {
		t.Fatal(err)
	}
	n.server, n.catalogue, n.opts = node.NewServer(cfg, catalogue, opts), catalogue, opts
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n.addr = listener.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.server.Run(ctx, []net.Listener{listener}) }()
	n.stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() {
		if err := n.stop(); err != nil {
			t.Errorf("the node ended with %v", err)
		}
	})
	return n
}

func (n *testNode) write(t *testing.T, name, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(n.dir, name), []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func (n *testNode) config(t *testing.T, more string) *node.Config {
	t.Helper()
	text := fmt.Sprintf("host_name Node1.example.com\nservicedir %[1]s/plugins\nsconfdir %[1]s/conf\nstatedir %[1]s/state\n%[2]s\n", n.dir, more)
	cfg, err := node.ParseConfig(filepath.Join(n.dir, "node.conf"), []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// master is a client that asks one thing after the other.
type master struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
}

func (n *testNode) dial(t *testing.T) *master {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", n.addr)
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

func (m *master) line() string {
	m.t.Helper()
	line, err := m.r.ReadString('\n')
	if err != nil {
		m.t.Fatalf("read a line: %v", err)
	}
	return strings.TrimSuffix(line, "\n")
}

// ask sends a command whose answer is one line.
func (m *master) ask(command string) string {
	m.t.Helper()
	if _, err := io.WriteString(m.conn, command+"\n"); err != nil {
		m.t.Fatal(err)
	}
	return m.line()
}

// body sends a command whose answer ends with a dot.
func (m *master) body(command string) string {
	m.t.Helper()
	var b strings.Builder
	for line := m.ask(command); line != "."; line = m.line() {
		b.WriteString(line + "\n")
	}
	return b.String()
}
