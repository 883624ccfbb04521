package alerts

import (
	"context"
	"errors"
	"fmt"
	"time"

	"corbie/munin"
)

// Rename moves the states of a host, graph or field to another name, as far as there are none of that yet. A
// problem that is open goes on under the new name, since when it did, and is told there; under the old one it is told to be over, so
// that every receiver can close what it opened. Both notices say that it was renamed. Call Configure afterwards when it is a host.
func (e *Evaluator) Rename(ctx context.Context, from, to munin.SeriesID) error {
	if err := e.load(ctx); err != nil {
		return err
	}
	if from.Graph == "" {
		e.drop(from.Host)
	}
	moved, heard, err := e.leave(ctx, from, to)
	if err != nil {
		return fmt.Errorf("end the problems of %s: %w", from, err)
	}
	w := e.watch(to.Host)
	w.mu.Lock()
	defer w.mu.Unlock()
	if heard.After(w.heard) {
		w.heard = heard
	}
	var steps []step
	for _, state := range moved {
		if old, ok := w.states[state.ID]; ok && unsettled(old) {
			continue
		}
		s := step{before: munin.AlertState{ID: state.ID}, after: state, renamed: true}
		if state.Open != munin.OK {
			s.event = Problem
		}
		steps = append(steps, s)
		w.loaded = false // what the graphs are called is read again
	}
	if err := errors.Join(w.loadGraphs(ctx, e.options.Graphs, to.Host), e.commit(ctx, w, steps)); err != nil {
		return fmt.Errorf("take over the problems of %s: %w", from, err)
	}
	return nil
}

// drop makes a host one that is not configured: its last poll under the old name may still be under way.
func (e *Evaluator) drop(id munin.HostID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.configured != nil {
		e.configured[id] = false
	}
}

// leave ends what is open under an old name, and returns the states as they are under the new one.
func (e *Evaluator) leave(ctx context.Context, from, to munin.SeriesID) (moved []munin.AlertState, heard time.Time, err error) {
	w := e.watch(from.Host)
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	var steps []step
	for id, state := range w.states {
		if from.Graph != "" && id.Graph != from.Graph || from.Field != "" && id.Field != from.Field {
			continue
		}
		after, event := End(state, "it is called "+to.String()+" now", now)
		steps = append(steps, step{before: state, after: after, event: event, renamed: true})
		state.ID = munin.Renamed(id, from, to)
		moved = append(moved, state)
	}
	return moved, w.heard, e.commit(ctx, w, steps)
}
