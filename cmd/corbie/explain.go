package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"corbie/master/config"
	"corbie/munin"
	"corbie/munin/wire"
	"corbie/storage/catalog"
)

// explain prints what a host resolves to: its settings and, where a master has polled it, the levels of its fields, each
// with the line that it comes from.
func (p *program) explain(ctx context.Context, conf *config.Config, name string) error {
	host, err := conf.Host(name)
	if err != nil {
		return usageError{err}
	}
	address := host.Address
	if address == "" {
		address = "none: it is virtual and shows what other hosts have"
	}
	t := table{head: []string{"SETTING", "VALUE", "FROM"}}
	t.add("host", string(host.ID), host.At.String())
	t.add("address", address, host.At.String())
	said := make(map[string]config.Said)
	var tags []config.Said
	for _, s := range host.Said {
		if s.Key == "tags" {
			tags = append(tags, s)
			continue
		}
		said[s.Key] = s
	}
	add := func(key, value string) {
		from := said[key].Where
		if from == "" {
			from = "the default"
		}
		t.add(key, value, from)
	}
	if host.Schedule != nil {
		add("schedule", host.Schedule.String())
	} else {
		add("interval", munin.FormatDuration(host.Interval))
	}
	add("silent_after", munin.FormatDuration(host.SilentAfter))
	explainSessions(host, add)
	for _, s := range tags {
		t.add("tags", s.Value, s.Where)
	}
	explainFacts(host, add)
	for _, rule := range host.Plugins {
		every := "never"
		if rule.Every > 0 {
			every = munin.FormatDuration(rule.Every)
		}
		t.add("plugin "+rule.Pattern, every, rule.At.String())
	}
	t.add("asked for as", conf.AskedAs(host), host.At.String())
	if err := t.write(p.stdout, formatText, nil); err != nil {
		return err
	}
	graphs, why, err := p.knownGraphs(ctx, conf, host.ID)
	if err != nil {
		return err
	}
	fmt.Fprintln(p.stdout)
	if len(graphs) == 0 {
		_, err = fmt.Fprintf(p.stdout, "No graphs of it are known%s.\n", why)
		return err
	}
	return p.explainGraphs(conf, host.ID, graphs)
}

// explainFacts adds what people want to know of a host.
func explainFacts(host *config.Host, add func(key, value string)) {
	for _, name := range slices.Sorted(maps.Keys(host.Facts)) {
		add("facts."+name, host.Facts[name])
	}
}

// explainSessions adds how long sessions with a host may take, and how they are encrypted.
func explainSessions(host *config.Host, add func(key, value string)) {
	add("timeouts.dial", munin.FormatDuration(host.Timeouts.Dial))
	add("timeouts.idle", munin.FormatDuration(host.Timeouts.Idle))
	add("timeouts.plugin", munin.FormatDuration(host.Timeouts.Plugin))
	add("timeouts.host", munin.FormatDuration(host.Timeouts.Host))
	if host.TLS == nil {
		add("tls.mode", "disabled")
		return
	}
	s := host.TLS.Settings()
	add("tls.mode", s.Mode.String())
	for _, one := range []struct{ key, value string }{
		{"tls.key", s.Key}, {"tls.certificate", s.Certificate}, {"tls.ca", s.CA}, {"tls.match", s.Match},
	} {
		if one.value != "" {
			add(one.key, one.value)
		}
	}
	verify := "no"
	if s.Verify || s.Mode == wire.TLSParanoid {
		verify = "yes"
	}
	add("tls.verify", verify)
	add("tls.verify_depth", strconv.Itoa(s.Depth))
}

// knownGraphs are the graphs of a host that the catalogue knows, else those that the configuration describes.
func (p *program) knownGraphs(ctx context.Context, conf *config.Config, host munin.HostID) (graphs []munin.Graph, why string, err error) {
	described := conf.Virtual(host)
	file := filepath.Join(p.dataFolder(conf), catalogFile)
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		return described, " yet: there are no data of a master in " + p.dataFolder(conf), nil
	}
	cat, err := catalog.OpenReadOnly(file, catalog.Options{})
	if err != nil {
		return nil, "", err
	}
	defer cat.Close()
	graphs, err = cat.Graphs(ctx, host)
	if err != nil {
		return nil, "", err
	}
	if len(graphs) == 0 {
		graphs = described
	}
	return graphs, "; it was not polled yet", nil
}

// borrows says whether a graph shows what others have.
func borrows(g *munin.Graph) bool {
	return slices.ContainsFunc(g.Fields, func(f munin.Field) bool { return len(f.From) > 0 })
}

// explainGraphs lists what the configuration says of graphs and fields, and the levels of all others.
func (p *program) explainGraphs(conf *config.Config, host munin.HostID, graphs []munin.Graph) error {
	t := table{head: []string{"GRAPH", "FIELD", "SETTING", "VALUE", "FROM"}}
	for i := range graphs {
		g := &graphs[i]
		if !borrows(g) { // Such a graph is stored as the configuration made it.
			conf.Override(host, g)
		}
		for _, key := range slices.Sorted(maps.Keys(g.Origin)) {
			t.add(g.Name, "", key, shorten(g.Attr(key), 60), g.Origin[key])
		}
		for j := range g.Fields {
			f := &g.Fields[j]
			for _, key := range slices.Sorted(maps.Keys(f.Origin)) {
				t.add(g.Name, f.Name, key, shorten(f.Attr(key), 60), f.Origin[key])
			}
			for _, key := range []string{"warning", "critical"} {
				if _, said := f.Origin[key]; !said && f.Attr(key) != ":" {
					t.add(g.Name, f.Name, key, f.Attr(key), "plugin "+g.Plugin)
				}
			}
			var from []string
			for _, source := range f.From {
				from = append(from, source.ID.String())
			}
			if len(from) > 0 {
				t.add(g.Name, f.Name, "values", shorten(strings.Join(from, " + "), 100), "borrowed")
			}
		}
	}
	if len(t.rows) == 0 {
		_, err := fmt.Fprintln(p.stdout, "No field of it has a level, and the configuration changes none of its graphs.")
		return err
	}
	return t.write(p.stdout, formatText, nil)
}
