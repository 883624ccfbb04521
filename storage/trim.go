package storage

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"

	"corbie/munin"
	"corbie/storage/rollup"
	"corbie/storage/series"
)

const (
	// trimBlocks is how many blocks of raw samples one Trim goes through that it has not seen yet; the next goes on.
	trimBlocks = 8
	// trimSides is how many rollups one Trim writes anew.
	trimSides = 32
	// trimReach is how much longer than what is deleted is rolled up already, so that a first rate after it is never made anew from half of its
	// samples.
	trimReach = 3 * 24 * time.Hour
)

// Keep is how long the values of a host are kept; zero is as long as everybody's.
type Keep struct {
	Raw, Hour, Day time.Duration
}

// longest takes the longer of each; zero is longest.
func (k Keep) longest(o Keep) Keep {
	pick := func(a, b time.Duration) time.Duration {
		if a == 0 || b == 0 {
			return 0
		}
		return max(a, b)
	}
	return Keep{Raw: pick(k.Raw, o.Raw), Hour: pick(k.Hour, o.Hour), Day: pick(k.Day, o.Day)}
}

// of is how long buckets of a size are kept.
func (k Keep) of(size time.Duration) time.Duration {
	switch {
	case size < time.Hour:
		return k.Raw
	case size < 24*time.Hour:
		return k.Hour
	}
	return k.Day
}

// KeepOf says how long the values of a host are kept. It is a consumer contract: it models the configuration.
type KeepOf func(host munin.HostID) Keep

// TrimResult says what Trim did.
type TrimResult struct {
	Hosts   int   // of which raw samples were deleted
	Samples int64 // raw ones that were deleted
	Freed   int64 // bytes that they took
	Rollups int   // blocks of hours, days or imported history that were written anew
}

// Trim deletes what is kept for less than the rest, host by host: raw samples of which hours and days were made, hours, days, and imported
// history. A host that was renamed is kept as long as the longer of what its names say. What is deleted goes by the clock, which must agree with how much is
// stored, see series.Cutoff. Hours and days that stay keep their values, also when they are made anew. One call goes through some blocks
// at most; a call that was stopped or died is finished by the next.
func (s *Samples) Trim(ctx context.Context, keepOf KeepOf, sourceOf SourceOf) (result TrimResult, err error) {
	s.rolling.Lock()
	defer s.rolling.Unlock()
	t := trimmer{samples: s, now: time.Now(), keepOf: s.keeping(keepOf), cutoffs: make(map[time.Duration]int64)}
	if err = t.raw(ctx, &result, sourceOf); err == nil {
		err = t.sides(ctx, &result)
	}
	if err != nil {
		return result, fmt.Errorf("delete what is kept for less: %w", err)
	}
	return result, nil
}

// keeping asks by the names that a host has now, whose samples may be stored under another.
func (s *Samples) keeping(keepOf KeepOf) KeepOf {
	names := s.names.Load()
	known := make(map[munin.HostID]Keep)
	return func(host munin.HostID) Keep {
		k, ok := known[host]
		if !ok {
			k = keepOf(host)
			if names != nil {
				k = keepOf(names.Host(host))
				// The name may have been another's before.
				if first := names.CurrentOf(munin.SeriesID{Host: host}, time.UnixMilli(0)).Host; first != host {
					k = k.longest(keepOf(first))
				}
			}
			known[host] = k
		}
		return k
	}
}

// trimmer is one run of Trim.
type trimmer struct {
	samples *Samples
	now     time.Time
	keepOf  KeepOf
	stored  []rollup.Span // all that there is
	cutoffs map[time.Duration]int64
}

func (t *trimmer) cutoff(keep time.Duration) int64 {
	at, ok := t.cutoffs[keep]
	if !ok {
		at = series.Cutoff(t.stored, keep, t.now)
		t.cutoffs[keep] = at
	}
	return at
}

// raw deletes raw samples.
func (t *trimmer) raw(ctx context.Context, result *TrimResult, sourceOf SourceOf) error {
	s := t.samples
	blocks, until, err := s.raw.Finished()
	if err != nil {
		return err
	}
	for _, b := range blocks {
		t.stored = append(t.stored, b.Span)
	}
	s.tiers.mu.RLock()
	m := s.tiers.marks
	for _, one := range s.tiers.all {
		for _, side := range one.sides {
			t.stored = append(t.stored, side.Span())
		}
	}
	s.tiers.mu.RUnlock()
	due, err := t.due(ctx, m, blocks, until)
	if err != nil || len(due) == 0 && !m.Unfinished {
		return err
	}
	// What is left of them shall be what they are by the sources of now.
	var made RollUpResult
	goes := slices.Max(append(slices.Collect(maps.Values(due)), math.MinInt64)) + trimReach.Milliseconds()
	if err := s.bringUpToDate(ctx, sourceOf, goes, &made); err != nil {
		return err
	}
	next := m.with(due, true)
	if err := s.tiers.mark(next); err != nil {
		return err
	}
	if m.Unfinished {
		due = next.Before
	}
	if result.Samples, result.Freed, err = s.raw.Trim(ctx, due); err != nil {
		return err
	}
	result.Hosts = len(due)
	if err := s.tiers.mark(next.with(nil, false)); err != nil {
		return err
	}
	return s.bringUpToDate(ctx, sourceOf, math.MinInt64, &made)
}

// due are the hosts of which raw samples go, and the time before which.
func (t *trimmer) due(ctx context.Context, m *marks, blocks []series.Block, until int64) (map[munin.HostID]int64, error) {
	reach, day := trimReach.Milliseconds(), (24 * time.Hour).Milliseconds()
	limit := rollup.Floor(until-reach, day)
	hosts, err := t.samples.raw.Hosts(ctx, limit)
	if err != nil {
		return nil, err
	}
	due := make(map[munin.HostID]int64)
	for _, host := range hosts {
		if before := t.cutoff(t.keepOf(host).Raw); before > m.of(host) {
			due[host] = before
		}
	}
	fresh := 0
	for _, b := range blocks {
		first := rollup.Floor(b.Span.From, day)
		touched := false
		for host, before := range due {
			touched = touched || before > b.Span.From && m.of(host) < b.Span.To
		}
		if touched {
			fresh++
		}
		if fresh > trimBlocks {
			limit = min(limit, first)
		} else if !t.samples.tiers.covered(b.Span, blocks) {
			limit = min(limit, first-reach)
		}
	}
	for host, before := range due {
		if due[host] = min(before, limit); due[host] <= m.of(host) {
			delete(due, host)
		}
	}
	return due, nil
}

// sides writes rollups and imported history anew.
func (t *trimmer) sides(ctx context.Context, result *TrimResult) error {
	tiers := t.samples.tiers
	if err := t.markHours(ctx); err != nil {
		return err
	}
	for _, one := range slices.Concat(tiers.all, tiers.imported) {
		before := func(host munin.HostID) int64 { return t.cutoff(t.keepOf(host).of(one.size)) }
		for _, side := range one.sides { // nobody else changes the list while rolling is held
			if result.Rollups >= trimSides {
				break
			}
			written, err := side.Without(ctx, one.dir, before)
			if err != nil {
				return err
			}
			if written {
				result.Rollups++
			}
		}
	}
	if result.Rollups == 0 {
		return nil
	}
	return tiers.refresh()
}

// markHours notes which hours go, before they do.
func (t *trimmer) markHours(ctx context.Context) error {
	tiers := t.samples.tiers
	gone := make(map[munin.HostID]int64)
	for _, one := range tiers.all {
		for _, side := range one.sides {
			if one.size != time.Hour {
				break
			}
			hosts, err := side.Hosts(ctx)
			if err != nil {
				return err
			}
			for _, host := range hosts {
				at := t.cutoff(t.keepOf(host).Hour)
				if before, ok := tiers.marks.Hours[host]; at > side.From && (!ok || at > before) {
					gone[host] = at
				}
			}
		}
	}
	if len(gone) == 0 {
		return nil
	}
	return tiers.mark(tiers.marks.withHours(gone))
}

// mark takes over marks, on the disk first.
func (t *tiers) mark(m *marks) error {
	if err := m.save(t.dir); err != nil {
		return fmt.Errorf("note which samples go: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.marks = m
	return nil
}

// carrier gives the buckets of which there are no raw samples any more to the rollup that is made anew.
type carrier struct {
	marks *marks
	tiers [][]*series.Side // parallel to tiers.all: those that overlap the window, the newest first
	sizes []int64          // of the buckets, parallel to tiers
	span  rollup.Span
	ids   []munin.SeriesID // in the order of a SideWriter; those not yet written

	// lost says that blocks of raw samples may have been set aside as damaged, of which there were rollups.
	lost bool
	took bool // buckets of lost samples
	// Of the series being written, by the time at which they begin: the hours that have samples, and those that were taken over because they have none.
	has, taken map[int64]bool
}

const hourMillis = int64(time.Hour / time.Millisecond)

// begin goes on to the next series.
func (c *carrier) begin() {
	clear(c.has)
	clear(c.taken)
}

// sampled notes the time of a raw sample.
func (c *carrier) sampled(at int64) {
	if c.lost {
		c.has[rollup.Floor(at, hourMillis)] = true
	}
}

// lacks says whether the samples of an earlier bucket are not there any more, or not all of them.
func (c *carrier) lacks(b rollup.Bucket, size int64) bool {
	has := false
	for at := b.Start; c.lost && at < b.Start+size; at += hourMillis {
		if c.taken[at] {
			return true
		}
		has = has || c.has[at]
	}
	return c.lost && !has
}

// lost says whether rollups that overlap a window were made of blocks that are gone without having been merged into those that are there. It may be
// wrong where blocks were merged several times since.
func (t *tiers) lost(window rollup.Span, blocks []series.Block) bool {
	there := make(map[ulid.ULID]bool)
	for _, b := range blocks {
		there[b.Name] = true
		for _, parent := range b.Parents {
			there[parent] = true
		}
	}
	for _, one := range t.all {
		for _, side := range one.sides {
			if side.Span().Overlaps(window) && (side.Carries || slices.ContainsFunc(side.Parents, func(name ulid.ULID) bool { return !there[name] })) {
				return true
			}
		}
	}
	return false
}

// carrier finds the series of a window of which raw samples were deleted or lost.
func (t *tiers) carrier(ctx context.Context, window rollup.Span, blocks []series.Block) (*carrier, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	c := &carrier{
		marks: t.marks, span: window, tiers: make([][]*series.Side, len(t.all)),
		lost: t.lost(window, blocks), has: make(map[int64]bool), taken: make(map[int64]bool),
	}
	if !c.lost && !slices.ContainsFunc(slices.Collect(maps.Values(t.marks.Before)), func(at int64) bool { return at > window.From-trimReach.Milliseconds() }) {
		return c, nil
	}
	seen := make(map[munin.SeriesID]bool)
	for i, one := range t.all {
		c.sizes = append(c.sizes, one.size.Milliseconds())
		for _, side := range one.sides {
			if !side.Span().Overlaps(window) {
				continue
			}
			c.tiers[i] = append(c.tiers[i], side)
			err := side.Recipes(ctx, func(id munin.SeriesID, _ string) error {
				if (c.lost || c.until(munin.Source{ID: id}) > window.From) && !seen[id] {
					seen[id] = true
					c.ids = append(c.ids, id)
				}
				return nil
			})
			if err != nil {
				return nil, err
			}
		}
		slices.SortFunc(c.tiers[i], func(a, b *series.Side) int { return b.Name.Compare(a.Name) })
	}
	series.SortIDs(c.ids)
	return c, nil
}

// until is the time before which buckets come from earlier rollups: the first rates after it have lost the samples that they were made of.
func (c *carrier) until(source munin.Source) int64 {
	at, ok := c.marks.Before[source.ID.Host]
	if !ok {
		return math.MinInt64
	}
	if source.Type.IsRate() {
		at += heartbeat(source).Milliseconds()
	}
	return at
}

// pick leaves of earlier buckets those that cannot be made anew.
func (c *carrier) pick(found []rollup.Bucket, until, size int64) []rollup.Bucket {
	return slices.DeleteFunc(found, func(b rollup.Bucket) bool {
		switch {
		case b.Start < until:
		case c.lacks(b, size):
			c.took, c.taken[b.Start] = true, true
		default:
			return true
		}
		return false
	})
}

// join puts what earlier rollups of a tier have before what was made of samples, and where samples were lost.
func (c *carrier) join(ctx context.Context, tier int, source munin.Source, made []rollup.Bucket) ([]rollup.Bucket, error) {
	until, to := c.until(source), c.span.To
	if !c.lost {
		to = min(until, to)
	}
	if to <= c.span.From {
		return made, nil
	}
	var old []rollup.Bucket
	left := []rollup.Span{{From: c.span.From, To: to}}
	for _, side := range c.tiers[tier] {
		var cut []rollup.Span
		cut, left = rollup.Cut(left, side.Span())
		for _, piece := range cut {
			found, err := side.Read(ctx, source.ID, piece)
			if err != nil {
				return nil, err
			}
			old = append(old, c.pick(found, until, c.sizes[tier])...)
		}
	}
	if len(old) == 0 {
		return made, nil
	}
	kept := make(map[int64]bool, len(old))
	for _, b := range old {
		kept[b.Start] = true
	}
	for _, b := range made {
		if !kept[b.Start] {
			old = append(old, b)
		}
	}
	slices.SortFunc(old, func(a, b rollup.Bucket) int { return int(a.Start/1000 - b.Start/1000) })
	return old, nil
}
