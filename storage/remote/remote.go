// Package remote keeps the samples of a master in an engine that speaks Prometheus' protocols: VictoriaMetrics, Prometheus, Mimir or
// Thanos. Samples go there by remote write from a queue on disk, which survives a crash and an engine that is away for days; Prometheus' own
// queue would drop what is back-filled and what waits at a restart. They are read back raw, so that
// rates, bounds and steps are made by the same code as on the embedded store.
package remote

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"math"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"golang.org/x/sync/errgroup"

	"corbie/munin"
	"corbie/storage"
	"corbie/storage/series"
)

// Defaults of Options.
const (
	DefaultQueueBytes  = 2 << 30
	DefaultQueueAge    = 7 * 24 * time.Hour
	DefaultConnections = 4
	// readers is how many graphs one question reads at the same time.
	readers = 8
	// forgetAfter is how long a series without a new sample is kept in memory.
	forgetAfter = 3 * 24 * time.Hour
)

// Options of a Store. Only Target is needed.
type Options struct {
	Target Target
	// Labels are put on each series, and asked for when it is read: they keep the series of several masters apart.
	Labels map[string]string
	// QueueBytes and QueueAge bound what waits for the engine; the oldest samples go first.
	QueueBytes int64
	QueueAge   time.Duration
	// Connections is how many requests are sent at the same time while there is a backlog.
	Connections int
	// Version of remote write: 1, 2, or 0 to find out.
	Version int
	// Window is how much older than now a sample may be when it comes; zero means a week.
	Window time.Duration
	// Copy says that nothing is read back, so that nothing needs to be remembered.
	Copy   bool
	Logger *slog.Logger // nil drops it
}

// State is how sending goes.
type State struct {
	Queued, QueuedBytes int64     // samples and bytes that wait
	Waiting             time.Time // since when the oldest of them does; zero when none waits
	Sent                int64     // samples that the engine took since the start
	Lost                int64     // samples that were dropped because the queue was full, too old or damaged
	FailingSince        time.Time // zero while the engine takes samples
	LastError           string    // why it does not
}

// Store sends samples to an engine and reads them back. Its methods may be called at the same time.
type Store struct {
	*storage.Elsewhere // Query, Raw and Rename

	memory  *storage.Elsewhere // the newest samples alone
	opts    Options
	log     *slog.Logger
	client  *client
	labels  labels.Labels
	recent  *recent
	rejects *series.Rejects
	queue   *queue // nil: for reading only
	writer  *writer

	mu      sync.Mutex
	stopped time.Time
}

var errReadOnly = errors.New("the remote store was opened for reading only")

// Open opens the queue in dir/queue, and creates it where there is none; with an empty dir the store is for reading only. The engine need
// not be there. The caller holds the lock of the data folder, calls Run, and Close in the end.
func Open(dir string, opts Options) (*Store, error) {
	c, err := newClient(opts.Target)
	if err != nil {
		return nil, fmt.Errorf("remote storage: %w", err)
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Window <= 0 {
		opts.Window = series.DefaultWindow
	}
	if opts.QueueBytes <= 0 {
		opts.QueueBytes = DefaultQueueBytes
	}
	if opts.QueueAge <= 0 {
		opts.QueueAge = DefaultQueueAge
	}
	if opts.Connections <= 0 {
		opts.Connections = DefaultConnections
	}
	s := &Store{
		opts: opts, log: opts.Logger, client: c, labels: labels.FromMap(opts.Labels),
		recent: &recent{all: make(map[string]map[member]pair)}, rejects: series.NewRejects(opts.Logger),
	}
	s.Elsewhere = storage.NewElsewhere(s.scan)
	s.memory = storage.NewElsewhere(s.scanMemory)
	if dir == "" {
		return s, nil
	}
	if s.queue, err = openQueue(filepath.Join(dir, "queue"), opts.QueueBytes, opts.QueueAge, opts.Logger); err != nil {
		return nil, fmt.Errorf("remote storage: %w", err)
	}
	s.writer = &writer{
		client: c, queue: s.queue, external: s.labels, connections: opts.Connections, log: opts.Logger, rejects: s.rejects,
		seed: maphash.MakeSeed(), version: opts.Version,
	}
	return s, nil
}

// Run sends what is in the queue, as long as ctx lives.
func (s *Store) Run(ctx context.Context) error {
	if s.queue == nil {
		return errReadOnly
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.writer.run(ctx) })
	group.Go(func() error {
		flush, tidy := time.NewTicker(syncEvery), time.NewTicker(time.Hour)
		defer flush.Stop()
		defer tidy.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-flush.C:
				if err := s.queue.sync(); err != nil {
					s.log.Error("cannot flush the queue of samples", "err", err)
				}
			case <-tidy.C:
				s.recent.forget(time.Now().Add(-forgetAfter).UnixMilli())
			}
		}
	})
	return group.Wait()
}

// Close closes the queue. What is in it is sent after the next start.
func (s *Store) Close() error {
	s.client.http.CloseIdleConnections()
	if s.queue == nil {
		return nil
	}
	return s.queue.close()
}

// Append queues readings, of any hosts and in any order. When it returns nil, each of them survives the death of the process, or is refused
// for good and counted, see Rejected: by the rules of the embedded store, and later perhaps by those of the engine.
func (s *Store) Append(ctx context.Context, readings []munin.Reading) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("store samples: %w", err)
	}
	if s.queue == nil {
		return fmt.Errorf("store samples: %w", errReadOnly)
	}
	now := time.Now()
	newest, oldest := now.Add(series.MaxAhead).UnixMilli(), now.Add(-s.opts.Window).UnixMilli()
	good := make([]munin.Reading, 0, len(readings))
	for _, r := range readings {
		if reason := series.Guard(r, oldest, newest); reason != "" {
			s.rejects.Add(r, reason)
			continue
		}
		if math.IsInf(r.V, 0) {
			r.V = math.NaN()
		}
		good = append(good, r)
	}
	if err := s.keep(s.consistent(good), now); err != nil {
		return fmt.Errorf("store samples: %w", err)
	}
	return nil
}

// keep queues what was found good, and remembers it.
func (s *Store) keep(good []munin.Reading, now time.Time) error {
	if len(good) == 0 {
		return nil
	}
	err := s.queue.add(good, now)
	s.note(err, len(good))
	if err == nil && !s.opts.Copy {
		s.recent.add(good)
	}
	return err
}

// consistent leaves out what contradicts a sample that came a moment ago; what is older only the engine knows.
func (s *Store) consistent(readings []munin.Reading) []munin.Reading {
	conflicts := s.recent.conflicts(readings)
	if conflicts == nil {
		return readings
	}
	good := readings[:0:0]
	for i, r := range readings {
		if conflicts[i] {
			s.rejects.Add(r, series.Conflict)
			continue
		}
		good = append(good, r)
	}
	return good
}

// note remembers since when nothing can be queued, and says so once.
func (s *Store) note(err error, samples int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err == nil && !s.stopped.IsZero():
		s.log.Info("samples are queued again", "after", time.Since(s.stopped).Round(time.Second))
		s.stopped = time.Time{}
	case err != nil && s.stopped.IsZero():
		s.log.Error("samples cannot be queued: is the disk full?", "samples", samples, "err", err)
		s.stopped = time.Now()
	}
}

// StoppedSince is when queuing samples began to fail, as it does on a full disk; zero while it works.
func (s *Store) StoppedSince() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopped
}

// Rejected lists what was refused since the start, by host and reason.
func (s *Store) Rejected() []series.Reject { return s.rejects.List() }

// State says how sending goes.
func (s *Store) State() State {
	if s.queue == nil {
		return State{}
	}
	s.writer.mu.Lock()
	out := s.writer.state
	s.writer.mu.Unlock()
	out.Queued, out.QueuedBytes, out.Lost = s.queue.backlog()
	out.Waiting = s.queue.waiting()
	return out
}
