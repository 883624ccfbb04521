package poll_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"corbie/master/poll"
	"corbie/munin"
	"corbie/munin/wire"
)

// pipes dials nodes in this process without a network, so that time can be fake.
type pipes struct {
	nodes map[string]*fakeNode // by address

	mu    sync.Mutex
	open  map[string]int // sessions now, by address
	most  map[string]int // sessions at once
	total int
	peak  int
	dials []string
	all   sync.WaitGroup
}

func newPipes(nodes map[string]*fakeNode) *pipes {
	return &pipes{nodes: nodes, open: make(map[string]int), most: make(map[string]int)}
}

func (p *pipes) dial(_ context.Context, address string) (net.Conn, error) {
	p.mu.Lock()
	node, ok := p.nodes[address]
	p.mu.Unlock()
	if !ok {
		return nil, errors.New("no such node")
	}
	ours, theirs := net.Pipe()
	p.count(address, 1)
	p.all.Go(func() { node.serve(theirs) })
	return &countedConn{Conn: ours, closed: sync.OnceFunc(func() { p.count(address, -1) })}, nil
}

// put makes an address belong to another node.
func (p *pipes) put(address string, node *fakeNode) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.nodes[address] = node
}

type countedConn struct {
	net.Conn
	closed func()
}

func (c *countedConn) Close() error {
	c.closed()
	return c.Conn.Close()
}

func (p *pipes) count(address string, by int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open[address] += by
	p.total += by
	p.most[address] = max(p.most[address], p.open[address])
	p.peak = max(p.peak, p.total)
	if by > 0 {
		p.dials = append(p.dials, address)
	}
}

// hang is a hook of a node that says nothing more from a command on, until the master closes.
func hang(command string) func(net.Conn, string) bool {
	return on(command, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
}

// inFakeTime runs a poller for a while of fake time.
func inFakeTime(t *testing.T, during time.Duration, p *pipes, m *memory, targets []poll.Target, change func(*poll.Options), also func(*poll.Poller)) poll.Stats {
	t.Helper()
	opts := m.options()
	opts.Dial, opts.Window = p.dial, 1
	if change != nil {
		change(&opts)
	}
	poller := poll.New(targets, opts)
	stop := run(t, poller)
	if also != nil {
		also(poller)
	}
	<-time.After(during)
	stop()
	p.all.Wait()
	return poller.Stats()
}

func TestPollGivesUpOnASilentNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node := soundNode("h", 1)
		node.hook = hang("config multi")
		p := newPipes(map[string]*fakeNode{"h": node})
		target := poll.Target{Host: "h", Address: "h", Interval: time.Minute, Timeouts: poll.Timeouts{Idle: 7 * time.Second, Plugin: 11 * time.Second}}
		result := poll.Session(t.Context(), target, poll.SessionOptions{Dial: p.dial, Window: 1})
		if result.Took != 11*time.Second || !strings.Contains(faults(result), "no answer began within 11 s") {
			t.Errorf("after %s: %v\n%s", result.Took, result.Err, faults(result))
		}
		p.all.Wait()
		node.hook = hang("list h")
		result = poll.Session(t.Context(), target, poll.SessionOptions{Dial: p.dial, Window: 1})
		if result.Took != 7*time.Second || !errors.Is(result.Err, wire.ErrSilent) {
			t.Errorf("after %s: %v", result.Took, result.Err)
		}
		p.all.Wait()
	})
}

func TestEveryHostIsPolledAtEachOfItsSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := make(map[string]*fakeNode)
		var targets []poll.Target
		for i := range soundHosts {
			name := fmt.Sprintf("host%d", i)
			nodes[name] = soundNode(name, i)
			targets = append(targets, poll.Target{Host: munin.HostID(name), Address: name, Interval: 5 * time.Minute})
		}
		silent := soundNode("silent", 666)
		silent.hook = hang("cap multigraph dirtyconfig spool")
		nodes["silent"] = silent
		targets = append(targets, poll.Target{Host: "silent", Address: "silent", Interval: 5 * time.Minute})
		m := newMemory()
		start := time.Now()
		stats := inFakeTime(t, time.Hour, newPipes(nodes), m, targets, nil, nil)
		phases := make(map[time.Duration]bool)
		for i, target := range targets[:soundHosts] {
			polls := m.of(target.Host)
			if len(polls) < 12 || len(polls) > 13 {
				t.Fatalf("%s was polled %d times in an hour", target.Host, len(polls))
			}
			if first := polls[0].Start.Sub(start); first > 3*time.Second {
				t.Errorf("%s was polled for the first time after %s", target.Host, first)
			}
			for n, result := range polls {
				wantSound(t, result, float64(i), 0)
				if n >= 2 && (result.Slot.Sub(polls[n-1].Slot) != 5*time.Minute || !result.Start.Equal(result.Slot)) {
					t.Errorf("%s: poll %d is of %s, the one before of %s", target.Host, n, result.Slot, polls[n-1].Slot)
				}
			}
			phases[polls[2].Slot.Sub(start)%(5*time.Minute)/(30*time.Second)] = true
		}
		if len(phases) < 7 {
			t.Errorf("50 hosts are in only %d of 10 parts of the interval", len(phases))
		}
		if n := stats.Failed["silent"]; n < 12 || stats.Late != 0 || stats.Polls < 51*12 || stats.Values < soundHosts*12*soundSeries || stats.Hosts != 51 || stats.Running != 0 || stats.Bytes == 0 {
			t.Errorf("%+v", stats)
		}
	})
}

func TestAHostsPhaseIsTheSameAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes(map[string]*fakeNode{"h": soundNode("h", 1)})
		targets := []poll.Target{{Host: "h", Address: "h", Interval: 5 * time.Minute}}
		m := newMemory()
		for range 3 {
			inFakeTime(t, 21*time.Minute, p, m, targets, nil, nil)
		}
		phases := make(map[int64]int)
		for _, result := range m.of("h") {
			phases[result.Slot.UnixMilli()%300_000]++
		}
		// The first poll of each of three starts is out of phase.
		if len(phases) != 4 {
			t.Errorf("phases %v", phases)
		}
	})
}

func TestAPollNeverOverlapsTheOneBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node := soundNode("h", 1)
		node.hook = func(_ net.Conn, command string) bool {
			if command == "fetch plain" {
				<-time.After(25 * time.Second)
			}
			return false
		}
		p, m := newPipes(map[string]*fakeNode{"h": node}), newMemory()
		targets := []poll.Target{{Host: "h", Address: "h", Interval: 10 * time.Second}}
		stats := inFakeTime(t, 10*time.Minute, p, m, targets, nil, func(poller *poll.Poller) {
			for range 20 { // Reloading does not start a second one either.
				<-time.After(3 * time.Second)
				poller.Reload(targets)
			}
		})
		if p.most["h"] != 1 {
			t.Errorf("%d sessions with one host at once", p.most["h"])
		}
		// Every third slot is kept, two of three are late.
		if polls := len(m.of("h")); polls < 20 || polls > 23 || stats.Late < 38 || stats.Late > 46 {
			t.Errorf("%d polls, %d late", polls, stats.Late)
		}
	})
}

func TestReloadKeepsAddsAndRemovesHosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes(map[string]*fakeNode{"a": soundNode("a", 1), "b": soundNode("b", 2), "c": soundNode("c", 3), "a2": soundNode("a", 4)})
		target := func(host, address string) poll.Target {
			return poll.Target{Host: munin.HostID(host), Address: address, Interval: time.Minute}
		}
		m := newMemory()
		stats := inFakeTime(t, 10*time.Minute, p, m, []poll.Target{target("a", "a"), target("b", "b")}, nil, func(poller *poll.Poller) {
			<-time.After(10 * time.Minute)
			poller.Reload([]poll.Target{target("a", "a2"), target("c", "c")})
		})
		if stats.Hosts != 2 {
			t.Errorf("%d hosts", stats.Hosts)
		}
		a, b, c := m.of("a"), m.of("b"), m.of("c")
		if len(a) < 19 || len(b) < 9 || len(b) > 11 || len(c) < 9 || len(c) > 11 {
			t.Errorf("%d, %d and %d polls", len(a), len(b), len(c))
		}
		for i := 2; i < len(a); i++ {
			if gap := a[i].Slot.Sub(a[i-1].Slot); gap != time.Minute {
				t.Errorf("the reload moved a slot by %s", gap)
			}
		}
		if last := values(a[len(a)-1]); last["plain.a"] != 4 {
			t.Errorf("the new address is not used: %v", last)
		}
	})
}

func TestANewIntervalHoldsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, m := newPipes(map[string]*fakeNode{"h": soundNode("h", 1)}), newMemory()
		inFakeTime(t, 5*time.Minute, p, m, []poll.Target{{Host: "h", Address: "h", Interval: 24 * time.Hour}}, nil, func(poller *poll.Poller) {
			<-time.After(time.Minute)
			poller.Reload([]poll.Target{{Host: "h", Address: "h", Interval: 10 * time.Second}})
		})
		if n := len(m.of("h")); n < 30 || n > 32 {
			t.Errorf("%d polls", n)
		}
	})
}

func TestAFullDiskDoesNotStopPolling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, m := newPipes(map[string]*fakeNode{"h": soundNode("h", 1)}), newMemory()
		m.err = errors.New("no space left on device")
		stats := inFakeTime(t, 10*time.Minute, p, m, []poll.Target{{Host: "h", Address: "h", Interval: time.Minute}}, nil, nil)
		if n := int64(len(m.of("h"))); n < 10 || stats.SinkErrors != n || stats.Lost != n*soundSeries || stats.Values != 0 {
			t.Errorf("%d polls, %+v", n, stats)
		}
		if len(m.told) != len(m.of("h")) {
			t.Errorf("%d polls were observed", len(m.told))
		}
	})
}

func TestReadingsAreStoredBeforeAnythingIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, m := newPipes(map[string]*fakeNode{"h": soundNode("h", 1)}), newMemory()
		inFakeTime(t, 3*time.Minute, p, m, []poll.Target{{Host: "h", Address: "h", Interval: time.Minute}}, nil, nil)
		if got := strings.Join(m.order, " "); !strings.HasPrefix(got, "append record observe append record observe append") {
			t.Errorf("order: %s", got)
		}
	})
}

func TestAHostThatDoesNotAnswerIsRecordedAndObserved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		stats := inFakeTime(t, 150*time.Second, newPipes(nil), m, []poll.Target{{Host: "h", Address: "gone", Interval: time.Minute}}, nil, nil)
		if got := strings.Join(m.order, " "); !strings.HasPrefix(got, "record observe record observe") || strings.Contains(got, "append") {
			t.Errorf("order: %s", got)
		}
		if result := m.of("h")[0]; result.Answered() || !errors.Is(result.Err, poll.ErrUnreachable) || stats.Failed["unreachable"] < 2 {
			t.Errorf("%v, %+v", result.Err, stats)
		}
	})
}

func TestStoppingKeepsReadingsButSaysNothingAboutTheHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node := soundNode("h", 5)
		node.plugins = []string{"dirty", "plain", "multi"}
		node.hook = hang("config plain")
		p, m := newPipes(map[string]*fakeNode{"h": node}), newMemory()
		inFakeTime(t, 10*time.Second, p, m, []poll.Target{{Host: "h", Address: "h", Interval: time.Minute}}, nil, nil)
		if len(m.kept) != 1 || len(m.of("h")) != 0 || len(m.told) != 0 {
			t.Errorf("%d series kept, %d polls recorded, %d told", len(m.kept), len(m.of("h")), len(m.told))
		}
	})
}

func TestNoMoreSessionsAtOnceThanAllowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := make(map[string]*fakeNode)
		var targets []poll.Target
		for i := range 30 {
			name := fmt.Sprintf("h%d", i)
			nodes[name] = soundNode(name, i)
			nodes[name].hook = func(_ net.Conn, command string) bool {
				if command == "fetch plain" {
					<-time.After(time.Second)
				}
				return false
			}
			targets = append(targets, poll.Target{Host: munin.HostID(name), Address: name, Interval: time.Minute})
		}
		p, m := newPipes(nodes), newMemory()
		inFakeTime(t, 3*time.Minute, p, m, targets, func(o *poll.Options) { o.Concurrency = 4 }, nil)
		if p.peak != 4 {
			t.Errorf("%d sessions at once, want 4", p.peak)
		}
		for i, target := range targets {
			polls := m.of(target.Host)
			if len(polls) < 3 {
				t.Errorf("%s was polled %d times", target.Host, len(polls))
			}
			for _, result := range polls {
				wantSound(t, result, float64(i), 0)
				if result.Start.Sub(result.Slot) > 300*time.Millisecond {
					t.Errorf("%s: values of %s have the time %s", target.Host, result.Start, result.Slot)
				}
			}
		}
	})
}

func TestAPanicEndsOnePollOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, m := newPipes(map[string]*fakeNode{"a": soundNode("a", 1), "b": soundNode("b", 2)}), newMemory()
		inFakeTime(t, 10*time.Minute, p, m, []poll.Target{
			{Host: "a", Address: "a", Interval: time.Minute, Override: func(*munin.Graph) { panic("a fault of ours") }},
			{Host: "b", Address: "b", Interval: time.Minute},
		}, nil, nil)
		a, b := m.of("a"), m.of("b")
		if len(a) < 10 || len(b) < 10 {
			t.Fatalf("%d and %d polls", len(a), len(b))
		}
		if err := a[0].Err; !errors.Is(err, poll.ErrInternal) || !strings.Contains(err.Error(), "a fault of ours") {
			t.Errorf("%v", err)
		}
		wantSound(t, b[len(b)-1], 2, 0)
	})
}

func TestFirstPollsOfHostsBehindOneAddressAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := map[string]*fakeNode{"alone": soundNode("alone", 1), "gateway": soundNode("gateway", 2)}
		targets := []poll.Target{{Host: "alone", Address: "alone", Interval: 5 * time.Minute}}
		for i := range 1000 {
			targets = append(targets, poll.Target{Host: munin.HostID(fmt.Sprintf("host%d", i)), Address: "gateway", Naming: poll.NameNone, Interval: 5 * time.Minute})
		}
		m := newMemory()
		start := time.Now()
		inFakeTime(t, 2*time.Minute, newPipes(nodes), m, targets, nil, nil)
		if first := m.of("alone")[0].Start.Sub(start); first > 3*time.Second {
			t.Errorf("a host by itself was polled after %s only", first)
		}
		seconds := make(map[int]int)
		for i := range 1000 {
			polls := m.of(munin.HostID(fmt.Sprintf("host%d", i)))
			if len(polls) == 0 {
				t.Fatalf("host%d was not polled within 2 minutes", i)
			}
			seconds[int(polls[0].Start.Sub(start).Seconds())]++
		}
		for second, polls := range seconds {
			if polls > 30 {
				t.Errorf("%d first polls of one node in second %d", polls, second)
			}
		}
	})
}

func TestEveryPollIsLoggedWhereThatIsWanted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node := soundNode("h", 1)
		node.answers["fetch plain"] = "a.value 1\nb.value nonsense\n"
		var text bytes.Buffer
		m := newMemory()
		log := slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: slog.LevelDebug}))
		inFakeTime(t, 3*time.Minute, newPipes(map[string]*fakeNode{"h": node}), m, []poll.Target{{Host: "h", Address: "h", Interval: time.Minute}},
			func(o *poll.Options) { o.Log = log }, nil)
		if polls := len(m.of("h")); strings.Count(text.String(), "msg=polled host=h took=") != polls || polls < 3 {
			t.Errorf("%d polls:\n%s", polls, text.String())
		}
		if !strings.Contains(text.String(), "part of an answer could not be used") {
			t.Errorf("no fault is logged:\n%s", text.String())
		}
	})
}

// slowSink takes 20 s for what it is given, several at once, and counts what waits for it.
type slowSink struct {
	*memory

	busy, most atomic.Int64
}

func (s *slowSink) Append(ctx context.Context, readings []munin.Reading) error {
	now := s.busy.Add(1)
	for most := s.most.Load(); now > most && !s.most.CompareAndSwap(most, now); most = s.most.Load() {
	}
	<-time.After(20 * time.Second)
	s.busy.Add(-1)
	return s.memory.Append(ctx, readings)
}

func TestPollsDoNotPileUpBeforeASlowStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := make(map[string]*fakeNode)
		var targets []poll.Target
		for i := range 100 {
			name := fmt.Sprintf("host%d", i)
			nodes[name] = soundNode(name, i)
			targets = append(targets, poll.Target{Host: munin.HostID(name), Address: name, Interval: time.Minute})
		}
		sink := &slowSink{memory: newMemory()}
		p := newPipes(nodes)
		stats := inFakeTime(t, 20*time.Minute, p, sink.memory, targets, func(o *poll.Options) { o.Sink, o.Concurrency = sink, 5 }, nil)
		if sink.most.Load() != 5 || stats.Polls < 200 || stats.Late == 0 {
			t.Errorf("%d polls waited to be stored at once; %+v", sink.most.Load(), stats)
		}
	})
}
