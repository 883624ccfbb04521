package watch

import (
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"corbie/munin"
)

// Style says how to draw.
type Style struct {
	Width, Height int    // of the terminal
	Colour        bool   // ANSI colours; without, curves are drawn with letters
	Graph         string // name; empty: the first one
}

const (
	leastWidth  = 40
	leastHeight = 10
	axisWidth   = 9
)

// ANSI codes of what is not a curve.
const (
	plain  = "\x1b[0m"
	bold   = "\x1b[1m"
	dim    = "\x1b[2m"
	red    = "\x1b[31m"
	yellow = "\x1b[33m"
)

// curveColours can be told apart on light and on dark ground.
func curveColours() []string {
	return []string{"\x1b[36m", "\x1b[35m", "\x1b[32m", "\x1b[34m", "\x1b[33m", "\x1b[31m", "\x1b[96m", "\x1b[95m"}
}

// page collects the lines of a screen, none of them wider than it.
type page struct {
	style Style
	lines []string
}

// Screen draws the view: at most Height lines of at most Width characters, without line ends.
func (v *View) Screen(style Style) []string {
	style.Width, style.Height = max(style.Width, leastWidth), max(style.Height, leastHeight)
	p := &page{style: style}
	g := v.graph(style.Graph)
	v.head(p, g)
	foot := v.foot(p)
	if g == nil {
		p.add("", "there is no graph to draw yet")
	} else {
		curves := v.curves(g)
		legend := v.legend(p, g, curves, max(2, (style.Height-len(p.lines)-len(foot))/3))
		rows := style.Height - len(p.lines) - len(legend) - len(foot) - 1
		if rows > 0 {
			v.plot(p, g, curves, rows)
		}
		p.lines = append(p.lines, legend...)
	}
	p.lines = append(p.lines, foot...)
	return p.lines[:min(len(p.lines), style.Height)]
}

// Text is one snapshot as plain text: the values of all graphs with their units and levels.
func (v *View) Text() string {
	p := &page{style: Style{Width: math.MaxInt32}}
	for _, name := range v.Graphs() {
		g := v.graph(name)
		p.add("", graphName(g))
		curves := v.curves(g)
		p.lines = append(p.lines, v.legend(p, g, curves, math.MaxInt32)...)
		p.lines = append(p.lines, "")
	}
	p.lines = append(p.lines, v.foot(p)...)
	return strings.TrimRight(strings.Join(p.lines, "\n"), "\n") + "\n"
}

func graphName(g *munin.Graph) string {
	text := g.Name + ": " + g.Title
	if unit := g.Unit(); unit != "" {
		text += " (" + unit + ")"
	}
	return text
}

// head says what is shown and when it was measured.
func (v *View) head(p *page, g *munin.Graph) {
	left := v.plugin
	if g != nil {
		left = graphName(g)
	}
	right := ""
	if !v.at.IsZero() {
		right = fmt.Sprintf("%s, took %v", v.at.Format(time.TimeOnly), v.took.Round(time.Millisecond))
	}
	gap := p.style.Width - utf8.RuneCountInString(left) - utf8.RuneCountInString(right)
	if gap < 1 {
		left = cut(left, p.style.Width-utf8.RuneCountInString(right)-1)
		gap = p.style.Width - utf8.RuneCountInString(left) - utf8.RuneCountInString(right)
	}
	p.add(bold, left+strings.Repeat(" ", max(gap, 1))+right)
}

// foot says what went wrong and which other graphs there are.
func (v *View) foot(p *page) []string {
	below := &page{style: p.style}
	if v.failure != "" {
		below.add(red, "failed: "+v.failure)
	}
	const most = 4
	for i, word := range v.words {
		if i == most {
			break
		}
		below.add(yellow, word)
	}
	if names := v.Graphs(); len(names) > 1 && p.style.Width < math.MaxInt32 {
		below.add(dim, fmt.Sprintf("%d graphs, --graph shows another: %s", len(names), strings.Join(names, " ")))
	}
	return below.lines
}

// add appends a line in one colour, cut to the width.
func (p *page) add(colour, text string) {
	p.lines = append(p.lines, p.paint(colour, cut(text, p.style.Width)))
}

func (p *page) paint(colour, text string) string {
	if colour == "" || !p.style.Colour {
		return text
	}
	return colour + text + plain
}

// mark is how a curve looks in the picture and in the legend.
func (p *page) mark(i int) (colour string, letter rune) {
	colours := curveColours()
	const letters = "abcdefghijklmnopqrstuvwxyz"
	return colours[i%len(colours)], rune(letters[i%len(letters)])
}

// plot draws the curves with an axis on the left, and below it how many values there are.
func (v *View) plot(p *page, g *munin.Graph, curves []curve, rows int) {
	width := p.style.Width - axisWidth
	s := fit(curves, width*dotsAcross)
	pic := newPicture(width, rows)
	for i := range curves {
		pic.line(curves[i].drawn, s, i)
	}
	levels := make(map[int]bool) // row → critical
	for i := range curves {
		for _, b := range curves[i].bounds() {
			if b.value >= s.low && b.value <= s.high {
				row := s.row(b.value, rows)
				levels[row] = levels[row] || b.critical
			}
		}
	}
	ticks := s.ticks(rows)
	for y := range rows {
		label := ""
		if value, ok := ticks[y]; ok {
			label = format(g, value)
		}
		axis := p.paint(dim, fmt.Sprintf("%*s │", axisWidth-2, cut(label, axisWidth-2)))
		p.lines = append(p.lines, axis+p.row(pic, y, levels, len(curves)))
	}
	shown := 0
	for i := range curves {
		shown = max(shown, min(len(curves[i].drawn), width*dotsAcross))
	}
	text := fmt.Sprintf("the last %d runs, newest on the right", shown)
	if shown < 2 {
		text = "one run so far; the newest is on the right"
	}
	p.add(dim, strings.Repeat(" ", axisWidth)+text)
}

// row is one row of the picture.
func (p *page) row(pic *picture, y int, levels map[int]bool, curves int) string {
	var b strings.Builder
	critical, levelled := levels[y]
	levelColour := yellow
	if critical {
		levelColour = red
	}
	for x := range pic.width {
		r, owner := pic.cell(x, y)
		switch {
		case owner == nobody && levelled && x%2 == 0:
			b.WriteString(p.paint(levelColour, "-"))
		case owner == nobody:
			b.WriteByte(' ')
		case p.style.Colour:
			colour, _ := p.mark(owner)
			b.WriteString(colour + string(r) + plain)
		case curves > 1:
			_, letter := p.mark(owner)
			b.WriteRune(letter)
		default:
			b.WriteRune(r)
		}
	}
	return strings.TrimRight(b.String(), " ")
}

// legend is a table of the curves, of at most the given number of lines.
func (v *View) legend(p *page, g *munin.Graph, curves []curve, most int) []string {
	const fixed = 52 // what the other columns need
	narrow := p.style.Width < fixed+10
	label := 5
	for i := range curves {
		label = max(label, utf8.RuneCountInString(curves[i].label))
	}
	label = min(label, 24, max(10, p.style.Width-fixed))
	head := "    " + pad("label", label) + fmt.Sprintf(" %9s", "now")
	if !narrow {
		head += fmt.Sprintf(" %9s %9s", "least", "most")
	}
	below := &page{style: p.style}
	below.add(dim, head+"  state     levels")
	for i := range curves {
		if len(below.lines) == most-1 && i < len(curves)-1 {
			below.add(dim, fmt.Sprintf("    and %d more", len(curves)-i))
			break
		}
		c := &curves[i]
		colour, letter := p.mark(i)
		sign := string(letter)
		if p.style.Colour {
			sign = "━"
		}
		text := " " + pad(c.label, label) + fmt.Sprintf(" %9s", format(g, c.last()))
		if !narrow {
			least, greatest := extremes(c.values)
			text += fmt.Sprintf(" %9s %9s", format(g, least), format(g, greatest))
		}
		state := pad(c.level.String(), 9)
		levels := " " + c.levels()
		room := p.style.Width - 5 - utf8.RuneCountInString(text) - utf8.RuneCountInString(state)
		line := "  " + p.paint(colour, sign) + text + "  " + p.paint(levelColour(c.level), state) + cut(levels, room)
		below.lines = append(below.lines, strings.TrimRight(line, " "))
	}
	return below.lines
}

// pad makes a text exactly as wide.
func pad(text string, width int) string {
	text = cut(text, width)
	return text + strings.Repeat(" ", width-utf8.RuneCountInString(text))
}

func (c *curve) levels() string {
	var words []string
	if !c.warning.IsZero() {
		words = append(words, "warning "+c.warning.String())
	}
	if !c.critical.IsZero() {
		words = append(words, "critical "+c.critical.String())
	}
	return strings.Join(words, ", ")
}

func levelColour(l munin.Level) string {
	switch l {
	case munin.Critical:
		return red
	case munin.Warning, munin.Unknown:
		return yellow
	case munin.OK:
	}
	return ""
}

func extremes(values []float64) (least, greatest float64) {
	least, greatest = math.NaN(), math.NaN()
	for _, v := range values {
		if math.IsNaN(v) {
			continue
		}
		if !(least <= v) {
			least = v
		}
		if !(greatest >= v) {
			greatest = v
		}
	}
	return least, greatest
}

// format is a number as the graph wants it.
func format(g *munin.Graph, v float64) string {
	switch {
	case math.IsNaN(v):
		return "-"
	case math.Abs(v) >= 1e12 && g.NoScale, math.Abs(v) >= 1e20, v != 0 && math.Abs(v) < 1e-15:
		return fmt.Sprintf("%.2g", v)
	case g.NoScale:
		return munin.FormatValue(v, 0)
	}
	return munin.FormatValue(v, g.Base())
}

// cut shortens a text to a number of characters.
func cut(text string, width int) string {
	runes := []rune(text)
	switch {
	case len(runes) <= width:
		return text
	case width < 1:
		return ""
	}
	return string(runes[:width-1]) + "…"
}
