package chart

import (
	"slices"
	"strconv"
)

// SVG draws the picture. It is a whole document: it needs nothing else and holds no script. With the theme
// Auto it carries a style sheet for readers whose system is dark.
func (m *Model) SVG(p Picture) []byte { return m.Scene(p).SVG(p.Theme) }

// svgPen writes an SVG. Colours become presentation attributes, so that a picture is right wherever style sheets are
// not; classes let the dark style sheet override them. The body is written first: what colours it needs is known then.
type svgPen struct {
	theme   Theme
	b       []byte
	colours []Colour
	// openClass says that a class attribute waits for its second name.
	openClass bool
}

// SVG writes the scene as a document.
func (s *Scene) SVG(theme Theme) []byte {
	pen := &svgPen{theme: theme, b: make([]byte, 0, 16<<10)}
	inside := false
	for i := range s.Items {
		it := &s.Items[i]
		if it.Clipped != inside {
			pen.clip(s.Plot, it.Clipped)
			inside = it.Clipped
		}
		switch it.Kind {
		case Text:
			pen.text(it)
		case Fill, Stroke:
			pen.shape(it)
		}
	}
	if inside {
		pen.clip(s.Plot, false)
	}
	return pen.document(s)
}

func (d *svgPen) document(s *Scene) []byte {
	out := make([]byte, 0, len(d.b)+4096)
	out = append(out, `<svg xmlns="http://www.w3.org/2000/svg" width="`...)
	out = appendNumber(out, s.Width)
	out = append(out, `" height="`...)
	out = appendNumber(out, s.Height)
	out = append(out, `" viewBox="0 0 `...)
	out = appendNumber(out, s.Width)
	out = append(out, ' ')
	out = appendNumber(out, s.Height)
	out = append(out, `" role="img" font-family="system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans','DejaVu Sans',sans-serif" font-size="10"><title>`...)
	out = appendEscaped(out, cut(oneLine(s.Title), 300))
	out = append(out, `</title><desc>`...)
	out = appendEscaped(out, oneLine(s.Words))
	out = append(out, `</desc>`...)
	if d.theme == Auto && len(d.colours) > 0 {
		out = append(out, `<style>@media(prefers-color-scheme:dark){`...)
		for i, c := range d.colours {
			n := strconv.Itoa(i)
			out = append(out, ".f"+n+"{fill:"+c.Dark+"}.s"+n+"{stroke:"+c.Dark+"}"...)
		}
		out = append(out, `}</style>`...)
	}
	out = append(out, d.b...)
	return append(out, "</svg>\n"...)
}

// clip begins or ends what is cut to the plot.
func (d *svgPen) clip(plot Box, begin bool) {
	if !begin {
		d.b = append(d.b, `</svg>`...)
		return
	}
	d.b = append(d.b, `<svg`...)
	d.attribute("x", plot.X)
	d.attribute("y", plot.Y)
	d.attribute("width", plot.W)
	d.attribute("height", plot.H)
	d.b = append(d.b, ` overflow="hidden">`...)
}

func (d *svgPen) attribute(name string, v float64) {
	d.b = append(d.b, ' ')
	d.b = append(d.b, name...)
	d.b = append(d.b, `="`...)
	d.b = appendNumber(d.b, v)
	d.b = append(d.b, '"')
}

func (d *svgPen) shape(it *Item) {
	d.b = append(d.b, `<path d="`...)
	for _, path := range it.Paths {
		d.path(path, it.Kind == Fill)
	}
	d.b = append(d.b, '"')
	if it.Kind == Fill {
		d.paint("fill", it.Colour)
		d.class('f', it.Colour, true)
		d.opacity("fill", it.Opacity)
		d.endShape(it)
		return
	}
	d.b = append(d.b, ` fill="none"`...)
	if it.Width != 1 {
		d.b = append(d.b, ` stroke-linejoin="round"`...)
		d.attribute("stroke-width", it.Width)
	}
	d.paint("stroke", it.Colour)
	d.class('s', it.Colour, true)
	d.opacity("stroke", it.Opacity)
	if it.Dashed {
		d.b = append(d.b, ` stroke-dasharray="5 3"`...)
	}
	d.endShape(it)
}

func (d *svgPen) opacity(of string, v float64) {
	if v <= 0 || v >= 1 {
		return
	}
	d.b = append(d.b, ' ')
	d.b = append(d.b, of...)
	d.b = append(d.b, `-opacity="`...)
	d.b = strconv.AppendFloat(d.b, v, 'g', 3, 64)
	d.b = append(d.b, '"')
}

func (d *svgPen) endShape(it *Item) {
	if it.Tip == "" {
		d.b = append(d.b, `/>`...)
		return
	}
	d.b = append(d.b, `><title>`...)
	d.b = appendEscaped(d.b, it.Tip)
	d.b = append(d.b, `</title></path>`...)
}

// path writes each step relative to the point before, straight ones by one number.
func (d *svgPen) path(path []Point, closed bool) {
	at := path[0]
	d.b = append(d.b, 'M')
	d.b = appendTenths(d.b, at.X)
	d.b = append(d.b, ' ')
	d.b = appendTenths(d.b, at.Y)
	lines := false // an "l" command is open
	for _, p := range path[1:] {
		dx, dy := p.X-at.X, p.Y-at.Y
		at = p
		switch {
		case dx == 0 && dy == 0:
			continue
		case dy == 0 && !lines:
			d.b = append(d.b, 'h')
			d.b = appendTenths(d.b, dx)
			continue
		case dx == 0:
			d.b = append(d.b, 'v')
			d.b = appendTenths(d.b, dy)
			lines = false
			continue
		case lines:
			d.b = append(d.b, ' ')
		default:
			d.b = append(d.b, 'l')
			lines = true
		}
		d.b = appendTenths(d.b, dx)
		d.b = appendPair(d.b, dy)
	}
	if closed {
		d.b = append(d.b, 'Z')
	}
}

func (d *svgPen) text(it *Item) {
	d.b = append(d.b, `<text`...)
	d.attribute("x", it.X)
	d.attribute("y", it.Y)
	switch it.Anchor {
	case Middle:
		d.b = append(d.b, ` text-anchor="middle"`...)
	case Right:
		d.b = append(d.b, ` text-anchor="end"`...)
	case Left:
	}
	if it.Size != tickFont {
		d.attribute("font-size", it.Size)
	}
	if it.Bold {
		d.b = append(d.b, ` font-weight="600"`...)
	}
	if it.Halo {
		d.b = append(d.b, ` stroke-width="3" stroke-linejoin="round" paint-order="stroke"`...)
		d.paint("stroke", paperColour())
		d.paint("fill", it.Colour)
		d.class('s', paperColour(), false)
		d.class('f', it.Colour, true)
	} else {
		d.paint("fill", it.Colour)
		d.class('f', it.Colour, true)
	}
	d.b = append(d.b, '>')
	d.b = appendEscaped(d.b, it.Text)
	d.b = append(d.b, `</text>`...)
}

func (d *svgPen) paint(attribute string, c Colour) {
	d.b = append(d.b, ' ')
	d.b = append(d.b, attribute...)
	d.b = append(d.b, `="`...)
	d.b = append(d.b, c.In(d.theme)...)
	d.b = append(d.b, '"')
}

// class names the colour for the dark style sheet. Where it is not the last the attribute stays open for the next.
func (d *svgPen) class(kind byte, c Colour, last bool) {
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
	if last {
		d.b = append(d.b, '"')
	}
	d.openClass = !last
}

// appendNumber writes a coordinate with at most one decimal.
func appendNumber(b []byte, v float64) []byte { return appendTenths(b, tenths(v)) }

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
