package series

import (
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"

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

// listIterator walks over samples in memory. Corbie has no histograms: what reads those of the interface is not there.
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

// Labelled is one series by its labels, oldest sample first; NaN is U.
type Labelled struct {
	Labels labels.Labels
	Points []munin.Point
}

// SetOf is a set of series in memory, in the form of Prometheus; they are sorted by their labels.
func SetOf(list []Labelled, err error) storage.SeriesSet {
	slices.SortFunc(list, func(a, b Labelled) int { return labels.Compare(a.Labels, b.Labels) })
	return &listSet{list: list, at: -1, err: err}
}

type listSet struct {
	list []Labelled
	at   int
	err  error
}

func (s *listSet) Next() bool {
	if s.err != nil {
		return false
	}
	s.at++
	return s.at < len(s.list)
}

func (s *listSet) At() storage.Series {
	one := &s.list[s.at]
	return &storage.SeriesEntry{Lset: one.Labels, SampleIteratorFn: func(chunkenc.Iterator) chunkenc.Iterator {
		return storage.NewListSeriesIterator(samples(one.Points))
	}}
}

func (s *listSet) Err() error                        { return s.err }
func (s *listSet) Warnings() annotations.Annotations { return nil }

// samples are points in the form of Prometheus.
type samples []munin.Point

func (s samples) Len() int { return len(s) }

func (s samples) Get(i int) chunks.Sample { return sample{s[i].T, s[i].V} }

// sample gives U as the stale marker that it is in the TSDB.
type sample struct {
	at int64
	v  float64
}

func (s sample) ST() int64 { return 0 }
func (s sample) T() int64  { return s.at }

func (s sample) F() float64 {
	if v := s.v; v == v {
		return v
	}
	return math.Float64frombits(value.StaleNaN)
}

func (s sample) H() *histogram.Histogram       { return nil }
func (s sample) FH() *histogram.FloatHistogram { return nil }
func (s sample) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (s sample) Copy() chunks.Sample           { return s }

type noChunks struct{}

func (noChunks) At() chunks.Meta { return chunks.Meta{} }
func (noChunks) Next() bool      { return false }
func (noChunks) Err() error      { return nil }
