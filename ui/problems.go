package ui

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"corbie/munin"
)

// maxProblems is how many problems one page shows, and detailed of how many it reads the graph.
const (
	maxProblems = 500
	detailed    = 100
)

// ProblemsPage is /problems.
type ProblemsPage struct {
	Frame
	Open    []Problem // nobody takes care of them
	Acked   []Problem
	More    int
	Token   string // of the forms
	CanAck  bool
	Filters []RangeLink
	Lasts   []Choice // how long an acknowledgement may hold
	Total   int      // before the filter
	Recent  []ChangeRow
}

// Choice is one entry of a list to choose from.
type Choice struct{ Value, Text string }

// ackTimes are how long an acknowledgement may hold.
func ackTimes() []Choice {
	return []Choice{{"", "until it is over"}, {"1h", "1 hour"}, {"4h", "4 hours"}, {"1d", "1 day"}, {"1w", "1 week"}}
}

func (s *Server) problems(w http.ResponseWriter, r *http.Request) error {
	f, err := s.fleet(r)
	if err != nil {
		return err
	}
	page := ProblemsPage{
		Frame: s.frame(r, f, "problems", "Problems", Link{Text: "Problems", URL: "/problems"}),
		Lasts: ackTimes(), CanAck: s.opts.Acks != nil && s.may(r), Total: len(f.problems),
	}
	page.Feed = true
	want := r.FormValue("only")
	page.Filters = problemFilters(f, want)
	shown := make([]Problem, 0, len(f.problems))
	for _, p := range f.problems {
		if want == "" || p.Word == want || want == "silent" && p.Silent || want == p.Group {
			shown = append(shown, p)
		}
	}
	page.More = max(len(shown)-maxProblems, 0)
	shown = shown[:len(shown)-page.More]
	if err := s.detail(r, shown[:min(len(shown), detailed)]); err != nil {
		return err
	}
	for _, p := range shown {
		if p.Ack == nil {
			page.Open = append(page.Open, p)
		} else {
			page.Acked = append(page.Acked, p)
		}
	}
	if n := f.counts.Total(); n > 0 {
		page.Title = plural(n, "problem", "problems")
	}
	if page.Recent, err = s.recent(r.Context(), f); err != nil {
		return err
	}
	if page.CanAck {
		page.Token = s.forms.token(w, r)
	}
	return s.render(w, r, http.StatusOK, "problems", page)
}

// problemFilters are the ways to see some of the problems only.
func problemFilters(f *fleet, current string) []RangeLink {
	counts := make(map[string]int)
	var groups []string
	for i := range f.problems {
		p := &f.problems[i]
		counts[p.Word]++
		if p.Silent {
			counts["silent"]++
		}
		if p.Group != "" {
			if counts[p.Group] == 0 {
				groups = append(groups, p.Group)
			}
			counts[p.Group]++
		}
	}
	slices.Sort(groups)
	links := []RangeLink{{Text: "all " + strconv.Itoa(len(f.problems)), URL: "/problems", Current: current == ""}}
	add := func(word, text string) {
		if counts[word] > 0 {
			links = append(links, RangeLink{
				Text: text + " " + strconv.Itoa(counts[word]), URL: "/problems?" + url.Values{"only": {word}}.Encode(), Current: current == word,
			})
		}
	}
	for _, word := range []string{"critical", "warning", "unknown"} {
		add(word, word)
	}
	add("silent", "silent hosts")
	if len(groups) > 1 {
		for _, g := range groups[:min(len(groups), 20)] {
			add(g, groupWords(g))
		}
	}
	return links
}

// detail adds to problems what their graphs say: titles, labels, units and what to do.
func (s *Server) detail(r *http.Request, problems []Problem) error {
	for i := range problems {
		p := &problems[i]
		if p.Silent {
			continue
		}
		on, rule := munin.RuleOn(p.ID)
		g, err := s.opts.Catalog.Graph(r.Context(), on.Host, on.Graph)
		if isNotFound(err) {
			if rule { // its labels name a graph that is none
				p.URL, p.Picture = (&fleet{}).hostURL(on.Host), ""
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("read the graph %s of %s: %w", p.ID.Graph, p.ID.Host, err)
		}
		if !rule {
			p.describe(&g)
		}
	}
	return nil
}

// describe words a problem by the description of its graph.
func (p *Problem) describe(g *munin.Graph) {
	base := g.Base()
	if g.NoScale {
		base = 0
	}
	unit := clip(plainText(g.Unit()), 20)
	if strings.ContainsAny(unit, " ") { // "bytes in (-) / out (+) per second" is no unit of a number
		unit = ""
	}
	p.Title, p.Field = clip(g.Title, 120), p.ID.Field
	if field, ok := g.Field(p.ID.Field); ok {
		p.Field, p.Info = clip(field.Label, 80), clip(plainText(field.ExtInfo), 300)
	}
	if v := p.state.Value; v == v { // not NaN
		p.Value = strings.TrimSpace(munin.FormatValue(v, base) + " " + unit)
	}
	p.Limit = levelText(p.state.Bounds, base)
}

// acknowledge stores that somebody takes care of a problem, or takes that back.
func (s *Server) acknowledge(w http.ResponseWriter, r *http.Request) error {
	if s.opts.Acks == nil {
		return fmt.Errorf("acknowledgements: %w", munin.ErrNotFound)
	}
	form := r.PostForm
	id := munin.SeriesID{Host: munin.HostID(form.Get("host")), Graph: form.Get("graph"), Field: form.Get("field")}
	to := back(r, "/problems")
	if form.Get("undo") != "" {
		if err := s.opts.Acks.Unacknowledge(r.Context(), id); err != nil && !isNotFound(err) {
			return fmt.Errorf("take back an acknowledgement: %w", err)
		}
		http.Redirect(w, r, to, http.StatusSeeOther)
		return nil
	}
	problem, err := s.problemNow(r, id, form.Get("problem"))
	if err != nil {
		return err
	}
	now := time.Now()
	state := asOpen(problem.state)
	ack := munin.Ack{ID: id, Since: state.OpenSince, Level: state.Open, At: now, By: s.author(r, form.Get("by")), Comment: form.Get("comment")}
	if text := form.Get("for"); text != "" {
		d, err := munin.ParseDuration(text)
		if err != nil || d <= 0 {
			return &badRequestError{fmt.Errorf("for=%q: want a duration, such as 4h or 1d", clip(text, 40))}
		}
		ack.Until = now.Add(d)
	}
	ack.Tidy()
	if err := s.opts.Acks.Acknowledge(r.Context(), ack); err != nil {
		return fmt.Errorf("acknowledge: %w", err)
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}

// problemNow is the problem that a form means, if it is still the same one.
func (s *Server) problemNow(r *http.Request, id munin.SeriesID, token string) (*Problem, error) {
	s.forget()
	f, err := s.fleet(r)
	if err != nil {
		return nil, err
	}
	for i := range f.problems {
		p := &f.problems[i]
		if p.ID == id && (token == "" || p.Token == token) {
			return p, nil
		}
	}
	return nil, &badRequestError{errors.New("this problem is over, or became another one meanwhile; the list of problems shows how it stands now")}
}
