// Package route tells receivers of problems: by mail, webhook and command, once when a problem begins, once when
// it is over, and once for each change of its level.
//
// It embeds Alertmanager's dispatcher, silences and notification log. The dispatcher gathers the alerts of one
// graph of one host for a moment and gives each receiver its turn; what a receiver is told is decided here, by
// decide, from the notification log (what it was told), the silences and what is true now. The log is on disk
// before a delivery counts as done, so that a crash between a notice and its recovery doubles neither. Only a
// crash between the moment that a receiver took a message over and the write of a few hundred bytes right after
// can send it again; a mail then has the same Message-ID.
package route

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/dispatch"
	"github.com/prometheus/alertmanager/eventrecorder"
	"github.com/prometheus/alertmanager/featurecontrol"
	"github.com/prometheus/alertmanager/marker"
	"github.com/prometheus/alertmanager/provider/mem"
	"github.com/prometheus/alertmanager/silence"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"

	"corbie/alerts"
	"corbie/munin"
)

const (
	defaultWait     = 2 * time.Second
	defaultInterval = 10 * time.Second
	// flushLimit is how long one turn of a group may take.
	flushLimit = 3 * time.Minute
	upkeep     = time.Minute
)

// Options is how a Router works. Dir is needed.
type Options struct {
	Dir       string // for the notification log and the silences; made when missing
	Receivers []Receiver
	// GroupBy are the labels whose problems go into one message: group, host, graph (the default), alertname
	// and field.
	GroupBy  []string
	Wait     time.Duration // for further problems of a new group; 0: 2 s
	Interval time.Duration // between two messages on one group; 0: 10 s
	Repeat   time.Duration // of a notice while its problem stays; 0: never
	// Acknowledged says whether somebody takes care of the problem that a state tells of: its notice is not repeated. Nil: nobody
	// ever does.
	Acknowledged func(munin.AlertState) bool
	// Picture draws the graphs that mails show; nil: they show none.
	Picture     Picture
	PictureTime time.Duration // for all pictures of a mail; 0: 5 s
	// ExternalURL is the address of the pages, for links.
	ExternalURL string
	Logger      *slog.Logger
	Registerer  prometheus.Registerer // nil: metrics are not exposed
}

// Router is the delivery of notices. It implements alerts.Teller.
type Router struct {
	options  Options
	logger   *slog.Logger
	metrics  *metrics
	registry prometheus.Registerer
	journal  *journal
	silences *silence.Silences
	silencer *silence.Silencer
	dispatch *dispatch.DispatcherMetrics

	silenceMu sync.Mutex // of the file of silences
	unsaved   trouble    // with it

	mu       sync.Mutex
	problems map[munin.SeriesID]*problem
	groups   map[model.Fingerprint]map[munin.SeriesID]*problem
	provider *mem.Alerts // nil unless running

	// turn guards the change from one generation of receivers to the next.
	turn    sync.Mutex
	targets map[string]*target
	current *generation
}

var _ alerts.Teller = (*Router)(nil)

// generation is what serves one set of receivers.
type generation struct {
	dispatcher *dispatch.Dispatcher
	stage      *stage
	done       chan struct{}
}

// New reads the notification log and the silences, and checks the receivers. It sends nothing before Run.
func New(options Options) (*Router, error) {
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	if options.Registerer == nil {
		options.Registerer = prometheus.NewRegistry()
	}
	if options.Wait <= 0 {
		options.Wait = defaultWait
	}
	if options.Interval <= 0 {
		options.Interval = defaultInterval
	}
	if len(options.GroupBy) == 0 {
		options.GroupBy = []string{labelGroup, labelHost, labelGraph}
	}
	for _, name := range options.GroupBy {
		if !slices.Contains([]string{labelGroup, labelHost, labelGraph, labelField, model.AlertNameLabel}, name) {
			return nil, fmt.Errorf("group notices by %q: want group, host, graph, field or alertname", name)
		}
	}
	r := &Router{
		options: options, logger: options.Logger, registry: options.Registerer,
		problems: make(map[munin.SeriesID]*problem),
		groups:   make(map[model.Fingerprint]map[munin.SeriesID]*problem),
	}
	var err error
	if r.targets, err = buildTargets(options.Receivers, options); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(options.Dir, 0o700); forbidden(err) {
		return nil, fmt.Errorf("make the folder for notices: %w", err)
	}
	r.unsaved = trouble{logger: options.Logger, file: filepath.Join(options.Dir, "silences")}
	r.metrics = newMetrics(options.Registerer)
	upstream := slog.New(quiet{options.Logger.Handler()})
	if r.silences, err = openSilences(options.Dir, options.Registerer, upstream); err != nil {
		return nil, err
	}
	r.silencer = silence.NewSilencer(r.silences, upstream, eventrecorder.NopRecorder())
	r.dispatch = dispatch.NewDispatcherMetrics(false, options.Registerer, featurecontrol.NoopFlags{})
	if r.journal, err = openJournal(filepath.Join(options.Dir, "nflog"), options.Registerer, options.Logger); err != nil {
		return nil, err
	}
	return r, nil
}

// Close writes what is left of the notification log. Call it after Run has returned.
func (r *Router) Close() error { return r.journal.Close() }

// Tell takes over problems and recoveries; it may be called before Run. What was told before is not told again,
// so the same state may be told any number of times.
func (r *Router) Tell(ctx context.Context, notices []alerts.Notice) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var changed []*alert.Alert
	for _, notice := range notices {
		id := notice.State.ID
		p := &problem{notice: notice, labels: identity(id)}
		addQuery(p.labels, notice.Query)
		p.group = r.groupLabels(p.labels).Fingerprint()
		r.problems[id] = p
		group := r.groups[p.group]
		if group == nil {
			group = make(map[munin.SeriesID]*problem)
			r.groups[p.group] = group
		}
		group[id] = p
		changed = append(changed, r.occasions(p)...)
	}
	if r.provider == nil {
		return nil
	}
	return r.provider.Put(ctx, changed...)
}

// occasions are the alerts that make the dispatcher give the problem's group a turn: the open level begun, and
// every other level ended.
func (r *Router) occasions(p *problem) []*alert.Alert {
	var out []*alert.Alert
	open := p.notice.State.Open
	for _, level := range levels() {
		if level != open && open != munin.OK && r.provider == nil {
			continue // the dispatcher knows nothing yet that would have to end
		}
		out = append(out, p.alert(level, level != open, r.options.ExternalURL))
	}
	return out
}

func (r *Router) groupLabels(labels model.LabelSet) model.LabelSet {
	group := make(model.LabelSet, len(r.options.GroupBy))
	for _, name := range r.options.GroupBy {
		if value, ok := labels[model.LabelName(name)]; ok {
			group[model.LabelName(name)] = value
		}
	}
	return group
}

// inGroup lists the problems of a group, in a fixed order.
func (r *Router) inGroup(group model.Fingerprint) []*problem {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]*problem, 0, len(r.groups[group]))
	for _, p := range r.groups[group] {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b *problem) int {
		return strings.Compare(a.notice.State.Key(), b.notice.State.Key())
	})
	return out
}

// forget drops problems that are over for so long that nobody is told any more.
func (r *Router) forget(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, p := range r.problems {
		if p.notice.State.Open != munin.OK || now.Sub(p.notice.State.Changed) < 2*giveUp {
			continue
		}
		delete(r.problems, id)
		delete(r.groups[p.group], id)
		if len(r.groups[p.group]) == 0 {
			delete(r.groups, p.group)
		}
	}
}

// Reload changes the receivers. When one of them is wrong, nothing changes.
func (r *Router) Reload(receivers []Receiver) error {
	targets, err := buildTargets(receivers, r.options)
	if err != nil {
		return err
	}
	r.turn.Lock()
	defer r.turn.Unlock()
	r.targets = targets
	if r.current != nil {
		r.stop()
		r.start()
	}
	return nil
}

// Run delivers until ctx ends, then waits for what is just being delivered.
func (r *Router) Run(ctx context.Context) error {
	provider, err := mem.NewAlerts(ctx, upkeep, 0, r.silencer, slog.New(quiet{r.logger.Handler()}),
		eventrecorder.NopRecorder(), r.registry, featurecontrol.NoopFlags{})
	if err != nil {
		return fmt.Errorf("begin to deliver notices: %w", err)
	}
	r.mu.Lock()
	var known []*alert.Alert
	for _, p := range r.problems {
		known = append(known, r.occasions(p)...)
	}
	err = provider.Put(ctx, known...)
	r.provider = provider
	r.mu.Unlock()
	if err != nil {
		return fmt.Errorf("begin to deliver notices: %w", err)
	}
	r.turn.Lock()
	r.start()
	r.turn.Unlock()

	ticker := time.NewTicker(upkeep)
	defer ticker.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-ticker.C:
			r.forget(time.Now())
			if err := errors.Join(r.journal.maintain(), r.keepSilences()); err != nil {
				r.logger.Error("upkeep of the notices failed", "err", err)
			}
		}
	}
	r.turn.Lock()
	defer r.turn.Unlock()
	r.stop()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.provider.Close()
	r.provider = nil
	return nil
}

// start begins a generation with the present targets. The caller holds r.turn.
func (r *Router) start() {
	s := &stage{router: r, targets: r.targets, pauses: make(map[string]pause)}
	g := &generation{stage: s, done: make(chan struct{})}
	g.dispatcher = dispatch.NewDispatcher(r.provider, dispatch.NewRoute(r.tree(), nil), s, marker.NewGroupMarker(),
		func(time.Duration) time.Duration { return flushLimit }, upkeep/2, nil,
		slog.New(quiet{r.logger.Handler()}), eventrecorder.NopRecorder(), r.dispatch, nil)
	go func() {
		defer close(g.done)
		g.dispatcher.Run(time.Now())
	}()
	g.dispatcher.WaitForLoading()
	r.current = g
}

// stop ends the present generation. The caller holds r.turn.
func (r *Router) stop() {
	g := r.current
	r.current = nil
	g.dispatcher.Stop()
	<-g.done
	g.stage.close()
}

// tree is a route that branches to each target, so that each has its own rhythm.
func (r *Router) tree() *config.Route {
	wait, interval := model.Duration(r.options.Wait), model.Duration(r.options.Interval)
	never := model.Duration(logRetention)
	root := &config.Route{Receiver: "none", GroupWait: &wait, GroupInterval: &interval, RepeatInterval: &never}
	for _, name := range r.options.GroupBy {
		root.GroupBy = append(root.GroupBy, model.LabelName(name))
	}
	keys := make([]string, 0, len(r.targets))
	for key := range r.targets {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		root.Routes = append(root.Routes, &config.Route{Receiver: key, Continue: true})
	}
	return root
}

// quiet passes what Alertmanager's parts log on as debugging: what of it matters is logged here already.
type quiet struct{ slog.Handler }

func (q quiet) Enabled(ctx context.Context, _ slog.Level) bool {
	return q.Handler.Enabled(ctx, slog.LevelDebug)
}

func (q quiet) Handle(ctx context.Context, record slog.Record) error {
	record.Level = slog.LevelDebug
	return q.Handler.Handle(ctx, record)
}

func (q quiet) WithAttrs(attrs []slog.Attr) slog.Handler { return quiet{q.Handler.WithAttrs(attrs)} }

func (q quiet) WithGroup(name string) slog.Handler { return quiet{q.Handler.WithGroup(name)} }
