package storage_test

import (
	"math"
	"testing"
	"time"

	"corbie/munin"
	"corbie/storage"
)

// renamed makes the renames of hosts, in this order, without an end.
func renamed(pairs ...[2]munin.HostID) *munin.Renames {
	list := make([]munin.Rename, len(pairs))
	for i, p := range pairs {
		list[i] = munin.Rename{ID: int64(i + 1), From: munin.SeriesID{Host: p[0]}, To: munin.SeriesID{Host: p[1]}}
	}
	return munin.NewRenames(list)
}

func seriesOf(host munin.HostID) munin.SeriesID {
	return munin.SeriesID{Host: host, Graph: "load", Field: "load"}
}

// put stores a value every 5 minutes from one minute (inclusive) to another (exclusive) after base.
func put(t *testing.T, s *storage.Samples, id munin.SeriesID, base time.Time, from, to int, value func(minute int) float64) {
	t.Helper()
	var all []munin.Reading
	for minute := from; minute < to; minute += 5 {
		at := base.Add(time.Duration(minute) * time.Minute).UnixMilli()
		all = append(all, munin.Reading{ID: id, Point: munin.Point{T: at, V: value(minute)}})
	}
	if err := s.Append(t.Context(), all); err != nil {
		t.Fatal(err)
	}
}

func constant(v float64) func(int) float64 { return func(int) float64 { return v } }

// averages are those of the steps of a range of minutes after base; a gap is -1.
func averages(t *testing.T, s *storage.Samples, source munin.Source, base time.Time, from, to int, step time.Duration) ([]float64, munin.Series) {
	t.Helper()
	r := munin.Range{From: base.Add(time.Duration(from) * time.Minute), To: base.Add(time.Duration(to) * time.Minute)}
	got, err := s.Query(t.Context(), []munin.Source{source}, r, step)
	if err != nil {
		t.Fatal(err)
	}
	if got[0].ID != source.ID {
		t.Errorf("asked for %s, got %s", source.ID, got[0].ID)
	}
	out := make([]float64, len(got[0].Buckets))
	for i, b := range got[0].Buckets {
		out[i] = -1
		if b.Count > 0 {
			out[i] = b.Avg
		}
	}
	return out, got[0]
}

func equal(t *testing.T, what string, got, want []float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
	for i := range got {
		if math.Abs(got[i]-want[i]) > 1e-9 {
			t.Fatalf("%s: got %v, want %v", what, got, want)
		}
	}
}

func TestARenamedHostIsReadAsOne(t *testing.T) {
	s := open(t, t.TempDir())
	base := time.Now().UTC().Truncate(time.Hour).Add(-2 * time.Hour)
	put(t, s, seriesOf("g;old"), base, 0, 30, constant(1))
	put(t, s, seriesOf("g;new"), base, 30, 60, constant(2))
	gauge := func(host munin.HostID) munin.Source {
		return munin.Source{ID: seriesOf(host), Heartbeat: 11 * time.Minute}
	}
	before, _ := averages(t, s, gauge("g;new"), base, 0, 60, 10*time.Minute)
	equal(t, "before", before, []float64{-1, -1, -1, 2, 2, 2})

	s.Rename(renamed([2]munin.HostID{"g;old", "g;new"}))
	for _, name := range []munin.HostID{"g;new", "g;old"} {
		got, _ := averages(t, s, gauge(name), base, 0, 60, 10*time.Minute)
		equal(t, string(name), got, []float64{1, 1, 1, 2, 2, 2})
		raw, err := s.Raw(t.Context(), seriesOf(name), munin.Range{From: base, To: base.Add(time.Hour)})
		if err != nil || len(raw) != 12 || raw[0].V != 1 || raw[11].V != 2 {
			t.Errorf("raw of %s: %v, %v", name, raw, err)
		}
	}
	now, err := s.Latest(t.Context(), []munin.Source{gauge("g;new")}, base.Add(29*time.Minute))
	if err != nil || now[0].V != 1 {
		t.Errorf("before the new name had a value, the newest is the old one's: %v, %v", now, err)
	}
	now, err = s.Latest(t.Context(), []munin.Source{gauge("g;old")}, base.Add(56*time.Minute))
	if err != nil || now[0].V != 2 {
		t.Errorf("the old name reads the newest value of the new one: %v, %v", now, err)
	}

	s.Rename(nil)
	again, _ := averages(t, s, gauge("g;new"), base, 0, 60, 10*time.Minute)
	equal(t, "undone", again, before)
}

func TestOfTwoHostsThatBecameOneTheNewerValuesWin(t *testing.T) {
	s := open(t, t.TempDir())
	base := time.Now().UTC().Truncate(time.Hour).Add(-3 * time.Hour)
	counter := func(rate int) func(int) float64 {
		return func(minute int) float64 { return float64(1e6*rate + minute*60*rate) }
	}
	put(t, s, seriesOf("old"), base, 0, 90, counter(1)) // a rate of 1 per second, both for an hour
	put(t, s, seriesOf("new"), base, 30, 60, counter(5))
	put(t, s, seriesOf("new"), base, 120, 150, counter(5))
	s.Rename(renamed([2]munin.HostID{"old", "new"}))
	source := munin.Source{ID: seriesOf("new"), Type: munin.Derive, Heartbeat: 11 * time.Minute}
	got, series := averages(t, s, source, base, 10, 150, 10*time.Minute)
	//                                   10 20 30 40 50 60 70 80  90  100 110 120 130 140
	equal(t, "ten minutes", got, []float64{1, 1, 5, 5, 5, 1, 1, 1, -1, -1, -1, 5, 5, 5})
	if want := base.Add(145 * time.Minute).UnixMilli(); series.Last.T != want || series.Last.V != 5 {
		t.Errorf("the last value is %v", series.Last)
	}
	for i, b := range series.Buckets {
		if b.Count > 2 {
			t.Errorf("step %d has %d values: some count twice", i, b.Count)
		}
	}
	// Steps shorter than the interval leave gaps between the samples; they are not filled from the other host.
	fine, _ := averages(t, s, source, base, 40, 60, time.Minute)
	for i, v := range fine {
		if v != -1 && v != 5 {
			t.Errorf("minute %d: %v is of the other host", 40+i, v)
		}
	}
}

func TestANameThatWasGivenToAnotherHostKeepsTheirHistoriesApart(t *testing.T) {
	s := open(t, t.TempDir())
	base := time.Now().UTC().Truncate(time.Hour).Add(-2 * time.Hour)
	put(t, s, seriesOf("web1"), base, 0, 30, constant(1))  // the first machine
	put(t, s, seriesOf("web1"), base, 30, 60, constant(7)) // another one with its name
	put(t, s, seriesOf("was1"), base, 30, 60, constant(2)) // the first, renamed
	s.Rename(munin.NewRenames([]munin.Rename{{
		ID: 1, From: munin.SeriesID{Host: "web1"}, To: munin.SeriesID{Host: "was1"}, Until: base.Add(30 * time.Minute),
	}}))
	source := func(host munin.HostID) munin.Source {
		return munin.Source{ID: seriesOf(host), Heartbeat: 11 * time.Minute}
	}
	got, _ := averages(t, s, source("was1"), base, 0, 60, 10*time.Minute)
	equal(t, "was1", got, []float64{1, 1, 1, 2, 2, 2})
	got, _ = averages(t, s, source("web1"), base, 0, 60, 10*time.Minute)
	equal(t, "web1", got, []float64{-1, -1, -1, 7, 7, 7})
	raw, err := s.Raw(t.Context(), seriesOf("was1"), munin.Range{From: base, To: base.Add(time.Hour)})
	if err != nil || len(raw) != 12 || raw[11].V != 2 {
		t.Errorf("raw: %v, %v", raw, err)
	}
}

func TestARenamedFieldIsReadWithinASum(t *testing.T) {
	s := open(t, t.TempDir())
	base := time.Now().UTC().Truncate(time.Hour).Add(-2 * time.Hour)
	old, now, other := seriesOf("h"), munin.SeriesID{Host: "h", Graph: "load", Field: "load1"}, seriesOf("i")
	put(t, s, old, base, 0, 30, constant(1))
	put(t, s, now, base, 30, 60, constant(2))
	put(t, s, other, base, 0, 60, constant(10))
	s.Rename(munin.NewRenames([]munin.Rename{{ID: 1, From: old, To: now}}))
	got, _ := averages(t, s, munin.Source{
		ID:  munin.SeriesID{Host: "all", Graph: "load", Field: "sum"},
		Sum: []munin.Source{{ID: now, Heartbeat: 11 * time.Minute}, {ID: other, Heartbeat: 11 * time.Minute}},
	}, base, 0, 60, 10*time.Minute)
	equal(t, "sum", got, []float64{11, 11, 11, 12, 12, 12})
}
