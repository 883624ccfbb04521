// Package fleet simulates any number of nodes, for tests, for benchmarks and for people who size a master. All
// answers are made from a few texts, so that a fleet costs little beside the master that it is measured with.
// Everything that it does follows from a seed.
//
// Every value says which series it is of, so that a test can prove that none was stored under
// another name.
package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Options describe a fleet. Zero values mean the defaults.
type Options struct {
	Nodes   int // 1 to MaxNodes; 1
	Plugins int // of each node, to 1000; 20
	Fields  int // of each plugin, to 100; 5
	Seed    uint64
	Tick    time.Duration // values change this often; 10 s

	Latency time.Duration // the round trip to every node
	Jitter  time.Duration // up to this much more, for each answer
	Loss    float64       // share of connections that are reset before a word

	Mix    Mix
	SlowBy time.Duration // what a slow node adds to a session, about; 5 s
	Away   time.Duration // how long a node that vanishes is away, and then there; 1 minute
}

// Mix is which share of the nodes misbehaves, and how; from 0 to 1, all together 1 at most.
type Mix struct {
	Hang    float64 // stop in the middle of a session and keep the connection
	Slow    float64 // answer late, each time
	Rubbish float64 // say what no node should
	Vanish  float64 // go away, also in the middle of a session, and come back
	Wrong   float64 // answer about another plugin than the one asked for
}

// Behaviour is how a node behaves.
type Behaviour int

// The behaviours.
const (
	Honest Behaviour = iota
	Hanging
	Slow
	Rubbish
	Vanishing
	Wrong
)

// String is one word.
func (b Behaviour) String() string {
	names := []string{"honest", "hanging", "slow", "rubbish", "vanishing", "wrong"}
	if b < 0 || int(b) >= len(names) {
		return "behaviour " + strconv.Itoa(int(b))
	}
	return names[b]
}

// MaxNodes is how many addresses of 127.0.0.0/8 a fleet uses at most.
const MaxNodes = 1 << 20

// Fleet is a number of simulated nodes.
type Fleet struct {
	opts      Options
	texts     []plugin
	list      []byte // the answer to list
	behaviour []Behaviour
	sessions  []atomic.Uint32 // that each node has had
	began     time.Time

	open, total, answers, written atomic.Int64
}

// New makes a fleet; Serve or ServeNode start it.
func New(opts Options) (*Fleet, error) {
	opts = opts.withDefaults()
	if err := opts.check(); err != nil {
		return nil, err
	}
	f := &Fleet{opts: opts, behaviour: make([]Behaviour, opts.Nodes), sessions: make([]atomic.Uint32, opts.Nodes), began: time.Now()}
	names := make([]string, opts.Plugins)
	for i := range names {
		f.texts = append(f.texts, newPlugin(i, opts.Fields))
		names[i] = f.texts[i].name
	}
	f.list = []byte(strings.Join(names, " ") + "\n")
	order := rand.New(rand.NewPCG(opts.Seed, 1)).Perm(opts.Nodes) //nolint:gosec // it is to be the same every time
	at := 0
	for _, part := range []struct {
		share float64
		is    Behaviour
	}{
		{opts.Mix.Hang, Hanging},
		{opts.Mix.Slow, Slow},
		{opts.Mix.Rubbish, Rubbish},
		{opts.Mix.Vanish, Vanishing},
		{opts.Mix.Wrong, Wrong},
	} {
		for n := int(part.share*float64(opts.Nodes) + 0.5); n > 0 && at < len(order); n-- {
			f.behaviour[order[at]] = part.is
			at++
		}
	}
	return f, nil
}

func (o Options) withDefaults() Options {
	for _, n := range []struct {
		value *int
		is    int
	}{{&o.Nodes, 1}, {&o.Plugins, 20}, {&o.Fields, 5}} {
		if *n.value == 0 {
			*n.value = n.is
		}
	}
	for _, d := range []struct {
		value *time.Duration
		is    time.Duration
	}{{&o.Tick, 10 * time.Second}, {&o.SlowBy, 5 * time.Second}, {&o.Away, time.Minute}} {
		if *d.value <= 0 {
			*d.value = d.is
		}
	}
	return o
}

func (o Options) check() error {
	if err := o.Mix.check(); err != nil {
		return err
	}
	switch {
	case o.Nodes < 1 || o.Nodes > MaxNodes:
		return fmt.Errorf("%d nodes: want 1 to %d", o.Nodes, MaxNodes)
	case o.Plugins < 1 || o.Plugins > 1000:
		return fmt.Errorf("%d plugins: want 1 to 1000", o.Plugins)
	case o.Fields < 1 || o.Fields > 100:
		return fmt.Errorf("%d fields: want 1 to 100", o.Fields)
	case o.Nodes*o.Plugins*o.Fields > maxSeries:
		return fmt.Errorf("%d series: want %d at most", o.Nodes*o.Plugins*o.Fields, maxSeries)
	case !(o.Loss >= 0 && o.Loss < 1):
		return fmt.Errorf("a loss of %g: want 0 to less than 1", o.Loss)
	case o.Latency < 0 || o.Jitter < 0:
		return errors.New("latency and jitter cannot be negative")
	}
	return nil
}

func (m Mix) check() error {
	sum := 0.0
	for _, share := range []float64{m.Hang, m.Slow, m.Rubbish, m.Vanish, m.Wrong} {
		if !(share >= 0 && share <= 1) {
			return fmt.Errorf("a share of %g: want 0 to 1", share)
		}
		sum += share
	}
	if sum > 1.000001 {
		return fmt.Errorf("the shares of misbehaving nodes add up to %g, which is more than 1", sum)
	}
	return nil
}

// Len is the number of nodes.
func (f *Fleet) Len() int { return f.opts.Nodes }

// Name is what a node calls itself: "node00017.fleet".
func (f *Fleet) Name(node int) string { return fmt.Sprintf("node%05d.fleet", node) }

// Behaviour is how a node behaves.
func (f *Fleet) Behaviour(node int) Behaviour { return f.behaviour[node] }

// Series is how many series a node has.
func (f *Fleet) Series() int { return f.opts.Plugins * f.opts.Fields }

// Address is where a node is reached when the fleet serves on a port: every node has an address of its own.
func (f *Fleet) Address(node, port int) string {
	n := node + 1
	return fmt.Sprintf("127.%d.%d.%d:%d", 1+n>>16, n>>8&255, n&255, port)
}

// nodeAt is the node with an address, -1 when there is none.
func (f *Fleet) nodeAt(ip net.IP) int {
	four := ip.To4()
	if four == nil || four[0] != 127 || four[1] < 1 {
		return -1
	}
	node := (int(four[1])-1)<<16 | int(four[2])<<8 | int(four[3])
	if node--; node >= f.opts.Nodes {
		return -1
	}
	return node
}

// Stats counts what a fleet did.
type Stats struct {
	Open     int64 // sessions now
	Sessions int64 // that ever began
	Answers  int64
	Bytes    int64 // that were written
}

// Stats is a snapshot of the counters.
func (f *Fleet) Stats() Stats {
	return Stats{Open: f.open.Load(), Sessions: f.total.Load(), Answers: f.answers.Load(), Bytes: f.written.Load()}
}

// Listen opens a port on all addresses of this machine's loopback interface, and on no other. Port 0 is any.
func Listen(ctx context.Context, port int) (net.Listener, error) {
	l, err := (&net.ListenConfig{Control: onlyLoopback}).Listen(ctx, "tcp4", "0.0.0.0:"+strconv.Itoa(port))
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return l, nil
}

// Serve answers on a listener until ctx ends, and returns when the last session is over. A connection belongs to
// the node at whose address it arrived.
func (f *Fleet) Serve(ctx context.Context, l net.Listener) error {
	var sessions sync.WaitGroup
	defer sessions.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { l.Close() })()
	for {
		conn, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				conn.Close()
			}
			return nil
		case err != nil:
			return fmt.Errorf("accept: %w", err)
		}
		here, ok := conn.LocalAddr().(*net.TCPAddr)
		node := -1
		if ok {
			node = f.nodeAt(here.IP)
		}
		if node < 0 {
			conn.Close()
			continue
		}
		sessions.Go(func() { f.ServeNode(ctx, conn, node) })
	}
}

// ServeNode is one session with a node, on any connection. It closes the connection, and returns when the client
// has left, the node has ended the session, or ctx ends.
func (f *Fleet) ServeNode(ctx context.Context, conn net.Conn, node int) {
	f.open.Add(1)
	f.total.Add(1)
	defer f.open.Add(-1)
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	number := f.sessions[node].Add(1)
	s := &session{
		fleet: f, node: node, conn: conn, is: f.behaviour[node],
		rnd: rand.New(rand.NewPCG(f.opts.Seed, uint64(node)<<32|uint64(number))), //nolint:gosec // it is to be the same every time
	}
	s.trouble = 1 + s.rnd.IntN(2*f.opts.Plugins+2)
	if s.absent(time.Now()) {
		reset(conn)
		return
	}
	s.serve(ctx)
}

// reset makes the kernel end a connection without a good-bye.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // At worst it ends politely.
	}
}

// WriteConfig writes a corbie.yml for a master of this fleet: a hundred nodes to a group.
func (f *Fleet) WriteConfig(w io.Writer, port int, interval time.Duration) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# %d simulated nodes: corbie-fleet\ninterval: %ds\nhosts:\n", f.opts.Nodes, interval/time.Second)
	for i := range f.opts.Nodes {
		fmt.Fprintf(&b, "  %s: {address: \"%s\", group: g%03d}\n", f.Name(i), f.Address(i, port), i/100)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
