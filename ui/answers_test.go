package ui_test

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"corbie/ui"
	"corbie/ui/uitest"
)

func TestEveryAnswerCarriesThePolicyAndPagesHaveNothingInline(t *testing.T) {
	s := newServer(t, uitest.New(time.Now()))
	for _, path := range []string{"/", "/problems", "/capacity", "/g/shop", "/h/files.example.com", "/h/files.example.com/cpu", "/nosuch", "/healthz"} {
		w := visit(t, s, path)
		h := w.Header()
		if got := h.Get("Content-Security-Policy"); !strings.HasPrefix(got, "default-src 'none'; script-src 'self'; style-src 'self';") {
			t.Errorf("%s: policy %q", path, got)
		}
		if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") == "" {
			t.Errorf("%s lacks a header: %v", path, h)
		}
		root, err := html.Parse(w.Body)
		if err != nil {
			t.Fatal(err)
		}
		d := document{t, root}
		if n := len(d.all("[style], style, script:not([src]), [onclick], [onload], [onerror]")); n != 0 {
			t.Errorf("%s has %d inline styles, scripts or handlers", path, n)
		}
	}
}

func TestOnlyReadingIsAllowed(t *testing.T) {
	s := newServer(t, uitest.New(time.Now()))
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", strings.NewReader("x")))
	if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: status %d, Allow %q", w.Code, w.Header().Get("Allow"))
	}
	w = httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(http.MethodHead, "/h/files.example.com/cpu.svg", nil))
	if w.Code != http.StatusOK || w.Body.Len() != 0 || w.Header().Get("Content-Length") == "" {
		t.Errorf("HEAD: status %d, %d bytes, length %q", w.Code, w.Body.Len(), w.Header().Get("Content-Length"))
	}
}

func TestAnswersArePackedForBrowsersThatTakeIt(t *testing.T) {
	s := newServer(t, uitest.New(time.Now()))
	plain := visit(t, s, "/h/files.example.com").Body.String()
	w := visit(t, s, "/h/files.example.com", "Accept-Encoding", "br, gzip;q=0.8")
	z, err := gzip.NewReader(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	packed, err := io.ReadAll(z)
	if err != nil || w.Header().Get("Content-Encoding") != "gzip" || len(packed) != len(plain) {
		t.Errorf("err %v, %q, %d bytes of %d", err, w.Header().Get("Content-Encoding"), len(packed), len(plain))
	}
	if w := visit(t, s, "/h/files.example.com", "Accept-Encoding", "gzip;q=0"); w.Header().Get("Content-Encoding") != "" {
		t.Error("gzip was refused but sent")
	}
}

func TestAssetsAreKeptForEverUnderTheirHash(t *testing.T) {
	s := newServer(t, uitest.New(time.Now()))
	d := open(t, s, "/h/files.example.com/cpu", http.StatusOK)
	assets := append(d.attribute("script", "src"), d.attribute("link", "href")...)
	if len(assets) != 6 {
		t.Fatalf("assets are %q", assets)
	}
	for _, path := range assets {
		w := visit(t, s, path)
		if w.Code != http.StatusOK || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
			t.Errorf("%s: status %d, %q", path, w.Code, w.Header().Get("Cache-Control"))
		}
	}
	if w := visit(t, s, "/static/000000000000/page.js"); w.Code != http.StatusOK || w.Header().Get("Cache-Control") != "no-cache" {
		t.Errorf("an old hash: status %d, %q", w.Code, w.Header().Get("Cache-Control"))
	}
}

func TestHealthIsToldApartFromReadiness(t *testing.T) {
	f := uitest.New(time.Now())
	s, err := ui.New(ui.Options{
		Catalog: f, Samples: f, Ready: func(context.Context) error { return errors.New("the catalogue is being upgraded") },
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "up 1\n") }),
	})
	if err != nil {
		t.Fatal(err)
	}
	if w := visit(t, s, "/healthz"); w.Code != http.StatusOK || w.Body.String() != "ok\n" {
		t.Errorf("healthz: %d %q", w.Code, w.Body)
	}
	if w := visit(t, s, "/readyz"); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "being upgraded") {
		t.Errorf("readyz: %d %q", w.Code, w.Body)
	}
	if w := visit(t, s, "/metrics"); w.Body.String() != "up 1\n" {
		t.Errorf("metrics: %q", w.Body)
	}
	if w := visit(t, newServer(t, f), "/metrics"); w.Code != http.StatusNotFound {
		t.Errorf("metrics without a source: %d", w.Code)
	}
	for _, path := range []string{"/", "/problems", "/capacity", "/h/files.example.com"} {
		open(t, s, path, http.StatusOK) // without states, reports and faults
	}
}
