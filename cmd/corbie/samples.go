package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"corbie/master/config"
	"corbie/munin"
	"corbie/storage"
	"corbie/storage/catalog"
	"corbie/storage/promapi"
	"corbie/storage/remote"
	"corbie/storage/series"
)

// store is what is asked of samples, wherever they are. It models storage.Samples and remote.Store.
type store interface {
	Append(ctx context.Context, readings []munin.Reading) error
	Query(ctx context.Context, sources []munin.Source, r munin.Range, step time.Duration) ([]munin.Series, error)
	Latest(ctx context.Context, sources []munin.Source, now time.Time) ([]munin.Point, error)
	Raw(ctx context.Context, id munin.SeriesID, r munin.Range) ([]munin.Point, error)
}

// samples are those of a master: in its data folder, in a remote engine, or there with a copy of each in an engine.
type samples struct {
	store

	embedded *storage.Samples // nil: they are in the engine
	remote   *remote.Store    // nil: there is no engine
}

// valuesOfHost is how many values a host is expected to have: 20 plugins of 5 fields.
const valuesOfHost = 100

// openSamples opens what the configuration says.
func openSamples(dir string, conf *config.Config, log *slog.Logger, registry prometheus.Registerer, early *starting) (*samples, error) {
	s := &samples{}
	var err error
	if conf.Remote != nil {
		if s.remote, err = remote.Open(dir, remoteOptions(conf, log)); err != nil {
			return nil, err
		}
		registry.MustRegister(newRemoteCollector(s.remote))
	}
	if conf.Elsewhere {
		s.store = s.remote
		return s, nil
	}
	s.embedded, err = storage.Open(dir, storage.Options{
		Retention: conf.Retention.Raw, RetentionHour: conf.Retention.Hour, RetentionDay: conf.Retention.Day, MaxBytes: conf.Retention.Bytes,
		Expect: valuesOfHost * len(conf.Hosts), Progress: early.tell, Logger: log, Registerer: registry,
	})
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.store = s.embedded
	return s, nil
}

// readSamples opens them for reading, beside a running master.
func readSamples(dir string, conf *config.Config) (*samples, error) {
	s := &samples{}
	var err error
	if conf != nil && conf.Elsewhere {
		s.remote, err = remote.Open("", remoteOptions(conf, nil))
		s.store = s.remote
		return s, err
	}
	s.embedded, err = storage.OpenReadOnly(dir, storage.Options{})
	s.store = s.embedded
	return s, err
}

func remoteOptions(conf *config.Config, log *slog.Logger) remote.Options {
	c := conf.Remote
	engine := remote.Engine(c.Engine)
	target := remote.Target{
		Engine: engine, Write: c.Write, Read: c.Read, Headers: c.Headers, Username: c.Username, Password: string(c.Password),
		Token: string(c.Token), CA: c.CA, InsecureSkipVerify: c.InsecureSkipVerify, Timeout: c.Timeout,
	}
	write, read := engine.Addresses(c.URL)
	if target.Write == "" {
		target.Write = write
	}
	if target.Read == "" {
		target.Read = read
	}
	return remote.Options{
		Target: target, Labels: c.Labels, QueueBytes: c.QueueBytes, QueueAge: c.QueueAge, Connections: c.Connections,
		Version: c.Version, Copy: !conf.Elsewhere, Logger: log,
	}
}

// querier reads samples by their labels, for PromQL. What they mean is looked up once for each query.
func (s *samples) querier(known *catalog.Catalog) promapi.Open {
	return func(mint, maxt int64) (promapi.Querier, error) {
		if s.embedded == nil {
			return s.remote.Querier(mint, maxt)
		}
		lookup := sourceLookup{catalog: known, hosts: make(map[munin.HostID]map[fieldName]munin.Source)}
		return s.embedded.Querier(mint, maxt, lookup.source)
	}
}

// Append stores readings. That a copy of them could not be queued for the engine is logged and counted there, and is no error: they are
// stored here.
func (s *samples) Append(ctx context.Context, readings []munin.Reading) error {
	err := s.store.Append(ctx, readings)
	if err == nil && s.embedded != nil && s.remote != nil {
		_ = s.remote.Append(ctx, readings) // see above
	}
	return err
}

// Record stores what rules computed. As with Append, it does not matter to the rule whether the engine gets its copy.
func (s *samples) Record(ctx context.Context, values []series.Computed) error {
	if s.embedded == nil {
		return s.remote.Record(ctx, values)
	}
	err := s.embedded.Record(ctx, values)
	if err == nil && s.remote != nil {
		_ = s.remote.Record(ctx, values) // see Append
	}
	return err
}

// longestWait is how long the oldest sample may wait for the engine while rules are evaluated.
const longestWait = time.Minute

// upToDate says why rules cannot be judged by what the engine has: much of it waits here.
func (s *samples) upToDate() error {
	if s.embedded != nil {
		return nil
	}
	if state := s.remote.State(); !state.Waiting.IsZero() && time.Since(state.Waiting) > longestWait {
		// It says no numbers: the log has one line of it, not one for each evaluation.
		return fmt.Errorf("%w: samples of more than %s wait for it; rules are evaluated again when it has them", munin.ErrAway, longestWait)
	}
	return nil
}

// Rename says which names belong together from now on.
func (s *samples) Rename(names *munin.Renames) {
	if s.embedded != nil {
		s.embedded.Rename(names)
	}
	if s.remote != nil {
		s.remote.Rename(names)
	}
}

// Rejected lists what was refused, by host and reason.
func (s *samples) Rejected() []series.Reject {
	if s.embedded == nil {
		return s.remote.Rejected()
	}
	return s.embedded.Rejected()
}

// StoppedSince is when storing samples began to fail; zero while it works.
func (s *samples) StoppedSince() time.Time {
	if s.embedded == nil {
		return s.remote.StoppedSince()
	}
	return s.embedded.StoppedSince()
}

// why says why samples are not stored and what to do, where that is known.
func (s *samples) why() string {
	if s.embedded == nil {
		return ""
	}
	return s.embedded.Why()
}

// Quarantined lists damaged parts that were set aside.
func (s *samples) Quarantined() []series.Quarantined {
	if s.embedded == nil {
		return nil
	}
	return s.embedded.Quarantined()
}

// notices say what is wrong with where samples are kept, for the pages.
func (s *samples) notices() []string {
	var out []string
	if since := s.StoppedSince(); !since.IsZero() {
		why := cmp.Or(s.why(), "see the master's log")
		out = append(out, fmt.Sprintf("Values have not been stored since %s: %s. Polls and notices go on.", since.Local().Format(time.DateTime), why))
	}
	if s.remote == nil {
		return out
	}
	state := s.remote.State()
	if !state.FailingSince.IsZero() {
		out = append(out, fmt.Sprintf("The remote storage engine has taken no samples since %s; %d wait on disk. %s",
			state.FailingSince.Local().Format(time.DateTime), state.Queued, state.LastError))
	}
	if state.Lost > 0 {
		out = append(out, fmt.Sprintf("%d samples were lost for the remote storage engine, because the queue was full, too old or damaged.", state.Lost))
	}
	return out
}

// run sends what is queued, as long as ctx lives.
func (s *samples) run(ctx context.Context) error {
	if s.remote == nil {
		<-ctx.Done()
		return nil
	}
	return s.remote.Run(ctx)
}

// Close closes both.
func (s *samples) Close() error {
	if s == nil {
		return nil
	}
	var err error
	if s.embedded != nil {
		err = s.embedded.Close()
	}
	if s.remote != nil {
		err = errors.Join(err, s.remote.Close())
	}
	return err
}

// remoteCollector shows how sending to the engine goes.
type remoteCollector struct {
	store                               *remote.Store
	queued, bytes, sent, lost, failings *prometheus.Desc
}

func newRemoteCollector(s *remote.Store) *remoteCollector {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("corbie_remote_"+name, help, nil, nil)
	}
	return &remoteCollector{
		store:    s,
		queued:   desc("queued_samples", "Samples that wait for the remote engine."),
		bytes:    desc("queue_bytes", "Disk that the queue takes."),
		sent:     desc("sent_samples_total", "Samples that the remote engine took."),
		lost:     desc("lost_samples_total", "Samples that were dropped because the queue was full, too old or damaged."),
		failings: desc("failing", "1 while the remote engine does not take samples."),
	}
}

// Describe implements prometheus.Collector.
func (c *remoteCollector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

// Collect implements prometheus.Collector.
func (c *remoteCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.store.State()
	failing := 0.0
	if !s.FailingSince.IsZero() {
		failing = 1
	}
	gauge, counter := prometheus.GaugeValue, prometheus.CounterValue
	ch <- prometheus.MustNewConstMetric(c.queued, gauge, float64(s.Queued))
	ch <- prometheus.MustNewConstMetric(c.bytes, gauge, float64(s.QueuedBytes))
	ch <- prometheus.MustNewConstMetric(c.sent, counter, float64(s.Sent))
	ch <- prometheus.MustNewConstMetric(c.lost, counter, float64(s.Lost))
	ch <- prometheus.MustNewConstMetric(c.failings, gauge, failing)
}
