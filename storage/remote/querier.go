package remote

import (
	"context"
	"encoding/json"
	"net/url"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"

	"corbie/munin"
	"corbie/storage/series"
)

// Querier reads samples by their labels, as PromQL does, between two times in Unix milliseconds, both inclusive. The labels that the
// configuration puts on each series are asked for, so that a master sees its own.
func (s *Store) Querier(mint, maxt int64) (series.Querier, error) {
	return &querier{store: s, mint: mint, maxt: maxt}, nil
}

type querier struct {
	store      *Store
	mint, maxt int64
}

// Close has nothing to do.
func (q *querier) Close() error { return nil }

// Select reads the samples of the series that fit.
func (q *querier) Select(ctx context.Context, _ bool, hints *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	from, to := q.mint, q.maxt
	if hints != nil {
		from, to = max(from, hints.Start), min(to, hints.End)
	}
	var list []series.Labelled
	err := q.store.client.read(ctx, q.own(matchers), from, to, func(l labels.Labels, points []munin.Point) error {
		if id, ok := series.IDOf(q.store.own(l)); ok {
			points = join(points, within(q.store.recent.of(id), from, to))
		}
		list = append(list, series.Labelled{Labels: l, Points: points})
		return nil
	})
	return series.SetOf(list, err)
}

// own adds the master's own labels to what is asked for.
func (q *querier) own(matchers []*labels.Matcher) []*labels.Matcher {
	out := slices.Clone(matchers)
	q.store.labels.Range(func(l labels.Label) {
		out = append(out, labels.MustNewMatcher(labels.MatchEqual, l.Name, l.Value))
	})
	return out
}

// LabelValues asks the engine.
func (q *querier) LabelValues(ctx context.Context, name string, hints *storage.LabelHints, matchers ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	list, err := q.store.client.list(ctx, "/api/v1/label/"+url.PathEscape(name)+"/values", q.own(matchers), q.mint, q.maxt)
	return cut(list, hints), nil, err
}

// LabelNames asks the engine.
func (q *querier) LabelNames(ctx context.Context, hints *storage.LabelHints, matchers ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	list, err := q.store.client.list(ctx, "/api/v1/labels", q.own(matchers), q.mint, q.maxt)
	return cut(list, hints), nil, err
}

func cut(list []string, hints *storage.LabelHints) []string {
	slices.Sort(list)
	if hints != nil && hints.Limit > 0 && len(list) > hints.Limit {
		list = list[:hints.Limit]
	}
	return list
}

// list asks for texts: label names, the values of a label.
func (c *client) list(ctx context.Context, path string, matchers []*labels.Matcher, from, to int64) ([]string, error) {
	query := url.Values{"start": {seconds(from)}, "end": {seconds(to)}}
	if len(matchers) > 0 {
		query.Set("match[]", selector(matchers))
	}
	ctx, cancel := context.WithTimeout(ctx, c.target.Timeout)
	defer cancel()
	body, err := c.get(ctx, path, query)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	var answer struct {
		Data []string `json:"data"`
	}
	if err := json.NewDecoder(body).Decode(&answer); err != nil {
		return nil, cutOff(err)
	}
	return answer.Data, nil
}
