package series_test

import (
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"corbie/munin"
	"corbie/storage/series"
)

// watch is the clock of a machine that can be wrong.
type watch struct{ off atomic.Int64 }

func (w *watch) now() time.Time { return time.Now().Add(time.Duration(w.off.Load())) }

func (w *watch) set(off time.Duration) { w.off.Store(int64(off)) }

// A block of late samples is said to last to the end of its 8 hours, which have not passed.
func TestLateSamplesOfTheLastHoursAreNoSignOfAWrongClock(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var log lockedLog
		db := open(t, dir, series.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		var want, late []munin.Reading
		for n := range 14 * 6 {
			now := time.Now()
			batch := []munin.Reading{{ID: id("a"), Point: munin.Point{T: now.UnixMilli(), V: float64(n)}}}
			if r := (munin.Reading{ID: id("b"), Point: munin.Point{T: now.UnixMilli(), V: float64(n)}}); n >= 9*6 && n < 10*6 {
				late = append(late, r)
			} else {
				batch = append(batch, r)
			}
			if n == 11*6 {
				batch = append(batch, late...)
			}
			add(t, db, batch...)
			want = append(want, batch...)
			<-time.After(10 * time.Minute)
		}
		blocks, _, err := db.Finished()
		if err != nil || !slices.ContainsFunc(blocks, func(b series.Block) bool { return b.Span.To > time.Now().Add(time.Hour).UnixMilli() }) {
			t.Fatalf("there is no block that ends ahead of the clock, the test shows nothing: %v, %v", blocks, err)
		}
		if set := db.Quarantined(); len(set) > 0 || strings.Contains(log.String(), "level=ERROR") {
			t.Errorf("set aside: %v\n%s", set, log.String())
		}
		for range 2 {
			for _, name := range []string{"a", "b"} {
				own := slices.DeleteFunc(slices.Clone(want), func(r munin.Reading) bool { return r.ID != id(name) })
				slices.SortFunc(own, func(a, b munin.Reading) int { return int(a.T - b.T) })
				wantSame(t, scan(t, db, id(name)), own)
			}
			closeDB(t, db)
			db = open(t, dir, series.Options{})
		}
		closeDB(t, db)
	})
}

func TestAClockThatWasYearsAheadDestroysNothing(t *testing.T) {
	dir := t.TempDir()
	var log lockedLog
	clock := &watch{}
	options := func() series.Options {
		return series.Options{
			Now: clock.now, Retention: 20 * 24 * time.Hour, Work: 50 * time.Millisecond, Registerer: prometheus.NewRegistry(),
			Logger: slog.New(slog.NewTextHandler(&log, nil)),
		}
	}
	now := time.Now().Truncate(time.Minute)
	var want []munin.Reading
	for _, ago := range []time.Duration{60, 30, 8} {
		want = append(want, every(id("a"), now.Add(-ago*24*time.Hour), 24*time.Hour, 0)...)
	}
	if err := series.WriteBlocks(t.Context(), dir, slices.Values(want)); err != nil {
		t.Fatal(err)
	}
	recent := every(id("a"), now, 3*24*time.Hour, time.Hour)
	db := open(t, dir, options())
	add(t, db, recent[:600]...)
	add(t, db, recent[600:]...)
	want = append(want, recent...)

	for round := range 2 { // once while the process lives, once with a stop in between
		clock.set(time.Duration(1+round) * 3 * 365 * 24 * time.Hour)
		wrong := every(id("a"), clock.now().Truncate(time.Minute), time.Hour, 0)
		add(t, db, wrong...)
		if round == 1 {
			closeDB(t, db)
			db = open(t, dir, options())
			add(t, db, munin.Reading{ID: id("b"), Point: munin.Point{T: clock.now().UnixMilli(), V: 1}})
		}
		clock.set(0)
		more := every(id("a"), now, time.Duration(2-round)*30*time.Minute, time.Duration(1-round)*30*time.Minute)
		add(t, db, more...)
		want = append(want, more...)
		late := munin.Reading{ID: id("late"), Point: munin.Point{T: now.Add(-5 * 24 * time.Hour).UnixMilli(), V: float64(round)}}
		add(t, db, late)
		wantSame(t, scan(t, db, id("a")), want)
		if q := db.Quarantined(); len(q) == 0 || !strings.Contains(q[len(q)-1].Reason, "the clock") {
			t.Errorf("set aside: %v", q)
		}
		wantSame(t, scan(t, open(t, killed(t, dir), options()), id("a")), want)
	}
	if n := strings.Count(log.String(), "the clock of this machine was ahead"); n != 2 {
		t.Errorf("it is said %d times:\n%s", n, log.String())
	}
}

func TestAClockThatIsYearsBackStopsStoringAndDestroysNothing(t *testing.T) {
	clock := &watch{}
	db := open(t, t.TempDir(), series.Options{Now: clock.now, Retention: 24 * time.Hour, Work: 50 * time.Millisecond})
	now := time.Now().Truncate(time.Minute)
	want := every(id("a"), now, 5*24*time.Hour, time.Hour)
	add(t, db, want...)
	for _, back := range []time.Duration{3 * time.Hour, 2 * 24 * time.Hour, 3 * 365 * 24 * time.Hour} {
		clock.set(-back)
		err := db.Append(t.Context(), []munin.Reading{{ID: id("a"), Point: munin.Point{T: clock.now().UnixMilli(), V: 1}}})
		if err == nil || !strings.Contains(err.Error(), "set the clock of this machine right") || db.StoppedSince().IsZero() {
			t.Errorf("%s back: %v", back, err)
		}
		wantSame(t, scan(t, db, id("a")), want)
	}
	clock.set(-10 * time.Minute) // a little is nothing
	add(t, db, munin.Reading{ID: id("b"), Point: munin.Point{T: clock.now().UnixMilli(), V: 1}})
	clock.set(0)
	more := every(id("a"), now, time.Hour, 0)
	add(t, db, more...)
	wantSame(t, scan(t, db, id("a")), append(want, more...))
	if !db.StoppedSince().IsZero() || len(db.Quarantined()) != 0 {
		t.Errorf("stopped since %v, set aside %v", db.StoppedSince(), db.Quarantined())
	}
}

// In the middle of 8 hours the clock jumps ahead and back. What was in memory is in blocks by then, and one of them ends, or is merged with one that
// ends, after now: a block of late samples lasts to the end of its 8 hours, and so does one that the TSDB cuts because time seems to have passed. That is
// no sign of a wrong clock, and the next start must read from the log what came after.
func TestWhatComesAfterAClockThatWasAheadIsKept(t *testing.T) {
	for name, jump := range map[string]struct{ by, noticed, window time.Duration }{
		"by some hours, noticed at once":                {by: 7 * time.Hour, window: 3 * time.Hour},
		"by some hours, noticed minutes later":          {by: 7 * time.Hour, noticed: 7 * time.Minute, window: 3 * time.Hour},
		"by years, noticed when a block was cut":        {by: 3 * 365 * 24 * time.Hour, noticed: time.Second},
		"by years, noticed when blocks were merged too": {by: 3 * 365 * 24 * time.Hour, noticed: 7 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				clock := &watch{}
				options := series.Options{Now: clock.now, Window: jump.window}
				db := open(t, dir, options)
				var want, late []munin.Reading
				store := func(readings ...munin.Reading) {
					add(t, db, readings...)
					want = append(want, readings...)
				}
				for n := range 40 * 6 {
					now := time.Now()
					of := func(name string) munin.Reading {
						return munin.Reading{ID: id(name), Point: munin.Point{T: time.Now().UnixMilli(), V: float64(n)}}
					}
					store(of("a"))
					switch {
					case n >= 60 && n < 66 || n >= 106 && n < 110:
						late = append(late, of("b"))
					case n == 72 || n == 114:
						store(late...)
						late = nil
					default:
						store(of("b"))
					}
					if n == 74 { // The first 8 hours were cut, and so were the late samples of the second.
						clock.set(jump.by)
						add(t, db, munin.Reading{ID: id("a"), Point: munin.Point{T: clock.now().UnixMilli(), V: 1}})
						<-time.After(jump.noticed)
						clock.set(0)
						store(of("c"))
					}
					if n == 90 || n == 92 || n == 120 || n == 230 {
						if q := db.Quarantined(); n == 90 && len(q) != 1 {
							t.Errorf("set aside %d times: %v", len(q), q)
						}
						closeDB(t, db)
						db = open(t, dir, options)
						for _, name := range []string{"a", "b", "c"} {
							own := slices.DeleteFunc(slices.Clone(want), func(r munin.Reading) bool { return r.ID != id(name) })
							slices.SortFunc(own, func(a, b munin.Reading) int { return int(a.T - b.T) })
							wantSame(t, scan(t, db, id(name)), own)
						}
					}
					<-time.After(10*time.Minute - time.Since(now))
				}
				closeDB(t, db)
			})
		})
	}
}
