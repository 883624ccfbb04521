// Package series keeps raw samples in an embedded Prometheus TSDB: as received, a counter stays a counter, and
// Munin's U is kept as a stale marker. It is the only package that knows the TSDB.
//
// The TSDB trusts its callers blindly where time is concerned: one sample from a clock that is years ahead makes it
// refuse everybody else's, and its own retention then deletes the whole history. So a time is checked
// here before the TSDB sees it, and retention goes by the wall clock and by how much newer data there is.
package series

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/util/compression"

	"corbie/munin"
	"corbie/storage/disk"
)

// DefaultWindow is how late a sample may come when Options do not say.
const DefaultWindow = 7 * 24 * time.Hour

// MaxAhead is how far in the future the time of a sample may lie: as far as Prometheus allows its targets.
const MaxAhead = 10 * time.Minute

// Blocks are cut every 8 hours and merged in steps of three up to 27 days: all but the smallest are whole UTC days.
const (
	minBlock = 8 * time.Hour
	maxBlock = 27 * 24 * time.Hour
	// segmentBytes is how much disk a compaction allocates at once; the TSDB's own 512 MB is too much for a small machine.
	segmentBytes = 64 << 20
	// logFile is the size of a file of the log. A repair copies one, a snapshot is followed by whole ones; the TSDB's own 128 MB are much for both.
	logFile = 32 << 20
	// reloadEvery is how often the TSDB looks for blocks and for work: it cuts one block in 8 hours.
	reloadEvery = 5 * time.Minute
	// commitSamples bounds the memory that one commit needs.
	commitSamples = 10_000
)

// Options of a DB. The zero value keeps everything for ever.
type Options struct {
	// Retention is how long samples are kept; zero keeps them for ever.
	Retention time.Duration
	// MaxBytes is how large the finished blocks may grow together before the oldest go; zero is no limit.
	MaxBytes int64
	// MayGo has the last word before one of all blocks is deleted; nil lets it go. It must not call the DB.
	MayGo func(one Block, all []Block) bool
	// Window is how much older than now a sample may be when it comes; zero means DefaultWindow.
	Window time.Duration
	// Logger is told about refused samples, damage and the TSDB's own warnings; nil drops them.
	Logger *slog.Logger
	// Registerer takes the TSDB's own metrics; may be nil.
	Registerer prometheus.Registerer
	// Progress is told how many files of the log, and a snapshot as one, were read of how many, while the store is opened; nil: nobody is.
	Progress func(done, of int)
	// Reserve is how many bytes of the disk must be free for samples to be stored; zero means 16 MB.
	Reserve int64
	// LogFile is how large a file of the log grows before the next is begun, in multiples of 32 kB; zero means 32 MB.
	LogFile int
	// Expect is about how many series there will be in memory; zero: not known. With many more than that, storing takes up to half as long again.
	Expect int
	// Work is how often the TSDB looks for work of its own; zero means 5 minutes.
	Work time.Duration
	// Now is the clock; nil is the machine's.
	Now func() time.Time
	// Free says how many bytes of the disk of a folder are free; nil asks the system.
	Free func(dir string) (uint64, error)
}

// DB is one open TSDB. Its methods may be called at the same time.
type DB struct {
	dir     string
	opts    Options
	log     *slog.Logger
	window  time.Duration
	reserve int64
	free    func(dir string) (uint64, error)
	now     func() time.Time
	metrics *registrations
	release func() error // removes the scratch folder of a read-only DB; nil for a writer
	standIn *standIn     // what is open instead of the store while the disk takes nothing; nil: the store is. Guarded by mu

	quarantined []Quarantined

	mu     sync.RWMutex // held for reading while the TSDB is used
	closed bool
	tsdb   *tsdb.DB
	down   error // why tsdb could not be opened again; nil while it is open
	clock  clock
	ends   ends

	journal  journal
	gate     atomic.Pointer[gate] // of the open TSDB; nil while it is being opened or closed
	trimming atomic.Bool          // Trim is at work

	refs refs

	stopped stopped

	rejects *Rejects
}

var errClosed = errors.New("the sample store is closed")

// Open opens the TSDB in dir for writing, and creates it where there is none. Blocks that cannot be read are moved
// to dir/quarantine first, see Quarantined. Close must be called.
//
// Where the disk takes nothing, because it is full or read-only, what is there is opened for reading: Append fails and says why, see
// StoppedSince, until the disk takes something again. Blocks that the options let go are deleted first where it is full.
func Open(dir string, opts Options) (*DB, error) {
	db := newDB(dir, opts)
	err := db.openToWrite()
	if err == nil {
		return db, nil
	}
	if disk.Stuck(err) && db.makeRoom(err) {
		err = db.openToWrite()
	}
	if err == nil {
		return db, nil
	}
	if !disk.Stuck(err) {
		return nil, fmt.Errorf("open the sample store %s: %w", dir, err)
	}
	if db.standIn == nil {
		db.down = db.openStandIn()
	}
	if db.down != nil {
		db.log.Error("the samples cannot be read before the disk can be written", "err", db.down)
	}
	db.noteStopped(err, 0)
	return db, nil
}

// openToWrite opens the TSDB. The caller holds db.mu, or is alone.
func (db *DB) openToWrite() error {
	if err := os.MkdirAll(db.dir, 0o750); err != nil {
		return err
	}
	if err := db.checkRepair(); err != nil {
		return err
	}
	if err := db.setAsideDamaged(); err != nil {
		return err
	}
	removeScratch(db.dir)
	if err := db.openTSDB(); err != nil {
		return err
	}
	db.takeReserve()
	return nil
}

func newDB(dir string, opts Options) *DB {
	db := &DB{
		dir: dir, opts: opts, log: opts.Logger, window: opts.Window, reserve: opts.Reserve, free: opts.Free, now: opts.Now,
		metrics: &registrations{Registerer: opts.Registerer},
	}
	if db.log == nil {
		db.log = slog.New(slog.DiscardHandler)
	}
	db.rejects = NewRejects(db.log)
	if db.window <= 0 {
		db.window = DefaultWindow
	}
	if db.reserve <= 0 {
		db.reserve = defaultReserve
	}
	if db.now == nil {
		db.now = time.Now
	}
	if db.free == nil {
		db.free = disk.Free
	}
	if opts.Registerer == nil {
		db.metrics.Registerer = prometheus.NewRegistry()
	}
	return db
}

func (db *DB) tsdbOptions(opts Options) *tsdb.Options {
	o := tsdb.DefaultOptions()
	o.MinBlockDuration = minBlock.Milliseconds()
	o.MaxBlockDuration = maxBlock.Milliseconds()
	o.RetentionDuration = 0
	o.BlocksToDelete = db.gated(blocksToDelete(opts, db.now))
	o.NoLockfile = true // Who writes holds the lock of the data folder.
	o.WALCompression = compression.Snappy
	if o.WALSegmentSize = opts.LogFile; o.WALSegmentSize <= 0 {
		o.WALSegmentSize = logFile
	}
	// The TSDB counts its window from the newest sample, which may lie ahead of now by MaxAhead.
	o.OutOfOrderTimeWindow = (db.window + MaxAhead).Milliseconds()
	o.MaxBlockChunkSegmentSize = segmentBytes
	o.EnableMemorySnapshotOnShutdown = true
	o.StripeSize = stripes(opts.Expect)
	o.NewCompactorFunc = joiningCompactor
	if o.BlockReloadInterval = db.opts.Work; o.BlockReloadInterval <= 0 {
		o.BlockReloadInterval = reloadEvery
	}
	return o
}

// maxStripes bounds the memory that stripes take when there are no series: 45 MB.
const maxStripes = 1 << 18

// stripes is into how many maps the TSDB divides its series. Most of the time of storing a sample goes into finding its series among a million; in a map of
// a few that takes half of it. Each map costs 170 bytes, whether there is something in it or not.
func stripes(expect int) int {
	n := tsdb.DefaultStripeSize
	for n < maxStripes && n < expect/4 {
		n *= 2
	}
	return n
}

// Close writes what is in memory to disk, so that the next Open is quick. It waits for the calls under way.
func (db *DB) Close() error {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed {
		return nil
	}
	db.closed = true
	var err error
	if db.down == nil {
		db.openGate()
		err = closeTSDB(db.tsdb)
	}
	if db.torn() {
		// The next Open shall read the log, and repair it.
		dropSnapshots(db.dir)
	}
	if db.standIn != nil {
		err = errors.Join(err, db.standIn.close())
	}
	if db.release != nil {
		err = errors.Join(err, db.release())
	}
	if err != nil {
		return fmt.Errorf("close the sample store %s: %w", filepath.Clean(db.dir), err)
	}
	return nil
}

// use keeps the TSDB open until the returned function is called.
func (db *DB) use() (done func(), err error) {
	db.mu.RLock()
	if db.closed {
		db.mu.RUnlock()
		return nil, errClosed
	}
	if db.down != nil {
		err := db.down
		db.mu.RUnlock()
		return nil, fmt.Errorf("the sample store could not be opened: %w", err)
	}
	return db.mu.RUnlock, nil
}

// Names of the labels that make up a series, next to the metric name.
const (
	LabelGroup = "group" // the path of groups; a host without any has no such label
	labelHost  = "host"
	labelGraph = "graph"
	labelField = "field"
)

// MetricName is the Prometheus name under which the values of a graph are kept: "munin_" and the graph's root name,
// with what is not allowed in a metric name turned into underscores.
func MetricName(graph string) string {
	root, _, _ := strings.Cut(graph, ".")
	return NamePrefix + strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' {
			return r
		}
		return '_'
	}, root)
}

// LabelsOf are the labels under which a series is kept.
func LabelsOf(id munin.SeriesID) labels.Labels {
	pairs := []string{
		model.MetricNameLabel, MetricName(id.Graph),
		labelHost, id.Host.Name(), labelGraph, id.Graph, labelField, id.Field,
	}
	if group := id.Host.Group(); group != "" {
		pairs = append(pairs, LabelGroup, group)
	}
	return labels.FromStrings(pairs...)
}

// LabelOf is one of the labels under which a series is kept; empty when it has none of that name.
func LabelOf(id munin.SeriesID, name string) string {
	switch name {
	case model.MetricNameLabel:
		return MetricName(id.Graph)
	case LabelGroup:
		return id.Host.Group()
	case labelHost:
		return id.Host.Name()
	case labelGraph:
		return id.Graph
	case labelField:
		return id.Field
	}
	return ""
}

// Stat says how much there is.
type Stat struct {
	Series     int   // with samples in the last hours, in memory
	Blocks     int   // finished, on disk
	BlockBytes int64 // of the finished blocks
	Oldest     time.Time
	Newest     time.Time
}

// Stat counts series and blocks; the times are zero while there is no sample.
func (db *DB) Stat(ctx context.Context) (Stat, error) {
	done, err := db.use()
	if err != nil {
		return Stat{}, err
	}
	defer done()
	if err := ctx.Err(); err != nil {
		return Stat{}, err
	}
	head := db.tsdb.Head()
	s := Stat{Series: int(head.NumSeries())}
	oldest, newest := head.MinTime(), head.MaxTime()
	for _, b := range db.tsdb.Blocks() {
		s.Blocks++
		s.BlockBytes += b.Size()
		oldest, newest = min(oldest, b.Meta().MinTime), max(newest, b.Meta().MaxTime-1)
	}
	if oldest <= newest {
		s.Oldest, s.Newest = time.UnixMilli(oldest).UTC(), time.UnixMilli(newest).UTC()
	}
	return s, nil
}
