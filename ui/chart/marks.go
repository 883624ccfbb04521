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

// marks draws what happened as hairlines and light bands, with a triangle at the top of the plot.
func (d *drawing) marks() {
	for i := range d.model.Marks {
		mark := &d.model.Marks[i]
		c := mark.colour()
		x := math.Max(d.xOf(mark.At), 0)
		d.b = append(d.b, `<g><title>`...)
		d.b = appendEscaped(d.b, cut(oneLine(mark.At.In(d.model.location).Format("2 Jan 15:04")+" "+mark.Label), 200))
		d.b = append(d.b, `</title>`...)
		if !mark.To.IsZero() {
			end := math.Min(d.xOf(mark.To), d.at.w)
			d.open("rect")
			d.rectangle(d.at.x+x, d.at.y, math.Max(end-x, 1), d.at.h)
			d.fill(c)
			d.opacity(0.12)
			d.end()
		}
		if !mark.At.Before(d.model.Range.From) {
			at := math.Round(d.at.x+x) + 0.5
			d.line(at, d.at.y, at, d.at.y+d.at.h, c, "2 2")
			d.open("path")
			d.b = append(d.b, ` d="M`...)
			d.b = appendNumber(d.b, at-3.5)
			d.b = append(d.b, ' ')
			d.b = appendNumber(d.b, d.at.y-1)
			d.b = append(d.b, `h7l-3.5 6Z"`...)
			d.fill(c)
			d.end()
		}
		d.b = append(d.b, `</g>`...)
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
				"xAxis": at, "name": cut(oneLine(mark.Label), 60), "symbol": []string{"none", "triangle"}, "symbolSize": 7,
				"symbolRotate": 180, "lineStyle": map[string]any{"color": colour, "type": "dotted", "width": 1},
				"itemStyle": map[string]any{"color": colour}, "label": map[string]any{"show": false},
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
