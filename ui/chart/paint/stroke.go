package paint

import (
	"image"
	"image/draw"
	"math"

	"corbie/ui/chart"
)

// stroke draws the lines of an item.
func (c *canvas) stroke(it *chart.Item) {
	limit, origin := c.bounds(it)
	colour := c.colour(it.Colour, it.Opacity)
	width := it.Width * c.scale
	var shapes [][]dot
	for _, path := range it.Paths {
		line := make([]dot, 0, len(path))
		for _, p := range path {
			x, y := c.place(p)
			line = append(line, dot{x, y})
		}
		pieces := [][]dot{line}
		if it.Dashed {
			pieces = dashes(line, 5*c.scale, 3*c.scale)
		}
		for _, piece := range pieces {
			if r, ok := bar(piece, width); ok {
				draw.Draw(c.img, r.Add(origin).Intersect(limit), colour, image.Point{}, draw.Over)
				continue
			}
			shapes = append(shapes, outline(piece, width)...)
		}
	}
	c.paint(shapes, limit, origin, colour)
}

// bar says whether a line is upright or level and covers whole dots.
func bar(line []dot, width float64) (image.Rectangle, bool) {
	if len(line) != 2 || width != math.Round(width) {
		return image.Rectangle{}, false
	}
	a, b := line[0], line[1]
	var x1, y1, x2, y2 float64
	switch {
	case a.y == b.y:
		x1, x2, y1, y2 = math.Round(math.Min(a.x, b.x)), math.Round(math.Max(a.x, b.x)), a.y-width/2, a.y+width/2
	case a.x == b.x:
		x1, x2, y1, y2 = a.x-width/2, a.x+width/2, math.Round(math.Min(a.y, b.y)), math.Round(math.Max(a.y, b.y))
	default:
		return image.Rectangle{}, false
	}
	return image.Rect(int(math.Round(x1)), int(math.Round(y1)), int(math.Round(x2)), int(math.Round(y2))), true
}

// dashes cuts a line into pieces with gaps between them.
func dashes(line []dot, on, off float64) [][]dot {
	const most = 4000
	var pieces [][]dot
	var piece []dot
	left, drawing := on, true
	for i := 0; i+1 < len(line); i++ {
		a, b := line[i], line[i+1]
		length := math.Hypot(b.x-a.x, b.y-a.y)
		if drawing && piece == nil {
			piece = []dot{a}
		}
		done := 0.0
		for length-done > left && len(pieces) < most {
			done += left
			at := dot{a.x + (b.x-a.x)*done/length, a.y + (b.y-a.y)*done/length}
			if drawing {
				pieces = append(pieces, append(piece, at))
				piece, left = nil, off
			} else {
				piece, left = []dot{at}, on
			}
			drawing = !drawing
		}
		left -= length - done
		if drawing {
			piece = append(piece, b)
		}
	}
	if len(piece) > 1 {
		pieces = append(pieces, piece)
	}
	return pieces
}

// outline is a line of some width as shapes that all turn the same way round: one for each stretch and one for each
// bend.
func outline(line []dot, width float64) [][]dot {
	half := width / 2
	shapes := make([][]dot, 0, 2*len(line))
	store := make([]dot, 0, 7*len(line))
	add := func(dots ...dot) {
		begin := len(store)
		store = append(store, dots...)
		shapes = append(shapes, store[begin:len(store):len(store)])
	}
	var before dot // the normal of the stretch before
	for i := 0; i+1 < len(line); i++ {
		a, b := line[i], line[i+1]
		length := math.Hypot(b.x-a.x, b.y-a.y)
		if length == 0 {
			continue
		}
		n := dot{-(b.y - a.y) / length * half, (b.x - a.x) / length * half}
		add(dot{a.x + n.x, a.y + n.y}, dot{b.x + n.x, b.y + n.y}, dot{b.x - n.x, b.y - n.y}, dot{a.x - n.x, a.y - n.y})
		if turn := before.x*n.y - before.y*n.x; before != (dot{}) && turn != 0 {
			// The wedge lies on the outer side of the bend.
			if turn > 0 {
				add(a, dot{a.x - n.x, a.y - n.y}, dot{a.x - before.x, a.y - before.y})
			} else {
				add(a, dot{a.x + before.x, a.y + before.y}, dot{a.x + n.x, a.y + n.y})
			}
		}
		before = n
	}
	return shapes
}
