package main

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"corbie/munin"
)

type noReport struct{}

func (noReport) LastReport(context.Context, string) (munin.Report, error) {
	return munin.Report{}, munin.ErrNotFound
}

func TestAFreshReportThatTakesLongIsShownAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		made := 0
		r := &reports{stored: noReport{}, survey: func(_ context.Context, now time.Time) (munin.Report, error) {
			made++
			time.Sleep(6 * time.Second) //nolint:forbidigo // the clock of the bubble
			return munin.Report{At: now}, nil
		}}
		ask := func() munin.Report {
			got, err := r.LastReport(t.Context(), capacityReport)
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		first := ask()
		if again := ask(); made != 1 || !again.At.Equal(first.At) {
			t.Errorf("%d reports were made for two pages", made)
		}
		time.Sleep(5 * time.Minute) //nolint:forbidigo // the clock of the bubble
		if later := ask(); made != 2 || !later.At.After(first.At) {
			t.Errorf("%d reports were made, the newest of %s", made, later.At)
		}
	})
}
