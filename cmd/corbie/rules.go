package main

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"corbie/alerts"
	"corbie/master/config"
	"corbie/master/self"
	"corbie/munin"
	"corbie/storage/catalog"
	"corbie/storage/rules"
)

// rulesFile is where the state of the alerts of rules is kept, in the folder of alerts.
const rulesFile = "rules.json"

// loadRules reads the files of rules that the configuration names.
func loadRules(conf *config.Config) (*rules.Set, error) {
	set, wrong := rules.Load(conf.Rules)
	return set, errors.Join(wrong...)
}

// newRules makes what evaluates rules in PromQL. Its alerts go to the router and not to the evaluator of levels, which takes a field that no poll
// describes for gone.
func (a *app) newRules(ctx context.Context) error {
	set, err := loadRules(a.conf)
	if err != nil {
		return err
	}
	a.rules, err = rules.New(rules.Options{
		Query: a.prom.Instant, Ready: a.samples.upToDate, Record: a.samples.Record, Tell: a.tellRules, Host: a.hostOfLabels, File: filepath.Join(a.dir, alertsFolder, rulesFile),
		Every: min(a.conf.Interval, time.Minute), Settle: 2 * a.conf.Interval, URL: a.pageURL(), Logger: a.log,
	})
	if err != nil {
		return err
	}
	return a.rules.Reload(ctx, set)
}

// hostOfLabels is the host that labels name by host and group, or by host alone where only one has that name; else the master itself.
func (a *app) hostOfLabels(labels map[string]string) munin.HostID {
	known, _ := a.hosts.Load().(map[munin.HostID]munin.Host)
	name := labels["host"]
	if name == "" {
		return self.Host
	}
	id := munin.HostID(name)
	if group := labels["group"]; group != "" {
		id = munin.NewHostID(group, name)
	}
	if _, ok := known[id]; ok {
		return id
	}
	found := self.Host
	for other := range known {
		if other.Name() != name {
			continue
		}
		if found.Name() == name {
			return self.Host // two have it
		}
		found = other
	}
	return found
}

// tellRules hands the alerts of rules to the router.
func (a *app) tellRules(ctx context.Context, all []rules.Alert) error {
	notices := make([]alerts.Notice, len(all))
	for i := range all {
		one := &all[i]
		n := alerts.Notice{
			State: one.State(), Event: alerts.Problem, Graph: alerts.About{Title: one.Name, Label: one.ID.Field, Base: 1000},
			Query: &alerts.Query{Name: one.Name, Labels: one.Labels, Annotations: one.Annotations},
		}
		switch {
		case one.Again:
			n.Event, n.From = alerts.None, one.Level
		case one.Level == munin.OK:
			n.Event, n.From = alerts.Recovery, rules.LevelOf(one.Labels)
		}
		notices[i] = n
	}
	return a.router.Tell(ctx, notices)
}

// problemStates are the problems of levels and of rules, for the pages.
type problemStates struct {
	*catalog.Catalog

	rules *rules.Manager
}

// States lists both.
func (s *problemStates) States(ctx context.Context) ([]munin.AlertState, error) {
	all, err := s.Catalog.States(ctx)
	if err != nil {
		return nil, err
	}
	return append(all, s.rules.States()...), nil
}
