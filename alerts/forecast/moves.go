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
	step  bool // a jump that is not taken to go on
}

// moves is the stock that futures are put together from.
type moves struct {
	all   []move // oldest first; days without data, and the days after them, are left out
	since []move // those after the last great step, or all
	steps []Step
}

const (
	rareSteps   = 2   // jumps of one sign that may be single events; more of them are a habit
	stepFactor  = 8   // times the 95th percentile of all moves: what stands out as a jump
	stepDays    = 60  // days of average movement that a jump outweighs
	freshMoves  = 45  // moves after a great step from which on only they count
	greatFactor = .15 // of the level: a step after which the field is another one
)

// windows are the spans, in days, that the futures draw from in turn: recent ways and old ones. Steps happen
// only in the futures of the longest one, as rarely as they did.
func windows() []int { return []int{60, 180, 365, 729, HistoryDays} }

func newMoves(values []float64) moves {
	level := runningMedian(values)
	var m moves
	for i := 1; i < len(values); i++ {
		if math.IsNaN(values[i]) || math.IsNaN(values[i-1]) {
			continue
		}
		m.all = append(m.all, move{ago: len(values) - 1 - i, level: level[i] - level[i-1], off: values[i] - level[i]})
	}
	m.markSteps()
	m.since = m.all
	last := math.Abs(values[len(values)-1])
	for i := len(m.all) - freshMoves; i >= 0; i-- {
		if m.all[i].step && math.Abs(m.all[i].level) > greatFactor*last {
			m.since = m.all[i+1:]
			break
		}
	}
	return m
}

// runningMedian is the slow course: the median of the known values around each day. Towards an end and
// towards a gap the window shrinks on both sides alike, so that a slope is not bent there.
func runningMedian(values []float64) []float64 {
	level := make([]float64, len(values))
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
		}
		slices.Sort(around)
		level[i] = around[len(around)/2]
	}
	return level
}

// markSteps finds the jumps that stand out by far and happened at most twice.
func (m *moves) markSteps() {
	size := make([]float64, len(m.all))
	for i, v := range m.all {
		size[i] = math.Abs(v.level)
	}
	slices.Sort(size)
	usual := size[:len(size)-max(len(size)/20, 1)]
	total := 0.0
	for _, v := range usual {
		total += v
	}
	limit := max(stepFactor*usual[len(usual)-1], total/float64(len(size))*stepDays)
	var up, down []int
	for i, v := range m.all {
		switch {
		case v.level > limit:
			up = append(up, i)
		case v.level < -limit:
			down = append(down, i)
		}
	}
	for _, group := range [][]int{up, down} {
		if len(group) > rareSteps {
			continue
		}
		for _, i := range group {
			m.all[i].step = true
			m.steps = append(m.steps, Step{DaysAgo: m.all[i].ago, By: m.all[i].level})
		}
	}
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
}

// begin gives the walk the stock of its path: that of its window, and of it only half the blocks, since what
// has been seen of a field's ways is itself a sample.
func (m *moves) begin(w *walk, path int) {
	spans := windows()
	span := spans[path%len(spans)]
	w.withSteps = span == HistoryDays
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
	for range max(2, whole/2) {
		w.blocks = append(w.blocks, w.random.IntN(len(w.stock)))
	}
}

// run walks one future day by day. It gives the day on which the ceiling is reached (0: never; 1 also for
// the days that have passed without data) and the growth a day. With all it goes on after that, and visit
// is told of each day's value.
func (w *walk) run(visit func(day int, v float64), all bool) (hit int, growth float64) {
	level, sum, d := w.start, 0.0, 1-w.elapsed
	for d <= HorizonDays {
		at := w.blocks[w.random.IntN(len(w.blocks))]
		for k := 0; k < w.length && d <= HorizonDays; k++ {
			v := w.stock[(at+k)%len(w.stock)]
			if v.step && !w.withSteps {
				v.level = 0
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
