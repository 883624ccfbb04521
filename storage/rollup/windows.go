package rollup

import (
	"cmp"
	"slices"
	"time"
)

// Span is a stretch of time in Unix milliseconds, From inclusive, To exclusive.
type Span struct {
	From, To int64
}

// Overlaps says whether the two have an instant in common.
func (s Span) Overlaps(o Span) bool { return s.From < o.To && o.From < s.To }

// Holds says whether all of o lies within s.
func (s Span) Holds(o Span) bool { return s.From <= o.From && o.To <= s.To }

const day = int64(24 * time.Hour / time.Millisecond)

// Windows are the stretches of whole UTC days that are rolled up together: each is as long as a block, or as several blocks
// that share a day. Those that do not end by until are left for later.
func Windows(blocks []Span, until int64) []Span {
	days := make([]Span, len(blocks))
	for i, b := range blocks {
		days[i] = Span{From: Floor(b.From, day), To: Floor(b.To+day-1, day)}
	}
	return slices.DeleteFunc(Union(days), func(s Span) bool { return s.To > until })
}

// Union joins spans that overlap; those that only touch stay apart. The answer is sorted.
func Union(spans []Span) []Span {
	sorted := slices.Clone(spans)
	slices.SortFunc(sorted, func(a, b Span) int { return cmp.Compare(a.From, b.From) })
	var out []Span
	for _, s := range sorted {
		if n := len(out); n > 0 && s.From < out[n-1].To {
			out[n-1].To = max(out[n-1].To, s.To)
			continue
		}
		out = append(out, s)
	}
	return out
}

// Join is Union with those that touch joined too.
func Join(spans []Span) []Span {
	var out []Span
	for _, s := range Union(spans) {
		if n := len(out); n > 0 && s.From == out[n-1].To {
			out[n-1].To = s.To
			continue
		}
		out = append(out, s)
	}
	return out
}

// Cut takes one span out of several: what of it they have in common, and what is left of them.
func Cut(from []Span, piece Span) (cut, left []Span) {
	for _, s := range from {
		if !s.Overlaps(piece) {
			left = append(left, s)
			continue
		}
		cut = append(cut, Span{From: max(s.From, piece.From), To: min(s.To, piece.To)})
		if s.From < piece.From {
			left = append(left, Span{From: s.From, To: piece.From})
		}
		if piece.To < s.To {
			left = append(left, Span{From: piece.To, To: s.To})
		}
	}
	return cut, left
}
