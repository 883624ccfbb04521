package ui

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
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
	since   time.Time
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
	Silent     bool
	Never      bool // has not answered yet
	LastAnswer *Moment
	LastTried  *Moment
	LastError  string
	Interval   string
	Took       string
	Categories []Link
	host       munin.Host
}

// Counts are the problems of the whole fleet, shown on every page.
type Counts struct {
	Critical, Warning, Unknown int
}

// Total is all of them.
func (c Counts) Total() int { return c.Critical + c.Warning + c.Unknown }

// fleet is what every page needs to know: hosts, their addresses on these pages, and what is wrong.
type fleet struct {
	now      time.Time
	hosts    []HostRow
	archived []HostRow
	problems []Problem
	counts   Counts
	short    map[string]int // how many hosts have this short name
}

// fleet reads hosts and states once for a page.
func (s *Server) fleet(ctx context.Context) (*fleet, error) {
	hosts, err := s.opts.Catalog.Hosts(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the hosts: %w", err)
	}
	f := &fleet{now: s.now(), short: make(map[string]int)}
	for _, h := range hosts {
		f.short[h.ID.Name()]++
	}
	var states []munin.AlertState
	if s.opts.States != nil {
		if states, err = s.opts.States.States(ctx); err != nil {
			return nil, fmt.Errorf("read the alert states: %w", err)
		}
	}
	known := make(map[munin.HostID]munin.Host)
	for _, h := range hosts {
		if !h.Archived {
			known[h.ID] = h
		}
	}
	byHost := make(map[munin.HostID][]Problem)
	for _, state := range states {
		if h, ok := known[state.ID.Host]; ok {
			if p, wrong := f.problem(state, h); wrong {
				byHost[h.ID] = append(byHost[h.ID], p)
			}
		}
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
	for _, p := range f.problems {
		f.counts.add(p.Level)
	}
	slices.SortFunc(f.hosts, func(a, b HostRow) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Name, b.Name))
	})
	return f, nil
}

func (c *Counts) add(level munin.Level) {
	switch level {
	case munin.Critical:
		c.Critical++
	case munin.Warning:
		c.Warning++
	case munin.Unknown:
		c.Unknown++
	case munin.OK:
	}
}

// sortProblems puts the worst first, and of equals the newest.
func sortProblems(problems []Problem) {
	slices.SortStableFunc(problems, func(a, b Problem) int {
		return cmp.Or(-cmp.Compare(a.Level, b.Level), -a.since.Compare(b.since), cmp.Compare(a.URL, b.URL))
	})
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
		Reason: clip(state.Reason, 300), since: state.Since, URL: f.hostURL(h.ID),
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
	p.What = state.ID.Graph
	if state.ID.Field != "" {
		p.What += "." + state.ID.Field
	}
	if p.Reason == "" && !state.Bounds.IsZero() {
		p.Reason = munin.FormatValue(state.Value, 0) + " is outside " + state.Bounds.String()
	}
	p.URL = f.graphURL(h.ID, state.ID.Graph)
	p.Picture = pictureURL(p.URL, "now-24h", "now", 320, 110, h.LastAnswer)
	return p, true
}

func (f *fleet) row(h munin.Host, problems []Problem) HostRow {
	sortProblems(problems)
	row := HostRow{
		ID: h.ID, Name: h.ID.Name(), Group: h.ID.Group(), URL: f.hostURL(h.ID), Problems: problems, host: h,
		LastAnswer: moment(h.LastAnswer, f.now), LastTried: moment(h.LastTried, f.now), LastError: clip(h.LastError, 300),
		Interval: munin.FormatDuration(h.Interval), Never: h.LastAnswer.IsZero(),
		Took: munin.FormatValue(h.LastTook.Seconds(), 1000) + "s",
	}
	silent := h.Silent
	if silent <= 0 {
		silent = 3 * h.Interval
	}
	row.Silent = !row.Never && !h.Archived && silent > 0 && f.now.Sub(h.LastAnswer) > silent
	if row.Silent || row.Never {
		row.Level = munin.Unknown
	}
	for _, p := range problems {
		row.Level = max(row.Level, p.Level)
		row.Silent = row.Silent || p.Silent && !row.Never
	}
	row.More = max(len(problems)-3, 0)
	row.Word, row.Shape = row.Level.String(), shape(row.Level)
	switch {
	case row.Never:
		row.Word = "never answered"
	case row.Silent:
		row.Word = "silent"
	}
	return row
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
func (f *fleet) find(id munin.HostID) *HostRow {
	for _, list := range [][]HostRow{f.hosts, f.archived} {
		for i := range list {
			if list[i].ID == id {
				return &list[i]
			}
		}
	}
	return nil
}
