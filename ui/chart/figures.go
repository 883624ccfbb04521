package chart

import (
	"math"
	"slices"
	"strings"

	"corbie/munin"
)

// figures are the numbers of a field in the visible range.
func (b *builder) figures(c *columns, f *munin.Field) Figures {
	out := c.figures()
	if f.Type.IsRate() && b.counts() {
		out.Total = c.total(b.model.Step.Seconds() / b.periodFactor())
	}
	return out
}

// counts says whether the unit is something per time, so that its sum over time means something: 3 GB, not 3 G%.
func (b *builder) counts() bool {
	unit := strings.ToLower(b.model.Unit)
	if b.req.Sum > 0 || strings.Contains(b.req.Graph.VLabel, "${graph_period}") {
		return true
	}
	return slices.ContainsFunc([]string{"/s", "/ s", "per s", "/m", "/ m", "per m", "/h", "/ h", "per h", "bps"},
		func(word string) bool { return strings.Contains(unit, word) })
}

func (c *columns) figures() Figures {
	f := Figures{Current: c.last, Min: math.NaN(), Average: math.NaN(), Max: math.NaN(), P95: math.NaN(), Total: math.NaN()}
	if known(c.last) {
		f.At = c.lastAt
	}
	sum, weight := 0.0, 0.0
	sorted := make([]float64, 0, len(c.avg))
	for i, v := range c.avg {
		if !known(v) {
			continue
		}
		w := float64(max(c.counts[i], 1))
		sum += v * w
		weight += w
		sorted = append(sorted, v)
		if low := c.low[i]; known(low) && !(low >= f.Min) {
			f.Min = low
		}
		if high := c.high[i]; known(high) && !(high <= f.Max) {
			f.Max = high
		}
	}
	if weight > 0 {
		f.Average = sum / weight
		slices.Sort(sorted)
		f.P95 = sorted[int(math.Round(0.95*float64(len(sorted)-1)))]
	}
	return f
}

// total is what the values add up to, each for so many periods.
func (c *columns) total(periods float64) float64 {
	sum, some := 0.0, false
	for _, v := range c.avg {
		if known(v) {
			sum += v * periods
			some = true
		}
	}
	if !some {
		return math.NaN()
	}
	return sum
}

// addTotal adds the lines of graph_total: the sums of what is drawn above zero and below it, unknown counted as
// nothing. Low and high are the sums of the lows and highs, as Munin prints them.
func (b *builder) addTotal() {
	label := b.expand(b.req.Graph.Total)
	if label == "" || label == "undef" || len(b.model.Curves) == 0 {
		return
	}
	var up, down []*columns
	for i := range b.req.Graph.Fields {
		f := &b.req.Graph.Fields[i]
		if b.hidden(f) || b.shown[f.Name] == nil {
			continue
		}
		up = append(up, b.shown[f.Name])
		if f.Negative != "" && b.shown[f.Negative] != nil {
			down = append(down, b.shown[f.Negative])
		}
	}
	for i, parts := range [][]*columns{up, down} {
		if len(parts) == 0 {
			continue
		}
		c := Curve{Label: label, Colour: inkColour(), Shape: Line, Width: 1, Total: true, Mirrored: i == 1}
		cols := sumOf(parts, b.buckets)
		c.Values, c.Top, c.Figures = cols.avg, cols.avg, cols.figures()
		if b.counts() {
			c.Figures.Total = b.totalOfParts(c.Mirrored)
		}
		if c.Mirrored { // only its figures are shown: the line would hide a field that is alone below zero
			c.Top = unknowns(b.buckets)
		}
		b.model.Curves = append(b.model.Curves, c)
	}
}

// totalOfParts adds up what the curves of one side added up to.
func (b *builder) totalOfParts(mirrored bool) float64 {
	sum := math.NaN()
	for i := range b.model.Curves {
		if c := &b.model.Curves[i]; !c.Total && c.Mirrored == mirrored {
			sum = plus(sum, c.Figures.Total)
		}
	}
	return sum
}

func sumOf(parts []*columns, buckets int) *columns {
	out := &columns{
		avg: unknowns(buckets), low: unknowns(buckets), high: unknowns(buckets), counts: make([]int, buckets), last: math.NaN(),
	}
	for _, part := range parts {
		for i := range buckets {
			out.avg[i] = plus(out.avg[i], part.avg[i])
			out.low[i] = plus(out.low[i], part.low[i])
			out.high[i] = plus(out.high[i], part.high[i])
			out.counts[i] = max(out.counts[i], part.counts[i])
		}
		out.last = plus(out.last, part.last)
		if part.lastAt.After(out.lastAt) {
			out.lastAt = part.lastAt
		}
	}
	return out
}

// plus adds what is known.
func plus(a, b float64) float64 {
	switch {
	case !known(b):
		return a
	case !known(a):
		return b
	}
	return a + b
}

func unknowns(n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = math.NaN()
	}
	return out
}
