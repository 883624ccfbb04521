package main

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

func TestTheStartSaysHowFarItIsAndHandsTheAddressOver(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	get := func(path string) (int, string) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+l.Addr().String()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		reply, err := (&http.Client{}).Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer reply.Body.Close()
		body, err := io.ReadAll(reply.Body)
		if err != nil {
			t.Fatal(err)
		}
		return reply.StatusCode, string(body)
	}
	s := serveStarting(l)
	s.tell(3, 40)
	for path, want := range map[string]int{"/": 503, "/readyz": 503, "/h/web1": 503, "/healthz": 200} {
		if code, text := get(path); code != want || code == 503 && !strings.Contains(text, "3 of 40") {
			t.Errorf("%s: %d %q", path, code, text)
		}
	}
	if err := s.stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.NotFoundHandler()} //nolint:gosec // of a test
	defer server.Close()
	go func() { _ = server.Serve(l) }()
	if code, _ := get("/"); code != http.StatusNotFound {
		t.Errorf("the next server does not answer: %d", code)
	}
}
