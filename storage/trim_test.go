package storage_test

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"corbie/munin"
	"corbie/storage"
	"corbie/storage/rollup"
	"corbie/storage/series"
)

// keepWeb keeps the hosts of the group web, and those of the groups in it, for less.
func keepWeb(k storage.Keep) storage.KeepOf {
	return func(id munin.HostID) storage.Keep {
		if group := id.Group(); group == "web" || strings.HasPrefix(group, "web;") {
			return k
		}
		return storage.Keep{}
	}
}

// fillPast writes some days of half-hourly history of all series of a model, until two days ago.
func fillPast(t *testing.T, dir string, m *model, days int) (begin time.Time) {
	t.Helper()
	now := time.Now().UTC()
	begin = now.Add(-time.Duration(days) * day).Truncate(day)
	var readings []munin.Reading
	for at := begin; at.Before(now.Add(-2 * day)); at = at.Add(30 * time.Minute) {
		for id := range m.sources {
			readings = append(readings, munin.Reading{ID: id, Point: munin.Point{T: at.UnixMilli(), V: float64(at.Unix()/60%100_000 + int64(len(id.Field)))}})
		}
	}
	m.add(readings)
	if err := series.WriteBlocks(t.Context(), storage.RawDir(dir), slices.Values(readings)); err != nil {
		t.Fatal(err)
	}
	return begin
}

// trim rolls up and trims until nothing is left to do.
func trim(t *testing.T, s *storage.Samples, keep storage.KeepOf, sourceOf storage.SourceOf) (sum storage.TrimResult) {
	t.Helper()
	if _, err := s.RollUp(t.Context(), sourceOf); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		r, err := s.Trim(t.Context(), keep, sourceOf)
		if err != nil {
			t.Fatal(err)
		}
		if r == (storage.TrimResult{}) {
			return sum
		}
		sum.Hosts, sum.Freed, sum.Rollups = max(sum.Hosts, r.Hosts), sum.Freed+r.Freed, sum.Rollups+r.Rollups
	}
	t.Fatal("it never comes to an end")
	return sum
}

// oldest is the time of the oldest raw sample of each host.
func oldest(t *testing.T, s *storage.Samples, m *model, whole munin.Range) map[munin.HostID]time.Time {
	t.Helper()
	out := make(map[munin.HostID]time.Time)
	for id := range m.sources {
		points, err := s.Raw(t.Context(), id, whole)
		if err != nil || len(points) == 0 {
			t.Fatalf("%s has %d samples, %v", id, len(points), err)
		}
		if first, ok := out[id.Host]; !ok || points[0].Time().Before(first) {
			out[id.Host] = points[0].Time()
		}
	}
	return out
}

func TestAGroupKeptForLessLosesItsSamplesAndKeepsItsHoursAndDays(t *testing.T) {
	dir := t.TempDir()
	m := newModel(6, rand.New(rand.NewPCG(21, 22)))
	begin := fillPast(t, dir, m, 200)
	whole := munin.Range{From: begin, To: time.Now().Add(-9 * day)}
	s := open(t, dir, storage.Options{})
	keep := keepWeb(storage.Keep{Raw: 60 * day})
	result := trim(t, s, keep, m.sourceOf)
	if result.Hosts != 2 || result.Freed == 0 {
		t.Errorf("it did %+v, want two hosts", result)
	}
	check := func(s *storage.Samples) {
		t.Helper()
		for host, first := range oldest(t, s, m, whole) {
			age := time.Since(first)
			if web := strings.HasPrefix(string(host), "web;"); web && (age < 60*day || age > 75*day) || !web && first.After(begin) {
				t.Errorf("the oldest sample of %s is %s old", host, munin.FormatDuration(age))
			}
		}
		m.check(t, s, whole, time.Hour)
		m.check(t, s, whole, day)
		m.check(t, s, whole, 6*time.Hour)
	}
	check(s)

	// What comes into that time for another host has its rollups made anew: those of the group stay what they were.
	var late []munin.Reading
	for id := range m.sources {
		if id.Host == "b" {
			for n := range 100 {
				at := begin.Add(50*day + time.Duration(n)*time.Hour + 7*time.Minute)
				late = append(late, munin.Reading{ID: id, Point: munin.Point{T: at.UnixMilli(), V: float64(at.Unix() / 60 % 100_000)}})
			}
		}
	}
	slices.SortFunc(late, func(a, b munin.Reading) int { return int(a.T - b.T) })
	closeStore(t, s)
	if err := series.WriteBlocks(t.Context(), storage.RawDir(dir), slices.Values(late)); err != nil {
		t.Fatal(err)
	}
	m.add(late)
	s = open(t, dir, storage.Options{})
	check(s)
	made, err := s.RollUp(t.Context(), m.sourceOf)
	if err != nil || made.Windows == 0 {
		t.Fatalf("rolled up anew: %+v, %v", made, err)
	}
	check(s)
	if again, err := s.RollUp(t.Context(), m.sourceOf); err != nil || again.Windows != 0 {
		t.Errorf("and once more: %+v, %v", again, err)
	}

	// A reader beside, and a backup, see the same.
	reader, err := storage.OpenReadOnly(dir, storage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	check(reader)
	closeStore(t, reader)
	if _, err := os.Stat(filepath.Join(dir, "retention", "trimmed.json")); err != nil {
		t.Error(err)
	}
}

func TestFinerStepsThanWhatIsLeftShowTheHours(t *testing.T) {
	dir := t.TempDir()
	m := newModel(3, rand.New(rand.NewPCG(23, 24)))
	for id := range m.sources {
		m.sources[id] = munin.Source{ID: id}
	}
	begin := fillPast(t, dir, m, 120)
	s := open(t, dir, storage.Options{})
	trim(t, s, keepWeb(storage.Keep{Raw: 30 * day}), m.sourceOf)
	var sources []munin.Source
	for _, source := range m.sources {
		sources = append(sources, source)
	}
	got, err := s.Query(t.Context(), sources, munin.Range{From: begin.Add(10 * day), To: begin.Add(11 * day)}, 30*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for i, one := range got {
		for k, b := range one.Buckets {
			if b.Count == 0 {
				t.Fatalf("step %d of %s is a gap", k, sources[i].ID)
			}
		}
	}
}

func TestHoursDaysAndImportedHistoryOfAGroupGoToo(t *testing.T) {
	dir := t.TempDir()
	m := newModel(3, rand.New(rand.NewPCG(25, 26)))
	begin := fillPast(t, dir, m, 150)
	var history []storage.History
	for _, source := range m.sources {
		history = append(history, storage.History{Source: source, Archives: []storage.Archive{
			rows(30*time.Minute, 1000, begin), rows(2*time.Hour, 1000, begin), rows(day, 400, begin),
		}})
	}
	if err := storage.Import(t.Context(), dir, history); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir, storage.Options{})
	result := trim(t, s, keepWeb(storage.Keep{Raw: 30 * day, Hour: 60 * day, Day: 90 * day}), m.sourceOf)
	if result.Rollups == 0 {
		t.Error("no rollup was written anew")
	}
	first := func(source munin.Source, step time.Duration) time.Duration {
		t.Helper()
		from := begin.Add(-420 * day)
		got, err := s.Query(t.Context(), []munin.Source{source}, munin.Range{From: from, To: time.Now().Add(-9 * day)}, step)
		if err != nil {
			t.Fatal(err)
		}
		for i, b := range got[0].Buckets {
			if b.Count > 0 {
				return time.Since(got[0].Start.Add(time.Duration(i) * step))
			}
		}
		return 0
	}
	for id, source := range m.sources {
		age := first(source, day)
		if web := strings.HasPrefix(string(id.Host), "web;"); web && (age < 88*day || age > 105*day) || !web && age < 500*day {
			t.Errorf("the oldest day of %s is %s old", id.Host, munin.FormatDuration(age))
		}
	}
	// Where the hours have gone, finer steps show the days.
	for id, source := range m.sources {
		at := time.Now().UTC().Truncate(day).Add(-80 * day)
		got, err := s.Query(t.Context(), []munin.Source{source}, munin.Range{From: at, To: at.Add(2 * day)}, 6*time.Hour)
		if err != nil || slices.ContainsFunc(got[0].Buckets, func(b munin.Bucket) bool { return b.Count == 0 }) {
			t.Errorf("80 days ago %s has %+v, %v", id, got, err)
		}
	}
	// None of it is left on the disk either.
	closeStore(t, s)
	for _, folder := range []string{"hour", "imported/1800", "imported/7200"} {
		sides, _, err := series.OpenSides(filepath.Join(dir, folder), nil)
		if err != nil || len(sides) == 0 {
			t.Fatalf("%s: %d blocks, %v", folder, len(sides), err)
		}
		for _, side := range sides {
			for id := range m.sources {
				found, err := side.Read(t.Context(), id, rollup.Span{From: side.From, To: time.Now().Add(-75 * day).UnixMilli()})
				if web := strings.HasPrefix(string(id.Host), "web;"); err != nil || web && len(found) > 0 {
					t.Errorf("%s: %s still has %d old buckets, %v", folder, id.Host, len(found), err)
				}
			}
			if err := side.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	s = open(t, dir, storage.Options{})
	if again := trim(t, s, keepWeb(storage.Keep{Raw: 30 * day, Hour: 60 * day, Day: 90 * day}), m.sourceOf); again != (storage.TrimResult{}) {
		t.Errorf("there was more to do: %+v", again)
	}
}

func TestARenamedHostIsKeptAsItsNewNameSays(t *testing.T) {
	dir := t.TempDir()
	m := newModel(6, rand.New(rand.NewPCG(27, 28)))
	begin := fillPast(t, dir, m, 120)
	whole := munin.Range{From: begin, To: time.Now().Add(-9 * day)}
	s := open(t, dir, storage.Options{})
	s.Rename(munin.NewRenames([]munin.Rename{
		{ID: 1, From: munin.SeriesID{Host: "web;a"}, To: munin.SeriesID{Host: "db;a"}},
		{ID: 2, From: munin.SeriesID{Host: "b"}, To: munin.SeriesID{Host: "web;b"}},
	}))
	trim(t, s, keepWeb(storage.Keep{Raw: 30 * day}), m.sourceOf)
	s.Rename(nil)
	for host, first := range oldest(t, s, m, whole) {
		short := time.Since(first) < 50*day
		if want := host != "web;a"; short != want {
			t.Errorf("the samples stored under %s begin %s ago", host, munin.FormatDuration(time.Since(first)))
		}
	}
}

func TestAClockThatIsYearsAheadTrimsNothing(t *testing.T) {
	now := time.Now()
	spans := []rollup.Span{{From: now.Add(-400 * day).UnixMilli(), To: now.Add(-day).UnixMilli()}}
	if got := series.Cutoff(spans, 60*day, now); got > now.Add(-60*day).UnixMilli() || got < now.Add(-75*day).UnixMilli() {
		t.Errorf("with a right clock the limit is %s", time.UnixMilli(got))
	}
	for _, wrong := range []time.Duration{100 * day, 3 * 365 * day, -3 * 365 * day} {
		if got := series.Cutoff(spans, 60*day, now.Add(wrong)); wrong > 0 && got > time.UnixMilli(0).UnixMilli() || wrong < 0 && got > spans[0].From {
			t.Errorf("with the clock wrong by %s all before %s goes", wrong, time.UnixMilli(got))
		}
	}
}

func TestATrimThatWasKilledIsFinishedByTheNext(t *testing.T) {
	dir := t.TempDir()
	m := newModel(3, rand.New(rand.NewPCG(29, 30)))
	begin := fillPast(t, dir, m, 120)
	whole := munin.Range{From: begin, To: time.Now().Add(-9 * day)}
	s := open(t, dir, storage.Options{})
	keep := keepWeb(storage.Keep{Raw: 30 * day})
	if _, err := s.RollUp(t.Context(), m.sourceOf); err != nil {
		t.Fatal(err)
	}
	// It is stopped after it has noted what goes and before anything went.
	ctx, cancel := context.WithCancel(t.Context())
	_, err := s.Trim(ctx, func(id munin.HostID) storage.Keep {
		cancel()
		return keep(id)
	}, m.sourceOf)
	if err == nil {
		t.Fatal("it was not stopped")
	}
	m.check(t, s, whole, time.Hour)
	if _, err := s.RollUp(t.Context(), m.sourceOf); err != nil {
		t.Fatal(err)
	}
	// The next one is stopped between the samples and the rollups.
	ctx, cancel = context.WithCancel(t.Context())
	_, err = s.Trim(ctx, keep, func(ctx context.Context, id munin.SeriesID) (munin.Source, error) {
		cancel() // the samples are deleted, the rollups not made anew
		return munin.Source{ID: id}, ctx.Err()
	})
	if err == nil {
		t.Fatal("it was not stopped")
	}
	m.check(t, s, whole, time.Hour)
	closeStore(t, s)
	s = open(t, dir, storage.Options{})
	m.check(t, s, whole, time.Hour)
	trim(t, s, keep, m.sourceOf)
	m.check(t, s, whole, time.Hour)
	m.check(t, s, whole, day)
}

func TestPromQLReadsTheHoursOfAGroupWhoseSamplesHaveGone(t *testing.T) {
	dir := t.TempDir()
	m := newModel(3, rand.New(rand.NewPCG(31, 32)))
	for id := range m.sources {
		m.sources[id] = munin.Source{ID: id}
	}
	fillPast(t, dir, m, 120)
	s := open(t, dir, storage.Options{})
	trim(t, s, keepWeb(storage.Keep{Raw: 30 * day}), m.sourceOf)
	now := time.Now().Truncate(day)
	for id := range m.sources {
		query := `{graph="` + id.Graph + `",field="` + id.Field + `",host="` + id.Host.Name() + `"}`
		got := ask(t, s, m.sourceOf, query, munin.Range{From: now.Add(-100 * day), To: now.Add(-10 * day)}, 6*time.Hour)
		if len(got) < 90*4-2 {
			t.Errorf("%s has %d values, want one each 6 hours of 90 days", id, len(got))
		}
	}
}
