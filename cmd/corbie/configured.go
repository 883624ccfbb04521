package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"corbie/master/config"
	"corbie/master/poll"
	"corbie/master/self"
	"corbie/master/virtual"
	"corbie/munin"
	"corbie/storage/catalog"
)

// naming is which hosts of the configuration have another name by now, see "corbie rename". A nil one knows of none.
type naming struct {
	now map[munin.HostID]munin.HostID // by the name in the configuration; "" is polled under another one already
	was map[munin.HostID]munin.HostID // by the present name
}

// present is the name of a configured host now; empty where another one of the configuration has it.
func (n *naming) present(id munin.HostID) munin.HostID {
	if n != nil {
		if now, ok := n.now[id]; ok {
			return now
		}
	}
	return id
}

// configuredAs is the name under which the configuration has a host.
func (n *naming) configuredAs(id munin.HostID) munin.HostID {
	if n != nil {
		if was, ok := n.was[id]; ok {
			return was
		}
	}
	return id
}

// configureHosts tells the catalogue and the evaluator which hosts there are, and returns what is to be polled.
func (a *app) configureHosts(ctx context.Context, conf *config.Config) ([]poll.Target, error) {
	names, err := a.name(ctx, conf)
	if err != nil {
		return nil, err
	}
	a.names.Store(names)
	a.samples.Rename(a.catalog.Renames())
	wanted := conf.MuninHosts()
	for i := range wanted {
		wanted[i].ID = names.present(wanted[i].ID)
	}
	wanted = slices.DeleteFunc(wanted, func(h munin.Host) bool { return h.ID == "" })
	if watchesSelf(conf) {
		wanted = append(wanted, selfHost(conf))
	}
	if err := a.catalog.Configure(ctx, wanted); err != nil {
		return nil, err
	}
	hosts, err := a.catalog.Hosts(ctx)
	if err != nil {
		return nil, err
	}
	configured := hosts[:0]
	known := make(map[munin.HostID]munin.Host, len(hosts))
	for _, h := range hosts {
		if !h.Archived {
			configured = append(configured, h)
			known[h.ID] = h
		}
	}
	a.hosts.Store(known)
	targets := a.targets(conf)
	for i := range targets {
		targets[i].Before = known[targets[i].Host]
	}
	return targets, a.evaluator.Configure(ctx, configured)
}

// name finds the hosts of a configuration that were renamed. Where it has the new name as well, the old one is that of
// another host.
func (a *app) name(ctx context.Context, conf *config.Config) (*naming, error) {
	known := a.catalog.Renames()
	if known == nil {
		return nil, nil
	}
	configured := make(map[munin.HostID]bool, len(conf.Hosts))
	for i := range conf.Hosts {
		configured[conf.Hosts[i].ID] = true
	}
	names := &naming{now: make(map[munin.HostID]munin.HostID), was: make(map[munin.HostID]munin.HostID)}
	for i := range conf.Hosts {
		id := conf.Hosts[i].ID
		now := known.Host(id)
		switch {
		case now == id:
		case configured[now]:
			if err := a.catalog.Reuse(ctx, id, time.Now()); err != nil {
				return nil, err
			}
			a.log.Warn("the old name of a renamed host is that of another one from now on", "host", string(id), "renamed_to", string(now))
		case names.was[now] != "":
			names.now[id] = ""
			a.log.Error("two hosts of the configuration became one by 'corbie rename': this one is not polled; take it out",
				"host", string(id), "renamed_to", string(now), "polled_as", string(names.was[now]))
		default:
			names.now[id], names.was[now] = now, id
			a.log.Warn("a host was renamed: it is polled under its new name; use that in the configuration, too", "host", string(id), "renamed_to", string(now))
		}
	}
	return names, nil
}

// targets are the hosts that are polled, under their present names. A node is still asked by the name that the configuration has.
func (a *app) targets(conf *config.Config) []poll.Target {
	names := a.names.Load()
	targets := conf.Targets()
	for i := range targets {
		t := &targets[i]
		if now := names.present(t.Host); now != t.Host {
			if t.NodeName == "" {
				t.NodeName = t.Host.Name()
			}
			t.Host = now
		}
	}
	return slices.DeleteFunc(targets, func(t poll.Target) bool { return t.Host == "" })
}

// plans are the graphs that borrow, under the present names of their hosts.
func (a *app) plans(conf *config.Config) []virtual.Plan {
	names := a.names.Load()
	plans := conf.Plans()
	for i := range plans {
		plans[i].Host = names.present(plans[i].Host)
	}
	return slices.DeleteFunc(plans, func(p virtual.Plan) bool { return p.Host == "" })
}

// lookForEdits takes over what was changed by hand while the master runs.
func (a *app) lookForEdits(ctx context.Context) {
	changed, err := a.takeEdits(ctx)
	if err == nil && changed {
		var targets []poll.Target
		if targets, err = a.configureHosts(ctx, a.conf); err == nil {
			a.poller.Reload(targets)
			a.virtual.Reload(a.plans(a.conf))
		}
	}
	a.editsFailed(ctx, err)
}

// editsWhileAway takes over what was changed by hand while no master ran; the hosts are not configured yet.
func (a *app) editsWhileAway(ctx context.Context) {
	_, err := a.takeEdits(ctx)
	a.editsFailed(ctx, err)
}

func (a *app) editsFailed(ctx context.Context, err error) {
	if err != nil && ctx.Err() == nil {
		a.log.Error("cannot take over what was changed by hand; it is tried again", "err", err)
	}
}

// takeEdits takes over what was changed by hand in the catalogue; changed says that hosts have to be configured anew.
func (a *app) takeEdits(ctx context.Context) (changed bool, err error) {
	edits, err := a.catalog.Edits(ctx)
	if err != nil || len(edits) == 0 {
		return false, err
	}
	if err := errors.Join(a.catalog.Reread(ctx), a.acks.load(ctx)); err != nil {
		return false, err
	}
	a.samples.Rename(a.catalog.Renames())
	for _, e := range edits {
		if err := a.takeEdit(ctx, e); err != nil {
			return false, err
		}
		if err := a.catalog.EditTaken(ctx, e.ID, time.Now()); err != nil {
			return false, err
		}
		a.log.Info("a change by hand was taken over", "change", string(e.Kind), "from", e.From.String(), "to", e.To.String())
		changed = changed || e.Kind != catalog.EditAck && e.Kind != catalog.EditSilence && e.Kind != catalog.EditUnmute
	}
	return changed, nil
}

func (a *app) takeEdit(ctx context.Context, e catalog.Edit) error {
	switch e.Kind {
	case catalog.EditRename:
	case catalog.EditUndo:
		// Of two hosts that had become one, or graphs, each keeps what is its own now.
		is := func(h config.Host) bool { return h.ID == e.From.Host }
		if e.From.Graph != "" || slices.ContainsFunc(a.conf.Hosts, is) {
			return nil
		}
	case catalog.EditSilence:
		return a.silence(ctx, e)
	case catalog.EditUnmute:
		if err := a.router.EndSilence(ctx, e.Detail); err != nil && !errors.Is(err, munin.ErrNotFound) {
			return err
		}
		return nil
	default:
		return nil
	}
	if err := errors.Join(a.evaluator.Load(ctx), a.router.Rename(ctx, e.From, e.To)); err != nil {
		return err
	}
	return a.evaluator.Rename(ctx, e.From, e.To)
}

// isSelf says whether a host is the one that the master is for itself.
func isSelf(id munin.HostID) bool { return id == self.Host }

// hostWords are what the configuration says of a host for people alone.
type hostWords struct {
	tags  []string
	facts map[string]string
}

// storeWords takes over the tags and facts of all hosts, for the pages, and how long their values are kept.
func (a *app) storeWords(conf *config.Config) {
	words := make(map[munin.HostID]hostWords, len(conf.Hosts))
	for i := range conf.Hosts {
		words[conf.Hosts[i].ID] = hostWords{tags: conf.Hosts[i].Tags, facts: conf.Hosts[i].Facts}
	}
	a.said.Store(words)
	a.keep.Store(keepOf(conf))
}

func (a *app) words(id munin.HostID) hostWords {
	words, _ := a.said.Load().(map[munin.HostID]hostWords)
	return words[a.names.Load().configuredAs(id)]
}

func (a *app) tags(id munin.HostID) []string           { return a.words(id).tags }
func (a *app) facts(id munin.HostID) map[string]string { return a.words(id).facts }
