package storagetest

import (
	"context"
	"fmt"
	"iter"
	"time"

	"corbie/munin"
	"corbie/storage"
	"corbie/storage/series"
)

// Backfill writes generated history into the sample store of a data folder that no process has open: for each series the value
// that its function gives for each step of the range, at whole multiples of the step since 1970. NaN is a value
// too (Munin's U); to leave a gap, write two ranges. A year of one series in steps of 5 minutes takes some 30 ms.
func Backfill(dir string, values map[munin.SeriesID]func(t time.Time) float64, r munin.Range, step time.Duration) error {
	if step < time.Second {
		return fmt.Errorf("backfill: a step of %s is too short", step)
	}
	return series.WriteBlocks(context.Background(), storage.RawDir(dir), generate(values, r, step))
}

// generate gives the readings of one series after the other for each day, so that the store finds its place quickly.
func generate(values map[munin.SeriesID]func(t time.Time) float64, r munin.Range, step time.Duration) iter.Seq[munin.Reading] {
	const day = 24 * time.Hour
	return func(yield func(munin.Reading) bool) {
		for from := r.From.Truncate(day); from.Before(r.To); from = from.Add(day) {
			for id, value := range values {
				for t := from.Add(step - 1).Truncate(step); t.Before(from.Add(day)) && t.Before(r.To); t = t.Add(step) {
					if t.Before(r.From) {
						continue
					}
					if !yield(munin.Reading{ID: id, Point: munin.Point{T: t.UnixMilli(), V: value(t)}}) {
						return
					}
				}
			}
		}
	}
}
