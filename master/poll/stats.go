package poll

import (
	"errors"
	"maps"

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
	if result.Err != nil {
		s.Failed[Reason(result.Err)]++
	}
}

// Reason is the kind of error for which a poll was given up, in a word or two that do not change: a label for
// counters. It is empty for nil.
func Reason(err error) string {
	if err == nil {
		return ""
	}
	for _, kind := range []struct {
		err  error
		name string
	}{
		{ErrStopped, "stopped"},
		{ErrInternal, "internal error"},
		{ErrUnreachable, "unreachable"},
		{ErrNoPlugins, "no plugins"},
		{wire.ErrNoBanner, "no banner"},
		{wire.ErrOutOfTime, "out of time"},
		{wire.ErrSilent, "silent"},
		{wire.ErrSlow, "slow"},
		{wire.ErrLongLine, "line without end"},
		{wire.ErrLongReply, "answer too long"},
		{wire.ErrHungUp, "closed by the node"},
		{wire.ErrOutOfStep, "out of step"},
	} {
		if errors.Is(err, kind.err) {
			return kind.name
		}
	}
	return "other"
}
