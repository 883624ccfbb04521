package alerts

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	"corbie/munin"
)

// leastStale is how old a value with a time of its own may be, as Munin has it, where polls are more frequent.
const leastStale = 10 * time.Minute

// watch is what the Evaluator knows of one host.
type watch struct {
	mu     sync.Mutex
	loaded bool
	graphs map[string]*munin.Graph // by name, as last described; nobody changes them
	states map[munin.SeriesID]munin.AlertState
	gone   map[munin.SeriesID]bool // the node said that it has them no more
	// unsaved are the states that changed since they were saved, untold the changes that the Teller did not take over yet.
	unsaved map[munin.SeriesID]bool
	untold  []Notice

	described uint64 // munin.Poll.Described of what graphs says

	heard    time.Time // last answer that this process saw
	failures int       // polls without an answer since then
}

func newWatch() *watch {
	return &watch{
		graphs: make(map[string]*munin.Graph), states: make(map[munin.SeriesID]munin.AlertState),
		gone: make(map[munin.SeriesID]bool), unsaved: make(map[munin.SeriesID]bool),
	}
}

func (w *watch) loadGraphs(ctx context.Context, from Graphs, id munin.HostID) error {
	if w.loaded || len(w.states) == 0 {
		w.loaded = true // Nothing of it was ever watched: what the polls tell is enough.
		return nil
	}
	graphs, err := from.Graphs(ctx, id)
	if err != nil {
		return fmt.Errorf("load the graphs of %s: %w", id, err)
	}
	for i := range graphs {
		if _, ok := w.graphs[graphs[i].Name]; !ok && w.interesting(&graphs[i]) {
			w.graphs[graphs[i].Name] = &graphs[i]
		}
	}
	w.loaded = true
	return nil
}

// interesting keeps only what is watched, or was: a host may have thousands of graphs.
func (w *watch) interesting(g *munin.Graph) bool {
	if _, ok := w.graphs[g.Name]; ok {
		return true
	}
	for i := range g.Fields {
		if !RuleOf(&g.Fields[i]).IsZero() {
			return true
		}
	}
	return false
}

// learn takes over the descriptions of a poll.
func (w *watch) learn(poll *munin.Poll) {
	if poll.Described != 0 && poll.Described == w.described {
		return
	}
	w.described = poll.Described
	for i := range poll.Graphs {
		if w.interesting(&poll.Graphs[i]) {
			w.graphs[poll.Graphs[i].Name] = &poll.Graphs[i]
		}
	}
}

func (w *watch) notice(state munin.AlertState, event Event, from munin.Level) Notice {
	n := Notice{State: state, Event: event, From: from}
	if g, ok := w.graphs[state.ID.Graph]; ok {
		n.Graph = about(state.ID, g)
	} else {
		n.Graph = about(state.ID, nil)
	}
	return n
}

// heardFrom says whether a poll brought anything. A node that says its name and then nothing is as silent as one
// that is away: its fields must not become a hundred unknowns.
func heardFrom(poll *munin.Poll) bool {
	return poll.Answered() && (poll.Err == nil || len(poll.Readings) > 0 || len(poll.Graphs) > 0)
}

// stepHost moves the state of the host itself.
func (w *watch) stepHost(host munin.Host, poll *munin.Poll, heard bool, now time.Time) step {
	id := munin.SeriesID{Host: host.ID}
	before := w.states[id]
	before.ID = id
	s := step{before: before}
	if heard {
		w.heard, w.failures = now, 0
		s.after, s.event = StepHost(before, false, "", now)
		return s
	}
	w.failures++
	since, why := host.LastAnswer, "has not answered since "
	if w.heard.After(since) {
		since = w.heard
	}
	if since.IsZero() {
		since, why = before.Since, "has never answered since it was first tried at "
	}
	if since.IsZero() {
		since = now
	}
	silent := now.Sub(since) > silence(host)
	// After a start, the last answer may be long ago because the master was not there to ask.
	seen := !w.heard.IsZero() || w.failures > 1
	if before.Open == munin.OK && (!silent || !seen) {
		s.after, s.event = before, None
		if s.after.Since.IsZero() {
			s.after.Since, s.after.Value = now, math.NaN()
		}
		return s
	}
	reason := why + since.UTC().Format("2006-01-02 15:04:05 MST")
	if poll.Err != nil {
		reason += ": " + excerpt(poll.Err.Error())
	}
	s.after, s.event = StepHost(before, true, reason, now)
	if s.event == None {
		s.after.Reason = before.Reason // the first reason is the one that was told
	}
	return s
}

// silence is how long a host may be silent.
func silence(host munin.Host) time.Duration {
	if host.Silent > 0 {
		return host.Silent
	}
	return 3 * max(host.Interval, time.Second)
}

func excerpt(text string) string {
	const most = 300
	text = munin.CleanText(text)
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return text
}

// answer is what a poll says about fields, by name.
type answer struct {
	complete  bool // the session went well, so that what is not in it is not there
	listed    map[string]bool
	described map[string]bool // plugins that described at least one graph
	fields    map[munin.SeriesID]bool
	newest    map[munin.SeriesID]munin.Point
}

// set makes the answer that of a poll.
func (a *answer) set(poll *munin.Poll) {
	if a.listed == nil {
		a.listed, a.described = make(map[string]bool), make(map[string]bool)
		a.fields, a.newest = make(map[munin.SeriesID]bool), make(map[munin.SeriesID]munin.Point)
	}
	clear(a.listed)
	clear(a.described)
	clear(a.fields)
	clear(a.newest)
	a.complete = poll.Err == nil && len(poll.Plugins) > 0
	for _, name := range poll.Plugins {
		a.listed[name] = true
	}
	for i := range poll.Graphs {
		g := &poll.Graphs[i]
		a.described[g.Plugin] = true
		for j := range g.Fields {
			a.fields[munin.SeriesID{Graph: g.Name, Field: g.Fields[j].Name}] = true
		}
	}
	for _, r := range poll.Readings {
		id := munin.SeriesID{Graph: r.ID.Graph, Field: r.ID.Field}
		if old, ok := a.newest[id]; !ok || r.T >= old.T {
			a.newest[id] = r.Point
		}
	}
}

// scratch is memory for one evaluation after another.
type scratch struct {
	answer  answer
	done    map[munin.SeriesID]bool
	targets []target
	sources []munin.Source
	steps   []step
}

// keepTargets is how many things of one kind are kept at most for the next evaluation.
const keepTargets = 2000

// worthKeeping says whether the next evaluation should use the memory of this one.
func (s *scratch) worthKeeping() bool {
	return len(s.answer.newest) <= keepTargets && len(s.answer.fields) <= keepTargets && cap(s.steps) <= keepTargets
}

// gone says whether the node itself says that the field is no more: its plugin is not offered, or describes its
// graphs without this field. A plugin that fails says nothing of the kind.
func (a *answer) gone(plugin string, id munin.SeriesID) bool {
	if !a.complete {
		return false
	}
	if plugin != "" && !a.listed[plugin] {
		return true
	}
	return a.described[plugin] && !a.fields[munin.SeriesID{Graph: id.Graph, Field: id.Field}]
}

// has says whether the poll describes the field or brings a value of it.
func (a *answer) has(id munin.SeriesID) bool {
	id.Host = ""
	_, read := a.newest[id]
	return read || a.fields[id]
}

// target is one field to be judged.
type target struct {
	id        munin.SeriesID
	rule      Rule
	source    munin.Source
	reading   munin.Point // newest of this poll
	read      bool        // there is one
	fromStore bool        // the value has to be asked for
	oldest    int64       // Unix milliseconds before which a value is stale
	hold      bool        // the store has not got what this poll brought: that says nothing of the field
	value     float64
	gone      bool
}

// take uses the store's answer, unless it is stale. One that is older than what this poll brought means that the reading could not be
// stored, because of a full disk: were that unknown, all counters of all hosts would become problems.
func (t *target) take(p munin.Point) {
	t.value = math.NaN()
	t.hold = t.read && p.T < t.reading.T || p.T == munin.CannotSay
	if p.T >= t.oldest {
		t.value = p.V
	}
}

// targets lists the fields with a level, and those without one that still have a state other than OK.
func (w *watch) targets(host munin.Host, s *scratch, now time.Time) []target {
	if s.done == nil {
		s.done = make(map[munin.SeriesID]bool)
	}
	clear(s.done)
	a, done, out := &s.answer, s.done, s.targets[:0]
	for _, g := range w.graphs {
		for i := range g.Fields {
			f := &g.Fields[i]
			id := munin.SeriesID{Host: host.ID, Graph: g.Name, Field: f.Name}
			state, known := w.states[id]
			if w.gone[id] && !a.has(id) {
				continue
			}
			delete(w.gone, id)
			if rule := RuleOf(f); !rule.IsZero() || known && unsettled(state) {
				done[id] = true
				out = append(out, newTarget(host, g, f, a, now))
			}
		}
	}
	for id, state := range w.states {
		if id.Graph == "" || done[id] || !unsettled(state) {
			continue
		}
		t := target{id: id, rule: Rule{Critical: state.Bounds}, value: math.NaN(), gone: a.complete}
		if t.rule.IsZero() {
			t.rule.Critical = munin.Bounds{HasHigh: true, High: math.Inf(1)}
		}
		if g, ok := w.graphs[id.Graph]; ok {
			t.gone = a.gone(g.Plugin, id)
		}
		out = append(out, t)
	}
	s.targets = out
	return out
}

func unsettled(s munin.AlertState) bool {
	return s.Open != munin.OK || s.Level != munin.OK || s.Unknowns > 0
}

func newTarget(host munin.Host, g *munin.Graph, f *munin.Field, a *answer, now time.Time) target {
	t := target{
		id: munin.SeriesID{Host: host.ID, Graph: g.Name, Field: f.Name}, rule: RuleOf(f), value: math.NaN(),
		source: g.Source(host.ID, f, host.Interval),
	}
	t.gone = a.gone(g.Plugin, t.id)
	t.reading, t.read = a.newest[munin.SeriesID{Graph: g.Name, Field: f.Name}]
	stale := max(leastStale, t.source.Heartbeat)
	switch {
	case t.read && math.IsNaN(t.reading.V):
	case t.read && f.Type == munin.Gauge:
		t.oldest = now.Add(-stale).UnixMilli()
		if t.reading.T >= t.oldest {
			t.value = munin.NewRater(t.source).Next(t.reading)
		}
	case t.read:
		t.fromStore, t.oldest = true, now.Add(-stale).UnixMilli()
	case len(f.From) > 0:
		// It is read where it comes from, which was asked at a time of its own.
		t.fromStore, t.oldest = true, now.Add(-max(stale, 2*host.Interval)).UnixMilli()
	case g.UpdateRate > host.Interval:
		// It has a slower rhythm than the polls: no value in this poll says nothing yet.
		t.fromStore, t.oldest = true, now.Add(-t.source.Heartbeat).UnixMilli()
	}
	return t
}

// stepField judges one field.
func (w *watch) stepField(t *target, now time.Time) step {
	before := w.states[t.id]
	before.ID = t.id
	s := step{before: before}
	s.after, s.event = Step(before, t.rule, t.value, now)
	if t.gone && s.after.Unknowns > t.rule.unknownLimit() {
		s.after, s.event = End(before, "the node does not offer it any more", now)
		s.after.Value = math.NaN()
		w.gone[t.id] = true
	}
	return s
}
