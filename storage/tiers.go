package storage

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"

	"corbie/storage/disk"
	"corbie/storage/rollup"
	"corbie/storage/series"
)

// tierNames are the folders of the rollups inside the data folder, by the size of their buckets, the finest first.
func tierNames() []tier {
	return []tier{{name: "hour", size: time.Hour}, {name: "day", size: 24 * time.Hour}}
}

// tier is one size of buckets, kept as side blocks: one for each block of raw samples, made when that can no longer change
// by itself, and made again when it was changed.
type tier struct {
	name string
	size time.Duration
	keep time.Duration // zero: for ever
	dir  string

	sides   []*series.Side // by time
	damaged []series.Quarantined
}

// tiers are all of them. Who reads holds the lock for reading.
type tiers struct {
	dir    string // the data folder
	writes bool
	log    *slog.Logger
	mu     sync.RWMutex
	all    []*tier // the finest first
	// imported is history from another system, by size, the finest first.
	imported []*tier
	marks    *marks
}

// openTiers opens what there is. A writer, who alone has the data folder, also removes what an interrupted one left behind.
func openTiers(dir string, opts Options, writes bool) (*tiers, error) {
	t := &tiers{dir: dir, writes: writes, log: opts.Logger}
	if t.log == nil {
		t.log = slog.New(slog.DiscardHandler)
	}
	keep := map[string]time.Duration{"hour": opts.RetentionHour, "day": opts.RetentionDay}
	for _, one := range tierNames() {
		one.dir, one.keep = filepath.Join(dir, one.name), keep[one.name]
		t.all = append(t.all, &one)
		if writes {
			// What is in the way of nobody may stay on a disk that takes nothing.
			if err := series.RemoveParts(one.dir); err != nil && !disk.Stuck(err) {
				return nil, errors.Join(fmt.Errorf("open the rollups: %w", err), t.close())
			}
		}
	}
	var err error
	if t.marks, err = readMarks(dir, writes, t.log); err != nil {
		return nil, err
	}
	if t.imported, err = openImported(dir); err == nil {
		err = t.refresh()
	}
	if err != nil {
		return nil, errors.Join(err, t.close())
	}
	for _, one := range slices.Concat(t.all, t.imported) {
		for _, d := range one.damaged {
			t.log.Error("a damaged rollup is passed over; hours and days are made again while their samples are there", "path", d.Path, "reason", d.Reason)
		}
	}
	return t, nil
}

// refresh opens side blocks that came since.
func (t *tiers) refresh() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, one := range slices.Concat(t.all, t.imported) {
		sides, damaged, err := series.OpenSides(one.dir, one.sides)
		if err != nil {
			return err
		}
		one.sides, one.damaged = sides, damaged
		if err := one.dropReplaced(t.writes); err != nil {
			return err
		}
	}
	return nil
}

// dropReplaced lets go of the side blocks that others say they replace. Only a writer deletes them.
func (one *tier) dropReplaced(writes bool) error {
	gone := make(map[ulid.ULID]bool)
	for _, s := range one.sides {
		gone[s.Replaces] = true
	}
	var err error
	one.sides = slices.DeleteFunc(one.sides, func(s *series.Side) bool {
		if !gone[s.Name] {
			return false
		}
		if writes {
			if failed := s.Remove(); !disk.Stuck(failed) { // else it stays, and is passed over
				err = errors.Join(err, failed)
			}
		} else {
			err = errors.Join(err, s.Close())
		}
		return true
	})
	return err
}

func (t *tiers) close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var err error
	for _, one := range slices.Concat(t.all, t.imported) {
		for _, s := range one.sides {
			err = errors.Join(err, s.Close())
		}
		one.sides = nil
	}
	return err
}

// current says whether a side block is what the samples give now: no block has come to what it was made of. That blocks
// have gone, because they became too old, is what it is kept for.
func current(s *series.Side, blocks []series.Block) bool {
	made := rollup.Span{From: s.From - s.Reach, To: s.To}
	for _, b := range blocks {
		if b.Span.Overlaps(made) && !slices.Contains(s.Parents, b.Name) {
			return false
		}
	}
	return true
}

// covered says whether current side blocks hold the whole span, in each tier that keeps so old ones.
func (t *tiers) covered(span rollup.Span, blocks []series.Block) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.cover(span, blocks)
}

func (t *tiers) cover(span rollup.Span, blocks []series.Block) bool {
	for _, one := range t.all {
		kept := one.keep == 0 || time.UnixMilli(span.To).After(time.Now().Add(-one.keep))
		if kept && !one.covers(span, blocks) {
			return false
		}
	}
	return true
}

// mayGo lets raw samples be deleted when hours and days were made of them. The TSDB asks while it holds locks that readers of the
// tiers may wait for; so it never waits itself: the next time is soon enough.
func (t *tiers) mayGo(one series.Block, all []series.Block) bool {
	if !t.mu.TryRLock() {
		return false
	}
	defer t.mu.RUnlock()
	return t.cover(one.Span, all)
}

func (one *tier) covers(span rollup.Span, blocks []series.Block) bool {
	left := []rollup.Span{span}
	for _, s := range one.sides {
		if current(s, blocks) {
			_, left = rollup.Cut(left, s.Span())
		}
	}
	return len(left) == 0
}

// sweep deletes side blocks that others replace, and those that are too old.
func (t *tiers) sweep(blocks []series.Block, now time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var err error
	for _, one := range t.all {
		replaced := one.replaced(blocks)
		spans := make([]rollup.Span, len(one.sides))
		for i, s := range one.sides {
			spans[i] = s.Span()
		}
		expired := series.Expired(spans, one.keep, now)
		kept := one.sides[:0:0]
		for i, s := range one.sides {
			if !replaced[i] && !expired[i] {
				kept = append(kept, s)
				continue
			}
			err = errors.Join(err, s.Remove())
		}
		one.sides = kept
	}
	return err
}

// replaced says for each side block whether others, which are current, hold all of its time.
func (one *tier) replaced(blocks []series.Block) []bool {
	out := make([]bool, len(one.sides))
	isCurrent := make([]bool, len(one.sides))
	for i, s := range one.sides {
		isCurrent[i] = current(s, blocks)
	}
	for i, s := range one.sides {
		left := []rollup.Span{s.Span()}
		for k, other := range one.sides {
			if k == i || !isCurrent[k] || out[k] {
				continue
			}
			// Of two that are current, the longer one replaces the shorter one, and the later one its equal.
			better := other.To-other.From > s.To-s.From || other.Span() == s.Span() && other.Name.Compare(s.Name) > 0
			if !isCurrent[i] || better && other.Span().Holds(s.Span()) {
				_, left = rollup.Cut(left, other.Span())
			}
		}
		out[i] = len(left) == 0
	}
	return out
}

// parents are the names of the blocks that overlap a span.
func parents(blocks []series.Block, span rollup.Span) []ulid.ULID {
	var names []ulid.ULID
	for _, b := range blocks {
		if b.Span.Overlaps(span) {
			names = append(names, b.Name)
		}
	}
	return names
}
