// Package storagetest is what every sample store must be able to do, as tests that its own tests run, and history to test with.
// It is for tests and demonstrations only: no part of Corbie imports it.
package storagetest

import (
	"context"
	"math"
	"testing"
	"time"

	"corbie/munin"
)

// Store is a sample store under test. It models storage.Samples.
type Store interface {
	Append(ctx context.Context, readings []munin.Reading) error
	Query(ctx context.Context, sources []munin.Source, r munin.Range, step time.Duration) ([]munin.Series, error)
	Latest(ctx context.Context, sources []munin.Source, now time.Time) ([]munin.Point, error)
	Raw(ctx context.Context, id munin.SeriesID, r munin.Range) ([]munin.Point, error)
}

// Run runs the suite; open gives a fresh, empty store for each test and closes it at the end of the test.
func Run(t *testing.T, open func(t *testing.T) Store) {
	t.Helper()
	for _, test := range []struct {
		name string
		run  func(*suite)
	}{
		{"raw values come back as they were stored", (*suite).raw},
		{"an unknown value comes back as one, apart from no value", (*suite).unknown},
		{"series do not mix", (*suite).apart},
		{"the same batch twice changes nothing", (*suite).twice},
		{"the first value of an instant stays", (*suite).conflict},
		{"late samples are taken in any order", (*suite).late},
		{"samples from the far future are refused and harm nobody", (*suite).future},
		{"samples that are too old are refused and harm nobody", (*suite).ancient},
		{"buckets hold average, least, greatest and count", (*suite).buckets},
		{"the grid is aligned to 1970", (*suite).grid},
		{"a gap stays a gap", (*suite).gaps},
		{"an unknown series is all gaps", (*suite).nothing},
		{"a step shorter than the interval is as asked", (*suite).fine},
		{"a step of zero is chosen", (*suite).chosen},
		{"too many buckets are refused", (*suite).tooMany},
		{"an empty range is refused", (*suite).emptyRange},
		{"the first bucket has a rate", (*suite).firstRate},
		{"rates of each type", (*suite).rates},
		{"values outside the bounds are unknown", (*suite).bounds},
		{"the newest value is within its heartbeat", (*suite).latest},
		{"the newest value is never an older one", (*suite).latestUnknown},
		{"the newest rate needs the sample before", (*suite).latestRate},
	} {
		t.Run(test.name, func(t *testing.T) {
			now := time.Now().UTC().Truncate(time.Hour)
			test.run(&suite{t: t, store: open(t), base: now.Add(-24 * time.Hour)})
		})
	}
}

// suite is one test: base is a whole hour a day ago.
type suite struct {
	t     *testing.T
	store Store
	base  time.Time
}

func id(field string) munin.SeriesID {
	return munin.SeriesID{Host: "web;eu;www1.example.com", Graph: "diskstats_iops.sda", Field: field}
}

func gauge(field string) munin.Source {
	return munin.Source{ID: id(field), Type: munin.Gauge, Heartbeat: 10 * time.Minute}
}

func source(field string, kind munin.FieldType) munin.Source {
	return munin.Source{ID: id(field), Type: kind, Heartbeat: 10 * time.Minute}
}

// at is a reading so many minutes after base.
func (s *suite) at(id munin.SeriesID, minutes, value float64) munin.Reading {
	when := s.base.Add(time.Duration(minutes * float64(time.Minute)))
	return munin.Reading{ID: id, Point: munin.Point{T: when.UnixMilli(), V: value}}
}

// every gives readings from minute first on, in steps of so many minutes.
func (s *suite) every(id munin.SeriesID, first, step float64, values ...float64) []munin.Reading {
	out := make([]munin.Reading, len(values))
	for i, v := range values {
		out[i] = s.at(id, first+float64(i)*step, v)
	}
	return out
}

func (s *suite) span(from, to float64) munin.Range {
	return munin.Range{
		From: s.base.Add(time.Duration(from * float64(time.Minute))),
		To:   s.base.Add(time.Duration(to * float64(time.Minute))),
	}
}

func (s *suite) add(readings ...munin.Reading) {
	s.t.Helper()
	if err := s.store.Append(s.t.Context(), readings); err != nil {
		s.t.Fatalf("append: %v", err)
	}
}

func (s *suite) wantRaw(id munin.SeriesID, r munin.Range, want ...munin.Reading) {
	s.t.Helper()
	got, err := s.store.Raw(s.t.Context(), id, r)
	if err != nil {
		s.t.Fatalf("raw: %v", err)
	}
	if len(got) != len(want) {
		s.t.Fatalf("raw %s: got %d points %v, want %d %v", id, len(got), got, len(want), want)
	}
	for i := range got {
		if got[i].T != want[i].T || !same(got[i].V, want[i].V) {
			s.t.Errorf("raw %s: point %d is %v, want %v", id, i, got[i], want[i].Point)
		}
	}
}

func (s *suite) query(r munin.Range, step time.Duration, sources ...munin.Source) []munin.Series {
	s.t.Helper()
	got, err := s.store.Query(s.t.Context(), sources, r, step)
	if err != nil {
		s.t.Fatalf("query: %v", err)
	}
	if len(got) != len(sources) {
		s.t.Fatalf("query: got %d series for %d sources", len(got), len(sources))
	}
	for i := range got {
		if got[i].ID != sources[i].ID {
			s.t.Fatalf("query: series %d is %s, want %s", i, got[i].ID, sources[i].ID)
		}
	}
	return got
}

// wantAvg compares the averages of the buckets; NaN is a gap.
func (s *suite) wantAvg(got munin.Series, want ...float64) {
	s.t.Helper()
	if len(got.Buckets) != len(want) {
		s.t.Fatalf("%s: got %d buckets %v, want %d", got.ID, len(got.Buckets), got.Buckets, len(want))
	}
	for i, b := range got.Buckets {
		if !same(b.Avg, want[i]) {
			s.t.Errorf("%s: bucket %d is %v, want an average of %v", got.ID, i, b, want[i])
		}
		if gap := b.Count == 0; gap != math.IsNaN(b.Avg) || gap != math.IsNaN(b.Min) || gap != math.IsNaN(b.Max) {
			s.t.Errorf("%s: bucket %d is neither a gap nor whole: %v", got.ID, i, b)
		}
	}
}

func same(a, b float64) bool {
	return a == b || math.IsNaN(a) && math.IsNaN(b) || math.Abs(a-b) <= 1e-9*max(math.Abs(a), math.Abs(b))
}
