package storage_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"corbie/munin"
	"corbie/storage"
)

// inMemory gives the samples of some series, and notes the longest range that was asked for.
func inMemory(all map[munin.SeriesID][]munin.Point, longest *time.Duration) storage.ScanFunc {
	return func(_ context.Context, ids []munin.SeriesID, r munin.Range, visit func(int, []munin.Point) error) error {
		*longest = max(*longest, r.Duration())
		for i, id := range ids {
			var found []munin.Point
			for _, p := range all[id] {
				if !p.Time().Before(r.From) && p.Time().Before(r.To) {
					found = append(found, p)
				}
			}
			if len(found) == 0 {
				continue
			}
			if err := visit(i, found); err != nil {
				return err
			}
		}
		return nil
	}
}

func TestYearsElsewhereAreReadInWindowsWithoutASeam(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 5)) //nolint:gosec // the same each time
	start := time.Date(2021, 3, 1, 0, 0, 0, 0, time.UTC)
	end := start.AddDate(3, 0, 0)
	all := make(map[munin.SeriesID][]munin.Point)
	var sources []munin.Source
	for i, kind := range []munin.FieldType{munin.Gauge, munin.Derive, munin.Counter, munin.Absolute} {
		source := munin.Source{ID: munin.SeriesID{Host: "a", Graph: "g", Field: string(rune('a' + i))}, Type: kind, Heartbeat: 3 * time.Hour}
		sources = append(sources, source)
		v := 0.0
		for at := start; at.Before(end); at = at.Add(time.Hour) {
			v += float64(rng.IntN(1000))
			p := munin.Point{T: at.UnixMilli(), V: v}
			switch rng.IntN(50) {
			case 0:
				p.V = math.NaN()
			case 1:
				v, p.V = 0, 0
			case 2:
				at = at.Add(time.Duration(rng.IntN(10)) * time.Hour)
			}
			all[source.ID] = append(all[source.ID], p)
		}
	}
	var longest time.Duration
	e := storage.NewElsewhere(inMemory(all, &longest))
	const step = 7 * 24 * time.Hour
	got, err := e.Query(t.Context(), sources, munin.Range{From: start, To: end}, step)
	if err != nil {
		t.Fatal(err)
	}
	for i, source := range sources {
		known := 0
		for k, want := range naive(source, all[source.ID], got[i].Start, step, len(got[i].Buckets)) {
			b := got[i].Buckets[k]
			known += b.Count
			if b.Count != want.Count || b.Count > 0 && (b.Min != want.Min || b.Max != want.Max || math.Abs(b.Avg-want.Avg) > 1e-9*math.Abs(want.Avg)) {
				t.Fatalf("type %v: week %d is %+v, want %+v", source.Type, k, b, want)
			}
		}
		if known < 20_000 {
			t.Errorf("type %v: only %d values", source.Type, known)
		}
	}
	if longest > 62*24*time.Hour {
		t.Errorf("one scan covers %s", longest)
	}
	e.SetMost(40_000)
	if _, err := e.Query(t.Context(), sources, munin.Range{From: start, To: end}, step); !errors.Is(err, munin.ErrTooMuch) {
		t.Errorf("with a limit below what there is: %v", err)
	}
}
