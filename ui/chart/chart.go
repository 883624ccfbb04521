// Package chart turns a graph's description and the values of its fields into a picture. One renderer-neutral
// Model holds what is drawn and says what every number means; an SVG and the options of an ECharts chart are
// made from it, so that both show the same.
package chart

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"corbie/munin"
)

// Request is what a picture shows.
type Request struct {
	Host  string // shown before the title; may be empty
	Graph *munin.Graph
	// Series are the fields' values in any order, all with the same start and step. A field without one is
	// unknown throughout.
	Series   []munin.Series
	Range    munin.Range    // the visible time
	Interval time.Duration  // between two samples of this graph; 0 when it is not known
	Sum      time.Duration  // rates are shown as what they add up to in this time, an hour or a day; 0: by graph_period
	Location *time.Location // of the time axis; nil is UTC
	Now      time.Time
}

// Model is a picture before it has a size.
type Model struct {
	Host  string
	Title string
	Unit  string
	Base  int // of the prefixes: 1000 or 1024; 0 means none
	Range munin.Range
	Start time.Time // of the first bucket
	Step  time.Duration
	// Curves are in drawing order: later ones lie above earlier ones.
	Curves []Curve
	Rules  []Rule
	// Marks are what happened in the range, oldest first.
	Marks []Mark
	// Fields are the figures of every field of the graph, hidden ones too, in the graph's order.
	Fields []FieldFigures
	// Notes say in words what could not be drawn and why.
	Notes []string

	printf   *printf
	limits   limits
	location *time.Location
	now      time.Time
}

// Shape is how a curve is drawn.
type Shape int

// The shapes.
const (
	Line Shape = iota
	Area
)

// Curve is one field as it is drawn. Its slices have one value a bucket, NaN where unknown.
type Curve struct {
	Field    string
	Label    string
	Colour   Colour
	Shape    Shape
	Width    float64 // of the line in pixels
	Mirrored bool    // drawn below zero
	Total    bool    // the sum of all others, not a field
	Past     bool    // of an earlier time, for comparison
	Derived  bool    // a trend or a prediction of a field
	Stack    int     // curves of one stack share a number from 1; 0 stands alone
	Stacked  bool    // stands on the curve of its stack before it
	Values   []float64
	// Bottom and Top are where it is drawn, mirrored curves below zero. Bottom is nil for what begins at zero.
	Bottom, Top []float64
	// Low and High are the smallest and largest values behind each bucket, where it is drawn; nil without band.
	Low, High []float64
	Figures   Figures
}

// Figures are the numbers of the visible range. NaN is unknown.
type Figures struct {
	Current, Min, Average, Max float64
	P95                        float64 // what 95 of 100 buckets do not exceed
	// Total is what a rate added up to over the visible range: bytes where the unit is bytes per second. It is NaN for
	// what is not a rate of something.
	Total float64
	At    time.Time // of Current; zero when it is unknown
}

// FieldFigures are the figures of a field, with the colour of its curve where it has one of its own or is
// mirrored by another.
type FieldFigures struct {
	Name     string
	Drawn    bool
	Mirrored bool
	Colour   Colour
	// Values are one a bucket, after graph_period and cdef, as the curve shows them; NaN where unknown.
	Values  []float64
	Figures Figures
}

// Rule is a horizontal line: a warning or critical level, or a line that the plugin asked for.
type Rule struct {
	Value  float64
	Level  munin.Level // OK for a line that the plugin asked for
	Label  string
	Colour Colour
}

// New builds the model. It never fails: what cannot be drawn is left out and said in Notes.
func New(req Request) *Model {
	b := newBuilder(req)
	for i := range req.Graph.Fields {
		b.addField(&req.Graph.Fields[i])
	}
	b.addTotal()
	b.addBands()
	b.addRules()
	b.addDerived()
	b.addFigures()
	return b.model
}

// Empty says whether there is no known value to draw.
func (m *Model) Empty() bool {
	for i := range m.Curves {
		if slices.ContainsFunc(m.Curves[i].Top, known) {
			return false
		}
	}
	return true
}

// Describe is the picture in words, for those who cannot see it: the range and each curve's figures.
func (m *Model) Describe() string {
	const most = 8
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s to %s.", m.Title, m.Range.From.In(m.location).Format("Mon 2 Jan 2006 15:04"),
		m.Range.To.In(m.location).Format("Mon 2 Jan 2006 15:04"))
	if m.Empty() {
		b.WriteString(" There are no values in this time.")
		return b.String()
	}
	for i := range m.Curves {
		if i == most {
			fmt.Fprintf(&b, " And %d more.", len(m.Curves)-most)
			break
		}
		c := &m.Curves[i]
		fmt.Fprintf(&b, " %s: now %s, average %s, maximum %s.", c.LegendLabel(m), m.Format(c.Figures.Current),
			m.Format(c.Figures.Average), m.Format(c.Figures.Max))
	}
	return b.String()
}

// Format writes a value with the prefixes of this graph.
// It follows graph_printf where the plugin said one.
func (m *Model) Format(v float64) string {
	if m.printf != nil && known(v) {
		return m.printf.format(v, m.Base)
	}
	return munin.FormatValue(v, m.Base)
}

// LegendLabel is the curve's label, with its direction where the picture has two.
func (c *Curve) LegendLabel(m *Model) string {
	label := cut(c.Label, 80)
	if c.Derived || c.Past || !m.mirrors() {
		return label
	}
	if c.Mirrored {
		return label + " (−)"
	}
	return label + " (+)"
}

func (m *Model) mirrors() bool {
	return slices.ContainsFunc(m.Curves, func(c Curve) bool { return c.Mirrored })
}

// Buckets is how many values each curve has.
func (m *Model) Buckets() int {
	if len(m.Curves) == 0 {
		return 0
	}
	return len(m.Curves[0].Values)
}

// StepFor is the step of a query that gives at most most buckets over the range: a multiple of the interval
// between two samples, so that every bucket stands for equally many.
func StepFor(r munin.Range, interval time.Duration, most int) time.Duration {
	interval = max(interval, time.Second)
	most = max(most, 1)
	buckets := (r.Duration() + interval - 1) / interval
	times := (buckets + time.Duration(most) - 1) / time.Duration(most)
	return interval * max(times, 1)
}

// Align widens a range to whole steps since 1970, so that the same buckets come back at every refresh.
func Align(r munin.Range, step time.Duration) munin.Range {
	size := step.Milliseconds()
	floor := func(t time.Time) int64 {
		ms := t.UnixMilli()
		return ms - ((ms%size)+size)%size
	}
	to := floor(r.To)
	if to < r.To.UnixMilli() {
		to += size
	}
	return munin.Range{From: time.UnixMilli(floor(r.From)).UTC(), To: time.UnixMilli(to).UTC()}
}

func known(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
