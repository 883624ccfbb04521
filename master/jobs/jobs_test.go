package jobs_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"corbie/master/jobs"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func schedule(t *testing.T, spec string) jobs.Schedule {
	t.Helper()
	s, err := jobs.ParseSchedule(spec)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSchedulesAreReadAsCronReadsThem(t *testing.T) {
	from := time.Date(2026, 3, 1, 4, 10, 20, 0, time.UTC)
	for spec, want := range map[string]string{
		"30 4 * * *":        "2026-03-01T04:30:00Z",
		"0 0 1 1 *":         "2027-01-01T00:00:00Z",
		"*/15 * * * 1-5":    "2026-03-02T00:00:00Z",
		"@hourly":           "2026-03-01T05:00:00Z",
		" @every 10m ":      "2026-03-01T04:20:20Z",
		"TZ=UTC 11 4 * * *": "2026-03-01T04:11:00Z",
	} {
		if got := schedule(t, spec).Next(from).Format(time.RFC3339); got != want {
			t.Errorf("%q after %s: %s, want %s", spec, from, got, want)
		}
	}
	if next := schedule(t, "0 0 30 2 *").Next(from); !next.IsZero() {
		t.Errorf("the 30th of February comes on %s", next)
	}
}

func TestBadSchedulesAreErrorsWithAdvice(t *testing.T) {
	for _, spec := range []string{
		"", "hourly", "60 * * * *", "* * * *", "* * * * * *", "@every", "@every -1m", "@every 1ms", "TZ=UTC", "TZ=Nowhere/Land 0 0 * * *",
		strings.Repeat("1,", 200) + "1 * * * *",
	} {
		_, err := jobs.ParseSchedule(spec)
		if err == nil {
			t.Errorf("%q is taken for a schedule", spec)
		} else if len(err.Error()) > 400 {
			t.Errorf("%q: the message has %d bytes", spec, len(err.Error()))
		}
	}
}

// run runs jobs in a bubble for a while and returns their status just before they are stopped.
func run(t *testing.T, during time.Duration, list ...jobs.Job) []jobs.Status {
	t.Helper()
	r, err := jobs.New(quiet(), list...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), during)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	<-time.After(during - time.Nanosecond)
	synctest.Wait()
	status := r.Status()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	return status
}

func TestAJobRunsAtItsTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []string
		status := run(t, time.Hour+time.Minute, jobs.Job{
			Name: "report", Schedule: schedule(t, "*/20 * * * *"),
			Do: func(context.Context) error { at = append(at, time.Now().UTC().Format("15:04:05")); return nil },
		})[0]
		if got := strings.Join(at, " "); got != "00:20:00 00:40:00 01:00:00" {
			t.Errorf("it ran at %s", got)
		}
		if status.Runs != 3 || status.Err != nil || status.Running || status.Next.UTC().Format("15:04") != "01:20" {
			t.Errorf("status %+v", status)
		}
	})
}

func TestAJobNeverRunsTwiceAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inside, most := 0, 0
		status := run(t, time.Hour, jobs.Job{
			Name: "slow", Schedule: schedule(t, "@every 1m"), AtStart: true,
			Do: func(ctx context.Context) error {
				inside++
				most = max(most, inside)
				select {
				case <-time.After(150 * time.Second):
				case <-ctx.Done():
				}
				inside--
				return nil
			},
		})[0]
		if most != 1 {
			t.Errorf("%d runs at once", most)
		}
		if status.Runs < 15 || status.Skipped < 20 {
			t.Errorf("%d runs and %d skipped, want about 19 and 36", status.Runs, status.Skipped)
		}
		if status.Took != 150*time.Second {
			t.Errorf("took %s", status.Took)
		}
	})
}

func TestPanicsAndErrorsStayInTheirJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("disk full")
		good := 0
		every := schedule(t, "@every 1m")
		status := run(t, 10*time.Minute+time.Second,
			jobs.Job{Name: "panics", Schedule: every, Do: func(context.Context) error { panic("nil map") }},
			jobs.Job{Name: "fails", Schedule: every, Do: func(context.Context) error { return broken }},
			jobs.Job{Name: "works", Schedule: every, Do: func(context.Context) error { good++; return nil }},
		)
		if good != 10 {
			t.Errorf("the sound job ran %d times, want 10", good)
		}
		if err := status[0].Err; err == nil || !strings.Contains(err.Error(), "panics panicked: nil map") || status[0].Failures != 10 {
			t.Errorf("panics: %d failures, %v", status[0].Failures, err)
		}
		if !errors.Is(status[1].Err, broken) || status[1].Failures != 10 {
			t.Errorf("fails: %d failures, %v", status[1].Failures, status[1].Err)
		}
	})
}

func TestRunWaitsForTheJobInProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := false
		run(t, time.Minute, jobs.Job{Name: "backup", AtStart: true, Do: func(ctx context.Context) error {
			<-ctx.Done()
			<-time.After(time.Second)
			ended = true
			return ctx.Err()
		}})
		if !ended {
			t.Error("Run returned before the job did")
		}
	})
}

func TestJobNamesMustDiffer(t *testing.T) {
	if _, err := jobs.New(quiet(), jobs.Job{Name: "a"}, jobs.Job{Name: "a"}); err == nil {
		t.Error("two jobs of one name were taken")
	}
}

func FuzzParseSchedule(f *testing.F) {
	for _, seed := range []string{"30 4 * * *", "@every 10m", "TZ=UTC 1 2 3 4 5", "*/7 1-3,5 ? JAN-MAR sun", "TZ=", "CRON_TZ=x", "@every 9999999h"} {
		f.Add(seed)
	}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, spec string) {
		s, err := jobs.ParseSchedule(spec)
		if err != nil {
			return
		}
		if next := s.Next(now); !next.IsZero() && !next.After(now) {
			t.Errorf("%q: next is %s", spec, next)
		}
	})
}
