package storage_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"corbie/munin"
	"corbie/storage"
	"corbie/storage/promapi"
	"corbie/storage/storagetest"
)

// ask puts a range query to a store and gives the values of the only series found, by time.
func ask(t *testing.T, s *storage.Samples, sourceOf storage.SourceOf, query string, r munin.Range, step time.Duration) map[int64]string {
	t.Helper()
	api, err := promapi.New(promapi.Options{Interval: time.Hour, Open: func(mint, maxt int64) (promapi.Querier, error) {
		return s.Querier(mint, maxt, sourceOf)
	}})
	if err != nil {
		t.Fatal(err)
	}
	form := url.Values{
		"query": {query}, "start": {fmt.Sprint(r.From.Unix())}, "end": {fmt.Sprint(r.To.Unix())}, "step": {fmt.Sprint(step.Seconds())},
	}
	answer := httptest.NewRecorder()
	api.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v1/query_range?"+form.Encode(), nil))
	var body struct {
		Error string
		Data  struct{ Result []struct{ Values [][2]any } }
	}
	if err := json.Unmarshal(answer.Body.Bytes(), &body); err != nil || body.Error != "" || len(body.Data.Result) > 1 {
		t.Fatalf("%s: %v %.500s", query, err, answer.Body)
	}
	out := make(map[int64]string)
	for _, series := range body.Data.Result {
		for _, pair := range series.Values {
			out[int64(pair[0].(float64))], _ = pair[1].(string)
		}
	}
	return out
}

func TestPromQLReadsHoursAndDaysWhereSamplesHaveGone(t *testing.T) {
	dir, now := t.TempDir(), time.Now().Truncate(24*time.Hour)
	gauge := munin.SeriesID{Host: "hall;probe", Graph: "temperature", Field: "rack"}
	counter := munin.SeriesID{Host: "hall;probe", Graph: "visitors", Field: "door"}
	values := map[munin.SeriesID]func(time.Time) float64{
		gauge:   func(at time.Time) float64 { return float64(at.Hour()) },
		counter: func(at time.Time) float64 { return float64(at.Unix() * 3) },
	}
	span := munin.Range{From: now.AddDate(0, 0, -200), To: now}
	if err := storagetest.Backfill(dir, values, span, time.Hour); err != nil {
		t.Fatal(err)
	}
	sourceOf := func(_ context.Context, id munin.SeriesID) (munin.Source, error) {
		source := munin.Source{ID: id, Heartbeat: 2 * time.Hour}
		if id == counter {
			source.Type = munin.Derive
		}
		return source, nil
	}
	opts := storage.Options{Retention: 60 * 24 * time.Hour}
	s := open(t, dir, opts)
	if _, err := s.RollUp(t.Context(), sourceOf); err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]string{
		`munin_visitors{rollup="avg"}`: "3",
		// What a rule records has no hours and days, but its expression does.
		`sum by (group) ({__name__=~"munin_vis.+",rollup="avg"})`: "3",
		`munin_temperature{rollup="max"}`:                         "23",
		`munin_temperature{rollup="min"}`:                         "0",
		`munin_temperature{rollup="count",field="rack"}`:          "24",
	} {
		got := ask(t, s, sourceOf, query, munin.Range{From: now.AddDate(0, 0, -190), To: now.AddDate(0, 0, -1)}, 24*time.Hour)
		for day := now.AddDate(0, 0, -190); day.Before(now.AddDate(0, 0, -1)); day = day.AddDate(0, 0, 1) {
			if got[day.Unix()] != want {
				t.Fatalf("%s on %s is %q, want %s", query, day.Format(time.DateOnly), got[day.Unix()], want)
			}
		}
	}
	// Steps that are shorter than an hour see it throughout; a range counts it once.
	day := now.AddDate(0, 0, -150)
	got := ask(t, s, sourceOf, `munin_temperature{rollup="avg"}`, munin.Range{From: day, To: day.Add(6 * time.Hour)}, 7*time.Minute)
	for at := day; at.Before(day.Add(6 * time.Hour)); at = at.Add(7 * time.Minute) {
		if want := fmt.Sprint(math.Floor(at.Sub(day).Hours())); got[at.Unix()] != want {
			t.Fatalf("at %s it is %q, want %s", at, got[at.Unix()], want)
		}
	}
	at := munin.Range{From: day.Add(23*time.Hour + 59*time.Minute), To: day.Add(23*time.Hour + 59*time.Minute)}
	if got := ask(t, s, sourceOf, `count_over_time(munin_temperature{rollup="avg"}[24h])`, at, time.Hour); got[at.From.Unix()] != "24" {
		t.Errorf("a day has %v hours", got)
	}
}

func TestPromQLPutsOldAveragesOfGaugesBeforeTheSamples(t *testing.T) {
	dir, now := t.TempDir(), time.Now().Truncate(24*time.Hour)
	old := munin.SeriesID{Host: "probe", Graph: "temperature", Field: "rack"}
	source := munin.Source{ID: old, Heartbeat: 2 * time.Hour}
	sourceOf := func(context.Context, munin.SeriesID) (munin.Source, error) { return source, nil }
	values := map[munin.SeriesID]func(time.Time) float64{old: func(time.Time) float64 { return 7 }}
	if err := storagetest.Backfill(dir, values, munin.Range{From: now.AddDate(0, 0, -100), To: now}, time.Hour); err != nil {
		t.Fatal(err)
	}
	s, err := storage.Open(dir, storage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.RollUp(t.Context(), sourceOf); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// The oldest samples go when the store is opened with a retention.
	s = open(t, dir, storage.Options{Retention: 30 * 24 * time.Hour})
	for _, query := range []string{"munin_temperature", "avg by (graph) (munin_temperature)"} {
		got := ask(t, s, sourceOf, query, munin.Range{From: now.AddDate(0, 0, -95), To: now.AddDate(0, 0, -1)}, 24*time.Hour)
		if len(got) < 94 {
			t.Errorf("%s: %d of 95 days have a value", query, len(got))
		}
	}
	stat, err := s.Stat(t.Context())
	if err != nil || stat.Oldest.Before(now.AddDate(0, 0, -99)) {
		t.Errorf("the samples have not gone: %v %v", stat.Oldest, err)
	}
}
