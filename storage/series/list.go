package series

import (
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"

	"corbie/munin"
)

// PointsOf walks over samples that come from elsewhere, oldest first; a NaN is Munin's U.
func PointsOf(list []munin.Point) *Points {
	p := &Points{chunks: noChunks{}, it: &listIterator{list: list, at: -1}, in: true}
	if len(list) > 0 {
		p.from, p.to = list[0].T, list[len(list)-1].T
	}
	return p
}

// listIterator is a chunk that is already decoded: only what Points asks for.
type listIterator struct {
	chunkenc.Iterator

	list []munin.Point
	at   int
}

func (l *listIterator) Next() chunkenc.ValueType {
	if l.at++; l.at >= len(l.list) {
		return chunkenc.ValNone
	}
	return chunkenc.ValFloat
}

func (l *listIterator) At() (int64, float64) { return l.list[l.at].T, l.list[l.at].V }

func (l *listIterator) Err() error { return nil }

type noChunks struct{}

func (noChunks) At() chunks.Meta { return chunks.Meta{} }
func (noChunks) Next() bool      { return false }
func (noChunks) Err() error      { return nil }
