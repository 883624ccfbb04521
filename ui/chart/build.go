package chart

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"corbie/munin"
)

// Limits on what one picture draws, whatever a plugin asks for.
const (
	maxCurves = 200
	maxRules  = 6
	maxBands  = 4
)

// columns are the values of one field after graph_period and cdef, one a bucket.
type columns struct {
	avg, low, high []float64
	counts         []int
	last           float64
	lastAt         time.Time
}

type builder struct {
	req     Request
	model   *Model
	series  map[string]*munin.Series
	raw     map[string]*columns // after graph_period, before cdef
	shown   map[string]*columns
	buckets int
	// up and down are the tops of what was drawn last above and below zero; nil before the first.
	up, down *pile
	stacks   int
	joined   bool // an AREASTACK or LINESTACK was seen: later ones stand on it
	colours  int
}

// pile is what the next stacked curve stands on.
type pile struct {
	top   []float64
	shape Shape
	width float64
	stack int
	curve int // index of its lowest curve
}

func newBuilder(req Request) *builder {
	if req.Location == nil {
		req.Location = time.UTC
	}
	g := req.Graph
	b := &builder{
		req: req, series: make(map[string]*munin.Series), raw: make(map[string]*columns),
		shown: make(map[string]*columns),
		model: &Model{
			Host: req.Host, Title: g.Title, Unit: g.Unit(), Base: g.Base(), Range: req.Range,
			limits: parseLimits(g.AllArgs()), location: req.Location, now: req.Now,
		},
	}
	b.name()
	b.model.Start, b.model.Step = req.Range.From, req.Range.Duration()
	for i := range req.Series {
		s := &req.Series[i]
		b.series[s.ID.Field] = s
		if b.buckets == 0 && len(s.Buckets) > 0 {
			b.buckets, b.model.Start, b.model.Step = len(s.Buckets), s.Start, s.Step
		}
	}
	return b
}

// name gives the model its words.
func (b *builder) name() {
	g, m := b.req.Graph, b.model
	if m.Title == "" || m.Title == g.Name && m.limits.title != "" {
		m.Title = m.limits.title
	}
	if m.Title == "" {
		m.Title = g.Name
	}
	m.Title = b.expand(m.Title)
	if m.Unit == "" {
		m.Unit = m.limits.label
	}
	b.nameSum()
	if g.NoScale {
		m.Base = 0
	}
	if g.Printf != "" {
		format, ok := parsePrintf(g.Printf)
		if !ok {
			b.note("graph_printf %q is not a format of one number, such as %%6.2lf.", cut(g.Printf, 40))
			return
		}
		format.prefix = format.prefix || !g.NoScale
		m.printf = format
	}
}

// expand puts the period into a text.
func (b *builder) expand(text string) string {
	return strings.ReplaceAll(text, "${graph_period}", b.req.Graph.Period)
}

func (b *builder) note(format string, args ...any) {
	if len(b.model.Notes) < 20 {
		b.model.Notes = append(b.model.Notes, fmt.Sprintf(format, args...))
	}
}

// hidden says whether a field is not drawn by itself: by its own word or by "-name" in graph_order.
func (b *builder) hidden(f *munin.Field) bool {
	return f.Hidden || slices.Contains(b.req.Graph.Order, "-"+f.Name)
}

// addField draws a field, and the one that it mirrors below zero.
func (b *builder) addField(f *munin.Field) {
	if b.hidden(f) {
		return
	}
	if len(b.model.Curves) >= maxCurves {
		if len(b.model.Curves) == maxCurves {
			b.note("Only the first %d curves are drawn; the table has all of them.", maxCurves)
		}
		return
	}
	cols, ok := b.columns(f)
	if !ok {
		return
	}
	colour := b.colour(f)
	b.up = b.draw(f, cols, colour, b.up, false)
	if f.Negative != "" {
		other, found := b.req.Graph.Field(f.Negative)
		if !found {
			b.note("%s names %s as its negative, but there is no such field.", f.Name, f.Negative)
		} else if cols, ok := b.columns(other); ok {
			b.down = b.draw(f, cols, colour, b.down, true)
			drawn := &b.model.Curves[len(b.model.Curves)-1]
			drawn.Field, drawn.Label = other.Name, b.expand(other.Label)
		}
	}
	if f.Draw.Kind == munin.AreaStack || f.Draw.Kind == munin.LineStack {
		b.joined = true
	}
}

func (b *builder) colour(f *munin.Field) Colour {
	index := b.colours
	b.colours++
	return fieldColour(f.Colour, index)
}

// draw appends a curve and gives back what the next one may stand on.
func (b *builder) draw(f *munin.Field, cols *columns, colour Colour, under *pile, mirrored bool) *pile {
	shape, width, stacked := b.shape(f.Draw, under)
	c := Curve{
		Field: f.Name, Label: b.expand(f.Label), Colour: colour, Shape: shape, Width: width, Mirrored: mirrored,
		Stacked: stacked, Values: cols.avg, Figures: b.figures(cols, f),
	}
	sign := 1.0
	if mirrored {
		sign = -1
	}
	c.Top = make([]float64, len(cols.avg))
	next := &pile{top: c.Top, shape: shape, width: width, curve: len(b.model.Curves)}
	if !stacked {
		for i, v := range cols.avg {
			c.Top[i] = sign * v
		}
		b.model.Curves = append(b.model.Curves, c)
		return next
	}
	b.stackOn(under)
	c.Stack, next.stack, next.curve = under.stack, under.stack, under.curve
	c.Bottom = slices.Clone(under.top)
	next.top = make([]float64, len(c.Top))
	for i, v := range cols.avg {
		if math.IsNaN(c.Bottom[i]) {
			c.Bottom[i] = 0
		}
		c.Top[i] = c.Bottom[i] + sign*v
		next.top[i] = c.Top[i]
		if math.IsNaN(v) { // unknown has no height: what comes after stands on what is known
			next.top[i] = under.top[i]
		}
	}
	b.model.Curves = append(b.model.Curves, c)
	return next
}

// stackOn gives the pile a stack number when the second curve comes to stand on the first.
func (b *builder) stackOn(under *pile) {
	if under.stack == 0 {
		b.stacks++
		under.stack = b.stacks
		b.model.Curves[under.curve].Stack = under.stack
	}
}

// shape follows rrdtool: STACK is drawn as what it stands on, and the first of several stacked ones is not.
func (b *builder) shape(d munin.Draw, under *pile) (shape Shape, width float64, stacked bool) {
	width = max(d.Width, 1)
	switch d.Kind {
	case munin.Area:
		return Area, width, false
	case munin.Stack:
		if under == nil {
			return Line, 1, false
		}
		return under.shape, under.width, true
	case munin.AreaStack:
		return Area, width, b.joined && under != nil
	case munin.LineStack:
		return Line, width, b.joined && under != nil
	default:
		return Line, width, false
	}
}

// columns are the values of a field as people see them; ok is false when its cdef cannot be used.
func (b *builder) columns(f *munin.Field) (cols *columns, ok bool) {
	if cols, done := b.shown[f.Name]; done {
		return cols, cols != nil
	}
	cols = b.scaled(f.Name)
	if f.CDEF != "" {
		var err error
		if cols, err = b.evaluate(f, cols); err != nil {
			b.note("%s is not drawn: %v.", f.Name, err)
			b.shown[f.Name] = nil
			return nil, false
		}
	}
	b.shown[f.Name] = cols
	return cols, true
}

// scaled are a field's values by graph_period; a field without values is unknown throughout.
func (b *builder) scaled(name string) *columns {
	if cols, done := b.raw[name]; done {
		return cols
	}
	factor := 1.0
	if f, ok := b.req.Graph.Field(name); ok && f.Type.IsRate() {
		factor = b.periodFactor()
	}
	cols := &columns{
		avg: make([]float64, b.buckets), low: make([]float64, b.buckets), high: make([]float64, b.buckets),
		counts: make([]int, b.buckets), last: math.NaN(),
	}
	b.raw[name] = cols
	s, ok := b.series[name]
	if !ok || len(s.Buckets) != b.buckets {
		for i := range b.buckets {
			cols.avg[i], cols.low[i], cols.high[i] = math.NaN(), math.NaN(), math.NaN()
		}
		return cols
	}
	for i, bucket := range s.Buckets {
		if bucket.Count == 0 || !known(bucket.Avg) {
			bucket = munin.Gap()
		}
		cols.avg[i], cols.low[i], cols.high[i] = bucket.Avg*factor, bucket.Min*factor, bucket.Max*factor
		cols.counts[i] = bucket.Count
	}
	if b.req.Interval > 0 && s.Step == b.req.Interval {
		cols.bridge()
	}
	if known(s.Last.V) {
		cols.last, cols.lastAt = s.Last.V*factor, s.Last.Time()
	}
	return cols
}

// bridge fills a lone empty bucket beside one that holds two samples: the sample came early or late and fell
// into its neighbour. Nothing is missing there.
func (c *columns) bridge() {
	for i := 1; i+1 < len(c.avg); i++ {
		if c.counts[i] == 0 && c.counts[i-1] > 0 && c.counts[i+1] > 0 && (c.counts[i-1] == 2 || c.counts[i+1] == 2) {
			c.avg[i] = (c.avg[i-1] + c.avg[i+1]) / 2
			c.low[i], c.high[i] = c.avg[i], c.avg[i]
		}
	}
}

// evaluate runs a field's cdef over averages, lows, highs and the newest values, each by itself.
func (b *builder) evaluate(f *munin.Field, own *columns) (*columns, error) {
	cdef, err := munin.CompileCDEF(f.CDEF)
	if err != nil {
		return nil, err
	}
	run := func(steps int, start time.Time, pick func(*columns) []float64) ([]float64, error) {
		return cdef.Eval(munin.CDEFInput{
			Steps: steps, Start: start.In(b.req.Location), Step: b.model.Step, Now: b.req.Now,
			Values: func(name string) []float64 {
				if cols := b.operand(f, name); cols != nil {
					return pick(cols)
				}
				return nil
			},
		})
	}
	out := &columns{counts: own.counts, lastAt: own.lastAt}
	if out.avg, err = run(b.buckets, b.model.Start, func(c *columns) []float64 { return c.avg }); err != nil {
		return nil, err
	}
	if out.low, err = run(b.buckets, b.model.Start, func(c *columns) []float64 { return c.low }); err != nil {
		return nil, err
	}
	if out.high, err = run(b.buckets, b.model.Start, func(c *columns) []float64 { return c.high }); err != nil {
		return nil, err
	}
	if cdef.LooksBack() {
		out.last, out.lastAt = b.newest(out.avg)
		return out.ordered(), nil
	}
	last, err := run(1, own.lastAt, func(c *columns) []float64 { return []float64{c.last} })
	if err != nil {
		return nil, err
	}
	out.last = last[0]
	return out.ordered(), nil
}

// operand are the values that a field's cdef reads: its own and those of later fields before their cdef, those of
// earlier fields after it, as Munin has it. It is nil where there is no such field.
func (b *builder) operand(of *munin.Field, name string) *columns {
	fields := b.req.Graph.Fields
	at := slices.IndexFunc(fields, func(f munin.Field) bool { return f.Name == name })
	if at < 0 {
		return nil
	}
	if own := slices.IndexFunc(fields, func(f munin.Field) bool { return f.Name == of.Name }); at < own {
		if cols, ok := b.columns(&fields[at]); ok {
			return cols
		}
	}
	return b.scaled(name)
}

// newest is the last known value, with the time at which its bucket begins.
func (b *builder) newest(values []float64) (v float64, at time.Time) {
	for i := len(values) - 1; i >= 0; i-- {
		if known(values[i]) {
			return values[i], b.model.Start.Add(time.Duration(i) * b.model.Step)
		}
	}
	return math.NaN(), time.Time{}
}

// ordered puts low and high right: a cdef may turn their order round.
func (c *columns) ordered() *columns {
	for i := range c.avg {
		c.low[i], c.high[i] = min(c.low[i], c.high[i], c.avg[i]), max(c.low[i], c.high[i], c.avg[i])
	}
	return c
}

// addBands shows how far single samples lay from the average of their bucket, where few enough curves stand alone
// that it can be read.
func (b *builder) addBands() {
	var alone []int
	for i := range b.model.Curves {
		if c := &b.model.Curves[i]; c.Stack == 0 && !c.Total && !c.Derived {
			alone = append(alone, i)
		}
	}
	if len(alone) > maxBands {
		return
	}
	for _, i := range alone {
		c := &b.model.Curves[i]
		cols := b.shown[c.Field]
		if !cols.spread() {
			continue
		}
		if !c.Mirrored {
			c.Low, c.High = cols.low, cols.high
			continue
		}
		c.Low, c.High = make([]float64, b.buckets), make([]float64, b.buckets)
		for j := range b.buckets {
			c.Low[j], c.High[j] = -cols.high[j], -cols.low[j]
		}
	}
}

// spread says whether some bucket stands for more than one value.
func (c *columns) spread() bool {
	for i := range c.avg {
		if c.counts[i] > 1 && c.high[i] > c.low[i] {
			return true
		}
	}
	return false
}

// addFigures lists every field of the graph with its figures.
func (b *builder) addFigures() {
	for i := range b.req.Graph.Fields {
		f := &b.req.Graph.Fields[i]
		cols, ok := b.columns(f)
		if !ok {
			cols = b.scaled(f.Name)
		}
		row := FieldFigures{Name: f.Name, Values: cols.avg, Figures: b.figures(cols, f)}
		for j := range b.model.Curves {
			if c := &b.model.Curves[j]; c.Field == f.Name && !c.Total && !c.Derived {
				row.Drawn, row.Colour, row.Mirrored = true, c.Colour, c.Mirrored
			}
		}
		b.model.Fields = append(b.model.Fields, row)
	}
}
