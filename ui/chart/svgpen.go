package chart

import (
	"math"
	"slices"
	"strconv"
	"time"
)

// The pen: what the SVG is written with. Colours become presentation attributes, so that a picture is right
// wherever style sheets are not; classes let the dark style sheet override them.

func (d *drawing) open(element string) {
	d.b = append(d.b, '<')
	d.b = append(d.b, element...)
}

func (d *drawing) end() { d.b = append(d.b, `/>`...) }

func (d *drawing) attribute(name string, v float64) {
	d.b = append(d.b, ' ')
	d.b = append(d.b, name...)
	d.b = append(d.b, `="`...)
	d.b = appendNumber(d.b, v)
	d.b = append(d.b, '"')
}

func (d *drawing) opacity(v float64) {
	d.b = append(d.b, ` fill-opacity="`...)
	d.b = strconv.AppendFloat(d.b, v, 'g', 3, 64)
	d.b = append(d.b, '"')
}

func (d *drawing) rectangle(x, y, w, h float64) {
	d.attribute("x", x)
	d.attribute("y", y)
	d.attribute("width", w)
	d.attribute("height", h)
}

func (d *drawing) fill(c Colour) {
	d.paint("fill", c)
	d.class('f', c, `"`)
}

func (d *drawing) stroke(c Colour) {
	d.paint("stroke", c)
	d.class('s', c, `"`)
}

// halo fills with one colour and keeps what lies behind away with another.
func (d *drawing) halo(c, behind Colour) {
	d.b = append(d.b, ` stroke-width="3" stroke-linejoin="round" paint-order="stroke"`...)
	d.paint("stroke", behind)
	d.paint("fill", c)
	d.class('s', behind, "")
	d.class('f', c, `"`)
}

func (d *drawing) paint(attribute string, c Colour) {
	d.b = append(d.b, ' ')
	d.b = append(d.b, attribute...)
	d.b = append(d.b, `="`...)
	d.b = append(d.b, c.In(d.theme)...)
	d.b = append(d.b, '"')
}

// class names the colour for the dark style sheet. With an empty end the attribute stays open for the next.
func (d *drawing) class(kind byte, c Colour, end string) {
	if d.theme != Auto {
		return
	}
	n := slices.Index(d.colours, c)
	if n < 0 {
		n = len(d.colours)
		d.colours = append(d.colours, c)
	}
	if d.openClass {
		d.b = append(d.b, ' ')
	} else {
		d.b = append(d.b, ` class="`...)
	}
	d.b = append(d.b, kind)
	d.b = strconv.AppendInt(d.b, int64(n), 10)
	d.b = append(d.b, end...)
	d.openClass = end == ""
}

func (d *drawing) line(x1, y1, x2, y2 float64, c Colour, dashes string) {
	d.b = append(d.b, `<path d="M`...)
	d.b = appendNumber(d.b, x1)
	d.b = append(d.b, ' ')
	d.b = appendNumber(d.b, y1)
	if y1 == y2 {
		d.b = append(d.b, 'H')
		d.b = appendNumber(d.b, x2)
	} else {
		d.b = append(d.b, 'V')
		d.b = appendNumber(d.b, y2)
	}
	d.b = append(d.b, '"')
	d.stroke(c)
	if dashes != "" {
		d.b = append(d.b, ` stroke-dasharray="`...)
		d.b = append(d.b, dashes...)
		d.b = append(d.b, '"')
	}
	d.end()
}

func (d *drawing) text(x, y float64, anchor string, size float64, c Colour, bold bool, s string) {
	d.place(x, y, anchor, size)
	if bold {
		d.b = append(d.b, ` font-weight="600"`...)
	}
	d.fill(c)
	d.words(s)
}

// label is text that may lie on curves.
func (d *drawing) label(x, y float64, anchor string, size float64, c Colour, s string) {
	d.place(x, y, anchor, size)
	d.halo(c, paperColour())
	d.words(s)
}

func (d *drawing) words(s string) {
	d.b = append(d.b, '>')
	d.b = appendEscaped(d.b, s)
	d.b = append(d.b, `</text>`...)
}

func (d *drawing) place(x, y float64, anchor string, size float64) {
	d.open("text")
	d.attribute("x", x)
	d.attribute("y", y)
	if anchor != "start" {
		d.b = append(d.b, ` text-anchor="`...)
		d.b = append(d.b, anchor...)
		d.b = append(d.b, '"')
	}
	if size != tickFont {
		d.attribute("font-size", size)
	}
}

// curve draws the band, the area and the line of one field.
func (d *drawing) curve(c *Curve) {
	if c.High != nil {
		d.area(c.High, c.Low, c.Colour, 0.22)
	}
	switch {
	case c.Past:
		d.dashed = true
		d.strokeRuns(c.Top, c.Colour, 1.2)
		d.dashed = false
	case c.Shape == Area && c.Stack > 0:
		d.area(c.Top, c.Bottom, c.Colour, 0.85)
	case c.Shape == Area:
		d.area(c.Top, c.Bottom, c.Colour, 0.45)
		d.strokeRuns(c.Top, c.Colour, 1.2)
	default:
		d.strokeRuns(c.Top, c.Colour, 0.5+0.7*c.Width)
	}
}

// point is where bucket i of a curve lies, in tenths of a pixel.
func (d *drawing) point(i int, v float64) (x, y int) {
	return int(math.Round(d.firstX + float64(i)*d.stepX)), int(math.Round(d.yOf(v) * 10))
}

// measure finds where the middle of the first bucket lies and how far apart buckets are, in tenths of a pixel.
func (d *drawing) measure() {
	perSecond := d.at.w * 10 / d.model.Range.Duration().Seconds()
	d.stepX = d.model.Step.Seconds() * perSecond
	d.firstX = d.model.Start.Sub(d.model.Range.From).Seconds()*perSecond + d.stepX/2
}

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

func (d *drawing) bucketWidth() int {
	return max(int(math.Round(d.stepX)), 10)
}

// strokeRuns draws the line of known values; a value alone between gaps becomes a dash as wide as its bucket.
func (d *drawing) strokeRuns(values []float64, c Colour, width float64) {
	mark := len(d.b)
	d.b = append(d.b, `<path d="`...)
	begun := len(d.b)
	runs(values, func(from, to int) {
		x, y := d.point(from, values[from])
		if to-from == 1 {
			half := d.bucketWidth() / 2
			d.moveTo(x-half, y)
			d.b = append(d.b, 'h')
			d.b = appendTenths(d.b, 2*half)
			return
		}
		d.moveTo(x, y)
		d.b = append(d.b, 'l')
		d.follow(values, from+1, to, 1, x, y)
	})
	if len(d.b) == begun {
		d.b = d.b[:mark]
		return
	}
	d.b = append(d.b, `" fill="none" stroke-linejoin="round"`...)
	d.attribute("stroke-width", width)
	if d.dashed {
		d.b = append(d.b, ` stroke-dasharray="4 2"`...)
	}
	d.stroke(c)
	d.end()
}

func (d *drawing) moveTo(x, y int) {
	d.b = append(d.b, 'M')
	d.b = appendTenths(d.b, x)
	d.b = append(d.b, ' ')
	d.b = appendTenths(d.b, y)
}

// follow appends the steps from bucket to bucket, relative to the point before.
func (d *drawing) follow(values []float64, from, to, by, x, y int) (lastX, lastY int) {
	for i := from; i != to; i += by {
		nx, ny := d.point(i, values[i])
		d.b = appendTenths(d.b, nx-x)
		d.b = appendPair(d.b, ny-y)
		x, y = nx, ny
		if i+by != to {
			d.b = append(d.b, ' ')
		}
	}
	return x, y
}

// area fills between top and bottom wherever top is known; a nil bottom is zero.
func (d *drawing) area(top, bottom []float64, c Colour, opacity float64) {
	mark := len(d.b)
	d.b = append(d.b, `<path d="`...)
	begun := len(d.b)
	_, zero := d.point(0, 0)
	runs(top, func(from, to int) {
		x, y := d.point(from, top[from])
		if to-from == 1 {
			half := d.bucketWidth() / 2
			under := zero
			if bottom != nil {
				_, under = d.point(from, bottom[from])
			}
			d.moveTo(x-half, y)
			d.b = append(d.b, 'h')
			d.b = appendTenths(d.b, 2*half)
			d.b = append(d.b, 'V')
			d.b = appendTenths(d.b, under)
			d.b = append(d.b, 'H')
			d.b = appendTenths(d.b, x-half)
			d.b = append(d.b, 'Z')
			return
		}
		d.moveTo(x, y)
		d.b = append(d.b, 'l')
		lastX, lastY := d.follow(top, from+1, to, 1, x, y)
		if bottom == nil {
			d.b = append(d.b, 'V')
			d.b = appendTenths(d.b, zero)
			d.b = append(d.b, 'H')
			d.b = appendTenths(d.b, x)
		} else {
			d.b = append(d.b, ' ')
			d.follow(bottom, to-1, from-1, -1, lastX, lastY)
		}
		d.b = append(d.b, 'Z')
	})
	if len(d.b) == begun {
		d.b = d.b[:mark]
		return
	}
	d.b = append(d.b, '"')
	d.fill(c)
	d.opacity(opacity)
	d.end()
}

// gaps marks along the foot of the plot where nothing is known, after the first known value: unknown is not
// zero. Two empty buckets at the end are not told: their values may be on the way.
func (d *drawing) gaps() {
	n := d.model.Buckets()
	empty := make([]float64, n)
	first, last := -1, -1
	for i := range empty {
		empty[i] = 1
		for j := range d.model.Curves {
			if known(d.model.Curves[j].Top[i]) {
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
		tooNew := d.model.Start.Add(time.Duration(i+2) * d.model.Step).After(d.model.now)
		if i < first || i > last && tooNew {
			empty[i] = math.NaN()
		}
	}
	runs(empty, func(from, to int) {
		x1, _ := d.point(from, 0)
		x2, _ := d.point(to-1, 0)
		half := float64(d.bucketWidth()) / 20
		d.open("rect")
		d.rectangle(float64(x1)/10-half, d.at.h-4, float64(x2-x1)/10+2*half, 4)
		d.fill(mutedColour())
		d.opacity(0.35)
		d.end()
	})
}

// appendNumber writes a coordinate with at most one decimal.
func appendNumber(b []byte, v float64) []byte { return appendTenths(b, int(math.Round(v*10))) }

// appendTenths writes n/10 without needless characters.
func appendTenths(b []byte, n int) []byte {
	if n < 0 {
		b = append(b, '-')
		n = -n
	}
	whole, tenth := n/10, n%10
	if whole > 0 || tenth == 0 {
		b = strconv.AppendInt(b, int64(whole), 10)
	}
	if tenth > 0 {
		b = append(b, '.', byte('0'+tenth))
	}
	return b
}

// appendPair writes the second number of a pair; a minus sign parts it from the first by itself.
func appendPair(b []byte, n int) []byte {
	if n >= 0 {
		b = append(b, ' ')
	}
	return appendTenths(b, n)
}
