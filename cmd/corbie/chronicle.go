package main

import (
	"context"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"corbie/alerts"
	"corbie/master/config"
	"corbie/munin"
	"corbie/storage/catalog"
)

// chronicle notes what the master notices by itself: problems that begin and end, machines that were started anew, levels
// that were changed. It stands between the evaluator and the router, and looks at each poll.
type chronicle struct {
	next    alerts.Teller
	catalog *catalog.Catalog
	samples *samples
	log     *slog.Logger

	mu    sync.Mutex
	known map[munin.HostID]*lately
}

// lately is what the chronicle remembers of a host.
type lately struct {
	mu        sync.Mutex
	uptime    munin.Point // newest; the zero Point: not looked for yet
	described uint64
	graphs    map[string]bool
	levels    map[munin.SeriesID][2]munin.Bounds // of the fields that have any
}

// Tell notes changes of problems and hands all notices on.
func (c *chronicle) Tell(ctx context.Context, notices []alerts.Notice) error {
	var notes []munin.Annotation
	for i := range notices {
		if n := &notices[i]; n.Event != alerts.None && !n.Renamed {
			notes = append(notes, transition(n))
		}
	}
	c.write(ctx, notes)
	return c.next.Tell(ctx, notices)
}

// transition words a change of a problem.
func transition(n *alerts.Notice) munin.Annotation {
	s := n.State
	what := n.Graph.Title
	if n.Graph.Label != "" {
		what += " · " + n.Graph.Label
	}
	if s.ID.Graph == "" {
		what = "host"
	}
	text := what + ": " + s.Reason
	if s.Open == munin.OK {
		text = what + " is over: " + s.Reason
	}
	return munin.Annotation{
		Kind: munin.Transition, From: s.Changed, Text: strings.TrimPrefix(text, ": "), Where: s.ID.Host, Graph: s.ID.Graph, Field: s.ID.Field,
		Level: s.Open,
	}
}

// write stores notes. That it fails must not keep anybody from being told.
func (c *chronicle) write(ctx context.Context, notes []munin.Annotation) {
	if len(notes) == 0 {
		return
	}
	if err := c.catalog.Annotate(ctx, notes...); err != nil && ctx.Err() == nil {
		c.log.Error("cannot note what happened", "notes", len(notes), "err", err)
	}
}

// look compares a poll with the one before it.
func (c *chronicle) look(ctx context.Context, p *munin.Poll) {
	if !p.Answered() {
		return
	}
	before, _ := c.lately(p.Host)
	before.mu.Lock()
	defer before.mu.Unlock()
	notes := before.compareLevels(p)
	if note, ok := c.compareUptime(ctx, p, before); ok {
		notes = append(notes, note)
	}
	c.write(ctx, notes)
}

// lately is what is remembered of a host; fresh says that there was nothing yet.
func (c *chronicle) lately(host munin.HostID) (l *lately, fresh bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l = c.known[host]
	if fresh = l == nil; fresh {
		l = &lately{graphs: make(map[string]bool), levels: make(map[munin.SeriesID][2]munin.Bounds)}
		c.known[host] = l
	}
	return l, fresh
}

// firstLook is the catalogue for polls: before the first one of a host is recorded, the chronicle is told what levels the
// host had when the master ran last. The configuration may have been changed since.
type firstLook struct {
	*catalog.Catalog

	chronicle *chronicle
}

// Record stores what a poll said.
func (f *firstLook) Record(ctx context.Context, p *munin.Poll) error {
	if len(p.Graphs) > 0 {
		if l, fresh := f.chronicle.lately(p.Host); fresh {
			graphs, err := f.Graphs(ctx, p.Host)
			if err != nil && ctx.Err() == nil {
				f.chronicle.log.Warn("cannot read which levels a host had: changes since the last run are not noted", "host", string(p.Host), "err", err)
			}
			l.remember(p.Host, graphs)
		}
	}
	return f.Catalog.Record(ctx, p)
}

// remember takes over the levels of graphs without noting anything.
func (l *lately) remember(host munin.HostID, graphs []munin.Graph) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range graphs {
		g := &graphs[i]
		l.graphs[g.Name] = true
		for j := range g.Fields {
			if f := &g.Fields[j]; !f.Warning.IsZero() || !f.Critical.IsZero() {
				l.levels[munin.SeriesID{Host: host, Graph: g.Name, Field: f.Name}] = [2]munin.Bounds{f.Warning, f.Critical}
			}
		}
	}
}

// uptimeID is the field that Munin's uptime plugin draws: days since the start.
func uptimeID(host munin.HostID) munin.SeriesID {
	return munin.SeriesID{Host: host, Graph: "uptime", Field: "uptime"}
}

// compareUptime notes a start of the machine: its uptime fell. What was known before this master began is in the store.
func (c *chronicle) compareUptime(ctx context.Context, p *munin.Poll, before *lately) (munin.Annotation, bool) {
	id := uptimeID(p.Host)
	var newest munin.Point
	for i := range p.Readings {
		if r := &p.Readings[i]; r.ID == id && r.T > newest.T && r.V == r.V && !math.IsInf(r.V, 0) {
			newest = r.Point
		}
	}
	if newest.T == 0 {
		return munin.Annotation{}, false
	}
	last := before.uptime
	if last.T == 0 {
		const far = 30 * 24 * time.Hour
		span := munin.Range{From: newest.Time().Add(-far), To: newest.Time()}
		found, err := c.samples.Query(ctx, []munin.Source{{ID: id}}, span, far)
		if err != nil || len(found) != 1 || math.IsNaN(found[0].Last.V) {
			before.uptime = newest
			return munin.Annotation{}, false
		}
		last = found[0].Last
	}
	before.uptime = newest
	const rounding = 0.02 // days: the plugin gives hundredths
	if newest.T <= last.T || newest.V >= last.V-rounding {
		return munin.Annotation{}, false
	}
	began := newest.Time().Add(-time.Duration(newest.V * 24 * float64(time.Hour)))
	if began.Before(last.Time()) {
		began = last.Time()
	}
	return munin.Annotation{
		Kind: munin.Reboot, From: began, Where: p.Host, Text: "the machine was started anew, after " + munin.FormatDuration(time.Duration(last.V*24*float64(time.Hour)).Truncate(time.Hour)),
	}, true
}

// compareLevels notes levels that a plugin or the configuration changed since the poll before.
func (l *lately) compareLevels(p *munin.Poll) []munin.Annotation {
	if len(p.Graphs) == 0 || p.Described != 0 && p.Described == l.described {
		return nil
	}
	l.described = p.Described
	var notes []munin.Annotation
	for i := range p.Graphs {
		g := &p.Graphs[i]
		for j := range g.Fields {
			f := &g.Fields[j]
			id := munin.SeriesID{Host: p.Host, Graph: g.Name, Field: f.Name}
			levels := [2]munin.Bounds{f.Warning, f.Critical}
			before := l.levels[id]
			if before == levels {
				continue
			}
			l.levels[id] = levels
			const most = 50
			if l.graphs[g.Name] && len(notes) < most {
				notes = append(notes, munin.Annotation{
					Kind: munin.Levels, From: p.Start, Where: p.Host, Graph: g.Name, Field: f.Name, Text: f.Label + ": " + changed(before, levels),
				})
			}
		}
		l.graphs[g.Name] = true
	}
	return notes
}

// changed words a change of levels: "warning :80 instead of :90".
func changed(before, now [2]munin.Bounds) string {
	var parts []string
	for i, name := range []string{"warning", "critical"} {
		if before[i] == now[i] {
			continue
		}
		say := func(b munin.Bounds) string {
			if b.IsZero() {
				return "none"
			}
			return b.String()
		}
		parts = append(parts, name+" "+say(now[i])+" instead of "+say(before[i]))
	}
	return strings.Join(parts, ", ")
}

// reloaded notes that the configuration was read anew, with what changed in it.
func (c *chronicle) reloaded(ctx context.Context, before, now *config.Config) {
	names := func(conf *config.Config) []string {
		var all []string
		for i := range conf.Hosts {
			all = append(all, string(conf.Hosts[i].ID))
		}
		return all
	}
	old, fresh := names(before), names(now)
	text := "the configuration was read anew" + only(fresh, old, "new") + only(old, fresh, "gone")
	c.write(ctx, []munin.Annotation{{Kind: munin.Configured, From: time.Now(), Text: text}})
}

// only words the names that are in one list and not in another.
func only(in, other []string, word string) string {
	const most = 5
	var names []string
	for _, name := range in {
		if !slices.Contains(other, name) {
			names = append(names, name)
		}
	}
	switch n := len(names); {
	case n == 0:
		return ""
	case n > most:
		return "; " + word + ": " + strings.Join(names[:most], ", ") + " and more"
	}
	return "; " + word + ": " + strings.Join(names, ", ")
}

// ackBook keeps the acknowledgements in memory, where the router asks for them, and in the catalogue.
type ackBook struct {
	*catalog.Catalog
	mu   sync.Mutex
	acks map[munin.SeriesID]munin.Ack
}

func newAckBook(ctx context.Context, cat *catalog.Catalog) (*ackBook, error) {
	b := &ackBook{Catalog: cat}
	return b, b.load(ctx)
}

func (b *ackBook) load(ctx context.Context) error {
	all, err := b.Acks(ctx)
	if err != nil {
		return err
	}
	acks := make(map[munin.SeriesID]munin.Ack, len(all))
	for _, a := range all {
		acks[a.ID] = a
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.acks = acks
	return nil
}

// Acknowledge stores one.
func (b *ackBook) Acknowledge(ctx context.Context, a munin.Ack) error {
	if err := b.Catalog.Acknowledge(ctx, a); err != nil {
		return err
	}
	return b.load(ctx)
}

// Unacknowledge takes one back.
func (b *ackBook) Unacknowledge(ctx context.Context, id munin.SeriesID) error {
	if err := b.Catalog.Unacknowledge(ctx, id); err != nil {
		return err
	}
	return b.load(ctx)
}

// covered says whether somebody takes care of the problem that a state tells of.
func (b *ackBook) covered(s munin.AlertState) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	a, ok := b.acks[s.ID]
	return ok && a.Covers(s, time.Now())
}
