package storage_test

import (
	"testing"
	"time"

	"corbie/munin"
	"corbie/storage"
	"corbie/storage/storagetest"
)

func TestAYearOfGeneratedHistoryIsReadAndGoesOn(t *testing.T) {
	dir := t.TempDir()
	now := time.Now().UTC().Truncate(time.Hour)
	r := munin.Range{From: now.AddDate(-1, 0, 0).Add(7 * time.Minute), To: now}
	gauge := munin.SeriesID{Host: "web;a", Graph: "df", Field: "root"}
	counter := munin.SeriesID{Host: "web;a", Graph: "if_eth0", Field: "down"}
	err := storagetest.Backfill(dir, map[munin.SeriesID]func(time.Time) float64{
		gauge:   func(t time.Time) float64 { return float64(t.Unix()) },
		counter: func(t time.Time) float64 { return float64(t.Unix()) * 8 },
	}, r, 5*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, dir)
	raw, err := s.Raw(t.Context(), gauge, munin.Range{From: r.From.Add(-time.Hour), To: r.To.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	if want := int(r.Duration() / (5 * time.Minute)); len(raw) != want || raw[0].T%300_000 != 0 || raw[0].Time().Before(r.From) {
		t.Errorf("%d samples from %s, want %d", len(raw), raw[0].Time(), want)
	}
	sources := []munin.Source{{ID: gauge}, {ID: counter, Type: munin.Derive, Heartbeat: 630 * time.Second}}
	got, err := s.Query(t.Context(), sources, munin.Range{From: now.AddDate(0, -6, 0), To: now}, 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range got[1].Buckets[:len(got[1].Buckets)-1] {
		if b.Count != 288 || b.Min != 8 || b.Max != 8 {
			t.Errorf("day %d of the counter is %+v, want 288 times 8", i, b)
		}
	}
	// The running master adds to it, and a reader sees both.
	next := munin.Reading{ID: gauge, Point: munin.Point{T: now.UnixMilli(), V: 5}}
	if err := s.Append(t.Context(), []munin.Reading{next}); err != nil {
		t.Fatal(err)
	}
	reader, err := storage.OpenReadOnly(dir, storage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	latest, err := reader.Latest(t.Context(), sources, now)
	if err != nil || latest[0] != next.Point {
		t.Errorf("the reader's newest value is %v, %v", latest, err)
	}
	all, err := reader.Raw(t.Context(), gauge, munin.Range{From: r.From, To: r.To.Add(time.Hour)})
	if err != nil || len(all) != len(raw)+1 {
		t.Errorf("the reader sees %d samples, %v; want %d", len(all), err, len(raw)+1)
	}
	if err := reader.Close(); err != nil {
		t.Error(err)
	}
}

func TestBackfillRefusesATinyStep(t *testing.T) {
	if err := storagetest.Backfill(t.TempDir(), nil, munin.Range{}, 0); err == nil {
		t.Error("no error")
	}
}
