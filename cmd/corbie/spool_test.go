package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"corbie/internal/testenv"
	"corbie/munin"
)

// startSpoolNode starts a node that samples every second, and returns its address.
func startSpoolNode(t *testing.T) string {
	t.Helper()
	plugins := testenv.PublicDir(t)
	for _, name := range []string{"clock", "other"} {
		testenv.WriteFile(t, filepath.Join(plugins, name),
			"#!/bin/sh\ncase $1 in config) echo graph_title T; echo a.label a; echo b.label b;; *) n=$(date +%s%N); echo a.value $n; echo b.value $n;; esac\n", 0o755)
	}
	conf := filepath.Join(t.TempDir(), "node.conf")
	testenv.WriteFile(t, conf, fmt.Sprintf("native no\nhost_name node.test\nstatedir %s\nspool yes\nspooldir %s\nsample_interval 1\n", testenv.PublicDir(t), t.TempDir()), 0o644)
	return serveNode(t, conf, plugins)
}

// gate passes sessions on to a node and looks at the answers to spoolfetch on their way.
type gate struct {
	node string
	// seen is told of every piece that is about to be passed on; whole says that it ends an answer to spoolfetch. It
	// returns how much of the piece to pass on.
	seen  atomic.Pointer[func(piece []byte, whole bool) int]
	asked atomic.Pointer[[]int64]

	all  sync.WaitGroup
	mu   sync.Mutex
	open []net.Conn
}

func openGate(t *testing.T, node string) (g *gate, address string) {
	t.Helper()
	g = &gate{node: node}
	g.asked.Store(new([]int64))
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g.all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			g.all.Go(func() { g.pass(conn) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		g.mu.Lock()
		for _, conn := range g.open {
			conn.Close()
		}
		g.mu.Unlock()
		g.all.Wait()
	})
	return g, l.Addr().String()
}

var spoolQuestion = regexp.MustCompile(`^spoolfetch (\d+)`)

func (g *gate) pass(master net.Conn) {
	defer master.Close()
	node, err := net.Dial("tcp", g.node)
	if err != nil {
		return
	}
	defer node.Close()
	g.mu.Lock()
	g.open = append(g.open, master, node)
	g.mu.Unlock()
	var fetching atomic.Bool
	g.all.Go(func() {
		defer node.Close()
		lines := bufio.NewReader(master)
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				return
			}
			if found := spoolQuestion.FindStringSubmatch(line); found != nil {
				since, _ := strconv.ParseInt(found[1], 10, 64)
				asked := append(*g.asked.Load(), since) //nolint:gocritic // a new list each time
				g.asked.Store(&asked)
				fetching.Store(true)
			}
			if _, err := io.WriteString(node, line); err != nil {
				return
			}
		}
	})
	b, tail := make([]byte, 64<<10), []byte(nil)
	for {
		n, err := node.Read(b)
		if err != nil {
			return
		}
		tail = append(tail, b[:n]...)
		whole := bytes.Contains(tail, []byte("\n.\n"))
		tail = bytes.Clone(tail[max(0, len(tail)-2):])
		pass := n
		if seen := g.seen.Load(); seen != nil && fetching.Load() {
			pass = (*seen)(b[:n], whole)
		}
		if _, err := master.Write(b[:pass]); err != nil || pass < n {
			return
		}
	}
}

// TestAKillBetweenFetchAndStoreLosesNothingOfASpool kills the master when the node's answer is on its way, and just
// when it has arrived, until a last one may finish. What the node has sampled is then stored, all of it, once.
func TestAKillBetweenFetchAndStoreLosesNothingOfASpool(t *testing.T) {
	t.Parallel()
	node := startSpoolNode(t)
	gate, address := openGate(t, node)
	conf, data := writeConfig(t, address, ""), t.TempDir()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	const kills = 9
	for kill := range kills {
		testenv.Eventually(t, "the node has another sample", func() bool { return len(spooled(t, node)) > 4*kill })
		fetched := make(chan struct{}, 1)
		arrives := kill%3 != 0
		look := func(piece []byte, whole bool) int {
			if arrives && !whole {
				return len(piece)
			}
			select {
			case fetched <- struct{}{}:
			default:
			}
			if arrives {
				return len(piece)
			}
			return random.IntN(len(piece))
		}
		gate.seen.Store(&look)
		master := startMaster(t, data, conf)
		<-fetched
		if kill%3 == 2 { // it may have been stored
			<-time.After(time.Duration(random.IntN(30)) * time.Millisecond)
		}
		master.Kill()
	}
	gate.seen.Store(nil)
	enough := time.Now()
	startMaster(t, data, conf)
	var stored map[string]string
	testenv.Eventually(t, "everything is stored", func() bool {
		stored = exported(t, data)
		for key := range stored {
			if at, _, _ := strings.Cut(key, " "); strings.Contains(key, "other b") && at > enough.UTC().Format("2006-01-02T15:04:05Z") {
				return true
			}
		}
		return false
	})
	checkSpool(t, node, stored, enough)
	t.Logf("%d kills, %d values stored; asked for %v", kills, len(stored), *gate.asked.Load())
}

// spooled are all samples that the node itself has, four a second.
func spooled(t *testing.T, node string) []munin.Sample {
	t.Helper()
	conn, err := net.Dial("tcp", node)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "cap spool\nspoolfetch 0\nquit\n"); err != nil {
		t.Fatal(err)
	}
	said, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return munin.ParseConfig("", said).Samples
}

// checkSpool compares what is stored with what the node itself has until a moment. Every sample has a value of its own.
func checkSpool(t *testing.T, node string, stored map[string]string, until time.Time) {
	t.Helper()
	count := make(map[string]int)
	for key, value := range stored {
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatal(err)
		}
		words := strings.Fields(key)
		count[fmt.Sprint(words[2], " ", words[3], " ", v)]++
	}
	for what, n := range count {
		if n > 1 {
			t.Errorf("%s is stored %d times", what, n)
		}
	}
	samples := spooled(t, node)
	missing, old := 0, 0
	for i := range samples {
		if s := &samples[i]; s.At.Before(until) {
			old++
			if count[fmt.Sprint(s.Graph, " ", s.Field, " ", s.Value)] == 0 {
				missing++
				t.Logf("%s.%s of %s is missing", s.Graph, s.Field, s.At)
			}
		}
	}
	if missing > 0 || old < 20 {
		t.Errorf("%d of %d samples of the node are missing", missing, old)
	}
}
