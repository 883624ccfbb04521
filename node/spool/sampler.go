package spool

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// Limits of the schedule.
const (
	minInterval = time.Second
	maxInterval = 7 * 24 * time.Hour
	// fairShare is how long a run counts against the limit of runs at a time. One that takes longer waits more
	// than it works, and must not hold up the others.
	fairShare = 2 * time.Second
	// maxRuns is how many may run at a time all the same.
	maxRuns = 32
	// listEvery is how often the plugins are looked up.
	listEvery = time.Minute
	// tidyEvery is how often the spool is synced and its age is looked at.
	tidyEvery = time.Minute
	// complainEvery is how often the same kind of trouble is logged.
	complainEvery = time.Hour
)

// Plugin is one that can be sampled.
type Plugin struct {
	Name string
	// Rate is how often the administrator wants it sampled; 0 leaves it to the plugin and the default.
	Rate time.Duration
	// Modified tells one version of the plugin from another.
	Modified time.Time
}

// Said is a plugin's answer.
type Said struct {
	Text []byte
	Node string // the host that the plugin speaks for, as far as is known; empty for the node itself
}

// Source is a consumer contract for what is sampled. It models the plugins of a node.
type Source interface {
	// Plugins lists the plugins that there are now.
	Plugins(ctx context.Context) []Plugin
	// Ask runs a plugin once: for its config, or for its values. It ends in a time that has a limit.
	Ask(ctx context.Context, plugin string, config bool) (Said, error)
}

// SamplerOptions are the settings of a Sampler. Zero values mean the defaults. Log is needed.
type SamplerOptions struct {
	Interval time.Duration // between two samples of a plugin that does not say it; 5 minutes
	Parallel int           // plugins that run at a time, but for those that take long; 4
	// ConfigEvery is how often a plugin is asked for its config. It is also asked when its file or its fields
	// changed. 10 minutes.
	ConfigEvery time.Duration
	// Host is mixed into the phase of every schedule, so that not all machines sample at once.
	Host string
	Log  *slog.Logger
}

// Sampler runs plugins on schedule and puts what they say into a store.
type Sampler struct {
	source Source
	store  *Store
	opts   SamplerOptions

	again chan struct{} // asks to look the plugins up

	// Only Run's goroutine touches these.
	plans map[string]*plan
	queue []*plan // due, in the order in which they became so
	busy  int     // runs that count against the limit

	mu    sync.Mutex
	stats SamplerStatus
	told  time.Time // when trouble with the spool was last logged
	// What the next look at the plugins brings into effect; opts are what is in effect.
	interval time.Duration
	parallel int
}

// SamplerStatus is what there is to say about a sampler.
type SamplerStatus struct {
	Plugins  int
	Running  int
	Runs     uint64 // samples that were kept
	Failures uint64 // runs that gave none
	Missed   uint64 // slots that passed while the plugin was still running or waiting for its turn
}

// NewSampler makes a sampler that fills a store. It starts nothing.
func NewSampler(source Source, store *Store, opts SamplerOptions) *Sampler {
	const interval, parallel, configEvery = 5 * time.Minute, 4, 10 * time.Minute
	setDefault(&opts.Interval, interval)
	setDefault(&opts.ConfigEvery, configEvery)
	if opts.Parallel <= 0 {
		opts.Parallel = parallel
	}
	return &Sampler{
		source: source, store: store, opts: opts, again: make(chan struct{}, 1), plans: make(map[string]*plan),
		interval: opts.Interval, parallel: opts.Parallel,
	}
}

// Change changes how often plugins are sampled that do not say it, and how many run at a time. It looks the plugins up
// at once, as Look does.
func (s *Sampler) Change(interval time.Duration, parallel int) {
	s.mu.Lock()
	s.interval, s.parallel = interval, parallel
	s.mu.Unlock()
	s.Look()
}

// settle brings what was changed into effect.
func (s *Sampler) settle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opts.Interval, s.opts.Parallel = s.interval, s.parallel
}

// Look makes the sampler look up the plugins at once, as after a change of the configuration.
func (s *Sampler) Look() {
	select {
	case s.again <- struct{}{}:
	default:
	}
}

// Status says how sampling goes.
func (s *Sampler) Status() SamplerStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

// Run samples until ctx ends, and returns after the last plugin has ended. Samples of runs that are cut short
// are not kept.
func (s *Sampler) Run(ctx context.Context) error {
	var others sync.WaitGroup
	defer others.Wait()
	lists := make(chan []Plugin)
	others.Go(func() { s.look(ctx, lists) })
	others.Go(func() { s.tidy(ctx) })

	ended := make(chan outcome)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case list := <-lists:
			s.settle()
			s.take(list, time.Now())
		case o := <-ended:
			s.end(&o)
		case <-timer.C:
		}
		now := time.Now()
		s.ripen(now)
		for _, p := range s.startable() {
			p.running, p.counts, p.started = true, true, now
			s.busy++
			job := p.job()
			others.Go(func() {
				o := s.sample(ctx, job)
				o.plan = p
				select {
				case ended <- o:
				case <-ctx.Done():
				}
			})
		}
		timer.Reset(s.sleep(time.Now()))
		s.count()
	}
}

// look lists the plugins now and then. It is apart from the schedule, as a folder may not answer.
func (s *Sampler) look(ctx context.Context, lists chan<- []Plugin) {
	ticker := time.NewTicker(listEvery)
	defer ticker.Stop()
	for {
		list := s.source.Plugins(ctx)
		select {
		case lists <- list:
		case <-ctx.Done():
			return
		}
		select {
		case <-ticker.C:
		case <-s.again:
		case <-ctx.Done():
			return
		}
	}
}

func (s *Sampler) tidy(ctx context.Context) {
	ticker := time.NewTicker(tidyEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if err := s.store.Maintain(); err != nil {
				s.complain("", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

func (s *Sampler) miss(n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Missed += n
}

func (s *Sampler) count() {
	running := s.running()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Plugins, s.stats.Running = len(s.plans), running
}

var errNoValues = errors.New("the plugin said no values")

// sample runs one plugin and keeps what it said.
func (s *Sampler) sample(ctx context.Context, j job) outcome {
	config, values, err := s.ask(ctx, &j)
	if err == nil {
		err = s.keep(ctx, &j, config, &values)
	}
	return outcome{memory: j.memory, err: err}
}

// ask runs a plugin for its values, and for its config if that is due.
func (s *Sampler) ask(ctx context.Context, j *job) (config *Config, values Values, err error) {
	if j.configAt.IsZero() || time.Since(j.configAt) >= s.opts.ConfigEvery || j.dirty {
		if config, values, err = s.askConfig(ctx, j); err != nil || j.dirty {
			return config, values, err
		}
	}
	said, err := s.source.Ask(ctx, j.name, false)
	if err != nil {
		return config, values, err
	}
	values = ParseValues(j.name, said.Text, time.Now())
	if config == nil && values.Shape != j.shape && len(values.Text) > 0 {
		// There is a field or a graph that was not there before.
		config, _, err = s.askConfig(ctx, j)
	}
	return config, values, err
}

// askConfig reads a plugin's config, and its values where it says them with it.
func (s *Sampler) askConfig(ctx context.Context, j *job) (*Config, Values, error) {
	const muninsOwn = 5 * time.Minute
	said, err := s.source.Ask(ctx, j.name, true)
	if err != nil {
		return nil, Values{}, err
	}
	told := j.interval
	if told == muninsOwn {
		told = 0 // Masters take it for granted.
	}
	config := ParseConfig(j.name, said.Text, told)
	values := ParseValues(j.name, said.Text, time.Now())
	j.configAt, j.rate, j.aligned, j.node = time.Now(), config.Rate, config.Aligned, said.Node
	j.dirty = len(values.Text) > 0
	return &config, values, nil
}

// keep puts a sample into the store.
func (s *Sampler) keep(ctx context.Context, j *job, config *Config, values *Values) error {
	if len(values.Text) == 0 {
		return errNoValues
	}
	j.shape, j.timed = values.Shape, !values.Untimed
	sample := Sample{
		Plugin: j.name, Node: j.node, At: moment(j.slot, time.Now(), j.interval), Config: config, Values: *values,
	}
	err := s.store.Append(sample)
	if errors.Is(err, ErrNeedConfig) {
		// The segment with the config was dropped.
		if sample.Config, _, err = s.askConfig(ctx, j); err == nil {
			err = s.store.Append(sample)
		}
	}
	if err != nil && ctx.Err() == nil && !errors.Is(err, ErrRepeated) {
		s.complain(j.name, err)
	}
	return err
}

// moment is the time of a sample: when the plugin ended, as when a master had asked it, or the slot when it ended
// close to it. Times that jitter cost a database half as much again.
func moment(slot, ended time.Time, interval time.Duration) time.Time {
	const share = 200 // 0.5 %
	if late := ended.Sub(slot); late >= 0 && late <= interval/share {
		return slot
	}
	return ended
}

// complain logs trouble with the spool, but not over and over.
func (s *Sampler) complain(plugin string, err error) {
	s.mu.Lock()
	now := time.Now()
	again := !s.told.IsZero() && now.Sub(s.told) < complainEvery
	if !again {
		s.told = now
	}
	s.mu.Unlock()
	if !again {
		s.opts.Log.Warn("samples are lost", "plugin", plugin, "err", err)
	}
}
