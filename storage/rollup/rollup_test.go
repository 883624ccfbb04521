package rollup_test

import (
	"math"
	"slices"
	"testing"
	"time"

	"corbie/munin"
	"corbie/storage/rollup"
)

func TestRollerKeepsAverageLeastGreatestAndCount(t *testing.T) {
	r := rollup.NewRoller(time.Hour)
	hour := time.Hour.Milliseconds()
	for i, v := range []float64{1, math.NaN(), 5, 3, math.MaxFloat64, math.MaxFloat64, -1} {
		r.Add(munin.Point{T: []int64{-hour, -hour + 1, -1, 0, hour, hour + 1, 9 * hour}[i], V: v})
	}
	want := []rollup.Bucket{
		{Start: -hour, Bucket: munin.Bucket{Avg: 3, Min: 1, Max: 5, Count: 2}},
		{Start: 0, Bucket: munin.Bucket{Avg: 3, Min: 3, Max: 3, Count: 1}},
		{Start: hour, Bucket: munin.Bucket{Avg: math.MaxFloat64, Min: math.MaxFloat64, Max: math.MaxFloat64, Count: 2}},
		{Start: 9 * hour, Bucket: munin.Bucket{Avg: -1, Min: -1, Max: -1, Count: 1}},
	}
	if got := r.Buckets(); !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := r.Buckets(); len(got) != 0 {
		t.Errorf("it did not begin anew: %+v", got)
	}
}

func TestRoundKeepsWhatSevenDigitsCannotHold(t *testing.T) {
	for _, v := range []float64{0, 1, -0.1, 1e300, -1e300, 1e-300, math.MaxFloat64, math.Pi} {
		got := rollup.Round(munin.Bucket{Avg: v, Min: v, Max: v, Count: 1})
		if math.Abs(got.Avg-v) > 6e-8*math.Abs(v) || got.Min != got.Avg || got.Max != got.Avg {
			t.Errorf("%g becomes %+v", v, got)
		}
	}
}

func TestWindowsAreWholeDaysThatAreOver(t *testing.T) {
	const day = 86_400_000
	blocks := []rollup.Span{{From: 5*day + 7, To: 6 * day}, {From: 1, To: day / 3}, {From: day / 2, To: 2 * day}, {From: 2 * day, To: 3 * day}, {From: 9 * day, To: 10 * day}}
	want := []rollup.Span{{From: 0, To: 2 * day}, {From: 2 * day, To: 3 * day}, {From: 5 * day, To: 6 * day}}
	if got := rollup.Windows(blocks, 10*day-1); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestRecipesDifferWhereValuesDo(t *testing.T) {
	sources := []munin.Source{
		{},
		{Bounds: munin.Bounds{HasLow: true}},
		{Bounds: munin.Bounds{HasHigh: true}},
		{Type: munin.Derive},
		{Type: munin.Derive, Heartbeat: time.Minute},
		{Type: munin.Counter, Heartbeat: time.Minute},
		{Type: munin.Derive, Heartbeat: time.Minute, Bounds: munin.Bounds{Low: -1, HasLow: true, High: 1e9, HasHigh: true}},
	}
	seen := make(map[string]bool)
	for _, s := range sources {
		if recipe := rollup.Recipe(s); seen[recipe] {
			t.Errorf("%q comes twice", recipe)
		} else {
			seen[recipe] = true
		}
	}
	// The heartbeat of a gauge changes nothing.
	if rollup.Recipe(munin.Source{Heartbeat: time.Hour}) != rollup.Recipe(munin.Source{}) {
		t.Error("two gauges have different recipes")
	}
}
