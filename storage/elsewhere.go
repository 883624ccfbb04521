package storage

import (
	"context"
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
}

// NewElsewhere answers from what scan reads.
func NewElsewhere(scan ScanFunc) *Elsewhere { return &Elsewhere{read: scan} }

// Rename is that of Samples.
func (e *Elsewhere) Rename(names *munin.Renames) { e.names.Store(names) }

// Query is that of Samples: the same steps, the same rates, from raw samples only.
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

// fill reads all series from their raw samples.
func (e *Elsewhere) fill(ctx context.Context, sources []source, out []munin.Series, r munin.Range) error {
	if len(sources) == 0 {
		return nil
	}
	first := &out[0]
	whole := rollup.Span{From: first.Start.UnixMilli(), To: first.Start.Add(time.Duration(len(first.Buckets)) * first.Step).UnixMilli()}
	f := filler{scan: e.scan, sources: sources, out: out, asked: r, begin: make([]int64, len(sources))}
	all := make([]int, len(sources))
	for i := range all {
		all[i] = i
	}
	return f.points(ctx, whole, all)
}
