package storage_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"corbie/munin"
)

// naive is the query as one would write it without a thought for speed: all rates first, then each bucket on its own.
func naive(source munin.Source, raw []munin.Point, start time.Time, step time.Duration, count int) []munin.Bucket {
	rates := munin.Rates(source, raw)
	out := make([]munin.Bucket, count)
	for i := range out {
		out[i] = munin.Gap()
		from := start.Add(time.Duration(i) * step)
		var values []float64
		for _, p := range rates {
			if t := p.Time(); !t.Before(from) && t.Before(from.Add(step)) && !math.IsNaN(p.V) {
				values = append(values, p.V)
			}
		}
		for k, v := range values {
			if k == 0 {
				out[i] = munin.Bucket{Min: v, Max: v}
			}
			out[i].Count++
			out[i].Avg += v / float64(len(values))
			out[i].Min, out[i].Max = min(out[i].Min, v), max(out[i].Max, v)
		}
	}
	return out
}

// history is what a field may say in a day: counting or wandering, with unknowns, gaps, resets and odd times.
func history(rng *rand.Rand, kind munin.FieldType, start time.Time) []munin.Point {
	var out []munin.Point
	v := float64(rng.IntN(1000))
	t := start
	for t.Before(start.Add(8 * time.Hour)) {
		value := v
		switch {
		case rng.IntN(20) == 0:
			value = math.NaN()
		case rng.IntN(40) == 0:
			v, value = 0, 0
		}
		out = append(out, munin.Point{T: t.UnixMilli(), V: value})
		v += float64(rng.IntN(3000))
		if kind == munin.Gauge || kind == munin.Derive {
			v -= 1400
		}
		t = t.Add(5 * time.Minute)
		switch {
		case rng.IntN(25) == 0:
			t = t.Add(time.Duration(rng.IntN(90)) * time.Minute)
		case rng.IntN(5) == 0:
			t = t.Add(time.Duration(rng.IntN(120_000)) * time.Millisecond)
		}
	}
	return out
}

func TestQueryAgreesWithANaiveOne(t *testing.T) {
	s := open(t, t.TempDir())
	start := time.Now().UTC().Truncate(time.Hour).Add(-30 * time.Hour)
	kinds := []munin.FieldType{munin.Gauge, munin.Counter, munin.Derive, munin.Absolute, munin.DCounter, munin.DDerive}
	known := 0
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 1))
		source := munin.Source{
			ID:        munin.SeriesID{Host: "h", Graph: "g", Field: "f" + string(rune('A'+seed))},
			Type:      kinds[rng.IntN(len(kinds))],
			Heartbeat: time.Duration(rng.IntN(30)) * time.Minute,
		}
		if rng.IntN(2) == 0 {
			source.Bounds = munin.Bounds{Low: 0, HasLow: true, High: float64(rng.IntN(3000)), HasHigh: rng.IntN(2) == 0}
		}
		raw := history(rng, source.Type, start)
		readings := make([]munin.Reading, len(raw))
		for i, at := range rng.Perm(len(raw)) { // stored in any order
			readings[i] = munin.Reading{ID: source.ID, Point: raw[at]}
		}
		if err := s.Append(t.Context(), readings); err != nil {
			t.Fatal(err)
		}
		from := start.Add(time.Duration(rng.IntN(4*3600)) * time.Second)
		r := munin.Range{From: from, To: from.Add(time.Duration(1+rng.IntN(5*3600)) * time.Second)}
		step := time.Duration(1+rng.IntN(7200)) * time.Second
		got, err := s.Query(t.Context(), []munin.Source{source}, r, step)
		if err != nil {
			t.Fatal(err)
		}
		buckets := got[0].Buckets
		if end := got[0].Start.Add(time.Duration(len(buckets)) * step); got[0].Start.After(r.From) || end.Before(r.To) || !end.Add(-step).Before(r.To) {
			t.Errorf("seed %d: %d steps of %s from %s do not cover %v", seed, len(buckets), step, got[0].Start, r)
		}
		for i, want := range naive(source, raw, got[0].Start, step, len(buckets)) {
			b := buckets[i]
			known += b.Count
			if b.Count != want.Count || !near(b.Avg, want.Avg) || !near(b.Min, want.Min) || !near(b.Max, want.Max) {
				t.Errorf("seed %d %s: bucket %d is %+v, want %+v", seed, source.Type, i, b, want)
			}
		}
	}
	if known < 500 {
		t.Errorf("only %d samples were compared", known)
	}
}

func near(a, b float64) bool {
	return math.IsNaN(a) && math.IsNaN(b) || math.Abs(a-b) <= 1e-9*max(1, math.Abs(a), math.Abs(b))
}
