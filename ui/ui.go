// Package ui is what people see of Corbie in a browser: the overview, hosts, graphs, problems and the capacity
// report, and every graph also as SVG, CSV and JSON.
//
// Pages are HTML written by the server with pictures drawn by the server, and everything on them works without
// JavaScript. With it, the graph page can be zoomed and pages refresh themselves. Nothing is inline, so that the
// strictest content security policy holds. All text that came from a host is shown as text.
package ui

import (
	"context"
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"time"

	"corbie/munin"
	"corbie/ui/access"
	"corbie/ui/chart/paint"
)

// Catalog models what is known of hosts and of the graphs that they describe.
type Catalog interface {
	// Hosts lists every host, archived ones too.
	Hosts(ctx context.Context) ([]munin.Host, error)
	// Host finds one by its full path or by a short name that is unique, else munin.ErrNotFound or
	// munin.ErrAmbiguous.
	Host(ctx context.Context, name string) (munin.Host, error)
	Graphs(ctx context.Context, host munin.HostID) ([]munin.Graph, error)
	// Graph is one of them by its stored name, else munin.ErrNotFound.
	Graph(ctx context.Context, host munin.HostID, name string) (munin.Graph, error)
}

// States models what the evaluation of warning and critical levels remembers.
type States interface {
	States(ctx context.Context) ([]munin.AlertState, error)
}

// Samples models the stored values: one series for every source, in the same order.
type Samples interface {
	Query(ctx context.Context, sources []munin.Source, r munin.Range, step time.Duration) ([]munin.Series, error)
}

// Reports models the reports that were made by schedule. A name without a report is munin.ErrNotFound.
type Reports interface {
	LastReport(ctx context.Context, name string) (munin.Report, error)
}

// Faults models what could not be used of the last answer of a host.
type Faults interface {
	Faults(ctx context.Context, host munin.HostID) ([]munin.Fault, error)
}

// Acks models who takes care of which problem. What Acknowledge and Unacknowledge return from survives a crash.
type Acks interface {
	Acks(ctx context.Context) ([]munin.Ack, error)
	Acknowledge(ctx context.Context, a munin.Ack) error
	// Unacknowledge takes one back; where there is none the error is munin.ErrNotFound.
	Unacknowledge(ctx context.Context, id munin.SeriesID) error
}

// Notes models what happened and when: what people wrote and what the master noticed.
type Notes interface {
	// Annotations lists those that touch a range, oldest first.
	Annotations(ctx context.Context, r munin.Range) ([]munin.Annotation, error)
	Annotate(ctx context.Context, annotations ...munin.Annotation) error
	// RemoveAnnotation takes back what somebody wrote, else munin.ErrNotFound.
	RemoveAnnotation(ctx context.Context, id int64) error
}

// Index models the list of all graphs of all hosts, which is much quicker to read than their descriptions.
type Index interface {
	GraphIndex(ctx context.Context) ([]munin.GraphEntry, error)
}

// Views models the pages that people put together.
type Views interface {
	Views(ctx context.Context) ([]munin.SavedView, error)
	SaveView(ctx context.Context, v munin.SavedView) error
	// RemoveView removes one, else munin.ErrNotFound.
	RemoveView(ctx context.Context, name string) error
}

// Prometheus answers Prometheus' HTTP API. It models promapi.API.
type Prometheus interface {
	// For answers for somebody who sees the hosts of some groups only; none are all.
	For(groups []string) http.Handler
}

// Options is what a Server is made of. Catalog and Samples are needed; without one of the others the pages say
// that there is nothing of its kind.
type Options struct {
	Catalog Catalog
	Samples Samples
	States  States
	Reports Reports
	Faults  Faults
	Acks    Acks
	Notes   Notes
	Index   Index
	Views   Views
	// Tags and Facts are what the configuration says of a host; nil: nothing. They return at once.
	Tags  func(host munin.HostID) []string
	Facts func(host munin.HostID) map[string]string
	// URL is the address of the pages as people reach them, without a slash at its end; empty: as a request says.
	URL string
	// Static makes pages without forms and scripts, for a copy that is read without a master.
	Static bool
	// Access says who is let in; nil lets everybody do everything.
	Access *Access
	// Ready says why the master cannot do its work yet; nil when it can. Nil means always ready.
	Ready func(ctx context.Context) error
	// Notices says what is wrong with the master itself, for every page; nil: nothing ever is.
	Notices func() []string
	// Prometheus is served at /api/v1/ and /federate when it is not nil.
	Prometheus Prometheus
	// Metrics is served at /metrics when it is not nil.
	Metrics http.Handler
	// Log hears of what went wrong on the server's side.
	Log *slog.Logger
	// Location is the time zone of pages and pictures; nil is the machine's own.
	Location *time.Location
	// Version is shown at the foot of every page.
	Version string
}

// Server answers for all pages. Besides the parsed templates, assets and fonts it holds only what it has read a moment ago.
type Server struct {
	opts    Options
	painter *paint.Painter
	assets  *assets
	pages   map[string]*template.Template
	handler http.Handler
	forms   *forms
	fleets  fleets
	graphs  graphIndex
	guard   *access.Guard // nil: everybody may do everything
}

// New parses the templates and builds the routes; it starts nothing.
func New(opts Options) (*Server, error) {
	if opts.Catalog == nil || opts.Samples == nil {
		return nil, errors.New("ui: a catalog and samples are needed")
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Location == nil {
		opts.Location = time.Local
	}
	opts.limited()
	s := &Server{opts: opts, forms: newForms()}
	var err error
	if s.painter, err = paint.New(); err != nil {
		return nil, err
	}
	if s.assets, err = loadAssets(); err != nil {
		return nil, err
	}
	if s.pages, err = parseTemplates(s.assets); err != nil {
		return nil, err
	}
	mux := s.routes()
	guarded, err := s.guarded(s.unlimited(mux))
	if err != nil {
		return nil, err
	}
	s.handler = secure(compress(guarded))
	return s, nil
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }
