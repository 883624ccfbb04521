// Package watch draws what a plugin says into a terminal: the last values of one of its graphs as a curve, with
// the labels, units and levels of its config.
//
// A View is fed with one run after the other and draws itself as text. It knows no terminal, clock or plugin.
package watch

import (
	"math"
	"slices"
	"time"

	"corbie/munin"
)

// maxHistory is how many values of a field are kept: more than the widest terminal shows.
const maxHistory = 1000

// View is the last values of a plugin's graphs. It is for one goroutine.
type View struct {
	plugin string
	graphs []munin.Graph
	series map[key]*series
	runs   int // that gave values
	at     time.Time
	took   time.Duration
	// failure is why the last run gave nothing, and words what else is to be said below the picture.
	failure string
	words   []string
}

type key struct{ graph, field string }

// series is one field's values, a value a run; NaN is unknown.
type series struct {
	source munin.Source
	rater  *munin.Rater
	values []float64
}

// Run is what one run of a plugin gave.
type Run struct {
	At     time.Time
	Took   time.Duration
	Config munin.Reply
	Values munin.Reply
	// Failure says why there are no values; empty when there are some.
	Failure string
	Words   []string // for the author, such as what is wrong with the plugin
}

// New makes a view of a plugin that has not run yet.
func New(plugin string) *View { return &View{plugin: plugin, series: make(map[key]*series)} }

// Add takes the next run, which must be later than the one before. After one that failed the curve has a gap.
func (v *View) Add(run Run) {
	v.at, v.took, v.failure, v.words = run.At, run.Took, run.Failure, run.Words
	if len(run.Config.Graphs) > 0 {
		v.graphs = run.Config.Graphs
	}
	v.runs++
	said := make(map[key][]munin.Point)
	for _, s := range run.Values.Samples {
		at := run.At
		if !s.At.IsZero() {
			at = s.At
		}
		k := key{s.Graph, s.Field}
		said[k] = append(said[k], munin.Point{T: at.UnixMilli(), V: s.Value})
	}
	known := make(map[key]bool)
	for i := range v.graphs {
		g := &v.graphs[i]
		for j := range g.Fields {
			k := key{g.Name, g.Fields[j].Name}
			known[k] = true
			v.seriesFor(k, g, &g.Fields[j]).add(said[k])
		}
	}
	for k := range v.series {
		if !known[k] {
			delete(v.series, k)
		}
	}
}

// seriesFor is the history of a field. It begins anew when the config gives the values another meaning.
func (v *View) seriesFor(k key, g *munin.Graph, f *munin.Field) *series {
	const noInterval = 0 // A pause between two runs costs no rate.
	source := g.Source("", f, noInterval)
	source.Heartbeat = 0
	s := v.series[k]
	if s == nil || s.source.Type != source.Type || s.source.Bounds != source.Bounds {
		s = &series{source: source, rater: munin.NewRater(source)}
		for range min(v.runs-1, maxHistory-1) {
			s.values = append(s.values, math.NaN())
		}
		v.series[k] = s
	}
	return s
}

// add takes the values of one run, of which the last one is shown.
func (s *series) add(points []munin.Point) {
	value := math.NaN()
	for _, p := range points {
		value = s.rater.Next(p)
	}
	if len(s.values) == maxHistory {
		s.values = slices.Delete(s.values, 0, 1)
	}
	s.values = append(s.values, value)
}

// Graphs names the graphs that can be drawn, in the order of the config.
func (v *View) Graphs() []string {
	var names []string
	for i := range v.graphs {
		if len(v.graphs[i].Fields) > 0 {
			names = append(names, v.graphs[i].Name)
		}
	}
	return names
}

// HasRates says whether some values are only known after a second run.
func (v *View) HasRates() bool {
	for _, s := range v.series {
		if s.source.Type.IsRate() {
			return true
		}
	}
	return false
}

// graph finds a graph by name; the first one without a name. It is nil where there is none.
func (v *View) graph(name string) *munin.Graph {
	for i := range v.graphs {
		if v.graphs[i].Name == name || name == "" && len(v.graphs[i].Fields) > 0 {
			return &v.graphs[i]
		}
	}
	return nil
}

// curve is one line of the picture.
type curve struct {
	label    string
	values   []float64 // as in the legend
	drawn    []float64 // as in the picture: stacked on others, or mirrored below zero
	level    munin.Level
	warning  munin.Bounds
	critical munin.Bounds
}

func (c *curve) last() float64 {
	if len(c.values) == 0 {
		return math.NaN()
	}
	return c.values[len(c.values)-1]
}

// curves are what is drawn of a graph, in the order of drawing.
func (v *View) curves(g *munin.Graph) []curve {
	var (
		list []curve
		base []float64
	)
	for i := range g.Fields {
		f := &g.Fields[i]
		if f.Hidden {
			continue
		}
		c := v.curve(g, f)
		c.drawn = c.values
		if f.Draw.Kind == munin.Stack || len(list) > 0 && (f.Draw.Kind == munin.AreaStack || f.Draw.Kind == munin.LineStack) {
			c.drawn = sum(base, c.values)
		}
		base = c.drawn
		list = append(list, c)
		if other, ok := g.Field(f.Negative); ok && f.Negative != "" {
			below := v.curve(g, other)
			below.label = "− " + below.label
			below.drawn = make([]float64, len(below.values))
			for j, value := range below.values {
				below.drawn[j] = -value
			}
			list = append(list, below)
		}
	}
	return list
}

// curve is a field with the values that people see: per graph_period, and after cdef. Levels look at neither.
func (v *View) curve(g *munin.Graph, f *munin.Field) curve {
	c := curve{label: f.Label, warning: f.Warning, critical: f.Critical}
	raw := v.scaled(g, f.Name, 1)
	if n := len(raw); n > 0 {
		switch last := raw[n-1]; {
		case math.IsNaN(last):
			c.level = munin.Unknown
		case f.Critical.Outside(last):
			c.level = munin.Critical
		case f.Warning.Outside(last):
			c.level = munin.Warning
		}
	}
	c.values = v.scaled(g, f.Name, g.PeriodFactor())
	if f.CDEF == "" {
		return c
	}
	expression, err := munin.CompileCDEF(f.CDEF)
	if err != nil {
		return c
	}
	n := len(c.values)
	values, err := expression.Eval(munin.CDEFInput{
		Steps: n, Start: v.at.Add(-time.Duration(n) * time.Second), Step: time.Second, Now: v.at,
		Values: func(name string) []float64 { return v.scaled(g, name, g.PeriodFactor()) },
	})
	if err == nil {
		c.values = values
	}
	return c
}

func (v *View) scaled(g *munin.Graph, field string, factor float64) []float64 {
	s := v.series[key{g.Name, field}]
	if s == nil {
		return nil
	}
	scaled := make([]float64, len(s.values))
	for i, value := range s.values {
		scaled[i] = value * factor
	}
	return scaled
}

// sum stacks values on those below them; unknown ones below count as nothing.
func sum(below, values []float64) []float64 {
	total := slices.Clone(values)
	for i := range min(len(below), len(total)) {
		if !math.IsNaN(below[i]) {
			total[i] += below[i]
		}
	}
	return total
}
