package poll

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"corbie/munin"
	"corbie/munin/wire"
)

// Sink is a consumer contract for the readings of every poll. It models the append side of a sample store:
// when Append returns nil, the readings survive a crash.
type Sink interface {
	Append(ctx context.Context, readings []munin.Reading) error
}

// Catalog is a consumer contract for what a poll told about the host and its graphs. It models the catalogue's
// record of polls, failed ones included.
type Catalog interface {
	Record(ctx context.Context, poll *munin.Poll) error
}

// Options are the parts that a Poller works with.
type Options struct {
	Dial    Dialer // nil: DialTCP
	Sink    Sink
	Catalog Catalog
	// Observe is told of every poll, answered or not, after Sink and Catalog; nil means nobody is. It is called
	// from many goroutines, never twice at once for one host.
	Observe     func(ctx context.Context, poll *munin.Poll)
	Log         *slog.Logger
	Concurrency int // sessions at once; 0: 256
	Window      int // questions in flight in one session; 0: 16
}

// Poller polls all targets, each by its own interval.
//
// What a poll gave is stored in a fixed order: readings, then the catalogue, then the observer. A crash between
// the first two leaves readings of graphs that the catalogue may not know yet, and the next poll describes them
// again; a crash before the observer leaves a level to be judged at the next poll. Nothing that was shown or
// told is ever missing afterwards.
type Poller struct {
	opts    Options
	room    chan struct{} // one token for a session in progress
	long    chan struct{} // one token for a session that lasts
	storing chan struct{} // one token for a poll whose session is over and that is being stored
	wake    chan struct{} // the targets changed

	library *library
	scratch sync.Pool     // of *wire.Scratch
	catchUp chan struct{} // one token for a spool that holds much

	unrecorded atomic.Bool // the last poll could not be recorded

	mu      sync.Mutex
	targets map[munin.HostID]Target
	stats   Stats
	window  Window
	hosts   map[munin.HostID]HostStats
	late    lateLog
}

// storeTimeout bounds how long one poll's results may take to be stored.
const storeTimeout = 30 * time.Second

// New makes a Poller; Run starts it.
func New(targets []Target, opts Options) *Poller {
	if opts.Concurrency <= 0 {
		opts.Concurrency = 256
	}
	p := &Poller{
		opts: opts, room: make(chan struct{}, opts.Concurrency), wake: make(chan struct{}, 1),
		long: make(chan struct{}, longSessions*opts.Concurrency), library: newLibrary(),
		catchUp: make(chan struct{}, catchUps), storing: make(chan struct{}, opts.Concurrency),
		stats: Stats{Failed: make(map[string]int64), Limit: opts.Concurrency}, hosts: make(map[munin.HostID]HostStats),
	}
	p.Reload(targets)
	return p
}

// Reload replaces the targets: hosts that stay keep their place in time, new ones are polled within seconds,
// those that are gone are stopped. It may be called at any time, by anyone, and does not wait.
func (p *Poller) Reload(targets []Target) {
	wanted := make(map[munin.HostID]Target, len(targets))
	for _, t := range targets {
		wanted[t.Host] = t
	}
	p.mu.Lock()
	p.targets = wanted
	p.stats.Hosts = len(wanted)
	maps.DeleteFunc(p.hosts, func(host munin.HostID, _ HostStats) bool { return wanted[host].Host == "" })
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Stats is a snapshot of the counters.
func (p *Poller) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stats.clone()
}

func (p *Poller) update(change func(*Stats)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.stats)
}

// loop is the goroutine of one host, as Run sees it.
type loop struct {
	cancel  context.CancelFunc
	ended   chan struct{}
	targets chan Target // the newest target that the loop has not seen; holds one at most
}

// Run polls until ctx ends and returns when the last session has. Sessions in progress are then given up;
// readings that were complete are still stored.
func (p *Poller) Run(ctx context.Context) error {
	running := make(map[munin.HostID]*loop)
	defer func() {
		for _, l := range running {
			l.cancel()
		}
		for _, l := range running {
			<-l.ended
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.wake:
			p.reconcile(ctx, running)
		}
	}
}

// reconcile starts and stops loops until the running ones are those that are wanted.
func (p *Poller) reconcile(ctx context.Context, running map[munin.HostID]*loop) {
	p.mu.Lock()
	wanted := p.targets
	p.mu.Unlock()
	var stopped []*loop
	for host, l := range running {
		if _, ok := wanted[host]; !ok {
			l.cancel()
			stopped = append(stopped, l)
			delete(running, host)
		}
	}
	// Waiting here makes sure that a host that comes back is not polled twice at once.
	for _, l := range stopped {
		<-l.ended
	}
	first := newFirstPolls(wanted)
	for host, target := range wanted {
		if l, ok := running[host]; ok {
			select {
			case <-l.targets:
			default:
			}
			l.targets <- target
			continue
		}
		loopCtx, cancel := context.WithCancel(ctx)
		l := &loop{cancel: cancel, ended: make(chan struct{}), targets: make(chan Target, 1)}
		running[host] = l
		go func() {
			defer close(l.ended)
			p.poll(loopCtx, target, first.after(&target), l.targets)
		}()
	}
}

// poll is the loop of one host; first is how long its first poll waits.
func (p *Poller) poll(ctx context.Context, target Target, first time.Duration, targets <-chan Target) {
	s := target.slots()
	next := time.Now().Add(first).Truncate(time.Millisecond)
	timer := time.NewTimer(time.Until(next))
	defer timer.Stop()
	memory := memory{known: before(&target.Before, target.Address)}
	for {
		select {
		case <-ctx.Done():
			return
		case changed := <-targets:
			memory.known.forget(changed.Address != target.Address)
			target = changed
			if changed := target.slots(); !changed.same(s) {
				s = changed
				next = s.after(time.Now())
				timer.Reset(time.Until(next))
			}
			continue
		case <-timer.C:
		}
		p.once(ctx, target, next, &memory)
		next = p.nextSlot(ctx, s, next, target.Host)
		timer.Reset(time.Until(next))
	}
}

// aside runs a poll in a goroutine of its own and waits for it. The stack that a session needs is then there for as
// long as the session is, and not kept by every host until its next one.
func aside(poll func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		poll()
	}()
	<-done
}

// nextSlot is when the host is polled again after the poll of a slot. Slots that passed meanwhile are counted.
func (p *Poller) nextSlot(ctx context.Context, s slots, slot time.Time, host munin.HostID) time.Time {
	now := time.Now()
	next := s.after(slot)
	if next.Sub(slot) < s.interval/4 {
		next = s.after(next) // The first poll came shortly before its slot.
	}
	switch {
	case next.Sub(now) > 2*s.interval:
		return s.after(now) // The clock was set back.
	case next.After(now):
		return next
	}
	missed := s.between(next, now)
	p.update(func(st *Stats) { st.Late += missed })
	p.logLate(ctx, host, missed, now)
	return s.after(now)
}

// lateLog keeps a master that has too much to do from saying so ten thousand times.
type lateLog struct {
	hosts, missed int64     // not told yet
	next          time.Time // earliest time of the next line
}

const lateLogEvery = time.Minute

func (p *Poller) logLate(ctx context.Context, host munin.HostID, missed int64, now time.Time) {
	p.mu.Lock()
	l := &p.late
	l.hosts, l.missed = l.hosts+1, l.missed+missed
	hosts, all, tell := l.hosts, l.missed, !now.Before(l.next)
	if tell {
		*l = lateLog{next: now.Add(lateLogEvery)}
	}
	p.mu.Unlock()
	if tell {
		p.opts.Log.WarnContext(ctx, "polls were not over when the next ones were due", "polls", hosts, "missed", all,
			"host", string(host), "advice", "see 'corbie hosts'; a longer interval, shorter timeouts, or a higher concurrency helps")
	}
}

// memory is what the loop of one host remembers from one poll to the next.
type memory struct {
	last   []string // plugins that broke a connection: they are asked after all others
	reason string   // of the last poll's failure
	long   bool     // the last session lasted
	known  knowledge
}

// once polls a host and stores what it gave.
func (p *Poller) once(ctx context.Context, target Target, slot time.Time, memory *memory) {
	release, ok := p.enter(ctx, memory.long)
	if !ok {
		return
	}
	aside(func() { p.pollNow(ctx, target, slot, memory, release) })
}

// pollNow polls a host that has a place among the sessions.
func (p *Poller) pollNow(ctx context.Context, target Target, slot time.Time, memory *memory, release func()) {
	start := time.Now()
	lag := max(start.Sub(slot), 0)
	if s := target.slots(); start.Sub(slot).Abs() > s.tolerance() {
		slot = start.Truncate(time.Millisecond) // It had to wait: the values are of now.
	}
	p.update(func(st *Stats) { st.Running++ })
	scratch, ok := p.scratch.Get().(*wire.Scratch)
	if !ok {
		scratch = new(wire.Scratch)
	}
	opts := SessionOptions{
		Dial: p.opts.Dial, Window: p.opts.Window, Slot: slot, Last: memory.last,
		known: &memory.known, library: p.library, catchUp: p.catchUp, scratch: scratch,
	}
	called := memory.known.banner
	result, breakers := contained(ctx, target, opts)
	result.Lag = lag
	p.scratch.Put(scratch)
	p.count(result)
	// Where storing is slower than asking, sessions wait, and what they gave does not pile up.
	p.storing <- struct{}{}
	release()
	defer func() { <-p.storing }()
	memory.long = result.Took >= longSession
	if len(breakers) > 0 || result.Err != nil {
		// Those of before may not have been reached now.
		breakers = append(breakers, memory.last...)
		slices.Sort(breakers)
		breakers = slices.Compact(breakers)
	}
	memory.last = breakers
	if now := memory.known.banner; called != "" && !strings.EqualFold(called, now) {
		p.opts.Log.WarnContext(ctx, "the node calls itself by another name than before", "host", string(target.Host), "was", called, "is", now)
	}
	p.logPoll(ctx, result)
	p.logChange(ctx, result, memory)
	p.keep(ctx, result)
	if result.Spool != 0 {
		memory.known.spool = result.Spool
	}
}

// Nodes that hang are polled beside the others: a session that lasts gives its place to the next, so that no number of
// them makes a sound node wait.
const (
	// longSession is after what time a session gives up its place.
	longSession = 2 * time.Second
	// longSessions is how many of them there may be for each place; what is above keeps its place.
	longSessions = 8
)

// enter waits for a place among the sessions, and returns what gives it back. A host whose last session was long
// takes a place among those, where there is one.
func (p *Poller) enter(ctx context.Context, long bool) (release func(), ok bool) {
	if long {
		select {
		case p.long <- struct{}{}:
			return func() { <-p.long }, true
		default:
		}
	}
	select {
	case p.room <- struct{}{}:
	case <-ctx.Done():
		return nil, false
	}
	place := p.room
	var mu sync.Mutex
	var timer *time.Timer
	mu.Lock()
	defer mu.Unlock()
	timer = time.AfterFunc(longSession, func() {
		mu.Lock()
		defer mu.Unlock()
		if place != p.room {
			return
		}
		select {
		case p.long <- struct{}{}:
			<-p.room
			place = p.long
		default:
			timer.Reset(longSession)
		}
	})
	return func() {
		mu.Lock()
		defer mu.Unlock()
		timer.Stop()
		<-place
		place = nil
	}, true
}

// count adds a session that ended to the counters.
func (p *Poller) count(result *munin.Poll) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stats.Running--
	p.stats.count(result)
	p.window.count(result)
	if _, known := p.targets[result.Host]; known {
		p.hosts[result.Host] = newHostStats(result)
	}
}

// contained is runSession, but a fault in this program that a node's answer brings to light ends that one poll and
// not the polling of all other hosts.
func contained(ctx context.Context, target Target, opts SessionOptions) (result *munin.Poll, breakers []string) {
	defer func() {
		if cause := recover(); cause != nil {
			result = &munin.Poll{
				Host: target.Host, Address: target.Address, Slot: opts.Slot.UTC(), Start: opts.Slot.UTC(),
				Err: fmt.Errorf("%w: %v\n%s", ErrInternal, cause, debug.Stack()),
			}
		}
	}()
	return runSession(ctx, target, opts)
}

// logPoll says what came of a poll, and what of it could not be used, where that much is to be logged.
func (p *Poller) logPoll(ctx context.Context, result *munin.Poll) {
	if !p.opts.Log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	log := p.opts.Log.With("host", string(result.Host))
	done := log.With("took", result.Took.String(), "lag", result.Lag.String(), "plugins", len(result.Plugins),
		"values", len(result.Readings), "bytes", result.Bytes, "faults", len(result.Faults), "slowest", result.Slowest)
	if result.Err != nil {
		done = done.With("err", result.Err)
	}
	done.DebugContext(ctx, "polled")
	for _, f := range result.Faults {
		log.DebugContext(ctx, "part of an answer could not be used", "fault", f.String())
	}
}

// logChange says when a host begins to fail, fails in another way, or answers well again.
func (p *Poller) logChange(ctx context.Context, result *munin.Poll, memory *memory) {
	reason := Reason(result.Err)
	switch {
	case reason == memory.reason || errors.Is(result.Err, ErrStopped):
		return
	case result.Err != nil:
		p.opts.Log.WarnContext(ctx, "a poll was given up", "host", string(result.Host), "err", result.Err,
			"took", result.Took.String(), "values", len(result.Readings))
	default:
		p.opts.Log.InfoContext(ctx, "the host answers well again", "host", string(result.Host))
	}
	memory.reason = reason
}

// keep stores a poll whole, even while the poller is being stopped. A poll that was itself interrupted by the
// stop gives only its readings: what it says about the host would be wrong. The position in the node's spool counts
// only when all readings are stored.
func (p *Poller) keep(ctx context.Context, result *munin.Poll) {
	storing, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	begin := time.Now()
	if n := int64(len(result.Readings)); n > 0 {
		err := p.opts.Sink.Append(storing, result.Readings)
		p.update(func(st *Stats) {
			if err != nil {
				st.SinkErrors++
				st.Lost += n
			} else {
				st.Values += n
			}
		})
		if err != nil {
			result.Spool = 0
			p.opts.Log.DebugContext(ctx, "readings were not stored", "host", string(result.Host), "err", err, "values", n) // The store says it once, not for each poll.
		}
	}
	appended := time.Now()
	if errors.Is(result.Err, ErrStopped) {
		result.Spool = 0
		return
	}
	if err := p.opts.Catalog.Record(storing, result); err != nil {
		p.update(func(st *Stats) { st.CatalogErrors++ })
		if !p.unrecorded.Swap(true) {
			p.opts.Log.ErrorContext(ctx, "the poll was not recorded in the catalogue; others that fail like it are only counted",
				"host", string(result.Host), "err", err)
		}
	} else if p.unrecorded.Swap(false) {
		p.opts.Log.InfoContext(ctx, "polls are recorded in the catalogue again")
	}
	recorded := time.Now()
	if p.opts.Observe != nil {
		p.opts.Observe(storing, result)
	}
	p.update(func(st *Stats) {
		st.Storing += appended.Sub(begin)
		st.Recording += recorded.Sub(appended)
		st.Judging += time.Since(recorded)
	})
}

// String names the poller in messages about its task.
func (p *Poller) String() string { return fmt.Sprintf("poller of %d hosts", p.Stats().Hosts) }
