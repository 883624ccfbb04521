package chart

import (
	"math"
	"slices"
	"strconv"
)

// Tick is one label of an axis.
type Tick struct {
	Value float64
	Label string
}

// Scale is the y axis of a picture of a certain height.
type Scale struct {
	Low, High float64
	Log       bool
	Interval  float64 // between two ticks; 0 on a logarithmic axis
	Ticks     []Tick
	// Right are the labels of a second axis at the right, at the same values of the left one; nil where there is none.
	Right []Tick
}

// YScale chooses range and ticks for a plot of the given height in pixels: round numbers in the graph's own
// prefixes, thresholds in sight where that does not squash the curves.
func (m *Model) YScale(height float64) Scale {
	low, high, filled := m.extent()
	low, high = m.withRules(low, high)
	count := math.Max(2, math.Floor(height/30))
	s := Scale{Low: low, High: high}
	if m.limits.log && filled > 0 {
		return m.logScale(s, filled)
	}
	step := niceStep((high-low)/count, m.Base)
	fixedLow := m.limits.tightLow || m.limits.hasLow && low == m.limits.low
	fixedHigh := m.limits.tightHigh || m.limits.hasHigh && high == m.limits.high
	round := step
	if math.Ceil(high/step-1e-9)*step-math.Floor(low/step+1e-9)*step > 1.3*(high-low) {
		round = step / 5 // a low plot has few labels: its ends need not have one
	}
	if !fixedLow {
		s.Low = math.Floor(low/round+1e-9) * round
	}
	if !fixedHigh {
		s.High = math.Ceil(high/round-1e-9) * round
	}
	s.Interval = step
	first := math.Ceil(s.Low/step - 1e-9)
	for n := first; n*step <= s.High+step*1e-9 && len(s.Ticks) < 60; n++ {
		s.Ticks = append(s.Ticks, Tick{Value: n * step})
	}
	m.labelTicks(s.Ticks, step)
	m.labelRight(&s)
	return s
}

// labelRight makes the labels of the right axis, one for each of the left.
func (m *Model) labelRight(s *Scale) {
	axis := &m.limits.right
	if axis.scale == 0 {
		return
	}
	values := make([]Tick, len(s.Ticks))
	for i, t := range s.Ticks {
		values[i].Value = axis.at(t.Value)
	}
	switch step := s.Interval * math.Abs(axis.scale); {
	case step > 0:
		m.label(values, fineness(values, step), axis.format)
	default:
		for i := range values {
			values[i].Label = m.labelOne(values[i].Value, axis.format)
		}
	}
	for i := range values {
		s.Right = append(s.Right, Tick{Value: s.Ticks[i].Value, Label: values[i].Label})
	}
}

// fineness is the largest power of ten, at most step and at least a thousandth of it, of which all labels are multiples.
func fineness(ticks []Tick, step float64) float64 {
	unit := math.Pow(10, math.Floor(math.Log10(step)))
	for range 3 {
		if !slices.ContainsFunc(ticks, func(t Tick) bool { return math.Abs(t.Value/unit-math.Round(t.Value/unit)) > 1e-6 }) {
			break
		}
		unit /= 10
	}
	return unit
}

// labelOne writes a label with a prefix of its own.
func (m *Model) labelOne(v float64, format *printf) string {
	if format != nil {
		return format.format(v, m.Base)
	}
	scale, prefix := m.prefixFor(math.Abs(v))
	return strconv.FormatFloat(v/scale, 'g', 4, 64) + prefix
}

// nearness is which part of the largest value the smallest may be for an axis of lines to begin at zero.
const nearness = 0.3

// extent is the range of what is drawn with the wished limits, and the smallest value above zero, 0 where there
// is none.
func (m *Model) extent() (low, high, positive float64) {
	low, high, positive = m.drawnExtent()
	l := m.limits
	low, high = m.withZero(low, high)
	if l.hasLow && (l.rigid || l.low < low) {
		low = l.low
	}
	if l.hasHigh && (l.rigid || l.high > high) {
		high = l.high
	}
	if !(high-low > math.Max(math.Abs(high), math.Abs(low))*1e-9) {
		high = low + math.Max(math.Abs(low)*0.1, 1)
	}
	return low, high, positive
}

// withZero widens a range to zero, where something stands on it or it is near.
func (m *Model) withZero(low, high float64) (newLow, newHigh float64) {
	nearZero := low > 0 && low < nearness*high || high < 0 && high > nearness*low
	if !m.standsOnZero() && !nearZero && low != high {
		return low, high
	}
	newLow, newHigh = math.Min(low, 0), math.Max(high, 0)
	if m.limits.tightLow {
		newLow = low
	}
	if m.limits.tightHigh {
		newHigh = high
	}
	return newLow, newHigh
}

// standsOnZero says whether something is drawn that means nothing unless zero is in sight.
func (m *Model) standsOnZero() bool {
	return slices.ContainsFunc(m.Curves, func(c Curve) bool { return c.Shape == Area || c.Stack > 0 || c.Mirrored })
}

// drawnExtent is the range of all known values; 0 to 0 where there are none.
func (m *Model) drawnExtent() (low, high, positive float64) {
	low, high, positive = math.Inf(1), math.Inf(-1), math.Inf(1)
	for i := range m.Curves {
		c := &m.Curves[i]
		for _, values := range [][]float64{c.Top, c.Low, c.High} {
			for _, v := range values {
				if !known(v) {
					continue
				}
				low, high = math.Min(low, v), math.Max(high, v)
				if v > 0 {
					positive = math.Min(positive, v)
				}
			}
		}
	}
	if math.IsInf(positive, 0) {
		positive = 0
	}
	if low > high {
		low, high = 0, 0
	}
	return low, high, positive
}

// withRules widens the range to hold levels that lie near it.
func (m *Model) withRules(low, high float64) (newLow, newHigh float64) {
	if m.limits.rigid && (m.limits.hasLow || m.limits.hasHigh) || m.Empty() {
		return low, high
	}
	room := (high - low) * 0.7
	newLow, newHigh = low, high
	for _, rule := range m.Rules {
		if rule.Value > high && rule.Value <= high+room {
			newHigh = math.Max(newHigh, rule.Value+(high-low)*0.02)
		}
		if rule.Value < low && rule.Value >= low-room {
			newLow = math.Min(newLow, rule.Value-(high-low)*0.02)
		}
	}
	return newLow, newHigh
}

// niceStep is the smallest round number that is at least rough: 1, 2 or 5 times a power of ten, or for base
// 1024 the same times a power of 1024.
func niceStep(rough float64, base int) float64 {
	if !(rough > 0) || math.IsInf(rough, 0) {
		return 1
	}
	unit := 1.0
	if base == 1024 {
		for rough/unit >= 1024 {
			unit *= 1024
		}
	}
	size := math.Pow(10, math.Floor(math.Log10(rough/unit)))
	for _, factor := range []float64{1, 2, 5, 10} {
		step := factor * size
		if base == 1024 && step >= 1000 {
			return 1024 * unit
		}
		if step*unit >= rough*(1-1e-9) {
			return step * unit
		}
	}
	return 10 * size * unit
}

// labelTicks writes the labels of the left axis.
func (m *Model) labelTicks(ticks []Tick, step float64) { m.label(ticks, step, m.limits.format) }

// label writes all labels of an axis in the format that graph_args say, else with one prefix and as many decimals as the
// step needs.
func (m *Model) label(ticks []Tick, step float64, format *printf) {
	if format != nil {
		for i := range ticks {
			ticks[i].Label = format.format(ticks[i].Value, m.Base)
		}
		return
	}
	largest := 0.0
	for _, t := range ticks {
		largest = math.Max(largest, math.Abs(t.Value))
	}
	scale, prefix := m.prefixFor(largest)
	decimals := 0
	if s := step / scale; s < 1 {
		decimals = min(int(math.Ceil(-math.Log10(s)-1e-9)), 9)
	}
	for i := range ticks {
		v := ticks[i].Value / scale
		switch {
		case math.Abs(ticks[i].Value) < step*1e-9:
			ticks[i].Label = "0"
		case math.Abs(v) >= 1e7 || largest/scale < 1e-6:
			ticks[i].Label = strconv.FormatFloat(v, 'g', 4, 64) + prefix
		default:
			ticks[i].Label = strconv.FormatFloat(v, 'f', decimals, 64) + prefix
		}
	}
}

// prefixFor is the prefix that suits the largest number of an axis, and what it stands for: the one that
// --units-exponent names, where it is there.
func (m *Model) prefixFor(largest float64) (scale float64, prefix string) {
	if !m.limits.hasExponent {
		return bestPrefix(largest, m.Base)
	}
	base := 1000.0
	if m.Base == 1024 {
		base = 1024
	}
	scale, n := math.Pow(base, float64(m.limits.exponent/3)), m.limits.exponent/3
	switch names := "kMGTPE"; {
	case n == 0:
	case m.Base == 1024 && n > 0:
		prefix = names[n-1:n] + "i"
	case n > 0:
		prefix = names[n-1 : n]
	default:
		prefix = []string{"m", "µ", "n", "p", "f", "a"}[-n-1]
	}
	return scale, prefix
}

func bestPrefix(largest float64, base int) (scale float64, prefix string) {
	if base == 0 || largest == 0 {
		return 1, ""
	}
	names := []string{"", "k", "M", "G", "T", "P", "E"}
	if base == 1024 {
		names = []string{"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"}
	}
	scale = 1
	n := 0
	for largest/scale >= float64(base)*0.9995 && n < len(names)-1 {
		scale *= float64(base)
		n++
	}
	if n > 0 || base == 1024 {
		return scale, names[n]
	}
	small := []string{"", "m", "µ", "n", "p"}
	for largest/scale < 0.9995 && n < len(small)-1 {
		scale /= 1000
		n++
	}
	return scale, small[n]
}

// logScale has its ticks at powers of ten, and at two and five times those where there are few. What is not above zero
// cannot be drawn on it.
func (m *Model) logScale(s Scale, positive float64) Scale {
	s.Log = true
	low := positive
	if s.Low > 0 {
		low = math.Min(s.Low, positive)
	}
	high := math.Max(s.High, low*1.01)
	from, to := math.Floor(math.Log10(low)+1e-9), math.Ceil(math.Log10(high)-1e-9)
	if to <= from {
		to = from + 1
	}
	var values []float64
	if to-from <= 3 {
		for p := from; p <= to; p++ {
			for _, factor := range []float64{1, 2, 5} {
				values = append(values, factor*math.Pow(10, p))
			}
		}
		for len(values) > 2 && values[1] <= low*(1+1e-9) {
			values = values[1:]
		}
		for n := len(values); n > 2 && values[n-2] >= high*(1-1e-9); n-- {
			values = values[:n-1]
		}
	} else {
		each := math.Ceil((to - from) / 8)
		for p := from; p < to+each; p += each {
			values = append(values, math.Pow(10, p))
		}
	}
	s.Low, s.High = values[0], values[len(values)-1]
	for _, v := range values {
		s.Ticks = append(s.Ticks, Tick{Value: v, Label: m.labelOne(v, m.limits.format)})
	}
	m.labelRight(&s)
	return s
}

// At is where a value lies between Low (0) and High (1); outside the range it is below 0 or above 1.
func (s *Scale) At(v float64) float64 {
	if !s.Log {
		return (v - s.Low) / (s.High - s.Low)
	}
	if v <= 0 {
		return 0
	}
	return math.Log(v/s.Low) / math.Log(s.High/s.Low)
}
