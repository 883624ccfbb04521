package ui

import (
	"context"
	"net/http"
	"strconv"
	"time"
)

// routes says which page answers for which path.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, r *http.Request) { writeText(w, r, http.StatusOK, "ok\n") })
	mux.HandleFunc("/readyz", s.ready)
	mux.HandleFunc("/static/{hash}/{name}", s.assets.serve)
	if s.opts.Metrics != nil {
		mux.Handle("/metrics", s.opts.Metrics)
	}
	mux.Handle("/{$}", s.answer(s.overview))
	mux.Handle("/g/{group}", s.answer(s.group))
	mux.Handle("/problems", s.answer(s.problems))
	mux.Handle("/capacity", s.answer(s.capacity))
	mux.Handle("/h/{host}", s.answer(s.host))
	mux.Handle("/h/{host}/{graph}", s.answer(s.graphOr))
	mux.Handle("/", s.answer(s.elsewhere))
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
