package poll

import (
	"hash/fnv"
	"time"

	"corbie/munin"
)

// Schedule is a consumer contract for the times of polls that are not simply one interval apart. It models a cron
// schedule: Next is the first time after another, zero when there is none; String is its text.
type Schedule interface {
	Next(after time.Time) time.Time
	String() string
}

// spreadAtMost is how much later than a schedule says a host may be polled, so that not all are at once.
const spreadAtMost = 5 * time.Minute

// slots are the instants at which one host is polled: every interval, or by a schedule, at a phase that follows
// from the host's name, so that hosts are spread over the interval and keep their place from one start to the next.
type slots struct {
	interval time.Duration
	phase    time.Duration
	schedule Schedule // nil: every interval
}

func newSlots(host munin.HostID, interval time.Duration, schedule Schedule) slots {
	interval = max(interval.Truncate(time.Millisecond), time.Second)
	if schedule != nil {
		return slots{interval: interval, phase: spread(host, min(interval, spreadAtMost)), schedule: schedule}
	}
	return slots{interval: interval, phase: spread(host, interval)}
}

// same says whether two hosts, or one before and after a change, are polled at the same times.
func (s slots) same(as slots) bool {
	if s.schedule == nil || as.schedule == nil {
		return s.schedule == nil && as.schedule == nil && s.interval == as.interval && s.phase == as.phase
	}
	return s.interval == as.interval && s.phase == as.phase && s.schedule.String() == as.schedule.String()
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
func (s slots) after(t time.Time) time.Time {
	if s.schedule == nil {
		return s.at(s.index(t) + 1)
	}
	next := s.schedule.Next(t.Add(-s.phase))
	if next.IsZero() {
		return t.Add(neverAgain)
	}
	return next.Add(s.phase)
}

// neverAgain is when a schedule without a next time is looked at again.
const neverAgain = 24 * time.Hour

// between counts the slots from one, which is counted, to a time.
func (s slots) between(slot, t time.Time) int64 {
	if s.schedule == nil {
		return s.index(t) - s.index(slot) + 1
	}
	const countAtMost = 1000
	n := int64(0)
	for ; !slot.After(t) && n < countAtMost; slot = s.after(slot) {
		n++
	}
	return n
}

// tolerance is how far from its slot a sample may be to be stored as the slot: regular times compress far better.
func (s slots) tolerance() time.Duration { return s.interval / 200 }

// snap is the slot that t is close to, or t itself.
func (s slots) snap(t time.Time) time.Time {
	slot := s.after(t.Add(-s.tolerance() - time.Millisecond))
	if t.Sub(slot).Abs() <= s.tolerance() {
		return slot
	}
	return t
}

// How soon after its start a host is polled for the first time: within firstPollWithin, or longer where there are so
// many that this would be too much for this machine or, where one node speaks for many hosts, for that one.
const (
	firstPollWithin     = 3 * time.Second
	firstPollsASecond   = 2000
	firstPollsOfAddress = 10 // a second
)

// firstPolls spread the first polls of hosts.
type firstPolls struct {
	hosts     int
	addresses map[string]int // hosts behind each
}

func newFirstPolls(targets map[munin.HostID]Target) firstPolls {
	f := firstPolls{hosts: len(targets), addresses: make(map[string]int)}
	for _, t := range targets {
		f.addresses[t.Address]++
	}
	return f
}

// after is how long the first poll of a host waits.
func (f firstPolls) after(t *Target) time.Duration {
	within := max(firstPollWithin, time.Duration(f.hosts)*time.Second/firstPollsASecond,
		time.Duration(f.addresses[t.Address])*time.Second/firstPollsOfAddress)
	return spread(t.Host, min(within, t.slots().interval))
}
