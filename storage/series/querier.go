package series

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/util/annotations"

	"corbie/munin"
	"corbie/storage/rollup"
)

// Querier reads samples by labels, as PromQL does. It is Prometheus' own interface.
type Querier = storage.Querier

// Querier reads raw samples between two times in Unix milliseconds, both inclusive. It must be closed.
func (db *DB) Querier(mint, maxt int64) (Querier, error) {
	done, err := db.use()
	if err != nil {
		return nil, err
	}
	q, err := db.tsdb.Querier(mint, maxt)
	if err != nil {
		done()
		return nil, err
	}
	return &closingQuerier{Querier: q, done: done}, nil
}

type closingQuerier struct {
	Querier

	done func()
}

func (q *closingQuerier) Close() error {
	defer q.done()
	return q.Querier.Close()
}

// Tier is the open side blocks of one size.
type Tier struct {
	Size  time.Duration
	Sides []*Side
}

// BucketsFunc reads the buckets of series, in their order, as a graph would show them.
type BucketsFunc func(ctx context.Context, ids []munin.SeriesID, r munin.Range, size time.Duration) ([][]rollup.Bucket, error)

// Tiered reads raw samples, and hours and days beside them. A selector with the label rollup ("avg", "min", "max" or "count") reads
// these: rates where fields are counters, days when the steps are of a day or more. One without it reads raw samples and, for gauges,
// the averages of the time before there are any.
type Tiered struct {
	Raw        Querier
	Mint, Maxt int64
	RawFrom    int64 // the oldest raw sample
	// Trimmed are the hosts whose raw samples begin later, and when.
	Trimmed map[munin.HostID]int64
	Tiers   []Tier // the finest first
	Buckets BucketsFunc
	Done    func() // called by Close
}

// everyWithin is how far apart the samples are by which a bucket is shown to steps that are shorter than it: PromQL takes a
// value for gone after 12 minutes with the usual interval.
const everyWithin = 4 * time.Minute

// maxTierSeries limits how many series one selector of rollups reads.
const maxTierSeries = 20_000

var errTooManySeries = errors.New("the selector finds more than 20000 series with rollups: name a host or a graph")

// Close ends reading.
func (t *Tiered) Close() error {
	defer t.Done()
	return t.Raw.Close()
}

// Select finds series by their labels.
func (t *Tiered) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	asked := window{from: t.Mint, to: t.Maxt}
	if hints != nil {
		asked = window{from: max(hints.Start, t.Mint), to: min(hints.End, t.Maxt), step: hints.Step, span: hints.Range}
	}
	var names, rest []*labels.Matcher
	explicit := false
	for _, m := range matchers {
		switch m.Name {
		case labelRollup:
			names = append(names, m)
			explicit = explicit || !m.Matches("")
		case labelRecipe:
		default:
			rest = append(rest, m)
		}
	}
	if explicit {
		return SetOf(t.rolled(ctx, asked, names, rest))
	}
	if asked.from >= t.rawFromAll() {
		return t.Raw.Select(ctx, sorted, hints, rest...)
	}
	old, err := t.before(ctx, asked, rest)
	if err != nil || len(old) == 0 {
		return firstOf(err, t.Raw.Select(ctx, sorted, hints, rest...))
	}
	sets := []storage.SeriesSet{SetOf(old, nil), t.Raw.Select(ctx, true, hints, rest...)}
	return storage.NewMergeSeriesSet(sets, 0, storage.ChainedSeriesMerge)
}

// rawFromAll is when there are raw samples of all hosts.
func (t *Tiered) rawFromAll() int64 {
	from := t.RawFrom
	for _, at := range t.Trimmed {
		from = max(from, at)
	}
	return from
}

// rawSince is when the raw samples of a host begin that is kept for less.
func (t *Tiered) rawSince(host munin.HostID) int64 {
	if at, ok := t.Trimmed[host]; ok {
		return at
	}
	return math.MinInt64
}

func firstOf(err error, set storage.SeriesSet) storage.SeriesSet {
	if err != nil {
		return storage.ErrSeriesSet(err)
	}
	return set
}

// window is what a selector asks for: times in milliseconds, both inclusive.
type window struct{ from, to, step, span int64 }

func (w window) asRange() munin.Range {
	return munin.Range{From: time.UnixMilli(w.from), To: time.UnixMilli(w.to + 1)}
}

// pick is the coarsest tier whose buckets are not longer than the steps, or else the finest.
func (t *Tiered) pick(w window) time.Duration {
	size := t.Tiers[0].Size
	for _, one := range t.Tiers[1:] {
		if long := one.Size.Milliseconds(); w.span >= 2*long || w.span == 0 && w.step >= long {
			size = one.Size
		}
	}
	return size
}

// rolled reads what has the label rollup.
func (t *Tiered) rolled(ctx context.Context, w window, names, rest []*labels.Matcher) ([]Labelled, error) {
	found, err := t.find(ctx, w, rest)
	if err != nil {
		return nil, err
	}
	known := make(map[munin.SeriesID]bool)
	ids := make([]munin.SeriesID, 0, len(found))
	for id := range found {
		known[id] = true
		ids = append(ids, id)
	}
	set := t.Raw.Select(ctx, false, &storage.SelectHints{Start: w.from, End: w.to, Func: "series"}, rest...)
	for set.Next() {
		if id, ok := IDOf(set.At().Labels()); ok && !known[id] {
			known[id] = true
			ids = append(ids, id)
		}
	}
	if err := set.Err(); err != nil {
		return nil, err
	}
	if len(ids) > maxTierSeries {
		return nil, errTooManySeries
	}
	size := t.pick(w)
	buckets, err := t.Buckets(ctx, ids, w.asRange(), size)
	if err != nil {
		return nil, err
	}
	var out []Labelled
	for k := range aggregates {
		name := aggregateName(k)
		if slices.ContainsFunc(names, func(m *labels.Matcher) bool { return !m.Matches(name) }) {
			continue
		}
		for i, id := range ids {
			b := labels.NewBuilder(LabelsOf(id))
			b.Set(labelRollup, name)
			out = append(out, Labelled{Labels: b.Labels(), Points: w.show(buckets[i], size, k)})
		}
	}
	return slices.DeleteFunc(out, func(l Labelled) bool { return len(l.Points) == 0 }), nil
}

// before reads the averages of gauges for the time before there are raw samples.
func (t *Tiered) before(ctx context.Context, w window, rest []*labels.Matcher) ([]Labelled, error) {
	w.to = min(w.to, t.rawFromAll()-1)
	found, err := t.find(ctx, w, rest)
	if err != nil {
		return nil, err
	}
	var ids []munin.SeriesID
	for id, recipe := range found {
		if kind, _, _ := strings.Cut(recipe, " "); kind == munin.Gauge.String() {
			ids = append(ids, id)
		}
	}
	if len(ids) > maxTierSeries {
		return nil, errTooManySeries
	}
	size := t.pick(w)
	buckets, err := t.Buckets(ctx, ids, w.asRange(), size)
	if err != nil {
		return nil, err
	}
	var out []Labelled
	for i, id := range ids {
		part := w
		part.to = min(w.to, max(t.RawFrom, t.rawSince(id.Host))-1)
		if points := part.show(buckets[i], size, aggAvg); len(points) > 0 {
			out = append(out, Labelled{Labels: LabelsOf(id), Points: points})
		}
	}
	return out, nil
}

// show makes samples of buckets: one for each where the selector has a range or its steps are as long, else so many that
// each step meets one.
func (w window) show(buckets []rollup.Bucket, size time.Duration, aggregate int) []munin.Point {
	every := size.Milliseconds()
	if w.span == 0 && w.step < every {
		every = everyWithin.Milliseconds()
	}
	points := make([]munin.Point, 0, len(buckets))
	for _, b := range buckets {
		v := [aggregates]float64{aggAvg: b.Avg, aggCount: float64(b.Count), aggMax: b.Max, aggMin: b.Min}[aggregate]
		for at := b.Start; at < b.Start+size.Milliseconds(); at += every {
			if at >= w.from && at <= w.to {
				points = append(points, munin.Point{T: at, V: v})
			}
		}
	}
	return points
}

// find lists the series that have side blocks in a window, with the newest recipe of each.
func (t *Tiered) find(ctx context.Context, w window, matchers []*labels.Matcher) (map[munin.SeriesID]string, error) {
	found := make(map[munin.SeriesID]string)
	averages := labels.MustNewMatcher(labels.MatchEqual, labelRollup, aggregateName(aggAvg))
	matchers = append(slices.Clone(matchers), averages)
	err := t.each(w, func(q *tsdbQuerier) error {
		set := q.Select(ctx, false, &storage.SelectHints{Start: w.from, End: w.to, Func: "series"}, matchers...)
		for set.Next() {
			l := set.At().Labels()
			if id, ok := IDOf(l); ok {
				found[id] = strings.Clone(l.Get(labelRecipe))
			}
		}
		return set.Err()
	})
	return found, err
}

type tsdbQuerier struct{ storage.Querier }

// each opens the side blocks that overlap a window, oldest first; each time is seen once for each size.
func (t *Tiered) each(w window, visit func(q *tsdbQuerier) error) error {
	for _, tier := range t.Tiers {
		for _, side := range tier.Sides {
			if !side.Span().Overlaps(rollup.Span{From: w.from, To: w.to + 1}) {
				continue
			}
			q, err := tsdb.NewBlockQuerier(side.block, math.MinInt64, math.MaxInt64)
			if errors.Is(err, tsdb.ErrClosing) {
				continue // it was replaced a moment ago
			}
			if err != nil {
				return err
			}
			if err := errors.Join(visit(&tsdbQuerier{q}), q.Close()); err != nil {
				return err
			}
		}
	}
	return nil
}

// LabelValues lists the values of a label.
func (t *Tiered) LabelValues(ctx context.Context, name string, hints *storage.LabelHints, matchers ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	if name == labelRecipe {
		return nil, nil, nil
	}
	all, notes, err := t.Raw.LabelValues(ctx, name, hints, matchers...)
	if err != nil {
		return nil, nil, err
	}
	all = slices.Clone(all)
	err = t.each(window{from: t.Mint, to: t.Maxt}, func(q *tsdbQuerier) error {
		more, _, err := q.LabelValues(ctx, name, hints, matchers...)
		for _, value := range more {
			all = append(all, strings.Clone(value))
		}
		return err
	})
	return distinct(all, hints), notes, err
}

// LabelNames lists the names of labels.
func (t *Tiered) LabelNames(ctx context.Context, hints *storage.LabelHints, matchers ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	all, notes, err := t.Raw.LabelNames(ctx, hints, matchers...)
	if err != nil {
		return nil, nil, err
	}
	all = slices.Clone(all)
	err = t.each(window{from: t.Mint, to: t.Maxt}, func(q *tsdbQuerier) error {
		more, _, err := q.LabelNames(ctx, hints, matchers...)
		for _, name := range more {
			if name != labelRecipe {
				all = append(all, strings.Clone(name))
			}
		}
		return err
	})
	return distinct(all, hints), notes, err
}

func distinct(all []string, hints *storage.LabelHints) []string {
	slices.Sort(all)
	all = slices.Compact(all)
	if hints != nil && hints.Limit > 0 && len(all) > hints.Limit {
		all = all[:hints.Limit]
	}
	return all
}
