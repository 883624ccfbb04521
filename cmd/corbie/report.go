package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"corbie/alerts/forecast"
	"corbie/master/jobs"
	"corbie/munin"
	"corbie/ui/report"
)

const capacityReport = "capacity"

func (p *program) reportCommand() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "report capacity",
		Short: "Print by when what will be full, and how sure that is",
		Long: `report capacity forecasts every field that has a ceiling (file systems, inodes,
memory, swap, percentages) from the history there is, most urgent first. It reads
the data folder beside a running master, which makes the same report by schedule.`,
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error { return p.report(cmd.Context(), args[0], format) },
	}
	cmd.Flags().StringVar(&format, "format", formatText, strings.Join(report.Formats(), ", "))
	return cmd
}

func (p *program) report(ctx context.Context, name, format string) error {
	if name != capacityReport {
		return usageError{fmt.Errorf("report %q: there is only %q", name, capacityReport)}
	}
	if !slices.Contains(report.Formats(), format) {
		return usageError{fmt.Errorf("--format %q: want one of %s", format, strings.Join(report.Formats(), ", "))}
	}
	r, err := p.openReader()
	if err != nil {
		return err
	}
	made, err := forecast.Survey(ctx, r.catalog, r.samples, time.Now())
	if err == nil {
		err = report.Write(p.stdout, made, format)
	}
	return errors.Join(err, r.close())
}

// reports answers with the capacity report of the last scheduled run, and until there is one with a fresh one, so that
// the page of a new master is not empty until the night.
type reports struct {
	stored interface {
		LastReport(ctx context.Context, name string) (munin.Report, error)
	}
	survey func(ctx context.Context, now time.Time) (munin.Report, error)
	busy   sync.Mutex // one fresh report at a time
	// fresh is the last one that was made for a page, and is shown again for a while: with a thousand hosts it takes seconds.
	fresh munin.Report
	until time.Time
}

// freshFor is how long a fresh report is shown, in times of what it took to make.
const freshFor = 20

// LastReport implements ui.Reports.
func (r *reports) LastReport(ctx context.Context, name string) (munin.Report, error) {
	last, err := r.stored.LastReport(ctx, name)
	if name != capacityReport || err == nil && len(last.Findings) > 0 || err != nil && !errors.Is(err, munin.ErrNotFound) {
		return last, err
	}
	r.busy.Lock()
	defer r.busy.Unlock()
	start := time.Now()
	if start.Before(r.until) {
		return r.fresh, nil
	}
	made, err := r.survey(ctx, start)
	if err != nil {
		return made, err
	}
	r.fresh, r.until = made, time.Now().Add(freshFor*time.Since(start))
	return made, nil
}

// capacityJob makes the capacity report by schedule.
func (a *app) capacityJob() jobs.Job {
	return jobs.Job{Name: capacityReport, Schedule: a.conf.Forecast.Schedule, Do: func(ctx context.Context) error {
		r, err := a.survey(ctx, time.Now())
		if err != nil {
			return err
		}
		return a.catalog.SaveReport(ctx, r)
	}}
}

func (a *app) survey(ctx context.Context, now time.Time) (munin.Report, error) {
	return forecast.Survey(ctx, a.catalog, a.samples, now)
}
