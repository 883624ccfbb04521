package storage_test

import (
	"math"
	"testing"
	"time"

	"corbie/munin"
	"corbie/storage"
	"corbie/storage/rollup"
)

// rows are an archive of the time until end, each row with its number as average.
func rows(size time.Duration, count int, end time.Time) storage.Archive {
	a := storage.Archive{Size: size}
	for n := range count {
		start := end.Truncate(size).Add(-time.Duration(count-n) * size)
		v := float64(start.Unix() / 300)
		a.Buckets = append(a.Buckets, rollup.Bucket{Start: start.UnixMilli(), Bucket: munin.Bucket{
			Avg: v, Min: v - 1, Max: v + 1, Count: int(size / (5 * time.Minute)),
		}})
	}
	return a
}

func TestImportedHistoryStandsBeforeTheSamplesWithoutSeamOrDoubleCount(t *testing.T) {
	dir := t.TempDir()
	now := time.Now().UTC().Truncate(2 * time.Hour).Add(-time.Hour) // the archives of two hours then end on whole rows
	began := now.Add(-6 * time.Hour)                                // when Corbie took over; the other system ran on for three hours
	source := munin.Source{ID: munin.SeriesID{Host: "web;a", Graph: "load", Field: "load"}}
	other := munin.Source{ID: munin.SeriesID{Host: "web;b", Graph: "load", Field: "load"}, Type: munin.Derive, Heartbeat: 10 * time.Minute}
	end := began.Add(3 * time.Hour)
	archives := []storage.Archive{
		rows(5*time.Minute, 576, end), rows(30*time.Minute, 432, end), rows(2*time.Hour, 540, end), rows(day, 450, end),
	}
	err := storage.Import(t.Context(), dir, []storage.History{{Source: other, Archives: archives}, {Source: source, Archives: archives}})
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, dir)
	for at := began; at.Before(now); at = at.Add(5 * time.Minute) {
		err := s.Append(t.Context(), []munin.Reading{{ID: source.ID, Point: munin.Point{T: at.UnixMilli(), V: 7}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	query := func(source munin.Source, r munin.Range, step time.Duration) munin.Series {
		got, err := s.Query(t.Context(), []munin.Source{source}, r, step)
		if err != nil {
			t.Fatal(err)
		}
		return got[0]
	}
	// The last two days in steps of five minutes: exactly the rows, then exactly the samples.
	got := query(source, munin.Range{From: end.Add(-40 * time.Hour), To: now}, 5*time.Minute)
	for i, b := range got.Buckets {
		start := got.Start.Add(time.Duration(i) * got.Step)
		v := float64(start.Unix() / 300)
		want := munin.Bucket{Avg: v, Min: v - 1, Max: v + 1, Count: 1}
		if !start.Before(began) {
			want = munin.Bucket{Avg: 7, Min: 7, Max: 7, Count: 1}
		}
		if b != want {
			t.Fatalf("step at %s is %+v, want %+v", start, b, want)
		}
	}
	if got.Last.V != 7 {
		t.Errorf("last is %+v", got.Last)
	}
	// Hours: made of half hours where there are any, before that every hour shows what two hours were.
	got = query(source, munin.Range{From: end.Add(-30 * day), To: now}, time.Hour)
	for i, b := range got.Buckets {
		start := got.Start.Add(time.Duration(i) * got.Step)
		if b.Count != 12 || start.Before(began) && math.Abs(b.Avg-float64(start.Unix()/300)) > 13 {
			t.Fatalf("hour at %s is %+v", start, b)
		}
	}
	// Days: one row each; a host that Corbie never polled has its history too.
	got = query(other, munin.Range{From: end.Add(-440 * day), To: end.Truncate(day)}, day)
	for i, b := range got.Buckets {
		v := float64(got.Start.Add(time.Duration(i)*day).Unix() / 300)
		if want := (munin.Bucket{Avg: v, Min: v - 1, Max: v + 1, Count: 288}); b != want {
			t.Fatalf("day %d is %+v, want %+v", i, b, want)
		}
	}
	have, err := s.Imported(t.Context())
	if err != nil || len(have) != 4 || !have[day][source.ID] || !have[5*time.Minute][other.ID] {
		t.Errorf("imported: %v, %v", have, err)
	}
}

// TestARowThatReachesIntoWhatIsFinerLeavesNoGap has archives whose ends do not fall together, as those of RRDs seldom do.
func TestARowThatReachesIntoWhatIsFinerLeavesNoGap(t *testing.T) {
	dir := t.TempDir()
	end := time.Now().UTC().Truncate(2 * time.Hour)
	source := munin.Source{ID: munin.SeriesID{Host: "web;a", Graph: "load", Field: "load"}}
	err := storage.Import(t.Context(), dir, []storage.History{{Source: source, Archives: []storage.Archive{
		rows(5*time.Minute, 100, end), rows(30*time.Minute, 101, end), rows(2*time.Hour, 100, end),
	}}})
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, dir)
	for _, step := range []time.Duration{time.Minute, 5 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 7 * time.Hour} {
		got, err := s.Query(t.Context(), []munin.Source{source}, munin.Range{From: end.Add(-150 * time.Hour), To: end}, step)
		if err != nil {
			t.Fatal(err)
		}
		for i, b := range got[0].Buckets {
			start := got[0].Start.Add(time.Duration(i) * step)
			if step == time.Minute && !start.Before(end.Add(-500*time.Minute)) && start.Minute()%5 != 0 {
				continue // between two rows of five minutes
			}
			off := math.Abs(b.Avg - float64(start.Unix()/300))
			if b.Count == 0 || off > 24+step.Minutes()/5 || b.Count > max(1, int(step/(5*time.Minute)))+24 {
				t.Errorf("step %s: bucket at %s is %+v", step, start, b)
			}
		}
	}
}
