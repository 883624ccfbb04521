package chart

import (
	"math"
	"strconv"
	"time"
)

// Picture is the size and kind of an SVG.
type Picture struct {
	// Width and Height in pixels. The legend of a picture that is not bare comes on top of Height.
	Width, Height int
	Theme         Theme
	// Bare leaves out title and legend, for pages that show them as text beside the picture.
	Bare bool
	// Left is the least distance in pixels from the left edge to the plot, so that pictures under each other share a time axis.
	Left int
}

// Limits of a picture's size in pixels.
const (
	MinWidth  = 200
	MinHeight = 80
	MaxWidth  = 4000
	MaxHeight = 4000
)

const (
	tickFont   = 10.0
	textFont   = 11.0
	titleFont  = 13.0
	legendLine = 16.0
	maxLegend  = 40 // rows
	textMargin = 10.0
)

// layout says where on the picture what stands, in pixels from the top left.
type layout struct {
	width, height     float64 // of the whole picture
	x, y, w, h        float64 // of the plot
	legendTop, footer float64
}

// SVG draws the picture. It is a whole document: it needs nothing else and holds no script. With the theme
// Auto it carries a style sheet for readers whose system is dark.
func (m *Model) SVG(p Picture) []byte {
	p.Width = min(max(p.Width, MinWidth), MaxWidth)
	p.Height = min(max(p.Height, MinHeight), MaxHeight)
	d := &drawing{model: m, theme: p.Theme, bare: p.Bare}
	top := 8.0
	if !p.Bare {
		top += 20
	}
	if m.Unit != "" {
		top += 12
	}
	d.at = layout{
		width: float64(p.Width), height: float64(p.Height), y: top, h: float64(p.Height) - top - 18,
	}
	d.scale = m.YScale(d.at.h)
	left := math.Max(14, float64(p.Left))
	for _, t := range d.scale.Ticks {
		left = math.Max(left, textWidth(t.Label, tickFont)+textMargin)
	}
	d.at.x = math.Ceil(math.Min(left, d.at.width/3))
	d.at.w = d.at.width - d.at.x - 10
	if !p.Bare {
		rows := min(len(m.Curves), maxLegend)
		if len(m.Curves) > maxLegend {
			rows++
		}
		d.at.legendTop = d.at.height + 8
		d.at.footer = d.at.legendTop + legendLine*float64(rows+1) + 15
		d.at.height = d.at.footer + 8
	}
	d.measure()
	d.body()
	return d.document()
}

// drawing is one SVG while it is made. The body is drawn first; what colours it needs is known then.
type drawing struct {
	model   *Model
	theme   Theme
	bare    bool
	at      layout
	scale   Scale
	b       []byte
	colours []Colour
	// firstX and stepX place the buckets, in tenths of a pixel.
	firstX, stepX float64
	// openClass says that a class attribute waits for its second name.
	openClass bool
	dashed    bool
}

func (d *drawing) document() []byte {
	out := make([]byte, 0, len(d.b)+4096)
	out = append(out, `<svg xmlns="http://www.w3.org/2000/svg" width="`...)
	out = appendNumber(out, d.at.width)
	out = append(out, `" height="`...)
	out = appendNumber(out, d.at.height)
	out = append(out, `" viewBox="0 0 `...)
	out = appendNumber(out, d.at.width)
	out = append(out, ' ')
	out = appendNumber(out, d.at.height)
	out = append(out, `" role="img" font-family="system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans','DejaVu Sans',sans-serif" font-size="10"><title>`...)
	title := d.model.Title
	if d.model.Host != "" {
		title = d.model.Host + ": " + title
	}
	out = appendEscaped(out, cut(oneLine(title), 300))
	out = append(out, `</title><desc>`...)
	out = appendEscaped(out, oneLine(d.model.Describe()))
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

// body draws everything from the back to the front.
func (d *drawing) body() {
	if !d.bare {
		d.open("rect")
		d.rectangle(0, 0, d.at.width, d.at.height)
		d.fill(paperColour())
		d.end()
		title := d.model.Title
		if d.model.Host != "" {
			title = d.model.Host + " · " + title
		}
		d.text(8, 19, "start", titleFont, inkColour(), true, fit(oneLine(title), titleFont*1.15, d.at.width-16))
	}
	if unit := fit(oneLine(d.model.Unit), tickFont, d.at.width-16); unit != "" {
		d.text(4, d.at.y-9, "start", tickFont, mutedColour(), false, unit)
	}
	d.grid()
	d.b = append(d.b, `<svg x="`...)
	d.b = appendNumber(d.b, d.at.x)
	d.b = append(d.b, `" y="`...)
	d.b = appendNumber(d.b, d.at.y)
	d.b = append(d.b, `" width="`...)
	d.b = appendNumber(d.b, d.at.w)
	d.b = append(d.b, `" height="`...)
	d.b = appendNumber(d.b, d.at.h)
	d.b = append(d.b, `" overflow="hidden">`...)
	for i := range d.model.Curves {
		d.curve(&d.model.Curves[i])
	}
	d.gaps()
	d.b = append(d.b, `</svg>`...)
	d.rules()
	d.marks()
	d.axes()
	if d.model.Empty() {
		d.text(d.at.x+d.at.w/2, d.at.y+d.at.h/2+4, "middle", textFont, mutedColour(), false, "no values in this time")
	}
	if !d.bare {
		d.legend()
	}
}

func (d *drawing) grid() {
	for _, t := range d.scale.Ticks {
		y := math.Round(d.at.y+d.yOf(t.Value)) + 0.5
		d.line(d.at.x, y, d.at.x+d.at.w, y, gridColour(), "")
		d.text(d.at.x-5, y+3, "end", tickFont, mutedColour(), false, t.Label)
	}
	free := 0.0
	for _, t := range TimeTicks(d.model.Range, d.model.location, d.at.w, tickFont) {
		x := math.Round(d.at.x+d.xOf(t.At)) + 0.5
		colour := gridColour()
		if t.Strong {
			colour = axisColour()
		}
		d.line(x, d.at.y, x, d.at.y+d.at.h+3, colour, "")
		half := textWidth(t.Label, tickFont) / 2
		if x-half < free || x+half > d.at.width {
			continue
		}
		free = x + half + 4
		d.text(x, d.at.y+d.at.h+14, "middle", tickFont, mutedColour(), false, t.Label)
	}
}

func (d *drawing) axes() {
	bottom := math.Round(d.at.y+d.at.h) + 0.5
	d.line(d.at.x, bottom, d.at.x+d.at.w, bottom, axisColour(), "")
	if d.scale.Low < 0 && d.scale.High > 0 && !d.scale.Log {
		zero := math.Round(d.at.y+d.yOf(0)) + 0.5
		d.line(d.at.x, zero, d.at.x+d.at.w, zero, mutedColour(), "")
	}
}

// rules draws levels as dashed lines, with their word where it does not lie on another.
func (d *drawing) rules() {
	taken := make([]float64, 0, len(d.model.Rules))
	for _, rule := range d.model.Rules {
		at := d.scale.At(rule.Value)
		if at < 0 || at > 1 {
			continue
		}
		y := math.Round(d.at.y+d.yOf(rule.Value)) + 0.5
		d.line(d.at.x, y, d.at.x+d.at.w, y, rule.Colour, "5 3")
		label := fit(oneLine(rule.Label), tickFont-1, d.at.w/2)
		if label == "" || d.at.w < 220 {
			continue
		}
		baseline := y - 3
		if baseline < d.at.y+8 {
			baseline = y + 10
		}
		free := true
		for _, other := range taken {
			free = free && math.Abs(other-baseline) >= 11
		}
		if free {
			taken = append(taken, baseline)
			d.label(d.at.x+d.at.w-3, baseline, "end", tickFont-1, rule.Colour, label)
		}
	}
}

// legend is the table under a picture that stands by itself.
func (d *drawing) legend() {
	columns := []struct {
		name string
		pick func(Figures) float64
	}{
		{"now", func(f Figures) float64 { return f.Current }},
		{"min", func(f Figures) float64 { return f.Min }},
		{"avg", func(f Figures) float64 { return f.Average }},
		{"max", func(f Figures) float64 { return f.Max }},
	}
	const each = 62.0
	if d.at.width < 360 {
		columns = append(columns[:1], columns[3])
	}
	right := func(i int) float64 { return d.at.width - 10 - each*float64(len(columns)-1-i) }
	room := right(0) - each - 24
	y := d.at.legendTop + 11
	for i, c := range columns {
		d.text(right(i), y, "end", tickFont, mutedColour(), false, c.name)
	}
	for n := range d.model.Curves {
		y += legendLine
		if n == maxLegend {
			d.text(24, y, "start", textFont, mutedColour(), false, "and "+strconv.Itoa(len(d.model.Curves)-n)+" more")
			break
		}
		curve := &d.model.Curves[n]
		d.open("rect")
		d.rectangle(8, y-8, 10, 9)
		d.fill(curve.Colour)
		d.end()
		d.text(24, y, "start", textFont, inkColour(), false, fit(oneLine(curve.LegendLabel(d.model)), textFont, room))
		for i, c := range columns {
			d.text(right(i), y, "end", textFont, inkColour(), false, fit(d.model.Format(c.pick(curve.Figures)), textFont, each-4))
		}
	}
	from, to := d.model.Range.From.In(d.model.location), d.model.Range.To.In(d.model.location)
	d.text(8, d.at.footer, "start", tickFont, mutedColour(), false,
		fit(from.Format("Mon 2 Jan 2006 15:04")+" – "+to.Format("Mon 2 Jan 2006 15:04 MST"), tickFont, d.at.width-16))
}

// xOf and yOf are in pixels from the plot's top left.
func (d *drawing) xOf(t time.Time) float64 {
	return d.at.w * t.Sub(d.model.Range.From).Seconds() / d.model.Range.Duration().Seconds()
}

func (d *drawing) yOf(v float64) float64 {
	return d.at.h * (1 - math.Min(math.Max(d.scale.At(v), -1), 2))
}
