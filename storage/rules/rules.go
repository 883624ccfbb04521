// Package rules evaluates recording and alerting rules in PromQL, from files in Prometheus' format. What an alert has been through, its time under "for"
// included, is in a file that is written before anybody is told, so that a crash neither loses nor doubles a notice.
package rules

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/timestamp"
	"github.com/prometheus/prometheus/promql"

	"corbie/munin"
	"corbie/storage/series"
)

// Remembered is how long a recovery is told again at a start, in case that it reached nobody before.
const Remembered = 5 * 24 * time.Hour

// Alert is one alert of a rule as it is now, for those who tell people.
type Alert struct {
	ID                  munin.SeriesID // of no graph; see munin.RuleGraph
	Name                string
	Labels, Annotations map[string]string
	Level               munin.Level // of the problem; OK when it is over
	Value               float64     // newest
	Began, Changed      time.Time   // when it began to fire, and when that last changed
	Reason              string
	Again               bool // nothing changed: it is told again after a start
}

// Options of a Manager. Query, Tell, Host and File are needed.
type Options struct {
	// Query evaluates a query at an instant; a number is a vector of one without labels.
	Query func(ctx context.Context, query string, at time.Time) (promql.Vector, error)
	// Ready says why nothing can be judged now; nil: it always can.
	Ready func() error
	// Record stores what was recorded; nil where nothing can be.
	Record func(ctx context.Context, values []series.Computed) error
	// Tell takes alerts over in memory and returns soon. Being told the same twice must not tell anybody twice.
	Tell func(ctx context.Context, all []Alert) error
	// Host says whose problem an alert is, by its labels.
	Host   func(labels map[string]string) munin.HostID
	File   string        // where the state of alerts is kept
	Every  time.Duration // between two evaluations of a group without an interval; 0: 1 minute
	Settle time.Duration // after a start in which nothing that was firing is taken for over: the first polls have to come in
	URL    string        // of the pages
	Logger *slog.Logger  // nil drops it
}

// Manager evaluates rules.
type Manager struct {
	opts     Options
	external *url.URL
	reloaded chan struct{}

	mu     sync.Mutex
	set    *Set
	states map[string]*state // by the rule's key and the labels
	untold []Alert
	dirty  bool
	began  time.Time // of Run
}

// New reads the state of alerts; it evaluates nothing before Run. Call Reload before Run.
func New(opts Options) (*Manager, error) {
	if opts.Query == nil || opts.Tell == nil || opts.Host == nil || opts.File == "" {
		return nil, errors.New("rules: query, tell, host and a file are needed")
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Every <= 0 {
		opts.Every = time.Minute
	}
	external, err := url.Parse(opts.URL)
	if err != nil {
		return nil, fmt.Errorf("address of the pages: %w", err)
	}
	m := &Manager{opts: opts, external: external, reloaded: make(chan struct{}, 1), set: &Set{}}
	m.states, err = loadStates(opts.File, opts.Logger)
	return m, err
}

// Reload changes the rules. An alert whose rule is gone is over.
func (m *Manager) Reload(ctx context.Context, set *Set) error {
	m.mu.Lock()
	known := make(map[string]bool)
	for _, g := range set.groups {
		for _, r := range g.rules {
			known[r.key] = true
			r.seen = m.set.seenBy(r.key)
		}
	}
	m.set = set
	now := time.Now()
	for key, s := range m.states {
		if known[s.Rule] || !s.ResolvedAt.IsZero() {
			continue
		}
		m.dirty = true
		if s.FiredAt.IsZero() {
			delete(m.states, key)
			continue
		}
		s.ResolvedAt, s.Reason = now, "the rule was taken out of the configuration"
		m.untold = append(m.untold, s.alert())
	}
	m.mu.Unlock()
	select {
	case m.reloaded <- struct{}{}:
	default: // the next look sees this one, too
	}
	return m.settle(ctx)
}

// seenBy is what a rule recorded last.
func (s *Set) seenBy(key string) map[string]labels.Labels {
	for _, g := range s.groups {
		for _, r := range g.rules {
			if r.key == key {
				return r.recorded()
			}
		}
	}
	return nil
}

// recorded is what the rule recorded last; nobody changes it.
func (r *rule) recorded() map[string]labels.Labels {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen
}

// has says whether a rule is of this set, and not one like it of another.
func (s *Set) has(r *rule) bool {
	return slices.ContainsFunc(s.groups, func(g *group) bool { return slices.Contains(g.rules, r) })
}

// Run evaluates each group at its interval until ctx ends. What was firing before, or ended not long ago, is told again first.
func (m *Manager) Run(ctx context.Context) error {
	m.mu.Lock()
	m.began = time.Now()
	for _, s := range m.states {
		if !s.FiredAt.IsZero() {
			again := s.alert()
			again.Again = true
			m.untold = append(m.untold, again)
		}
	}
	m.mu.Unlock()
	m.logged(ctx, m.settle(ctx))
	for ctx.Err() == nil {
		m.mu.Lock()
		groups := m.set.groups
		m.mu.Unlock()
		turn, cancel := context.WithCancel(ctx)
		var all sync.WaitGroup
		for _, g := range groups {
			all.Go(func() { m.loop(turn, g) })
		}
		select {
		case <-ctx.Done():
		case <-m.reloaded:
		}
		cancel()
		all.Wait()
	}
	return nil
}

func (m *Manager) logged(ctx context.Context, err error) {
	if err != nil && ctx.Err() == nil {
		m.opts.Logger.Error("cannot keep or tell the alerts of rules; it is tried again", "err", err)
	}
}

func (m *Manager) every(g *group) time.Duration {
	if g.every > 0 {
		return g.every
	}
	return m.opts.Every
}

// loop evaluates a group. Groups begin at different moments of their interval, always the same ones.
func (m *Manager) loop(ctx context.Context, g *group) {
	every := m.every(g)
	h := fnv.New64a()
	h.Write([]byte(g.file + "\x00" + g.name))
	phase := time.Duration(h.Sum64() % uint64(every))
	timer := time.NewTimer((phase - time.Duration(time.Now().UnixNano())%every + every) % every)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		began := time.Now()
		m.evaluate(ctx, g, began)
		timer.Reset(max(every-time.Since(began), 0))
	}
}

// evaluate evaluates the rules of a group, each with what those before it recorded.
func (m *Manager) evaluate(ctx context.Context, g *group, now time.Time) {
	for _, r := range g.rules {
		began := time.Now()
		err := m.one(ctx, g, r, now)
		if ctx.Err() != nil {
			return
		}
		if r.note(err, now, time.Since(began)) {
			m.opts.Logger.Error("a rule cannot be evaluated; what it said before stays", "rule", r.name, "group", g.name, "file", g.file, "err", err)
		}
	}
	m.logged(ctx, m.settle(ctx))
}

const (
	maxSeries = 100_000 // that one rule may record
	maxAlerts = 10_000  // that one rule may have
)

func (m *Manager) one(ctx context.Context, g *group, r *rule, now time.Time) error {
	at := now.Add(-g.offset)
	if m.opts.Ready != nil {
		if err := m.opts.Ready(); err != nil {
			return err
		}
	}
	found, err := m.opts.Query(ctx, r.text, at)
	if err != nil {
		return err
	}
	most := maxSeries
	if r.alerting {
		most = maxAlerts
	}
	if g.limit > 0 {
		most = min(most, g.limit)
	}
	if len(found) > most {
		return fmt.Errorf("it gives %d series, at most %d are taken: see limit of its group", len(found), most)
	}
	values, err := r.computed(found)
	if r.alerting {
		values, err = m.alerts(ctx, r, found, at)
	}
	if err != nil || m.opts.Record == nil {
		return err
	}
	return r.record(ctx, values, at, m.opts.Record)
}

// computed gives values the name and the labels of the rule.
func (r *rule) computed(found promql.Vector) ([]series.Computed, error) {
	out := make([]series.Computed, 0, len(found))
	for _, sample := range found {
		if sample.H != nil {
			return nil, errors.New("its result is a histogram: only numbers are kept")
		}
		b := labels.NewBuilder(sample.Metric).Set(model.MetricNameLabel, r.name).Del(labelRollup)
		for name, value := range r.labels {
			b.Set(name, value)
		}
		out = append(out, series.Computed{Labels: b.Labels(), Point: munin.Point{V: sample.F}})
	}
	return out, nil
}

// record stores values, and that those of the time before have none any more that are not among them.
func (r *rule) record(ctx context.Context, values []series.Computed, at time.Time, store func(context.Context, []series.Computed) error) error {
	t := timestamp.FromTime(at)
	seen := make(map[string]labels.Labels, len(values))
	for i := range values {
		values[i].T = t
		key := values[i].Labels.String()
		if _, twice := seen[key]; twice {
			return fmt.Errorf("two of its values have the same labels %s: keep one more label apart in the query", key)
		}
		seen[key] = values[i].Labels
	}
	for key, l := range r.recorded() {
		if _, there := seen[key]; !there {
			values = append(values, series.Computed{Labels: l, Point: munin.Point{T: t, V: math.NaN()}})
		}
	}
	if len(values) == 0 {
		return nil
	}
	if err := store(ctx, values); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = seen
	return nil
}

// settle writes what changed, then tells it, also where it could not be written.
func (m *Manager) settle(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var errs []error
	if m.dirty {
		m.forget(time.Now())
		err := saveStates(m.opts.File, m.states)
		m.dirty = err != nil
		errs = append(errs, err)
	}
	if len(m.untold) > 0 {
		err := m.opts.Tell(ctx, slices.Clone(m.untold))
		if err == nil {
			m.untold = nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// forget drops what is over for so long that nobody is told any more.
func (m *Manager) forget(now time.Time) {
	for key, s := range m.states {
		if !s.ResolvedAt.IsZero() && now.Sub(s.ResolvedAt) > Remembered {
			delete(m.states, key)
		}
	}
}
