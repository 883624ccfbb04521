package series

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/tsdb/index"

	"corbie/munin"
	"corbie/storage/rollup"
)

// What shows that the clock of this machine is, or was, wrong: samples that are stored lie ahead of it.
const (
	// wrongBy is how far ahead: more than what Append lets through.
	wrongBy = time.Hour
	// knownSince is how old the newest sample before now may be for those ahead to be what is wrong, and not the clock.
	knownSince = 90 * 24 * time.Hour
	// clockEvery is how often a clock that seems wrong is looked into.
	clockEvery = time.Minute
)

// errClock says that nothing is stored because of the clock.
var errClock = errors.New("set the clock of this machine right: nothing is stored until then, and nothing is lost that nodes keep")

// clock remembers what was found out about the clock of this machine. Guarded by DB.mu, held for writing.
type clock struct {
	looked time.Time
	err    error
}

// ends remembers the newest sample of the blocks whose time lies ahead of the clock.
type ends struct {
	mu    sync.Mutex
	known map[ulid.ULID]int64
}

// checkClock fails while the clock is behind what is stored. The TSDB counts from its newest sample: one that is years ahead makes it refuse all
// others for years. So when the clock was ahead for a while and is right again, what was stored meanwhile is set aside.
func (db *DB) checkClock(ctx context.Context, now time.Time) error {
	done, err := db.use()
	if err != nil {
		return err
	}
	newest, err := db.newest(ctx, now)
	done()
	if err != nil || newest <= now.Add(wrongBy).UnixMilli() {
		return err
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed || db.down != nil {
		return nil
	}
	if newest, err = db.newest(ctx, now); err != nil || newest <= now.Add(wrongBy).UnixMilli() {
		return err
	}
	if age := now.Sub(db.clock.looked); age >= 0 && age < clockEvery {
		return db.clock.err
	}
	db.clock = clock{looked: now, err: db.judgeClock(ctx, now, newest)}
	return db.clock.err
}

// newest is the time of the newest sample. A block may be said to last longer: one of late samples, and what it was merged into, is up to 8 hours
// longer than what is in it.
func (db *DB) newest(ctx context.Context, now time.Time) (int64, error) {
	newest, ahead := db.tsdb.Head().MaxTime(), now.Add(wrongBy).UnixMilli()
	blocks := db.tsdb.Blocks()
	if slices.ContainsFunc(blocks, func(b *tsdb.Block) bool { return b.MaxTime() == newest }) {
		newest = math.MinInt64 // A memory that had nothing in it when it was opened says that it begins and ends where the blocks end.
	}
	db.ends.mu.Lock()
	defer db.ends.mu.Unlock()
	known := make(map[ulid.ULID]int64)
	for _, b := range blocks {
		meta := b.Meta()
		end := meta.MaxTime - 1
		if end > ahead {
			var ok bool
			if end, ok = db.ends.known[meta.ULID]; !ok {
				var err error
				if end, err = lastIn(ctx, b); ctx.Err() != nil {
					return 0, ctx.Err()
				} else if err != nil {
					end = meta.MinTime // Damage is told by who reads its samples; it must not end storing others.
				}
			}
			known[meta.ULID] = end
		}
		newest = max(newest, end)
	}
	db.ends.known = known
	return newest, nil
}

// lastIn is the time of the newest sample of a block.
func lastIn(ctx context.Context, b *tsdb.Block) (last int64, err error) {
	r, err := b.Index()
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	name, value := index.AllPostingsKey()
	all, err := r.Postings(ctx, name, value)
	if err != nil {
		return 0, err
	}
	last = math.MinInt64
	var builder labels.ScratchBuilder
	var metas []chunks.Meta
	for all.Next() {
		if err := r.Series(all.At(), &builder, &metas); err != nil {
			return 0, err
		}
		for i := range metas {
			last = max(last, metas[i].MaxTime)
		}
	}
	return last, all.Err()
}

// judgeClock finds out whether the clock was ahead, or is behind now. It was ahead when there are samples up to about now, then none for longer
// than late ones are taken, and then those ahead. The caller holds db.mu.
func (db *DB) judgeClock(ctx context.Context, now time.Time, last int64) error {
	edge := now.Add(MaxAhead).UnixMilli()
	before, err := db.anyIn(ctx, rollup.Span{From: now.Add(-knownSince).UnixMilli(), To: edge + 1})
	if err != nil {
		return err
	}
	after, err := db.anyIn(ctx, rollup.Span{From: edge + 1, To: edge + db.window.Milliseconds()})
	if err != nil {
		return err
	}
	newest := time.UnixMilli(last).UTC()
	if !before || after {
		return fmt.Errorf("it is %s by the clock, but samples up to %s are stored: %w", now.UTC().Format(time.RFC3339), newest.Format(time.RFC3339), errClock)
	}
	aside, err := db.leaveFuture(ctx, edge)
	if err != nil {
		return fmt.Errorf("set aside what was stored while the clock was ahead: %w", err)
	}
	db.log.Error("the clock of this machine was ahead; what was stored meanwhile is set aside", "path", aside, "newest", newest)
	return nil
}

// anyIn says whether there is a sample in a span.
func (db *DB) anyIn(ctx context.Context, span rollup.Span) (found bool, err error) {
	q, err := db.tsdb.Querier(span.From, span.To-1)
	if err != nil {
		return false, err
	}
	set := q.Select(ctx, false, nil, everything())
	for !found && set.Next() {
		found = set.At().Iterator(nil).Next() == chunkenc.ValFloat
	}
	return found, errors.Join(set.Err(), q.Close())
}

// leaveFuture moves everything after an instant to the quarantine. What is in memory lies before and after it: the part before is written as blocks
// first, then the logs go. Interrupted at any moment, it is done anew by the next Append. The caller holds db.mu.
func (db *DB) leaveFuture(ctx context.Context, edge int64) (aside string, err error) {
	head := db.tsdb.Head()
	from := min(head.MinTime(), head.MinOOOTime())
	blocks := db.tsdb.Blocks()
	if from <= edge {
		var failed error
		err := writeLateBlocks(ctx, db.dir, db.readings(ctx, rollup.Span{From: from, To: edge + 1}, &failed))
		if err = errors.Join(err, failed); err != nil {
			return "", err
		}
	}
	db.openGate()
	if err := closeTSDB(db.tsdb); err != nil {
		db.log.Warn("the sample store did not close well", "err", err)
	}
	db.metrics.unregister()
	dropSnapshots(db.dir)
	db.refs.forget()
	aside, err = moveFuture(db.dir, blocks, edge)
	if err == nil {
		err = db.openTSDB()
	}
	db.down = err
	if err == nil {
		db.quarantined = append(db.quarantined, Quarantined{Path: aside, Reason: "stored while the clock of this machine was ahead"})
	}
	return aside, err
}

// moveFuture moves the logs and the blocks that begin after an instant.
func moveFuture(dir string, blocks []*tsdb.Block, edge int64) (aside string, err error) {
	if err := os.MkdirAll(filepath.Join(dir, QuarantineDir), 0o750); err != nil {
		return "", err
	}
	if aside, err = os.MkdirTemp(filepath.Join(dir, QuarantineDir), "future-"+time.UnixMilli(edge).UTC().Format("20060102-")); err != nil {
		return "", err
	}
	names := []string{"wal", lateLog, "chunks_head"}
	for _, b := range blocks {
		if b.Meta().MinTime > edge {
			names = append(names, b.Meta().ULID.String())
		}
	}
	for _, name := range names {
		if err := os.Rename(filepath.Join(dir, name), filepath.Join(aside, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return aside, err
		}
	}
	return aside, nil
}

// readings are all samples of a span, in the order that writeLateBlocks wants. Where they cannot be read, failed is set.
func (db *DB) readings(ctx context.Context, span rollup.Span, failed *error) iter.Seq[munin.Reading] {
	size := minBlock.Milliseconds()
	return func(yield func(munin.Reading) bool) {
		for from := span.From; from < span.To; {
			to := min(rollup.Floor(from, size)+size, span.To)
			more := true
			err := db.walk(ctx, rollup.Span{From: from, To: to}, func(id munin.SeriesID, points *Points) error {
				for p, ok := points.Next(); ok && more; p, ok = points.Next() {
					more = yield(munin.Reading{ID: id, Point: p})
				}
				return nil
			})
			if *failed = err; err != nil || !more {
				return
			}
			from = to
		}
	}
}
