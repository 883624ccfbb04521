package chart

import (
	"math"
	"slices"
	"time"

	"corbie/munin"
)

// maxMarks is how many marks one picture shows; of more, the newest.
const maxMarks = 60

// Mark is something that happened, at an instant or over a time.
type Mark struct {
	At    time.Time
	To    time.Time // zero: an instant
	Label string
	// Level gives a mark of a problem its colour; OK is grey.
	Level munin.Level
}

func (m *Mark) colour() Colour {
	if m.Level == munin.Unknown {
		return Colour{Light: "#1f62ad", Dark: "#85b6f2"}
	}
	return levelColour(m.Level)
}

// AddMarks puts marks on the picture. Those outside the range are left out.
func (m *Model) AddMarks(marks []Mark) {
	for _, mark := range marks {
		end := mark.At
		if !mark.To.IsZero() {
			end = mark.To
		}
		if end.Before(m.Range.From) || !mark.At.Before(m.Range.To) {
			continue
		}
		m.Marks = append(m.Marks, mark)
	}
	slices.SortStableFunc(m.Marks, func(a, b Mark) int { return a.At.Compare(b.At) })
	if len(m.Marks) > maxMarks {
		m.Marks = m.Marks[len(m.Marks)-maxMarks:]
	}
}

// Overlay draws the curves of an earlier time of the same graph over this one's, each moved to its place on this
// one's axis. label says when they are from ("a week before"). A stack is drawn as the line of its top.
func (m *Model) Overlay(earlier *Model, label string) {
	n := m.Buckets()
	if n == 0 || len(m.Curves) == 0 {
		return
	}
	if earlier.Empty() {
		m.Notes = append(m.Notes, "There is nothing to compare with: no values are known of "+label+".")
		return
	}
	tops := make(map[int]int) // the last curve of each stack
	for i := range earlier.Curves {
		if c := &earlier.Curves[i]; c.Stack > 0 {
			tops[c.Stack] = i
		}
	}
	for i := range earlier.Curves {
		c := &earlier.Curves[i]
		if c.Stack > 0 && tops[c.Stack] != i || c.Total {
			continue
		}
		name := c.Label
		values := c.Top
		if c.Stack > 0 && c.Stacked {
			name = "all of it"
		}
		past := Curve{
			Label: name + ", " + label + sign(c), Colour: c.Colour, Shape: Line, Width: 1, Past: true, Mirrored: c.Mirrored,
			Values: fitted(c.Values, n), Top: fitted(values, n), Figures: c.Figures,
		}
		if c.Stack > 0 {
			past.Colour = inkColour()
			past.Values = fitted(values, n)
		}
		m.Curves = append(m.Curves, past)
	}
}

func sign(c *Curve) string {
	if c.Mirrored {
		return " (−)"
	}
	return ""
}

// fitted are n values: what is missing at the end is unknown.
func fitted(values []float64, n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = math.NaN()
		if i < len(values) {
			out[i] = values[i]
		}
	}
	return out
}

// future is where the future begins, where the picture shows some of it.
func (m *Model) future() (at time.Time, ok bool) {
	return m.now, m.now.After(m.Range.From) && m.now.Add(m.Step).Before(m.Range.To)
}

// marks draws what happened as hairlines and light bands, with a triangle at the top of the plot and its words where
// there is room.
func (d *sketch) marks() {
	m, s, plot := d.model, d.scene, d.scene.Plot
	if now, ok := m.future(); ok {
		x := math.Round(plot.X+d.xOf(now)) + 0.5
		s.add(Item{Kind: Stroke, Colour: mutedColour(), Width: 1, Dashed: true, Paths: [][]Point{straight(x, plot.Y, x, plot.Y+plot.H)}})
		s.offer(Item{Text: "now", Size: tickFont - 1, Colour: mutedColour(), Halo: true, X: x + 3, Y: plot.Y + plot.H - 4})
	}
	for i := range m.Marks {
		mark := &m.Marks[i]
		c := mark.colour()
		tip := cut(oneLine(mark.At.In(m.location).Format("2 Jan 15:04")+" "+mark.Label), 200)
		x := math.Max(d.xOf(mark.At), 0)
		if !mark.To.IsZero() {
			end := math.Min(d.xOf(mark.To), plot.W)
			s.fill(Box{x, 0, math.Max(end-x, 1), plot.H}, c, 0.12, true)
			s.Items[len(s.Items)-1].Tip = tip
		}
		if mark.At.Before(m.Range.From) {
			continue
		}
		at := math.Round(plot.X+x) + 0.5
		left, top := tenths(at), tenths(plot.Y)
		s.add(Item{Kind: Stroke, Colour: c, Width: 1, Dashed: true, Tip: tip, Paths: [][]Point{straight(at, plot.Y, at, plot.Y+plot.H)}})
		s.add(Item{Kind: Fill, Colour: c, Tip: tip, Paths: [][]Point{{{left - 35, top - 10}, {left + 35, top - 10}, {left, top + 50}}}})
		d.markLabel(mark, at)
	}
}

// markLabel writes a mark's words beside it, lower down where another is near, or not at all: on a small picture they
// would cover the curves.
func (d *sketch) markLabel(mark *Mark, at float64) {
	const roomy = 420
	plot := d.scene.Plot
	if plot.W < roomy {
		return
	}
	label := Item{
		Text: fit(oneLine(mark.Label), tickFont-1, math.Min(plot.W/3, 160)), Size: tickFont - 1, Colour: mark.colour(), Halo: true,
		X: at + 5, Y: plot.Y + 8,
	}
	if at > plot.X+plot.W/2 {
		label.X, label.Anchor = at-5, Right
	}
	for range 3 {
		if label.Y > plot.Y+plot.H/2 || d.scene.offer(label) {
			return
		}
		label.Y += 11
	}
}

// markSeries are the marks as ECharts draws them: lines and areas of one series.
func (c *completer) markSeries() (lines, areas []map[string]any) {
	for i := range c.model.Marks {
		mark := &c.model.Marks[i]
		colour := mark.colour().In(c.theme)
		at := mark.At.UnixMilli()
		if !mark.At.Before(c.model.Range.From) {
			lines = append(lines, map[string]any{
				"xAxis": at, "name": cut(oneLine(mark.Label), 60), "symbol": "none", "lineStyle": map[string]any{"color": colour, "type": "dotted", "width": 1},
				"label": map[string]any{"show": false},
			})
		}
		if !mark.To.IsZero() {
			areas = append(areas, map[string]any{
				"from": max(at, c.model.Range.From.UnixMilli()), "to": min(mark.To.UnixMilli(), c.model.Range.To.UnixMilli()), "colour": colour,
			})
		}
	}
	return lines, areas
}

// markArea is the option that shows areas.
func markArea(areas []map[string]any) map[string]any {
	data := make([][]map[string]any, 0, len(areas))
	for _, a := range areas {
		data = append(data, []map[string]any{
			{"xAxis": a["from"], "itemStyle": map[string]any{"color": a["colour"], "opacity": 0.12}}, {"xAxis": a["to"]},
		})
	}
	return map[string]any{"silent": true, "animation": false, "data": data}
}
