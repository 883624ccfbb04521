package storage

import (
	"context"
	"fmt"
	"math"
	"time"

	"corbie/munin"
	"corbie/storage/rollup"
	"corbie/storage/series"
)

// view answers questions over samples, wherever they are kept, under all the names that their series ever had.
type view struct {
	names *munin.Renames
	// scan reads the samples of several series in a range, as series.DB.Scan does.
	scan func(ctx context.Context, ids []munin.SeriesID, r munin.Range, visit func(i int, points *series.Points) error) error
	// fill puts values into the steps of series, which are parallel to the sources. Until the end, Avg holds the sum.
	fill func(ctx context.Context, sources []source, out []munin.Series, r munin.Range) error
}

func (s *Samples) view() view {
	return view{names: s.names.Load(), scan: s.raw.Scan, fill: s.fillAll}
}

func (v view) query(ctx context.Context, sources []munin.Source, r munin.Range, step time.Duration) ([]munin.Series, error) {
	if sums := unfold(sources); sums != nil {
		read, err := v.query(ctx, sums.flat, r, step)
		if err != nil {
			return nil, err
		}
		return sums.series(read), nil
	}
	out, cells, err := layOut(sources, r, step)
	if err != nil {
		return nil, err
	}
	if err := v.fillNames(ctx, sources, out, r); err != nil {
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

// layOut makes the empty answer to a query, and all its buckets in one piece.
func layOut(sources []munin.Source, r munin.Range, step time.Duration) ([]munin.Series, []munin.Bucket, error) {
	if !r.From.Before(r.To) {
		return nil, nil, fmt.Errorf("query: the range from %s to %s is empty", r.From.Format(time.RFC3339), r.To.Format(time.RFC3339))
	}
	if step <= 0 {
		step = autoStep(sources, r)
	}
	step = max(step.Truncate(time.Millisecond), time.Millisecond)
	start, count := grid(r, step)
	if count*int64(max(len(sources), 1)) > MaxBuckets {
		return nil, nil, fmt.Errorf("query: %d series of %d steps each are more than the limit of %d: ask for a longer step than %s, or a shorter range",
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
	return out, cells, nil
}

func (v view) latest(ctx context.Context, sources []munin.Source, now time.Time) ([]munin.Point, error) {
	if sums := unfold(sources); sums != nil {
		read, err := v.latest(ctx, sums.flat, now)
		if err != nil {
			return nil, err
		}
		return sums.points(read), nil
	}
	out, err := v.newestOf(ctx, sources, now)
	if err != nil {
		return nil, fmt.Errorf("newest values: %w", err)
	}
	return out, nil
}

// newest is the newest value that lies under the name of each source.
func (v view) newest(ctx context.Context, sources []source, now time.Time) ([]munin.Point, error) {
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
	err := v.scan(ctx, ids, r, func(i int, points *series.Points) error {
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

// rawOf reads the samples that lie under one name.
func (v view) rawOf(ctx context.Context, from source, r munin.Range) ([]munin.Point, error) {
	var out []munin.Point
	err := v.scan(ctx, []munin.SeriesID{from.ID}, r, func(_ int, points *series.Points) error {
		for p, ok := points.Next(); ok; p, ok = points.Next() {
			if p.T >= from.own.From && p.T < from.own.To {
				out = append(out, p)
			}
		}
		return nil
	})
	return out, err
}
