package poll

import (
	"errors"
	"maps"
	"time"

	"corbie/munin"
	"corbie/munin/wire"
)

// Stats counts what a Poller did since it was made.
type Stats struct {
	Hosts         int              // targets now
	Running       int              // sessions in progress now
	Polls         int64            // sessions that ended
	Failed        map[string]int64 // sessions that were given up, by Reason
	Late          int64            // slots that passed because the session before took too long
	Bytes         int64            // received
	Values        int64            // readings that the Sink took
	Lost          int64            // readings that the Sink did not take
	Faults        int64            // pieces of answers that could not be used
	SinkErrors    int64
	CatalogErrors int64
	Limit         int // sessions at once

	// Where the time went, summed over all sessions: several run at once.
	Talking, Waiting            time.Duration // with the node; for a place among the sessions
	Storing, Recording, Judging time.Duration // samples; the catalogue; whoever observes
}

// Window is what happened between two calls of Window.
type Window struct {
	Polls, Failed     int64
	TookSum, TookMost time.Duration
	LagSum, LagMost   time.Duration
	Slowest           munin.HostID // whose session took TookMost
	FailedBy          map[string]int64
}

// HostStats is what the last session with a host cost.
type HostStats struct {
	Took, Lag time.Duration
	Bytes     int64
	Values    int
	Failed    string // Reason
}

func newHostStats(r *munin.Poll) HostStats {
	return HostStats{Took: r.Took, Lag: r.Lag, Bytes: r.Bytes, Values: len(r.Readings), Failed: Reason(r.Err)}
}

// Window takes what happened since the last call; it is for one caller.
func (p *Poller) Window() Window {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.window
	p.window = Window{}
	return w
}

// HostStats is a snapshot of the last session of every host that had one.
func (p *Poller) HostStats() map[munin.HostID]HostStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.hosts)
}

func (w *Window) count(r *munin.Poll) {
	w.Polls++
	w.TookSum += r.Took
	w.LagSum += r.Lag
	w.LagMost = max(w.LagMost, r.Lag)
	if r.Took >= w.TookMost {
		w.TookMost, w.Slowest = r.Took, r.Host
	}
	if r.Err != nil {
		w.Failed++
		if w.FailedBy == nil {
			w.FailedBy = make(map[string]int64)
		}
		w.FailedBy[Reason(r.Err)]++
	}
}

func (s *Stats) clone() Stats {
	out := *s
	out.Failed = maps.Clone(s.Failed)
	return out
}

func (s *Stats) count(result *munin.Poll) {
	s.Polls++
	s.Bytes += result.Bytes
	s.Faults += int64(len(result.Faults))
	s.Talking += result.Took
	s.Waiting += result.Lag
	if result.Err != nil {
		s.Failed[Reason(result.Err)]++
	}
}

// kind is a kind of error and its name.
type kind struct {
	err  error
	name string
}

// kinds are in the order in which they are looked for.
func kinds() []kind {
	return []kind{
		{ErrStopped, "stopped"},
		{ErrInternal, "internal error"},
		{ErrUnreachable, "unreachable"},
		{ErrNoPlugins, "no plugins"},
		{ErrAnother, "another node"},
		{wire.ErrTLS, "tls"},
		{wire.ErrNoBanner, "no banner"},
		{wire.ErrOutOfTime, "out of time"},
		{wire.ErrSilent, "silent"},
		{wire.ErrSlow, "slow"},
		{wire.ErrLongLine, "line without end"},
		{wire.ErrLongReply, "answer too long"},
		{wire.ErrHungUp, "closed by the node"},
		{wire.ErrOutOfStep, "out of step"},
	}
}

const otherReason = "other"

// Reasons are all that Reason can be for an error.
func Reasons() []string {
	var names []string
	for _, k := range kinds() {
		names = append(names, k.name)
	}
	return append(names, otherReason)
}

// Reason is the kind of error for which a poll was given up, in a word or two that do not change: a label for
// counters. It is empty for nil.
func Reason(err error) string {
	if err == nil {
		return ""
	}
	for _, k := range kinds() {
		if errors.Is(err, k.err) {
			return k.name
		}
	}
	return otherReason
}
