package storage

import (
	"context"
	"math"
	"time"

	"corbie/munin"
	"corbie/storage/rollup"
	"corbie/storage/series"
)

// filler reads some of the series of a query, piece by piece.
type filler struct {
	samples *Samples
	scan    func(ctx context.Context, ids []munin.SeriesID, r munin.Range, visit func(i int, points *series.Points) error) error
	sources []source
	out     []munin.Series // parallel to sources; Avg holds the sum
	asked   munin.Range
	begin   []int64 // where the values of each begin
}

func (f *filler) fill(ctx context.Context, whole rollup.Span, pieces []piece) error {
	all := make([]int, len(f.sources))
	f.begin = make([]int64, len(f.sources))
	for i := range all {
		all[i], f.begin[i] = i, math.MaxInt64
	}
	for _, p := range pieces {
		from := all
		if p.side != nil {
			var err error
			if from, err = f.buckets(ctx, p); err != nil {
				return err
			}
		}
		if err := f.points(ctx, p.Span, from); err != nil {
			return err
		}
	}
	if len(f.samples.tiers.imported) == 0 {
		return nil
	}
	return f.addImported(ctx, whole)
}

func (f *filler) ids(which []int) []munin.SeriesID {
	ids := make([]munin.SeriesID, len(which))
	for k, i := range which {
		ids[k] = f.sources[i].ID
	}
	return ids
}

// points reads a stretch of raw samples.
func (f *filler) points(ctx context.Context, span rollup.Span, which []int) error {
	if len(which) == 0 {
		return nil
	}
	sources := make([]source, len(which))
	for k, i := range which {
		sources[k] = f.sources[i]
	}
	wide := munin.Range{From: time.UnixMilli(span.From).Add(-lookBack(sources)), To: time.UnixMilli(span.To)}
	return f.scan(ctx, f.ids(which), wide, func(k int, points *series.Points) error {
		c := f.cells(which[k], span)
		c.points(munin.NewRater(sources[k].Source), points)
		f.begin[which[k]] = min(f.begin[which[k]], c.first)
		return nil
	})
}

// buckets reads a stretch of a side block. It gives back which series have to be read from the raw samples instead, because they are
// now seen in another way than when the block was made.
func (f *filler) buckets(ctx context.Context, p piece) (again []int, err error) {
	which := make([]int, len(f.sources))
	for i := range which {
		which[i] = i
	}
	err = p.side.Scan(ctx, f.ids(which), p.Span, func(i int, recipe string, buckets *series.Buckets) error {
		if p.raw && recipe != rollup.Recipe(f.sources[i].Source) {
			again = append(again, i)
			return nil
		}
		c := f.cells(i, p.Span)
		for b, ok := buckets.Next(); ok; b, ok = buckets.Next() {
			if !c.owns(b.Start, p.side.Size) {
				continue
			}
			c.bucket(b, p.side.Size)
			f.begin[i] = min(f.begin[i], b.Start)
		}
		return nil
	})
	return again, err
}

// cells are the steps of one series, while a stretch of it is read.
type cells struct {
	out      *munin.Series
	span     rollup.Span
	own      rollup.Span // the time in which samples under this name are those of the series
	start    int64
	size     int64
	from, to int64 // the range as asked
	cell     *munin.Bucket
	until    int64 // end of cell
	first    int64 // time of the first known value
}

func (f *filler) cells(i int, span rollup.Span) *cells {
	out := &f.out[i]
	start := out.Start.UnixMilli()
	return &cells{
		out: out, span: span, own: f.sources[i].own, start: start, size: out.Step.Milliseconds(), until: start, first: math.MaxInt64,
		from: f.asked.From.UnixMilli(), to: ceilMilli(f.asked.To),
	}
}

// at finds the step that holds t, which does not lie before the one found last.
func (c *cells) at(t int64) *munin.Bucket {
	if t >= c.until {
		i := (t - c.start) / c.size
		c.cell, c.until = &c.out.Buckets[i], c.start+(i+1)*c.size
	}
	return c.cell
}

// owns says whether all of a stretch belongs to the series: its name may have been another's before or after.
func (c *cells) owns(start, size int64) bool { return start >= c.own.From && start+size-1 < c.own.To }

// stepOf is the start of the step that holds t.
func (c *cells) stepOf(t int64) int64 { return c.start + rollup.Floor(t-c.start, c.size) }

// points feeds samples through the rater into the steps. Those before the span are read for the sake of the rate after them.
func (c *cells) points(rater *munin.Rater, points *series.Points) {
	for p, ok := points.Next(); ok; p, ok = points.Next() {
		if !c.owns(p.T, 1) {
			continue
		}
		v := rater.Next(p)
		if v != v || p.T < c.span.From {
			continue
		}
		if c.first == math.MaxInt64 {
			c.first = p.T
		}
		cell := c.at(p.T)
		if cell.Count == 0 {
			cell.Min, cell.Max = v, v
		}
		cell.Avg += v
		cell.Count++
		cell.Min, cell.Max = min(cell.Min, v), max(cell.Max, v)
		if p.T >= c.from && p.T < c.to {
			c.out.Last = munin.Point{T: p.T, V: v}
		}
	}
}

// bucket adds an hour or a day to the step in which it begins. One that is longer than a step says the same of each of the steps
// that it lasts.
func (c *cells) bucket(b rollup.Bucket, size int64) {
	count := b.Count
	if size > c.size {
		count = max(1, int(int64(b.Count)*c.size/size))
	}
	from, to := max(b.Start, c.span.From), min(b.Start+size, c.span.To)
	if size <= c.size {
		from, to = b.Start, b.Start+1
	}
	for t := from; t < to && t >= c.span.From; t += c.size {
		cell := c.at(t)
		if cell.Count == 0 {
			cell.Min, cell.Max = b.Min, b.Max
		}
		cell.Avg += b.Avg * float64(count)
		cell.Count += count
		cell.Min, cell.Max = min(cell.Min, b.Min), max(cell.Max, b.Max)
	}
	if b.Start >= c.from && b.Start < c.to {
		c.out.Last = munin.Point{T: b.Start, V: b.Avg}
	}
}
