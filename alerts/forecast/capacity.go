// Package forecast says when what is filling up will be full, and how sure that is. Its model is pure: the
// same history gives the same forecast, at any hour and on any machine.
//
// No line is drawn through the last hours. From the daily values of up to five years the slow course of a field
// is taken (a running median), and hundreds of possible futures are put together from pieces, two weeks long,
// of how it really moved. The share of futures that have reached the ceiling by a day is the probability.
package forecast

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// The model's fixed numbers. DESIGN.md says where they come from.
const (
	// MinDays is how many days with data a forecast needs.
	MinDays = 21
	// HorizonDays is how far a forecast looks ahead. What fills later is "not within horizon".
	HorizonDays = 730
	// HistoryDays is how far it looks back.
	HistoryDays = 1830

	blockDays  = 14  // length of the pieces that futures are put together from
	halfWindow = 7   // days on either side in the running median
	paths      = 500 // futures; a multiple of the number of windows
	growthDays = 90  // over which GrowthPerDay is measured
	maxElapsed = 90  // days without data at the end of a history that still allow a forecast
)

const day = 24 * time.Hour

// History is what is known of one field: a value a day, of which the last is that of the last complete day.
type History struct {
	Values []float64 // oldest first, one for every day, NaN without data
	// Latest is the newest value, from the day that is not complete; NaN where there is none. It keeps a short
	// burst at the end of the last complete day from being taken for a level.
	Latest float64
}

// Outlook is what the model says. Days are counted from the end of the history: 1 is the day after it.
type Outlook struct {
	// Full10, Full50 and Full90 are the days by which one in ten, half and nine in ten of the futures have reached
	// the ceiling; 0 where fewer do within HorizonDays.
	Full10, Full50, Full90 int
	GrowthPerDay           float64 // median of the futures over the first 90 days, in the field's unit
	Steps                  []Step  // jumps in the history that are not taken to go on
	hits                   []int   // by path: the day on which the ceiling is reached, 0 for never
	values                 map[int][]float64
}

// Step is a jump from one day to the next that happened once or twice: a clean-up, a move, another disk.
type Step struct {
	DaysAgo int // 0: on the last day of the history
	By      float64
}

// Chance is the probability that the ceiling is reached within so many days, from 0 to 1.
func (o *Outlook) Chance(days int) float64 {
	n := 0
	for _, hit := range o.hits {
		if hit > 0 && hit <= days {
			n++
		}
	}
	return float64(n) / float64(max(len(o.hits), 1))
}

// Quantile is the value that the share q of the futures does not exceed on a day that Look was told of.
func (o *Outlook) Quantile(day int, q float64) float64 {
	sorted := slices.Sorted(slices.Values(o.values[day]))
	if len(sorted) == 0 {
		return math.NaN()
	}
	return sorted[max(0, min(int(q*float64(len(sorted))), len(sorted)-1))]
}

// Count gives the days with data and, between the first and the last of them, those without.
func (h History) Count() (known, missing int) {
	values, _ := h.trim()
	for _, v := range values {
		if math.IsNaN(v) {
			missing++
		}
	}
	return len(values) - missing, missing
}

// Enough says whether there is history enough for Look.
func (h History) Enough() bool {
	values, elapsed := h.trim()
	known, _ := h.Count()
	return known >= MinDays && elapsed <= maxElapsed && pairs(values) >= blockDays
}

// pairs counts the days that have data and whose day before has data too.
func pairs(values []float64) int {
	n := 0
	for i := 1; i < len(values); i++ {
		if !math.IsNaN(values[i]) && !math.IsNaN(values[i-1]) {
			n++
		}
	}
	return n
}

// trim is the part of the history that is looked at, beginning and ending with a known value, and how many
// days without data follow it.
func (h History) trim() (values []float64, elapsed int) {
	values = h.Values[max(0, len(h.Values)-HistoryDays):]
	for len(values) > 0 && math.IsNaN(values[0]) {
		values = values[1:]
	}
	for len(values) > 0 && math.IsNaN(values[len(values)-1]) {
		values = values[:len(values)-1]
		elapsed++
	}
	return values, elapsed
}

// Look computes the outlook of a field towards its ceiling, which may be +Inf for none. The seed picks the
// futures; quantileDays are the days for which Quantile will be asked. A history that is not Enough gives
// an outlook that knows nothing: no dates and no growth.
func Look(h History, ceiling float64, seed uint64, quantileDays ...int) Outlook {
	out := Outlook{GrowthPerDay: math.NaN(), values: make(map[int][]float64)}
	if !h.Enough() {
		return out
	}
	values, elapsed := h.trim()
	stock := newMoves(values)
	out.Steps = stock.steps
	for i := range out.Steps {
		out.Steps[i].DaysAgo += elapsed
	}
	out.hits = make([]int, paths)
	for _, d := range quantileDays {
		out.values[d] = make([]float64, paths)
	}
	growth := make([]float64, paths)
	future := walk{
		random: rand.New(rand.NewPCG(seed, 0)), //nolint:gosec // a simulation, not a secret
		start:  stock.start(values, h.Latest), ceiling: ceiling, elapsed: elapsed,
	}
	for p := range paths {
		stock.begin(&future, p)
		out.hits[p], growth[p] = future.run(func(day int, v float64) {
			if kept := out.values[day]; kept != nil {
				kept[p] = v
			}
		}, len(quantileDays) > 0)
	}
	slices.Sort(growth)
	out.GrowthPerDay = growth[paths/2]
	out.Full10, out.Full50, out.Full90 = out.dayOf(.1), out.dayOf(.5), out.dayOf(.9)
	return out
}

// dayOf is the day by which the share of futures has reached the ceiling, 0 for not within the horizon.
func (o *Outlook) dayOf(share float64) int {
	hits := slices.DeleteFunc(slices.Sorted(slices.Values(o.hits)), func(hit int) bool { return hit == 0 })
	need := int(math.Ceil(share * float64(len(o.hits))))
	if len(hits) < need {
		return 0
	}
	return hits[need-1]
}

// start is where the futures begin: the last day's value, unless that was a peak above both the day before and
// now. A field that only sways begins in the middle of its last days.
func (m *moves) start(values []float64, latest float64) float64 {
	n := len(values)
	last := values[n-1]
	if m.sways {
		recent := slices.DeleteFunc(slices.Clone(values[n-2*halfWindow:]), math.IsNaN)
		slices.Sort(recent)
		return recent[len(recent)/2]
	}
	if n > 1 && !math.IsNaN(latest) && !math.IsNaN(values[n-2]) {
		return min(last, max(values[n-2], latest))
	}
	return last
}
