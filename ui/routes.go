package ui

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"corbie/ui/access"
)

// promPath is where Prometheus' HTTP API is. Its questions may be long, so they may come by POST; they change nothing.
const promPath = "/api/v1/"

// routes says which page answers for which path.
func (s *Server) routes() *http.ServeMux {
	mux := http.NewServeMux()
	// The second of each is what promtool asks for.
	for _, path := range []string{"/healthz", "/-/healthy"} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) { writeText(w, r, http.StatusOK, "ok\n") })
	}
	for _, path := range []string{"/readyz", "/-/ready"} {
		mux.HandleFunc(path, s.ready)
	}
	mux.HandleFunc("/static/{hash}/{name}", s.assets.serve)
	if s.opts.Metrics != nil {
		mux.Handle("/metrics", s.opts.Metrics)
	}
	if s.opts.Prometheus != nil {
		asked := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s.opts.Prometheus.For(access.Of(r.Context()).Groups).ServeHTTP(w, r)
		})
		mux.Handle(promPath, asked)
		mux.Handle("/federate", asked)
	}
	for path, p := range map[string]page{
		"/{$}": s.overview, "/g/{group}": s.group, "/problems": s.problems, "/capacity": s.capacity, "/capacity.csv": s.capacityCSV,
		"/h/{host}": s.host, "/h/{host}/{graph}": s.graphOr,
		"/c/{category}": s.category, "/x/{graph}": s.across,
		"/search": s.search, "/search.json": s.searchAPI,
		"/changes": s.changes, "/missing": s.missing, "/inventory": s.inventory, "/inventory.csv": s.inventory,
		"/views": s.views, "/v/{view}": s.savedView, "/kiosk": s.kiosk, "/keys": s.keys, "/feed.atom": s.feed,
		"/api/annotations": s.annotationsList,
		"/login":           s.login, "/login/oidc": s.beginOIDC, "/login/callback": s.finishOIDC, "/account": s.account, "/audit": s.audit,
		"/": s.elsewhere,
	} {
		mux.Handle(path, s.reads(p))
	}
	// What changes something. A form carries a token; programs call /api.
	mux.Handle("POST /problems/ack", s.change(s.acknowledge, false))
	mux.Handle("POST /changes", s.change(s.note, false))
	mux.Handle("POST /views", s.change(s.saveView, false))
	mux.Handle("POST /preferences", s.change(s.preferences, true))
	mux.Handle("POST /api/annotations", s.program(s.annotationsAPI))
	// Signing in and out needs no token: what comes from another site is refused, and nobody is anybody yet.
	mux.Handle("POST /login", s.change(s.signIn, true))
	mux.Handle("POST /logout", s.change(s.signOut, true))
	mux.Handle("POST /account/end", s.change(s.endSession, false))
	return mux
}

func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
	defer cancel()
	if s.opts.Ready != nil {
		if err := s.opts.Ready(ctx); err != nil {
			writeText(w, r, http.StatusServiceUnavailable, "not ready: "+err.Error()+"\n")
			return
		}
	}
	writeText(w, r, http.StatusOK, "ready\n")
}

// KeysPage is /keys.
type KeysPage struct{ Frame }

// keys lists what the keyboard does.
func (s *Server) keys(w http.ResponseWriter, r *http.Request) error {
	f, err := s.fleet(r)
	if err != nil {
		return err
	}
	page := KeysPage{Frame: s.frame(r, f, "keys", "Keys", Link{Text: "Keys", URL: "/keys"})}
	page.Refresh = 0
	return s.render(w, r, http.StatusOK, "keys", page)
}

func writeText(w http.ResponseWriter, r *http.Request, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write([]byte(text)) // a browser that has gone cannot be told
	}
}

// writeBody sends a whole body with its length; of a HEAD request only the header.
func writeBody(w http.ResponseWriter, r *http.Request, body []byte) {
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // a browser that has gone cannot be told
	}
}
