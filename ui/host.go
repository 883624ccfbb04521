package ui

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"corbie/munin"
	"corbie/ui/chart"
)

// Period is one of the ranges that graphs are shown over: a bit more than its name says, so that the same time
// of the period before is in sight.
type Period struct {
	Name string
	From string // of the range
	To   string // empty: now
}

// periods are those that Munin has.
func periods() []Period {
	return []Period{{"day", "now-30h", ""}, {"week", "now-8d", ""}, {"month", "now-33d", ""}, {"year", "now-400d", ""}}
}

// periodsFor begins with the period that shows most of a host: its last day, or less while it has not been known
// for long, so that the first values are not a sliver at the edge.
func periodsFor(h munin.Host, now time.Time) []Period {
	switch age := now.Sub(h.FirstSeen); {
	case h.FirstSeen.IsZero() || age > 6*time.Hour:
		return periods()
	case age > 15*time.Minute:
		return append([]Period{{"hour", "now-75m", ""}}, periods()...)
	default:
		return append([]Period{{"10 minutes", "now-10m", ""}, {"hour", "now-75m", ""}}, periods()...)
	}
}

// Shot is a picture on a page.
type Shot struct {
	Period  string
	Src     string
	Alt     string
	URL     string // where it leads
	Width   int
	Height  int
	Eager   bool // above the fold
	Current bool
	Live    bool // zooms and hovers with the others of the page
}

// Swatch is one entry of a legend without numbers.
type Swatch struct {
	Label  string
	Colour chart.Colour
}

// GraphCard is one graph in a list of several.
type GraphCard struct {
	Name     string
	Title    string
	URL      string
	Unit     string
	Shots    []Shot
	Legend   []Swatch
	More     int // fields that are not in Legend
	Children int
	Problems []Problem
	Level    munin.Level
	Stale    *Moment // when a poll last brought it, if that is long ago
}

// Section is the graphs of one category.
type Section struct {
	Category string
	Anchor   string
	Cards    []GraphCard
	Level    munin.Level
	Shape    string
}

// HostPage is /h/{host}.
type HostPage struct {
	Frame
	Host     HostRow
	Address  string
	Problems []Problem
	Faults   []FaultRow
	Sections []Section
	Periods  []RangeLink
	Range    string // in words; empty: the day and the week
	Span     PageSpan
	Tags     []Link
	Facts    []Fact
	Changes  []ChangeRow
	Left     int // plugins and graphs that are missing
}

// Fact is what the configuration says of a host, for people.
type Fact struct{ Name, Value string }

// FaultRow is a plugin whose answer could not be used.
type FaultRow struct {
	Plugin, Where, Reason, Text string
}

const (
	cardWidth, cardHeight = 290, 126
	legendFields          = 8
)

func (s *Server) host(w http.ResponseWriter, r *http.Request) error {
	f, h, err := s.findHost(r)
	if err != nil {
		return err
	}
	row := f.find(h.ID)
	graphs, err := s.opts.Catalog.Graphs(r.Context(), h.ID)
	if err != nil {
		return fmt.Errorf("list the graphs of %s: %w", h.ID, err)
	}
	page := HostPage{
		Frame: s.frame(r, f, "host", h.ID.Name(), append(f.groupCrumbs(h.ID.Group()), Link{h.ID.Name(), row.URL})...),
		Host:  *row, Address: h.Address, Problems: row.Problems,
	}
	shown := periodsFor(h, f.now)[:2]
	page.Many = true
	from, to, span, err := spanOf(r, f.now)
	if err != nil {
		return err
	}
	page.Periods, page.Span = periodLinks(r, r.FormValue("from"), to), pageSpan(span, to)
	if ranged := r.FormValue("from") != "" || r.FormValue("to") != ""; ranged {
		page.Range, shown = rangeWords(span, f.now), []Period{{Name: "", From: from, To: to}}
	}
	page.Sections = f.sections(h, graphs, row.Problems, shown)
	if _, page.Changes, err = s.marks(r.Context(), f, h.ID, "", munin.Range{From: f.now.Add(-24 * time.Hour), To: f.now}); err != nil {
		return err
	}
	page.Changes = newest(page.Changes, 5)
	for _, tag := range s.tags(h.ID) {
		page.Tags = append(page.Tags, Link{tag, "/inventory?" + url.Values{"tag": {tag}}.Encode()})
	}
	facts := s.facts(h.ID)
	for _, name := range slices.Sorted(maps.Keys(facts)) {
		page.Facts = append(page.Facts, Fact{name, clip(facts[name], 200)})
	}
	if s.opts.Faults != nil {
		faults, err := s.opts.Faults.Faults(r.Context(), h.ID)
		if err != nil {
			return fmt.Errorf("read the faults of %s: %w", h.ID, err)
		}
		page.Faults = faultRows(faults)
	}
	return s.render(w, r, http.StatusOK, "host", page)
}

// newest are the last few rows, the newest first.
func newest(rows []ChangeRow, most int) []ChangeRow {
	rows = slices.Clone(rows[max(len(rows)-most, 0):])
	slices.Reverse(rows)
	return rows
}

// findHost reads {host}: a full path or a short name.
func (s *Server) findHost(r *http.Request) (*fleet, munin.Host, error) {
	name := r.PathValue("host")
	if len(name) > 1000 {
		return nil, munin.Host{}, fmt.Errorf("a host name of %d bytes: %w", len(name), munin.ErrNotFound)
	}
	f, err := s.fleet(r)
	if err != nil {
		return nil, munin.Host{}, err
	}
	h, err := s.opts.Catalog.Host(r.Context(), name)
	if errors.Is(err, munin.ErrAmbiguous) {
		return nil, munin.Host{}, &ambiguousError{name: name, rest: strings.TrimPrefix(r.URL.Path, "/h/"+name), fleet: f}
	}
	if err != nil {
		return nil, munin.Host{}, fmt.Errorf("find the host %q: %w", clip(name, 80), err)
	}
	if f.find(h.ID) == nil { // it came to be between the two reads
		again := *f
		again.byID = maps.Clone(f.byID)
		row := f.row(h, nil)
		again.byID[h.ID] = &row
		f = &again
	}
	return f, h, nil
}

func faultRows(faults []munin.Fault) []FaultRow {
	var rows []FaultRow
	for _, fault := range faults {
		row := FaultRow{Plugin: cmp.Or(fault.Plugin, "the session"), Reason: clip(fault.Reason, 1000), Text: clip(fault.Text, 120)}
		if fault.Line > 0 {
			row.Where = "line " + strconv.Itoa(fault.Line)
		}
		rows = append(rows, row)
	}
	return rows
}

// sections sorts a host's graphs by category and title. Children of a multigraph are left to its page.
func (f *fleet) sections(h munin.Host, graphs []munin.Graph, problems []Problem, shown []Period) []Section {
	byCategory := make(map[string]*Section)
	for i := range graphs {
		g := &graphs[i]
		if g.Hidden || parentOf(g.Name, graphs) != "" {
			continue
		}
		section := byCategory[g.Category]
		if section == nil {
			section = &Section{Category: g.Category, Anchor: categoryAnchor(g.Category)}
			byCategory[g.Category] = section
		}
		card := f.card(h, g, problems, shown)
		for j := range graphs {
			if parentOf(graphs[j].Name, graphs) == g.Name {
				card.Children++
				card.addProblems(graphs[j].Name, problems)
			}
		}
		section.Cards = append(section.Cards, card)
	}
	sections := make([]Section, 0, len(byCategory))
	for _, section := range byCategory {
		slices.SortStableFunc(section.Cards, func(a, b GraphCard) int {
			return cmp.Or(cmp.Compare(strings.ToLower(a.Title), strings.ToLower(b.Title)), cmp.Compare(a.Name, b.Name))
		})
		for _, card := range section.Cards {
			section.Level = max(section.Level, card.Level)
		}
		section.Shape = shape(section.Level)
		sections = append(sections, *section)
	}
	slices.SortFunc(sections, func(a, b Section) int { return cmp.Compare(a.Category, b.Category) })
	return sections
}

// categoryAnchor is where a category's graphs begin on a host's page.
func categoryAnchor(category string) string { return "c-" + munin.SanitisePlugin(category) }

// parentOf is the graph that a name with dots stands under, if there is such a graph.
func parentOf(name string, graphs []munin.Graph) string {
	for {
		dot := strings.LastIndexByte(name, '.')
		if dot < 0 {
			return ""
		}
		name = name[:dot]
		for i := range graphs {
			if graphs[i].Name == name && !graphs[i].Hidden {
				return name
			}
		}
	}
}

func (f *fleet) card(h munin.Host, g *munin.Graph, problems []Problem, shown []Period) GraphCard {
	card := GraphCard{
		Name: g.Name, Title: clip(g.Title, 160), URL: f.graphURL(h.ID, g.Name), Unit: clip(plainText(g.Unit()), 80),
	}
	for _, p := range shown {
		width, height, alt := cardWidth, cardHeight, card.Title+", last "+p.Name
		if len(shown) == 1 { // all pictures of the page show one range
			width, height, alt = wideWidth, wideHeight, card.Title
		}
		card.Shots = append(card.Shots, Shot{
			Period: p.Name, Src: f.pictureURL(card.URL, p.From, orNow(p.To), width, height, h.LastAnswer),
			Alt: alt, URL: rangeURL(card.URL, p.From, orNow(p.To)), Width: width, Height: height, Live: len(card.Shots) == 0,
		})
	}
	model := chart.New(chart.Request{Graph: g, Now: f.now})
	for i := range model.Curves {
		if i == legendFields {
			card.More = len(model.Curves) - i
			break
		}
		c := &model.Curves[i]
		card.Legend = append(card.Legend, Swatch{Label: clip(c.LegendLabel(model), 60), Colour: c.Colour})
	}
	if age := f.now.Sub(g.LastSeen); !g.LastSeen.IsZero() && age > max(6*g.Step(h.Interval), time.Hour) && h.LastAnswer.Sub(g.LastSeen) > time.Hour {
		card.Stale = moment(g.LastSeen, f.now)
	}
	card.addProblems(g.Name, problems)
	return card
}

func (c *GraphCard) addProblems(graph string, problems []Problem) {
	for _, p := range problems {
		if p.ID.Graph == graph {
			c.Problems = append(c.Problems, p)
			c.Level = max(c.Level, p.Level)
		}
	}
}

// pictureURL names a picture without title and legend. The time of the last answer stands in it, so that a
// browser may keep what it has until there is something new.
func (f *fleet) pictureURL(graphURL, from, to string, width, height int, answered time.Time) string {
	query := url.Values{
		"from": {from}, "to": {to}, "w": {strconv.Itoa(width)}, "h": {strconv.Itoa(height)}, "bare": {"1"},
	}
	if !answered.IsZero() {
		query.Set("v", strconv.FormatInt(answered.Unix(), 36))
	}
	if f.viewer.zone != "" {
		query.Set("tz", f.viewer.zone)
	}
	if f.viewer.theme != "" {
		query.Set("theme", f.viewer.theme)
	}
	return withFormat(graphURL, ".svg") + "?" + query.Encode()
}

func rangeURL(graphURL, from, to string) string {
	return graphURL + "?" + url.Values{"from": {from}, "to": {to}}.Encode()
}

func withFormat(graphURL, format string) string {
	return strings.TrimSuffix(graphURL, ".html") + format
}
