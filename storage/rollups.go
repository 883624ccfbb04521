package storage

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"corbie/munin"
	"corbie/storage/rollup"
	"corbie/storage/series"
)

// SourceOf says how the raw values of a series become values: its type, bounds and heartbeat. A series that is not known any
// more is a gauge. It is a consumer contract: it models the catalogue.
type SourceOf func(ctx context.Context, id munin.SeriesID) (munin.Source, error)

// RollUpResult says what RollUp did.
type RollUpResult struct {
	Windows int   // stretches of time that were rolled up
	Series  int   // in all of them together
	Samples int64 // that were read
}

// RollUp brings the hours and days up to date: for each finished block of samples that has none, or whose samples or sources have
// changed since, they are made. What is replaced or too old is deleted afterwards. A run that is stopped or dies at any moment leaves what it had
// finished; the next one goes on. Samples of the last week are left alone, since they may still change.
//
// One RollUp runs at a time; queries and appends go on meanwhile.
func (s *Samples) RollUp(ctx context.Context, sourceOf SourceOf) (RollUpResult, error) {
	var result RollUpResult
	s.rolling.Lock()
	defer s.rolling.Unlock()
	err := s.bringUpToDate(ctx, sourceOf, math.MinInt64, &result)
	return result, err
}

// bringUpToDate is RollUp for who holds rolling. Some raw samples before a time will be gone soon.
func (s *Samples) bringUpToDate(ctx context.Context, sourceOf SourceOf, goes int64, result *RollUpResult) error {
	blocks, until, err := s.raw.Finished()
	if err != nil {
		return fmt.Errorf("roll up: %w", err)
	}
	spans := make([]rollup.Span, len(blocks))
	for i, b := range blocks {
		spans[i] = b.Span
	}
	for _, window := range rollup.Windows(spans, until) {
		due, err := s.due(ctx, window, blocks, sourceOf, goes)
		if err == nil && due {
			err = s.rollUp(ctx, window, blocks, sourceOf, result)
		}
		if err != nil {
			return fmt.Errorf("roll up the time from %s to %s: %w",
				time.UnixMilli(window.From).UTC().Format(time.DateOnly), time.UnixMilli(window.To).UTC().Format(time.DateOnly), err)
		}
	}
	if blocks, _, err = s.raw.Finished(); err == nil {
		err = s.tiers.sweep(blocks, time.Now())
	}
	if err != nil {
		return fmt.Errorf("roll up: %w", err)
	}
	return nil
}

// due says whether a window has to be rolled up.
func (s *Samples) due(ctx context.Context, window rollup.Span, blocks []series.Block, sourceOf SourceOf, goes int64) (bool, error) {
	if !s.tiers.covered(window, blocks) {
		return true, nil
	}
	return s.tiers.outdated(ctx, window, blocks, sourceOf, window.From < goes || s.expiring(window))
}

// expiring says whether the raw samples of a window will be gone before long: the last chance to make its rollups anew.
func (s *Samples) expiring(window rollup.Span) bool {
	return s.opts.Retention > 0 && time.UnixMilli(window.To).Before(time.Now().Add(-s.opts.Retention+30*24*time.Hour))
}

// outdated says whether enough of the rollups of a window were made by other recipes than now hold. Until they are made
// again, such series are read from the raw samples; so that one field whose max moves about does not cost
// a rollup of everything each time, a hundredth may differ while the raw samples have long to live.
func (t *tiers) outdated(ctx context.Context, window rollup.Span, blocks []series.Block, sourceOf SourceOf, expiring bool) (bool, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	coarsest := t.all[len(t.all)-1] // all tiers of a window are made together
	total, changed := 0, 0
	for _, side := range coarsest.sides {
		if !side.Span().Overlaps(window) || !current(side, blocks) {
			continue
		}
		err := side.Recipes(ctx, func(id munin.SeriesID, recipe string) error {
			source, err := sourceOf(ctx, id)
			total++
			// What has no raw samples any more stays what it is.
			if err == nil && rollup.Recipe(source) != recipe && t.marks.of(id.Host) < window.To {
				changed++
			}
			return err
		})
		if err != nil {
			return false, err
		}
	}
	return changed > 0 && (expiring || changed*100 > total), nil
}

// rollUp makes one side block of each tier for a window.
func (s *Samples) rollUp(ctx context.Context, window rollup.Span, blocks []series.Block, sourceOf SourceOf, result *RollUpResult) error {
	symbols, reach, err := s.survey(ctx, window, sourceOf)
	if err != nil {
		return err
	}
	old, err := s.tiers.carrier(ctx, window, blocks)
	if err != nil {
		return err
	}
	for _, id := range old.ids {
		source, err := sourceOf(ctx, id)
		if err != nil {
			return err
		}
		symbols.Add(id, rollup.Recipe(source))
	}
	meta := series.SideMeta{From: window.From, To: window.To, Reach: reach.Milliseconds()}
	wide := rollup.Span{From: window.From - meta.Reach, To: window.To}
	meta.Parents = parents(blocks, wide)
	b := builder{sourceOf: sourceOf, window: window, old: old, result: result}
	for _, one := range s.tiers.all {
		meta.Size = one.size.Milliseconds()
		w, err := series.CreateSide(ctx, one.dir, meta, symbols)
		if err != nil {
			return errors.Join(err, b.discard())
		}
		b.writers = append(b.writers, w)
		b.rollers = append(b.rollers, rollup.NewRoller(one.size))
	}
	err = s.raw.Walk(ctx, wide, func(id munin.SeriesID, points *series.Points) error {
		if err := b.carry(ctx, &id); err != nil {
			return err
		}
		return b.add(ctx, id, points)
	})
	if err == nil {
		err = b.carry(ctx, nil)
	}
	if err != nil {
		return errors.Join(err, b.discard())
	}
	// Blocks that came or were merged meanwhile may hold other samples than those just read: leave it for the next time.
	now, _, err := s.raw.Finished()
	if err != nil || !slices.Equal(parents(now, wide), meta.Parents) {
		return errors.Join(err, b.discard())
	}
	for _, w := range b.writers {
		if old.took {
			w.Carry()
		}
		if err := w.Commit(); err != nil {
			return errors.Join(err, b.discard())
		}
	}
	result.Windows++
	return s.tiers.refresh()
}

// survey finds the strings that the index needs and how far before the window samples are needed for its first rates.
func (s *Samples) survey(ctx context.Context, window rollup.Span, sourceOf SourceOf) (series.Symbols, time.Duration, error) {
	symbols, reach := series.NewSymbols(), time.Duration(0)
	err := s.raw.Walk(ctx, window, func(id munin.SeriesID, _ *series.Points) error {
		source, err := sourceOf(ctx, id)
		if err != nil {
			return err
		}
		symbols.Add(id, rollup.Recipe(source))
		if source.Type.IsRate() {
			reach = max(reach, heartbeat(source))
		}
		return nil
	})
	return symbols, reach, err
}

// builder makes the side blocks of one window.
type builder struct {
	sourceOf SourceOf
	window   rollup.Span
	writers  []*series.SideWriter
	rollers  []*rollup.Roller
	old      *carrier
	result   *RollUpResult
}

// carry writes the series before id, or all that are left, of which there are no raw samples any more.
func (b *builder) carry(ctx context.Context, id *munin.SeriesID) error {
	for len(b.old.ids) > 0 {
		next := b.old.ids[0]
		if id != nil {
			if order := series.CompareIDs(next, *id); order > 0 {
				return nil
			} else if order == 0 {
				b.old.ids = b.old.ids[1:]
				return nil
			}
		}
		b.old.ids = b.old.ids[1:]
		if err := b.add(ctx, next, series.PointsOf(nil)); err != nil {
			return err
		}
	}
	return nil
}

func (b *builder) add(ctx context.Context, id munin.SeriesID, points *series.Points) error {
	source, err := b.sourceOf(ctx, id)
	if err != nil {
		return err
	}
	rater := munin.NewRater(source)
	within := false
	b.old.begin()
	for p, ok := points.Next(); ok; p, ok = points.Next() {
		b.result.Samples++
		v := rater.Next(p)
		within = within || p.T >= b.window.From
		b.old.sampled(p.T)
		if v != v || p.T < b.window.From {
			continue
		}
		for _, r := range b.rollers {
			r.Add(munin.Point{T: p.T, V: v})
		}
	}
	recipe := rollup.Recipe(source)
	for i, r := range b.rollers {
		buckets := r.Buckets()
		for k := range buckets {
			buckets[k].Bucket = rollup.Round(buckets[k].Bucket)
		}
		buckets, err := b.old.join(ctx, i, source, buckets)
		if err == nil && len(buckets) == 0 && within {
			err = b.writers[i].AddEmpty(id, recipe)
		}
		if err == nil {
			err = b.writers[i].Add(id, recipe, buckets)
		}
		if err != nil {
			return err
		}
	}
	b.result.Series++
	return nil
}

func (b *builder) discard() error {
	var err error
	for _, w := range b.writers {
		err = errors.Join(err, w.Discard())
	}
	return err
}
