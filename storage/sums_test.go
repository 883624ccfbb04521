package storage_test

import (
	"math"
	"testing"
	"time"

	"corbie/munin"
	"corbie/storage"
)

// A sum is read like any series, counters by their rates, and what is unknown is left out of it.
func TestASumAddsUpItsParts(t *testing.T) {
	store, err := storage.Open(t.TempDir(), storage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	base := time.Now().Add(-time.Hour).Truncate(time.Hour)
	id := func(host munin.HostID) munin.SeriesID {
		return munin.SeriesID{Host: host, Graph: "if_eth0", Field: "down"}
	}
	var readings []munin.Reading
	for i := range 6 {
		at := base.Add(time.Duration(i) * 5 * time.Minute).UnixMilli()
		readings = append(readings,
			munin.Reading{ID: id("a"), Point: munin.Point{T: at, V: float64(i) * 300}},
			munin.Reading{ID: id("b"), Point: munin.Point{T: at, V: 10}})
	}
	if err := store.Append(t.Context(), readings[:len(readings)-1]); err != nil { // b's last value is missing
		t.Fatal(err)
	}
	a := munin.Source{ID: id("a"), Type: munin.Derive, Heartbeat: 11 * time.Minute}
	b := munin.Source{ID: id("b"), Heartbeat: 11 * time.Minute}
	none := munin.Source{ID: id("none"), Heartbeat: 11 * time.Minute}
	total := munin.Source{ID: id("Totals"), Sum: []munin.Source{a, b, none}}
	sources := []munin.Source{b, total, {ID: id("empty"), Sum: []munin.Source{none, none}}, a}
	span := munin.Range{From: base, To: base.Add(30 * time.Minute)}
	got, err := store.Query(t.Context(), sources, span, 5*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	want := [][]float64{
		{10, 10, 10, 10, 10, math.NaN()},
		{10, 11, 11, 11, 11, math.NaN()},
		{math.NaN(), math.NaN(), math.NaN(), math.NaN(), math.NaN(), math.NaN()},
		{math.NaN(), 1, 1, 1, 1, 1},
	}
	for i, series := range got {
		if series.ID != sources[i].ID || len(series.Buckets) != 6 {
			t.Fatalf("series %d is %s with %d buckets", i, series.ID, len(series.Buckets))
		}
		for j, bucket := range series.Buckets {
			if v := want[i][j]; bucket.Avg != v && (v == v || bucket.Count > 0) {
				t.Errorf("%s: bucket %d is %+v, want %v", series.ID, j, bucket, v)
			}
		}
	}
	if last := got[1].Last; last.V != 11 {
		t.Errorf("the last value of the sum is %+v", last)
	}
	now := base.Add(21 * time.Minute)
	points, err := store.Latest(t.Context(), sources, now)
	if err != nil || len(points) != 4 || points[0].V != 10 || points[3].V != 1 || points[1].V == points[1].V {
		t.Errorf("newest %+v, %v; a sum with a part that nobody knows is unknown", points, err)
	}
	total.Sum = total.Sum[:2]
	points, err = store.Latest(t.Context(), []munin.Source{total}, now)
	if err != nil || points[0].V != 11 || points[0].T != base.Add(20*time.Minute).UnixMilli() {
		t.Errorf("newest %+v, %v", points, err)
	}
}
