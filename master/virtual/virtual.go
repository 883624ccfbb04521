// Package virtual looks after the graphs that no node has: those that borrow, sum or stack what other hosts have, on
// virtual hosts, which are not polled, and on polled ones.
//
// It resolves their paths by what the catalogue knows at that moment, and hands virtual hosts over like polled ones: the
// catalogue, the alerts and the pages see graphs whose fields say where their values come from (munin.Field.From). No
// values are stored twice.
package virtual

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"corbie/munin"
)

// Catalog is a consumer contract of the Keeper. It models the catalogue: what is known of hosts and graphs, and the record
// of polls.
type Catalog interface {
	Record(ctx context.Context, poll *munin.Poll) error
	Host(ctx context.Context, name string) (munin.Host, error)
	Graph(ctx context.Context, host munin.HostID, name string) (munin.Graph, error)
}

// Plan is what a host has of such graphs.
type Plan struct {
	Host     munin.HostID
	Interval time.Duration
	Polled   bool          // by somebody else, who hands its polls to Keeper.Record
	Graphs   []munin.Graph // as configured; Borrow is still to be done
}

// Options are the parts that a Keeper works with.
type Options struct {
	Catalog Catalog
	// Observe is told of every virtual poll after the catalogue; nil means nobody is.
	Observe func(ctx context.Context, poll *munin.Poll)
	Log     *slog.Logger
}

// Keeper resolves the graphs. It implements poll.Catalog.
type Keeper struct {
	opts Options
	wake chan struct{}

	mu    sync.Mutex
	plans map[munin.HostID]Plan
	said  map[munin.HostID]string // what was logged last of a host
}

const (
	// settling is how long after a start or a change of the plans the first look is: most polled hosts answer before.
	settling = 5 * time.Second
	// young is how long after that graphs are looked at again soon in which something is missing.
	young = 10 * time.Minute
	again = 15 * time.Second
)

// New makes a Keeper; Run starts it.
func New(plans []Plan, opts Options) *Keeper {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	k := &Keeper{opts: opts, wake: make(chan struct{}, 1), said: make(map[munin.HostID]string)}
	k.Reload(plans)
	return k
}

// Reload replaces the plans. It may be called at any time, and does not wait.
func (k *Keeper) Reload(plans []Plan) {
	wanted := make(map[munin.HostID]Plan, len(plans))
	for _, p := range plans {
		wanted[p.Host] = p
	}
	k.mu.Lock()
	k.plans = wanted
	k.mu.Unlock()
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// virtual are the plans of the hosts that are not polled.
func (k *Keeper) virtual() []Plan {
	k.mu.Lock()
	defer k.mu.Unlock()
	var list []Plan
	for _, p := range k.plans {
		if !p.Polled {
			list = append(list, p)
		}
	}
	slices.SortFunc(list, func(a, b Plan) int { return strings.Compare(string(a.Host), string(b.Host)) })
	return list
}

func (k *Keeper) plan(host munin.HostID) Plan {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.plans[host]
}

// Run looks at every virtual host once in its interval, until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	due := make(map[munin.HostID]time.Time)
	begun := time.Now()
	timer := time.NewTimer(settling)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-k.wake:
			due, begun = make(map[munin.HostID]time.Time), time.Now()
			timer.Reset(settling)
			continue
		case <-timer.C:
		}
		next := time.Minute
		for _, plan := range k.virtual() {
			now := time.Now()
			if wait := due[plan.Host].Sub(now); wait > 0 {
				next = min(next, wait)
				continue
			}
			wait := plan.Interval
			if !k.look(ctx, &plan, now.Sub(begun) < young) {
				wait = min(wait, again)
			}
			due[plan.Host] = now.Add(wait)
			next = min(next, wait)
		}
		timer.Reset(next)
	}
}

// look is one poll of a virtual host. It is false when something is missing that may come soon: then nobody is told of the
// poll but the catalogue.
func (k *Keeper) look(ctx context.Context, plan *Plan, young bool) bool {
	now := time.Now().UTC()
	p := &munin.Poll{Host: plan.Host, Slot: now, Start: now, Banner: plan.Host.Name()}
	err := k.add(ctx, plan, p)
	p.Took = time.Since(now)
	if err == nil {
		err = k.opts.Catalog.Record(ctx, p)
	}
	if err != nil {
		k.log(plan.Host, err.Error())
		return true
	}
	if young && len(p.Faults) > 0 {
		return false
	}
	reasons := make([]string, len(p.Faults))
	for i, f := range p.Faults {
		reasons[i] = f.String()
	}
	k.log(plan.Host, strings.Join(reasons, "; "))
	if k.opts.Observe != nil {
		k.opts.Observe(ctx, p)
	}
	return true
}

// log says what is wrong with a virtual host when it changes.
func (k *Keeper) log(host munin.HostID, what string) {
	k.mu.Lock()
	same := k.said[host] == what
	k.said[host] = what
	k.mu.Unlock()
	if !same && what != "" {
		k.opts.Log.Warn("graphs of a virtual host are not complete", "host", string(host), "err", what)
	}
}

// Record stores the poll of a host with the graphs that it has besides, and with those that borrow resolved. The poll is
// changed accordingly, so that whoever is told of it next sees the same.
func (k *Keeper) Record(ctx context.Context, p *munin.Poll) error {
	plan := k.plan(p.Host)
	if len(p.Graphs) > 0 && (len(plan.Graphs) > 0 || anyBorrows(p.Graphs)) {
		if err := k.add(ctx, &plan, p); err != nil {
			return err
		}
	}
	return k.opts.Catalog.Record(ctx, p)
}

func anyBorrows(graphs []munin.Graph) bool {
	for i := range graphs {
		if graphs[i].Borrows() {
			return true
		}
	}
	return false
}

// add completes the graphs of a poll.
func (k *Keeper) add(ctx context.Context, plan *Plan, p *munin.Poll) error {
	found := &finder{
		catalog: k.opts.Catalog, host: p.Host, own: p.Graphs,
		seen: make(map[munin.SeriesID]*munin.Graph), every: make(map[munin.HostID]time.Duration),
	}
	changed := false
	graphs := slices.Clone(p.Graphs) // Polls share their graphs.
	for i := range graphs {
		if graphs[i].Borrows() {
			graphs[i] = found.borrow(ctx, &graphs[i], p)
			changed = true
		}
	}
	for i := range plan.Graphs {
		g := &plan.Graphs[i]
		if slices.Contains(p.Plugins, g.Plugin) && plan.Polled || has(graphs, g.Name) {
			continue // The node has it itself.
		}
		graphs = append(graphs, found.borrow(ctx, g, p))
		changed = true
	}
	if !changed {
		return nil
	}
	p.Graphs, p.Described = graphs, 0
	p.Plugins = slices.Clone(p.Plugins)
	for i := range graphs {
		if !slices.Contains(p.Plugins, graphs[i].Plugin) {
			p.Plugins = append(p.Plugins, graphs[i].Plugin)
		}
	}
	return found.err
}

func has(graphs []munin.Graph, name string) bool {
	return slices.ContainsFunc(graphs, func(g munin.Graph) bool { return g.Name == name })
}

// finder looks up graphs for one poll, each once.
type finder struct {
	catalog Catalog
	host    munin.HostID
	own     []munin.Graph
	seen    map[munin.SeriesID]*munin.Graph
	every   map[munin.HostID]time.Duration
	err     error // the first, but for what is not known
}

func (f *finder) borrow(ctx context.Context, g *munin.Graph, p *munin.Poll) munin.Graph {
	out, faults := g.Borrow(f.host, func(host munin.HostID, graph string) (*munin.Graph, time.Duration) {
		if found := f.graph(ctx, host, graph); found != nil {
			return found, f.interval(ctx, host)
		}
		return nil, 0
	})
	if room := munin.MaxFaults - len(p.Faults); room < len(faults) {
		faults = faults[:max(room, 0)]
	}
	p.Faults = append(slices.Clip(p.Faults), faults...)
	return out
}

func (f *finder) graph(ctx context.Context, host munin.HostID, name string) *munin.Graph {
	if host == f.host {
		for i := range f.own {
			if f.own[i].Name == name {
				return &f.own[i]
			}
		}
	}
	id := munin.SeriesID{Host: host, Graph: name}
	if g, ok := f.seen[id]; ok {
		return g
	}
	f.seen[id] = nil
	g, err := f.catalog.Graph(ctx, host, name)
	if err == nil {
		f.seen[id] = &g
	}
	f.fail(err)
	return f.seen[id]
}

func (f *finder) fail(err error) {
	if err != nil && f.err == nil && !errors.Is(err, munin.ErrNotFound) {
		f.err = err
	}
}

func (f *finder) interval(ctx context.Context, host munin.HostID) time.Duration {
	if d, ok := f.every[host]; ok {
		return d
	}
	h, err := f.catalog.Host(ctx, string(host))
	f.fail(err)
	f.every[host] = h.Interval
	return h.Interval
}
