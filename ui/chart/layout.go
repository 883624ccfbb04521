package chart

import (
	"math"
	"strconv"
	"time"
)

// Picture is the size and kind of a picture.
type Picture struct {
	// Width and Height in pixels. The legend of a picture that is not bare comes on top of Height.
	Width, Height int
	Theme         Theme
	// Bare leaves out title and legend, for pages that show them as text beside the picture.
	Bare bool
	// Left is the least distance in pixels from the left edge to the plot, so that pictures under each other share a time axis.
	Left int
	// Scale is how many dots a PNG has for each pixel, 1 to 3; 0 is 1.
	Scale int
}

// Limits of a picture's size in pixels.
const (
	MinWidth  = 160
	MinHeight = 60
	MaxWidth  = 4000
	MaxHeight = 4000
	MaxScale  = 3
)

const (
	tickFont   = 10.0
	textFont   = 11.0
	titleFont  = 13.0
	smallTitle = 11.0
	legendLine = 16.0
	maxLegend  = 60 // rows
	textMargin = 10.0
	// lowPicture is the height under which a picture has no room for its unit.
	lowPicture = 90
)

func (p Picture) clamped() Picture {
	p.Width = min(max(p.Width, MinWidth), MaxWidth)
	p.Height = min(max(p.Height, MinHeight), MaxHeight)
	p.Scale = min(max(p.Scale, 1), MaxScale)
	return p
}

// sketch is a scene while it is made.
type sketch struct {
	model     *Model
	pic       Picture
	scene     *Scene
	scale     Scale
	titleSize float64
	unit      bool
	legendTop float64
	footer    float64
	// firstX and stepX place the buckets, in tenths of a pixel from the plot's left.
	firstX, stepX float64
}

// Scene lays the picture out.
func (m *Model) Scene(p Picture) *Scene {
	p = p.clamped()
	d := &sketch{model: m, pic: p, scene: &Scene{Title: m.Title, Words: m.Describe()}}
	if m.Host != "" {
		d.scene.Title = m.Host + ": " + m.Title
	}
	d.place()
	d.heading()
	d.grid()
	for i := range m.Curves {
		d.curve(&m.Curves[i])
	}
	d.gaps()
	d.axes()
	d.rules()
	d.marks()
	if m.Empty() {
		d.scene.offer(Item{
			Text: "no values in this time", Size: textFont, Colour: mutedColour(), Halo: true, Anchor: Middle,
			X: d.scene.Plot.X + d.scene.Plot.W/2, Y: d.scene.Plot.Y + d.scene.Plot.H/2 + 4,
		})
	}
	if !p.Bare {
		d.legend()
	}
	return d.scene
}

// place says where the plot lies and how large the whole is.
func (d *sketch) place() {
	m, s := d.model, d.scene
	s.Width, s.Height = float64(d.pic.Width), float64(d.pic.Height)
	top, bottom := 8.0, 18.0
	low := d.pic.Height < lowPicture
	if low {
		top, bottom = 6, 16
	}
	switch {
	case d.pic.Bare:
	case low || d.pic.Width < 240:
		d.titleSize = smallTitle
		top += 14
	default:
		d.titleSize = titleFont
		top += 20
	}
	if d.unit = (m.Unit != "" || m.limits.right.label != "" && m.limits.right.scale != 0) && !low; d.unit {
		top += 12
	}
	s.Plot.Y, s.Plot.H = top, s.Height-top-bottom
	d.scale = m.YScale(s.Plot.H)
	left := math.Max(14, float64(d.pic.Left))
	for _, t := range d.scale.Ticks {
		left = math.Max(left, textWidth(t.Label, tickFont)+textMargin)
	}
	s.Plot.X = math.Ceil(math.Min(left, s.Width/3))
	s.Plot.W = s.Width - s.Plot.X - 10
	if !d.pic.Bare {
		rows := min(len(m.Curves), maxLegend)
		if len(m.Curves) > maxLegend {
			rows++
		}
		s.Plot.W -= d.rightRoom()
		d.legendTop = s.Height + 8
		d.footer = d.legendTop + legendLine*float64(rows+1) + 15
		s.Height = d.footer + 8
	}
	perSecond := s.Plot.W * 10 / m.Range.Duration().Seconds()
	d.stepX = m.Step.Seconds() * perSecond
	d.firstX = m.Start.Sub(m.Range.From).Seconds()*perSecond + d.stepX/2
}

// heading is the paper, the title and the unit.
func (d *sketch) heading() {
	m, s := d.model, d.scene
	if !d.pic.Bare {
		s.fill(Box{0, 0, s.Width, s.Height}, paperColour(), 0, false)
		title := m.Title
		if m.Host != "" {
			title = m.Host + " · " + title
		}
		s.write(Item{
			Text: fit(oneLine(title), d.titleSize, (s.Width-16)/boldness), Size: d.titleSize, Bold: true,
			Colour: inkColour(), X: 8, Y: d.titleSize + 4,
		})
	}
	if d.unit {
		right := fit(oneLine(m.limits.right.label), tickFont, s.Width/2-8)
		if m.limits.right.scale != 0 && right != "" {
			s.write(Item{Text: right, Size: tickFont, Colour: mutedColour(), Anchor: Right, X: s.Width - 4, Y: s.Plot.Y - 8})
		}
		s.write(Item{
			Text: fit(oneLine(m.Unit), tickFont, s.Width-16-textWidth(right, tickFont)), Size: tickFont, Colour: mutedColour(), X: 4, Y: s.Plot.Y - 8,
		})
	}
}

// grid draws the lines behind the curves and the labels of both axes.
func (d *sketch) grid() {
	s, plot := d.scene, d.scene.Plot
	var faint, strong [][]Point
	for _, t := range d.scale.Ticks {
		y := math.Round(plot.Y+d.yOf(t.Value)) + 0.5
		faint = append(faint, straight(plot.X, y, plot.X+plot.W, y))
		s.offer(Item{
			Text: fit(t.Label, tickFont, plot.X-5), Size: tickFont, Colour: mutedColour(), Anchor: Right, X: plot.X - 5, Y: y + 3,
		})
	}
	d.rightLabels()
	for _, t := range TimeTicks(d.model.Range, d.model.location, plot.W, tickFont) {
		x := math.Round(plot.X+d.xOf(t.At)) + 0.5
		line := straight(x, plot.Y, x, plot.Y+plot.H+3)
		if t.Strong {
			strong = append(strong, line)
		} else {
			faint = append(faint, line)
		}
		s.offer(Item{
			Text: t.Label, Size: tickFont, Colour: mutedColour(), Anchor: Middle, X: x, Y: plot.Y + plot.H + 13,
		})
	}
	s.add(Item{Kind: Stroke, Colour: gridColour(), Width: 1, Paths: faint})
	if strong != nil {
		s.add(Item{Kind: Stroke, Colour: axisColour(), Width: 1, Paths: strong})
	}
}

// rightRoom is how much wider the labels of a right axis make the margin of a picture that stands by itself.
func (d *sketch) rightRoom() float64 {
	widest := 0.0
	for _, t := range d.scale.Right {
		widest = math.Max(widest, textWidth(t.Label, tickFont))
	}
	return math.Ceil(math.Min(widest, d.scene.Width/4))
}

// rightLabels writes the labels of a right axis: outside the plot, or within it where pictures under each other share a
// time axis.
func (d *sketch) rightLabels() {
	s, plot := d.scene, d.scene.Plot
	for _, t := range d.scale.Right {
		it := Item{
			Text: fit(t.Label, tickFont, s.Width/4), Size: tickFont, Colour: mutedColour(), X: plot.X + plot.W + 5,
			Y: math.Round(plot.Y+d.yOf(t.Value)) + 3.5,
		}
		if d.pic.Bare {
			it.X, it.Anchor, it.Halo = plot.X+plot.W-2, Right, true
		}
		s.offer(it)
	}
}

func (d *sketch) axes() {
	s, plot := d.scene, d.scene.Plot
	bottom := math.Round(plot.Y+plot.H) + 0.5
	s.add(Item{Kind: Stroke, Colour: axisColour(), Width: 1, Paths: [][]Point{straight(plot.X, bottom, plot.X+plot.W, bottom)}})
	if d.scale.Low < 0 && d.scale.High > 0 && !d.scale.Log {
		zero := math.Round(plot.Y+d.yOf(0)) + 0.5
		s.add(Item{Kind: Stroke, Colour: mutedColour(), Width: 1, Paths: [][]Point{straight(plot.X, zero, plot.X+plot.W, zero)}})
	}
}

// rules draws levels as dashed lines, with their word where it does not lie on another.
func (d *sketch) rules() {
	s, plot := d.scene, d.scene.Plot
	for _, rule := range d.model.Rules {
		if at := d.scale.At(rule.Value); at < 0 || at > 1 || rule.Colour.Clear >= 1 {
			continue
		}
		y := math.Round(plot.Y+d.yOf(rule.Value)) + 0.5
		s.add(Item{
			Kind: Stroke, Colour: rule.Colour, Opacity: rule.Colour.opacity(0), Width: 1, Dashed: true,
			Paths: [][]Point{straight(plot.X, y, plot.X+plot.W, y)},
		})
		if plot.W < 150 {
			continue
		}
		baseline := y - 3
		if baseline < plot.Y+8 {
			baseline = y + 10
		}
		s.offer(Item{
			Text: fit(oneLine(rule.Label), tickFont-1, plot.W/2), Size: tickFont - 1, Colour: rule.Colour, Halo: true, Anchor: Right,
			X: plot.X + plot.W - 3, Y: baseline,
		})
	}
}

// legendColumn is one figure of the legend.
type legendColumn struct {
	name  string
	pick  func(Figures) float64
	worth int // columns worth least go first where there is no room
	width float64
	cells []string
}

func legendColumns() []legendColumn {
	return []legendColumn{
		{name: "now", worth: 6, pick: func(f Figures) float64 { return f.Current }},
		{name: "min", worth: 2, pick: func(f Figures) float64 { return f.Min }},
		{name: "avg", worth: 4, pick: func(f Figures) float64 { return f.Average }},
		{name: "max", worth: 5, pick: func(f Figures) float64 { return f.Max }},
		{name: "95 %", worth: 3, pick: func(f Figures) float64 { return f.P95 }},
		{name: "total", worth: 1, pick: func(f Figures) float64 { return f.Total }},
	}
}

// columns are the figures for which there is room beside the labels.
func (d *sketch) columns() []legendColumn {
	const gap, least = 12, 60
	var columns []legendColumn
	widest := 0.0
	for i, column := range legendColumns() {
		column.width = textWidth(column.name, tickFont)
		said := false
		for n := range min(len(d.model.Curves), maxLegend) {
			curve := &d.model.Curves[n]
			v := column.pick(curve.Figures)
			cell := d.model.Format(v)
			said = said || known(v)
			if curve.Derived || column.name == "total" && !known(v) {
				cell = ""
			}
			column.cells = append(column.cells, cell)
			column.width = math.Max(column.width, textWidth(cell, textFont))
			if i == 0 {
				widest = math.Max(widest, textWidth(oneLine(curve.LegendLabel(d.model)), textFont))
			}
		}
		if column.width += gap; said || column.name != "total" {
			columns = append(columns, column)
		}
	}
	want := math.Min(widest, math.Max(least, d.scene.Width*0.34))
	for len(columns) > 0 {
		room := d.scene.Width - 34 - want
		worst := 0
		for i, column := range columns {
			room -= column.width
			if column.worth < columns[worst].worth {
				worst = i
			}
		}
		if room >= 0 {
			break
		}
		columns = append(columns[:worst], columns[worst+1:]...)
	}
	return columns
}

// legend is the table under a picture that stands by itself.
func (d *sketch) legend() {
	m, s := d.model, d.scene
	columns := d.columns()
	right := make([]float64, len(columns))
	left := s.Width - 10
	for i := len(columns) - 1; i >= 0; i-- {
		right[i] = left
		left -= columns[i].width
	}
	y := d.legendTop + 11
	for i, column := range columns {
		s.write(Item{Text: column.name, Size: tickFont, Colour: mutedColour(), Anchor: Right, X: right[i], Y: y})
	}
	for n := range m.Curves {
		y += legendLine
		if n == maxLegend {
			more := "and " + strconv.Itoa(len(m.Curves)-n) + " more"
			s.write(Item{Text: more, Size: textFont, Colour: mutedColour(), X: 24, Y: y})
			break
		}
		curve := &m.Curves[n]
		d.swatch(curve, y)
		s.write(Item{
			Text: fit(oneLine(curve.LegendLabel(m)), textFont, left-24), Size: textFont, Colour: inkColour(), X: 24, Y: y,
		})
		for i, column := range columns {
			s.write(Item{Text: column.cells[n], Size: textFont, Colour: inkColour(), Anchor: Right, X: right[i], Y: y})
		}
	}
	from, to := m.Range.From.In(m.location), m.Range.To.In(m.location)
	const layout = "Mon 2 Jan 2006 15:04"
	span := from.Format(layout) + " – " + to.Format(layout+" MST")
	if textWidth(span, tickFont) > s.Width-16 {
		span = from.Format("2 Jan 15:04") + " – " + to.Format("2 Jan 15:04")
	}
	s.write(Item{Text: fit(span, tickFont, s.Width-16), Size: tickFont, Colour: mutedColour(), X: 8, Y: d.footer})
}

// swatch shows a curve's colour, as a box for an area and as a line for a line.
func (d *sketch) swatch(c *Curve, y float64) {
	opacity := c.Colour.opacity(0)
	switch {
	case c.Colour.Clear >= 1:
		return
	case c.Shape == Area:
		d.scene.fill(Box{8, y - 8, 10, 9}, c.Colour, opacity, false)
		return
	}
	d.scene.add(Item{
		Kind: Stroke, Colour: c.Colour, Opacity: opacity, Width: math.Max(lineWidth(c), 2), Dashed: c.dashed(),
		Paths: [][]Point{straight(7, y-3.5, 19, y-3.5)},
	})
}

// xOf and yOf are in pixels from the plot's top left.
func (d *sketch) xOf(t time.Time) float64 {
	return d.scene.Plot.W * t.Sub(d.model.Range.From).Seconds() / d.model.Range.Duration().Seconds()
}

func (d *sketch) yOf(v float64) float64 {
	return d.scene.Plot.H * (1 - math.Min(math.Max(d.scale.At(v), -1), 2))
}
