package series_test

import (
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"corbie/munin"
	"corbie/storage/series"
)

// watch is the clock of a machine that can be wrong.
type watch struct{ off time.Duration }

func (w *watch) now() time.Time { return time.Now().Add(w.off) }

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
		clock.off = time.Duration(1+round) * 3 * 365 * 24 * time.Hour
		wrong := every(id("a"), clock.now().Truncate(time.Minute), time.Hour, 0)
		add(t, db, wrong...)
		if round == 1 {
			closeDB(t, db)
			db = open(t, dir, options())
			add(t, db, munin.Reading{ID: id("b"), Point: munin.Point{T: clock.now().UnixMilli(), V: 1}})
		}
		clock.off = 0
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
		clock.off = -back
		err := db.Append(t.Context(), []munin.Reading{{ID: id("a"), Point: munin.Point{T: clock.now().UnixMilli(), V: 1}}})
		if err == nil || !strings.Contains(err.Error(), "set the clock of this machine right") || db.StoppedSince().IsZero() {
			t.Errorf("%s back: %v", back, err)
		}
		wantSame(t, scan(t, db, id("a")), want)
	}
	clock.off = -10 * time.Minute // a little is nothing
	add(t, db, munin.Reading{ID: id("b"), Point: munin.Point{T: clock.now().UnixMilli(), V: 1}})
	clock.off = 0
	more := every(id("a"), now, time.Hour, 0)
	add(t, db, more...)
	wantSame(t, scan(t, db, id("a")), append(want, more...))
	if !db.StoppedSince().IsZero() || len(db.Quarantined()) != 0 {
		t.Errorf("stopped since %v, set aside %v", db.StoppedSince(), db.Quarantined())
	}
}
