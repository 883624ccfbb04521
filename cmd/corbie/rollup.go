package main

import (
	"context"
	"errors"
	"time"

	"corbie/master/config"
	"corbie/master/jobs"
	"corbie/munin"
	"corbie/storage"
	"corbie/storage/catalog"
)

// rollUpSchedule is when hours and days are made: samples are rolled up a week after they came, so there is no hurry.
const rollUpSchedule = "23 */6 * * *"

// trimSchedule is when values go that are kept for less than the rest.
const trimSchedule = "41 3 * * *"

// snapshotSchedule is when it is looked whether the next start would have much to read.
const snapshotSchedule = "*/5 * * * *"

// newJobs makes the work that is done by schedule.
func (a *app) newJobs(context.Context) (err error) {
	if a.samples.embedded == nil {
		a.jobs, err = jobs.New(a.log, a.capacityJob())
		return err
	}
	rollUp, err := a.rollUpJob()
	if err != nil {
		return err
	}
	trim, err := a.trimJob()
	if err != nil {
		return err
	}
	snapshot, err := a.snapshotJob()
	if err != nil {
		return err
	}
	verify, err := a.verifyJob(a.dir)
	if err != nil {
		return err
	}
	a.jobs, err = jobs.New(a.log, a.capacityJob(), rollUp, trim, snapshot, verify)
	return err
}

// snapshotJob keeps short what a start after kill -9 has to read.
func (a *app) snapshotJob() (jobs.Job, error) {
	schedule, err := jobs.ParseSchedule(snapshotSchedule)
	return jobs.Job{Name: "snapshot", Schedule: schedule, Do: func(ctx context.Context) error {
		began := time.Now()
		done, err := a.samples.embedded.Snapshot(ctx, storage.SnapshotAfter)
		if done.Series > 0 {
			a.log.Info("what is in memory was written to disk for the next start",
				"series", done.Series, "samples", done.Samples, "mb", done.Bytes>>20, "took", time.Since(began).Round(time.Millisecond).String())
		}
		return err
	}}, err
}

// trimJob deletes the values of groups that are kept for less than the rest.
func (a *app) trimJob() (jobs.Job, error) {
	schedule, err := jobs.ParseSchedule(trimSchedule)
	return jobs.Job{Name: "retention", Schedule: schedule, Do: a.trim}, err
}

// trim is one run of that job, by the configuration as it is now.
func (a *app) trim(ctx context.Context) error {
	keep := a.keep.Load()
	if keep == nil {
		return nil
	}
	lookup := sourceLookup{catalog: a.catalog, hosts: make(map[munin.HostID]map[fieldName]munin.Source)}
	result, err := a.samples.embedded.Trim(ctx, *keep, lookup.source)
	if result != (storage.TrimResult{}) {
		a.log.Info("values were deleted of groups that are kept for less",
			"hosts", result.Hosts, "samples", result.Samples, "freed_mb", result.Freed>>20, "rollups", result.Rollups)
	}
	return err
}

// keepOf says how long the values of hosts are kept; nil where all are kept alike.
func keepOf(conf *config.Config) *storage.KeepOf {
	if !conf.KeepsLess() {
		return nil
	}
	// What is not less than the master's own needs no work.
	less := func(of, all time.Duration) time.Duration {
		if of == all {
			return 0
		}
		return of
	}
	keep := storage.KeepOf(func(id munin.HostID) storage.Keep {
		k, _ := conf.Keep(id)
		all := conf.Retention
		return storage.Keep{Raw: less(k.Raw, all.Raw), Hour: less(k.Hour, all.Hour), Day: less(k.Day, all.Day)}
	})
	return &keep
}

// rollUpJob makes hours and days of the samples.
func (a *app) rollUpJob() (jobs.Job, error) {
	schedule, err := jobs.ParseSchedule(rollUpSchedule)
	return jobs.Job{Name: "rollup", Schedule: schedule, Do: a.rollUp}, err
}

// rollUp is one run of that job.
func (a *app) rollUp(ctx context.Context) error {
	lookup := sourceLookup{catalog: a.catalog, hosts: make(map[munin.HostID]map[fieldName]munin.Source)}
	result, err := a.samples.embedded.RollUp(ctx, lookup.source)
	if result.Windows > 0 {
		a.log.Info("samples were rolled up into hours and days",
			"windows", result.Windows, "series", result.Series, "samples", result.Samples)
	}
	return err
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
