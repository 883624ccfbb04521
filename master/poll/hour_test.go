package poll_test

import (
	"context"
	"fmt"
	"math"
	"net"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"corbie/master/poll"
	"corbie/munin"
	"corbie/munin/wire/fleet"
)

// fleetTick is how often values of the fleets change.
const fleetTick = 10 * time.Second

// fleetTargets are the nodes of a fleet as hosts of a master that reaches them by dial.
func fleetTargets(nodes *fleet.Fleet, interval time.Duration, limits poll.Timeouts) (targets []poll.Target, byAddress map[string]int) {
	byAddress = make(map[string]int)
	for i := range nodes.Len() {
		address := nodes.Address(i, 4949)
		byAddress[address] = i
		targets = append(targets, poll.Target{Host: munin.HostID(nodes.Name(i)), Address: address, Interval: interval, Timeouts: limits})
	}
	return targets, byAddress
}

// checker is a sink that wants every value to be of the series under which it is stored, and counts them.
type checker struct {
	nodes *fleet.Fleet

	mu    sync.Mutex
	wrong []string
	count map[munin.SeriesID]*counted
}

// counted is how many times a series has a value at, and the newest of them. It grows with the series only, so that
// what is measured is the memory of the poller.
type counted struct {
	times  int
	newest int64
}

func newChecker(nodes *fleet.Fleet) *checker {
	return &checker{nodes: nodes, count: make(map[munin.SeriesID]*counted)}
}

func (c *checker) Append(_ context.Context, readings []munin.Reading) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range readings {
		if math.IsNaN(r.V) {
			continue
		}
		node, graph, field, ok := c.nodes.Owner(r.V)
		if !ok || munin.HostID(c.nodes.Name(node)) != r.ID.Host || graph != r.ID.Graph || field != r.ID.Field {
			c.wrong = append(c.wrong, fmt.Sprintf("%s at %s: %v is of node %d, %s.%s", r.ID, r.Time(), r.V, node, graph, field))
		}
		c.checkTime(r)
		n := c.count[r.ID]
		if n == nil {
			n = new(counted)
			c.count[r.ID] = n
		}
		if r.T <= n.newest {
			c.wrong = append(c.wrong, fmt.Sprintf("%s at %s: stored after a value of %s", r.ID, r.Time(), time.UnixMilli(n.newest).UTC()))
			continue
		}
		n.times, n.newest = n.times+1, r.T
	}
	return nil
}

func (c *checker) Record(context.Context, *munin.Poll) error { return nil }

func (c *checker) check(t *testing.T) {
	t.Helper()
	for i, wrong := range c.wrong {
		if i == 10 {
			t.Fatalf("and %d more", len(c.wrong)-10)
		}
		t.Error(wrong)
	}
}

// TestAnHourAmongNodesThatMisbehave polls a fleet every 10 s for an hour of fake time. A fifth of its nodes hang,
// are slow, speak rubbish or come and go. No honest node misses a sample, nothing false is stored, and memory
// stays what it was after the first minutes.
func TestAnHourAmongNodesThatMisbehave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const interval = 10 * time.Second
		nodes, err := fleet.New(fleet.Options{
			Nodes: 100, Plugins: 4, Fields: 3, Seed: 7, Tick: fleetTick, SlowBy: 8 * time.Second, Away: 3 * time.Minute,
			Mix: fleet.Mix{Hang: 0.05, Slow: 0.05, Rubbish: 0.05, Vanish: 0.05},
		})
		if err != nil {
			t.Fatal(err)
		}
		targets, byAddress := fleetTargets(nodes, interval, poll.Timeouts{Dial: 2 * time.Second, Idle: 5 * time.Second, Plugin: 5 * time.Second, Host: 25 * time.Second})
		ctx, cancel := context.WithCancel(t.Context())
		kept := newChecker(nodes)
		poller := poll.New(targets, poll.Options{
			Sink: kept, Catalog: kept, Log: quiet(), Window: 1,
			Concurrency: 8, // fewer than there are nodes that hang or are slow
			Dial: func(_ context.Context, address string) (net.Conn, error) {
				ours, theirs := net.Pipe()
				go nodes.ServeNode(ctx, theirs, byAddress[address])
				return ours, nil
			},
		})
		stop := run(t, poller)
		<-time.After(5 * time.Minute)
		early := heapBytes()
		<-time.After(55 * time.Minute)
		late := heapBytes()
		stop()
		cancel()
		synctest.Wait()

		kept.check(t)
		honest := 0
		for i, target := range targets {
			if nodes.Behaviour(i) != fleet.Honest {
				continue
			}
			honest++
			for id, n := range kept.count {
				// The first poll of all is out of turn; at the ends one slot more or less is within the hour.
				if id.Host == target.Host && (n.times < 360 || n.times > 362) {
					t.Fatalf("%s has %d samples after an hour, want 360", id, n.times)
				}
			}
		}
		want := honest * nodes.Series()
		for id := range kept.count {
			for i, target := range targets {
				if id.Host == target.Host && nodes.Behaviour(i) == fleet.Honest {
					want--
				}
			}
		}
		stats := poller.Stats()
		if honest != 80 || want != 0 {
			t.Errorf("%d honest nodes, %d of their series are missing", honest, want)
		}
		if len(stats.Failed) < 2 || stats.Faults == 0 {
			t.Errorf("nothing failed: the nodes do not misbehave: %+v", stats)
		}
		samples := 0
		for _, n := range kept.count {
			samples += n.times
		}
		if late > early+2<<20 {
			t.Errorf("memory grew from %d to %d bytes with %d samples", early, late, samples)
		}
		t.Logf("%d polls, %d samples, failed %v, %d faults, %d late; heap %d to %d bytes", stats.Polls, samples, stats.Failed, stats.Faults, stats.Late, early, late)
	})
}

// heapBytes is what is in use after a collection.
func heapBytes() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
