package storage

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"corbie/munin"
	"corbie/storage/rollup"
	"corbie/storage/series"
)

// importedDir is the folder of history that came from another system, inside the data folder. It has one folder of side blocks for
// each size of buckets, named after its seconds. The history of a series counts up to where its own samples begin.
const importedDir = "imported"

// History is what another system knows of one series.
type History struct {
	Source   munin.Source
	Archives []Archive
}

// Archive is history at one resolution.
type Archive struct {
	Size    time.Duration   // of a bucket, whole seconds
	Buckets []rollup.Bucket // by time
}

// openImported lists the sizes that there are, the finest first.
func openImported(dir string) ([]*tier, error) {
	entries, err := os.ReadDir(filepath.Join(dir, importedDir))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("open the imported history: %w", err)
	}
	var all []*tier
	for _, e := range entries {
		if seconds, err := strconv.ParseUint(e.Name(), 10, 31); err == nil && seconds > 0 {
			all = append(all, &tier{name: e.Name(), size: time.Duration(seconds) * time.Second, dir: filepath.Join(dir, importedDir, e.Name())})
		}
	}
	slices.SortFunc(all, func(a, b *tier) int { return int(a.size/time.Second) - int(b.size/time.Second) })
	return all, nil
}

// Imported says which series have imported history of each size. Import leaves out what is there.
func (s *Samples) Imported(ctx context.Context) (map[time.Duration]map[munin.SeriesID]bool, error) {
	s.tiers.mu.RLock()
	defer s.tiers.mu.RUnlock()
	out := make(map[time.Duration]map[munin.SeriesID]bool)
	for _, one := range s.tiers.imported {
		out[one.size] = make(map[munin.SeriesID]bool)
		for _, side := range one.sides {
			err := side.Recipes(ctx, func(id munin.SeriesID, _ string) error {
				out[one.size][id] = true
				return nil
			})
			if err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// Import stores history in a data folder that no process has open; the caller holds its lock. Either all of it is stored or, at each
// size, none: what was stored before an interruption need not come again, see Imported.
func Import(ctx context.Context, dir string, all []History) error {
	byID := make(map[munin.SeriesID]*History, len(all))
	ids := make([]munin.SeriesID, 0, len(all))
	symbols := series.NewSymbols()
	spans := make(map[time.Duration]rollup.Span)
	for i := range all {
		h := &all[i]
		if byID[h.Source.ID] != nil {
			return fmt.Errorf("import %s: it comes twice", h.Source.ID)
		}
		byID[h.Source.ID] = h
		ids = append(ids, h.Source.ID)
		symbols.Add(h.Source.ID, rollup.Recipe(h.Source))
		for _, a := range h.Archives {
			if err := widen(spans, a); err != nil {
				return fmt.Errorf("import %s: %w", h.Source.ID, err)
			}
		}
	}
	series.SortIDs(ids)
	for size, span := range spans {
		if err := importSize(ctx, dir, size, span, ids, byID, symbols); err != nil {
			return fmt.Errorf("import: %w", err)
		}
	}
	return nil
}

// widen adds what an archive covers to what is covered at its size.
func widen(spans map[time.Duration]rollup.Span, a Archive) error {
	if a.Size < time.Second || a.Size%time.Second != 0 {
		return fmt.Errorf("buckets of %s are not of whole seconds", a.Size)
	}
	if len(a.Buckets) == 0 {
		return nil
	}
	span, ok := spans[a.Size]
	if !ok {
		span = rollup.Span{From: math.MaxInt64, To: math.MinInt64}
	}
	span.From = min(span.From, a.Buckets[0].Start)
	span.To = max(span.To, a.Buckets[len(a.Buckets)-1].Start+a.Size.Milliseconds())
	spans[a.Size] = span
	return nil
}

func importSize(ctx context.Context, dir string, size time.Duration, span rollup.Span, ids []munin.SeriesID,
	byID map[munin.SeriesID]*History, symbols series.Symbols,
) error {
	target := filepath.Join(dir, importedDir, strconv.Itoa(int(size/time.Second)))
	if err := os.MkdirAll(target, 0o750); err != nil {
		return err
	}
	if err := series.RemoveParts(target); err != nil {
		return err
	}
	w, err := series.CreateSide(ctx, target, series.SideMeta{From: span.From, To: span.To, Size: size.Milliseconds()}, symbols)
	if err != nil {
		return err
	}
	for _, id := range ids {
		h := byID[id]
		for _, a := range h.Archives {
			if a.Size != size {
				continue
			}
			if err := errors.Join(ctx.Err(), w.Add(id, rollup.Recipe(h.Source), a.Buckets)); err != nil {
				return errors.Join(err, w.Discard())
			}
		}
	}
	return w.Commit()
}

// addImported puts the imported history before the samples of each series: first the sizes that fit into the steps, the coarsest first,
// then the others, the finest first; each up to where the one before it begins.
func (f *filler) addImported(ctx context.Context, whole rollup.Span) error {
	step := f.out[0].Step
	var order []*tier
	for _, one := range slices.Backward(f.samples.tiers.imported) {
		if step%one.size == 0 {
			order = append(order, one)
		}
	}
	for _, one := range f.samples.tiers.imported {
		if step%one.size != 0 {
			order = append(order, one)
		}
	}
	for _, one := range order {
		var which []int
		for i := range f.sources {
			if f.begin[i] > whole.From {
				which = append(which, i)
			}
		}
		found := slices.Clone(f.begin)
		for _, side := range one.sides {
			if err := f.imported(ctx, side, whole, which, found); err != nil {
				return err
			}
		}
		f.begin = found
	}
	return nil
}

// imported reads one block of imported history; found is set to where that of each series begins.
func (f *filler) imported(ctx context.Context, side *series.Side, whole rollup.Span, which []int, found []int64) error {
	from := rollup.Span{From: whole.From - side.Size + 1, To: whole.To}
	if len(which) == 0 || !side.Span().Overlaps(from) {
		return nil
	}
	return side.Scan(ctx, f.ids(which), from, func(k int, _ string, buckets *series.Buckets) error {
		i := which[k]
		c := f.cells(i, rollup.Span{From: whole.From, To: min(whole.To, f.begin[i])})
		last := c.out.Last
		for b, ok := buckets.Next(); ok; b, ok = buckets.Next() {
			over := b.Start+side.Size > f.begin[i]
			if over {
				// What is finer begins within this row: the row speaks for the steps before.
				edge := c.stepOf(f.begin[i])
				if b.Start >= edge {
					break
				}
				c.span.To = min(c.span.To, edge)
			}
			if c.owns(b.Start, side.Size) {
				c.bucket(b, side.Size)
				found[i] = min(found[i], b.Start)
			}
			if over {
				break
			}
		}
		if !math.IsNaN(last.V) {
			c.out.Last = last
		}
		return nil
	})
}
