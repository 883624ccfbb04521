package ui

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"corbie/munin"
)

// feedLength is how many entries the feed has at most, and feedDays how far back it goes.
const (
	feedLength = 100
	feedDays   = 14
)

type atomFeed struct {
	XMLName xml.Name    `xml:"http://www.w3.org/2005/Atom feed"`
	ID      string      `xml:"id"`
	Title   string      `xml:"title"`
	Updated string      `xml:"updated"`
	Links   []atomLink  `xml:"link"`
	Entries []atomEntry `xml:"entry"`
}

type atomLink struct {
	Rel  string `xml:"rel,attr,omitempty"`
	Type string `xml:"type,attr,omitempty"`
	Href string `xml:"href,attr"`
}

type atomEntry struct {
	ID      string     `xml:"id"`
	Title   string     `xml:"title"`
	Updated string     `xml:"updated"`
	Links   []atomLink `xml:"link"`
	Author  atomAuthor `xml:"author"`
	Summary string     `xml:"summary"`
}

type atomAuthor struct {
	Name string `xml:"name"`
}

// feed tells of problems as they begin, change and end, newest first. Problems that are open and of which no beginning is noted
// are there too.
func (s *Server) feed(w http.ResponseWriter, r *http.Request) error {
	f, err := s.fleet(r)
	if err != nil {
		return err
	}
	all, err := s.annotations(r.Context(), munin.Range{From: f.now.AddDate(0, 0, -feedDays), To: f.now.Add(time.Minute)})
	if err != nil {
		return err
	}
	base := s.base(r)
	out := atomFeed{
		ID: base + "/feed.atom", Title: "Problems · Corbie", Updated: f.now.UTC().Format(time.RFC3339),
		Links: []atomLink{{Rel: "self", Type: "application/atom+xml", Href: base + "/feed.atom"}, {Rel: "alternate", Type: "text/html", Href: base + "/problems"}},
	}
	told := make(map[munin.SeriesID]bool)
	for i := len(all) - 1; i >= 0 && len(out.Entries) < feedLength; i-- {
		a := &all[i]
		if a.Kind != munin.Transition || !f.visible(a) {
			continue
		}
		told[munin.SeriesID{Host: a.Where, Graph: a.Graph, Field: a.Field}] = true
		row := f.change(a)
		out.add(base, "change/"+strconv.FormatInt(a.ID, 10), row.Where+": "+row.Word, a.Text, row.URL, a.From)
	}
	for i := range f.problems {
		p := &f.problems[i]
		if told[p.ID] || len(out.Entries) >= feedLength {
			continue
		}
		title := p.Host
		if !p.Silent {
			title += " › " + p.What
		}
		out.add(base, "problem/"+p.ID.String()+"/"+p.Token, title+": "+p.Word, p.Reason, p.URL, p.since)
	}
	if len(out.Entries) > 0 {
		out.Updated = out.Entries[0].Updated
	}
	var body bytes.Buffer
	body.WriteString(xml.Header)
	if err := xml.NewEncoder(&body).Encode(out); err != nil {
		return fmt.Errorf("write the feed: %w", err)
	}
	h := w.Header()
	h.Set("Content-Type", "application/atom+xml; charset=utf-8")
	h.Set("Cache-Control", "private, max-age=60")
	writeBody(w, r, body.Bytes())
	return nil
}

func (f *atomFeed) add(base, id, title, text, address string, at time.Time) {
	f.Entries = append(f.Entries, atomEntry{
		ID: base + "/feed.atom#" + id, Title: title, Updated: at.UTC().Format(time.RFC3339), Summary: text, Author: atomAuthor{"Corbie"},
		Links: []atomLink{{Rel: "alternate", Type: "text/html", Href: base + address}},
	})
}

// base is the address of these pages as the reader reaches them.
func (s *Server) base(r *http.Request) string {
	if s.opts.URL != "" {
		return s.opts.URL
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + r.Host
}
