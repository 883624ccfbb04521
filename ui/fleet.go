package ui

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"corbie/munin"
)

// Problem is one thing that is wrong, as pages show it.
type Problem struct {
	Level  munin.Level
	Word   string // "critical"
	Shape  string
	ID     munin.SeriesID
	Host   string // short name
	Group  string
	Silent bool // the host itself
	What   string
	Reason string
	Since  *Moment
	URL    string
	// Picture shows the graph's last day; empty for a host.
	Picture string
	// Value and Limit are the last value and the level that it breaches, as text without a unit; Value is empty where it is unknown.
	Value, Limit string
	// Title, Field and Info are of the graph's description, where it was read.
	Title, Field, Info string
	Ack                *AckRow // nil: nobody takes care of it yet
	// Token names this problem, and not a later one at the same place, in forms.
	Token string
	since time.Time
	state munin.AlertState
}

// AckRow says who takes care of a problem.
type AckRow struct {
	By, Comment string
	At, Until   *Moment
}

// HostRow is one host as lists show it.
type HostRow struct {
	ID       munin.HostID
	Name     string
	Group    string // full path
	URL      string
	Level    munin.Level
	Word     string
	Shape    string
	Problems []Problem
	// More counts the problems that are not in Problems' first three.
	More       int
	Unhandled  bool // a problem that nobody takes care of
	Silent     bool
	Never      bool // has not answered yet
	New        bool // and has not been asked either
	LastAnswer *Moment
	Late       bool // its polls take longer than the time between two
	LastTried  *Moment
	LastError  string
	Interval   string
	Took       string
	Categories []Link
	host       munin.Host
}

// Counts are the problems of the whole fleet, shown on every page: those that nobody takes care of by their level, and
// the acknowledged ones.
type Counts struct {
	Critical, Warning, Unknown, Acknowledged int
}

// Total is all that nobody takes care of.
func (c Counts) Total() int { return c.Critical + c.Warning + c.Unknown }

// fleet is what every page needs to know: hosts, their addresses on these pages, and what is wrong. It is shared by
// requests and nobody changes it once it was made.
type fleet struct {
	now      time.Time
	viewer   viewer
	hosts    []HostRow
	archived []HostRow
	problems []Problem
	counts   Counts
	short    map[string]int // how many hosts have this short name
	byID     map[munin.HostID]*HostRow
	pages    *rendered // pages made of this fleet
	surveys  *sync.Map // *acrossView by what was asked for
}

// fleetLife is how long a fleet that was read is good for: many readers look at the same moment.
const fleetLife = 2 * time.Second

// fleets remembers what was read a moment ago, for each wish of readers.
type fleets struct {
	mu    sync.Mutex
	known map[string]*fleet
}

// fleet is what is known now, or was known a moment ago.
func (s *Server) fleet(r *http.Request) (*fleet, error) {
	v := s.viewer(r)
	s.fleets.mu.Lock()
	defer s.fleets.mu.Unlock()
	now := time.Now()
	if f := s.fleets.known[v.key()]; f != nil && now.Sub(f.now) < fleetLife {
		return f, nil
	}
	f, err := s.readFleet(r.Context(), v, now.In(v.location))
	if err != nil {
		return nil, err
	}
	const most = 20
	if len(s.fleets.known) >= most || s.fleets.known == nil {
		s.fleets.known = make(map[string]*fleet)
	}
	s.fleets.known[v.key()] = f
	return f, nil
}

// forget makes the next page read anew what is known, after a change.
func (s *Server) forget() {
	s.fleets.mu.Lock()
	defer s.fleets.mu.Unlock()
	clear(s.fleets.known)
}

// readFleet reads hosts, states and acknowledgements.
func (s *Server) readFleet(ctx context.Context, v viewer, now time.Time) (*fleet, error) {
	hosts, err := s.opts.Catalog.Hosts(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the hosts: %w", err)
	}
	f := &fleet{now: now, viewer: v, short: make(map[string]int), byID: make(map[munin.HostID]*HostRow, len(hosts)), pages: &rendered{}, surveys: &sync.Map{}}
	for _, h := range hosts {
		f.short[h.ID.Name()]++
	}
	byHost, err := s.openProblems(ctx, f, hosts)
	if err != nil {
		return nil, err
	}
	for _, h := range hosts {
		row := f.row(h, byHost[h.ID])
		if h.Archived {
			f.archived = append(f.archived, row)
			continue
		}
		f.hosts = append(f.hosts, row)
		f.problems = append(f.problems, row.Problems...)
	}
	sortProblems(f.problems)
	for i := range f.problems {
		f.counts.add(&f.problems[i])
	}
	slices.SortFunc(f.hosts, func(a, b HostRow) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Name, b.Name))
	})
	for _, list := range [][]HostRow{f.hosts, f.archived} {
		for i := range list {
			f.byID[list[i].ID] = &list[i]
		}
	}
	return f, nil
}

// openProblems are the problems of the hosts that are configured, by host.
func (s *Server) openProblems(ctx context.Context, f *fleet, hosts []munin.Host) (map[munin.HostID][]Problem, error) {
	byHost := make(map[munin.HostID][]Problem)
	if s.opts.States == nil {
		return byHost, nil
	}
	states, err := s.opts.States.States(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the alert states: %w", err)
	}
	acks := make(map[munin.SeriesID]munin.Ack)
	if s.opts.Acks != nil {
		all, err := s.opts.Acks.Acks(ctx)
		if err != nil {
			return nil, fmt.Errorf("read the acknowledgements: %w", err)
		}
		for _, a := range all {
			acks[a.ID] = a
		}
	}
	known := make(map[munin.HostID]*munin.Host, len(hosts))
	for i := range hosts {
		if !hosts[i].Archived {
			known[hosts[i].ID] = &hosts[i]
		}
	}
	for _, state := range states {
		h, ok := known[state.ID.Host]
		if !ok {
			continue
		}
		p, wrong := f.problem(state, *h)
		if !wrong {
			continue
		}
		if a, ok := acks[state.ID]; ok && a.Covers(asOpen(state), f.now) {
			p.Ack = &AckRow{By: a.By, Comment: a.Comment, At: moment(a.At, f.now), Until: moment(a.Until, f.now)}
		}
		byHost[h.ID] = append(byHost[h.ID], p)
	}
	return byHost, nil
}

// asOpen is a state whose problem is open: one whose level is not announced, as unknown where nothing tells of it, counts
// from when it was entered.
func asOpen(s munin.AlertState) munin.AlertState {
	if s.Open == munin.OK {
		s.Open, s.OpenSince = s.Level, s.Since
	}
	return s
}

func (c *Counts) add(p *Problem) {
	if p.Ack != nil {
		c.Acknowledged++
		return
	}
	switch p.Level {
	case munin.Critical:
		c.Critical++
	case munin.Warning:
		c.Warning++
	case munin.Unknown:
		c.Unknown++
	case munin.OK:
	}
}

// sortProblems puts those first that nobody takes care of, then the worst, and of equals the newest.
func sortProblems(problems []Problem) {
	slices.SortStableFunc(problems, func(a, b Problem) int {
		return cmp.Or(-cmp.Compare(truth(a.Ack == nil), truth(b.Ack == nil)), -cmp.Compare(a.Level, b.Level), -a.since.Compare(b.since), cmp.Compare(a.URL, b.URL))
	})
}

func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}

// problem words a state; wrong is false when all is well. A problem that is open stays one while its value is
// unknown.
func (f *fleet) problem(state munin.AlertState, h munin.Host) (p Problem, wrong bool) {
	level := max(state.Level, state.Open)
	if level == munin.OK {
		return Problem{}, false
	}
	p = Problem{
		Level: level, Word: level.String(), Shape: shape(level), ID: state.ID, Host: h.ID.Name(), Group: h.ID.Group(),
		Reason: clip(state.Reason, 300), since: state.Since, URL: f.hostURL(h.ID), state: state,
		Token: problemToken(state),
	}
	if state.Open == level {
		p.since = state.OpenSince
	}
	if state.Level == munin.Unknown && level != munin.Unknown {
		p.Reason = strings.TrimSpace(p.Reason + " (there is no new value)")
	}
	p.Since = moment(p.since, f.now)
	if state.ID.Graph == "" {
		p.Silent, p.What = true, "the host does not answer"
		if p.Reason == "" {
			p.Reason = silence(h, f.now)
		}
		return p, true
	}
	what, rule := whatOf(state.ID)
	p.What = what
	if p.Reason == "" && !state.Bounds.IsZero() {
		p.Reason = munin.FormatValue(state.Value, 0) + " is outside " + state.Bounds.String()
	}
	if v := state.Value; v == v { // not NaN
		p.Value = munin.FormatValue(v, 0)
	}
	on, about := munin.RuleOn(state.ID)
	if rule && !about {
		return p, true // it is on no graph
	}
	p.Limit = levelText(state.Bounds, 0)
	p.URL = f.graphURL(h.ID, on.Graph)
	p.Picture = f.pictureURL(p.URL, "now-24h", "now", 320, 110, h.LastAnswer)
	return p, true
}

// whatOf names what a problem is on within its host: a field of a graph, or the alert of a rule with its labels.
func whatOf(id munin.SeriesID) (what string, rule bool) {
	name, rule := munin.RuleName(id.Graph)
	switch {
	case rule && id.Field != "":
		return name + " {" + clip(id.Field, 200) + "}", rule
	case id.Field != "":
		return name + "." + id.Field, rule
	}
	return name, rule
}

func (f *fleet) row(h munin.Host, problems []Problem) HostRow {
	sortProblems(problems)
	row := HostRow{
		ID: h.ID, Name: h.ID.Name(), Group: h.ID.Group(), URL: f.hostURL(h.ID), Problems: problems, host: h,
		LastAnswer: moment(h.LastAnswer, f.now), LastTried: moment(h.LastTried, f.now), LastError: clip(h.LastError, 300),
		Interval: munin.FormatDuration(h.Interval), Never: h.LastAnswer.IsZero(),
		New:  h.LastAnswer.IsZero() && h.LastTried.IsZero(),
		Took: munin.FormatValue(h.LastTook.Seconds(), 1000) + "s", Late: h.Late(),
	}
	row.Silent = !h.Archived && h.SilentAt(f.now)
	unanswered := row.Never && !row.New
	if row.Silent || unanswered {
		row.Level = munin.Unknown
	}
	row.Unhandled = unanswered || row.Silent && len(problems) == 0
	for _, p := range problems {
		row.Level = max(row.Level, p.Level)
		row.Unhandled = row.Unhandled || p.Ack == nil
		row.Silent = row.Silent || p.Silent && !row.Never
	}
	row.More = max(len(problems)-3, 0)
	row.Word, row.Shape = row.words()
	return row
}

// words are the state of a host, and the shape that stands for it.
func (h *HostRow) words() (word, mark string) {
	switch {
	case h.New && h.Level == munin.OK:
		return "no values yet", "○"
	case h.Never:
		return "never answered", shape(h.Level)
	case h.Silent:
		return "silent", shape(h.Level)
	}
	return h.Level.String(), shape(h.Level)
}

// problemToken names a problem: its place and its beginning.
func problemToken(state munin.AlertState) string {
	return strconv.FormatInt(asOpen(state).OpenSince.UnixNano(), 36)
}

// silence words how long a host has not answered and why.
func silence(h munin.Host, now time.Time) string {
	text := "has not answered yet"
	if m := moment(h.LastAnswer, now); m != nil {
		text = "has not answered since " + m.Clock
	}
	if h.LastError != "" {
		text += ": " + clip(h.LastError, 200)
	}
	return text
}

// hostURL uses the short name where that is enough.
func (f *fleet) hostURL(id munin.HostID) string {
	name := id.Name()
	if f.short[name] != 1 {
		name = string(id)
	}
	return "/h/" + pathEscape(name)
}

func (f *fleet) graphURL(host munin.HostID, graph string) string {
	url := f.hostURL(host) + "/" + pathEscape(graph)
	if _, format := splitFormat(graph); format != "" { // a graph whose name ends like a file
		url += ".html"
	}
	return url
}

// find is the row of a host; archived ones too.
func (f *fleet) find(id munin.HostID) *HostRow { return f.byID[id] }
