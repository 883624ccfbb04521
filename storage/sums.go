package storage

import (
	"math"

	"corbie/munin"
)

// sums tells how the answer to a question with sums in it is made of the answer to one without.
type sums struct {
	asked []munin.Source
	// flat is what is read instead: every source that is not a sum, and the parts of every sum.
	flat []munin.Source
	at   []int // where in flat asked[i] or its first part stands
}

// unfold replaces the sums among the sources by their parts. It is nil where there are none.
func unfold(sources []munin.Source) *sums {
	found := false
	for i := range sources {
		found = found || len(sources[i].Sum) > 0
	}
	if !found {
		return nil
	}
	s := &sums{asked: sources, at: make([]int, len(sources))}
	for i := range sources {
		s.at[i] = len(s.flat)
		if len(sources[i].Sum) == 0 {
			s.flat = append(s.flat, sources[i])
			continue
		}
		for _, part := range sources[i].Sum {
			part.Sum = nil // Sums are flat; see munin.Field.From.
			s.flat = append(s.flat, part)
		}
	}
	return s
}

// series adds up the series of the parts, bucket by bucket. The average of a sum is the sum of the averages. Its
// least and greatest value cannot be known from those of the parts: they are the bounds within which it was. The newest
// steps are left open until every part that is alive has reached them, as the sum would else seem to fall at its end.
func (s *sums) series(read []munin.Series) []munin.Series {
	out := make([]munin.Series, len(s.asked))
	for i := range s.asked {
		parts := read[s.at[i]:][:max(len(s.asked[i].Sum), 1)]
		out[i] = parts[0]
		if len(s.asked[i].Sum) > 0 {
			out[i].ID = s.asked[i].ID
			end := commonEnd(parts, s.asked[i].Sum)
			addUp(&out[i], parts[1:])
			cut(&out[i], end)
		}
	}
	return out
}

// commonEnd is the time of the newest value that all parts have which are alive, or have ended less than a heartbeat before
// the newest of all. It is the greatest of times where there are no values.
func commonEnd(parts []munin.Series, sources []munin.Source) int64 {
	newest := int64(math.MinInt64)
	for i := range parts {
		if !math.IsNaN(parts[i].Last.V) {
			newest = max(newest, parts[i].Last.T)
		}
	}
	end := int64(math.MaxInt64)
	for i := range parts {
		last := parts[i].Last
		if !math.IsNaN(last.V) && newest-last.T <= heartbeat(sources[i]).Milliseconds() {
			end = min(end, last.T)
		}
	}
	return end
}

// cut makes gaps of the buckets that begin after end.
func cut(total *munin.Series, end int64) {
	for i := len(total.Buckets) - 1; i >= 0; i-- {
		if total.Start.UnixMilli()+int64(i)*total.Step.Milliseconds() <= end {
			return
		}
		total.Buckets[i] = munin.Gap()
	}
}

func addUp(total *munin.Series, parts []munin.Series) {
	for p := range parts {
		for i, b := range parts[p].Buckets {
			cell := &total.Buckets[i]
			switch {
			case b.Count == 0:
			case cell.Count == 0:
				*cell = b
			default:
				cell.Avg += b.Avg
				cell.Min += b.Min
				cell.Max += b.Max
				cell.Count = max(cell.Count, b.Count)
			}
		}
		switch last := parts[p].Last; {
		case math.IsNaN(last.V):
		case math.IsNaN(total.Last.V):
			total.Last = last
		default:
			total.Last = munin.Point{T: min(total.Last.T, last.T), V: total.Last.V + last.V}
		}
	}
}

// points adds up the newest values of the parts. Here one that is unknown makes the sum unknown, as a sum is judged
// by it: a host that is away must neither end a problem nor make one. The sum is as old as its oldest part.
func (s *sums) points(read []munin.Point) []munin.Point {
	out := make([]munin.Point, len(s.asked))
	for i := range s.asked {
		parts := read[s.at[i]:][:max(len(s.asked[i].Sum), 1)]
		out[i] = parts[0]
		for _, p := range parts[1:] {
			out[i] = munin.Point{T: min(out[i].T, p.T), V: out[i].V + p.V}
		}
	}
	return out
}
