package munin

import "math"

// Rater turns the raw samples of one field, fed in the order of time, into the values that people see.
// Graphs, levels, rollups and forecasts all go through it, so that they agree.
type Rater struct {
	source Source
	limit  float64 // seconds between two samples that a rate may be made of
	last   Point
	begun  bool
}

// NewRater begins with no sample seen: the first sample of a rate gives unknown.
func NewRater(source Source) *Rater {
	r := &Rater{source: source, limit: math.Inf(1)}
	if source.Heartbeat > 0 {
		r.limit = source.Heartbeat.Seconds()
	}
	return r
}

const (
	wrap32 = 1 << 32
	wrap64 = 1 << 64
)

// Next is the value that p stands for: the gauge itself, or the rate per second since the sample before. It is
// NaN where that is unknown: no sample before, one too long ago, a counter that was reset, or a value outside
// the field's min and max (which is dropped, never clamped). A sample that is not newer than the one before
// gives NaN and is forgotten.
//
// A COUNTER that decreases has wrapped at 32 or 64 bits if the rate thus found keeps within the field's
// declared max; otherwise it was reset. rrdtool takes every decrease for a wrap and draws a giant spike.
func (r *Rater) Next(p Point) float64 {
	if r.source.Type == Gauge {
		return r.bounded(p.V)
	}
	before, begun := r.last, r.begun
	if begun && p.T <= before.T {
		return math.NaN()
	}
	r.last, r.begun = p, true
	seconds := float64(p.T-before.T) / 1000
	if !begun || seconds > r.limit {
		return math.NaN()
	}
	switch r.source.Type {
	case Absolute:
		return r.bounded(p.V / seconds)
	case Counter, DCounter:
		return r.counter(p.V-before.V, seconds)
	case Gauge, Derive, DDerive:
	}
	return r.bounded((p.V - before.V) / seconds)
}

func (r *Rater) counter(delta, seconds float64) float64 {
	if delta >= 0 || math.IsNaN(delta) {
		return r.bounded(delta / seconds)
	}
	if r.source.Type == DCounter || !r.source.Bounds.HasHigh {
		return math.NaN()
	}
	for _, wrap := range []float64{wrap32, wrap64} {
		if rate := (delta + wrap) / seconds; rate >= 0 && !r.source.Bounds.Outside(rate) {
			return rate
		}
	}
	return math.NaN()
}

func (r *Rater) bounded(v float64) float64 {
	if v-v != 0 || r.source.Bounds.Outside(v) { // Infinite, or NaN, minus itself is NaN.
		return math.NaN()
	}
	return v
}

// Rates is Next over a whole slice of raw points, oldest first; the answer has the same length.
func Rates(source Source, raw []Point) []Point {
	r := NewRater(source)
	out := make([]Point, len(raw))
	for i, p := range raw {
		out[i] = Point{T: p.T, V: r.Next(p)}
	}
	return out
}
