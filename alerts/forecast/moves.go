package forecast

import (
	"math"
	"math/rand/v2"
	"slices"
)

// move is how a field moved from one day to the next: its slow course by level, and how far the value of the
// day stood from that course.
type move struct {
	ago   int // days before the last one
	level float64
	off   float64
	jump  float64 // on top of level: a step that is not taken to go on
}

// moves is the stock that futures are put together from.
type moves struct {
	all   []move // oldest first; days without data, and the days after them, are left out
	since []move // those after the last great step, or all
	steps []Step
	pace  pace
	sways bool // the field keeps to its course
}

const (
	rareSteps   = 2   // jumps of one sign that may be single events; more of them are a habit
	stepFactor  = 8   // times the 95th percentile of all moves: what stands out as a jump
	stepDays    = 60  // days of average movement that a jump outweighs
	freshMoves  = 45  // moves after a great step from which on only they count
	swayDays    = 84  // a field that gets nowhere within these
	swayRatio   = .6  // of what a random walk would get in them only sways
	greatFactor = .15 // of the level: a step after which the field is another one
)

// windows are the spans, in days, that the futures draw from in turn: recent ways and old ones. Steps happen
// only in the futures of the longest one, as rarely as they did.
func windows() []int { return []int{60, 180, 365, 729, HistoryDays} }

func newMoves(values []float64) moves {
	level, _ := runningMedian(values)
	steps := findSteps(values, level)
	// With the steps taken out, the course beside them is not bent by them.
	smooth := slices.Clone(values)
	for at, by := range steps {
		for i := at; i < len(smooth); i++ {
			smooth[i] -= by
		}
	}
	level, width := runningMedian(smooth)
	var m moves
	var sure []int
	for i := 1; i < len(values); i++ {
		if math.IsNaN(values[i]) || math.IsNaN(values[i-1]) {
			continue
		}
		m.all = append(m.all, move{
			ago: len(values) - 1 - i, level: level[i] - level[i-1], off: smooth[i] - level[i], jump: steps[i],
		})
		sure = append(sure, min(width[i], width[i-1]))
		if steps[i] != 0 {
			m.steps = append(m.steps, Step{DaysAgo: len(values) - 1 - i, By: steps[i]})
		}
	}
	if calm, ok := swaying(surest(m.all, sure)); ok {
		m.all, m.sways = calm, true
	}
	m.since = m.all
	last := math.Abs(values[len(values)-1])
	for i := len(m.all) - freshMoves; i >= 0; i-- {
		if math.Abs(m.all[i].jump) > greatFactor*last {
			m.since = m.all[i+1:]
			break
		}
	}
	m.pace = newPace(m.since)
	return m
}

// surest leaves out the moves at ends and gaps, where the median rests on few days and so moves with the
// noise, as long as enough others are there. A step is kept.
func surest(all []move, width []int) []move {
	for _, least := range []int{halfWindow, halfWindow / 2} {
		kept := make([]move, 0, len(all))
		for i, v := range all {
			if width[i] >= least || v.jump != 0 {
				kept = append(kept, v)
			}
		}
		if len(kept) >= 2*blockDays {
			return kept
		}
	}
	return all
}

// runningMedian is the slow course: the median of the known values around each day. Towards an end and
// towards a gap the window shrinks on both sides alike, so that a slope is not bent there.
func runningMedian(values []float64) (level []float64, width []int) {
	level, width = make([]float64, len(values)), make([]int, len(values))
	around := make([]float64, 0, 2*halfWindow+1)
	for i, v := range values {
		level[i] = v
		if math.IsNaN(v) {
			continue
		}
		around = append(around[:0], v)
		for k := 1; k <= halfWindow; k++ {
			if i-k < 0 || i+k >= len(values) || math.IsNaN(values[i-k]) || math.IsNaN(values[i+k]) {
				break
			}
			around = append(around, values[i-k], values[i+k])
			width[i] = k
		}
		slices.Sort(around)
		level[i] = around[len(around)/2]
	}
	return level, width
}

// findSteps finds the jumps that stand out by far and happened at most twice: by the day to which they lead.
func findSteps(values, level []float64) map[int]float64 {
	rise := make([]float64, len(level)) // NaN beside a day without data
	var size []float64
	for i := range level {
		rise[i] = math.NaN()
		if i > 0 {
			rise[i] = level[i] - level[i-1]
		}
		if !math.IsNaN(rise[i]) {
			size = append(size, math.Abs(rise[i]))
		}
	}
	slices.Sort(size)
	usual := size[:len(size)-max(len(size)/20, 1)]
	total := 0.0
	for _, v := range usual {
		total += v
	}
	limit := max(stepFactor*usual[len(usual)-1], total/float64(len(size))*stepDays)
	var up, down []int
	for i, v := range rise {
		switch {
		case v > limit:
			up = append(up, i)
		case v < -limit:
			down = append(down, i)
		}
	}
	steps := make(map[int]float64)
	for _, group := range [][]int{up, down} {
		if len(group) > rareSteps {
			continue
		}
		for _, i := range group {
			at, by := sharpest(values, i, math.Signbit(rise[i]))
			steps[at] = by
		}
	}
	return steps
}

// sharpest is the day within two of day i on which the values moved most in the given direction.
func sharpest(values []float64, i int, down bool) (at int, by float64) {
	at = i
	for k := max(1, i-2); k <= min(i+2, len(values)-1); k++ {
		if v := values[k] - values[k-1]; math.Signbit(v) == down && math.Abs(v) > math.Abs(by) {
			at, by = k, v
		}
	}
	return at, by
}

// walk is one future under way.
type walk struct {
	random    *rand.Rand
	start     float64
	ceiling   float64
	elapsed   int // days that passed since the last known one
	stock     []move
	blocks    []int // where in the stock the blocks begin that this future draws
	length    int   // of a block
	withSteps bool
	speed     float64 // by how much the growth grows, a day
	lead      float64 // days since which it does
}

// begin gives the walk the stock of its path: that of its window, and of it only half the blocks, since what
// has been seen of a field's ways is itself a sample. Where the field only sways there is no such doubt.
func (m *moves) begin(w *walk, path int) {
	spans := m.pace.spans
	span := spans[path%len(spans)]
	w.withSteps = path%len(spans) == len(spans)-1
	w.speed, w.lead = 0, m.pace.lead
	if !w.withSteps {
		w.speed = m.pace.speed * w.random.Float64() * speedShare
	}
	w.stock = m.since
	if w.withSteps {
		w.stock = m.all
	}
	if i := slices.IndexFunc(w.stock, func(v move) bool { return v.ago < span }); i > 0 && len(w.stock)-i >= blockDays {
		w.stock = w.stock[i:]
	}
	w.length = max(1, min(blockDays, len(w.stock)/3))
	whole := (len(w.stock) + w.length - 1) / w.length
	w.blocks = slices.Grow(w.blocks[:0], whole)
	draws := max(2, whole/2)
	if m.sways {
		draws = 2 * whole
	}
	for range draws {
		w.blocks = append(w.blocks, w.random.IntN(len(w.stock)))
	}
}

// run walks one future day by day. It gives the day on which the ceiling is reached (0: never; 1 also for
// the days that have passed without data) and the growth a day. With all it goes on after that, and visit
// is told of each day's value.
func (w *walk) run(visit func(day int, v float64), all bool) (hit int, growth float64) {
	level, sum, d := w.start, 0.0, 1-w.elapsed
	for d <= HorizonDays {
		factor := math.Exp(max(-maxSpeed, min(maxSpeed, w.speed*(float64(d)+w.lead))))
		at := w.blocks[w.random.IntN(len(w.blocks))]
		for k := 0; k < w.length && d <= HorizonDays; k++ {
			v := w.stock[(at+k)%len(w.stock)]
			v.level *= factor
			if w.withSteps {
				v.level += v.jump
			}
			level = max(0, level+v.level)
			if d <= growthDays-w.elapsed {
				sum += v.level
			}
			value := max(0, level+v.off)
			if hit == 0 && value >= w.ceiling {
				hit = max(d, 1)
			}
			if all && d >= 1 {
				visit(d, min(value, w.ceiling))
			}
			level = min(level, w.ceiling)
			d++
		}
		if hit > 0 && !all && d > growthDays {
			break
		}
	}
	return hit, sum / growthDays
}

// swaying is for a field that only sways about a course that it keeps to, such as the memory of a quiet machine.
// Put together at random its moves would wander off further than it ever does. How far it gets in a quarter of
// a year, against what two weeks let expect, says by how much; the moves are scaled by that.
func swaying(stock []move) ([]move, bool) {
	if len(stock) < 2*swayDays {
		return nil, false
	}
	near, far := spread(stock, blockDays), spread(stock, swayDays)
	total := 0.0
	for _, v := range stock {
		total += v.level
	}
	ratio := far / near / math.Sqrt(swayDays/blockDays)
	if !(near > 0) || ratio > swayRatio || math.Abs(total) > 3*near {
		return nil, false
	}
	out := slices.Clone(stock)
	for i := range out {
		out[i].level = (out[i].level - total/float64(len(stock))) * ratio
	}
	return out, true
}

// spread is the standard deviation of how far the moves of so many days lead.
func spread(stock []move, days int) float64 {
	var sums []float64
	sum := 0.0
	for i, v := range stock {
		sum += v.level
		if i >= days {
			sum -= stock[i-days].level
		}
		if i >= days-1 {
			sums = append(sums, sum)
		}
	}
	_, e := meanError(sums)
	return e * math.Sqrt(float64(len(sums)))
}
