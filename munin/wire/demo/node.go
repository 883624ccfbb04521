package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"strconv"
	"sync"
	"time"

	"corbie/munin/wire"
)

// Listen opens a port of the loopback interface for the node of each host. The listeners are for Serve, which closes them.
func (f *Fleet) Listen(ctx context.Context) (_ []net.Listener, err error) {
	var all []net.Listener
	defer func() {
		if err != nil {
			for _, l := range all {
				err = errors.Join(err, l.Close())
			}
		}
	}()
	for _, h := range f.Hosts {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return all, fmt.Errorf("listen as the node of %s: %w", h.ID.Name(), err)
		}
		h.address = l.Addr().String()
		all = append(all, l)
	}
	return all, nil
}

// Hush closes the ports of the hosts that are silent. Until then they answer, so that it can be asked what they have.
func (f *Fleet) Hush() { f.once.Do(func() { close(f.silence) }) }

// Serve answers as the nodes of all hosts on what Listen opened, until ctx ends; it returns when the last session is over.
func (f *Fleet) Serve(ctx context.Context, listeners []net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	talking, hush := context.WithCancel(ctx)
	defer hush()
	var nodes sync.WaitGroup
	nodes.Go(func() {
		select {
		case <-f.silence:
			hush()
		case <-ctx.Done():
		}
	})
	errs := make([]error, len(listeners))
	for i, l := range listeners {
		h, until := f.Hosts[i], ctx
		if !h.SilentSince.IsZero() {
			until = talking
		}
		nodes.Go(func() {
			if errs[i] = h.serve(until, l); errs[i] != nil {
				cancel()
			}
		})
	}
	nodes.Wait()
	return errors.Join(errs...)
}

func (h *Host) serve(ctx context.Context, l net.Listener) error {
	var sessions sync.WaitGroup
	defer sessions.Wait()
	defer context.AfterFunc(ctx, func() { l.Close() })()
	for {
		conn, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				conn.Close()
			}
			return nil
		case err != nil:
			return fmt.Errorf("node of %s: %w", h.ID.Name(), err)
		}
		sessions.Go(func() {
			server := wire.NewServerConn(conn, wire.ServerOptions{Name: h.ID.Name(), Version: "demo"})
			_ = server.Serve(ctx, node{h}) // the master says in its log what went wrong
		})
	}
}

// node is what a client sees of a host.
type node struct{ h *Host }

// List names the plugins.
func (n node) List(_ context.Context, name string, _ wire.Caps) []string {
	if name != "" && name != n.h.ID.Name() {
		return nil
	}
	names := make([]string, len(n.h.plugins))
	for i := range n.h.plugins {
		names[i] = n.h.plugins[i].name
	}
	return names
}

// Nodes is the host alone.
func (n node) Nodes(context.Context) []string { return []string{n.h.ID.Name()} }

// Run describes the graphs of a plugin or says its values of now.
func (n node) Run(_ context.Context, name string, verb wire.Verb, _ wire.Caps) []byte {
	for i := range n.h.plugins {
		p := &n.h.plugins[i]
		if p.name != name {
			continue
		}
		if verb == wire.VerbConfig {
			return p.describe()
		}
		if p.broken != "" {
			return []byte(p.broken + "\n")
		}
		return n.h.say(p, time.Now().Unix())
	}
	return []byte("# Unknown service\n")
}

func (p *plugin) describe() []byte {
	var b bytes.Buffer
	for i := range p.graphs {
		g := &p.graphs[i]
		p.begin(&b, g)
		for _, line := range g.config {
			b.WriteString(line + "\n")
		}
		for n := range g.fields {
			for _, line := range g.fields[n].config {
				b.WriteString(g.fields[n].name + "." + line + "\n")
			}
		}
	}
	return b.Bytes()
}

// begin is the line before a graph where a plugin has several.
func (p *plugin) begin(w io.StringWriter, g *graph) {
	if len(p.graphs) > 1 {
		_, _ = w.WriteString("multigraph " + g.name + "\n") // into memory
	}
}

func (h *Host) say(p *plugin, t int64) []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	m := h.moment(t)
	var b bytes.Buffer
	for i := range p.graphs {
		p.begin(&b, &p.graphs[i])
		for n := range p.graphs[i].fields {
			f := &p.graphs[i].fields[n]
			text := "U"
			if v := h.value(f, &m); !math.IsNaN(v) {
				text = strconv.FormatFloat(v, 'g', 10, 64)
				if f.rate {
					text = strconv.FormatInt(int64(v), 10)
				}
			}
			b.WriteString(f.name + ".value " + text + "\n")
		}
	}
	return b.Bytes()
}
