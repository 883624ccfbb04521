package ui

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"sync"
)

// rendered are pages that were made of one state of the fleet, ready to be sent again.
type rendered struct {
	mu    sync.Mutex
	pages map[string]*ready
}

// ready is a page as it goes out.
type ready struct{ body, packed []byte }

// maxRendered is how many pages are kept of one state of the fleet.
const maxRendered = 50

// remembered sends a page that depends on the fleet and on the address only, and makes it where nobody asked for it since
// the fleet was read. It holds nothing of the reader but what the fleet does: no form.
func (s *Server) remembered(w http.ResponseWriter, r *http.Request, f *fleet, name string, model func() (any, error)) error {
	key := r.URL.RequestURI()
	f.pages.mu.Lock()
	defer f.pages.mu.Unlock()
	page := f.pages.pages[key]
	if page == nil {
		data, err := model()
		if err != nil {
			return err
		}
		if page, err = s.prepare(name, data); err != nil {
			return err
		}
		if f.pages.pages == nil || len(f.pages.pages) >= maxRendered {
			f.pages.pages = make(map[string]*ready)
		}
		f.pages.pages[key] = page
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-cache")
	body := page.body
	if page.packed != nil && acceptsGzip(r) {
		h.Set("Content-Encoding", "gzip")
		body = page.packed
	}
	writeBody(w, r, body)
	return nil
}

func (s *Server) prepare(name string, data any) (*ready, error) {
	var body, packed bytes.Buffer
	if err := s.pages[name].ExecuteTemplate(&body, "frame.tmpl", data); err != nil {
		return nil, fmt.Errorf("make the page %s: %w", name, err)
	}
	z, err := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	if err != nil {
		return nil, fmt.Errorf("pack the page %s: %w", name, err)
	}
	if _, err := z.Write(body.Bytes()); err != nil {
		return nil, fmt.Errorf("pack the page %s: %w", name, err)
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("pack the page %s: %w", name, err)
	}
	return &ready{body: body.Bytes(), packed: packed.Bytes()}, nil
}
