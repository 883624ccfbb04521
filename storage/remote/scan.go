package remote

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"golang.org/x/sync/errgroup"

	"corbie/munin"
	"corbie/storage/series"
)

// scan reads raw samples from the engine, together with what is so new that the engine may not have it.
func (s *Store) scan(ctx context.Context, ids []munin.SeriesID, r munin.Range, visit func(i int, points []munin.Point) error) error {
	var mu sync.Mutex // visit is called by one at a time
	indexes := make(map[munin.SeriesID][]int, len(ids))
	graphs := make(map[munin.SeriesID][]munin.SeriesID)
	for i, id := range ids {
		if indexes[id] == nil {
			graph := munin.SeriesID{Host: id.Host, Graph: id.Graph}
			graphs[graph] = append(graphs[graph], id)
		}
		indexes[id] = append(indexes[id], i)
	}
	from, to := r.From.UnixMilli(), r.To.UnixMilli()-1
	give := func(id munin.SeriesID, points []munin.Point) error {
		mu.Lock()
		defer mu.Unlock()
		which := indexes[id]
		delete(indexes, id)
		if len(which) == 0 {
			return nil // another series of the same name, by labels that somebody else has put on it
		}
		if points = join(points, within(s.recent.of(id), from, to)); len(points) == 0 {
			return nil
		}
		for _, i := range which {
			if err := visit(i, points); err != nil {
				return err
			}
		}
		return nil
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readers)
	for graph, fields := range graphs {
		group.Go(func() error {
			err := s.client.read(ctx, s.matchers(graph, fields), from, to, func(l labels.Labels, points []munin.Point) error {
				id, ok := series.IDOf(s.own(l))
				if !ok {
					return nil
				}
				return give(id, points)
			})
			for k := 0; k < len(fields) && err == nil; k++ {
				err = give(fields[k], nil) // those of which the engine knows nothing
			}
			return err
		})
	}
	return group.Wait()
}

// matchers ask for the series of one graph.
func (s *Store) matchers(graph munin.SeriesID, fields []munin.SeriesID) []*labels.Matcher {
	equal := func(name, value string) *labels.Matcher { return labels.MustNewMatcher(labels.MatchEqual, name, value) }
	if len(fields) == 1 {
		graph = fields[0]
	}
	var out []*labels.Matcher
	withExternal(series.LabelsOf(graph), s.labels).Range(func(l labels.Label) {
		if l.Value != "" {
			out = append(out, equal(l.Name, l.Value))
		}
	})
	return out
}

// own takes the labels away that the configuration puts on each series.
func (s *Store) own(l labels.Labels) labels.Labels {
	if s.labels.IsEmpty() {
		return l
	}
	b := labels.NewBuilder(l)
	s.labels.Range(func(one labels.Label) { b.Del(one.Name) })
	return b.Labels()
}

// Latest is, for each source, the value of its newest sample at or before now, as on the embedded store. It is answered from the newest
// two samples of each series, which are in memory, so that levels are judged while the engine is away; where these are not there yet, the
// engine is asked, and if that fails the time of the point is munin.CannotSay.
func (s *Store) Latest(ctx context.Context, sources []munin.Source, now time.Time) ([]munin.Point, error) {
	out := make([]munin.Point, len(sources))
	var missing []munin.Source
	var at []int
	for i := range sources {
		if !s.remembers(&sources[i], now) {
			missing, at = append(missing, sources[i]), append(at, i)
			continue
		}
		points, err := s.memory.Latest(ctx, sources[i:i+1], now)
		if err != nil {
			return nil, err
		}
		out[i] = points[0]
	}
	if len(missing) == 0 {
		return out, nil
	}
	points, err := s.Elsewhere.Latest(ctx, missing, now)
	if err != nil {
		if ctx.Err() != nil || !errors.Is(err, munin.ErrAway) {
			return nil, err
		}
		s.log.Debug("some of the newest values are not known, as the remote engine is away", "values", len(missing), "err", err)
	}
	for k, i := range at {
		out[i] = munin.Point{T: munin.CannotSay, V: math.NaN()}
		if err == nil {
			out[i] = points[k]
		}
	}
	return out, nil
}

// remembers says whether what is in memory of a source is enough for its newest value.
func (s *Store) remembers(source *munin.Source, now time.Time) bool {
	for i := range source.Sum {
		if !s.remembers(&source.Sum[i], now) {
			return false
		}
	}
	if len(source.Sum) > 0 {
		return true
	}
	need, within := 1, source.Heartbeat
	if source.Type.IsRate() {
		need = 2
	}
	if within <= 0 {
		within = 24 * time.Hour
	}
	all := s.recent.of(source.ID)
	if len(all) < need {
		return false
	}
	newest := all[len(all)-1].Time()
	return !newest.After(now) && newest.After(now.Add(-within))
}

func (s *Store) scanMemory(_ context.Context, ids []munin.SeriesID, r munin.Range, visit func(int, []munin.Point) error) error {
	for i, id := range ids {
		points := within(s.recent.of(id), r.From.UnixMilli(), r.To.UnixMilli()-1)
		if len(points) == 0 {
			continue
		}
		if err := visit(i, points); err != nil {
			return err
		}
	}
	return nil
}
