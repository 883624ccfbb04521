package remote

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"

	"corbie/munin"
	"corbie/storage/series"
)

// Querier reads samples by their labels, as PromQL does, between two times in Unix milliseconds, both inclusive. The labels that the
// configuration puts on each series are asked for, so that a master sees its own.
func (s *Store) Querier(mint, maxt int64) (series.Querier, error) {
	// PromQL may ask from the beginning to the end of time, which not every engine takes: VictoriaMetrics 1.79 finds no series from 0 to tomorrow.
	const first = int64(time.Second / time.Millisecond)
	return &querier{store: s, mint: max(mint, first), maxt: min(maxt, time.Now().Add(series.MaxAhead).UnixMilli())}, nil
}

type querier struct {
	store      *Store
	mint, maxt int64
}

// Close has nothing to do.
func (q *querier) Close() error { return nil }

// maxSelected limits the samples that one selector of PromQL reads, 16 bytes each.
const maxSelected = 20_000_000

// Select reads the samples of the series that fit, with what is so new that the engine may not have it: a question for the last minutes must not find
// a series missing of which there is a value.
func (q *querier) Select(ctx context.Context, _ bool, hints *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	from, to := q.mint, q.maxt
	if hints != nil {
		from, to = max(from, hints.Start), min(to, hints.End)
	}
	matchers = q.own(matchers)
	if hints != nil && hints.Func == "series" {
		return series.SetOf(q.store.client.series(ctx, matchers, from, to))
	}
	var list []series.Labelled
	read := 0
	seen := make(map[munin.SeriesID]bool)
	err := q.store.client.read(ctx, matchers, from, to, func(l labels.Labels, points []munin.Point) error {
		if read += len(points); read > maxSelected {
			return fmt.Errorf("%w, more than %d million: ask for fewer series or a shorter range, or ask the engine itself", munin.ErrTooMuch, maxSelected/1_000_000)
		}
		id := q.store.idOf(l)
		seen[id] = true
		list = append(list, series.Labelled{Labels: l, Points: join(points, within(q.store.recent.of(id), from, to))})
		return nil
	})
	if err != nil {
		return series.SetOf(nil, err)
	}
	q.store.recent.matching(askedBy(matchers), q.store.labels, func(id munin.SeriesID, points []munin.Point) {
		if points = within(points, from, to); !seen[id] && len(points) > 0 {
			list = append(list, series.Labelled{Labels: withExternal(labelsOf(id), q.store.labels), Points: points})
		}
	})
	return series.SetOf(list, nil)
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

// series asks which series there are, without their samples.
func (c *client) series(ctx context.Context, matchers []*labels.Matcher, from, to int64) ([]series.Labelled, error) {
	var found []map[string]string
	if err := c.data(ctx, "/api/v1/series", matchers, from, to, &found); err != nil {
		return nil, err
	}
	out := make([]series.Labelled, len(found))
	for i, one := range found {
		out[i].Labels = labels.FromMap(one)
	}
	return out, nil
}

// list asks for texts: label names, the values of a label.
func (c *client) list(ctx context.Context, path string, matchers []*labels.Matcher, from, to int64) ([]string, error) {
	var out []string
	err := c.data(ctx, path, matchers, from, to, &out)
	return out, err
}

// data asks for what is known of series in a range of time, and puts the answer into "into".
func (c *client) data(ctx context.Context, path string, matchers []*labels.Matcher, from, to int64, into any) error {
	query := url.Values{"start": {seconds(from)}, "end": {seconds(to)}}
	if len(matchers) > 0 {
		query.Set("match[]", selector(matchers))
	}
	ctx, cancel := context.WithTimeout(ctx, c.target.Timeout)
	defer cancel()
	body, err := c.get(ctx, path, query)
	if err != nil {
		return err
	}
	defer body.Close()
	answer := struct {
		Data any `json:"data"`
	}{into}
	if err := json.NewDecoder(body).Decode(&answer); err != nil {
		return cutOff(err)
	}
	return nil
}
