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
	return nil
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
	states := d.levels(h, p, last)
	if last != d.now {
		slot := d.now.Truncate(demo.Step)
		refused := &munin.Poll{Host: h.ID, Address: h.Address(), Slot: slot, Start: slot}
		refused.Err = fmt.Errorf("%w: dial tcp %s: connect: connection refused", poll.ErrUnreachable, h.Address())
		if err := cat.Record(ctx, refused); err != nil {
			return err
		}
		reason := "has not answered since " + last.UTC().Format("2006-01-02 15:04:05 MST") + ": " + refused.Err.Error()
		state, _ := alerts.StepHost(munin.AlertState{ID: munin.SeriesID{Host: h.ID}}, true, reason, last.Add(3*demo.Step))
		states = append(states, state)
	}
	return cat.SaveStates(ctx, states)
}

// demoWatched is how long levels were watched before the present.
const demoWatched = 40 * 24 * time.Hour

// levels evaluates the levels of a host at each of the last polls.
func (d *demonstration) levels(h *demo.Host, p *munin.Poll, last time.Time) []munin.AlertState {
	var states []munin.AlertState
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
				state, _ = alerts.Step(state, rule, value, at)
			}
			states = append(states, state)
		}
	}
	return states
}
