package virtual_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"corbie/master/virtual"
	"corbie/munin"
)

// memory is a catalogue in memory.
type memory struct {
	mu     sync.Mutex
	graphs map[munin.SeriesID]munin.Graph
	polls  []*munin.Poll
	broken error
}

func newMemory() *memory {
	m := &memory{graphs: make(map[munin.SeriesID]munin.Graph)}
	for _, host := range []munin.HostID{"web;www1", "web;www2"} {
		m.put(host, "load", "graph_title Load\nload.label load\n")
	}
	return m
}

func (m *memory) put(host munin.HostID, name, config string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.graphs[munin.SeriesID{Host: host, Graph: name}] = munin.ParseConfig(name, []byte(config)).Graphs[0]
}

func (m *memory) Record(_ context.Context, p *munin.Poll) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.polls = append(m.polls, p)
	return m.broken
}

func (m *memory) Host(_ context.Context, name string) (munin.Host, error) {
	return munin.Host{ID: munin.HostID(name), Interval: 5 * time.Minute}, nil
}

func (m *memory) Graph(_ context.Context, host munin.HostID, name string) (munin.Graph, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if g, ok := m.graphs[munin.SeriesID{Host: host, Graph: name}]; ok {
		return g, m.broken
	}
	return munin.Graph{}, fmt.Errorf("graph: %w", munin.ErrNotFound)
}

func (m *memory) take() []*munin.Poll {
	m.mu.Lock()
	defer m.mu.Unlock()
	polls := m.polls
	m.polls = nil
	return polls
}

func loads(order ...string) munin.Graph {
	return munin.Graph{Plugin: "loads", Name: "loads", Title: "Loads", Period: "second", Order: order}
}

// show is one line for each field: what it is called and where its values come from.
func show(p *munin.Poll) string {
	var b strings.Builder
	for i := range p.Graphs {
		g := &p.Graphs[i]
		for j := range g.Fields {
			source := g.Source(p.Host, &g.Fields[j], time.Minute)
			fmt.Fprintf(&b, "%s.%s=%s/%s ", g.Name, g.Fields[j].Name, source.ID, source.Heartbeat)
		}
	}
	return strings.TrimSpace(b.String())
}

func TestAVirtualHostIsLookedAtOnceInItsInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		observed := 0
		k := virtual.New([]virtual.Plan{
			{Host: "web;Totals", Interval: 5 * time.Minute, Graphs: []munin.Graph{loads("a=www1:load.load", "b=www2:load.load", "c=www3:load.load")}},
			{Host: "web;www1", Interval: time.Second, Polled: true},
		}, virtual.Options{Catalog: m, Observe: func(context.Context, *munin.Poll) { observed++ }})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- k.Run(ctx) }()
		after := func(d time.Duration, want int) []*munin.Poll {
			t.Helper()
			time.Sleep(d) //nolint:forbidigo // the clock of the bubble
			synctest.Wait()
			polls := m.take()
			if len(polls) != want {
				t.Errorf("%d polls, want %d", len(polls), want)
			}
			return polls
		}
		after(4*time.Second, 0)
		first := after(2*time.Second, 1)[0]
		want := "loads.a=web;www1:load.load/10m30s loads.b=web;www2:load.load/10m30s"
		if got := show(first); got != want || first.Host != "web;Totals" || !first.Answered() || len(first.Faults) != 1 || len(first.Plugins) != 1 {
			t.Errorf("%s\nwant %s\n%+v", got, want, first)
		}
		m.put("web;www3", "load", "graph_title Load\nload.label load\n")
		if p := after(15*time.Second, 1)[0]; len(p.Faults) != 0 || len(p.Graphs[0].Fields) != 3 {
			t.Errorf("a host that came later: %s, %v", show(p), p.Faults)
		}
		after(5*time.Minute-2*time.Second, 0)
		after(2*time.Second, 1)
		k.Reload(nil)
		after(time.Hour, 0)
		stop()
		if err := <-done; err != nil || observed != 2 {
			t.Errorf("%v, %d observed", err, observed)
		}
	})
}

func TestAPolledHostGetsWhatItBorrows(t *testing.T) {
	m := newMemory()
	both := loads("here=load.load", "there=www2:load.load")
	k := virtual.New([]virtual.Plan{{Host: "web;www1", Interval: time.Minute, Polled: true, Graphs: []munin.Graph{both}}}, virtual.Options{Catalog: m})
	reply := munin.ParseConfig("load", []byte("graph_title Load\ngraph_order load other=www2:load.load\nload.label load\n"))
	p := &munin.Poll{Host: "web;www1", Banner: "www1", Plugins: []string{"load"}, Graphs: reply.Graphs, Described: 7}
	if err := k.Record(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	want := "load.load=web;www1:load.load/2m6s load.other=web;www2:load.load/10m30s " +
		"loads.here=web;www1:load.load/10m30s loads.there=web;www2:load.load/10m30s"
	if got := show(m.take()[0]); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if len(reply.Graphs[0].Fields) != 1 || p.Described != 0 || len(p.Plugins) != 2 {
		t.Errorf("graphs that polls share were changed: %+v, %+v", reply.Graphs, p)
	}
	// What the node has under the name is the node's, also when it fails for once.
	p = &munin.Poll{Host: "web;www1", Banner: "www1", Plugins: []string{"load", "loads"}, Graphs: reply.Graphs[:1]}
	if err := k.Record(t.Context(), p); err != nil || len(p.Graphs) != 1 {
		t.Errorf("%v, %s", err, show(p))
	}
	// A silent host stays silent.
	p = &munin.Poll{Host: "web;www1", Err: errors.New("refused")}
	if err := k.Record(t.Context(), p); err != nil || len(p.Graphs) != 0 {
		t.Errorf("%v, %s", err, show(p))
	}
}

func TestACatalogueThatFailsFailsThePoll(t *testing.T) {
	m := newMemory()
	k := virtual.New(nil, virtual.Options{Catalog: m})
	m.broken = errors.New("disk full")
	g := loads("a=www1:load.load")
	p := &munin.Poll{Host: "web;x", Banner: "x", Graphs: []munin.Graph{g}}
	if err := k.Record(t.Context(), p); !errors.Is(err, m.broken) {
		t.Errorf("error %v", err)
	}
}
