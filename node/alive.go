package node

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync/atomic"
	"time"
)

// errNotRunning is the answer of a server that has stopped accepting, or has not begun.
var errNotRunning = errors.New("the node accepts no connections")

// loop accepts connections on one listener.
type loop struct {
	listener net.Listener
	beats    chan struct{} // one for each time that ping woke it
	retired  atomic.Bool   // it is to end without that being a failure
}

// deadliner is what listeners of the network and of the file system have.
type deadliner interface{ SetDeadline(t time.Time) error }

func (s *Server) setStart(start func(*loop)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.start = start
}

// Listen makes a server that runs accept on these listeners and no others. It closes those that are not among
// them; sessions go on.
func (s *Server) Listen(listeners []net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var stay []*loop
	for _, l := range s.loops {
		if slices.Contains(listeners, l.listener) {
			stay = append(stay, l)
			continue
		}
		l.retired.Store(true)
		_ = l.listener.Close() // Nobody waits for it any more.
	}
	for _, listener := range listeners {
		if s.start == nil || slices.ContainsFunc(stay, func(l *loop) bool { return l.listener == listener }) {
			continue
		}
		l := &loop{listener: listener, beats: make(chan struct{}, 1)}
		stay = append(stay, l)
		s.start(l)
	}
	s.loops = stay
}

// beat answers ping.
func (l *loop) beat() {
	if d, ok := l.listener.(deadliner); ok {
		_ = d.SetDeadline(time.Time{}) // A listener that is closed says so at the next turn.
	}
	select {
	case l.beats <- struct{}{}:
	default:
	}
}

// ping wakes the loop by a deadline in the past and waits until it has noticed. Connections that wait are not
// lost by that.
func (l *loop) ping(ctx context.Context) error {
	d, ok := l.listener.(deadliner)
	if !ok {
		return nil
	}
	select {
	case <-l.beats: // An answer that came too late for the one who asked.
	default:
	}
	if err := d.SetDeadline(time.Unix(1, 0)); err != nil {
		return err
	}
	select {
	case <-l.beats:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Ping returns nil when every part of the node that others wait for has just shown that it works: the loops that
// accept connections, the table of sessions, and the catalogue. A node that hangs lets it wait until ctx ends.
func (s *Server) Ping(ctx context.Context) error {
	s.mu.Lock()
	loops := slices.Clone(s.loops)
	s.mu.Unlock()
	if len(loops) == 0 {
		return errNotRunning
	}
	for _, l := range loops {
		if err := l.ping(ctx); err != nil {
			return err
		}
	}
	return s.catalogue.ping(ctx)
}

// ping waits until the loop that finds out about plugins has come round.
func (c *Catalogue) ping(ctx context.Context) error {
	noticed := make(chan struct{})
	select {
	case c.pings <- noticed:
		<-noticed
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
