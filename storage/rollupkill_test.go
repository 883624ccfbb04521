package storage_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"corbie/munin"
	"corbie/storage"
	"corbie/storage/series"
)

// killSource changes its mind about the fields each time, so that everything is rolled up anew.
func killSource(id munin.SeriesID, round int) munin.Source {
	return munin.Source{ID: id, Type: munin.Derive, Heartbeat: time.Duration(130+round) * time.Minute}
}

// childRollUp rolls up again and again, and says after each run which round it was.
func childRollUp(dir string) error {
	s, err := storage.Open(dir, storage.Options{})
	if err != nil {
		return err
	}
	for round := 0; ; round++ {
		_, err := s.RollUp(context.Background(), func(_ context.Context, id munin.SeriesID) (munin.Source, error) {
			return killSource(id, round), nil
		})
		if err != nil {
			return err
		}
		fmt.Println(round)
	}
}

func TestRollUpsAreRightAndTheStoreOpensWhenTheirWriterIsKilled(t *testing.T) {
	dir := t.TempDir()
	begin := time.Now().UTC().Truncate(day).Add(-120 * day)
	m := &model{sources: make(map[munin.SeriesID]munin.Source), raw: make(map[munin.SeriesID]map[int64]float64)}
	var readings []munin.Reading
	for at := begin; at.Before(begin.Add(118 * day)); at = at.Add(2 * time.Hour) {
		for f := range 20 {
			readings = append(readings, munin.Reading{ID: killID(0, f), Point: munin.Point{T: at.UnixMilli(), V: float64((at.Unix() / 7200 * int64(f)) % 9999)}})
		}
	}
	for f := range 20 {
		m.raw[killID(0, f)] = make(map[int64]float64)
	}
	m.add(readings)
	if err := series.WriteBlocks(t.Context(), storage.RawDir(dir), slices.Values(readings)); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(11, 12))
	rounds := 0
	for range kills(t, 8) {
		c := startChild(t, "rollup", dir)
		for range rng.IntN(3) {
			c.line(t)
			rounds++
		}
		<-time.After(time.Duration(rng.IntN(60)) * time.Millisecond)
		c.kill(t)
	}
	if rounds == 0 {
		t.Error("no run ended before it was killed: the test shows little")
	}
	s := open(t, dir)
	whole := munin.Range{From: begin, To: begin.Add(119 * day)}
	for _, round := range []int{0, 1, 500} {
		for f := range 20 {
			m.sources[killID(0, f)] = killSource(killID(0, f), round)
		}
		m.check(t, s, whole, day)
		m.check(t, s, whole, 4*time.Hour)
	}
	if _, err := s.RollUp(t.Context(), m.sourceOf); err != nil {
		t.Fatal(err)
	}
	m.check(t, s, whole, day)
	for _, tier := range []string{"hour", "day"} {
		left, err := filepath.Glob(filepath.Join(dir, tier, "*"))
		if err != nil || len(left) == 0 || len(left) > 8 || strings.Contains(strings.Join(left, " "), ".part") {
			t.Errorf("left in %s: %v, %v", tier, left, err)
		}
	}
}
