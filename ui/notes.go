package ui

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"corbie/munin"
	"corbie/ui/chart"
)

// ChangeRow is something that happened, as pages show it.
type ChangeRow struct {
	ID      int64
	Kind    string
	Word    string // what kind it is, for people
	Shape   string
	Level   munin.Level
	Text    string
	By      string
	Where   string // for people; empty: everything
	URL     string // of what it touches
	At      *Moment
	Until   *Moment
	Day     string // when it is another than that of the row before
	Mine    bool   // somebody wrote it, so that it can be taken back
	Around  string // the address that shows what else happened then
	Current bool   // it is of the instant that was asked for
}

// ChangesPage is /changes.
type ChangesPage struct {
	Frame
	Heading string
	At      string // as asked for
	Around  string
	Range   string
	Rows    []ChangeRow
	Moves   []RangeLink
	Kinds   []RangeLink
	More    bool
	Can     bool
	Token   string
	Places  []string
	Choices []Choice
	NowText string
	Failing []Problem // began in this time and are still open
}

// maxChanges is how many changes one page shows.
const maxChanges = 300

// word names a kind of annotation for people.
func word(kind munin.AnnotationKind) string {
	switch kind {
	case munin.Configured:
		return "configuration"
	case munin.Levels:
		return "levels changed"
	default:
		return string(kind)
	}
}

// annotations lists what happened in a range.
func (s *Server) annotations(ctx context.Context, span munin.Range) ([]munin.Annotation, error) {
	if s.opts.Notes == nil {
		return nil, nil
	}
	all, err := s.opts.Notes.Annotations(ctx, span)
	if err != nil {
		return nil, fmt.Errorf("read the annotations: %w", err)
	}
	return all, nil
}

// visible drops what touches no host that this reader sees.
func (f *fleet) visible(a *munin.Annotation) bool {
	if a.Where == "" || f.byID[a.Where] != nil {
		return true
	}
	inside := string(a.Where) + ";"
	for id := range f.byID {
		if strings.HasPrefix(string(id), inside) {
			return true
		}
	}
	return false
}

// change words an annotation.
func (f *fleet) change(a *munin.Annotation) ChangeRow {
	row := ChangeRow{
		ID: a.ID, Kind: string(a.Kind), Word: word(a.Kind), Text: a.Text, By: a.By, At: moment(a.From, f.now), Until: moment(a.To, f.now),
		Mine: a.By != "", Level: a.Level, Where: groupWords(string(a.Where)),
		Around: "/changes?" + url.Values{"at": {strconv.FormatInt(a.From.Unix(), 10)}}.Encode(),
	}
	if a.Kind == munin.Transition {
		row.Word, row.Shape = a.Level.String(), shape(a.Level)
	}
	switch host := f.byID[a.Where]; {
	case host != nil && a.Graph != "":
		row.URL = f.graphURL(a.Where, a.Graph)
		row.Where = host.Name + " › " + a.Graph
		if a.Field != "" {
			row.Where += "." + a.Field
		}
		row.URL = rangeURL(row.URL, strconv.FormatInt(a.From.Add(-3*time.Hour).Unix(), 10), strconv.FormatInt(minTime(a.From.Add(3*time.Hour), f.now).Unix(), 10))
	case host != nil:
		row.Where, row.URL = host.Name, host.URL
	case a.Where != "":
		row.URL = "/g/" + pathEscape(string(a.Where))
	}
	return row
}

// recent are the newest changes of the last day, newest first, for pages that mention them.
func (s *Server) recent(ctx context.Context, f *fleet) ([]ChangeRow, error) {
	const most = 6
	all, err := s.annotations(ctx, munin.Range{From: f.now.Add(-24 * time.Hour), To: f.now.Add(time.Minute)})
	if err != nil {
		return nil, err
	}
	var rows []ChangeRow
	for i := len(all) - 1; i >= 0 && len(rows) < most; i-- {
		if f.visible(&all[i]) {
			rows = append(rows, f.change(&all[i]))
		}
	}
	return rows, nil
}

// marks are what a picture of a graph shows of what happened. Of problems only those of the graph itself are shown.
func (s *Server) marks(ctx context.Context, f *fleet, host munin.HostID, graph string, span munin.Range) ([]chart.Mark, []ChangeRow, error) {
	all, err := s.annotations(ctx, span)
	if err != nil {
		return nil, nil, err
	}
	var marks []chart.Mark
	var rows []ChangeRow
	for i := range all {
		a := &all[i]
		if !a.Touches(host, graph) || a.Kind == munin.Transition && a.Graph == "" && a.Where != host {
			continue
		}
		text := a.Text
		if a.Kind != munin.Note && a.Kind != munin.Transition {
			text = word(a.Kind) + ": " + text
		}
		marks = append(marks, chart.Mark{At: a.From, To: a.To, Label: clip(text, 160), Level: a.Level})
		rows = append(rows, f.change(a))
	}
	return marks, rows, nil
}

// changes is the page of what happened around an instant.
func (s *Server) changes(w http.ResponseWriter, r *http.Request) error {
	f, err := s.fleet(r)
	if err != nil {
		return err
	}
	at, around, err := changesAround(r, f.now)
	if err != nil {
		return err
	}
	span := munin.Range{From: at.Add(-around), To: at.Add(around)}
	page := ChangesPage{
		Frame:   s.frame(r, f, "changes", "What changed", Link{Text: "What changed", URL: "/changes"}),
		Heading: "What changed", Around: munin.FormatDuration(around), Range: rangeWords(span, f.now),
		Can: s.opts.Notes != nil && s.may(r), Choices: []Choice{{"deploy", "deploy"}, {"maintenance", "maintenance"}, {"note", "note"}},
		NowText: f.now.Format("2006-01-02 15:04"),
	}
	asked := r.FormValue("at") != ""
	if asked {
		page.Heading = "What changed around " + at.Format("Mon 2 Jan 2006 15:04")
		page.At, page.NowText, page.Refresh = at.Format("2006-01-02 15:04"), at.Format("2006-01-02 15:04"), 0
	}
	page.addMoves(r, at, around, f.now)
	all, err := s.annotations(r.Context(), span)
	if err != nil {
		return err
	}
	s.fillChanges(&page, f, all, r.FormValue("kind"), at, asked)
	for i := range f.problems {
		if p := &f.problems[i]; !p.since.Before(span.From) && p.since.Before(span.To) {
			page.Failing = append(page.Failing, *p)
		}
	}
	page.Places = f.places()
	if page.Can {
		page.Token = s.forms.token(w, r)
	}
	return s.render(w, r, http.StatusOK, "changes", page)
}

// changesAround reads the instant and how much before and after it is wanted: without an instant, the last day.
func changesAround(r *http.Request, now time.Time) (at time.Time, around time.Duration, err error) {
	at, around = now.Add(-12*time.Hour), 12*time.Hour
	if text := r.FormValue("at"); text != "" {
		around = 30 * time.Minute
		if at, err = parseClock(text, now); err != nil {
			return at, around, &badRequestError{err}
		}
	}
	if text := r.FormValue("around"); text != "" {
		if around, err = munin.ParseDuration(text); err != nil || around < time.Minute || around > 400*24*time.Hour {
			return at, around, &badRequestError{fmt.Errorf("around=%q: want a duration from 1m to 400d", clip(text, 40))}
		}
		if r.FormValue("at") == "" {
			at = now.Add(-around)
		}
	}
	return at, around, nil
}

// parseClock reads a time as munin.ParseTime does, and a bare "14:05" as the last time that it was so late.
func parseClock(text string, now time.Time) (time.Time, error) {
	text = strings.TrimSpace(text)
	if clock, err := time.ParseInLocation("15:04", text, now.Location()); err == nil {
		at := time.Date(now.Year(), now.Month(), now.Day(), clock.Hour(), clock.Minute(), 0, 0, now.Location())
		if at.After(now) {
			at = at.AddDate(0, 0, -1)
		}
		return at, nil
	}
	return munin.ParseTime(text, now)
}

// fillChanges adds the newest first.
func (s *Server) fillChanges(page *ChangesPage, f *fleet, all []munin.Annotation, only string, at time.Time, asked bool) {
	counts := make(map[munin.AnnotationKind]int)
	for i := len(all) - 1; i >= 0; i-- {
		a := &all[i]
		if !f.visible(a) {
			continue
		}
		counts[a.Kind]++
		if only != "" && only != string(a.Kind) {
			continue
		}
		if len(page.Rows) == maxChanges {
			page.More = true
			continue
		}
		row := f.change(a)
		row.Current = asked && !a.From.After(at.Add(5*time.Minute)) && !a.End().Before(at.Add(-5*time.Minute))
		row.Day = day(a.From, f.now.Location())
		page.Rows = append(page.Rows, row)
	}
	for i := len(page.Rows) - 1; i > 0; i-- {
		if page.Rows[i].Day == page.Rows[i-1].Day {
			page.Rows[i].Day = ""
		}
	}
	link := func(kind, text string) {
		here, err := url.Parse(page.Here)
		if err != nil {
			return
		}
		q := here.Query()
		q.Del("kind")
		if kind != "" {
			q.Set("kind", kind)
		}
		page.Kinds = append(page.Kinds, RangeLink{Text: text, URL: "/changes?" + q.Encode(), Current: only == kind})
	}
	link("", "all")
	for _, kind := range munin.AnnotationKinds() {
		if counts[kind] > 0 {
			link(string(kind), word(kind)+" "+strconv.Itoa(counts[kind]))
		}
	}
}

// places are the groups and hosts that an annotation may be about.
func (f *fleet) places() []string {
	const most = 2000
	seen := make(map[string]bool)
	for i := range f.hosts {
		for id := string(f.hosts[i].ID); id != ""; id = munin.HostID(id).Group() {
			seen[id] = true
		}
	}
	names := make([]string, 0, len(seen))
	for name := range seen {
		names = append(names, name)
	}
	slices.Sort(names)
	return names[:min(len(names), most)]
}

func (p *ChangesPage) addMoves(r *http.Request, at time.Time, around time.Duration, now time.Time) {
	move := func(text, title string, at time.Time, around time.Duration) {
		q := url.Values{"at": {strconv.FormatInt(at.Unix(), 10)}, "around": {shortDuration(around)}}
		if kind := r.FormValue("kind"); kind != "" {
			q.Set("kind", kind)
		}
		p.Moves = append(p.Moves, RangeLink{Text: text, Title: title, URL: "/changes?" + q.Encode()})
	}
	move("← earlier", "As much time before", at.Add(-2*around), around)
	if at.Add(around).Before(now) {
		move("later →", "As much time after", at.Add(2*around), around)
	}
	move("wider", "Twice as much time", at, 2*around)
	if around > 5*time.Minute {
		move("closer", "Half of this time", at, around/2)
	}
	p.Moves = append(p.Moves, RangeLink{Text: "last day", URL: "/changes"}, RangeLink{Text: "last week", URL: "/changes?around=84h"})
}

// shortDuration is a duration as addresses say it.
func shortDuration(d time.Duration) string { return strconv.Itoa(int(d/time.Second)) + "s" }

// note stores what somebody wrote in a form.
func (s *Server) note(w http.ResponseWriter, r *http.Request) error {
	if s.opts.Notes == nil {
		return fmt.Errorf("annotations: %w", munin.ErrNotFound)
	}
	if id := r.PostForm.Get("remove"); id != "" {
		n, err := strconv.ParseInt(id, 10, 64)
		if err != nil {
			return &badRequestError{fmt.Errorf("remove=%q: want the number of an annotation", clip(id, 20))}
		}
		if err := s.opts.Notes.RemoveAnnotation(r.Context(), n); err != nil {
			return fmt.Errorf("take back an annotation: %w", err)
		}
		http.Redirect(w, r, back(r, "/changes"), http.StatusSeeOther)
		return nil
	}
	a, err := s.annotationOf(r, r.Form.Get)
	if err != nil {
		return err
	}
	if err := s.opts.Notes.Annotate(r.Context(), a); err != nil {
		return fmt.Errorf("store an annotation: %w", err)
	}
	to := back(r, "/changes?"+url.Values{"at": {strconv.FormatInt(a.From.Unix(), 10)}}.Encode())
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}

// annotationOf makes an annotation of what a form or a program says.
func (s *Server) annotationOf(r *http.Request, field func(string) string) (munin.Annotation, error) {
	f, err := s.fleet(r)
	if err != nil {
		return munin.Annotation{}, err
	}
	a := munin.Annotation{
		Kind: munin.AnnotationKind(field("kind")), From: f.now, Text: field("text"), By: s.author(r, field("by")), Graph: field("graph"),
	}
	if text := field("at"); text != "" {
		if a.From, err = parseClock(text, f.now); err != nil {
			return a, &badRequestError{err}
		}
	}
	if text := field("until"); text != "" {
		if a.To, err = parseClock(text, f.now); err != nil {
			return a, &badRequestError{err}
		}
	}
	switch a.Kind {
	case "", munin.Note, munin.Deploy, munin.Maintenance, munin.Reboot:
	default:
		return a, &badRequestError{fmt.Errorf("kind=%q: want note, deploy, maintenance or reboot", clip(string(a.Kind), 40))}
	}
	if a.Where, err = s.where(r, f, field("where")); err != nil {
		return a, err
	}
	if err := a.Tidy(); err != nil {
		return a, &badRequestError{err}
	}
	return a, nil
}

// where finds the host or group that somebody named; empty is everything.
func (s *Server) where(r *http.Request, f *fleet, name string) (munin.HostID, error) {
	name = strings.TrimSpace(name)
	if name == "" || slices.Contains(f.places(), name) {
		return munin.HostID(name), nil
	}
	h, err := s.opts.Catalog.Host(r.Context(), clip(name, 1000))
	switch {
	case err == nil && f.find(h.ID) != nil:
		return h.ID, nil
	case err == nil || isNotFound(err):
		return "", &badRequestError{fmt.Errorf("there is no host or group %q", clip(name, 80))}
	case errors.Is(err, munin.ErrAmbiguous):
		return "", &badRequestError{fmt.Errorf("several hosts are called %q: say its group too, as GROUP;HOST", clip(name, 80))}
	}
	return "", fmt.Errorf("find the host %q: %w", clip(name, 80), err)
}

// annotationsAPI lists annotations as JSON, or stores one: from a form, from JSON, or from the words of an address.
func (s *Server) annotationsAPI(w http.ResponseWriter, r *http.Request) error {
	if s.opts.Notes == nil {
		return fmt.Errorf("annotations: %w", munin.ErrNotFound)
	}
	field, err := fields(r)
	if err != nil {
		return &badRequestError{err}
	}
	a, err := s.annotationOf(r, field)
	if err != nil {
		return err
	}
	if err := s.opts.Notes.Annotate(r.Context(), a); err != nil {
		return fmt.Errorf("store an annotation: %w", err)
	}
	return sendJSON(w, r, http.StatusCreated, a)
}

// fields reads a form, or an object in JSON, and gives its members as text.
func fields(r *http.Request) (func(name string) string, error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		if err := r.ParseForm(); err != nil {
			return nil, errors.New("the form cannot be read")
		}
		return r.Form.Get, nil
	}
	var body map[string]any
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		return nil, fmt.Errorf("the document cannot be read as JSON: %w", err)
	}
	return func(name string) string {
		switch v := body[name].(type) {
		case string:
			return v
		case float64:
			return strconv.FormatInt(int64(v), 10)
		}
		return ""
	}, nil
}

// annotationsList answers with the annotations of a range.
func (s *Server) annotationsList(w http.ResponseWriter, r *http.Request) error {
	f, err := s.fleet(r)
	if err != nil {
		return err
	}
	span, err := munin.ParseRange(r.FormValue("from"), r.FormValue("to"), f.now)
	if err != nil {
		return &badRequestError{err}
	}
	all, err := s.annotations(r.Context(), span)
	if err != nil {
		return err
	}
	out := []munin.Annotation{}
	for i := range all {
		if f.visible(&all[i]) {
			out = append(out, all[i])
		}
	}
	return sendJSON(w, r, http.StatusOK, out)
}

func sendJSON(w http.ResponseWriter, r *http.Request, status int, value any) error {
	body, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)+1))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(append(body, '\n')) // a browser that has gone cannot be told
	}
	return nil
}
