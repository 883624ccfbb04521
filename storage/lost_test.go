package storage_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"corbie/munin"
	"corbie/storage"
)

// Days pass, blocks are merged and rolled up. One is damaged and set aside; its neighbours are merged, more than once, and rolled up anew over its time.
func TestHoursAndDaysOfABlockThatWasSetAsideStayWhenItsNeighboursAreMerged(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		opts := storage.Options{Window: day}
		s := open(t, dir, opts)
		m := newModel(6, rand.New(rand.NewPCG(21, 22)))
		for id := range m.sources {
			m.sources[id] = munin.Source{ID: id, Type: munin.Gauge, Heartbeat: time.Hour}
		}
		begin := time.Now()
		damaged := ""
		for n := 0; time.Since(begin) < 35*day; n++ {
			var batch []munin.Reading
			for id := range m.sources {
				if id.Field == "fa" && time.Since(begin) > 9*day { // one ends before
					continue
				}
				batch = append(batch, munin.Reading{ID: id, Point: munin.Point{T: time.Now().UnixMilli(), V: float64(n % 97)}})
			}
			if err := s.Append(t.Context(), batch); err != nil {
				t.Fatal(err)
			}
			m.add(batch)
			if n%24 == 23 {
				if _, err := s.RollUp(t.Context(), m.sourceOf); err != nil {
					t.Fatal(err)
				}
			}
			if damaged == "" && time.Since(begin) > 12*day+12*time.Hour {
				closeStore(t, s)
				damaged = damageBlockAt(t, dir, begin.Add(9*day+12*time.Hour))
				s = open(t, dir, opts)
				if len(s.Quarantined()) != 1 {
					t.Fatalf("set aside: %v", s.Quarantined())
				}
			}
			if n == 13*48-1 || n == 18*48-1 || n == 35*48-1 { // before its neighbours are merged, after 9 days were, after 27
				upTo := munin.Range{From: begin, To: time.Now().Add(-3 * day)}
				m.check(t, s, upTo, day)
				m.check(t, s, upTo, time.Hour)
			}
			<-time.After(30 * time.Minute)
		}
		if b, err := s.Query(t.Context(), []munin.Source{anySource(m)}, munin.Range{From: begin.Add(9 * day), To: begin.Add(10 * day)}, 30*time.Minute); err != nil || !math.IsNaN(b[0].Buckets[24].Avg) {
			t.Errorf("the samples are still there, the test shows nothing: %v, %v", b, err)
		}
		closeStore(t, s)
	})
}

func anySource(m *model) munin.Source {
	for id, source := range m.sources {
		if id.Field != "fa" {
			return source
		}
	}
	return munin.Source{}
}

// damageBlockAt damages the index of the block of raw samples that has an instant.
func damageBlockAt(t *testing.T, dir string, at time.Time) string {
	t.Helper()
	metas, err := filepath.Glob(filepath.Join(storage.RawDir(dir), "*", "meta.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range metas {
		if span := spanOf(t, path); span[0] <= at.UnixMilli() && at.UnixMilli() < span[1] {
			if err := os.Truncate(filepath.Join(filepath.Dir(path), "index"), 10); err != nil {
				t.Fatal(err)
			}
			return path
		}
	}
	t.Fatalf("no block has %s: %v", at, metas)
	return ""
}

func spanOf(t *testing.T, path string) [2]int64 {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var meta struct{ MinTime, MaxTime int64 }
	if err := json.Unmarshal(text, &meta); err != nil {
		t.Fatal(err)
	}
	return [2]int64{meta.MinTime, meta.MaxTime}
}
