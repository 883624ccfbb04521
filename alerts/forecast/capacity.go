// Package forecast says when what is filling up will be full, and how sure that is. It is pure: the same
// history gives the same forecast, on any day and on any machine.
//
// No line is drawn through the last hours. From the daily values of up to two years the slow course of a field
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
	minDays    = 21  // with data, before there is a forecast
	blockDays  = 14  // length of the pieces that futures are put together from
	halfWindow = 7   // days on either side in the running median
	paths      = 600 // futures
	maxHistory = 730 // days looked back
	growthDays = 90  // over which GrowthPerDay is measured
)

// HorizonDays is how far a forecast looks ahead. What fills later is "not within horizon".
const HorizonDays = 730

const day = 24 * time.Hour

// History is what is known of one field: a value a day, of which the last is that of the last complete day.
type History struct {
	Values []float64 // oldest first, one for every day, NaN without data
	// Latest is the newest value, from the day that is not complete; NaN where there is none. It keeps a short
	// burst at the end of the last complete day from being taken for a level.
	Latest float64
}

// Outlook is what a forecast says. Days are counted from the end of the history: 1 is the next day.
type Outlook struct {
	// Full10, Full50 and Full90 are the days by which one in ten, half and nine in ten of the futures have reached
	// the ceiling; 0 where fewer do within HorizonDays.
	Full10, Full50, Full90 int
	GrowthPerDay           float64 // median of the futures over the first 90 days, in the field's unit
	Days, Missing          int     // days with and without data that the forecast rests on
	Steps                  []Step  // jumps in the history that are not taken to go on
	hits                   []int   // by path: the day on which the ceiling is reached, 0 for never
	start                  float64
	values                 [][]float64 // by asked day: the value of every path
}

// Step is a jump from one day to the next that happened once or twice: a clean-up, a move, another disk.
type Step struct {
	DaysAgo int // 1: between the last complete day and the one before
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

// Enough says whether a history suffices for a forecast, and with how many days of data it is judged.
func (h History) Enough() (known int, enough bool) {
	values := h.recent()
	moves := 0
	for i, v := range values {
		if math.IsNaN(v) {
			continue
		}
		known++
		if i > 0 && !math.IsNaN(values[i-1]) {
			moves++
		}
	}
	return known, known >= minDays && moves >= blockDays
}

// recent is the part of the history that is looked at: it begins and ends with a known value.
func (h History) recent() []float64 {
	values := h.Values[max(0, len(h.Values)-maxHistory):]
	for len(values) > 0 && math.IsNaN(values[0]) {
		values = values[1:]
	}
	for len(values) > 0 && math.IsNaN(values[len(values)-1]) {
		values = values[:len(values)-1]
	}
	return values
}

// Look computes the outlook of a field towards its ceiling, which may be +Inf for none. The seed picks the
// futures. quantileDays are the days for which Quantile will be asked. The history has to be Enough.
func Look(h History, ceiling float64, seed uint64, quantileDays ...int) Outlook {
	values := h.recent()
	known, _ := h.Enough()
	out := Outlook{Days: known, Missing: len(values) - known, hits: make([]int, paths)}
	moves := newMoves(values)
	out.Steps = moves.steps
	out.start = startLevel(values, h.Latest)
	// What lies between the last known day and the end of the history has already passed.
	elapsed := 0
	for i := len(h.Values) - 1; i >= 0 && math.IsNaN(h.Values[i]); i-- {
		elapsed++
	}
	_ = elapsed
	random := rand.New(rand.NewPCG(seed, uint64(len(values))))
	out.values = make([][]float64, HorizonDays+1)
	for _, d := range quantileDays {
		out.values[d] = make([]float64, paths)
	}
	growth := make([]float64, paths)
	for p := range paths {
		out.hits[p], growth[p] = moves.walk(random, p, out.start, ceiling, func(day int, v float64) {
			if out.values[day] != nil {
				out.values[day][p] = v
			}
		})
	}
	slices.Sort(growth)
	out.GrowthPerDay = growth[paths/2]
	out.Full10, out.Full50, out.Full90 = out.dayOf(.1), out.dayOf(.5), out.dayOf(.9)
	return out
}

// dayOf is the day by which the share of futures has reached the ceiling, 0 for not within the horizon.
func (o *Outlook) dayOf(share float64) int {
	hits := make([]int, 0, len(o.hits))
	for _, hit := range o.hits {
		if hit > 0 {
			hits = append(hits, hit)
		}
	}
	need := int(math.Ceil(share * float64(len(o.hits))))
	if len(hits) < need {
		return 0
	}
	slices.Sort(hits)
	return hits[need-1]
}

// Quantile is the value that the share q of the futures does not exceed on a day that Look was told of.
func (o *Outlook) Quantile(day int, q float64) float64 {
	sorted := slices.Sorted(slices.Values(o.values[day]))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// startLevel is where the futures begin: the last day's value, unless that was a peak above both the day
// before and now.
func startLevel(values []float64, latest float64) float64 {
	n := len(values)
	last := values[n-1]
	if n > 1 && !math.IsNaN(latest) && !math.IsNaN(values[n-2]) {
		return min(last, max(values[n-2], latest))
	}
	return last
}
