package series_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"corbie/internal/testenv"
	"corbie/munin"
	"corbie/storage/series"
)

// blockStats is what the TSDB says of a block.
type blockStats struct {
	MinTime, MaxTime int64
	Stats            struct{ NumSamples, NumChunks int }
}

func statsOf(t *testing.T, dir string) (all []blockStats) {
	t.Helper()
	for _, path := range blockDirs(t, dir) {
		text, err := os.ReadFile(filepath.Join(path, "meta.json"))
		if err != nil {
			t.Fatal(err)
		}
		var b blockStats
		if err := json.Unmarshal(text, &b); err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	return all
}

// odd are the values that a store could get wrong, at odd times: unknown, both zeroes, the largest, the smallest, runs of one.
func odd(rng *rand.Rand) float64 {
	list := []float64{math.NaN(), 0, math.Copysign(0, -1), math.MaxFloat64, -math.SmallestNonzeroFloat64, 42, 42, 42, 1 << 53, 0.1}
	if n := rng.IntN(3 * len(list)); n < len(list) {
		return list[n]
	}
	return rng.NormFloat64() * 1e6
}

func TestMergedBlocksHaveLargeChunksAndEverySample(t *testing.T) {
	const days, step = 4, 5 * time.Minute
	const day = 24 * int64(time.Hour/time.Millisecond)
	dir, rng, now := t.TempDir(), rand.New(rand.NewPCG(3, 1)), atomic.Int64{}
	begin := time.Unix(0, 0).Add(400 * 27 * 24 * time.Hour)
	now.Store(begin.UnixMilli())
	opts := series.Options{Now: func() time.Time { return time.UnixMilli(now.Load()) }, Work: 20 * time.Millisecond}
	db := open(t, dir, opts)
	regular, rare, late := id("regular"), id("rare"), id("late")
	want := make(map[munin.SeriesID][]munin.Reading)
	say := func(id munin.SeriesID, at time.Time) munin.Reading {
		r := munin.Reading{ID: id, Point: munin.Point{T: at.UnixMilli(), V: odd(rng)}}
		want[id] = append(want[id], r)
		return r
	}
	var held []munin.Reading // of the node that is late, for a day and a half
	for at := begin; at.Before(begin.Add(days * 24 * time.Hour)); at = at.Add(step) {
		now.Store(at.UnixMilli())
		batch := []munin.Reading{say(regular, at)}
		if rng.IntN(100) == 0 {
			batch = append(batch, say(rare, at.Add(-time.Duration(rng.IntN(200))*time.Second)))
		}
		if held = append(held, say(late, at)); len(held) == 36*12 {
			batch, held = append(batch, held...), nil
		}
		add(t, db, batch...)
	}
	add(t, db, held...)
	ask := func() {
		for id, list := range want {
			got := scan(t, db, id)
			if len(got) != len(list) {
				t.Fatalf("%s has %d samples, want %d", id, len(got), len(list))
			}
			for i, p := range got {
				want := list[i].Point
				same := math.Float64bits(p.V) == math.Float64bits(want.V) || math.IsNaN(p.V) && math.IsNaN(want.V)
				if p.T != want.T || !same {
					t.Fatalf("%s: sample %d is %v, want %v", id, i, p, want)
				}
			}
		}
	}
	ask()
	testenv.Eventually(t, "the blocks are merged", func() bool {
		blocks, _, err := db.Finished()
		merged := 0
		for _, b := range blocks {
			if b.Span.To-b.Span.From >= day {
				merged++
			}
		}
		return err == nil && merged >= 2
	})
	ask()
	closeDB(t, db)
	for _, b := range statsOf(t, dir) {
		if b.MaxTime-b.MinTime < day {
			continue
		}
		if per := b.Stats.NumSamples / b.Stats.NumChunks; per < 150 {
			t.Errorf("a block of %s has %d samples in %d chunks", time.Duration(b.MaxTime-b.MinTime)*time.Millisecond, b.Stats.NumSamples, b.Stats.NumChunks)
		}
	}
	db = open(t, dir, opts)
	ask()
}
