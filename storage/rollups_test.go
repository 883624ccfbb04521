package storage_test

import (
	"context"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"corbie/munin"
	"corbie/storage"
	"corbie/storage/series"
)

const day = 24 * time.Hour

// model is what a store should hold: the sources as they are now, and every sample ever taken.
type model struct {
	sources map[munin.SeriesID]munin.Source
	raw     map[munin.SeriesID]map[int64]float64
}

func newModel(fields int, rng *rand.Rand) *model {
	m := &model{sources: make(map[munin.SeriesID]munin.Source), raw: make(map[munin.SeriesID]map[int64]float64)}
	for i := range fields {
		id := munin.SeriesID{Host: munin.HostID([]string{"web;a", "b", "web;eu;c"}[i%3]), Graph: "g" + string(rune('a'+i%2)), Field: "f" + string(rune('a'+i))}
		m.sources[id] = randomSource(id, rng)
		m.raw[id] = make(map[int64]float64)
	}
	return m
}

func randomSource(id munin.SeriesID, rng *rand.Rand) munin.Source {
	kinds := []munin.FieldType{munin.Gauge, munin.Counter, munin.Derive, munin.Absolute, munin.DCounter, munin.DDerive}
	source := munin.Source{ID: id, Type: kinds[rng.IntN(len(kinds))], Heartbeat: time.Duration(21+rng.IntN(200)) * time.Minute}
	if rng.IntN(3) == 0 {
		source.Bounds = munin.Bounds{HasLow: true, High: float64(rng.IntN(3000)), HasHigh: rng.IntN(2) == 0}
	}
	return source
}

func (m *model) sourceOf(_ context.Context, id munin.SeriesID) (munin.Source, error) {
	if source, ok := m.sources[id]; ok {
		return source, nil
	}
	return munin.Source{ID: id}, nil
}

func (m *model) add(readings []munin.Reading) {
	for _, r := range readings {
		if _, ok := m.raw[r.ID][r.T]; !ok {
			m.raw[r.ID][r.T] = r.V
		}
	}
}

func (m *model) points(id munin.SeriesID) []munin.Point {
	var out []munin.Point
	for t, v := range m.raw[id] {
		out = append(out, munin.Point{T: t, V: v})
	}
	slices.SortFunc(out, func(a, b munin.Point) int { return int(a.T - b.T) })
	return out
}

// check compares each step of a range with what the samples give, to the seven digits that rollups keep.
func (m *model) check(t *testing.T, s *storage.Samples, r munin.Range, step time.Duration) {
	t.Helper()
	sources := make([]munin.Source, 0, len(m.sources))
	for _, source := range m.sources {
		sources = append(sources, source)
	}
	got, err := s.Query(t.Context(), sources, r, step)
	if err != nil {
		t.Fatal(err)
	}
	known, wrong := 0, 0
	for i, source := range sources {
		want := expected(munin.Rates(source, m.points(source.ID)), got[i].Start, step, len(got[i].Buckets))
		for k, b := range got[i].Buckets {
			known += b.Count
			w := want[k]
			size := max(math.Abs(w.Min), math.Abs(w.Max))
			if b.Count == w.Count && close7(b.Avg, w.Avg, size) && close7(b.Min, w.Min, size) && close7(b.Max, w.Max, size) {
				continue
			}
			if wrong++; wrong < 5 {
				t.Errorf("%s %v step %s: bucket at %s is %+v, want %+v", source.ID, source.Type, step,
					got[i].Start.Add(time.Duration(k)*step), b, w)
			}
		}
	}
	if known == 0 || wrong > 0 {
		t.Errorf("step %s: %d buckets are wrong, %d samples were compared", step, wrong, known)
	}
}

func expected(rates []munin.Point, start time.Time, step time.Duration, count int) []munin.Bucket {
	out := make([]munin.Bucket, count)
	for _, p := range rates {
		i := int(p.Time().Sub(start) / step)
		if math.IsNaN(p.V) || p.Time().Before(start) || i >= count {
			continue
		}
		b := &out[i]
		if b.Count == 0 {
			b.Min, b.Max = p.V, p.V
		}
		b.Count++
		b.Avg += (p.V - b.Avg) / float64(b.Count)
		b.Min, b.Max = min(b.Min, p.V), max(b.Max, p.V)
	}
	for i := range out {
		if out[i].Count == 0 {
			out[i] = munin.Gap()
		}
	}
	return out
}

func close7(a, b, size float64) bool {
	return math.IsNaN(a) && math.IsNaN(b) || math.Abs(a-b) <= 3e-7*size
}

// Three weeks of polls pass in the fake time of a bubble: blocks are cut and merged; samples come days late; fields change their type; and at any time each step is what the samples give.
func TestHoursAndDaysAreAlwaysWhatTheSamplesGive(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(3, 4))
		opts := storage.Options{Window: 2 * day}
		s := open(t, dir, opts)
		m := newModel(6, rng)
		counters := make(map[munin.SeriesID]float64)
		begin := time.Now()
		var late []munin.Reading
		for n := 0; time.Since(begin) < 21*day; n++ {
			now := time.Now()
			var batch []munin.Reading
			for id := range m.sources {
				if rng.IntN(20) == 0 { // a gap
					continue
				}
				counters[id] += float64(rng.IntN(4000) - 200)
				if rng.IntN(100) == 0 {
					counters[id] = 0
				}
				r := munin.Reading{ID: id, Point: munin.Point{T: now.UnixMilli(), V: counters[id]}}
				switch {
				case rng.IntN(50) == 0:
					r.V = math.NaN()
				case id.Host == "b" && n%250 > 150: // a host that is cut off for a day and a half
					late = append(late, r)
					continue
				}
				batch = append(batch, r)
			}
			if n%250 == 249 {
				rng.Shuffle(len(late), func(i, k int) { late[i], late[k] = late[k], late[i] })
				batch = append(batch, late...)
				late = nil
			}
			if err := s.Append(t.Context(), batch); err != nil {
				t.Fatal(err)
			}
			m.add(batch)
			if n%72 == 71 {
				if _, err := s.RollUp(t.Context(), m.sourceOf); err != nil {
					t.Fatal(err)
				}
			}
			if n%500 == 490 {
				m.check(t, s, munin.Range{From: begin, To: now}, day)
				m.check(t, s, munin.Range{From: begin.Add(30 * time.Minute), To: now}, time.Hour)
			}
			if n%700 == 699 {
				closeStore(t, s)
				s = open(t, dir, opts)
			}
			<-time.After(20 * time.Minute)
		}
		now := time.Now()
		for _, step := range []time.Duration{time.Hour, 5 * time.Hour, day, 7 * day} {
			m.check(t, s, munin.Range{From: begin, To: now}, step)
		}
		// Steps that hours do not fit into are exact where there are raw samples.
		m.check(t, s, munin.Range{From: now.Add(-10 * day), To: now}, 25*time.Minute)
		// A field that is now seen in another way is so in all of its history, as far as the raw samples go.
		for id := range m.sources {
			m.sources[id] = randomSource(id, rng)
		}
		m.check(t, s, munin.Range{From: now.Add(-10 * day), To: now}, time.Hour)
		if _, err := s.RollUp(t.Context(), m.sourceOf); err != nil {
			t.Fatal(err)
		}
		m.check(t, s, munin.Range{From: now.Add(-10 * day), To: now}, time.Hour)
		result, err := s.RollUp(t.Context(), m.sourceOf)
		if err != nil || result.Windows != 0 {
			t.Errorf("a second run rolls up %+v, %v", result, err)
		}
		closeStore(t, s)
	})
}

func TestRawSamplesGoWhenTheyWereRolledUpAndNothingShows(t *testing.T) {
	dir := t.TempDir()
	m := newModel(3, rand.New(rand.NewPCG(9, 10)))
	begin := time.Now().UTC().Truncate(day).Add(-300 * day)
	var readings []munin.Reading
	for at := begin; at.Before(begin.Add(299 * day)); at = at.Add(20 * time.Minute) {
		for id := range m.sources {
			readings = append(readings, munin.Reading{ID: id, Point: munin.Point{T: at.UnixMilli(), V: float64(at.Unix() / 50 % 7919)}})
		}
	}
	if err := series.WriteBlocks(t.Context(), storage.RawDir(dir), slices.Values(readings)); err != nil {
		t.Fatal(err)
	}
	m.add(readings)
	opts := storage.Options{Retention: 100 * day}
	oldest := func(s *storage.Samples) time.Time {
		stat, err := s.Stat(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return stat.Oldest
	}
	s := open(t, dir, opts)
	if got := oldest(s); !got.Equal(begin) {
		t.Errorf("samples that were not rolled up are gone: the oldest is of %s", got)
	}
	if _, err := s.RollUp(t.Context(), m.sourceOf); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	s = open(t, dir, opts) // where the TSDB looks for what may go
	if got := time.Since(oldest(s)); got > 130*day || got < 100*day {
		t.Errorf("after the rollup the oldest sample is %s old", munin.FormatDuration(got))
	}
	whole := munin.Range{From: begin, To: begin.Add(299 * day)}
	m.check(t, s, whole, day)
	m.check(t, s, whole, 6*time.Hour)
	if result, err := s.RollUp(t.Context(), m.sourceOf); err != nil || result.Windows != 0 {
		t.Errorf("rolled up again: %+v, %v", result, err)
	}
	m.check(t, s, whole, 7*day)
}

func TestHistoryThatIsWrittenIntoThePastIsRolledUpAnew(t *testing.T) {
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(5, 6))
	m := newModel(4, rng)
	begin := time.Now().UTC().Truncate(time.Hour).Add(-60 * day)
	for round := range 4 {
		var readings []munin.Reading
		for id := range m.sources {
			from := begin.Add(time.Duration(rng.IntN(40*24)) * time.Hour)
			for _, p := range history(rng, m.sources[id].Type, from) {
				if _, ok := m.raw[id][p.T]; !ok {
					readings = append(readings, munin.Reading{ID: id, Point: p})
				}
			}
		}
		slices.SortFunc(readings, func(a, b munin.Reading) int { return int(a.T - b.T) })
		if err := series.WriteBlocks(t.Context(), storage.RawDir(dir), slices.Values(readings)); err != nil {
			t.Fatal(err)
		}
		m.add(readings)
		s := open(t, dir, storage.Options{})
		whole := munin.Range{From: begin, To: begin.Add(59 * day)}
		m.check(t, s, whole, time.Hour)
		result, err := s.RollUp(t.Context(), m.sourceOf)
		if err != nil || result.Windows == 0 {
			t.Fatalf("round %d: %+v, %v", round, result, err)
		}
		m.check(t, s, whole, time.Hour)
		m.check(t, s, whole, day)
		closeStore(t, s)
	}
}

func TestAFieldThatHadNoValuesByAWrongMaxHasThemOnceItIsRight(t *testing.T) {
	dir := t.TempDir()
	m := newModel(3, rand.New(rand.NewPCG(41, 42)))
	wrong := munin.Bounds{High: 0.001, HasHigh: true}
	for id := range m.sources {
		m.sources[id] = munin.Source{ID: id, Type: munin.Derive, Heartbeat: time.Hour, Bounds: wrong}
	}
	begin := fillPast(t, dir, m, 40)
	whole := munin.Range{From: begin, To: time.Now().Add(-3 * day)}
	s := open(t, dir)
	if made, err := s.RollUp(t.Context(), m.sourceOf); err != nil || made.Windows == 0 {
		t.Fatalf("rolled up %+v, %v", made, err)
	}
	for id, source := range m.sources {
		source.Bounds = munin.Bounds{}
		m.sources[id] = source
	}
	m.check(t, s, whole, time.Hour)
	m.check(t, s, whole, day)
	if made, err := s.RollUp(t.Context(), m.sourceOf); err != nil || made.Windows == 0 {
		t.Errorf("rolled up anew %+v, %v", made, err)
	}
	m.check(t, s, whole, time.Hour)
	m.check(t, s, whole, day)
	if again, err := s.RollUp(t.Context(), m.sourceOf); err != nil || again.Windows != 0 {
		t.Errorf("and once more: %+v, %v", again, err)
	}
}

func TestRollUpLeavesNoPartsAndGoesOnAfterACrash(t *testing.T) {
	dir := t.TempDir()
	m := newModel(3, rand.New(rand.NewPCG(7, 8)))
	now := time.Now()
	var readings []munin.Reading
	for at := now.Add(-100 * day).Truncate(time.Hour); at.Before(now.Add(-day)); at = at.Add(time.Hour) {
		for id := range m.sources {
			readings = append(readings, munin.Reading{ID: id, Point: munin.Point{T: at.UnixMilli(), V: float64(at.Unix() / 60)}})
		}
	}
	if err := series.WriteBlocks(t.Context(), storage.RawDir(dir), slices.Values(readings)); err != nil {
		t.Fatal(err)
	}
	m.add(readings)
	whole := munin.Range{From: now.Add(-101 * day), To: now}
	s := open(t, dir, storage.Options{})
	// Interrupted in the middle of the second window.
	ctx, cancel := context.WithCancel(t.Context())
	asked := 0
	_, err := s.RollUp(ctx, func(ctx context.Context, id munin.SeriesID) (munin.Source, error) {
		if asked++; asked == 3*2+3+2 {
			cancel()
		}
		return m.sourceOf(ctx, id)
	})
	if err == nil {
		t.Fatal("it was not interrupted")
	}
	m.check(t, s, whole, day)
	closeStore(t, s)
	// What a death leaves: an unfinished block, one tier of a window without the other, a damaged block.
	days, err := filepath.Glob(filepath.Join(dir, "day", "*"))
	if err != nil || len(days) != 1 {
		t.Fatalf("blocks of days: %v, %v", days, err)
	}
	if err := os.Rename(days[0], days[0]+".part"); err != nil {
		t.Fatal(err)
	}
	hours, err := filepath.Glob(filepath.Join(dir, "hour", "*"))
	if err != nil || len(hours) != 1 {
		t.Fatalf("blocks of hours: %v, %v", hours, err)
	}
	if err := os.Truncate(filepath.Join(hours[0], "index"), 100); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, storage.Options{})
	if _, err := os.Stat(days[0] + ".part"); err == nil {
		t.Error("the unfinished block is still there")
	}
	m.check(t, s, whole, time.Hour)
	result, err := s.RollUp(t.Context(), m.sourceOf)
	if err != nil || result.Windows < 3 {
		t.Fatalf("the second run: %+v, %v", result, err)
	}
	m.check(t, s, whole, time.Hour)
	m.check(t, s, whole, day)
	reader, err := storage.OpenReadOnly(dir, storage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	m.check(t, reader, whole, day)
	closeStore(t, reader)
}

func closeStore(t *testing.T, s *storage.Samples) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
