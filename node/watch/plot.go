package watch

import (
	"math"
)

// A cell of the picture holds two by four dots.
const (
	dotsAcross = 2
	dotsDown   = 4
)

// nobody is the owner of a cell in which nothing was drawn.
const nobody = -1

// picture is a field of cells, each with its dots and the curve that drew there last.
type picture struct {
	width, height int // in cells
	dots          []byte
	owner         []int
}

func newPicture(width, height int) *picture {
	p := &picture{width: width, height: height, dots: make([]byte, width*height), owner: make([]int, width*height)}
	for i := range p.owner {
		p.owner[i] = nobody
	}
	return p
}

// set draws one dot. x counts from the left, y from the bottom.
func (p *picture) set(x, y, owner int) {
	if x < 0 || y < 0 || x >= p.width*dotsAcross || y >= p.height*dotsDown {
		return
	}
	row := p.height*dotsDown - 1 - y
	cell := row/dotsDown*p.width + x/dotsAcross
	// The dots of a braille pattern: 1 2 3 7 on the left, 4 5 6 8 on the right, from the top.
	bits := [dotsAcross][dotsDown]byte{{0x01, 0x02, 0x04, 0x40}, {0x08, 0x10, 0x20, 0x80}}
	p.dots[cell] |= bits[x%dotsAcross][row%dotsDown]
	p.owner[cell] = owner
}

// line draws a curve whose last value is at the right edge. Gaps stay empty.
func (p *picture) line(values []float64, s scale, owner int) {
	columns := p.width * dotsAcross
	values = values[max(0, len(values)-columns):]
	before, begun := 0, false
	for i, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			begun = false
			continue
		}
		x, y := columns-len(values)+i, s.dot(v, p.height*dotsDown)
		if !begun {
			before = y
		}
		for step := min(before, y); step <= max(before, y); step++ {
			p.set(x, step, owner)
		}
		before, begun = y, true
	}
}

// cell is one character of the picture, and whose it is; a space where nothing was drawn.
func (p *picture) cell(x, y int) (r rune, owner int) {
	const blank = 0x2800 // braille pattern without dots
	i := y*p.width + x
	if p.dots[i] == 0 {
		return ' ', nobody
	}
	return blank + rune(p.dots[i]), p.owner[i]
}

// scale is the range of values that the picture shows.
type scale struct {
	low, high float64
	step      float64 // between two labels; low and high are multiples of it
}

// dot is the row of dots of a value, from the bottom; one below or above all for what is outside.
func (s scale) dot(v float64, dots int) int {
	share := (v/2 - s.low/2) / (s.high/2 - s.low/2) // Half, because the difference of two large ones is infinite.
	if math.IsNaN(share) {
		return -1
	}
	return int(math.Round(min(max(share*float64(dots-1), -1), float64(dots))))
}

// row is the row of cells of a value, from the top.
func (s scale) row(v float64, rows int) int {
	return rows - 1 - min(max(s.dot(v, rows*dotsDown), 0), rows*dotsDown-1)/dotsDown
}

// ticks are the values to be told beside the rows.
func (s scale) ticks(rows int) map[int]float64 {
	ticks := map[int]float64{s.row(s.high, rows): s.high, s.row(s.low, rows): s.low}
	const most = 10
	for i := 1; i < most; i++ {
		v := s.low + float64(i)*s.step
		if !(v < s.high-s.step/2) {
			break
		}
		if math.Abs(v) < s.step/1e6 {
			v = 0
		}
		if row := s.row(v, rows); row > 1 && row < rows-2 {
			ticks[row] = v
		}
	}
	return ticks
}

// fit finds a round range for the values, with zero in it where that is near, and with the levels that are near.
func fit(curves []curve, columns int) scale {
	low, high := extent(curves, columns)
	if low > high {
		return scale{low: 0, high: 1, step: 0.25}
	}
	span := min(high-low, math.MaxFloat64)
	for i := range curves {
		for _, bound := range curves[i].bounds() {
			if bound.value > low-span && bound.value < high+span {
				low, high = min(low, bound.value), max(high, bound.value)
			}
		}
	}
	step := roundStep(high/4 - low/4)
	rounded := scale{low: math.Floor(low/step) * step, high: math.Ceil(high/step) * step, step: step}
	if math.IsInf(rounded.low, 0) || math.IsInf(rounded.high, 0) || rounded.low >= rounded.high {
		return scale{low: low, high: high, step: math.Inf(1)}
	}
	return rounded
}

// extent is the least and the greatest value that is drawn, with zero where that is near. Without a value the
// least is above the greatest.
func extent(curves []curve, columns int) (low, high float64) {
	low, high = math.Inf(1), math.Inf(-1)
	for i := range curves {
		drawn := curves[i].drawn
		for _, v := range drawn[max(0, len(drawn)-columns):] {
			if !math.IsNaN(v) && !math.IsInf(v, 0) {
				low, high = min(low, v), max(high, v)
			}
		}
	}
	switch {
	case low > 0 && (low < high/2 || low == high):
		low = 0
	case high < 0 && (high > low/2 || low == high):
		high = 0
	case low == high:
		high = low + 1
	}
	return low, high
}

// roundStep is the next of 1, 2, 2.5 and 5 times a power of ten.
func roundStep(step float64) float64 {
	if step <= 0 || math.IsInf(step, 0) {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(step)))
	for _, factor := range []float64{1, 2, 2.5, 5} {
		if step <= factor*power*(1+1e-9) {
			return factor * power
		}
	}
	return 10 * power
}

// bound is one end of a level.
type bound struct {
	value    float64
	critical bool
}

func (c *curve) bounds() []bound {
	var list []bound
	if c.warning.HasLow {
		list = append(list, bound{value: c.warning.Low})
	}
	if c.warning.HasHigh {
		list = append(list, bound{value: c.warning.High})
	}
	if c.critical.HasLow {
		list = append(list, bound{value: c.critical.Low, critical: true})
	}
	if c.critical.HasHigh {
		list = append(list, bound{value: c.critical.High, critical: true})
	}
	return list
}
