package alerts

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"corbie/munin"
)

// Remembered is how long a recovery is told again at a start, in case that it reached nobody before.
const Remembered = 5 * 24 * time.Hour

// Values is a consumer contract of the Evaluator. It models the store of samples: Latest answers with one point
// a source, in the order of the sources: the newest value (a rate where the type makes it one) and its time.
// V is NaN where there is none. The time munin.CannotSay leaves a field as it is.
type Values interface {
	Latest(ctx context.Context, sources []munin.Source, now time.Time) ([]munin.Point, error)
}

// States is a consumer contract of the Evaluator. It models the catalogue's table of alert states. What
// SaveStates has returned from survives a crash.
type States interface {
	States(ctx context.Context) ([]munin.AlertState, error)
	SaveStates(ctx context.Context, states []munin.AlertState) error
}

// Graphs is a consumer contract of the Evaluator. It models the catalogue's list of the graphs that a host has
// ever had.
type Graphs interface {
	Graphs(ctx context.Context, host munin.HostID) ([]munin.Graph, error)
}

// Options is what an Evaluator works with. All of it is needed.
type Options struct {
	Values Values
	States States
	Graphs Graphs
	Teller Teller
	Logger *slog.Logger
}

// Evaluator judges every watched field of a host after each poll of it. States are saved before they are told,
// and told again after a start, so that a crash loses no notice; the Teller sees to it that none is doubled.
// Where saving fails, because the disk is full, people are told all the same, and it is saved as soon as that
// works: a monitor that is silent because of its own disk is worse than a notice that a crash may double.
type Evaluator struct {
	options Options
	scratch sync.Pool // of *scratch

	mu         sync.Mutex
	loaded     bool
	hosts      map[munin.HostID]*watch
	configured map[munin.HostID]bool // nil before Configure: all are
}

// New makes an Evaluator. Call Configure before the polls begin, and again when the configuration has changed.
func New(options Options) (*Evaluator, error) {
	if options.Values == nil || options.States == nil || options.Graphs == nil || options.Teller == nil {
		return nil, errors.New("alerts: values, states, graphs and a teller are needed")
	}
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	return &Evaluator{options: options, hosts: make(map[munin.HostID]*watch)}, nil
}

// Configure says which hosts are configured. The first call loads the saved states and tells again what is open
// or was over not long ago. Every call ends the problems of hosts that are configured no more.
func (e *Evaluator) Configure(ctx context.Context, hosts []munin.Host) error {
	if err := e.load(ctx); err != nil {
		return err
	}
	configured := make(map[munin.HostID]bool, len(hosts))
	for i := range hosts {
		configured[hosts[i].ID] = !hosts[i].Archived
	}
	var errs []error
	for id, w := range e.swap(configured) {
		if !configured[id] {
			errs = append(errs, e.retire(ctx, id, w))
		}
	}
	return errors.Join(errs...)
}

// Load reads the saved states and tells them again, if that was not done yet: Configure and Observe do it by themselves.
func (e *Evaluator) Load(ctx context.Context) error { return e.load(ctx) }

// load reads the states once and tells them again.
func (e *Evaluator) load(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.loaded {
		return nil
	}
	states, err := e.options.States.States(ctx)
	if err != nil {
		return fmt.Errorf("load alert states: %w", err)
	}
	hosts := make(map[munin.HostID]*watch)
	for _, state := range states {
		w, ok := hosts[state.ID.Host]
		if !ok {
			w = newWatch()
			hosts[state.ID.Host] = w
		}
		w.states[state.ID] = state
	}
	var notices []Notice
	oldest := time.Now().Add(-Remembered)
	for id, w := range hosts {
		if err := w.loadGraphs(ctx, e.options.Graphs, id); err != nil {
			return err
		}
		for _, state := range w.states {
			if state.Open != munin.OK || state.Changed.After(oldest) {
				notices = append(notices, w.notice(state, None, state.Open))
			}
		}
	}
	if len(notices) > 0 {
		if err := e.options.Teller.Tell(ctx, notices); err != nil {
			return fmt.Errorf("tell the open problems again: %w", err)
		}
	}
	e.hosts, e.loaded = hosts, true
	e.options.Logger.Info("alert states loaded", "states", len(states), "told_again", len(notices))
	return nil
}

// swap takes over which hosts are configured, and lists those that are watched. A poll that is observed after this cannot open
// a problem of another host.
func (e *Evaluator) swap(configured map[munin.HostID]bool) map[munin.HostID]*watch {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.configured = configured
	all := make(map[munin.HostID]*watch, len(e.hosts))
	for id, w := range e.hosts {
		all[id] = w
	}
	return all
}

func (e *Evaluator) watch(id munin.HostID) *watch {
	e.mu.Lock()
	defer e.mu.Unlock()
	w, ok := e.hosts[id]
	if !ok {
		w = newWatch()
		e.hosts[id] = w
	}
	return w
}

func (e *Evaluator) isConfigured(id munin.HostID) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.configured == nil || e.configured[id]
}

// retire ends every problem of a host that is configured no more.
func (e *Evaluator) retire(ctx context.Context, id munin.HostID, w *watch) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	var steps []step
	for _, state := range w.states {
		after, event := End(state, "the host was taken out of the configuration", now)
		steps = append(steps, step{before: state, after: after, event: event})
	}
	if err := e.commit(ctx, w, steps); err != nil {
		return fmt.Errorf("end the problems of %s: %w", id, err)
	}
	return nil
}

// Observe evaluates a host after a poll of it, whether it answered or not. It may run for many hosts at once.
// After an error nothing is lost: what was not saved or told is saved or told by the next call. A host that is not
// configured any more is left alone: its last poll may end after the reload that took it out.
func (e *Evaluator) Observe(ctx context.Context, host munin.Host, poll *munin.Poll) error {
	if err := e.load(ctx); err != nil {
		return err
	}
	w := e.watch(host.ID)
	w.mu.Lock()
	defer w.mu.Unlock()
	if !e.isConfigured(host.ID) {
		return nil
	}
	if err := w.loadGraphs(ctx, e.options.Graphs, host.ID); err != nil {
		return err
	}
	now := time.Now()
	heard := heardFrom(poll)
	s, ok := e.scratch.Get().(*scratch)
	if !ok {
		s = new(scratch)
	}
	s.steps = append(s.steps[:0], w.stepHost(host, poll, heard, now))
	if heard {
		w.learn(poll)
		if err := e.evaluate(ctx, w, host, poll, s, now); err != nil {
			return fmt.Errorf("evaluate %s: %w", host.ID, err)
		}
	}
	err := e.commit(ctx, w, s.steps)
	if s.worthKeeping() {
		e.scratch.Put(s)
	}
	if err != nil {
		return fmt.Errorf("alerts of %s: %w", host.ID, err)
	}
	return nil
}

// evaluate adds a step for every watched field of the host, and for every field that was watched and has a problem.
func (e *Evaluator) evaluate(ctx context.Context, w *watch, host munin.Host, poll *munin.Poll, s *scratch, now time.Time) error {
	s.answer.set(poll)
	targets := w.targets(host, s, now)
	sources := s.sources[:0]
	for i := range targets {
		if targets[i].fromStore {
			sources = append(sources, targets[i].source)
		}
	}
	if len(sources) > 0 {
		points, err := e.options.Values.Latest(ctx, sources, now)
		if err != nil {
			return err
		}
		if len(points) != len(sources) {
			return fmt.Errorf("asked for %d values, got %d", len(sources), len(points))
		}
		for i, next := 0, 0; i < len(targets); i++ {
			if targets[i].fromStore {
				targets[i].take(points[next])
				next++
			}
		}
	}
	s.sources = sources
	for i := range targets {
		if targets[i].hold {
			continue
		}
		s.steps = append(s.steps, w.stepField(&targets[i], now))
	}
	return nil
}

// step is one state before and after, and what changed for the receivers.
type step struct {
	before, after munin.AlertState
	event         Event
	renamed       bool // only its name is another
}

// commit saves what changed, then tells it, also where it could not be saved. The caller holds w.mu.
func (e *Evaluator) commit(ctx context.Context, w *watch, steps []step) error {
	for _, s := range steps {
		w.states[s.after.ID] = s.after
		if worthSaving(s.before, s.after) {
			w.unsaved[s.after.ID] = true
		}
		if s.event != None {
			n := w.notice(s.after, s.event, s.before.Open)
			n.Renamed = s.renamed
			w.untold = append(w.untold, n)
			e.options.Logger.Info("problem state changed", "host", s.after.ID.Host, "graph", s.after.ID.Graph,
				"field", s.after.ID.Field, "event", s.event.String(), "from", s.before.Open.String(),
				"to", s.after.Open.String(), "reason", s.after.Reason)
		}
	}
	return errors.Join(e.save(ctx, w), e.tell(ctx, w))
}

// save writes the states that changed since they were saved last.
func (e *Evaluator) save(ctx context.Context, w *watch) error {
	if len(w.unsaved) == 0 {
		return nil
	}
	states := make([]munin.AlertState, 0, len(w.unsaved))
	for id := range w.unsaved {
		states = append(states, w.states[id])
	}
	if err := e.options.States.SaveStates(ctx, states); err != nil {
		return fmt.Errorf("save states: %w", err)
	}
	clear(w.unsaved)
	return nil
}

// tell hands over what was not told yet.
func (e *Evaluator) tell(ctx context.Context, w *watch) error {
	if len(w.untold) == 0 {
		return nil
	}
	if err := e.options.Teller.Tell(ctx, w.untold); err != nil {
		return fmt.Errorf("tell: %w", err)
	}
	w.untold = nil
	return nil
}

// worthSaving says whether a restart would miss what changed. The value of a field without a problem is not:
// the store of samples has it.
func worthSaving(before, after munin.AlertState) bool {
	if after.Open != munin.OK && before.Value != after.Value && (before.Value == before.Value || after.Value == after.Value) {
		return true
	}
	before.Value, after.Value = 0, 0
	return before != after
}
