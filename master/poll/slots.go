package poll

import (
	"hash/fnv"
	"time"

	"corbie/munin"
)

// slots are the instants at which one host is polled: every interval, at a phase that follows from the host's
// name, so that hosts are spread over the interval and keep their place from one start to the next.
type slots struct {
	interval time.Duration
	phase    time.Duration
}

func newSlots(host munin.HostID, interval time.Duration) slots {
	interval = max(interval.Truncate(time.Millisecond), time.Second)
	return slots{interval: interval, phase: spread(host, interval)}
}

// spread is a duration below limit, in whole milliseconds, that follows from the host's name.
func spread(host munin.HostID, limit time.Duration) time.Duration {
	h := fnv.New64a()
	h.Write([]byte(host))
	ms := uint64(max(limit.Milliseconds(), 1))            //nolint:gosec // not negative
	return time.Duration(h.Sum64()%ms) * time.Millisecond //nolint:gosec // smaller than limit
}

// index is the number of the slot that t is in.
func (s slots) index(t time.Time) int64 {
	ms, step := t.UnixMilli()-s.phase.Milliseconds(), s.interval.Milliseconds()
	i := ms / step
	if ms%step < 0 {
		i--
	}
	return i
}

func (s slots) at(index int64) time.Time {
	return time.UnixMilli(index*s.interval.Milliseconds() + s.phase.Milliseconds()).UTC()
}

// after is the first slot later than t.
func (s slots) after(t time.Time) time.Time { return s.at(s.index(t) + 1) }

// tolerance is how far from its slot a sample may be to be stored as the slot: regular times compress far better.
func (s slots) tolerance() time.Duration { return s.interval / 200 }

// snap is the slot that t is close to, or t itself.
func (s slots) snap(t time.Time) time.Time {
	slot := s.at(s.index(t.Add(s.interval / 2)))
	if t.Sub(slot).Abs() <= s.tolerance() {
		return slot
	}
	return t
}
