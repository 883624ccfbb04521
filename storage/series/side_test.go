package series_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"corbie/munin"
	"corbie/storage/rollup"
	"corbie/storage/series"
)

// recipeOf tells the recipes of series apart.
func recipeOf(id munin.SeriesID) string { return "gauge " + id.String() }

// sideIDs are series whose names could be taken for one another: hosts of one name in and out of groups, the same fields in each graph.
func sideIDs() (ids []munin.SeriesID) {
	for _, host := range []munin.HostID{"a", "g;a", "g;b", "g;h;a", "a;g"} {
		for _, graph := range []string{"load", "load_2", "load.2"} {
			for f := range 12 {
				ids = append(ids, munin.SeriesID{Host: host, Graph: graph, Field: "f" + strconv.Itoa(f)})
			}
		}
	}
	series.SortIDs(ids)
	return ids
}

const hour = int64(time.Hour / time.Millisecond)

// writeSide makes a side block of a hundred days of hours with gaps. Of each eleventh series there is none.
func writeSide(tb testing.TB, dir string, ids []munin.SeriesID, rng *rand.Rand) map[munin.SeriesID][]rollup.Bucket {
	tb.Helper()
	symbols := series.NewSymbols()
	for _, id := range ids {
		symbols.Add(id, recipeOf(id))
	}
	const hours = 2400
	w, err := series.CreateSide(tb.Context(), dir, series.SideMeta{To: hours * hour, Size: hour}, symbols)
	if err != nil {
		tb.Fatal(err)
	}
	written := make(map[munin.SeriesID][]rollup.Bucket)
	for n, id := range ids {
		if n%11 == 10 {
			continue
		}
		var buckets []rollup.Bucket
		for at := int64(rng.IntN(hours)); at < hours; at += 1 + int64(rng.IntN(2)*rng.IntN(40)) {
			v := float64(rng.IntN(1e6))
			buckets = append(buckets, rollup.Bucket{Start: at * hour, Bucket: munin.Bucket{Avg: v, Min: v - 1, Max: v + 2, Count: 1 + rng.IntN(12)}})
		}
		if err := w.Add(id, recipeOf(id), buckets); err != nil {
			tb.Fatal(err)
		}
		written[id] = buckets
	}
	if err := w.Commit(); err != nil {
		tb.Fatal(err)
	}
	return written
}

func openSides(tb testing.TB, dir string) (sides []*series.Side, damaged []series.Quarantined) {
	tb.Helper()
	sides, damaged, err := series.OpenSides(dir, nil)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		for _, s := range sides {
			if err := s.Close(); err != nil {
				tb.Error(err)
			}
		}
	})
	return sides, damaged
}

// within are the buckets that begin in a span.
func within(all []rollup.Bucket, span rollup.Span) []rollup.Bucket {
	return slices.DeleteFunc(slices.Clone(all), func(b rollup.Bucket) bool { return b.Start < span.From || b.Start >= span.To })
}

// readSide reads like Scan, by index.
func readSide(tb testing.TB, side *series.Side, ids []munin.SeriesID, span rollup.Span) (map[int][]rollup.Bucket, error) {
	tb.Helper()
	got := make(map[int][]rollup.Bucket)
	err := side.Scan(tb.Context(), ids, span, func(i int, recipe string, buckets *series.Buckets) error {
		if got[i] != nil {
			tb.Errorf("%s is visited twice", ids[i])
		}
		if recipe != recipeOf(ids[i]) {
			tb.Errorf("the recipe of %s is %q", ids[i], recipe)
		}
		got[i] = []rollup.Bucket{}
		for b, ok := buckets.Next(); ok; b, ok = buckets.Next() {
			got[i] = append(got[i], b)
		}
		return nil
	})
	return got, err
}

func TestASideBlockGivesBackWhatWasWritten(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 2))
	dir, ids := t.TempDir(), sideIDs()
	written := writeSide(t, dir, ids, rng)
	sides, damaged := openSides(t, dir)
	if len(sides) != 1 || len(damaged) != 0 {
		t.Fatal(len(sides), damaged)
	}
	found := 0
	for range 200 {
		asked := make([]munin.SeriesID, rng.IntN(30))
		for i := range asked { // some of them twice, some unknown
			if asked[i] = ids[rng.IntN(len(ids))]; rng.IntN(10) == 0 {
				asked[i].Field += "x"
			}
		}
		span := rollup.Span{From: rng.Int64N(2400*hour) - 10*hour}
		span.To = span.From + 1 + rng.Int64N(600*hour)
		got, err := readSide(t, sides[0], asked, span)
		if err != nil {
			t.Fatal(err)
		}
		for i, id := range asked {
			want := within(written[id], span)
			if !slices.Equal(got[i], want) {
				t.Fatalf("%s from %d to %d: %d buckets, want %d", id, span.From, span.To, len(got[i]), len(want))
			}
			found += len(want)
		}
	}
	if found < 10_000 {
		t.Errorf("only %d buckets were compared", found)
	}
}

func TestADamagedIndexOfASideBlockIsSaidAndGivesNoWrongValues(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	ids := sideIDs()[:24]
	span := rollup.Span{From: 100 * hour, To: 2000 * hour}
	dir := t.TempDir()
	written := writeSide(t, dir, ids, rng)
	paths, err := filepath.Glob(filepath.Join(dir, "*", "index"))
	if err != nil || len(paths) != 1 {
		t.Fatal(err, paths)
	}
	whole, err := os.ReadFile(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	said := 0
	for range 300 {
		broken := bytes.Clone(whole)
		broken[rng.IntN(len(broken))] ^= byte(1 + rng.IntN(255))
		if rng.IntN(10) == 0 {
			broken = broken[:rng.IntN(len(broken))]
		}
		if err := os.WriteFile(paths[0], broken, 0o600); err != nil {
			t.Fatal(err)
		}
		sides, damaged, err := series.OpenSides(dir, nil)
		if err != nil || len(sides)+len(damaged) != 1 {
			t.Fatal(err, len(sides), damaged)
		}
		if len(damaged) == 1 {
			said++
			continue
		}
		got, err := readSide(t, sides[0], ids, span)
		if err != nil {
			said++
		}
		for i, id := range ids {
			want := within(written[id], span)
			if has := got[i]; !slices.Equal(has, want) && (err == nil || has != nil && !slices.Equal(has, want[:min(len(has), len(want))])) {
				t.Fatalf("%s: %d buckets, want %d, and the error is %v", id, len(has), len(want), err)
			}
		}
		if err := sides[0].Close(); err != nil {
			t.Fatal(err)
		}
	}
	// What else there is in an index is filling, or not asked for here.
	if said < 150 {
		t.Errorf("damage was found %d times of 300", said)
	}
}
