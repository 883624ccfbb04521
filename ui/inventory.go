package ui

import (
	"cmp"
	"encoding/csv"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"corbie/munin"
)

// PluginRow is one plugin in the inventory.
type PluginRow struct {
	Name, Title     string
	On, Lack        int
	OnURL, LackURL  string
	CompareURL      string
	CategoryURL     string
	Category        string
	PerHost, Graphs int
}

// InventoryRow is one host in the inventory.
type InventoryRow struct {
	HostRow
	Address   string
	Tags      []Link
	Plugins   int
	Graphs    int
	Banner    string
	FirstSeen *Moment
	Slowest   string
	Facts     []string // as the head of the table names them
}

// InventoryPage is /inventory.
type InventoryPage struct {
	Frame
	Heading string
	Rows    []InventoryRow
	More    int
	Plugins []PluginRow
	Tags    []RangeLink
	Lacks   string
	Has     string
	CSV     string
	Facts   []string // names of columns
	Untold  int      // facts without a column
	Total   int
}

const (
	maxInventory   = 1000
	maxFactColumns = 20
)

func (s *Server) inventory(w http.ResponseWriter, r *http.Request) error {
	f, err := s.fleet(r)
	if err != nil {
		return err
	}
	l, err := s.index(r.Context(), f)
	if err != nil {
		return err
	}
	have := l.plugins()
	lacks, has, tag := clip(r.FormValue("lacks"), 200), clip(r.FormValue("has"), 200), clip(r.FormValue("tag"), 200)
	page := InventoryPage{
		Frame: s.frame(r, f, "inventory", "Inventory", Link{"Inventory", "/inventory"}), Heading: "Inventory", Lacks: lacks, Has: has,
		CSV: "/inventory.csv", Total: len(f.hosts),
	}
	if r.URL.RawQuery != "" {
		page.CSV += "?" + r.URL.RawQuery
	}
	sheet := strings.HasSuffix(r.URL.Path, ".csv")
	page.Facts, page.Untold = s.factColumns(f, sheet)
	fits := func(row *HostRow) bool {
		switch {
		case lacks != "" && (have.on[lacks][row.ID] || row.host.Address == ""), has != "" && !have.on[has][row.ID]:
			return false
		}
		return tag == "" || slices.Contains(s.tags(row.ID), tag)
	}
	for i := range f.hosts {
		row := &f.hosts[i]
		if !fits(row) {
			continue
		}
		page.Rows = append(page.Rows, s.inventoryRow(f, row, have, page.Facts))
	}
	switch n := plural(len(page.Rows), "host lacks", "hosts lack"); {
	case lacks != "":
		page.Heading = n + " the plugin " + lacks
	case has != "":
		page.Heading = plural(len(page.Rows), "host has", "hosts have") + " the plugin " + has
	case tag != "":
		page.Heading = plural(len(page.Rows), "host has", "hosts have") + " the tag " + tag
	}
	page.Title = page.Heading
	if sheet {
		return inventoryCSV(w, r, &page)
	}
	page.More = max(len(page.Rows)-maxInventory, 0)
	page.Rows = page.Rows[:len(page.Rows)-page.More]
	page.Plugins = have.rows(f)
	page.Tags = s.tagLinks(f, tag)
	return s.render(w, r, http.StatusOK, "inventory", page)
}

func (s *Server) tags(id munin.HostID) []string {
	if s.opts.Tags == nil {
		return nil
	}
	return s.opts.Tags(id)
}

func (s *Server) facts(id munin.HostID) map[string]string {
	if s.opts.Facts == nil {
		return nil
	}
	return s.opts.Facts(id)
}

// factColumns are the names of the facts that any host has, those of most hosts first: all of them, or as many as a page has room
// for and the number of the others.
func (s *Server) factColumns(f *fleet, all bool) (names []string, untold int) {
	counts := make(map[string]int)
	for i := range f.hosts {
		for name := range s.facts(f.hosts[i].ID) {
			counts[name]++
		}
	}
	names = slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
	if !all {
		untold = max(len(names)-maxFactColumns, 0)
	}
	return names[:len(names)-untold], untold
}

func (s *Server) tagLinks(f *fleet, current string) []RangeLink {
	counts := make(map[string]int)
	var names []string
	for i := range f.hosts {
		for _, tag := range s.tags(f.hosts[i].ID) {
			if counts[tag] == 0 {
				names = append(names, tag)
			}
			counts[tag]++
		}
	}
	slices.Sort(names)
	var links []RangeLink
	for _, tag := range names[:min(len(names), 60)] {
		links = append(links, RangeLink{Text: tag + " " + strconv.Itoa(counts[tag]), URL: "/inventory?" + url.Values{"tag": {tag}}.Encode(), Current: tag == current})
	}
	return links
}

func (s *Server) inventoryRow(f *fleet, row *HostRow, have *pluginsOn, facts []string) InventoryRow {
	out := InventoryRow{
		HostRow: *row, Address: row.host.Address, Plugins: have.count[row.ID], Graphs: have.graphs[row.ID], Banner: clip(row.host.Banner, 80),
		FirstSeen: moment(row.host.FirstSeen, f.now),
	}
	for _, tag := range s.tags(row.ID) {
		out.Tags = append(out.Tags, Link{tag, "/inventory?" + url.Values{"tag": {tag}}.Encode()})
	}
	if row.host.SlowestTook >= 100*time.Millisecond {
		out.Slowest = row.host.Slowest + " " + munin.FormatValue(row.host.SlowestTook.Seconds(), 1000) + "s"
	}
	own := s.facts(row.ID)
	for _, name := range facts {
		out.Facts = append(out.Facts, own[name])
	}
	return out
}

// pluginsOn says which plugins are on which hosts.
type pluginsOn struct {
	on       map[string]map[munin.HostID]bool
	title    map[string]string
	category map[string]string
	first    map[string]string // name of a graph of the plugin
	count    map[munin.HostID]int
	graphs   map[munin.HostID]int
}

func (l *listing) plugins() *pluginsOn {
	p := &pluginsOn{
		on: make(map[string]map[munin.HostID]bool), title: make(map[string]string), category: make(map[string]string),
		first: make(map[string]string), count: make(map[munin.HostID]int), graphs: make(map[munin.HostID]int),
	}
	for i := range l.entries {
		e := &l.entries[i]
		row := l.fleet.byID[e.Host]
		if row == nil || row.host.Archived {
			continue
		}
		p.graphs[e.Host]++
		if row.host.LastAnswer.Sub(e.LastSeen) > time.Hour && !e.LastSeen.IsZero() { // the plugin is gone from there
			continue
		}
		name := cmp.Or(e.Plugin, e.Name)
		if p.on[name] == nil {
			p.on[name] = make(map[munin.HostID]bool)
			p.title[name], p.category[name], p.first[name] = e.Title, e.Category, e.Name
		}
		if !p.on[name][e.Host] {
			p.on[name][e.Host] = true
			p.count[e.Host]++
		}
	}
	return p
}

// rows lists the plugins; those that most hosts have, but not all, come first.
func (p *pluginsOn) rows(f *fleet) []PluginRow {
	polled := 0
	for i := range f.hosts {
		if f.hosts[i].host.Address != "" {
			polled++
		}
	}
	rows := make([]PluginRow, 0, len(p.on))
	for name, hosts := range p.on {
		rows = append(rows, PluginRow{
			Name: name, Title: clip(p.title[name], 100), On: len(hosts), Lack: max(polled-len(hosts), 0),
			OnURL:      "/inventory?" + url.Values{"has": {name}}.Encode(),
			LackURL:    "/inventory?" + url.Values{"lacks": {name}}.Encode(),
			CompareURL: "/x/" + pathEscape(p.first[name]), Category: p.category[name], CategoryURL: "/c/" + pathEscape(p.category[name]),
		})
	}
	slices.SortFunc(rows, func(a, b PluginRow) int {
		return cmp.Or(-cmp.Compare(truth(a.Lack > 0), truth(b.Lack > 0)), -cmp.Compare(a.On, b.On), cmp.Compare(a.Name, b.Name))
	})
	return rows
}

// inventoryCSV is the list of hosts for a spreadsheet. A cell that a spreadsheet would take for a formula gets an
// apostrophe before it.
func inventoryCSV(w http.ResponseWriter, r *http.Request, page *InventoryPage) error {
	var out strings.Builder
	table := csv.NewWriter(&out)
	head := append([]string{"host", "group", "address", "state", "tags", "plugins", "graphs", "node", "interval", "first_seen", "last_answer", "last_error"}, page.Facts...)
	rows := [][]string{head}
	for i := range page.Rows {
		row := &page.Rows[i]
		var tags []string
		for _, t := range row.Tags {
			tags = append(tags, t.Text)
		}
		rows = append(rows, append([]string{
			row.Name, strings.ReplaceAll(row.Group, ";", "/"), row.Address, row.Word, strings.Join(tags, " "), strconv.Itoa(row.Plugins),
			strconv.Itoa(row.Graphs), row.Banner, row.Interval, iso(row.FirstSeen), iso(row.LastAnswer), row.LastError,
		}, row.Facts...))
	}
	for _, row := range rows {
		for i := range row {
			if row[i] != "" && strings.ContainsRune("=+-@\t", rune(row[i][0])) {
				row[i] = "'" + row[i]
			}
		}
		if err := table.Write(row); err != nil {
			return fmt.Errorf("write the inventory: %w", err)
		}
	}
	table.Flush()
	h := w.Header()
	h.Set("Content-Type", "text/csv; charset=utf-8")
	h.Set("Content-Disposition", `inline; filename="inventory.csv"`)
	h.Set("Cache-Control", "no-cache")
	writeBody(w, r, []byte(out.String()))
	return nil
}

func iso(m *Moment) string {
	if m == nil {
		return ""
	}
	return m.ISO
}

// MissingRow is something that is not there as it should.
type MissingRow struct {
	Host, HostURL string
	Group         string
	Plugin        string
	URL           string // of a graph of it, if there is one
	Why           string
	Where         string   // "line 3"
	More          []string // about Why, such as how to see more
	Text          string   // what the plugin said
	Last          *Moment  // when it last was well
}

// MissingPage is /missing.
type MissingPage struct {
	Frame
	Heading string
	Host    string
	Silent  []HostRow
	Rows    []MissingRow
	More    int
	Hosts   int
}

const maxMissing = 500

// missing says why something is not there: hosts that do not answer, plugins whose answer could not be used, and
// graphs that are described no more.
func (s *Server) missing(w http.ResponseWriter, r *http.Request) error {
	f, err := s.fleet(r)
	if err != nil {
		return err
	}
	page := MissingPage{
		Frame: s.frame(r, f, "missing", "What is missing", Link{"What is missing", "/missing"}), Heading: "What is missing, and why",
	}
	hosts := f.hosts
	if name := r.FormValue("host"); name != "" {
		h, err := s.opts.Catalog.Host(r.Context(), clip(name, 1000))
		if err != nil || f.find(h.ID) == nil {
			return fmt.Errorf("host %q: %w", clip(name, 80), munin.ErrNotFound)
		}
		hosts = []HostRow{*f.find(h.ID)}
		page.Host, page.Heading = h.ID.Name(), "What is missing of "+h.ID.Name()+", and why"
	}
	page.Hosts = len(hosts)
	byHost, err := s.leftGraphs(r, f)
	if err != nil {
		return err
	}
	for i := range hosts {
		row := &hosts[i]
		if row.Silent || row.Never && !row.New {
			page.Silent = append(page.Silent, *row)
		}
		rows, err := s.missingOf(r, f, row, byHost[row.ID])
		if err != nil {
			return err
		}
		page.Rows = append(page.Rows, rows...)
	}
	page.More = max(len(page.Rows)-maxMissing, 0)
	page.Rows = page.Rows[:len(page.Rows)-page.More]
	return s.render(w, r, http.StatusOK, "missing", page)
}

// leftGraphs are the graphs that the last polls did not bring, by host.
func (s *Server) leftGraphs(r *http.Request, f *fleet) (map[munin.HostID][]munin.GraphEntry, error) {
	l, err := s.index(r.Context(), f)
	if err != nil {
		return nil, err
	}
	left := make(map[munin.HostID][]munin.GraphEntry)
	for i := range l.entries {
		e := &l.entries[i]
		row := f.byID[e.Host]
		if row != nil && !e.LastSeen.IsZero() && row.host.LastAnswer.Sub(e.LastSeen) > max(2*row.host.Interval, 10*time.Minute) {
			left[e.Host] = append(left[e.Host], *e)
		}
	}
	return left, nil
}

func (s *Server) missingOf(r *http.Request, f *fleet, row *HostRow, left []munin.GraphEntry) ([]MissingRow, error) {
	var rows []MissingRow
	failing := make(map[string]int) // plugin: index into rows
	start := func(plugin string) MissingRow {
		return MissingRow{Host: row.Name, HostURL: row.URL, Group: groupWords(row.Group), Plugin: plugin}
	}
	if s.opts.Faults != nil {
		faults, err := s.opts.Faults.Faults(r.Context(), row.ID)
		if err != nil {
			return nil, fmt.Errorf("read the faults of %s: %w", row.ID, err)
		}
		for _, fault := range faultRows(faults) {
			m := start(fault.Plugin)
			said := clauses(fault.Reason)
			m.Why, m.More, m.Where, m.Text = said[0], said[1:], fault.Where, fault.Text
			failing[fault.Plugin] = len(rows)
			rows = append(rows, m)
		}
	}
	for i := range left {
		e := &left[i]
		if n, ok := failing[e.Plugin]; ok {
			rows[n].URL = cmp.Or(rows[n].URL, f.graphURL(e.Host, e.Name))
			if rows[n].Last == nil {
				rows[n].Last = moment(e.LastSeen, f.now)
			}
			continue
		}
		m := start(e.Plugin)
		m.URL, m.Last = f.graphURL(e.Host, e.Name), moment(e.LastSeen, f.now)
		m.Why = "The graph " + e.Name + " is described no more: the plugin was removed, or says nothing of it now."
		rows = append(rows, m)
	}
	return rows, nil
}
