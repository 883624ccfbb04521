package storage

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"corbie/munin"
	"corbie/storage/rollup"
	"corbie/storage/series"
)

// ScanFunc reads raw samples from where they are kept: it calls visit once for each of the ids that has samples in the range, with its
// index and its samples, oldest first; never two at the same time.
type ScanFunc func(ctx context.Context, ids []munin.SeriesID, r munin.Range, visit func(i int, points []munin.Point) error) error

// Elsewhere answers like Samples, from raw samples that are kept in another place.
type Elsewhere struct {
	read  ScanFunc
	names atomic.Pointer[munin.Renames]
	most  int // samples of one query
}

const (
	// elsewhereMost is how many samples one query reads: five years of 95 fields each 5 minutes. It takes about a minute.
	elsewhereMost = 50_000_000
	// elsewhereWindow is how much time one scan covers, so that no answer gets so long that it does not fit into memory or the time that a request may take.
	elsewhereWindow = 60 * 24 * time.Hour
)

// NewElsewhere answers from what scan reads.
func NewElsewhere(scan ScanFunc) *Elsewhere { return &Elsewhere{read: scan, most: elsewhereMost} }

// Rename is that of Samples.
func (e *Elsewhere) Rename(names *munin.Renames) { e.names.Store(names) }

// Query is that of Samples: the same steps, the same rates, from raw samples only. Where there are too many of them, it is munin.ErrTooMuch.
func (e *Elsewhere) Query(ctx context.Context, sources []munin.Source, r munin.Range, step time.Duration) ([]munin.Series, error) {
	return e.view().query(ctx, sources, r, step)
}

// Latest is that of Samples.
func (e *Elsewhere) Latest(ctx context.Context, sources []munin.Source, now time.Time) ([]munin.Point, error) {
	return e.view().latest(ctx, sources, now)
}

// Raw is that of Samples.
func (e *Elsewhere) Raw(ctx context.Context, id munin.SeriesID, r munin.Range) ([]munin.Point, error) {
	return e.view().raw(ctx, id, r)
}

func (e *Elsewhere) view() view {
	return view{names: e.names.Load(), scan: e.scan, fill: e.fill}
}

func (e *Elsewhere) scan(ctx context.Context, ids []munin.SeriesID, r munin.Range, visit func(i int, points *series.Points) error) error {
	return e.read(ctx, ids, r, func(i int, points []munin.Point) error { return visit(i, series.PointsOf(points)) })
}

// fill reads all series from their raw samples, some weeks after the other; each time with what comes before, for the sake of the first rates.
func (e *Elsewhere) fill(ctx context.Context, sources []source, out []munin.Series, r munin.Range) error {
	if len(sources) == 0 {
		return nil
	}
	first := &out[0]
	whole := rollup.Span{From: first.Start.UnixMilli(), To: first.Start.Add(time.Duration(len(first.Buckets)) * first.Step).UnixMilli()}
	read := 0
	scan := func(ctx context.Context, ids []munin.SeriesID, r munin.Range, visit func(i int, points *series.Points) error) error {
		return e.read(ctx, ids, r, func(i int, points []munin.Point) error {
			if read += len(points); read > e.most {
				return fmt.Errorf("%w, more than %d million: an engine gives raw samples alone, no hours and days of them; ask for a shorter range or fewer graphs at once",
					munin.ErrTooMuch, e.most/1_000_000)
			}
			return visit(i, series.PointsOf(points))
		})
	}
	f := filler{scan: scan, sources: sources, out: out, asked: r, begin: make([]int64, len(sources))}
	all := make([]int, len(sources))
	for i := range all {
		all[i] = i
	}
	for from := whole.From; from < whole.To; from += elsewhereWindow.Milliseconds() {
		if err := f.points(ctx, rollup.Span{From: from, To: min(from+elsewhereWindow.Milliseconds(), whole.To)}, all); err != nil {
			return err
		}
	}
	return nil
}
