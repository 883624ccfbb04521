package ui

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"corbie/munin"
)

// page is a handler that may fail; answer turns what went wrong into a page.
type page func(w http.ResponseWriter, r *http.Request) error

// badRequestError says that the address asks for something that cannot be.
type badRequestError struct{ err error }

func (e *badRequestError) Error() string { return e.err.Error() }
func (e *badRequestError) Unwrap() error { return e.err }

// ambiguousError says that a short name fits more than one host.
type ambiguousError struct {
	name, rest string
	fleet      *fleet
}

func (e *ambiguousError) Error() string {
	return fmt.Sprintf("host %q: %v", e.name, munin.ErrAmbiguous)
}
func (e *ambiguousError) Unwrap() error { return munin.ErrAmbiguous }

// noGraphError says that a host is known but not the graph.
type noGraphError struct {
	host  munin.Host
	graph string
	url   string
	err   error
}

func (e *noGraphError) Error() string {
	return fmt.Sprintf("graph %q of %s: %v", clip(e.graph, 80), e.host.ID, e.err)
}
func (e *noGraphError) Unwrap() error { return e.err }

// TroublePage says what went wrong and what to do.
type TroublePage struct {
	Frame
	Heading string
	Text    string
	Choices []Link
}

func (s *Server) answer(p page) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := p(w, r)
		if err == nil || errors.Is(err, context.Canceled) && r.Context().Err() != nil {
			return
		}
		w.Header().Set("Content-Security-Policy", policy)
		status, trouble := s.trouble(r, err)
		if status >= http.StatusInternalServerError {
			s.opts.Log.ErrorContext(r.Context(), "a page could not be made", "path", clip(r.URL.Path, 200), "err", err)
		}
		if _, format := splitFormat(r.PathValue("graph")); format != "" && format != ".html" {
			writeText(w, r, status, trouble.Heading+"\n"+trouble.Text+"\n")
			return
		}
		if err := s.render(w, r, status, "trouble", trouble); err != nil {
			s.opts.Log.ErrorContext(r.Context(), "the error page could not be made", "err", err)
			writeText(w, r, status, trouble.Heading+"\n"+trouble.Text+"\n")
		}
	})
}

// trouble words an error.
func (s *Server) trouble(r *http.Request, err error) (int, TroublePage) {
	f, fleetErr := s.fleet(r)
	if fleetErr != nil {
		v := s.viewer(r)
		f = &fleet{now: time.Now().In(v.location), viewer: v, short: map[string]int{}, pages: &rendered{}, surveys: &sync.Map{}}
	}
	var (
		bad       *badRequestError
		ambiguous *ambiguousError
		noGraph   *noGraphError
		forbidden *forbiddenError
	)
	t := TroublePage{Frame: s.frame(r, f, "trouble", "")}
	status := http.StatusNotFound
	switch {
	case errors.As(err, &bad):
		status, t.Heading, t.Text = http.StatusBadRequest, "This address asks for something that cannot be", err.Error()+"."
	case errors.As(err, &forbidden):
		status, t.Heading, t.Text = http.StatusForbidden, "Nothing was changed", err.Error()+"."
	case errors.As(err, &ambiguous):
		status = http.StatusMultipleChoices
		t.Heading, t.Text = "Several hosts are called "+clip(ambiguous.name, 80), "Choose one; its full name is also the address."
		for _, h := range f.hosts {
			if h.Name == ambiguous.name {
				t.Choices = append(t.Choices, Link{groupWords(string(h.ID)), "/h/" + pathEscape(string(h.ID)) + escapePath(ambiguous.rest)})
			}
		}
	case errors.As(err, &noGraph) && isNotFound(err):
		t.Heading = noGraph.host.ID.Name() + " has no graph " + clip(noGraph.graph, 80)
		t.Text = "Perhaps its plugin was renamed or removed. All graphs of the host are on its page."
		t.Choices = []Link{{"Graphs of " + noGraph.host.ID.Name(), noGraph.url}}
	case isNotFound(err) && r.PathValue("host") != "":
		t.Heading = "There is no host " + clip(r.PathValue("host"), 80)
		t.Text = "Perhaps it was renamed, or it is not in corbie.yml yet: add it there under hosts and reload."
		t.Choices = similar(f, r.PathValue("host"))
	case isNotFound(err):
		t.Heading, t.Text = "There is no such page", "The overview leads to every group, host and graph."
	case errors.Is(err, munin.ErrTooMuch):
		status, t.Heading, t.Text = http.StatusUnprocessableEntity, "There is too much to read for one page", err.Error()+"."
	case errors.Is(err, munin.ErrAway):
		status, t.Heading = http.StatusServiceUnavailable, "The storage engine does not answer"
		t.Text = "Samples are kept by another program, and it cannot be asked now. Hosts are polled and levels are judged all the same, " +
			"and the values wait on the master's disk. The master's log says more."
	default:
		status = http.StatusInternalServerError
		t.Heading, t.Text = "This page could not be made", "The master's log says why. Values are collected all the same. Try again in a minute."
	}
	t.Choices = append(t.Choices, Link{"Overview", "/"})
	t.Title = t.Heading
	t.Refresh = 0
	return status, t
}

// escapePath escapes what follows a host in a path.
func escapePath(rest string) string {
	parts := strings.Split(rest, "/")
	for i := range parts {
		parts[i] = pathEscape(parts[i])
	}
	return strings.Join(parts, "/")
}

// similar lists hosts whose name holds what was asked for, or the other way round.
func similar(f *fleet, name string) []Link {
	var links []Link
	name = strings.ToLower(name[strings.LastIndexByte(name, ';')+1:])
	short, _, _ := strings.Cut(name, ".")
	for _, h := range f.hosts {
		known := strings.ToLower(h.Name)
		if short != "" && len(links) < 10 && (strings.Contains(known, short) || strings.Contains(name, known)) {
			links = append(links, Link{groupWords(string(h.ID)), h.URL})
		}
	}
	return links
}

// render makes a whole page before the first byte is sent, so that a failure can still become an error page.
func (s *Server) render(w http.ResponseWriter, r *http.Request, status int, name string, data any) error {
	var b bytes.Buffer
	if err := s.pages[name].ExecuteTemplate(&b, "frame.tmpl", data); err != nil {
		return fmt.Errorf("make the page %s: %w", name, err)
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-cache")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(b.Bytes()) // a browser that has gone cannot be told
	}
	return nil
}
