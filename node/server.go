package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"corbie/munin"
	"corbie/munin/wire"
	"corbie/node/runner"
	"corbie/node/spool"
)

// drainTime is how long commands in progress may go on when the node stops.
const drainTime = 5 * time.Second

// Server holds the sessions of a node.
type Server struct {
	catalogue *Catalogue
	version   string
	log       *slog.Logger
	store     *spool.Store   // nil: nothing is sampled
	sampler   *spool.Sampler // of the same

	mu       sync.Mutex
	cfg      *Config
	sessions map[*session]struct{}
	logged   time.Time // when something was last said about a single client
	strange  map[stranger]bool
	rates    rates
	loops    []*loop     // that accept
	start    func(*loop) // starts one more; nil while the server does not run
}

// stranger is a name that a client asked for and that is no node here. That is logged once.
type stranger struct{ peer, node string }

// strangers is how many are remembered, so that a client cannot fill the memory with names.
const strangers = 1000

// session is one master's conversation. It is what the protocol asks.
type session struct {
	server *Server
	conn   *wire.ServerConn
	peer   string // address without port
	from   netip.Addr
}

// NewServer makes the node's server on a catalogue. It starts nothing.
func NewServer(cfg *Config, catalogue *Catalogue, opts Options) *Server {
	return &Server{
		catalogue: catalogue, version: opts.Version, log: opts.Log, cfg: cfg,
		sessions: make(map[*session]struct{}), strange: make(map[stranger]bool), store: opts.Spool, sampler: newSampler(cfg, catalogue, opts),
	}
}

// Reload takes another configuration for new sessions; those that run go on with the plugins as they are now.
// The addresses to listen on are for Listen. After an error all is as before.
func (s *Server) Reload(ctx context.Context, cfg *Config) error {
	s.mu.Lock()
	cfg.keepTLS(&s.cfg.Transport)
	s.mu.Unlock()
	warnings, err := cfg.CheckTLS()
	if err != nil {
		return err
	}
	if err := s.catalogue.Reload(ctx, cfg); err != nil {
		return err
	}
	for _, warning := range warnings {
		s.log.Warn("encryption is not as it should be", "reason", warning)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.resample(cfg)
	s.cfg = cfg
	return nil
}

// Run serves masters on all listeners until ctx ends. Then it closes the listeners, lets commands in progress
// end for a moment, and returns after the last plugin has ended. Before that it returns only when a listener
// fails.
func (s *Server) Run(ctx context.Context, listeners []net.Listener) error {
	work, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()
	accepting, stopAccepting := context.WithCancelCause(ctx)
	defer stopAccepting(nil)

	var sessions, others sync.WaitGroup
	others.Go(func() { _ = s.catalogue.Run(accepting) }) // It ends with accepting, and only so.
	if s.sampler != nil {
		others.Go(func() { _ = s.sampler.Run(accepting) }) // The same.
	}
	s.setStart(func(one *loop) {
		others.Go(func() {
			if err := s.accept(accepting, work, one, &sessions); err != nil {
				stopAccepting(err)
			}
		})
	})
	s.Listen(listeners)
	<-accepting.Done()
	s.setStart(nil)
	s.Listen(nil)
	others.Wait()
	s.drain()
	over := make(chan struct{})
	go func() {
		sessions.Wait()
		close(over)
	}()
	timer := time.NewTimer(drainTime)
	defer timer.Stop()
	select {
	case <-over:
	case <-timer.C:
		stopWork()
		<-over
	}
	if ctx.Err() != nil {
		return nil
	}
	return context.Cause(accepting)
}

// accept lets masters in until the listener is closed. Sessions live as long as work does.
func (s *Server) accept(ctx, work context.Context, l *loop, sessions *sync.WaitGroup) error {
	listener := l.listener
	defer context.AfterFunc(ctx, func() { _ = listener.Close() })()
	pause := time.Duration(0)
	for {
		conn, err := listener.Accept()
		switch {
		case err == nil:
			pause = 0
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed) && l.retired.Load():
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accept on %s: %w", listener.Addr(), err)
		case errors.Is(err, os.ErrDeadlineExceeded):
			l.beat()
			continue
		default:
			// Too many open files, mostly: it passes.
			pause = min(max(2*pause, 10*time.Millisecond), time.Second)
			s.log.Warn("cannot accept a connection", "err", err)
			wait(ctx, pause)
			continue
		}
		if one := s.admit(conn); one != nil {
			sessions.Go(func() { s.serve(work, one) })
		}
	}
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// admit makes a session of a connection, or closes it and returns nil: clients that may not come in see no
// banner.
func (s *Server) admit(conn net.Conn) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	addr, known := peerOf(conn)
	if known && !s.cfg.Access.Allows(addr) {
		s.refuse(conn, "connection denied; allow the address with allow or cidr_allow if it is a master", addr.String())
		return nil
	}
	one := &session{server: s}
	if known {
		one.peer, one.from = addr.String(), neighbourhood(addr)
	}
	if !s.rates.allow(addr, s.cfg.PeerRate, time.Now()) {
		s.refuse(conn, "connection refused: more than peer_rate in a minute", one.peer)
		return nil
	}
	if s.count()[one.from] >= s.cfg.PeerSessions && !s.endOne(one.from, false) {
		s.refuse(conn, "connection refused: more than peer_sessions at the same time", one.peer)
		return nil
	}
	if len(s.sessions) >= s.cfg.MaxSessions && !s.makeRoom(one.from) {
		s.refuse(conn, "connection refused: too many sessions", one.peer)
		return nil
	}
	one.conn = wire.NewServerConn(conn, wire.ServerOptions{
		Name: s.cfg.Name, Version: s.version, Session: s.cfg.GlobalTimeout, TLS: s.cfg.keys,
		Spool: s.spool(), Status: s.status, Dropped: one.dropped,
	})
	s.sessions[one] = struct{}{}
	return one
}

// refuse closes a connection, and says so. The lock is held.
func (s *Server) refuse(conn net.Conn, reason, peer string) {
	if s.mayLog() {
		s.log.Warn("connection closed", "reason", reason, "host", peer)
	}
	_ = conn.Close() // Nothing was said on it yet.
}

// mayLog keeps a flood of clients from being a flood of lines in the log. The lock is held.
func (s *Server) mayLog() bool {
	if time.Since(s.logged) < time.Second {
		return false
	}
	s.logged = time.Now()
	return true
}

// peerOf is the address of a client. One on a socket file has none, and is let in by the file's mode.
func peerOf(conn net.Conn) (netip.Addr, bool) {
	tcp, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}, false
	}
	return tcp.AddrPort().Addr().Unmap(), true
}

// makeRoom ends a session for one of another client, so that a flood from one machine pushes out only itself:
// it takes one from the client that has the most, the one that has waited longest for a command. When that
// client has only busy ones, it loses the one at which nothing has moved for longest, but not for yet another
// of its own. The lock is held.
func (s *Server) makeRoom(from netip.Addr) bool {
	count := s.count()
	heaviest := from
	for other, n := range count {
		if n > count[heaviest] {
			heaviest = other
		}
	}
	return s.endOne(heaviest, heaviest != from)
}

// count is how many sessions each client has. The lock is held.
func (s *Server) count() map[netip.Addr]int {
	count := make(map[netip.Addr]int)
	for one := range s.sessions {
		count[one.from]++
	}
	return count
}

// endOne ends a session of a client; one that is busy only when busy says so. The lock is held.
func (s *Server) endOne(from netip.Addr, busy bool) bool {
	var (
		victim *session
		oldest time.Time
		idle   bool
	)
	for one := range s.sessions {
		if one.from != from {
			continue
		}
		since, waiting := one.conn.IdleSince()
		if victim == nil || waiting && !idle || waiting == idle && since.Before(oldest) {
			victim, oldest, idle = one, since, waiting
		}
	}
	if victim == nil || !idle && !busy {
		return false
	}
	if idle {
		victim.conn.Drain()
	} else {
		victim.conn.Abort()
	}
	delete(s.sessions, victim)
	return true
}

func (s *Server) serve(ctx context.Context, one *session) {
	err := one.conn.Serve(ctx, one)
	s.mu.Lock()
	delete(s.sessions, one)
	s.mu.Unlock()
	if err == nil || ctx.Err() != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mayLog() {
		s.log.Info("session given up", "host", one.peer, "err", err)
	}
}

func (s *Server) drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for one := range s.sessions {
		one.conn.Drain()
	}
}

// self is the node's own name.
func (s *Server) self() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.ToLower(s.cfg.Name)
}

// List implements wire.Handler.
func (one *session) List(ctx context.Context, node string, caps wire.Caps) []string {
	if node == one.server.self() {
		node = ""
	}
	names, known := one.server.catalogue.offered(ctx, caps)[node]
	if !known && node != "" && one.server.strangeAnew(stranger{one.peer, clip(node)}) {
		one.server.log.Info("asked for a node that no plugin speaks for; a master names it in the host's section or by use_node_name",
			"host", one.peer, "node", clip(node))
	}
	return names
}

// strangeAnew says whether a name was not asked for before.
func (s *Server) strangeAnew(name stranger) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.strange[name] || len(s.strange) >= strangers {
		return false
	}
	s.strange[name] = true
	return true
}

// Nodes implements wire.Handler.
func (one *session) Nodes(ctx context.Context) []string {
	byNode := one.server.catalogue.offered(ctx, wire.Caps{Multigraph: true, DirtyConfig: true})
	var names []string
	if _, ok := byNode[""]; ok {
		names = append(names, one.server.self())
		delete(byNode, "")
	}
	return append(names, slices.Sorted(maps.Keys(byNode))...)
}

// Run implements wire.Handler.
func (one *session) Run(ctx context.Context, plugin string, verb wire.Verb, caps wire.Caps) []byte {
	request := Request{Plugin: plugin, Caps: caps, Peer: one.peer}
	if verb == wire.VerbConfig {
		request.Args = []string{"config"}
	}
	answer := one.server.catalogue.RunPlugin(ctx, request)
	switch {
	case answer.Err == nil:
		return answer.Output
	case errors.Is(answer.Err, munin.ErrNotFound):
		return []byte("# Unknown service\n")
	case errors.Is(answer.Err, runner.ErrTimedOut):
		return []byte("# Timed out\n")
	}
	return []byte("# Bad exit\n")
}

func (one *session) dropped(plugin string, lines int) {
	one.server.log.Warn("lines of a plugin were left out: a lone dot or a line without end would break the protocol",
		"plugin", clip(plugin), "lines", lines)
}
