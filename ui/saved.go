package ui

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"corbie/munin"
)

// ViewPage is /v/{name}: graphs of any hosts, in an order that somebody chose.
type ViewPage struct {
	Frame
	Name, Heading string
	By            string
	Cards         []GraphCard
	Gone          []string // graphs that are not there
	Periods       []RangeLink
	Span          PageSpan
	Range         string
	Can           bool
	Token         string
	Edit          ViewForm
}

// ViewForm is a form that makes or changes a view.
type ViewForm struct {
	Name, Title, From, To, Items string
	Token                        string
	Back                         string
}

// ViewRow is one view in the list.
type ViewRow struct {
	Title, URL, KioskURL string
	Name                 string
	Graphs               int
	By                   string
	At                   *Moment
}

// ViewsPage is /views.
type ViewsPage struct {
	Frame
	Rows  []ViewRow
	Can   bool
	Token string
	Form  ViewForm
	Kiosk string // address of the one that shows all in turn
}

func (s *Server) readViews(ctx context.Context) ([]munin.SavedView, error) {
	if s.opts.Views == nil {
		return nil, nil
	}
	views, err := s.opts.Views.Views(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the saved views: %w", err)
	}
	return views, nil
}

func (s *Server) viewLinks(ctx context.Context) ([]Link, error) {
	views, err := s.readViews(ctx)
	links := make([]Link, 0, len(views))
	for i := range views {
		links = append(links, Link{views[i].Title, "/v/" + views[i].Name})
	}
	return links, err
}

func (s *Server) views(w http.ResponseWriter, r *http.Request) error {
	f, err := s.fleet(r)
	if err != nil {
		return err
	}
	all, err := s.readViews(r.Context())
	if err != nil {
		return err
	}
	page := ViewsPage{Frame: s.frame(r, f, "views", "Views", Link{"Views", "/views"}), Can: s.opts.Views != nil && s.may(r), Kiosk: "/kiosk"}
	page.Refresh = 0
	for i := range all {
		v := &all[i]
		page.Rows = append(page.Rows, ViewRow{
			Title: v.Title, URL: "/v/" + v.Name, Name: v.Name, Graphs: len(v.Items), By: v.By, At: moment(v.At, f.now), KioskURL: "/kiosk?v=" + v.Name,
		})
	}
	if page.Can {
		page.Token = s.forms.token(w, r)
		page.Form = ViewForm{Token: page.Token, Items: clip(r.FormValue("items"), 20_000), From: "now-30h"}
	}
	return s.render(w, r, http.StatusOK, "views", page)
}

// savedView shows one.
func (s *Server) savedView(w http.ResponseWriter, r *http.Request) error {
	f, err := s.fleet(r)
	if err != nil {
		return err
	}
	v, err := s.viewNamed(r.Context(), r.PathValue("view"))
	if err != nil {
		return err
	}
	page := ViewPage{
		Frame: s.frame(r, f, "view", v.Title, Link{"Views", "/views"}, Link{v.Title, "/v/" + v.Name}), Name: v.Name, Heading: v.Title,
		By: v.By, Can: s.opts.Views != nil && s.may(r),
	}
	page.Many = true
	from, to := cmp.Or(r.FormValue("from"), v.From), cmp.Or(r.FormValue("to"), v.To)
	if err := s.fillView(r, f, &v, from, to, &page); err != nil {
		return err
	}
	if page.Can {
		page.Token = s.forms.token(w, r)
		page.Edit = ViewForm{Name: v.Name, Title: v.Title, From: v.From, To: v.To, Items: itemsText(v.Items), Token: page.Token}
	}
	return s.render(w, r, http.StatusOK, "view", page)
}

func (s *Server) viewNamed(ctx context.Context, name string) (munin.SavedView, error) {
	all, err := s.readViews(ctx)
	if err != nil {
		return munin.SavedView{}, err
	}
	for i := range all {
		if all[i].Name == name {
			return all[i], nil
		}
	}
	return munin.SavedView{}, fmt.Errorf("view %q: %w", clip(name, 80), munin.ErrNotFound)
}

// fillView adds the graphs of a view over a range.
func (s *Server) fillView(r *http.Request, f *fleet, v *munin.SavedView, from, to string, page *ViewPage) error {
	from, to = cmp.Or(from, periods()[0].From), orNow(to)
	span, err := munin.ParseRange(from, to, f.now)
	if err != nil {
		return &badRequestError{err}
	}
	page.Periods, page.Span, page.Range = periodLinks(r, from, to), pageSpan(span, to), rangeWords(span, f.now)
	for _, item := range v.Items {
		row := f.byID[item.Host]
		if row == nil {
			page.Gone = append(page.Gone, string(item.Host)+"/"+item.Graph)
			continue
		}
		g, err := s.opts.Catalog.Graph(r.Context(), item.Host, item.Graph)
		if isNotFound(err) {
			page.Gone = append(page.Gone, string(item.Host)+"/"+item.Graph)
			continue
		}
		if err != nil {
			return fmt.Errorf("read the graph %s of %s: %w", item.Graph, item.Host, err)
		}
		card := f.card(row.host, &g, row.Problems, []Period{{From: from, To: to}})
		card.Title = row.Name + " › " + card.Title
		card.URL = rangeURL(card.URL, from, to)
		card.Shots[0] = f.wide(row.host, item.Graph, from, to, card.Title)
		page.Cards = append(page.Cards, card)
	}
	return nil
}

// wide is a picture over a whole column of a page.
func (f *fleet) wide(h munin.Host, graph, from, to, title string) Shot {
	address := f.graphURL(h.ID, graph)
	return Shot{
		Src: f.pictureURL(address, from, to, wideWidth, wideHeight, h.LastAnswer), Alt: title, URL: rangeURL(address, from, to),
		Width: wideWidth, Height: wideHeight, Live: true,
	}
}

const wideWidth, wideHeight = 600, 200

func itemsText(items []munin.SavedItem) string {
	var b strings.Builder
	for _, item := range items {
		b.WriteString(string(item.Host) + "/" + item.Graph + "\n")
	}
	return b.String()
}

// saveView stores what a form says, or removes a view.
func (s *Server) saveView(w http.ResponseWriter, r *http.Request) error {
	if s.opts.Views == nil {
		return fmt.Errorf("views: %w", munin.ErrNotFound)
	}
	form := r.PostForm
	if name := form.Get("remove"); name != "" {
		if err := s.opts.Views.RemoveView(r.Context(), name); err != nil && !isNotFound(err) {
			return fmt.Errorf("remove a view: %w", err)
		}
		http.Redirect(w, r, "/views", http.StatusSeeOther)
		return nil
	}
	f, err := s.fleet(r)
	if err != nil {
		return err
	}
	v := munin.SavedView{
		Name: form.Get("name"), Title: form.Get("title"), From: strings.TrimSpace(form.Get("from")), To: strings.TrimSpace(form.Get("to")),
		By: s.author(r, form.Get("by")), At: time.Now(),
	}
	if v.From != "" || v.To != "" {
		if _, err := munin.ParseRange(v.From, v.To, f.now); err != nil {
			return &badRequestError{err}
		}
	}
	if v.Items, err = s.items(r, f, form.Get("items")); err != nil {
		return err
	}
	if to := form.Get("add"); to != "" { // one more graph of a view that is there
		old, err := s.viewNamed(r.Context(), to)
		if err != nil {
			return err
		}
		old.Items = append(old.Items, v.Items...)
		old.By, old.At = v.By, v.At
		v = old
	}
	if err := v.Tidy(); err != nil {
		return &badRequestError{err}
	}
	if err := s.opts.Views.SaveView(r.Context(), v); err != nil {
		return fmt.Errorf("store a view: %w", err)
	}
	http.Redirect(w, r, "/v/"+v.Name, http.StatusSeeOther)
	return nil
}

// items reads lines of HOST/GRAPH; a host may be said by its short name.
func (s *Server) items(r *http.Request, f *fleet, text string) ([]munin.SavedItem, error) {
	var items []munin.SavedItem
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		host, graph, ok := strings.Cut(line, "/")
		if !ok || len(items) >= munin.MaxSavedItems {
			return nil, &badRequestError{fmt.Errorf("%q: want HOST/GRAPH on each line, at most %d", clip(line, 80), munin.MaxSavedItems)}
		}
		h, err := s.opts.Catalog.Host(r.Context(), host)
		switch {
		case errors.Is(err, munin.ErrAmbiguous):
			return nil, &badRequestError{fmt.Errorf("several hosts are called %q: say its group too, as GROUP;HOST/GRAPH", clip(host, 80))}
		case isNotFound(err) || err == nil && f.find(h.ID) == nil:
			return nil, &badRequestError{fmt.Errorf("there is no host %q", clip(host, 80))}
		case err != nil:
			return nil, fmt.Errorf("find the host %q: %w", clip(host, 80), err)
		}
		items = append(items, munin.SavedItem{Host: h.ID, Graph: graph})
	}
	return items, nil
}

// KioskPage is /kiosk: views in turn, for a screen on a wall.
type KioskPage struct {
	ViewPage
	Every  int // seconds
	Next   string
	Number string // "2 of 5"
	// The first screen shows how things are.
	First    bool
	Problems []Problem
	More     int
	Groups   []Group
	Summary  string
}

// kiosk shows one of the views without anything around it, and leads to the next one by itself. Problems come first,
// whenever there are some.
func (s *Server) kiosk(w http.ResponseWriter, r *http.Request) error {
	f, err := s.fleet(r)
	if err != nil {
		return err
	}
	all, err := s.readViews(r.Context())
	if err != nil {
		return err
	}
	if only := r.URL.Query()["v"]; len(only) > 0 {
		all = slices.DeleteFunc(all, func(v munin.SavedView) bool { return !slices.Contains(only, v.Name) })
	}
	every := 30
	if n, err := strconv.Atoi(r.FormValue("every")); err == nil && n >= 5 && n <= 3600 {
		every = n
	}
	screens := len(all) + 1 // the first shows how things are
	n, err := strconv.Atoi(r.FormValue("n"))
	if err != nil || n < 0 || n >= screens {
		n = 0
	}
	q := r.URL.Query()
	q.Set("n", strconv.Itoa((n+1)%screens))
	page := KioskPage{Every: every, Next: "/kiosk?" + q.Encode(), Number: strconv.Itoa(n+1) + " of " + strconv.Itoa(screens)}
	title := "How things are"
	if n > 0 {
		title = all[n-1].Title
	}
	page.Frame = s.frame(r, f, "kiosk", title)
	page.Heading, page.Many, page.Refresh = title, false, 0
	if n > 0 {
		if err := s.fillView(r, f, &all[n-1], all[n-1].From, all[n-1].To, &page.ViewPage); err != nil {
			return err
		}
	}
	const most = 12
	if page.First = n == 0; page.First {
		page.Problems, page.Groups, page.Summary = f.problems[:min(len(f.problems), most)], f.groups(f.hosts), f.summary(f.hosts)
		page.More = len(f.problems) - len(page.Problems)
	}
	return s.render(w, r, http.StatusOK, "kiosk", page)
}
