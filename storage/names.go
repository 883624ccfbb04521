package storage

import (
	"context"
	"math"
	"time"

	"corbie/munin"
	"corbie/storage/rollup"
)

// Rename says which names belong together from now on: who reads a host, graph or field reads what is stored under its earlier names as
// well, wherever there is nothing under its own. Nothing is written anew. It may be called at any time; nil means no renames.
func (s *Samples) Rename(names *munin.Renames) { s.names.Store(names) }

// source is a series to be read, and the time in which samples under its name are its own.
type source struct {
	munin.Source

	own rollup.Span
}

// always is a source that has its name for itself.
func always(from munin.Source) source {
	return source{Source: from, own: rollup.Span{From: math.MinInt64, To: math.MaxInt64}}
}

func formerly(from munin.Source, name munin.Past) source {
	from.ID = name.ID
	return source{Source: from, own: rollup.Span{From: name.From, To: name.To}}
}

// renamed lists the names of each source, see munin.Renames.Names; nil where nothing was ever renamed.
func (v view) renamed(sources []munin.Source) [][]munin.Past {
	if v.names == nil {
		return nil
	}
	all, found := make([][]munin.Past, len(sources)), false
	for i := range sources {
		all[i] = v.names.Names(sources[i].ID)
		found = found || all[i] != nil
	}
	if !found {
		return nil
	}
	return all
}

// present is what is to be read first for each source: that with its present name.
func present(sources []munin.Source, names [][]munin.Past) []source {
	out := make([]source, len(sources))
	for i := range sources {
		if names == nil || names[i] == nil {
			out[i] = always(sources[i])
			continue
		}
		out[i] = formerly(sources[i], names[i][0])
	}
	return out
}

// fillNames reads series under their present names, and then under the earlier ones what is missing.
func (v view) fillNames(ctx context.Context, sources []munin.Source, out []munin.Series, r munin.Range) error {
	names := v.renamed(sources)
	if err := v.fill(ctx, present(sources, names), out, r); err != nil || names == nil {
		return err
	}
	for k := 1; k < munin.MaxNames; k++ {
		var which []int
		var read []source
		for i := range names {
			if len(names[i]) > k && lacking(&out[i]) {
				which = append(which, i)
				read = append(read, formerly(sources[i], names[i][k]))
			}
		}
		if len(which) == 0 {
			continue
		}
		earlier := make([]munin.Series, len(which))
		for j, i := range which {
			earlier[j] = munin.Series{
				Start: out[i].Start, Step: out[i].Step, Buckets: make([]munin.Bucket, len(out[i].Buckets)), Last: munin.Point{V: math.NaN()},
			}
		}
		if err := v.fill(ctx, read, earlier, r); err != nil {
			return err
		}
		for j, i := range which {
			fillGaps(&out[i], &earlier[j], heartbeat(sources[i]))
		}
	}
	return nil
}

// lacking says whether a series has steps without a value.
func lacking(s *munin.Series) bool {
	for i := range s.Buckets {
		if s.Buckets[i].Count == 0 {
			return true
		}
	}
	return false
}

// fillGaps takes from what is stored under an earlier name what lies before, after, and in gaps of a series that are longer than its
// heartbeat: steps between two samples are no gap. So of two hosts that became one, the values of the one whose name is kept go first,
// and nothing counts twice.
func fillGaps(s, earlier *munin.Series, heartbeat time.Duration) {
	eachGap(s, func(from, to int, inside bool) {
		if !inside || time.Duration(to-from)*s.Step > heartbeat {
			copy(s.Buckets[from:to], earlier.Buckets[from:to])
		}
	})
	if last := earlier.Last; !math.IsNaN(last.V) && (math.IsNaN(s.Last.V) || last.T > s.Last.T+heartbeat.Milliseconds()) {
		s.Last = last
	}
}

// eachGap calls visit for each run of steps without a value; it is inside when there are values before and after.
func eachGap(s *munin.Series, visit func(from, to int, inside bool)) {
	begin := 0
	for i := 0; i <= len(s.Buckets); i++ {
		if i < len(s.Buckets) && s.Buckets[i].Count == 0 {
			continue
		}
		if begin < i {
			visit(begin, i, begin > 0 && i < len(s.Buckets))
		}
		begin = i + 1
	}
}

// Raw reads the samples of one series as they were received: counters are counters, NaN is U. An unknown series has
// none. Of one that was renamed, those under earlier names come where there are none under the newer one for more than a day.
func (s *Samples) Raw(ctx context.Context, id munin.SeriesID, r munin.Range) ([]munin.Point, error) {
	return s.view().raw(ctx, id, r)
}

func (v view) raw(ctx context.Context, id munin.SeriesID, r munin.Range) ([]munin.Point, error) {
	names := v.names.Names(id)
	if names == nil {
		return v.rawOf(ctx, always(munin.Source{ID: id}), r)
	}
	var all []munin.Point
	for _, name := range names {
		found, err := v.rawOf(ctx, formerly(munin.Source{}, name), r)
		if err != nil {
			return nil, err
		}
		all = between(all, found)
	}
	return all, nil
}

// between puts the earlier points where the others leave more than a day empty.
func between(points, earlier []munin.Point) []munin.Point {
	if len(points) == 0 || len(earlier) == 0 {
		return append(points, earlier...)
	}
	gap := unboundedHeartbeat.Milliseconds()
	out := make([]munin.Point, 0, len(points)+len(earlier))
	next, before := 0, int64(math.MinInt64)
	for _, p := range points {
		for ; next < len(earlier) && earlier[next].T < p.T; next++ {
			if before == math.MinInt64 || p.T-before > gap {
				out = append(out, earlier[next])
			}
		}
		out = append(out, p)
		before = p.T
	}
	for ; next < len(earlier); next++ {
		if earlier[next].T > before {
			out = append(out, earlier[next])
		}
	}
	return out
}

// newestOf is the newest value of each source, under the name that has one.
func (v view) newestOf(ctx context.Context, sources []munin.Source, now time.Time) ([]munin.Point, error) {
	names := v.renamed(sources)
	out, err := v.newest(ctx, present(sources, names), now)
	if err != nil || names == nil {
		return out, err
	}
	for k := 1; k < munin.MaxNames; k++ {
		var which []int
		var read []source
		for i := range names {
			if len(names[i]) > k && out[i].T == 0 {
				which = append(which, i)
				read = append(read, formerly(sources[i], names[i][k]))
			}
		}
		if len(which) == 0 {
			continue
		}
		found, err := v.newest(ctx, read, now)
		if err != nil {
			return nil, err
		}
		for j, i := range which {
			out[i] = found[j]
		}
	}
	return out, nil
}
