package alerts_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"corbie/alerts"
	"corbie/munin"
)

// memory is a catalogue and a store of samples in memory, which keeps order: what is told was saved before.
type memory struct {
	mu      sync.Mutex
	states  map[munin.SeriesID]munin.AlertState
	graphs  map[munin.HostID][]munin.Graph
	values  map[munin.SeriesID]munin.Point
	told    []string
	notices []alerts.Notice
	failing error // of SaveStates
	deaf    error // of Tell
	unsaved []string
}

func newMemory() *memory {
	return &memory{
		states: make(map[munin.SeriesID]munin.AlertState), graphs: make(map[munin.HostID][]munin.Graph),
		values: make(map[munin.SeriesID]munin.Point),
	}
}

func (m *memory) Latest(_ context.Context, sources []munin.Source, _ time.Time) ([]munin.Point, error) {
	out := make([]munin.Point, len(sources))
	for i, s := range sources {
		p, ok := m.values[s.ID]
		if !ok {
			p = munin.Point{V: math.NaN()}
		}
		out[i] = p
	}
	return out, nil
}

func (m *memory) Graphs(_ context.Context, host munin.HostID) ([]munin.Graph, error) {
	return m.graphs[host], nil
}

func (m *memory) States(context.Context) ([]munin.AlertState, error) {
	var out []munin.AlertState
	for _, s := range m.states {
		out = append(out, s)
	}
	return out, nil
}

func (m *memory) SaveStates(_ context.Context, states []munin.AlertState) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failing != nil {
		return m.failing
	}
	for _, s := range states {
		m.states[s.ID] = s
	}
	return nil
}

func (m *memory) Tell(_ context.Context, notices []alerts.Notice) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.deaf != nil {
		return m.deaf
	}
	for _, n := range notices {
		if saved := m.states[n.State.ID]; saved.Open != n.State.Open {
			m.unsaved = append(m.unsaved, n.State.Key())
		}
		m.told = append(m.told, fmt.Sprintf("%s %s %s to %s", n.Event, n.State.Key(), n.From, n.State.Open))
		m.notices = append(m.notices, n)
	}
	return nil
}

func (m *memory) takeTold() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	told := m.told
	m.told = nil
	slices.Sort(told)
	return told
}

// rig is an evaluator with a host that is polled every five minutes.
type rig struct {
	t    *testing.T
	mem  *memory
	eval *alerts.Evaluator
	host munin.Host
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, mem: newMemory(), host: munin.Host{
		ID: "web;www1", Interval: 5 * time.Minute, Silent: 15 * time.Minute,
	}}
	r.restart()
	return r
}

func (r *rig) restart() {
	r.t.Helper()
	var err error
	r.eval, err = alerts.New(alerts.Options{
		Values: r.mem, States: r.mem, Graphs: r.mem, Teller: r.mem, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		r.t.Fatal(err)
	}
	if err := r.eval.Configure(r.t.Context(), []munin.Host{r.host}); err != nil {
		r.t.Fatal(err)
	}
}

// graph describes one with fields "name=level", the critical level.
func graph(plugin, name string, fields ...string) munin.Graph {
	g := munin.Graph{Plugin: plugin, Name: name, Title: "Title of " + name, Period: "second"}
	for _, f := range fields {
		field, level, _ := strings.Cut(f, "=")
		mf := munin.Field{Name: field, Label: "/" + field}
		if level != "" {
			mf.Critical, _ = munin.ParseBounds(level)
		}
		g.Fields = append(g.Fields, mf)
	}
	return g
}

// answered is a good poll with graphs and values "graph.field".
func (r *rig) answered(graphs []munin.Graph, values map[string]float64) *munin.Poll {
	p := &munin.Poll{Host: r.host.ID, Banner: "www1", Start: time.Now(), Slot: time.Now(), Graphs: graphs}
	for i := range graphs {
		if !slices.Contains(p.Plugins, graphs[i].Plugin) {
			p.Plugins = append(p.Plugins, graphs[i].Plugin)
		}
	}
	for name, v := range values {
		g, f, _ := strings.Cut(name, ".")
		id := munin.SeriesID{Host: r.host.ID, Graph: g, Field: f}
		point := munin.Point{T: time.Now().UnixMilli(), V: v}
		p.Readings = append(p.Readings, munin.Reading{ID: id, Point: point})
		r.mem.values[id] = point
	}
	r.mem.graphs[r.host.ID] = graphs
	return p
}

func (r *rig) silent() *munin.Poll {
	return &munin.Poll{Host: r.host.ID, Start: time.Now(), Slot: time.Now(), Err: errors.New("connection refused")}
}

// poll observes one poll and moves on to the next; it checks what was told.
func (r *rig) poll(p *munin.Poll, want ...string) {
	r.t.Helper()
	if err := r.eval.Observe(r.t.Context(), r.host, p); err != nil {
		r.t.Fatal(err)
	}
	if p.Err == nil {
		r.host.LastAnswer = p.Start
	}
	r.expect(want...)
	time.Sleep(r.host.Interval) //nolint:forbidigo // the clock of the bubble
}

func (r *rig) expect(want ...string) {
	r.t.Helper()
	if got := r.mem.takeTold(); !slices.Equal(got, want) {
		r.t.Errorf("told %q, want %q", got, want)
	}
	if len(r.mem.unsaved) > 0 {
		r.t.Errorf("told before it was saved: %v", r.mem.unsaved)
	}
}

func bubble(t *testing.T, f func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(newRig(t)) })
}
