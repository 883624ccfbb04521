package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// starting answers on the address of the pages while the store is opened, which takes seconds for a million series: every page, and /readyz, is
// 503 and says how far it is. /healthz is well.
type starting struct {
	listener *heldListener
	server   *http.Server
	served   chan error
	how      atomic.Value // string
}

// heldListener can stop accepting without closing the socket: connections that come meanwhile wait for who serves next.
type heldListener struct {
	*net.TCPListener

	over atomic.Bool
}

func (l *heldListener) Accept() (net.Conn, error) {
	conn, err := l.TCPListener.Accept()
	if err != nil && l.over.Load() {
		return nil, net.ErrClosed
	}
	return conn, err
}

// Close implements net.Listener: the socket stays.
func (l *heldListener) Close() error { return nil }

// serveStarting begins to answer; nil where the listener is none that can be handed on.
func serveStarting(l net.Listener) *starting {
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		return nil
	}
	s := &starting{listener: &heldListener{TCPListener: tcp}, served: make(chan error, 1)}
	s.how.Store("opening its data")
	s.server = &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, MaxHeaderBytes: 64 << 10}
	s.server.SetKeepAlivesEnabled(false)
	go func() { s.served <- s.server.Serve(s.listener) }()
	return s
}

// tell takes how many files of the store's log were read, of how many.
func (s *starting) tell(done, of int) {
	if s == nil {
		return
	}
	s.how.Store(fmt.Sprintf("reading the log of the last hours: %d of %d", done, of))
}

func (s *starting) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if r.URL.Path == "/healthz" {
		_, _ = io.WriteString(w, "ok\n")
		return
	}
	w.Header().Set("Retry-After", "5")
	w.Header().Set("Refresh", "5")
	w.WriteHeader(http.StatusServiceUnavailable)
	how, _ := s.how.Load().(string)
	_, _ = io.WriteString(w, "Corbie is starting: "+how+"\n")
}

// stop ends the answers and leaves the socket to the master.
func (s *starting) stop(ctx context.Context) error {
	if s == nil {
		return nil
	}
	s.listener.over.Store(true)
	if err := s.listener.SetDeadline(time.Unix(1, 0)); err != nil {
		return fmt.Errorf("hand the pages over: %w", err)
	}
	if err := <-s.served; !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("answer while starting: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if err := s.server.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("hand the pages over: %w", err)
	}
	if err := s.listener.SetDeadline(time.Time{}); err != nil {
		return fmt.Errorf("hand the pages over: %w", err)
	}
	return nil
}
