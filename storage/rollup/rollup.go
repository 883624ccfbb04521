// Package rollup makes a few numbers of many samples: the average, least, greatest and count of each hour or day. It is
// pure: storage decides what is rolled up, storage/series keeps the result.
package rollup

import (
	"math"
	"strconv"
	"strings"
	"time"

	"corbie/munin"
)

// Bucket is what is known of one stretch of time.
type Bucket struct {
	Start int64 // Unix milliseconds, a whole multiple of the size since 1970
	munin.Bucket
}

// Roller puts the values of one series, fed in the order of time, into buckets of one size. Empty buckets do not appear.
type Roller struct {
	size    int64
	until   int64 // end of the bucket being filled
	buckets []Bucket
}

// NewRoller makes buckets of the given size.
func NewRoller(size time.Duration) *Roller {
	return &Roller{size: size.Milliseconds(), until: math.MinInt64}
}

// Add takes the next value; unknown is NaN and counts for nothing.
func (r *Roller) Add(p munin.Point) {
	v := p.V
	if v != v {
		return
	}
	if p.T >= r.until {
		start := Floor(p.T, r.size)
		r.until = start + r.size
		r.buckets = append(r.buckets, Bucket{Start: start, Bucket: munin.Bucket{Min: v, Max: v}})
	}
	b := &r.buckets[len(r.buckets)-1]
	b.Avg += v
	b.Count++
	b.Min, b.Max = min(b.Min, v), max(b.Max, v)
}

// Buckets gives all buckets so far, oldest first, and begins anew. They are valid until the next call of Add.
func (r *Roller) Buckets() []Bucket {
	out := r.buckets
	for i := range out {
		Finish(&out[i].Bucket)
	}
	r.buckets, r.until = out[:0], math.MinInt64
	return out
}

// Finish turns the sum that was gathered in Avg into the mean.
func Finish(b *munin.Bucket) {
	b.Avg /= float64(b.Count)
	if math.IsInf(b.Avg, 0) { // the sum of huge values
		b.Avg = b.Min/2 + b.Max/2
	}
	// Rounding can push the mean of equal values past them.
	b.Avg = min(max(b.Avg, b.Min), b.Max)
}

// Round is the bucket as it is kept for years: with seven digits, which takes 40 percent less disk.
func Round(b munin.Bucket) munin.Bucket {
	b.Avg, b.Min, b.Max = round(b.Avg), round(b.Min), round(b.Max)
	return b
}

func round(v float64) float64 {
	if short := float64(float32(v)); !math.IsInf(short, 0) && (short != 0 || v == 0) {
		return short
	}
	return v
}

// Floor is the start of the stretch of the given size, on a grid aligned to 1970, that holds t; both in milliseconds.
func Floor(t, size int64) int64 { return t - ((t%size)+size)%size }

// Recipe says how the values of a source are made from what is stored, as text. Buckets of another recipe are not what this
// source would give.
func Recipe(s munin.Source) string {
	var b strings.Builder
	b.WriteString(s.Type.String())
	bound := func(name string, v float64, has bool) {
		if has {
			b.WriteString(" " + name + "=" + strconv.FormatFloat(v, 'g', -1, 64))
		}
	}
	bound("min", s.Bounds.Low, s.Bounds.HasLow)
	bound("max", s.Bounds.High, s.Bounds.HasHigh)
	if s.Type.IsRate() && s.Heartbeat > 0 {
		b.WriteString(" heartbeat=" + s.Heartbeat.String())
	}
	return b.String()
}
