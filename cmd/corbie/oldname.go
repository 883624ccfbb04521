package main

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"sync"
	"time"

	"corbie/munin"
	"corbie/storage/catalog"
)

const (
	// mostOldNames is how many fields of one host may say what they were called before: a plugin that calls its fields differently each time
	// must not fill the catalogue.
	mostOldNames = 200
	// mostClaims is how many claims are remembered, so that each is looked into once.
	mostClaims = 100_000
)

// oldNames records renames that plugins ask for: a field whose config says "oldname" goes on with the history that is stored under that name.
// It is done once for each old name, also when it was undone by hand since; where two fields claim it, the first one gets it.
type oldNames struct {
	catalog *catalog.Catalog
	samples *samples
	log     *slog.Logger
	// rename takes a rename over at once: the levels of the new name are looked at next.
	rename func(ctx context.Context, from, to munin.SeriesID) error

	mu        sync.Mutex
	described map[munin.HostID]uint64 // munin.Poll.Described of what was looked into
	claims    map[claim]bool
}

// claim is a field with its present name and an older one.
type claim struct {
	id  munin.SeriesID
	old string
}

func newOldNames(a *app) *oldNames {
	return &oldNames{
		catalog: a.catalog, samples: a.samples, log: a.log, described: make(map[munin.HostID]uint64), claims: make(map[claim]bool),
		rename: func(ctx context.Context, from, to munin.SeriesID) error {
			a.samples.Rename(a.catalog.Renames())
			return a.takeEdit(ctx, catalog.Edit{Kind: catalog.EditRename, From: from, To: to})
		},
	}
}

// look finds what a poll claims and was not looked into yet, and records it like a rename by hand.
func (o *oldNames) look(ctx context.Context, p *munin.Poll) {
	for _, c := range o.fresh(p) {
		if err := o.take(ctx, c); err != nil && ctx.Err() == nil {
			o.log.Warn("a field says what it was called before, but its history does not go on", "host", string(c.id.Host),
				"graph", c.id.Graph, "field", c.id.Field, "oldname", c.old, "err", err)
		}
	}
}

func (o *oldNames) fresh(p *munin.Poll) []claim {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(p.Graphs) == 0 || p.Described != 0 && o.described[p.Host] == p.Described {
		return nil
	}
	o.described[p.Host] = p.Described
	var found []claim
	for i := range p.Graphs {
		g := &p.Graphs[i]
		for j := range g.Fields {
			f := &g.Fields[j]
			old := munin.SanitiseField(f.Extra["oldname"])
			if old == "" || old == f.Name || len(old) > munin.MaxNameBytes {
				continue
			}
			if _, there := g.Field(old); there {
				continue // both are drawn: neither is the other
			}
			c := claim{munin.SeriesID{Host: p.Host, Graph: g.Name, Field: f.Name}, old}
			if !o.claims[c] && len(o.claims) < mostClaims {
				o.claims[c] = true
				found = append(found, c)
			}
		}
	}
	return found
}

// take records the rename, unless there is nothing to rename or it was done before.
func (o *oldNames) take(ctx context.Context, c claim) error {
	from := c.id
	from.Field = c.old
	names := o.catalog.Renames()
	if names.Current(from) != from || names.Current(c.id) != c.id {
		return nil // it has another name by now: first come
	}
	done, all, err := o.catalog.FieldRenames(ctx, from)
	if err != nil || done > 0 {
		return err
	}
	if all >= mostOldNames {
		return errors.New("too many names of this host were changed; use corbie rename")
	}
	const years = 10
	now := time.Now()
	read, err := o.samples.Query(ctx, []munin.Source{{ID: from}}, munin.Range{From: now.AddDate(-years, 0, 0), To: now.Add(time.Hour)}, 24*time.Hour)
	if err != nil {
		return err
	}
	if math.IsNaN(read[0].Last.V) {
		return nil // nothing is stored under it
	}
	if err := o.catalog.Rename(ctx, from, c.id, now); err != nil {
		return err
	}
	o.log.Info("a plugin calls a field differently: its history goes on", "host", string(c.id.Host), "graph", c.id.Graph,
		"from", from.Field, "to", c.id.Field, "undo", "corbie rename --undo "+quoted(spoken(from)))
	return o.rename(ctx, from, c.id)
}
