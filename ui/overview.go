package ui

import (
	"cmp"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"corbie/munin"
	"corbie/ui/access"
	"corbie/ui/report"
)

// Link is a step of the way to a page.
type Link struct {
	Text, URL string
}

// Frame is what every page shows around its own part.
type Frame struct {
	Title   string
	Kind    string // names the page in the style sheet
	Crumbs  []Link
	Counts  Counts
	Made    *Moment
	Refresh int // seconds; 0 never
	// Onward is where the browser goes at once; empty: nowhere.
	Onward  string
	Version string
	// Notices say what is wrong with the master itself.
	Notices []string
	// Live asks for the script that draws charts.
	Live bool
	// Many asks for the script that zooms and hovers many pictures together.
	Many     bool
	Static   bool // no forms and scripts
	Theme    string
	ZoneName string // name in the database, for scripts; empty where it has none
	Zones    []Zone
	Here     string // address of this page, for forms that lead back
	Query    string // in the search box
	Feed     bool
	// Bare leaves out what is wrong with the fleet.
	Bare bool
	// Stranger leaves out links to pages that only those see who may see the fleet.
	Stranger bool
	// Person is who asks; without a name, SignIn says whether there is a way to sign in.
	Person access.Person
	SignIn bool
}

// frame begins a page.
func (s *Server) frame(r *http.Request, f *fleet, kind, title string, crumbs ...Link) Frame {
	refresh := 5 * time.Minute
	for i := range f.hosts {
		if every := f.hosts[i].host.Interval; every > 0 {
			refresh = min(refresh, every)
		}
	}
	here := r.URL.RequestURI()
	if r.Method == http.MethodPost { // the answer to a form is no page to come back to
		here = "/"
	}
	frame := Frame{
		Here: here, Static: s.opts.Static, Theme: f.viewer.theme, ZoneName: zoneName(f.viewer.location), Zones: s.zones(f.viewer),
		Title: title, Kind: kind, Crumbs: crumbs, Counts: f.counts, Made: moment(f.now, f.now),
		Refresh: int(max(refresh, 10*time.Second) / time.Second), Version: s.opts.Version,
		Person: f.viewer.person, Bare: f.viewer.person.Role < munin.Viewer, Stranger: f.viewer.person.Role < munin.Viewer,
	}
	if s.opts.Notices != nil && !frame.Bare {
		frame.Notices = s.opts.Notices()
	}
	if s.guard != nil {
		password, oidc := s.guard.Methods()
		frame.SignIn = password || oidc
	}
	return frame
}

// Group is the hosts of one group path.
type Group struct {
	Name  string // "web › eu"
	URL   string
	Hosts []HostRow
	Wrong int // hosts with a problem
}

// OverviewPage is / and /g/{group}.
type OverviewPage struct {
	Frame
	Heading  string
	Summary  string
	Problems []Problem // of a group's page
	Groups   []Group
	Archived []HostRow
	First    bool // nothing is configured yet
	// Dense shows hosts as one word each, because there are many; Wrong are those with a problem, the worst first.
	Dense      bool
	Wrong      []HostRow
	MoreWrong  int
	Categories []Link
	Recent     []ChangeRow
	Views      []Link
}

const (
	// denseFrom is how many hosts are too many for a table with a line each.
	denseFrom = 25
	// maxWrong is how many hosts with a problem the overview tells of.
	maxWrong = 40
)

// maxCategoryHosts is up to how many hosts the overview reads every host's graphs to link their categories.
const maxCategoryHosts = 40

func (s *Server) overview(w http.ResponseWriter, r *http.Request) error {
	f, err := s.fleet(r)
	if err != nil {
		return err
	}
	return s.remembered(w, r, f, "overview", func() (any, error) {
		page := OverviewPage{
			Frame: s.frame(r, f, "overview", "Overview"), Heading: "Overview", Archived: f.archived,
			First: len(f.hosts) == 0, Summary: f.summary(f.hosts),
		}
		page.Feed = true
		if err := s.fillOverview(r, f, &page, f.hosts); err != nil {
			return nil, err
		}
		if page.Recent, err = s.recent(r.Context(), f); err != nil {
			return nil, err
		}
		page.Views, err = s.viewLinks(r.Context())
		return page, err
	})
}

// fillOverview adds the hosts and the ways on from them.
func (s *Server) fillOverview(r *http.Request, f *fleet, page *OverviewPage, hosts []HostRow) error {
	hosts = slices.Clone(hosts)
	page.Dense = len(hosts) >= denseFrom
	if page.Dense {
		for i := range hosts {
			if hosts[i].Level > munin.OK {
				page.Wrong = append(page.Wrong, hosts[i])
			}
		}
		slices.SortStableFunc(page.Wrong, func(a, b HostRow) int {
			return cmp.Or(-cmp.Compare(truth(a.Unhandled), truth(b.Unhandled)), -cmp.Compare(a.Level, b.Level), cmp.Compare(a.ID, b.ID))
		})
		page.MoreWrong = max(len(page.Wrong)-maxWrong, 0)
		page.Wrong = page.Wrong[:min(len(page.Wrong), maxWrong)]
	} else if err := s.addCategories(r, hosts); err != nil {
		return err
	}
	page.Groups = f.groups(hosts)
	entries, err := s.index(r.Context(), f)
	if err != nil {
		return err
	}
	page.Categories = entries.categoryLinks()
	return nil
}

func (s *Server) group(w http.ResponseWriter, r *http.Request) error {
	group := r.PathValue("group")
	f, err := s.fleet(r)
	if err != nil {
		return err
	}
	inside := func(of string) bool { return of == group || strings.HasPrefix(of, group+";") }
	var hosts []HostRow
	for _, h := range f.hosts {
		if inside(h.Group) {
			hosts = append(hosts, h)
		}
	}
	if len(hosts) == 0 {
		return fmt.Errorf("group %q: %w", clip(group, 80), munin.ErrNotFound)
	}
	page := OverviewPage{
		Frame: s.frame(r, f, "overview", groupWords(group), f.groupCrumbs(group)...), Heading: groupWords(group),
		Summary: f.summary(hosts),
	}
	if err := s.fillOverview(r, f, &page, hosts); err != nil {
		return err
	}
	for _, p := range f.problems {
		if inside(p.Group) {
			page.Problems = append(page.Problems, p)
		}
	}
	return s.render(w, r, http.StatusOK, "overview", page)
}

// groups sorts rows, which are ordered by group, into their groups.
func (f *fleet) groups(rows []HostRow) []Group {
	var groups []Group
	for i, row := range rows {
		if i == 0 || row.Group != rows[i-1].Group {
			g := Group{Name: groupWords(row.Group)}
			if row.Group != "" {
				g.URL = "/g/" + pathEscape(row.Group)
			}
			groups = append(groups, g)
		}
		last := &groups[len(groups)-1]
		last.Hosts = append(last.Hosts, row)
		if row.Level > munin.OK {
			last.Wrong++
		}
	}
	return groups
}

func (f *fleet) summary(rows []HostRow) string {
	silent := 0
	for i := range rows {
		if rows[i].Silent || rows[i].Never && !rows[i].New {
			silent++
		}
	}
	text := plural(len(rows), "host", "hosts")
	if silent > 0 {
		text += ", " + plural(silent, "does not answer", "do not answer")
	}
	return text
}

// groupCrumbs are the steps of a group path.
func (f *fleet) groupCrumbs(group string) []Link {
	if group == "" {
		return nil
	}
	var crumbs []Link
	path := ""
	for part := range strings.SplitSeq(group, ";") {
		if path != "" {
			path += ";"
		}
		path += part
		crumbs = append(crumbs, Link{Text: part, URL: "/g/" + pathEscape(path)})
	}
	return crumbs
}

func (s *Server) addCategories(r *http.Request, hosts []HostRow) error {
	if len(hosts) > maxCategoryHosts {
		return nil
	}
	for i := range hosts {
		graphs, err := s.opts.Catalog.Graphs(r.Context(), hosts[i].ID)
		if err != nil {
			return fmt.Errorf("list the graphs of %s: %w", hosts[i].ID, err)
		}
		hosts[i].Categories = categoryLinks(hosts[i].URL, graphs)
	}
	return nil
}

// categoryLinks are links to the categories of a host's graphs.
func categoryLinks(hostURL string, graphs []munin.Graph) []Link {
	const most = 12
	var links []Link
	for i := range graphs {
		link := Link{Text: graphs[i].Category, URL: hostURL + "#" + categoryAnchor(graphs[i].Category)}
		if !graphs[i].Hidden && !slices.Contains(links, link) {
			links = append(links, link)
		}
	}
	slices.SortFunc(links, func(a, b Link) int { return cmp.Compare(a.Text, b.Text) })
	return links[:min(len(links), most)]
}

// FindingRow is one line of the capacity report.
type FindingRow struct {
	munin.Finding
	Host, HostURL, URL          string
	What                        string
	UsedText, CeilingText, Unit string
	Growth                      string
	Early, Middle, Late         string
	Chance                      string
	Urgent                      munin.Level
	Word, Shape                 string
}

// CapacityPage is /capacity.
type CapacityPage struct {
	Frame
	Known bool // there is a report
	At    *Moment
	Years string
	Rows  []FindingRow
	// Waiting are those without a forecast yet.
	Waiting []FindingRow
	// More and MoreWaiting are how many are not shown: the least urgent of a large fleet.
	More, MoreWaiting int
}

// shownFindings is how many findings /capacity shows at least of each kind, of a large fleet; whatever may fill up is always shown.
const shownFindings = 300

// shorten leaves out what fills up least.
func (p *CapacityPage) shorten() {
	shown := len(p.Rows)
	for shown > shownFindings && p.Rows[shown-1].Verdict == munin.NotInSight {
		shown--
	}
	p.More, p.Rows = len(p.Rows)-shown, p.Rows[:shown]
	if more := len(p.Waiting) - shownFindings; more > 0 {
		p.MoreWaiting, p.Waiting = more, p.Waiting[:shownFindings]
	}
}

// capacityCSV is the whole report for a spreadsheet.
func (s *Server) capacityCSV(w http.ResponseWriter, r *http.Request) error {
	if s.opts.Reports == nil {
		return fmt.Errorf("the capacity report: %w", munin.ErrNotFound)
	}
	made, err := s.opts.Reports.LastReport(r.Context(), "capacity")
	if err != nil {
		return fmt.Errorf("read the capacity report: %w", err)
	}
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="capacity.csv"`)
	return report.Write(w, made, "csv")
}

func (s *Server) capacity(w http.ResponseWriter, r *http.Request) error {
	f, err := s.fleet(r)
	if err != nil {
		return err
	}
	page := CapacityPage{Frame: s.frame(r, f, "capacity", "Capacity", Link{Text: "Capacity", URL: "/capacity"})}
	if s.opts.Reports != nil {
		last, err := s.opts.Reports.LastReport(r.Context(), "capacity")
		switch {
		case err == nil:
			page.Known, page.At = true, moment(last.At, f.now)
			page.Years = munin.FormatDuration(last.Horizon)
			for _, finding := range last.Findings {
				if row := f.finding(finding); finding.Verdict == munin.TooLittleData {
					page.Waiting = append(page.Waiting, row)
				} else {
					page.Rows = append(page.Rows, row)
				}
			}
			if r.FormValue("all") == "" {
				page.shorten()
			}
		case !isNotFound(err):
			return fmt.Errorf("read the capacity report: %w", err)
		}
	}
	return s.render(w, r, http.StatusOK, "capacity", page)
}

func (f *fleet) finding(finding munin.Finding) FindingRow {
	row := FindingRow{
		Finding: finding, Host: finding.ID.Host.Name(), HostURL: f.hostURL(finding.ID.Host),
		URL: f.graphURL(finding.ID.Host, finding.ID.Graph), What: cmp.Or(finding.Label, finding.ID.Field),
		UsedText: munin.FormatValue(finding.Used, finding.Base), CeilingText: munin.FormatValue(finding.Ceiling, finding.Base),
		Unit: finding.Unit, Chance: percent(finding.Chance30),
		Early: day(finding.Full10, f.now.Location()), Middle: day(finding.Full50, f.now.Location()),
		Late: day(finding.Full90, f.now.Location()), Urgent: urgency(finding),
	}
	row.Word, row.Shape = string(finding.Verdict), shape(row.Urgent)
	if finding.Verdict != munin.TooLittleData {
		row.Growth = signed(finding.GrowthPerDay, finding.Base)
	} else {
		row.Chance = ""
	}
	return row
}

// urgency gives a finding a colour: red when it is full or more likely than not to be within 30 days, amber when
// one path in ten is.
func urgency(finding munin.Finding) munin.Level {
	switch {
	case finding.Verdict == munin.Full || finding.Chance30 >= 0.5:
		return munin.Critical
	case finding.Verdict == munin.TooLittleData:
		return munin.Unknown
	case finding.Chance30 >= 0.1:
		return munin.Warning
	}
	return munin.OK
}

func signed(v float64, base int) string {
	if math.Abs(v) < 1 { // "0.21" says more than "210m" beside a use in whole numbers
		base = 0
	}
	text := munin.FormatValue(v, base)
	if v > 0 {
		return "+" + text
	}
	return strings.Replace(text, "-", "−", 1)
}
