package main

import (
	"context"
	"errors"

	"corbie/master/jobs"
	"corbie/munin"
	"corbie/storage/catalog"
)

// rollUpSchedule is when hours and days are made: samples are rolled up a week after they came, so there is no hurry.
const rollUpSchedule = "23 */6 * * *"

// newJobs is the work that runs by schedule.
func (a *app) newJobs() (*jobs.Runner, error) {
	if a.samples.embedded == nil {
		return jobs.New(a.log, a.capacityJob())
	}
	rollUp, err := a.rollUpJob()
	if err != nil {
		return nil, err
	}
	return jobs.New(a.log, a.capacityJob(), rollUp)
}

// rollUpJob makes hours and days of the samples.
func (a *app) rollUpJob() (jobs.Job, error) {
	schedule, err := jobs.ParseSchedule(rollUpSchedule)
	return jobs.Job{Name: "rollup", Schedule: schedule, Do: func(ctx context.Context) error {
		lookup := sourceLookup{catalog: a.catalog, hosts: make(map[munin.HostID]map[fieldName]munin.Source)}
		result, err := a.samples.embedded.RollUp(ctx, lookup.source)
		if result.Windows > 0 {
			a.log.Info("samples were rolled up into hours and days",
				"windows", result.Windows, "series", result.Series, "samples", result.Samples)
		}
		return err
	}}, err
}

// sourceLookup tells from the catalogue how the values of a series are made. It reads each host once: it is for one run.
type sourceLookup struct {
	catalog *catalog.Catalog
	hosts   map[munin.HostID]map[fieldName]munin.Source
}

type fieldName struct{ graph, field string }

func (l *sourceLookup) source(ctx context.Context, id munin.SeriesID) (munin.Source, error) {
	now := l.catalog.Renames().Current(id)
	fields, ok := l.hosts[now.Host]
	if !ok {
		var err error
		if fields, err = l.host(ctx, now.Host); err != nil {
			return munin.Source{}, err
		}
		l.hosts[now.Host] = fields
	}
	source := fields[fieldName{now.Graph, now.Field}]
	source.ID = id
	return source, nil
}

func (l *sourceLookup) host(ctx context.Context, id munin.HostID) (map[fieldName]munin.Source, error) {
	host, err := l.catalog.Host(ctx, string(id))
	if errors.Is(err, munin.ErrNotFound) || errors.Is(err, munin.ErrAmbiguous) || err == nil && host.ID != id {
		return map[fieldName]munin.Source{}, nil
	}
	if err != nil {
		return nil, err
	}
	graphs, err := l.catalog.Graphs(ctx, host.ID)
	fields := make(map[fieldName]munin.Source)
	for i := range graphs {
		g := &graphs[i]
		for k := range g.Fields {
			f := &g.Fields[k]
			fields[fieldName{g.Name, f.Name}] = g.Source(host.ID, f, host.Interval)
		}
	}
	return fields, err
}
