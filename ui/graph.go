package ui

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"corbie/munin"
	"corbie/ui/chart"
)

// FieldRow is one line of a graph's table.
type FieldRow struct {
	Name, Label, Type, Info string
	Drawn                   bool
	Mirrored                bool
	Colour                  chart.Colour
	Now, Min, Average, Max  string
	P95, Total              string // Total is empty for what is not a rate of something
	At                      *Moment
	Warning, Critical       string
	CDEF                    string
	Level                   munin.Level
	Word, Shape             string
}

// RangeLink is a link to another time of the same graph.
type RangeLink struct {
	Text, URL, Title string
	Current          bool
}

// GraphPage is /h/{host}/{graph}.
type GraphPage struct {
	Frame
	Host     HostRow
	Name     string
	Heading  string
	Plugin   string
	Category string
	Info     string
	Unit     string
	Range    string // in words
	Zone     string
	Step     string
	Relative bool // the range moves with the time
	Big      Shot
	Data     string // where the browser finds the chart's values
	Periods  []RangeLink
	Moves    []RangeLink
	Files    []RangeLink
	Shots    []Shot
	Fields   []FieldRow
	Total    *FieldRow
	Notes    []string
	Children []GraphCard
	Parent   *Link
	Problems []Problem
	Empty    bool
	Stale    *Moment
	Compares []RangeLink
	Sums     []RangeLink // none where the graph is not to be shown by sums
	Sum      string      // "hour" or "day"
	Height   int         // of the big picture in pixels
	From, To string      // of the form for any range
	Compare  string
	Changes  []ChangeRow
	Can      bool
	Token    string
	Now      string // for the form of an annotation
	Across   string // address of this graph over all hosts
	Views    []Link
	Item     string // this graph in a view
	Span     PageSpan
	HostPath string
}

const (
	bigWidth, bigHeight   = 960, 340
	shotWidth, shotHeight = 470, 180
)

// view is a graph of a host over a range, as asked for by a request.
type view struct {
	fleet    *fleet
	host     munin.Host
	graph    munin.Graph
	url      string
	from, to string // as asked for
	span     munin.Range
	compare  string // "day", "week", "year"; empty: nothing
	sum      sum    // what rates are added up by
	model    *chart.Model
	changes  []ChangeRow
}

// view reads host, graph and range of a request and the values, in at most most steps.
func (s *Server) view(r *http.Request, graph string, most int) (*view, error) {
	f, h, err := s.findHost(r)
	if err != nil {
		return nil, err
	}
	v := &view{fleet: f, host: h, from: r.FormValue("from"), to: r.FormValue("to")}
	if v.graph, err = s.opts.Catalog.Graph(r.Context(), h.ID, graph); err != nil {
		return nil, &noGraphError{host: h, graph: graph, url: f.hostURL(h.ID), err: err}
	}
	v.url = f.graphURL(h.ID, v.graph.Name)
	if v.sum, err = sumBy(r.FormValue("sum")); err != nil {
		return nil, err
	}
	if v.from == "" && v.to == "" {
		v.from, v.to = periodsFor(h, f.now)[0].From, "now"
		if v.sum.by > 0 {
			v.from = v.sum.from
		}
	}
	if v.span, err = munin.ParseRange(v.from, v.to, f.now); err != nil {
		return nil, &badRequestError{err}
	}
	if v.compare = r.FormValue("compare"); v.compare != "" {
		if _, ok := compareBy(v.compare); !ok {
			return nil, &badRequestError{fmt.Errorf("compare=%q: want day, week, month or year", clip(v.compare, 20))}
		}
	}
	if v.model, err = s.model(r, v, v.span, most); err != nil {
		return nil, err
	}
	return v, s.addContext(r, v, most)
}

// addContext adds to the picture what happened meanwhile, and the same of an earlier time.
func (s *Server) addContext(r *http.Request, v *view, most int) error {
	marks, rows, err := s.marks(r.Context(), v.fleet, v.host.ID, v.graph.Name, v.span)
	if err != nil {
		return err
	}
	v.changes = rows
	v.model.AddMarks(marks)
	c, ok := compareBy(v.compare)
	if !ok {
		return nil
	}
	earlier, err := s.model(r, v, munin.Range{From: c.before(v.span.From), To: c.before(v.span.To)}, most)
	if err != nil {
		return err
	}
	v.model.Overlay(earlier, c.label)
	return nil
}

// comparison is a way to look at a host against itself.
type comparison struct {
	name, text, label   string
	years, months, days int
}

func (c *comparison) before(t time.Time) time.Time { return t.AddDate(-c.years, -c.months, -c.days) }

func comparisons() []comparison {
	return []comparison{
		{name: "day", text: "yesterday", label: "a day before", days: 1},
		{name: "week", text: "last week", label: "a week before", days: 7},
		{name: "month", text: "four weeks ago", label: "four weeks before", days: 28},
		{name: "year", text: "last year", label: "a year before", days: 364},
	}
}

func compareBy(name string) (comparison, bool) {
	for _, c := range comparisons() {
		if c.name == name {
			return c, true
		}
	}
	return comparison{}, false
}

// model queries the values and builds the picture of a graph over a range.
func (s *Server) model(r *http.Request, v *view, span munin.Range, most int) (*chart.Model, error) {
	interval := v.graph.Step(v.host.Interval)
	step := chart.StepFor(span, interval, most)
	span.To = span.To.Add(v.future(span, step))
	if text := r.FormValue("step"); text != "" {
		asked, err := munin.ParseDuration(text)
		if err != nil || asked < time.Second {
			return nil, &badRequestError{fmt.Errorf("step %q: want a duration, such as 5m or 1d", clip(text, 40))}
		}
		if span.Duration()/asked > maxRows {
			return nil, &badRequestError{fmt.Errorf("step %q gives more than %d rows: ask for a shorter range or a longer step", clip(text, 40), maxRows)}
		}
		step = asked
	} else if v.sum.by > 0 {
		step = max(v.sum.by, chart.StepFor(span, v.sum.by, maxRows))
	}
	sources := make([]munin.Source, 0, len(v.graph.Fields))
	for i := range v.graph.Fields {
		sources = append(sources, v.graph.Source(v.host.ID, &v.graph.Fields[i], v.host.Interval))
	}
	series, err := s.opts.Samples.Query(r.Context(), sources, chart.Align(span, step), step)
	if err != nil {
		return nil, fmt.Errorf("read the values of %s: %w", munin.SeriesID{Host: v.host.ID, Graph: v.graph.Name}, err)
	}
	return chart.New(chart.Request{
		Host: v.host.ID.Name(), Graph: &v.graph, Series: series, Range: span, Interval: interval,
		Location: v.fleet.now.Location(), Now: v.fleet.now, Sum: v.sum.by,
	}), nil
}

// future is how far a picture that ends now looks ahead: as many steps as graph_future says, and not further than it
// looks back.
func (v *view) future(span munin.Range, step time.Duration) time.Duration {
	steps, err := strconv.Atoi(v.graph.Extra["graph_future"])
	if err != nil || steps < 1 || !relative(v.to) || span.To.Before(v.fleet.now.Add(-step)) {
		return 0
	}
	return time.Duration(min(int64(steps), int64(span.Duration()/step))) * step
}

func (s *Server) graph(w http.ResponseWriter, r *http.Request, name string) error {
	v, err := s.view(r, name, bigWidth)
	if err != nil {
		return err
	}
	graphs, err := s.opts.Catalog.Graphs(r.Context(), v.host.ID)
	if err != nil {
		return fmt.Errorf("list the graphs of %s: %w", v.host.ID, err)
	}
	f, g := v.fleet, &v.graph
	row := f.find(v.host.ID)
	crumbs := append(f.groupCrumbs(v.host.ID.Group()), Link{v.host.ID.Name(), row.URL})
	parent := parentOf(g.Name, graphs)
	if parent != "" {
		crumbs = append(crumbs, Link{parent, f.graphURL(v.host.ID, parent)})
	}
	page := GraphPage{
		Frame: s.frame(r, f, "graph", clip(g.Title, 120)+" · "+v.host.ID.Name(), append(crumbs, Link{clip(g.Title, 80), v.url})...),
		Host:  *row, Name: g.Name, Heading: clip(g.Title, 300), Plugin: g.Plugin, Category: g.Category,
		Info: plainText(g.Info), Unit: clip(plainText(g.Unit()), 200), Zone: v.span.To.In(f.now.Location()).Format("MST"),
		Range: rangeWords(v.span, f.now), Step: munin.FormatDuration(v.model.Step), Relative: relative(v.to),
		Notes: v.model.Notes, Empty: v.model.Empty(),
	}
	page.Live, page.Many = true, true
	page.Span, page.HostPath = pageSpan(v.span, v.to), string(v.host.ID)
	page.Compare, page.From, page.To = v.compare, v.span.From.In(f.now.Location()).Format("2006-01-02 15:04"), v.span.To.In(f.now.Location()).Format("2006-01-02 15:04")
	page.Changes = newest(v.changes, 40)
	page.Across, page.Item = "/x/"+pathEscape(g.Name), string(v.host.ID)+"/"+g.Name
	if page.Can = s.opts.Notes != nil && s.may(r); page.Can {
		page.Token, page.Now = s.forms.token(w, r), f.now.Format("2006-01-02 15:04")
	}
	if page.Views, err = s.viewLinks(r.Context()); err != nil {
		return err
	}
	page.Height = asHigh(g, bigHeight)
	page.Big = Shot{
		Src: f.pictureURL(v.url, v.from, orNow(v.to), bigWidth, asHigh(g, bigHeight), v.host.LastAnswer) + v.more(), Alt: v.model.Describe(),
		Width: bigWidth, Height: asHigh(g, bigHeight), Eager: true,
	}
	page.Data = v.address(".json", v.from, orNow(v.to)) + "&live=1"
	page.addLinks(v, f.now)
	shown := periodsFor(v.host, f.now)
	card := f.card(v.host, g, row.Problems, shown[:4])
	page.Shots, page.Problems, page.Stale = card.Shots, card.Problems, card.Stale
	for i := range page.Shots {
		page.Shots[i].Width, page.Shots[i].Height = shotWidth, asHigh(g, shotHeight)
		page.Shots[i].Src = f.pictureURL(v.url, shown[i].From, "now", shotWidth, asHigh(g, shotHeight), v.host.LastAnswer)
	}
	page.addSums(v)
	page.addFields(v, row.Problems)
	for i := range graphs {
		if !graphs[i].Hidden && parentOf(graphs[i].Name, graphs) == g.Name {
			page.Children = append(page.Children, f.card(v.host, &graphs[i], row.Problems, shown[:2]))
		}
	}
	return s.render(w, r, http.StatusOK, "graph", page)
}

func orNow(to string) string {
	if to == "" {
		return "now"
	}
	return to
}

func relative(to string) bool { return to == "" || len(to) >= 3 && to[:3] == "now" }

// rangeWords is a range for people: the day is said once where it is the same.
func rangeWords(span munin.Range, now time.Time) string {
	from, to := span.From.In(now.Location()), span.To.In(now.Location())
	if from.YearDay() == to.YearDay() && from.Year() == to.Year() {
		return from.Format("Mon 2 Jan 2006, 15:04") + " to " + to.Format("15:04")
	}
	return from.Format("Mon 2 Jan 2006 15:04") + " to " + to.Format("Mon 2 Jan 2006 15:04")
}

// addLinks makes the ways to other times and forms, all of which work without a script.
func (p *GraphPage) addLinks(v *view, now time.Time) {
	for _, period := range periodsFor(v.host, now) {
		p.Periods = append(p.Periods, RangeLink{
			Text: period.Name, URL: v.address("", period.From, "now"), Current: v.from == period.From && v.to == "now",
			Title: "The last " + period.Name,
		})
	}
	seconds := func(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }
	length := v.span.Duration()
	move := func(text, title string, from, to time.Time) {
		from, to = clamp(from, now), clamp(to, now)
		if from.Before(to) {
			p.Moves = append(p.Moves, RangeLink{Text: text, Title: title, URL: v.address("", seconds(from), seconds(to))})
		}
	}
	move("← earlier", "As much time before", v.span.From.Add(-length/2), v.span.To.Add(-length/2))
	if v.span.To.Before(now.Add(-length / 20)) {
		move("later →", "As much time after", v.span.From.Add(length/2), v.span.To.Add(length/2))
	}
	if length < 10*365*24*time.Hour {
		move("zoom out", "Twice as much time", v.span.From.Add(-length/2), minTime(v.span.To.Add(length/2), now))
	}
	if length > 2*time.Minute {
		move("zoom in", "The middle half of this time", v.span.From.Add(length/4), v.span.To.Add(-length/4))
	}
	for _, file := range []struct{ text, suffix string }{{"SVG", ".svg"}, {"PNG", ".png"}, {"CSV", ".csv"}, {"JSON", ".json"}} {
		p.Files = append(p.Files, RangeLink{Text: file.text, URL: v.address(file.suffix, v.from, orNow(v.to))})
	}
	p.Files = append(p.Files, RangeLink{
		Text: "permanent link", Title: "To these very times, whenever it is opened", URL: v.address("", seconds(v.span.From), seconds(v.span.To)),
	})
	p.Compares = append(p.Compares, RangeLink{Text: "nothing", URL: rangeURL(v.url, v.from, orNow(v.to)) + v.sum.address(), Current: v.compare == ""})
	for _, c := range comparisons() {
		p.Compares = append(p.Compares, RangeLink{
			Text: c.text, Title: c.label, URL: rangeURL(v.url, v.from, orNow(v.to)) + v.sum.address() + "&compare=" + c.name, Current: v.compare == c.name,
		})
	}
}

// address is this graph over a range, in a form, with what it is compared to.
func (v *view) address(format, from, to string) string {
	target := v.url
	if format != "" {
		target = withFormat(target, format)
	}
	return rangeURL(target, from, to) + v.more()
}

// more is what an address of this graph says besides the range.
func (v *view) more() string {
	text := v.sum.address()
	if v.compare != "" {
		text += "&compare=" + v.compare
	}
	return text
}

// clamp keeps links within what ParseTime reads.
func clamp(t, now time.Time) time.Time {
	if t.Unix() < 0 {
		return time.Unix(0, 0)
	}
	return minTime(t, now.Add(munin.MaxRange/2))
}

func minTime(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func (p *GraphPage) addFields(v *view, problems []Problem) {
	m := v.model
	for i := range v.graph.Fields {
		f, figures := &v.graph.Fields[i], m.Fields[i]
		row := figureRow(m, figures.Figures, v.fleet.now)
		row.Name, row.Label, row.Type, row.Info = f.Name, clip(f.Label, 200), f.Type.String(), clip(plainText(f.Info), 600)
		row.Drawn, row.Mirrored, row.Colour = figures.Drawn, figures.Mirrored, figures.Colour
		row.Warning, row.Critical, row.CDEF = levelText(f.Warning, m.Base), levelText(f.Critical, m.Base), clip(f.CDEF, 80)
		for _, problem := range problems {
			if problem.ID.Graph == v.graph.Name && problem.ID.Field == f.Name {
				row.Level = max(row.Level, problem.Level)
			}
		}
		row.Word, row.Shape = row.Level.String(), shape(row.Level)
		p.Fields = append(p.Fields, row)
	}
	for i := range m.Curves {
		if c := &m.Curves[i]; c.Total {
			row := figureRow(m, c.Figures, v.fleet.now)
			row.Label, row.Drawn, row.Colour = clip(c.Label, 200), true, c.Colour
			p.Total = &row
		}
	}
}

func figureRow(m *chart.Model, f chart.Figures, now time.Time) FieldRow {
	row := FieldRow{
		Now: m.Format(f.Current), Min: m.Format(f.Min), Average: m.Format(f.Average), Max: m.Format(f.Max), P95: m.Format(f.P95),
		At: moment(f.At, now),
	}
	if f.Total == f.Total { // not NaN
		row.Total = m.Format(f.Total)
	}
	return row
}

// levelText writes a warning or critical level for people: "below 10 or above 90".
func levelText(b munin.Bounds, base int) string {
	switch {
	case b.HasLow && b.HasHigh:
		return "below " + munin.FormatValue(b.Low, base) + " or above " + munin.FormatValue(b.High, base)
	case b.HasLow:
		return "below " + munin.FormatValue(b.Low, base)
	case b.HasHigh:
		return "above " + munin.FormatValue(b.High, base)
	}
	return ""
}

func isNotFound(err error) bool { return errors.Is(err, munin.ErrNotFound) }
