package series

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"corbie/munin"
)

// Points walks over the raw samples of one series, oldest first; a NaN is Munin's U. It is valid only during the call
// that it was given to.
type Points struct {
	it chunkenc.Iterator
}

// Next is the next sample; ok is false after the last one.
func (p *Points) Next() (point munin.Point, ok bool) {
	for {
		switch p.it.Next() {
		case chunkenc.ValNone:
			return munin.Point{}, false
		case chunkenc.ValFloat:
			point.T, point.V = p.it.At()
			return point, true
		default: // no histogram is ever written; whoever imported one has it skipped
		}
	}
}

// Scan reads the samples of several series in a range. It calls visit once for each of the ids that has any, with its
// index and its samples, in no particular order, and stops at the first error of visit. Damage on disk is an error.
func (db *DB) Scan(ctx context.Context, ids []munin.SeriesID, r munin.Range, visit func(i int, points *Points) error) error {
	done, err := db.use()
	if err != nil {
		return fmt.Errorf("read samples: %w", err)
	}
	defer done()
	q, err := db.tsdb.Querier(r.From.UnixMilli(), r.To.UnixMilli()-1)
	if err != nil {
		return fmt.Errorf("read samples: %w", err)
	}
	s := scanner{querier: q, visit: visit}
	for _, want := range byGraph(ids) {
		if err = s.graph(ctx, want); err != nil {
			err = fmt.Errorf("read samples of %s: %w", want.id, err)
			break
		}
	}
	return errors.Join(err, q.Close())
}

// wanted is what is asked of one graph: by field the indexes of the ids.
type wanted struct {
	id     munin.SeriesID
	fields map[string][]int
}

// byGraph puts the ids of one graph together, so that the index is searched once for all of them.
func byGraph(ids []munin.SeriesID) []*wanted {
	var list []*wanted
	known := make(map[munin.SeriesID]*wanted)
	for i, id := range ids {
		graph := munin.SeriesID{Host: id.Host, Graph: id.Graph}
		w := known[graph]
		if w == nil {
			w = &wanted{id: graph, fields: make(map[string][]int)}
			known[graph] = w
			list = append(list, w)
		}
		w.fields[id.Field] = append(w.fields[id.Field], i)
	}
	return list
}

func (w *wanted) matchers() []*labels.Matcher {
	equal := func(name, value string) *labels.Matcher { return labels.MustNewMatcher(labels.MatchEqual, name, value) }
	m := []*labels.Matcher{equal(labelGraph, w.id.Graph), equal(labelHost, w.id.Host.Name())}
	if group := w.id.Host.Group(); group != "" {
		m = append(m, equal(labelGroup, group))
	}
	if len(w.fields) == 1 {
		for field := range w.fields {
			m = append(m, equal(labelField, field))
		}
	}
	return m
}

type scanner struct {
	querier storage.Querier
	visit   func(int, *Points) error
	points  Points // its iterator is used again for the next series
}

func (s *scanner) graph(ctx context.Context, w *wanted) error {
	group := w.id.Host.Group()
	set := s.querier.Select(ctx, false, nil, w.matchers()...)
	for set.Next() {
		found := set.At()
		lbls := found.Labels()
		// A host without a group is not asked for by an empty label, which would read the whole index.
		if lbls.Get(labelGroup) != group {
			continue
		}
		for _, i := range w.fields[lbls.Get(labelField)] {
			if err := ctx.Err(); err != nil {
				return err
			}
			s.points.it = found.Iterator(s.points.it)
			if err := s.visit(i, &s.points); err != nil {
				return err
			}
			if err := s.points.it.Err(); err != nil {
				return err
			}
		}
	}
	return set.Err()
}
