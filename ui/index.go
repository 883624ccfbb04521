package ui

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"corbie/munin"
)

// graphIndex remembers the list of all graphs: it is long, and changes when plugins come and go.
type graphIndex struct {
	mu      sync.Mutex
	at      time.Time
	entries []munin.GraphEntry
	kinds   []*graphKind
}

// indexLife is how long the list of all graphs is good for.
const indexLife = time.Minute

// graphKind is one graph by its name, wherever it is: "load" on 40 hosts.
type graphKind struct {
	name, title, category, plugin string
	low                           string // name, title and category in lower case
	hosts                         []munin.HostID
	fields                        []munin.FieldEntry // of all of them
	hidden                        bool
}

// listing is the index as a reader may see it.
type listing struct {
	fleet   *fleet
	entries []munin.GraphEntry
	kinds   []*graphKind
}

// index is the list of all graphs as it is, or was up to a minute ago.
func (s *Server) index(ctx context.Context, f *fleet) (*listing, error) {
	s.graphs.mu.Lock()
	defer s.graphs.mu.Unlock()
	if now := time.Now(); s.graphs.at.IsZero() || now.Sub(s.graphs.at) > indexLife {
		entries, err := s.readIndex(ctx, f)
		if err != nil {
			return nil, err
		}
		s.graphs.entries, s.graphs.kinds, s.graphs.at = entries, kindsOf(entries), now
		if len(entries) == 0 {
			s.graphs.at = time.Time{} // a new master: look again soon
		}
	}
	l := &listing{fleet: f, entries: s.graphs.entries, kinds: s.graphs.kinds}
	if p := f.viewer.person; len(p.Groups) > 0 || p.Role < munin.Viewer {
		// Titles and labels of hosts that the reader must not see are no part of it either.
		l.entries = slices.DeleteFunc(slices.Clone(l.entries), func(e munin.GraphEntry) bool { return !sees(p, e.Host) })
		l.kinds = kindsOf(l.entries)
	}
	return l, nil
}

func (s *Server) readIndex(ctx context.Context, f *fleet) ([]munin.GraphEntry, error) {
	if s.opts.Index != nil {
		entries, err := s.opts.Index.GraphIndex(ctx)
		if err != nil {
			return nil, fmt.Errorf("list all graphs: %w", err)
		}
		return entries, nil
	}
	var entries []munin.GraphEntry
	for i := range f.hosts {
		graphs, err := s.opts.Catalog.Graphs(ctx, f.hosts[i].ID)
		if err != nil {
			return nil, fmt.Errorf("list the graphs of %s: %w", f.hosts[i].ID, err)
		}
		for j := range graphs {
			entries = append(entries, graphs[j].Entry(f.hosts[i].ID))
		}
	}
	return entries, nil
}

// kindsOf gathers graphs of the same name, by category and title.
func kindsOf(entries []munin.GraphEntry) []*graphKind {
	byName := make(map[string]*graphKind)
	seen := make(map[[2]string]bool)
	var kinds []*graphKind
	for i := range entries {
		e := &entries[i]
		k := byName[e.Name]
		if k == nil {
			k = &graphKind{
				name: e.Name, title: e.Title, category: e.Category, plugin: e.Plugin, hidden: e.Hidden,
				low: strings.ToLower(e.Name + " " + e.Title + " " + e.Category),
			}
			byName[e.Name] = k
			kinds = append(kinds, k)
		}
		k.hosts = append(k.hosts, e.Host)
		for _, field := range e.Fields {
			if key := [2]string{e.Name, field.Name}; !seen[key] && len(k.fields) < 500 {
				seen[key] = true
				k.fields = append(k.fields, field)
			}
		}
	}
	slices.SortFunc(kinds, func(a, b *graphKind) int {
		return cmp.Or(cmp.Compare(a.category, b.category), cmp.Compare(strings.ToLower(a.title), strings.ToLower(b.title)), cmp.Compare(a.name, b.name))
	})
	return kinds
}

// on are the hosts that have a graph, of those that the reader sees.
func (l *listing) on(k *graphKind) []munin.HostID {
	hosts := make([]munin.HostID, 0, len(k.hosts))
	for _, id := range k.hosts {
		if row := l.fleet.byID[id]; row != nil && !row.host.Archived {
			hosts = append(hosts, id)
		}
	}
	return hosts
}

// categoryLinks lead to the categories of all graphs.
func (l *listing) categoryLinks() []Link {
	var links []Link
	for _, k := range l.kinds {
		if k.hidden || len(links) > 0 && links[len(links)-1].Text == k.category || len(l.on(k)) == 0 {
			continue
		}
		links = append(links, Link{Text: k.category, URL: "/c/" + pathEscape(k.category)})
	}
	return links
}

// kind finds a graph by its name.
func (l *listing) kind(name string) *graphKind {
	for _, k := range l.kinds {
		if k.name == name {
			return k
		}
	}
	return nil
}
