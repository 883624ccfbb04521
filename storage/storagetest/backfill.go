package storagetest

import (
	"context"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"corbie/munin"
	"corbie/storage"
	"corbie/storage/series"
)

// blockTime is what one block of series.WriteBlocks holds.
const blockTime = 27 * 24 * time.Hour

// Backfill writes generated history into the sample store of a data folder that no process has open: for each series the value
// that its function gives for each step of the range, at whole multiples of the step since 1970. NaN is a value
// too (Munin's U); to leave a gap, write two ranges. The functions are called by one goroutine, each with ever later times; blocks are written by as many
// as there are processors. A year of one series in steps of 5 minutes takes some 30 ms of a processor, and of memory 8 bytes for each value of
// 27 days and processor.
func Backfill(dir string, values map[munin.SeriesID]func(t time.Time) float64, r munin.Range, step time.Duration) error {
	if step < time.Second {
		return fmt.Errorf("backfill: a step of %s is too short", step)
	}
	ids := make([]munin.SeriesID, 0, len(values))
	for id := range values {
		ids = append(ids, id)
	}
	series.SortIDs(ids)
	group, ctx := errgroup.WithContext(context.Background())
	group.SetLimit(runtime.GOMAXPROCS(0))
	from := ceil(r.From, step)
	for from.Before(r.To) && ctx.Err() == nil {
		end := time.Unix(0, (from.UnixNano()/int64(blockTime)+1)*int64(blockTime))
		if end.After(r.To) {
			end = r.To
		}
		part := generate(ids, values, from, end, step)
		group.Go(func() error { return series.WriteBlocks(ctx, storage.RawDir(dir), part.readings()) })
		from = ceil(end, step)
	}
	return group.Wait()
}

// ceil is the first whole multiple of the step since 1970 that does not lie before t.
func ceil(t time.Time, step time.Duration) time.Time {
	n := (t.UnixNano() + int64(step) - 1) / int64(step)
	return time.Unix(0, n*int64(step)).UTC()
}

// generated are the values of a stretch of time, of each series in the order of ids.
type generated struct {
	ids    []munin.SeriesID
	from   time.Time
	step   time.Duration
	values [][]float64
}

func generate(ids []munin.SeriesID, values map[munin.SeriesID]func(time.Time) float64, from, to time.Time, step time.Duration) *generated {
	g := &generated{ids: ids, from: from, step: step, values: make([][]float64, len(ids))}
	count := int((to.Sub(from) + step - 1) / step)
	for i, id := range ids {
		value := values[id]
		all := make([]float64, count)
		for k := range all {
			all[k] = value(from.Add(time.Duration(k) * step))
		}
		g.values[i] = all
	}
	return g
}

// readings gives those of one series after the other for each day, so that the store finds its place quickly.
func (g *generated) readings() iter.Seq[munin.Reading] {
	perDay := max(1, int(24*time.Hour/g.step))
	return func(yield func(munin.Reading) bool) {
		left, at := slices.Clone(g.values), g.from
		for len(left) > 0 && len(left[0]) > 0 {
			n := min(perDay, len(left[0]))
			for i, id := range g.ids {
				for k, v := range left[i][:n] {
					if !yield(munin.Reading{ID: id, Point: munin.Point{T: at.Add(time.Duration(k) * g.step).UnixMilli(), V: v}}) {
						return
					}
				}
				left[i] = left[i][n:]
			}
			at = at.Add(time.Duration(n) * g.step)
		}
	}
}
