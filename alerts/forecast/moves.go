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
	steps []Step
	days  int
}

// windows are the spans, in days, that the futures draw from in turn: recent ways and old ones.
var windows = [...]int{60, 180, 365, 729} //nolint:gochecknoglobals // a constant table

func newMoves(values []float64) moves {
	level := runningMedian(values)
	m := moves{days: len(values)}
	for i := 1; i < len(values); i++ {
		if math.IsNaN(values[i]) || math.IsNaN(values[i-1]) {
			continue
		}
		m.all = append(m.all, move{ago: len(values) - 1 - i, level: level[i] - level[i-1], off: values[i] - level[i]})
	}
	m.markSteps()
	return m
}

// runningMedian is the slow course: the median of the known values around each day. Towards an end and
// towards a gap the window shrinks on both sides alike, so that a slope is not bent there.
func runningMedian(values []float64) []float64 {
	level := make([]float64, len(values))
	around := make([]float64, 0, 2*halfWindow+1)
	for i, v := range values {
		if math.IsNaN(v) {
			level[i] = v
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

// rareSteps is how many jumps of one sign may be taken for single events; more of them are a habit.
const rareSteps = 2

// markSteps finds the jumps that stand out by far and happened at most twice.
func (m *moves) markSteps() {
	size := make([]float64, len(m.all))
	for i, v := range m.all {
		size[i] = math.Abs(v.level)
	}
	slices.Sort(size)
	usual := size[len(size)*95/100]
	total := 0.0
	for _, v := range size[:len(size)-len(size)/20] {
		total += v
	}
	limit := max(8*usual, total/float64(len(size))*60)
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
			m.steps = append(m.steps, Step{DaysAgo: m.all[i].ago + 1, By: m.all[i].level})
		}
	}
}

// walk lays one future day by day, from the level start, and tells each value. It gives the day on which the
// ceiling was reached (0: never) and the growth a day.
func (m *moves) walk(random *rand.Rand, path int, start, ceiling float64, visit func(day int, v float64)) (hit int, growth float64) {
	window := windows[path%len(windows)]
	withSteps := window == windows[len(windows)-1]
	stock := m.all
	if i := slices.IndexFunc(stock, func(v move) bool { return v.ago < window }); i > 0 && len(stock)-i >= blockDays {
		stock = stock[i:]
	}
	length := max(1, min(blockDays, len(stock)/3))
	// A path draws from its own sample of the blocks, since the true ways of the field are known no better.
	starts := make([]int, (len(stock)+length-1)/length)
	for i := range starts {
		starts[i] = random.IntN(len(stock))
	}
	level, sum := start, 0.0
	for d := 1; d <= HorizonDays; {
		at := starts[random.IntN(len(starts))]
		for k := 0; k < length && d <= HorizonDays; k++ {
			v := stock[(at+k)%len(stock)]
			by := v.level
			if v.step && !withSteps {
				by = 0
			}
			level = max(0, level+by)
			if d <= growthDays {
				sum += by
			}
			if hit == 0 && level+v.off >= ceiling {
				hit = d
			}
			visit(d, min(max(level+v.off, 0), ceiling))
			level = min(level, ceiling)
			d++
		}
	}
	return hit, sum / growthDays
}
