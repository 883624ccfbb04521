package chart

import (
	"math"
	"strconv"

	"github.com/go-echarts/go-echarts/v2/charts"
	"github.com/go-echarts/go-echarts/v2/opts"
)

// Live is what the browser needs to draw the picture itself, with ECharts: its options, and the values apart
// from them in columns. Only go-echarts' option builder is used, never its pages: those let a label that holds
// "__f__" or "</script>" become code. Here all labels stay JSON strings from end to end.
type Live struct {
	// Option is the ECharts option without data. Functions are named by tokens: "@x" and "@y" write axis
	// labels, "@right" those of a second axis, "@tooltip" what stands under the cursor.
	Option map[string]any `json:"option"`
	Title  string         `json:"title"`
	Unit   string         `json:"unit"`
	Base   int            `json:"base"`
	// Start and Step are milliseconds: value i of a column belongs to the middle of its bucket, at
	// Start + (i+½)·Step.
	Start int64 `json:"start"`
	Step  int64 `json:"step"`
	From  int64 `json:"from"`
	To    int64 `json:"to"`
	// Columns are the values by the names that the options use.
	Columns map[string]Column `json:"columns"`
	XTicks  []LiveTick        `json:"x_ticks"`
	YTicks  []LiveTick        `json:"y_ticks"`
	// RightTicks are the labels of a second axis, by its own values.
	RightTicks []LiveTick `json:"right_ticks,omitempty"`
	Zones      []Zone     `json:"zones"`
	Empty      bool       `json:"empty"`
}

// LiveTick is a label at a value of an axis; on the time axis the value is in milliseconds since 1970.
type LiveTick struct {
	Value float64 `json:"value"`
	Label string  `json:"label"`
}

// Zone is the distance from UTC in seconds that holds until a time in milliseconds.
type Zone struct {
	Until  int64  `json:"until"`
	Offset int    `json:"offset"`
	Name   string `json:"name"`
}

// Column is a list of values; in JSON they have five significant digits and NaN is null.
type Column []float64

// MarshalJSON writes the values.
func (c Column) MarshalJSON() ([]byte, error) {
	b := make([]byte, 0, 8*len(c)+2)
	b = append(b, '[')
	for i, v := range c {
		if i > 0 {
			b = append(b, ',')
		}
		if !known(v) {
			b = append(b, "null"...)
			continue
		}
		b = AppendRounded(b, v, 5)
	}
	return append(b, ']'), nil
}

// AppendRounded appends a finite number with so many significant digits, in a form that JSON and CSV share.
func AppendRounded(b []byte, v float64, digits int) []byte {
	rounded, err := strconv.ParseFloat(strconv.FormatFloat(v, 'e', digits-1, 64), 64)
	if err != nil {
		rounded = v
	}
	if size := math.Abs(rounded); size != 0 && (size >= 1e15 || size < 1e-6) {
		return strconv.AppendFloat(b, rounded, 'e', -1, 64)
	}
	return strconv.AppendFloat(b, rounded, 'f', -1, 64)
}

// Live makes the options for a chart of a size in pixels.
func (m *Model) Live(p Picture) *Live {
	p.Width = min(max(p.Width, MinWidth), MaxWidth)
	p.Height = min(max(p.Height, MinHeight), MaxHeight)
	live := &Live{
		Title: m.Title, Unit: m.Unit, Base: m.Base, Start: m.Start.UnixMilli(), Step: m.Step.Milliseconds(),
		From: m.Range.From.UnixMilli(), To: m.Range.To.UnixMilli(), Columns: make(map[string]Column),
		Zones: m.zones(), Empty: m.Empty(),
	}
	scale := m.YScale(float64(p.Height) - 46)
	for _, t := range scale.Ticks {
		live.YTicks = append(live.YTicks, LiveTick(t))
	}
	if right := &m.limits.right; !scale.Log || right.shift == 0 {
		for _, t := range scale.Right {
			live.RightTicks = append(live.RightTicks, LiveTick{right.at(t.Value), t.Label})
		}
	}
	for _, t := range TimeTicks(m.Range, m.location, float64(p.Width)-70, 11) {
		live.XTicks = append(live.XTicks, LiveTick{float64(t.At.UnixMilli()), t.Label})
	}
	live.Option = m.option(live, scale, p.Theme)
	return live
}

// zones are the distances from UTC in the range; there are more where clocks change.
func (m *Model) zones() []Zone {
	var zones []Zone
	for t := m.Range.From.In(m.location); len(zones) < 400; {
		name, offset := t.Zone()
		_, end := t.ZoneBounds()
		if end.IsZero() || !end.Before(m.Range.To) {
			return append(zones, Zone{Until: m.Range.To.UnixMilli(), Offset: offset, Name: name})
		}
		zones = append(zones, Zone{Until: end.UnixMilli(), Offset: offset, Name: name})
		t = end
	}
	return zones
}

func (m *Model) option(live *Live, scale Scale, theme Theme) map[string]any {
	muted, grid, axis := mutedColour().In(theme), gridColour().In(theme), axisColour().In(theme)
	yType := "value"
	if scale.Log {
		yType = "log"
	}
	line := charts.NewLine()
	line.SetGlobalOptions(
		charts.WithAnimation(false),
		charts.WithTooltipOpts(opts.Tooltip{Show: opts.Bool(true), Trigger: "axis"}),
		charts.WithLegendOpts(opts.Legend{Show: opts.Bool(false)}),
		charts.WithGridOpts(opts.Grid{Left: "58", Right: "12", Top: "12", Bottom: "26"}),
		charts.WithXAxisOpts(opts.XAxis{
			Type: "value", Min: live.From, Max: live.To,
			AxisLabel: &opts.AxisLabel{Color: muted, FontSize: 11, Formatter: "@x", HideOverlap: opts.Bool(true)},
			AxisLine:  &opts.AxisLine{Show: opts.Bool(true), OnZero: opts.Bool(false), LineStyle: &opts.LineStyle{Color: axis}},
			SplitLine: &opts.SplitLine{Show: opts.Bool(true), LineStyle: &opts.LineStyle{Color: grid}},
		}),
		charts.WithYAxisOpts(opts.YAxis{
			Type: yType, Min: scale.Low, Max: scale.High,
			AxisLabel: &opts.AxisLabel{Color: muted, FontSize: 11, Formatter: "@y"},
			AxisLine:  &opts.AxisLine{Show: opts.Bool(false)},
			SplitLine: &opts.SplitLine{Show: opts.Bool(true), LineStyle: &opts.LineStyle{Color: grid}},
		}),
	)
	for i := range m.Curves {
		m.addSeries(line, live, i, theme)
	}
	line.Validate()
	line.Accept(&completer{model: m, live: live, theme: theme, scale: scale})
	return line.JSON()
}

// addSeries adds the band of a curve, if it has one, and the curve.
func (m *Model) addSeries(line *charts.Line, live *Live, i int, theme Theme) {
	c := &m.Curves[i]
	n := strconv.Itoa(i)
	colour := c.Colour.In(theme)
	if c.High != nil {
		thickness := make(Column, len(c.High))
		for j := range c.High {
			thickness[j] = c.High[j] - c.Low[j]
		}
		live.Columns["low"+n], live.Columns["band"+n] = c.Low, thickness
		invisible := charts.WithLineStyleOpts(opts.LineStyle{Opacity: opts.Float(0)})
		line.AddSeries("", nil, series("low"+n, "band"+n, colour), invisible)
		line.AddSeries("", nil, series("band"+n, "band"+n, colour), invisible,
			charts.WithAreaStyleOpts(opts.AreaStyle{Color: colour, Opacity: opts.Float(float32(0.22 * c.Colour.opacity(1)))}))
	}
	column := make(Column, len(c.Values))
	for j, v := range c.Values {
		if c.Mirrored {
			v = -v
		}
		column[j] = v
	}
	live.Columns["c"+n] = column
	stack := ""
	if c.Stack > 0 {
		stack = "stack" + strconv.Itoa(c.Stack)
	}
	width := lineWidth(c)
	options := []charts.SeriesOpts{series("c"+n, stack, colour)}
	if c.Shape == Area {
		opacity := c.Colour.opacity(areaOpacity)
		if c.Stack > 0 {
			width, opacity = 1, c.Colour.opacity(stackOpacity)
		}
		options = append(options, charts.WithAreaStyleOpts(opts.AreaStyle{Color: colour, Opacity: opts.Float(float32(opacity))}))
	}
	style := opts.LineStyle{Color: colour, Width: float32(width)}
	if c.Colour.Clear > 0 {
		style.Opacity = opts.Float(float32(c.Colour.opacity(1)))
	}
	if c.Past || c.Derived {
		style.Type = "dashed"
	}
	options = append(options, charts.WithLineStyleOpts(style))
	line.AddSeries(cut(c.LegendLabel(m), 120), nil, options...)
}

func series(id, stack, colour string) charts.SeriesOpts {
	return func(s *charts.SingleSeries) {
		s.Id, s.Stack, s.ShowSymbol, s.ConnectNulls = id, stack, opts.Bool(false), opts.Bool(false)
		s.Encode = &opts.Encode{X: "t", Y: id}
		s.ItemStyle = &opts.ItemStyle{Color: colour}
	}
}

func tickValues(ticks []LiveTick) []float64 {
	values := make([]float64, 0, len(ticks))
	for _, t := range ticks {
		values = append(values, t.Value)
	}
	return values
}
