package promapi

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

// maxPoints is how many points of each series one range query may give, as in Prometheus.
const maxPoints = 11_000

// The times that stand for the beginning and the end of time, as in Prometheus.
func firstTime() time.Time { return time.Unix(math.MinInt64/1000+62135596801, 0).UTC() }
func lastTime() time.Time  { return time.Unix(math.MaxInt64/1000-62135596801, 999999999).UTC() }

// parseTime reads a time as the API takes it: seconds since 1970, or RFC 3339.
func parseTime(text string, fallback time.Time) (time.Time, error) {
	if text == "" {
		return fallback, nil
	}
	if s, err := strconv.ParseFloat(text, 64); err == nil && math.Abs(s) < 1e12 {
		whole, part := math.Modf(s)
		return time.Unix(int64(whole), int64(math.Round(part*1000)*1e6)).UTC(), nil
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t, nil
	}
	for _, known := range []time.Time{firstTime(), lastTime()} {
		if text == known.Format(time.RFC3339Nano) {
			return known, nil
		}
	}
	return time.Time{}, badData("%q is no time: want seconds since 1970, or 2006-01-02T15:04:05Z", text)
}

// parseDuration reads a length of time as the API takes it: seconds, or a duration such as 1h.
func parseDuration(text string) (time.Duration, error) {
	if s, err := strconv.ParseFloat(text, 64); err == nil {
		if nanos := s * float64(time.Second); math.Abs(nanos) < math.MaxInt64 {
			return time.Duration(nanos), nil
		}
		return 0, badData("%q is too long a time", text)
	}
	d, err := model.ParseDuration(text)
	if err != nil {
		return 0, badData("%q is no length of time: want seconds, or 1h", text)
	}
	return time.Duration(d), nil
}

// options are those of one query: how long a value is good for. Where steps are long it is good for a whole step: what is so old that
// only hours or days of it are left has one value for each of them.
func (a *API) options(r *http.Request, step time.Duration) (promql.QueryOpts, error) {
	lookback := a.lookback()
	if step >= time.Hour {
		lookback = max(lookback, min(step, 24*time.Hour))
	}
	if text := r.FormValue("lookback_delta"); text != "" {
		var err error
		if lookback, err = parseDuration(text); err != nil {
			return nil, err
		}
	}
	return promql.NewPrometheusQueryOpts(false, lookback), nil
}

// result is the answer to a query.
type result struct {
	Type   parser.ValueType `json:"resultType"`
	Result parser.Value     `json:"result"`
}

func (a *API) execute(r *http.Request, q promql.Query, err error) (any, annotations.Annotations, error) {
	if err != nil {
		return nil, nil, badDataError{err}
	}
	defer q.Close()
	ctx := r.Context()
	if text := r.FormValue("timeout"); text != "" {
		timeout, err := parseDuration(text)
		if err != nil {
			return nil, nil, err
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	found := q.Exec(ctx)
	if found.Err != nil {
		return nil, nil, found.Err
	}
	value := found.Value
	if m, ok := value.(promql.Matrix); ok && m == nil {
		value = promql.Matrix{}
	}
	if v, ok := value.(promql.Vector); ok && v == nil {
		value = promql.Vector{}
	}
	// The values end with the query.
	raw, err := json.Marshal(result{value.Type(), value})
	return json.RawMessage(raw), found.Warnings, err
}

// query answers /api/v1/query.
func (a *API) query(r *http.Request) (any, annotations.Annotations, error) {
	at, err := parseTime(r.FormValue("time"), time.Now())
	if err != nil {
		return nil, nil, err
	}
	opts, err := a.options(r, 0)
	if err != nil {
		return nil, nil, err
	}
	q, err := a.engine.NewInstantQuery(r.Context(), queryable{a.opts.Open}, opts, r.FormValue("query"), at)
	return a.execute(r, q, err)
}

// Instant evaluates a query at an instant; a number is a vector of one without labels. What it gives outlives the query.
func (a *API) Instant(ctx context.Context, query string, at time.Time) (promql.Vector, error) {
	q, err := a.engine.NewInstantQuery(ctx, queryable{a.opts.Open}, nil, query, at)
	if err != nil {
		return nil, err
	}
	defer q.Close()
	found := q.Exec(ctx)
	if found.Err != nil {
		return nil, found.Err
	}
	switch v := found.Value.(type) {
	case promql.Scalar:
		return promql.Vector{{T: v.T, F: v.V}}, nil
	case promql.Vector:
		out := make(promql.Vector, len(v))
		for i, sample := range v {
			sample.Metric = sample.Metric.Copy()
			out[i] = sample
		}
		return out, nil
	}
	return nil, fmt.Errorf("the query gives a %s: want one value for each series", found.Value.Type())
}

// queryRange answers /api/v1/query_range.
func (a *API) queryRange(r *http.Request) (any, annotations.Annotations, error) {
	start, err := parseTime(r.FormValue("start"), time.Time{})
	if err != nil {
		return nil, nil, err
	}
	end, err := parseTime(r.FormValue("end"), time.Time{})
	if err != nil {
		return nil, nil, err
	}
	step, err := parseDuration(r.FormValue("step"))
	switch {
	case err != nil:
		return nil, nil, err
	case start.IsZero() || end.IsZero():
		return nil, nil, badData("want start and end")
	case end.Before(start):
		return nil, nil, badData("the end lies before the start")
	case step < time.Millisecond:
		return nil, nil, badData("want a step of more than nothing")
	case end.Sub(start)/step > maxPoints:
		return nil, nil, badData("more than %d points of each series: ask for a longer step, or a shorter range", maxPoints)
	}
	opts, err := a.options(r, step)
	if err != nil {
		return nil, nil, err
	}
	q, err := a.engine.NewRangeQuery(r.Context(), queryable{a.opts.Open}, opts, r.FormValue("query"), start, end, step)
	return a.execute(r, q, err)
}

// formatQuery answers /api/v1/format_query.
func (a *API) formatQuery(r *http.Request) (any, annotations.Annotations, error) {
	expr, err := a.parser.ParseExpr(r.FormValue("query"))
	if err != nil {
		return nil, nil, badDataError{err}
	}
	return expr.Pretty(0), nil, nil
}

// exemplars answers /api/v1/query_exemplars: there are none.
func (a *API) exemplars(*http.Request) (any, annotations.Annotations, error) {
	return []struct{}{}, nil, nil
}

// look is what a question for labels or series names: a range of time, and selectors.
type look struct {
	from, to  int64
	limit     int
	selectors [][]*labels.Matcher
}

func (a *API) look(r *http.Request) (look, error) {
	var l look
	start, err := parseTime(r.FormValue("start"), firstTime())
	if err != nil {
		return l, err
	}
	end, err := parseTime(r.FormValue("end"), lastTime())
	if err != nil {
		return l, err
	}
	l.from, l.to, l.limit = start.UnixMilli(), end.UnixMilli(), a.limits.MaxSeries
	if n, err := strconv.Atoi(r.FormValue("limit")); err == nil && n > 0 {
		l.limit = min(n, l.limit)
	}
	if l.selectors, err = a.parser.ParseMetricSelectors(r.Form["match[]"]); err != nil {
		return l, badData("match[]: %w", err)
	}
	return l, nil
}

// collect asks once for each selector, or once for all.
func (a *API) collect(r *http.Request, visit func(q Querier, l *look, matchers []*labels.Matcher) error) (*look, error) {
	l, err := a.look(r)
	if err != nil {
		return nil, err
	}
	q, err := a.opts.Open(l.from, l.to)
	if err != nil {
		return nil, promql.ErrStorage{Err: err}
	}
	defer q.Close()
	if len(l.selectors) == 0 {
		return &l, visit(q, &l, nil)
	}
	for _, matchers := range l.selectors {
		if err := visit(q, &l, matchers); err != nil {
			return nil, err
		}
	}
	return &l, nil
}

func texts(all []string, l *look) []string {
	slices.Sort(all)
	all = slices.Compact(all)
	return append([]string{}, all[:min(len(all), l.limit)]...)
}

// labelNames answers /api/v1/labels.
func (a *API) labelNames(r *http.Request) (any, annotations.Annotations, error) {
	var all []string
	l, err := a.collect(r, func(q Querier, l *look, matchers []*labels.Matcher) error {
		names, _, err := q.LabelNames(r.Context(), &storage.LabelHints{Limit: l.limit}, matchers...)
		for _, name := range names {
			all = append(all, string([]byte(name))) // what a Querier gives ends with it
		}
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	return texts(all, l), nil, nil
}

// labelValues answers /api/v1/label/NAME/values.
func (a *API) labelValues(r *http.Request) (any, annotations.Annotations, error) {
	name := r.PathValue("name")
	if !model.UTF8Validation.IsValidLabelName(name) {
		return nil, nil, badData("%q is no name of a label", name)
	}
	var all []string
	l, err := a.collect(r, func(q Querier, l *look, matchers []*labels.Matcher) error {
		values, _, err := q.LabelValues(r.Context(), name, &storage.LabelHints{Limit: l.limit}, matchers...)
		for _, value := range values {
			all = append(all, string([]byte(value)))
		}
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	return texts(all, l), nil, nil
}

// series answers /api/v1/series.
func (a *API) series(r *http.Request) (any, annotations.Annotations, error) {
	seen := make(map[uint64]bool)
	out := []map[string]string{}
	_, err := a.collect(r, func(q Querier, l *look, matchers []*labels.Matcher) error {
		if matchers == nil {
			return badData("want match[], such as {host=%q}", "www1")
		}
		set := q.Select(r.Context(), false, &storage.SelectHints{Start: l.from, End: l.to, Func: "series", Limit: l.limit}, matchers...)
		for set.Next() && len(out) < l.limit {
			if found := set.At().Labels(); !seen[found.Hash()] {
				seen[found.Hash()] = true
				out = append(out, found.Copy().Map())
			}
		}
		return set.Err()
	})
	if err != nil {
		return nil, nil, err
	}
	return out, nil, nil
}
