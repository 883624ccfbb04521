package storage

import (
	"context"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"corbie/munin"
	"corbie/storage/rollup"
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
	return s.view().query(ctx, sources, r, step)
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
	stored, err := s.stored()
	if err != nil {
		return err
	}
	first := &out[0]
	whole := rollup.Span{From: first.Start.UnixMilli(), To: first.Start.Add(time.Duration(len(first.Buckets)) * first.Step).UnixMilli()}
	step := first.Step
	for mark, which := range s.byMark(sources) {
		if len(which) == len(sources) {
			return s.fillSome(ctx, sources, out, stretch{r, whole, s.plan(whole, step, stored, mark)})
		}
		some, filled := make([]source, len(which)), make([]munin.Series, len(which))
		for k, i := range which {
			some[k], filled[k] = sources[i], out[i]
		}
		if err := s.fillSome(ctx, some, filled, stretch{r, whole, s.plan(whole, step, stored, mark)}); err != nil {
			return err
		}
		for k, i := range which {
			out[i] = filled[k]
		}
	}
	return nil
}

// byMark puts the indexes of sources together of which there is as much. The caller holds the lock of the tiers.
func (s *Samples) byMark(sources []source) map[since][]int {
	groups := make(map[since][]int)
	for i := range sources {
		mark := s.tiers.marks.readable(sources[i].ID.Host)
		groups[mark] = append(groups[mark], i)
	}
	return groups
}

// stretch is what fillSome reads: the steps that were asked for, as a whole and in pieces.
type stretch struct {
	asked  munin.Range
	whole  rollup.Span
	pieces []piece
}

// fillSome reads some of the series.
func (s *Samples) fillSome(ctx context.Context, sources []source, out []munin.Series, of stretch) error {
	whole := of.whole
	workers := 1
	if int64(len(sources))*(whole.To-whole.From)/300_000 > sharedAbove {
		workers = min(runtime.GOMAXPROCS(0), maxWorkers, len(sources))
	}
	group, ctx := errgroup.WithContext(ctx)
	size := (len(sources) + workers - 1) / workers
	for at := 0; at < len(sources); at += size {
		part := &filler{samples: s, scan: s.raw.Scan, sources: sources[at:min(at+size, len(sources))], out: out[at:min(at+size, len(sources))], asked: of.asked}
		group.Go(func() error { return part.fill(ctx, whole, of.pieces) })
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
	return s.view().latest(ctx, sources, now)
}

func heartbeat(source munin.Source) time.Duration {
	if source.Heartbeat > 0 {
		return source.Heartbeat
	}
	return unboundedHeartbeat
}
