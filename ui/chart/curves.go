package chart

import (
	"math"
	"time"
)

// How opaque areas are in colours that are not clear themselves.
const (
	areaOpacity  = 0.45
	stackOpacity = 0.85
)

func tenths(v float64) int { return int(math.Round(v * 10)) }

// lineWidth is how wide a line is drawn in pixels.
func lineWidth(c *Curve) float64 {
	if c.Shape == Area || c.Past {
		return 1.2
	}
	return 0.5 + 0.7*c.Width
}

// dashed says whether a curve is not what was measured in the range.
func (c *Curve) dashed() bool { return c.Derived || c.Past }

// curve draws the band, the area and the line of one field.
func (d *sketch) curve(c *Curve) {
	if c.Colour.Clear >= 1 { // it only holds others up
		return
	}
	if c.High != nil {
		d.area(c.High, c.Low, c.Colour, 0.22*c.Colour.opacity(1))
	}
	switch {
	case c.Past:
		d.line(c)
	case c.Shape == Area && c.Stack > 0:
		d.area(c.Top, c.Bottom, c.Colour, c.Colour.opacity(stackOpacity))
	case c.Shape == Area && c.Colour.Clear > 0: // as clear as the plugin wants it, without an edge
		d.area(c.Top, c.Bottom, c.Colour, c.Colour.opacity(1))
	case c.Shape == Area:
		d.area(c.Top, c.Bottom, c.Colour, areaOpacity)
		d.line(c)
	default:
		d.line(c)
	}
}

// point is where bucket i of a curve lies.
func (d *sketch) point(i int, v float64) Point {
	return Point{int(math.Round(d.firstX + float64(i)*d.stepX)), tenths(d.yOf(v))}
}

// halfBucket is half as wide as a bucket, at least half a pixel.
func (d *sketch) halfBucket() int { return max(int(math.Round(d.stepX)), 10) / 2 }

// runs calls f for every stretch of known values, from the first bucket to the one after the last.
func runs(values []float64, f func(from, to int)) {
	for i := 0; i < len(values); {
		if !known(values[i]) {
			i++
			continue
		}
		from := i
		for i < len(values) && known(values[i]) {
			i++
		}
		f(from, i)
	}
}

// line draws the known values; a value alone between gaps becomes a dash as wide as its bucket.
func (d *sketch) line(c *Curve) {
	var paths [][]Point
	runs(c.Top, func(from, to int) {
		if to-from == 1 {
			p := d.point(from, c.Top[from])
			paths = append(paths, []Point{{p.X - d.halfBucket(), p.Y}, {p.X + d.halfBucket(), p.Y}})
			return
		}
		path := make([]Point, 0, to-from)
		for i := from; i < to; i++ {
			path = append(path, d.point(i, c.Top[i]))
		}
		paths = append(paths, path)
	})
	if paths != nil {
		d.scene.add(Item{
			Kind: Stroke, Colour: c.Colour, Opacity: c.Colour.opacity(0), Width: lineWidth(c), Clipped: true, Dashed: c.dashed(),
			Paths: paths,
		})
	}
}

// area fills between top and bottom wherever top is known; a nil bottom is zero.
func (d *sketch) area(top, bottom []float64, c Colour, opacity float64) {
	zero := d.point(0, 0).Y
	foot := func(i int) Point {
		if bottom == nil {
			return Point{d.point(i, 0).X, zero}
		}
		return d.point(i, bottom[i])
	}
	var paths [][]Point
	runs(top, func(from, to int) {
		if to-from == 1 {
			p, under, half := d.point(from, top[from]), foot(from), d.halfBucket()
			paths = append(paths, []Point{{p.X - half, p.Y}, {p.X + half, p.Y}, {p.X + half, under.Y}, {p.X - half, under.Y}})
			return
		}
		path := make([]Point, 0, 2*(to-from))
		for i := from; i < to; i++ {
			path = append(path, d.point(i, top[i]))
		}
		if bottom == nil {
			path = append(path, foot(to-1), foot(from))
		} else {
			for i := to - 1; i >= from; i-- {
				path = append(path, foot(i))
			}
		}
		paths = append(paths, path)
	})
	if paths != nil {
		d.scene.add(Item{Kind: Fill, Colour: c, Opacity: opacity, Clipped: true, Paths: paths})
	}
}

// gaps marks along the foot of the plot where nothing is known, after the first known value: unknown is not
// zero. Two empty buckets at the end are not told: their values may be on the way.
func (d *sketch) gaps() {
	m := d.model
	empty := make([]float64, m.Buckets())
	first, last := -1, -1
	for i := range empty {
		empty[i] = 1
		for j := range m.Curves {
			if c := &m.Curves[j]; !c.dashed() && known(c.Top[i]) {
				empty[i] = math.NaN()
				if first < 0 {
					first = i
				}
				last = i
			}
		}
	}
	if first < 0 {
		return
	}
	for i := range empty {
		tooNew := m.Start.Add(time.Duration(i+2) * m.Step).After(m.now)
		if i < first || i > last && tooNew {
			empty[i] = math.NaN()
		}
	}
	var paths [][]Point
	foot := tenths(d.scene.Plot.H)
	runs(empty, func(from, to int) {
		left, right := d.point(from, 0).X-d.halfBucket(), d.point(to-1, 0).X+d.halfBucket()
		paths = append(paths, []Point{{left, foot - 40}, {right, foot - 40}, {right, foot}, {left, foot}})
	})
	if paths != nil {
		d.scene.add(Item{Kind: Fill, Colour: mutedColour(), Opacity: 0.35, Clipped: true, Paths: paths})
	}
}
