// Package storage keeps every sample of every host and answers with what people want to see: rates, averages over the steps of a
// picture, the newest values. Raw samples are in storage/series, and so are the hours and days that are made of them for the years
// to come; what is known about hosts and graphs is in storage/catalog.
package storage

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"corbie/munin"
	"corbie/storage/disk"
	"corbie/storage/series"
)

// rawDir is the folder of the raw samples inside the data folder.
const rawDir = "raw"

// SetAsideDir is where damaged files are moved, inside the data folder.
const SetAsideDir = "set-aside"

// SnapshotAfter is how much of the log a start may have to read before a snapshot is worth its while; see Samples.Snapshot.
const SnapshotAfter = series.SnapshotAfter

// RawDir is where the raw samples of a data folder are.
func RawDir(dir string) string { return filepath.Join(dir, rawDir) }

// Options of Samples. The zero value keeps everything for ever and takes samples up to a week late.
type Options struct {
	// Retention is how long raw samples are kept; zero keeps them for ever. Those that were not rolled up yet stay, see RollUp.
	Retention time.Duration
	// RetentionHour and RetentionDay are how long the hours and days made of them are kept; zero keeps them for ever.
	RetentionHour, RetentionDay time.Duration
	// MaxBytes is how large the raw samples may grow before the oldest of them go; zero is no limit.
	MaxBytes int64
	// Window is how much older than now a sample may be when it comes; zero means a week.
	Window time.Duration
	// Progress is told how many files of the log of the last hours were read, of how many, while the store is opened: a million series take some
	// seconds. Nil: nobody is.
	Progress func(done, of int)
	// LogFile is the size of a file of the log in bytes, a multiple of 32 kB; zero means 32 MB.
	LogFile int
	// Expect is about how many series there will be, for the store to be laid out for; zero: not known.
	Expect int
	// Logger is told about refused samples and damage; nil drops it.
	Logger *slog.Logger
	// Registerer takes the metrics of the sample store; may be nil.
	Registerer prometheus.Registerer
}

func (o Options) series() series.Options {
	return series.Options{
		Retention: o.Retention, MaxBytes: o.MaxBytes, Window: o.Window, Progress: o.Progress, LogFile: o.LogFile, Expect: o.Expect, Logger: o.Logger, Registerer: o.Registerer,
	}
}

// Samples is the store of all samples. Its methods may be called at the same time.
type Samples struct {
	opts    Options
	raw     *series.DB
	tiers   *tiers
	rolling sync.Mutex // held by RollUp
	names   atomic.Pointer[munin.Renames]
}

// Open opens the sample store in a data folder, and creates it where there is none. The caller holds the lock of the data folder, see
// Lock. Close must be called.
func Open(dir string, opts Options) (*Samples, error) {
	t, err := openTiers(dir, opts, true)
	if err != nil {
		return nil, err
	}
	with := opts.series()
	with.MayGo = t.mayGo
	raw, err := series.Open(RawDir(dir), with)
	if err != nil {
		return nil, errors.Join(err, t.close())
	}
	return &Samples{opts: opts, raw: raw, tiers: t}, nil
}

// OpenReadOnly opens the sample store of a data folder for reading, needs no lock and disturbs no running master. It sees
// everything that was stored before the call, nothing that came later. It fails if there is no store.
func OpenReadOnly(dir string, opts Options) (*Samples, error) {
	raw, err := series.OpenReadOnly(RawDir(dir), opts.series())
	if err != nil {
		return nil, err
	}
	t, err := openTiers(dir, opts, false)
	if err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	return &Samples{opts: opts, raw: raw, tiers: t}, nil
}

// Close waits for calls under way, writes what is in memory to disk and closes.
func (s *Samples) Close() error {
	s.rolling.Lock()
	defer s.rolling.Unlock()
	return errors.Join(s.raw.Close(), s.tiers.close())
}

// Append stores readings, of any hosts and in any order. When it returns nil, each of them is either stored, and survives the
// death of the process, or refused for good: its time is more than 10 minutes ahead or too long ago, or another
// value is stored for that time. Refused ones are counted, see Rejected. After an error the batch may be tried again: storing the same
// twice changes nothing.
func (s *Samples) Append(ctx context.Context, readings []munin.Reading) error {
	return s.raw.Append(ctx, readings)
}

// Record stores what rules in PromQL computed, under the conditions of Append; see series.Computed. There are no hours and days of it.
func (s *Samples) Record(ctx context.Context, values []series.Computed) error {
	return s.raw.Record(ctx, values)
}

// Snapshot writes what is in memory to disk, so that the next start is quick whatever ended this process, if that saves reading so many bytes of the log. It
// is to be called every few minutes; see series.DB.Snapshot.
func (s *Samples) Snapshot(ctx context.Context, after int64) (series.Snapshot, error) {
	return s.raw.Snapshot(ctx, after)
}

// Rejected lists what was refused since the store was opened, by host and reason.
func (s *Samples) Rejected() []series.Reject { return s.raw.Rejected() }

// Quarantined lists damaged parts that were set aside when the store was opened; their samples are missing.
func (s *Samples) Quarantined() []series.Quarantined { return s.raw.Quarantined() }

// SetAside counts the damaged parts of a data folder that were set aside at some start and still lie there: blocks in raw/quarantine, and what is
// in set-aside.
func SetAside(dir string) (parts int) {
	for _, folder := range []string{filepath.Join(RawDir(dir), series.QuarantineDir), filepath.Join(dir, SetAsideDir)} {
		entries, _ := os.ReadDir(folder)
		parts += len(entries)
	}
	return parts
}

// Stat counts what there is.
func (s *Samples) Stat(ctx context.Context) (series.Stat, error) { return s.raw.Stat(ctx) }

// StoppedSince is when storing samples began to fail, as it does on a full disk; zero while it works. It goes on by itself as soon as there
// is room.
func (s *Samples) StoppedSince() time.Time { return s.raw.StoppedSince() }

// Why says in a few words why storing samples fails and what to do; empty while it works, and where only the log can tell.
func (s *Samples) Why() string { return disk.Advice(s.raw.Stopped()) }
