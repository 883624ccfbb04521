package series_test

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"corbie/munin"
	"corbie/storage/series"
)

// Two weeks of polls pass in the fake time of a bubble: blocks are cut, merged and expire as in life.
func TestTwoWeeksOfPollsAreCutMergedAndExpire(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		const day = 24 * time.Hour
		const step = 10 * time.Minute
		opts := series.Options{Retention: 5 * day}
		db := open(t, dir, opts)
		hosts := []munin.SeriesID{id("web;a"), id("web;b"), id("c")}
		begin := time.Now()
		polls := 0
		for time.Since(begin) < 14*day {
			now := time.Now()
			readings := make([]munin.Reading, len(hosts), len(hosts)+1)
			for i, host := range hosts {
				readings[i] = munin.Reading{ID: host, Point: munin.Point{T: now.UnixMilli(), V: float64(polls*10 + i)}}
			}
			if polls%5 == 0 { // one node has a clock that is years ahead
				readings = append(readings, munin.Reading{ID: id("mad"), Point: munin.Point{T: now.AddDate(3, 0, 0).UnixMilli(), V: 1}})
			}
			add(t, db, readings...)
			if polls == 1500 {
				closeDB(t, db)
				opts.Registerer = prometheus.NewRegistry()
				db = open(t, dir, opts)
			}
			polls++
			<-time.After(step)
		}
		stat, err := db.Stat(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		kept := time.Since(stat.Oldest)
		if kept < opts.Retention || kept > opts.Retention+9*day || stat.Blocks < 3 || stat.Blocks > 12 {
			t.Errorf("after 14 days with 5 to keep there are %s in %d blocks", munin.FormatDuration(kept), stat.Blocks)
		}
		for i, host := range hosts {
			got := scan(t, db, host)
			if want := int(kept / step); len(got) < want-1 || len(got) > want+1 {
				t.Errorf("%s: %d samples in %s, want %d", host, len(got), munin.FormatDuration(kept), want)
			}
			for k, p := range got {
				if n := float64(p.T-begin.UnixMilli()) / float64(step.Milliseconds()); p.V != math.Round(n)*10+float64(i) {
					t.Fatalf("%s: sample %d at %s is %v", host, k, p.Time(), p.V)
				}
			}
		}
		if got := scan(t, db, id("mad")); len(got) != 0 {
			t.Errorf("%d samples from the future were stored", len(got))
		}
		closeDB(t, db)
	})
}
