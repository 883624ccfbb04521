package ui

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"corbie/munin"
	"corbie/ui/chart"
)

// Limits of pages that span hosts.
const (
	maxPictures  = 60   // on one page
	maxRanked    = 200  // rows of a ranking
	maxSources   = 4000 // values that one ranking reads
	maxOverlaid  = 12   // curves of one picture over hosts
	rankBuckets  = 120
	crossHeight  = 300
	crossColumns = 880
)

// KindRow is one graph in a list of a category.
type KindRow struct {
	Name, Title, URL string
	Hosts            int
	Cards            []GraphCard
	More             int
}

// CategoryPage is /c/{category}.
type CategoryPage struct {
	Frame
	Category string
	Kinds    []KindRow
	Groups   []RangeLink
	Periods  []RangeLink
	Span     PageSpan
}

// PageSpan is the range of all pictures of a page, as milliseconds, for the script that moves them together.
type PageSpan struct {
	From, To int64
	Relative bool
}

// spanOf reads the range of a page of many pictures; without one it is the last day.
func spanOf(r *http.Request, now time.Time) (from, to string, span munin.Range, err error) {
	from, to = r.FormValue("from"), orNow(r.FormValue("to"))
	if from == "" {
		from = periods()[0].From
	}
	if span, err = munin.ParseRange(from, to, now); err != nil {
		return from, to, span, &badRequestError{err}
	}
	return from, to, span, nil
}

// periodLinks lead to the usual ranges of a page, keeping what else its address says.
func periodLinks(r *http.Request, from, to string) []RangeLink {
	var links []RangeLink
	for _, p := range periods() {
		q := r.URL.Query()
		q.Set("from", p.From)
		q.Set("to", "now")
		links = append(links, RangeLink{
			Text: p.Name, URL: r.URL.EscapedPath() + "?" + q.Encode(), Current: from == p.From && to == "now", Title: "The last " + p.Name,
		})
	}
	return links
}

func pageSpan(span munin.Range, to string) PageSpan {
	return PageSpan{From: span.From.UnixMilli(), To: span.To.UnixMilli(), Relative: relative(to)}
}

// category shows the graphs of a category, each on the hosts that have it.
func (s *Server) category(w http.ResponseWriter, r *http.Request) error {
	f, err := s.fleet(r)
	if err != nil {
		return err
	}
	l, err := s.index(r.Context(), f)
	if err != nil {
		return err
	}
	name, group := r.PathValue("category"), r.FormValue("group")
	from, to, span, err := spanOf(r, f.now)
	if err != nil {
		return err
	}
	page := CategoryPage{
		Frame:    s.frame(r, f, "category", name+" across hosts", Link{name, "/c/" + pathEscape(name)}),
		Category: name, Periods: periodLinks(r, from, to), Span: pageSpan(span, to),
	}
	page.Many = true
	groups := make(map[string]bool)
	page.Kinds = l.inCategory(name, group, groups, from, to)
	if len(page.Kinds) == 0 {
		return fmt.Errorf("category %q: %w", clip(name, 80), munin.ErrNotFound)
	}
	page.Groups = groupFilter(r, groups, group)
	return s.render(w, r, http.StatusOK, "category", page)
}

// inCategory lists the graphs of a category with pictures of some hosts, of one group where one is named. It notes the groups
// that have any of them.
func (l *listing) inCategory(name, group string, groups map[string]bool, from, to string) []KindRow {
	var kinds []*graphKind
	for _, k := range l.kinds {
		if k.category == name && !k.hidden && !parentKind(l, k) {
			kinds = append(kinds, k)
		}
	}
	each := max(maxPictures/max(len(kinds), 1), 4)
	var rows []KindRow
	for _, k := range kinds {
		row := KindRow{Name: k.name, Title: clip(k.title, 160), URL: "/x/" + pathEscape(k.name)}
		for _, id := range l.on(k) {
			groups[id.Group()] = true
			if !inGroup(id, group) {
				continue
			}
			row.Hosts++
			if len(row.Cards) < each {
				row.Cards = append(row.Cards, l.fleet.thumbnail(id, k.name, from, to))
			}
		}
		if row.More = row.Hosts - len(row.Cards); row.Hosts > 0 {
			rows = append(rows, row)
		}
	}
	return rows
}

// inGroup says whether a host is in a group or below it; every host is in the empty one.
func inGroup(id munin.HostID, group string) bool {
	return group == "" || id.Group() == group || strings.HasPrefix(id.Group(), group+";")
}

// parentKind says whether a graph is inside of a multigraph that the page shows by itself.
func parentKind(l *listing, k *graphKind) bool {
	dot := strings.IndexByte(k.name, '.')
	return dot > 0 && l.kind(k.name[:dot]) != nil
}

// groupFilter leads to the same page for one group only.
func groupFilter(r *http.Request, groups map[string]bool, current string) []RangeLink {
	if len(groups) < 2 {
		return nil
	}
	names := make([]string, 0, len(groups))
	for g := range groups {
		if g != "" {
			names = append(names, g)
		}
	}
	slices.Sort(names)
	link := func(text, group string) RangeLink {
		q := r.URL.Query()
		q.Del("group")
		if group != "" {
			q.Set("group", group)
		}
		target := r.URL.EscapedPath()
		if len(q) > 0 {
			target += "?" + q.Encode()
		}
		return RangeLink{Text: text, URL: target, Current: current == group}
	}
	links := []RangeLink{link("all groups", "")}
	for _, g := range names[:min(len(names), 30)] {
		links = append(links, link(groupWords(g), g))
	}
	return links
}

// thumbnail is a graph of a host on a page about many hosts.
func (f *fleet) thumbnail(host munin.HostID, graph, from, to string) GraphCard {
	row := f.byID[host]
	url := f.graphURL(host, graph)
	card := GraphCard{Name: string(host), Title: row.Name, URL: rangeURL(url, from, to), Level: munin.OK}
	for _, p := range row.Problems {
		if p.ID.Graph == graph {
			card.Problems = append(card.Problems, p)
			card.Level = max(card.Level, p.Level)
		}
	}
	card.Shots = []Shot{{
		Src: f.pictureURL(url, from, to, cardWidth, cardHeight, row.host.LastAnswer), Alt: graph + " of " + row.Name, URL: card.URL,
		Width: cardWidth, Height: cardHeight, Live: true,
	}}
	return card
}

// Ranked is one host, or one field of it, in a ranking.
type Ranked struct {
	Host, HostURL, Label, URL string
	Group                     string
	Now, Average, Max         string
	Share                     int // of the largest, in percent
	// Spark is the curve over the range as a path in a box of 120 by 20, its own highest value at the top.
	Spark string
	Level munin.Level
	Shape string
	by    float64
	id    munin.SeriesID
}

// AcrossPage is /x/{graph}.
type AcrossPage struct {
	Frame
	Name, Heading, Unit string
	Hosts               int
	Fields              []RangeLink
	Groups              []RangeLink
	Sorts               []RangeLink
	Periods             []RangeLink
	Range               string
	Span                PageSpan
	Field               string // chosen; empty: each
	Rows                []Ranked
	More                int
	Cards               []GraphCard
	MoreCards           int
	Big                 Shot
	Lacking             int
	LackURL             string
	Partial             bool
}

// across shows one graph over all hosts that have it: a ranking, the highest in one picture, and each by itself.
func (s *Server) across(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("graph")
	if base, ok := strings.CutSuffix(name, ".svg"); ok {
		return s.acrossPicture(w, r, base)
	}
	f, err := s.fleet(r)
	if err != nil {
		return err
	}
	v, err := s.survey(r, f, name)
	if err != nil {
		return err
	}
	k := v.kind
	page := AcrossPage{
		Frame: s.frame(r, f, "across", clip(k.title, 120)+" across hosts", Link{k.category, "/c/" + pathEscape(k.category)},
			Link{clip(k.title, 80), "/x/" + pathEscape(name)}),
		Name: name, Heading: clip(k.title, 300), Hosts: len(v.hosts), Field: v.field, Unit: clip(plainText(v.graph.Unit()), 80),
		Periods: periodLinks(r, v.from, v.to), Span: pageSpan(v.span, v.to), Range: rangeWords(v.span, f.now), Groups: v.groups, Partial: v.partial,
	}
	page.Many = true
	page.addChoices(r, v)
	page.Rows = v.rows[:min(len(v.rows), maxRanked)]
	page.More = len(v.rows) - len(page.Rows)
	seen := make(map[munin.HostID]bool)
	for i := range v.rows {
		if id := v.rows[i].id.Host; !seen[id] {
			seen[id] = true
			if len(page.Cards) < maxPictures {
				page.Cards = append(page.Cards, f.thumbnail(id, name, v.from, v.to))
			}
		}
	}
	page.MoreCards = len(seen) - len(page.Cards)
	q := r.URL.Query()
	q.Set("from", v.from)
	q.Set("to", v.to)
	if f.viewer.theme != "" {
		q.Set("theme", f.viewer.theme)
	}
	page.Big = Shot{
		Src: "/x/" + pathEscape(name) + ".svg?" + q.Encode(), Alt: v.describe(), Width: crossColumns, Height: crossHeight, Eager: true,
	}
	page.Lacking = len(f.hosts) - len(v.hosts)
	page.LackURL = "/inventory?" + url.Values{"lacks": {k.plugin}}.Encode()
	return s.render(w, r, http.StatusOK, "across", page)
}

// overview of one graph on many hosts.
type acrossView struct {
	kind     *graphKind
	graph    munin.Graph // of one of them
	hosts    []munin.HostID
	field    string
	sort     string
	from, to string
	span     munin.Range
	groups   []RangeLink
	rows     []Ranked // the highest first
	series   map[munin.SeriesID]munin.Series
	fleet    *fleet
	partial  bool
}

// survey reads a graph on all hosts and ranks its fields. The page and its picture ask for the same within a moment.
func (s *Server) survey(r *http.Request, f *fleet, name string) (*acrossView, error) {
	q := r.URL.Query()
	key := strings.Join([]string{name, q.Get("field"), q.Get("sort"), q.Get("group"), cmp.Or(q.Get("from"), periods()[0].From), orNow(q.Get("to"))}, "\x00")
	if v, ok := f.surveys.Load(key); ok {
		if known, ok := v.(*acrossView); ok {
			return known, nil
		}
	}
	v, err := s.readSurvey(r, f, name)
	if err == nil {
		f.surveys.Store(key, v)
	}
	return v, err
}

func (s *Server) readSurvey(r *http.Request, f *fleet, name string) (*acrossView, error) {
	l, err := s.index(r.Context(), f)
	if err != nil {
		return nil, err
	}
	v := &acrossView{fleet: f, field: r.FormValue("field"), sort: cmp.Or(r.FormValue("sort"), "avg"), kind: l.kind(name)}
	if v.kind == nil {
		return nil, fmt.Errorf("graph %q on any host: %w", clip(name, 80), munin.ErrNotFound)
	}
	if v.from, v.to, v.span, err = spanOf(r, f.now); err != nil {
		return nil, err
	}
	groups, group := make(map[string]bool), r.FormValue("group")
	for _, id := range l.on(v.kind) {
		groups[id.Group()] = true
		if inGroup(id, group) {
			v.hosts = append(v.hosts, id)
		}
	}
	if len(v.hosts) == 0 {
		return nil, fmt.Errorf("graph %q on any host: %w", clip(name, 80), munin.ErrNotFound)
	}
	v.groups = groupFilter(r, groups, group)
	if err := s.rank(r, v); err != nil {
		return nil, err
	}
	return v, nil
}

// addChoices adds the links to one field, and to another order.
func (p *AcrossPage) addChoices(r *http.Request, v *acrossView) {
	link := func(key, value, text string, current bool) RangeLink {
		q := r.URL.Query()
		q.Del(key)
		if value != "" {
			q.Set(key, value)
		}
		target := r.URL.EscapedPath()
		if len(q) > 0 {
			target += "?" + q.Encode()
		}
		return RangeLink{Text: text, URL: target, Current: current}
	}
	if len(v.kind.fields) > 1 {
		p.Fields = append(p.Fields, link("field", "", "every field", v.field == ""))
		for _, field := range v.kind.fields[:min(len(v.kind.fields), 40)] {
			p.Fields = append(p.Fields, link("field", field.Name, clip(cmp.Or(field.Label, field.Name), 60), v.field == field.Name))
		}
	}
	for _, order := range []struct{ key, text string }{{"now", "now"}, {"avg", "average"}, {"max", "max"}} {
		value := order.key
		if value == "avg" {
			value = ""
		}
		p.Sorts = append(p.Sorts, link("sort", value, order.text, v.sort == order.key))
	}
}

// acrossPicture draws the highest of a ranking as curves of one picture.
func (s *Server) acrossPicture(w http.ResponseWriter, r *http.Request, name string) error {
	p, err := picture(r, crossColumns, crossHeight)
	if err != nil {
		return err
	}
	f, err := s.fleet(r)
	if err != nil {
		return err
	}
	av, err := s.survey(r, f, name)
	if err != nil {
		return err
	}
	g := av.graph
	g.Fields, g.Order, g.Total = nil, nil, ""
	var series []munin.Series
	for i := range av.rows[:min(len(av.rows), maxOverlaid)] {
		row := &av.rows[i]
		label := row.Host
		if f.short[label] > 1 {
			label = row.Group + " › " + label
		}
		if av.field == "" && len(av.kind.fields) > 1 {
			label += " " + row.Label
		}
		field := munin.Field{Name: "f" + string(rune('a'+i)), Label: label, Draw: munin.Draw{Kind: munin.Line, Width: 1}}
		one := av.series[row.id]
		one.ID = munin.SeriesID{Host: row.id.Host, Graph: name, Field: field.Name}
		g.Fields = append(g.Fields, field)
		series = append(series, one)
	}
	g.Period = "second" // what is shown per minute was made so above
	model := chart.New(chart.Request{
		Graph: &g, Series: series, Range: av.span, Location: f.now.Location(), Now: f.now,
	})
	model.Unit = av.graph.Unit()
	w.Header().Set("Content-Security-Policy", picturePolicy)
	v := &view{fleet: f, span: av.span, model: model}
	v.host.Interval = 5 * time.Minute
	return s.send(w, r, v, "image/svg+xml", model.SVG(p))
}
