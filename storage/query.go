package storage

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"corbie/munin"
	"corbie/storage/rollup"
	"corbie/storage/series"
)

// MaxBuckets limits one answer: its series times its steps. It is 19 fields of a year in steps of 5 minutes, and 64 MB.
const MaxBuckets = 2_000_000

// autoBuckets is about how many steps a series has when the caller leaves the step to Query.
const autoBuckets = 800

// maxWorkers is how many processors one query may take.
const maxWorkers = 4

// unboundedHeartbeat is how far back a rate looks for the sample before when the source sets no limit.
const unboundedHeartbeat = 24 * time.Hour

// Query reads several series over a range, in steps. The answer has one Series for each source, in the same order; one
// that is not known is all gaps. Steps lie on a grid that is aligned to 1970 in UTC, so that a shifted range gives the same buckets: the first
// begins at or before r.From, the last ends at or after r.To, and both are whole. Series.Last lies within the range as asked.
//
// Values are rates where the type makes them so, computed before they are averaged; the sample before the range is
// read as well, so that the first step has its rate. A step shorter than the interval of the samples leaves gaps between them. A step of zero
// (or less) is chosen to give some hundreds of steps, none shorter than the interval of the slowest source.
//
// Steps of whole hours or days are put together from the rollups where there are any, so that a picture of years costs little; the
// least and greatest values of each step are kept. What is so old that only rollups are left, or was imported from another system, is in
// them whatever the step: an hour or day then counts to the step in which it begins, or for each of the steps that it lasts, and Last is
// the average of the last one, at its start.
//
// A range that is empty or backwards is an error, and so is an answer of more than MaxBuckets.
func (s *Samples) Query(ctx context.Context, sources []munin.Source, r munin.Range, step time.Duration) ([]munin.Series, error) {
	if sums := unfold(sources); sums != nil {
		read, err := s.Query(ctx, sums.flat, r, step)
		if err != nil {
			return nil, err
		}
		return sums.series(read), nil
	}
	if !r.From.Before(r.To) {
		return nil, fmt.Errorf("query: the range from %s to %s is empty", r.From.Format(time.RFC3339), r.To.Format(time.RFC3339))
	}
	if step <= 0 {
		step = autoStep(sources, r)
	}
	step = max(step.Truncate(time.Millisecond), time.Millisecond)
	start, count := grid(r, step)
	if count*int64(max(len(sources), 1)) > MaxBuckets {
		return nil, fmt.Errorf("query: %d series of %d steps each are more than the limit of %d: ask for a longer step than %s, or a shorter range",
			len(sources), count, MaxBuckets, step)
	}
	out := make([]munin.Series, len(sources))
	cells := make([]munin.Bucket, count*int64(len(sources)))
	for i, source := range sources {
		out[i] = munin.Series{
			ID: source.ID, Start: time.UnixMilli(start).UTC(), Step: step,
			Buckets: cells[int64(i)*count : int64(i+1)*count : int64(i+1)*count],
			Last:    munin.Point{V: math.NaN()},
		}
	}
	if err := s.fillNames(ctx, sources, out, r); err != nil {
		return nil, fmt.Errorf("query: %w", err)
	}
	for i := range cells {
		if cells[i].Count == 0 {
			cells[i] = munin.Gap()
		} else {
			rollup.Finish(&cells[i])
		}
	}
	return out, nil
}

// sharedAbove is how many 5-minute samples make it worth to read with more than one processor.
const sharedAbove = 200_000

// fillAll reads all series, in several goroutines where there is much to read. Until the end, Avg holds the sum.
func (s *Samples) fillAll(ctx context.Context, sources []source, out []munin.Series, r munin.Range) error {
	if len(sources) == 0 {
		return nil
	}
	s.tiers.mu.RLock()
	defer s.tiers.mu.RUnlock()
	blocks, _, err := s.raw.Finished()
	if err != nil {
		return err
	}
	first := &out[0]
	whole := rollup.Span{From: first.Start.UnixMilli(), To: first.Start.Add(time.Duration(len(first.Buckets)) * first.Step).UnixMilli()}
	pieces := s.plan(whole, first.Step, blocks)
	workers := 1
	if int64(len(sources))*(whole.To-whole.From)/300_000 > sharedAbove {
		workers = min(runtime.GOMAXPROCS(0), maxWorkers, len(sources))
	}
	group, ctx := errgroup.WithContext(ctx)
	size := (len(sources) + workers - 1) / workers
	for at := 0; at < len(sources); at += size {
		part := &filler{samples: s, sources: sources[at:min(at+size, len(sources))], out: out[at:min(at+size, len(sources))], asked: r}
		group.Go(func() error { return part.fill(ctx, whole, pieces) })
	}
	return group.Wait()
}

// grid is the first step's start in Unix milliseconds and the number of steps that cover the range.
func grid(r munin.Range, step time.Duration) (start, count int64) {
	size := step.Milliseconds()
	from, to := r.From.UnixMilli(), ceilMilli(r.To)
	start = rollup.Floor(from, size)
	return start, (to - start + size - 1) / size
}

func ceilMilli(t time.Time) int64 {
	ms := t.UnixMilli()
	if t.After(time.UnixMilli(ms)) {
		ms++
	}
	return ms
}

// lookBack is how far before the range the samples begin that its first rates need.
func lookBack(sources []source) time.Duration {
	var back time.Duration
	for i := range sources {
		source := &sources[i]
		if !source.Type.IsRate() {
			continue
		}
		if source.Heartbeat <= 0 {
			back = max(back, unboundedHeartbeat)
		}
		back = max(back, source.Heartbeat)
	}
	return back
}

// autoStep is a round step for a picture of the range.
func autoStep(sources []munin.Source, r munin.Range) time.Duration {
	least := r.Duration() / autoBuckets
	for _, source := range sources {
		// The heartbeat is a little more than two intervals, see munin.Graph.Source.
		least = max(least, source.Heartbeat*10/21)
	}
	for _, step := range []time.Duration{
		time.Second, 10 * time.Second, 30 * time.Second, time.Minute, 5 * time.Minute, 10 * time.Minute, 30 * time.Minute,
		time.Hour, 2 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour,
	} {
		if least <= step {
			return step
		}
	}
	const day = 24 * time.Hour
	return (least + day - 1) / day * day
}

// Latest is, for each source in the same order, the value of its newest sample at or before now, as a rate where the
// type makes it so. V is NaN if that sample is U or gives no rate, or if there is none within the heartbeat (24 hours where the source has none); T is the time of
// the sample, zero if there is none. Older known values are never taken instead: who asks wants to know how things are now.
func (s *Samples) Latest(ctx context.Context, sources []munin.Source, now time.Time) ([]munin.Point, error) {
	if sums := unfold(sources); sums != nil {
		read, err := s.Latest(ctx, sums.flat, now)
		if err != nil {
			return nil, err
		}
		return sums.points(read), nil
	}
	out, err := s.newestOf(ctx, sources, now)
	if err != nil {
		return nil, fmt.Errorf("newest values: %w", err)
	}
	return out, nil
}

// newest is the newest value that lies under the name of each source.
func (s *Samples) newest(ctx context.Context, sources []source, now time.Time) ([]munin.Point, error) {
	out := make([]munin.Point, len(sources))
	ids := make([]munin.SeriesID, len(sources))
	var back time.Duration
	for i := range sources {
		source := &sources[i]
		ids[i] = source.ID
		out[i].V = math.NaN()
		within := heartbeat(source.Source)
		if source.Type.IsRate() {
			within *= 2 // the sample before the newest may be a heartbeat older than that
		}
		back = max(back, within)
	}
	r := munin.Range{From: now.Add(-back), To: now.Add(time.Millisecond)}
	err := s.raw.Scan(ctx, ids, r, func(i int, points *series.Points) error {
		from := &sources[i]
		rater := munin.NewRater(from.Source)
		since := now.Add(-heartbeat(from.Source)).UnixMilli()
		for p, ok := points.Next(); ok; p, ok = points.Next() {
			if p.T < from.own.From || p.T >= from.own.To {
				continue
			}
			if v := rater.Next(p); p.T >= since {
				out[i] = munin.Point{T: p.T, V: v}
			}
		}
		return nil
	})
	return out, err
}

func heartbeat(source munin.Source) time.Duration {
	if source.Heartbeat > 0 {
		return source.Heartbeat
	}
	return unboundedHeartbeat
}
