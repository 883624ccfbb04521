// Package jobs does named work on cron schedules: rollups, forecasts, reports. A job never runs twice at once,
// and one that panics or fails harms neither the others nor the program.
package jobs

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/robfig/cron/v3"
)

// Schedule says when a job runs.
type Schedule struct {
	spec string
	cron cron.Schedule
}

// maxSpecBytes bounds a schedule's text.
const maxSpecBytes = 200

// ParseSchedule reads a cron schedule: five fields (minute, hour, day of month, month, day of week), "@hourly",
// "@daily", "@weekly", "@monthly", "@yearly" or "@every 10m". Times are in the location of the clock that Next
// is asked with, unless the text begins with "TZ=Europe/Vienna ".
func ParseSchedule(spec string) (Schedule, error) {
	spec = strings.TrimSpace(spec)
	const advice = `want five cron fields such as "30 4 * * *", @daily or "@every 10m"`
	if spec == "" || len(spec) > maxSpecBytes {
		return Schedule{}, fmt.Errorf("schedule %.40q: %s", spec, advice)
	}
	if bare := strings.TrimPrefix(strings.TrimPrefix(spec, "CRON_TZ="), "TZ="); bare != spec && !strings.Contains(bare, " ") {
		return Schedule{}, fmt.Errorf("schedule %q: there is nothing after the time zone; %s", spec, advice)
	}
	parsed, err := cron.ParseStandard(spec)
	if err != nil {
		return Schedule{}, fmt.Errorf("schedule %q: %w; %s", spec, err, advice)
	}
	if i := strings.Index(spec, "@every "); i >= 0 {
		// The parser makes a second of what is shorter, negative durations included.
		if d, err := time.ParseDuration(spec[i+len("@every "):]); err != nil || d < time.Second {
			return Schedule{}, fmt.Errorf("schedule %q: the shortest is one second", spec)
		}
	}
	return Schedule{spec: spec, cron: parsed}, nil
}

// String is the text that was parsed.
func (s Schedule) String() string { return s.spec }

// Next is the first time after t at which the job runs. It is zero when there is none, as on the 30th of
// February, and for the zero Schedule.
func (s Schedule) Next(t time.Time) time.Time {
	if s.cron == nil {
		return time.Time{}
	}
	return s.cron.Next(t)
}

// Job is named work.
type Job struct {
	Name     string
	Schedule Schedule
	AtStart  bool // run it also when Run begins
	Do       func(ctx context.Context) error
}

// Status is what is known of a job.
type Status struct {
	Name     string
	Schedule string
	Running  bool
	Runs     int64         // that ended
	Failures int64         // that ended with an error or a panic
	Skipped  int64         // times that passed while the run before was not over
	Began    time.Time     // the last run that began; zero: none
	Took     time.Duration // the last run that ended
	Err      error         // of the last run that ended
	Next     time.Time     // zero: never, or not started
}

// Runner runs jobs by their schedules.
type Runner struct {
	jobs []Job
	log  *slog.Logger

	mu     sync.Mutex
	status []Status // parallel to jobs
}

// New makes a Runner; Run starts it. Job names must differ.
func New(log *slog.Logger, jobs ...Job) (*Runner, error) {
	r := &Runner{jobs: slices.Clone(jobs), log: log, status: make([]Status, len(jobs))}
	seen := make(map[string]bool)
	for i, j := range r.jobs {
		if j.Name == "" || seen[j.Name] {
			return nil, fmt.Errorf("job %d: the name %q is empty or taken", i+1, j.Name)
		}
		seen[j.Name] = true
		r.status[i] = Status{Name: j.Name, Schedule: j.Schedule.String()}
	}
	return r, nil
}

// Run runs the jobs until ctx ends, and returns when the last one in progress has: jobs see ctx too.
func (r *Runner) Run(ctx context.Context) error {
	var all sync.WaitGroup
	for i := range r.jobs {
		all.Go(func() { r.loop(ctx, i) })
	}
	<-ctx.Done()
	all.Wait()
	return nil
}

// Status is a snapshot of all jobs, in the order in which they were given.
func (r *Runner) Status() []Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.status)
}

func (r *Runner) update(i int, change func(*Status)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.status[i])
}

// loop is the life of one job. Since it runs the job itself, two runs cannot meet.
func (r *Runner) loop(ctx context.Context, i int) {
	job := r.jobs[i]
	if job.AtStart {
		r.once(ctx, i)
	}
	due := job.Schedule.Next(time.Now())
	for ctx.Err() == nil {
		r.update(i, func(s *Status) { s.Next = due })
		if due.IsZero() {
			return
		}
		timer := time.NewTimer(time.Until(due))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		r.once(ctx, i)
		due = r.following(i, due)
	}
}

// following is the next time in the future; those that passed during the last run are counted.
func (r *Runner) following(i int, due time.Time) time.Time {
	schedule, now := r.jobs[i].Schedule, time.Now()
	const countAtMost = 10_000
	for range countAtMost {
		due = schedule.Next(due)
		if due.IsZero() || due.After(now) {
			return due
		}
		r.update(i, func(s *Status) { s.Skipped++ })
	}
	return schedule.Next(now)
}

func (r *Runner) once(ctx context.Context, i int) {
	job := r.jobs[i]
	began := time.Now()
	r.update(i, func(s *Status) { s.Running, s.Began = true, began })
	err := contained(ctx, job)
	took := time.Since(began)
	r.update(i, func(s *Status) {
		s.Running, s.Took, s.Err = false, took, err
		s.Runs++
		if err != nil {
			s.Failures++
		}
	})
	switch {
	case err == nil:
		r.log.DebugContext(ctx, "a job is done", "job", job.Name, "took", took.String())
	case ctx.Err() != nil:
		r.log.InfoContext(ctx, "a job was stopped", "job", job.Name, "err", err)
	default:
		r.log.ErrorContext(ctx, "a job failed", "job", job.Name, "err", err, "took", took.String())
	}
}

// contained turns a panic of the job into an error.
func contained(ctx context.Context, job Job) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("job %s panicked: %v\n%s", job.Name, cause, debug.Stack())
		}
	}()
	return job.Do(ctx)
}
