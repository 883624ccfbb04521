package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"corbie/alerts"
	"corbie/master/config"
	"corbie/master/poll"
	"corbie/munin"
	"corbie/munin/wire/demo"
	"corbie/storage"
	"corbie/storage/catalog"
	"corbie/storage/rollup"
)

// demoBatch is how many series are stored together: that bounds memory.
const demoBatch = 400

// hours writes the older part of the history.
func (d *demonstration) hours(ctx context.Context, from, to time.Time) error {
	if !from.Before(to) {
		return nil
	}
	var batch []storage.History
	for i, h := range d.fleet.Hosts {
		sources := d.sources(i)
		for id, hours := range h.Hours(from, to) {
			source, ok := sources[id]
			if !ok {
				source = munin.Source{ID: id}
			}
			buckets := make([]rollup.Bucket, len(hours))
			for k, one := range hours {
				buckets[k] = rollup.Bucket(one)
			}
			batch = append(batch, storage.History{Source: source, Archives: []storage.Archive{{Size: time.Hour, Buckets: buckets}}})
		}
		if len(batch) >= demoBatch || i == len(d.fleet.Hosts)-1 {
			if err := storage.Import(ctx, d.file("data"), batch); err != nil {
				return err
			}
			batch = nil
		}
	}
	return nil
}

// sources says how the values of each series of a host are made.
func (d *demonstration) sources(host int) map[munin.SeriesID]munin.Source {
	all := make(map[munin.SeriesID]munin.Source)
	p := d.polls[host]
	for i := range p.Graphs {
		g := &p.Graphs[i]
		for k := range g.Fields {
			s := g.Source(p.Host, &g.Fields[k], demo.Step)
			all[s.ID] = s
		}
	}
	return all
}

// catalogue writes what is known of the hosts, and which problems are open since when.
func (d *demonstration) catalogue(ctx context.Context) (err error) {
	conf, err := config.Load(d.file("corbie.yml"), config.Flags{})
	if err != nil {
		return err
	}
	cat, err := catalog.Open(filepath.Join(d.file("data"), catalogFile), catalog.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cat.Close()) }()
	if err := cat.Configure(ctx, conf.MuninHosts()); err != nil {
		return err
	}
	for i, h := range d.fleet.Hosts {
		if err := d.host(ctx, cat, h, d.polls[i]); err != nil {
			return fmt.Errorf("demo: %w", err)
		}
	}
	if err := d.people(ctx, cat); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	return nil
}

// people write down what they did, take care of a problem and put a view together.
func (d *demonstration) people(ctx context.Context, cat *catalog.Catalog) error {
	ago := func(days float64) time.Time { return d.now.Add(-time.Duration(days * 24 * float64(time.Hour))) }
	deploy := d.fleet.Deploy()
	nas := munin.HostID("office;nas1.example.com")
	raid := munin.SeriesID{Host: nas, Graph: "raid", Field: "md0"}
	var ack munin.Ack
	states, err := cat.States(ctx)
	if err != nil {
		return err
	}
	for i := range states {
		if s := &states[i]; s.ID == raid {
			ack = munin.Ack{ID: raid, Since: s.OpenSince, Level: s.Open, At: ago(8.9), By: "ann", Comment: "a new disk is on its way"}
		}
	}
	view := munin.SavedView{Name: "shop", Title: "The shop at a glance", By: "ann", At: ago(20), Items: []munin.SavedItem{
		{Host: "web;lb1.example.com", Graph: "haproxy_requests"},
		{Host: "web;www1.example.com", Graph: "http_loadtime"},
		{Host: "web;www1.example.com", Graph: "http_responses"},
		{Host: "db;db1.example.com", Graph: "mysql_queries"},
		{Host: "db;pg1.example.com", Graph: "postgres_connections_ALL"},
	}}
	return errors.Join(cat.Annotate(ctx,
		munin.Annotation{Kind: munin.Deploy, From: deploy, Where: "web", Text: "shop 4.2 on www1 to www4", By: "deploy"},
		munin.Annotation{Kind: munin.Deploy, From: deploy.Add(-7 * 24 * time.Hour), Where: "web", Text: "shop 4.1", By: "deploy"},
		munin.Annotation{Kind: munin.Maintenance, From: ago(93), To: ago(90.6), Where: "web;lb1.example.com", Text: "replaced; lb2 does its work", By: "bob"},
		munin.Annotation{Kind: munin.Note, From: ago(100), Where: nas, Graph: "df", Text: "old projects moved to the archive", By: "ann"},
	), cat.Acknowledge(ctx, ack), cat.SaveView(ctx, view))
}

// host records the first and the last poll of a host, and where its levels stand.
func (d *demonstration) host(ctx context.Context, cat *catalog.Catalog, h *demo.Host, p *munin.Poll) error {
	if p.Err != nil {
		return p.Err
	}
	first := &munin.Poll{Host: h.ID, Address: p.Address, Slot: d.first, Start: d.first, Banner: p.Banner, Graphs: p.Graphs}
	last := d.now
	if !h.SilentSince.IsZero() {
		last = h.SilentSince
		p.Slot, p.Start = last, last
	}
	if err := errors.Join(cat.Record(ctx, first), cat.Record(ctx, p)); err != nil {
		return err
	}
	states, notes := d.levels(h, p, last)
	if last != d.now {
		slot := d.now.Truncate(demo.Step)
		refused := &munin.Poll{Host: h.ID, Address: h.Address(), Slot: slot, Start: slot}
		refused.Err = fmt.Errorf("%w: dial tcp %s: connect: connection refused", poll.ErrUnreachable, h.Address())
		if err := cat.Record(ctx, refused); err != nil {
			return err
		}
		reason := "has not answered since " + last.UTC().Format("2006-01-02 15:04:05 MST") + ": " + refused.Err.Error()
		state, event := alerts.StepHost(munin.AlertState{ID: munin.SeriesID{Host: h.ID}}, true, reason, last.Add(3*demo.Step))
		states = append(states, state)
		notes = append(notes, transition(&alerts.Notice{State: state, Event: event}))
	}
	return errors.Join(cat.SaveStates(ctx, states), cat.Annotate(ctx, notes...))
}

// demoWatched is how long levels were watched before the present.
const demoWatched = 40 * 24 * time.Hour

// levels evaluates the levels of a host at each of the last polls, and notes what changed.
func (d *demonstration) levels(h *demo.Host, p *munin.Poll, last time.Time) (states []munin.AlertState, notes []munin.Annotation) {
	for i := range p.Graphs {
		g := &p.Graphs[i]
		for k := range g.Fields {
			rule := alerts.RuleOf(&g.Fields[k])
			if rule.IsZero() {
				continue
			}
			id := munin.SeriesID{Host: h.ID, Graph: g.Name, Field: g.Fields[k].Name}
			state := munin.AlertState{ID: id}
			for at, value := range h.Values(id, last.Add(-demoWatched), last) {
				var event alerts.Event
				if state, event = alerts.Step(state, rule, value, at); event != alerts.None {
					about := alerts.About{Title: g.Title, Label: g.Fields[k].Label}
					notes = append(notes, transition(&alerts.Notice{State: state, Event: event, Graph: about}))
				}
			}
			states = append(states, state)
		}
	}
	return states, notes
}
