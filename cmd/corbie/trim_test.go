package main

import (
	"bytes"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"corbie/master/config"
	"corbie/munin"
	"corbie/storage"
	"corbie/storage/series"
)

func TestTheMasterDeletesWhatAGroupKeepsForLess(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	ids := []munin.SeriesID{{Host: "lab;x", Graph: "load", Field: "load"}, {Host: "web;y", Graph: "load", Field: "load"}}
	now := time.Now().UTC()
	const day = 24 * time.Hour
	var readings []munin.Reading
	for at := now.Add(-120 * day).Truncate(day); at.Before(now.Add(-day)); at = at.Add(time.Hour) {
		for _, id := range ids {
			readings = append(readings, munin.Reading{ID: id, Point: munin.Point{T: at.UnixMilli(), V: float64(at.Hour())}})
		}
	}
	if err := series.WriteBlocks(t.Context(), storage.RawDir(data), slices.Values(readings)); err != nil {
		t.Fatal(err)
	}
	conf, err := config.Parse("corbie.yml", []byte(`
listen: 127.0.0.1:0
groups:
  lab: {retention: {raw: 30d}}
hosts:
  lab;x: {address: 127.0.0.1:1, interval: 1h}
  web;y: {address: 127.0.0.1:1, interval: 1h}
`), config.Flags{})
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	a, err := newApp(t.Context(), conf, data, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer a.close()
	rollUp, err := a.rollUpJob()
	if err != nil {
		t.Fatal(err)
	}
	trim, err := a.trimJob()
	if err != nil {
		t.Fatal(err)
	}
	if next := trim.Schedule.Next(now); next.IsZero() || next.After(now.Add(25*time.Hour)) {
		t.Errorf("the job runs next at %s", next)
	}
	for _, do := range []func() error{
		func() error { return rollUp.Do(t.Context()) },
		func() error { return trim.Do(t.Context()) },
		func() error { return trim.Do(t.Context()) },
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
	for i, id := range ids {
		points, err := a.samples.Raw(t.Context(), id, munin.Range{From: now.Add(-121 * day), To: now})
		if err != nil || len(points) == 0 {
			t.Fatalf("%s: %d samples, %v", id, len(points), err)
		}
		if short := now.Sub(points[0].Time()) < 45*day; short != (i == 0) {
			t.Errorf("the samples of %s begin %s", id, points[0].Time())
		}
		got, err := a.samples.Query(t.Context(), []munin.Source{{ID: id}}, munin.Range{From: now.Add(-110 * day), To: now.Add(-100 * day)}, day)
		if err != nil || got[0].Buckets[1].Count != 24 || got[0].Buckets[1].Max != 23 {
			t.Errorf("the days of %s are %+v, %v", id, got, err)
		}
	}
	if text := log.String(); strings.Count(text, "values were deleted of groups that are kept for less") != 1 || !strings.Contains(text, "hosts=1 samples=") {
		t.Errorf("the log says:\n%s", text)
	}
}
