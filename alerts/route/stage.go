package route

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/nflog"
	"github.com/prometheus/alertmanager/nflog/nflogpb"
	"github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/common/model"

	"corbie/munin"
)

const (
	// storeThread is the key under which the notification log keeps the Message-ID of the first mail of a thread.
	storeThread = "thread"
	// burst is how long a delivery is retried at once, before the group waits for its next turn.
	burst = 8 * time.Second
	// firstPause and longestPause are between two bursts of retries.
	firstPause   = 10 * time.Second
	longestPause = 5 * time.Minute
	// grace is how long a delivery under way may take to end when the router stops.
	grace = 3 * time.Second
)

// errPaused keeps a group alive whose delivery failed and is not due yet.
var errPaused = errors.New("waiting to try again")

// message is what one receiver is told at once.
type message struct {
	plan     plan
	receiver string  // name of the receiver
	group    string  // key of the group
	id       string  // Message-ID: the same for the same news, whenever it is sent
	thread   string  // Message-ID of the first of this thread; equal to id for the first
	base     string  // address of the pages
	drawn    []drawn // of the graphs; nil: not yet
}

// sender delivers messages in one way. The reply is what the other side said, for the log. retry says whether
// the same message may get through soon; a failed message is tried again in any case, but later.
type sender interface {
	send(ctx context.Context, m *message) (reply string, retry bool, err error)
}

// target is one way of telling one receiver.
type target struct {
	receiver string
	way      string // "email to ops@example.com", "webhook", "command"
	on       []string
	wants    func(munin.SeriesID) bool // nil: everything
	sender   sender
	people   bool // it is read by people, who know a thing by its new name: a rename is not told
}

func (t *target) key() string { return t.receiver + "/" + t.way }

func (t *target) logKey() *nflogpb.Receiver {
	return &nflogpb.Receiver{GroupName: t.receiver, Integration: t.way}
}

// pause spaces the retries of one group.
type pause struct {
	failures int
	until    time.Time
}

// stage is the end of Alertmanager's dispatching for one set of receivers: it decides what a receiver is to be
// told of a group, delivers it, and has it logged. It takes the place of upstream's mute, dedup and retry stages,
// because they lose the recovery of a problem that was told before it was silenced, and tell one level change as
// a recovery and a new problem when their alerts come in two batches. The alerts that the dispatcher passes are
// only the occasion: the router knows what is true now.
type stage struct {
	router  *Router
	targets map[string]*target

	mu     sync.Mutex
	pauses map[string]pause // by target and group
	closed bool
	active sync.WaitGroup
}

// Exec implements notify.Stage for one group and one target.
func (s *stage) Exec(ctx context.Context, _ *slog.Logger, all ...*alert.Alert) (context.Context, []*alert.Alert, error) {
	s.mu.Lock()
	if s.closed || ctx.Err() != nil {
		s.mu.Unlock()
		return ctx, nil, context.Canceled
	}
	s.active.Add(1)
	s.mu.Unlock()
	defer s.active.Done()

	name, _ := notify.ReceiverName(ctx)
	key, _ := notify.GroupKey(ctx)
	labels, _ := notify.GroupLabels(ctx)
	t, ok := s.targets[name]
	if !ok || key == "" {
		return ctx, all, nil
	}
	return ctx, all, s.tell(ctx, t, key, labels)
}

// close waits for the deliveries under way and lets none begin.
func (s *stage) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.active.Wait()
}

func (s *stage) tell(ctx context.Context, t *target, key string, group model.LabelSet) error {
	r := s.router
	entry, err := r.journal.query(t.logKey(), key)
	if err != nil {
		return err
	}
	before := past{firing: toldIn(entry)}
	if entry != nil {
		before.at = entry.GetTimestamp().AsTime()
	}
	now := time.Now()
	want := rules{on: t.on, repeat: r.options.Repeat, base: r.options.ExternalURL, muted: func(p *problem, level munin.Level) bool {
		return t.wants != nil && !t.wants(p.notice.State.ID) || r.silencer.Mutes(ctx, p.at(level))
	}}
	if r.options.Acknowledged != nil {
		want.acked = func(p *problem) bool { return r.options.Acknowledged(p.notice.State) }
	}
	problems := r.inGroup(group.Fingerprint())
	problems = slices.DeleteFunc(problems, func(p *problem) bool { return p.moved[t.key()] })
	p := decide(problems, before, want, now)
	pauseKey := t.key() + "\x00" + key
	if !p.due() {
		s.resume(pauseKey)
		if p.forget {
			return r.journal.Log(t.logKey(), key, p.firing, nil, nflog.NewStore(entry), 0)
		}
		return nil
	}
	if s.paused(pauseKey, now) {
		return errPaused
	}
	m := &message{plan: p, receiver: t.receiver, group: key, base: r.options.ExternalURL}
	store := m.address(t, entry)
	ctx = notify.WithReceiverName(notify.WithNotificationReason(ctx, p.reason), t.receiver)
	if err := s.deliver(ctx, t, m); err != nil {
		s.failed(pauseKey, now)
		return err
	}
	s.resume(pauseKey)
	if err := r.journal.Log(t.logKey(), key, p.firing, nil, store, 0); err != nil {
		r.logger.Error("a notice was sent but could not be logged; it is sent again after a restart",
			"receiver", t.receiver, "way", t.way, "err", err)
		return err
	}
	return nil
}

// deliver tries for a short while.
func (s *stage) deliver(ctx context.Context, t *target, m *message) error {
	sending, cancel := outlive(ctx, grace)
	defer cancel()
	r := s.router
	wait := time.Second / 2
	begun := time.Now()
	for attempt := 1; ; attempt++ {
		start := time.Now()
		reply, retry, err := t.sender.send(sending, m)
		log := r.logger.With("receiver", t.receiver, "way", t.way, "group", m.group, "attempt", attempt,
			"took", time.Since(start).Round(time.Millisecond))
		r.metrics.attempt(t, err)
		if err == nil {
			log.Info("notice delivered", "reply", clean(reply, 300), "reason", m.plan.reason.String(),
				"changes", len(m.plan.changed), "firing", len(m.plan.firing))
			return nil
		}
		log.Warn("notice not delivered", "err", clean(err.Error(), 500), "reply", clean(reply, 300), "retry", retry)
		if !retry || ctx.Err() != nil || time.Since(begun)+wait > burst {
			return fmt.Errorf("tell %s by %s: %w", t.receiver, t.way, err)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("tell %s by %s: %w", t.receiver, t.way, err)
		}
		wait *= 2
	}
}

// outlive is ctx with its values, ending a moment later than ctx: a mail that the server is just taking over
// would else be sent twice.
func outlive(ctx context.Context, moment time.Duration) (context.Context, context.CancelFunc) {
	out, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.NewTimer(moment)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel()
		case <-out.Done():
		}
	})
	return out, func() {
		stop()
		cancel()
	}
}

// address gives the message its id and thread, and returns what the log has to keep of them.
func (m *message) address(t *target, entry *nflogpb.Entry) *nflog.Store {
	store := nflog.NewStore(entry)
	m.id = messageID(t.key(), m, entry)
	m.thread, _ = store.GetStr(storeThread)
	if m.thread == "" || m.plan.reason == notify.ReasonFirstNotification {
		m.thread = m.id
	}
	store.SetStr(storeThread, m.thread)
	return store
}

func (s *stage) paused(key string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return now.Before(s.pauses[key].until)
}

func (s *stage) resume(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.pauses, key)
}

func (s *stage) failed(key string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.pauses[key]
	length := min(firstPause<<min(p.failures, 10), longestPause)
	p.failures++
	// Half a second less than the group's rhythm, which would else be missed by a hair.
	p.until = now.Add(length - time.Second/2)
	s.pauses[key] = p
}

// clean makes what another program said fit for a log line.
func clean(text string, most int) string {
	text = munin.CleanText(text)
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return text
}

// host is the host part of the pages' address, for Message-IDs.
func hostOf(base string) string {
	if u, err := url.Parse(base); err == nil && u.Hostname() != "" {
		return u.Hostname()
	}
	return "corbie.invalid"
}
