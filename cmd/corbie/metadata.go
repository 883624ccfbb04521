package main

import (
	"context"
	"errors"
	"net/url"

	"corbie/munin"
	"corbie/storage/promapi"
	"corbie/storage/series"
)

// newPrometheus makes what answers Prometheus' HTTP API, and what evaluates rules by it.
func (a *app) newPrometheus(ctx context.Context) (err error) {
	a.prom, err = promapi.New(promapi.Options{
		Open: a.samples.querier(a.catalog), Limits: promapi.Limits(a.conf.Query), Interval: a.conf.Interval, Metadata: a.metadata,
		Version: version(), Logger: a.log, Registerer: a.metrics,
		Rules:  func(asked url.Values, groups []string) any { return a.rules.Groups(asked, groups) },
		Alerts: func(groups []string) any { return a.rules.Alerts(groups) },
	})
	if err != nil {
		return err
	}
	return a.newRules(ctx)
}

// metadata says of each metric what one of its graphs says, on a host of some groups.
func (a *app) metadata(ctx context.Context, groups []string) (map[string]promapi.Metadata, error) {
	entries, err := a.catalog.GraphIndex(ctx)
	if err != nil {
		return nil, err
	}
	out := make(map[string]promapi.Metadata)
	for _, e := range entries {
		name := series.MetricName(e.Name)
		if _, known := out[name]; known || !munin.InGroups(e.Host, groups) {
			continue
		}
		g, err := a.catalog.Graph(ctx, e.Host, e.Name)
		if errors.Is(err, munin.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out[name] = describeMetric(&g)
	}
	return out, nil
}

func describeMetric(g *munin.Graph) promapi.Metadata {
	m := promapi.Metadata{Help: g.Title, Unit: g.Unit()}
	for i := range g.Fields {
		kind := "gauge"
		if t := g.Fields[i].Type; t == munin.Counter || t == munin.Derive || t == munin.DCounter || t == munin.DDerive {
			kind = "counter"
		}
		if m.Type != "" && m.Type != kind {
			kind = "unknown"
		}
		m.Type = kind
	}
	return m
}
