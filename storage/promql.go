package storage

import (
	"context"
	"math"
	"time"

	"corbie/munin"
	"corbie/storage/rollup"
	"corbie/storage/series"
)

// Querier reads samples by their labels, as PromQL does, between two times in Unix milliseconds, both inclusive: raw samples, and hours and
// days by the label rollup; see series.Tiered. It must be closed. The sources tell how values are made of samples.
func (s *Samples) Querier(mint, maxt int64, sourceOf SourceOf) (series.Querier, error) {
	raw, err := s.raw.Querier(mint, maxt)
	if err != nil {
		return nil, err
	}
	blocks, _, err := s.raw.Finished()
	if err != nil {
		return nil, err
	}
	from := s.raw.MemoryFrom()
	for _, b := range blocks {
		from = min(from, b.Span.From)
	}
	if from == math.MaxInt64 {
		from = math.MinInt64
	}
	s.tiers.mu.RLock()
	tiers := make([]series.Tier, 0, len(s.tiers.all))
	for _, one := range s.tiers.all {
		tiers = append(tiers, series.Tier{Size: one.size, Sides: one.sides})
	}
	trimmed := s.tiers.marks.Before
	s.tiers.mu.RUnlock()
	return &series.Tiered{
		Raw: raw, Mint: mint, Maxt: maxt, RawFrom: from, Trimmed: trimmed, Tiers: tiers, Done: func() {},
		Buckets: func(ctx context.Context, ids []munin.SeriesID, r munin.Range, size time.Duration) ([][]rollup.Bucket, error) {
			return s.buckets(ctx, ids, r, size, sourceOf)
		},
	}, nil
}

// buckets answers by the same queries as graphs, as many series at once as one answer may have.
func (s *Samples) buckets(ctx context.Context, ids []munin.SeriesID, r munin.Range, size time.Duration, sourceOf SourceOf) ([][]rollup.Bucket, error) {
	r = s.covered(r)
	out := make([][]rollup.Bucket, len(ids))
	if !r.From.Before(r.To) {
		return out, nil
	}
	_, steps := grid(r, size)
	batch := max(1, int(MaxBuckets/max(steps, 1)))
	for at := 0; at < len(ids); at += batch {
		part := ids[at:min(at+batch, len(ids))]
		sources := make([]munin.Source, len(part))
		for i, id := range part {
			var err error
			if sources[i], err = sourceOf(ctx, id); err != nil {
				return nil, err
			}
		}
		found, err := s.Query(ctx, sources, r, size)
		if err != nil {
			return nil, err
		}
		for i := range found {
			out[at+i] = known(&found[i])
		}
	}
	return out, nil
}

// covered cuts a range to the time of which anything is kept: PromQL may ask from the beginning of time.
func (s *Samples) covered(r munin.Range) munin.Range {
	from := s.raw.MemoryFrom()
	if blocks, _, err := s.raw.Finished(); err == nil {
		for _, b := range blocks {
			from = min(from, b.Span.From)
		}
	}
	s.tiers.mu.RLock()
	defer s.tiers.mu.RUnlock()
	for _, all := range [][]*tier{s.tiers.all, s.tiers.imported} {
		for _, one := range all {
			for _, side := range one.sides {
				from = min(from, side.From)
			}
		}
	}
	if first := time.UnixMilli(from); from != math.MaxInt64 && r.From.Before(first) {
		r.From = first
	}
	if last := time.Now().Add(series.MaxAhead); r.To.After(last) {
		r.To = last
	}
	return r
}

func known(s *munin.Series) []rollup.Bucket {
	var out []rollup.Bucket
	for i, b := range s.Buckets {
		if b.Count > 0 {
			out = append(out, rollup.Bucket{Start: s.Start.Add(time.Duration(i) * s.Step).UnixMilli(), Bucket: b})
		}
	}
	return out
}
