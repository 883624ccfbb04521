package storage_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"corbie/munin"
	"corbie/storage"
	"corbie/storage/series"
)

// walks is how many random walks a test goes: few, or as many as CORBIE_TEST_ROUNDS says.
func walks(t *testing.T, few int) int {
	t.Helper()
	text := os.Getenv("CORBIE_TEST_ROUNDS")
	if text == "" {
		return few
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Weeks pass in the fake time of a bubble, and all that can happen to samples happens in random order: gaps, resets, wraps, unknown values, late ones,
// repeats, other types and bounds, imports, renames, restarts, rollups that are stopped or whose process died, samples that go because
// they are old or of a group that is kept for less. After each of these, whatever is asked is what the samples give. CORBIE_TEST_SEED
// walks one of the seeds alone.
func TestWhateverHappensTheAnswerIsWhatTheSamplesGive(t *testing.T) {
	first, rounds := uint64(1), walks(t, 2)
	if text := os.Getenv("CORBIE_TEST_SEED"); text != "" {
		var err error
		if first, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	for n := range rounds {
		seed := first + uint64(n)
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				w := newWalker(t, dir, seed)
				for len(w.did) < 40 && !t.Failed() {
					w.step()
					w.check()
				}
				w.close()
				if t.Failed() {
					t.Logf("seed %d, kept for %v, steps: %s", seed, w.opts.Retention, strings.Join(w.did, ", "))
				}
			})
		})
	}
}

// trimmed is a time before which the raw samples of a host went, and how many sources its fields had had by then.
type trimmed struct {
	at      int64
	sources map[munin.SeriesID]int
}

// fieldState is a field that was perhaps renamed.
type fieldState struct {
	names  []munin.SeriesID // those that it had, the present one last
	source munin.Source
	past   []munin.Source // all that it ever was, by recipe
	value  float64        // the newest
}

func (f *fieldState) id() munin.SeriesID { return f.names[len(f.names)-1] }

// walker is a store, and what it should hold.
type walker struct {
	t       *testing.T
	rng     *rand.Rand
	dir     string
	opts    storage.Options
	keep    storage.KeepOf
	s       *storage.Samples
	begin   time.Time
	every   time.Duration
	fields  []*fieldState
	raw     map[munin.SeriesID]map[int64]float64
	late    []munin.Reading
	renames []munin.Rename
	cuts    []int64                    // where raw samples have ever begun
	marks   map[munin.HostID][]trimmed // where those of a host have, that is kept for less
	did     []string
	weighed int
}

func newWalker(t *testing.T, dir string, seed uint64) *walker {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 77)) //nolint:gosec // repeatable
	w := &walker{t: t, rng: rng, dir: dir, begin: time.Now(), every: 20 * time.Minute, raw: make(map[munin.SeriesID]map[int64]float64)}
	w.marks = make(map[munin.HostID][]trimmed)
	w.opts = storage.Options{
		Window:    time.Duration(1+rng.IntN(2)) * day,
		Retention: []time.Duration{0, 8 * day, 12 * day, 20 * day}[rng.IntN(4)],
	}
	if rng.IntN(2) == 0 {
		w.keep = keepWeb(storage.Keep{Raw: time.Duration(4+rng.IntN(4)) * day})
	}
	for i := range 6 {
		id := munin.SeriesID{Host: munin.HostID([]string{"web;a", "b", "web;eu;c"}[i%3]), Graph: "g" + string(rune('a'+i%2)), Field: "f" + string(rune('a'+i))}
		f := &fieldState{names: []munin.SeriesID{id}, source: randomSource(id, rng)}
		f.past = []munin.Source{f.source}
		w.fields = append(w.fields, f)
		w.raw[id] = make(map[int64]float64)
	}
	w.open()
	return w
}

func (w *walker) open() {
	w.t.Helper()
	var err error
	if w.s, err = storage.Open(w.dir, w.opts); err != nil {
		w.t.Fatal(err)
	}
	w.s.Rename(munin.NewRenames(w.renames))
}

func (w *walker) close() {
	w.t.Helper()
	if w.s == nil {
		return
	}
	closeStore(w.t, w.s)
	w.s = nil
}

// sourceOf is what the catalogue says: an earlier name is what the present one is.
func (w *walker) sourceOf(_ context.Context, id munin.SeriesID) (munin.Source, error) {
	for _, f := range w.fields {
		if slices.Contains(f.names, id) {
			source := f.source
			source.ID = id
			return source, nil
		}
	}
	return munin.Source{ID: id}, nil
}

func (w *walker) hours(least, most int) time.Duration {
	return time.Duration(least+w.rng.IntN(most-least+1)) * time.Hour
}

// step does one thing.
func (w *walker) step() {
	w.t.Helper()
	all := []struct {
		name   string
		weight int
		do     func()
	}{
		{"live", 12, func() { w.live(w.hours(3, 90)) }},
		{"live and roll up", 6, func() { w.live(w.hours(12, 72)); w.rollUp(w.t.Context()) }},
		{"silence", 2, func() { <-time.After(w.hours(1, 40)) }},
		{"off", 2, w.off},
		{"late", 4, w.deliver},
		{"repeat", 3, w.repeat},
		{"another source", 4, w.otherSource},
		{"roll up", 6, func() { w.rollUp(w.t.Context()) }},
		{"roll up in part", 4, w.rollUpInPart},
		{"die in a rollup", 4, w.die},
		{"reopen", 3, func() { w.close(); w.open() }},
		{"import", 3, w.imports},
		{"rename", 1, w.rename},
		{"trim", 5, func() { w.trim(w.t.Context()) }},
		{"trim in part", 2, w.trimInPart},
	}
	total := 0
	for _, one := range all {
		total += one.weight
	}
	n := w.rng.IntN(total)
	for _, one := range all {
		if n -= one.weight; n < 0 {
			w.did = append(w.did, one.name)
			one.do()
			return
		}
	}
}

// live polls for a while.
func (w *walker) live(length time.Duration) {
	w.every = []time.Duration{5 * time.Minute, 10 * time.Minute, 20 * time.Minute, 20 * time.Minute, time.Hour}[w.rng.IntN(5)]
	away := munin.HostID("") // a host that is cut off and keeps its values
	if w.rng.IntN(3) == 0 {
		away = w.fields[w.rng.IntN(len(w.fields))].id().Host
	}
	hole := time.Time{} // nobody is polled for a while
	for end := time.Now().Add(length); time.Now().Before(end); <-time.After(w.every) {
		now := time.Now()
		if w.rng.IntN(200) == 0 {
			hole = now.Add(w.hours(1, 6))
		}
		if now.Before(hole) {
			continue
		}
		var batch []munin.Reading
		for _, f := range w.fields {
			if w.rng.IntN(25) == 0 { // a gap
				continue
			}
			r := munin.Reading{ID: f.id(), Point: munin.Point{T: now.UnixMilli(), V: f.next(w.rng)}}
			if f.id().Host == away || w.rng.IntN(100) == 0 {
				w.late = append(w.late, r)
				continue
			}
			batch = append(batch, r)
		}
		w.append(batch)
	}
}

// next is what the field says next.
func (f *fieldState) next(rng *rand.Rand) float64 {
	if rng.IntN(60) == 0 {
		return math.NaN()
	}
	f.value += float64(rng.IntN(3000) * 4096)
	switch kind := f.source.Type; {
	case kind == munin.Gauge || kind == munin.Derive || kind == munin.DDerive:
		f.value -= 1400 * 4096
	case kind == munin.Absolute:
		f.value = float64(rng.IntN(100_000))
	case rng.IntN(80) == 0: // a reset
		f.value = 0
	case rng.IntN(80) == 0: // soon a wrap
		f.value = 1<<32 - 4096*float64(1+rng.IntN(4000))
	case rng.IntN(80) == 0:
		f.value = 1<<64 - 4096*float64(1+rng.IntN(4000))
	case f.value >= 1<<64:
		f.value -= 1 << 64
	case f.value >= 1<<32 && f.value < 1<<33:
		f.value -= 1 << 32
	}
	return f.value
}

// append stores readings, and remembers those that the store must take.
func (w *walker) append(batch []munin.Reading) {
	w.t.Helper()
	if err := w.s.Append(w.t.Context(), batch); err != nil {
		w.t.Fatal(err)
	}
	oldest := time.Now().Add(-w.opts.Window).UnixMilli()
	for _, r := range batch {
		if r.T >= oldest {
			w.remember(r)
		}
	}
}

func (w *walker) remember(r munin.Reading) {
	if _, known := w.raw[r.ID][r.T]; !known {
		w.raw[r.ID][r.T] = r.V
	}
}

func (w *walker) off() {
	w.close()
	<-time.After(w.hours(1, 80))
	w.open()
}

// deliver hands over what was kept back, out of order and some of it twice; what is too old by now is refused.
func (w *walker) deliver() {
	w.rng.Shuffle(len(w.late), func(i, k int) { w.late[i], w.late[k] = w.late[k], w.late[i] })
	now := len(w.late)
	if now > 0 && w.rng.IntN(2) == 0 {
		now = w.rng.IntN(now)
	}
	w.append(w.late[:now])
	w.late = w.late[now/2:]
}

// stored are some of the samples since a time.
func (w *walker) stored(since time.Time, one int) []munin.Reading {
	var some []munin.Reading
	for _, f := range w.fields {
		for _, id := range f.names {
			for _, p := range w.points(id) {
				if p.T >= since.UnixMilli() && w.rng.IntN(one) == 0 {
					some = append(some, munin.Reading{ID: id, Point: p})
				}
			}
		}
	}
	return some
}

func (w *walker) repeat() { w.append(w.stored(time.Now().Add(-w.opts.Window), 1+w.rng.IntN(20))) }

func (w *walker) otherSource() {
	f := w.fields[w.rng.IntN(len(w.fields))]
	f.source = randomSource(f.id(), w.rng)
	f.past = append(f.past, f.source)
}

func (w *walker) rollUp(ctx context.Context) {
	w.t.Helper()
	if _, err := w.s.RollUp(ctx, w.sourceOf); err != nil && !errors.Is(err, context.Canceled) {
		w.t.Fatal(err)
	}
}

// stopping is a context that ends somewhere within the work that asks for sources.
func (w *walker) stopping() (context.Context, context.CancelFunc, storage.SourceOf) {
	ctx, cancel := context.WithCancel(w.t.Context())
	left := w.rng.IntN(60)
	return ctx, cancel, func(ctx context.Context, id munin.SeriesID) (munin.Source, error) {
		if left--; left < 0 {
			cancel()
		}
		return w.sourceOf(ctx, id)
	}
}

func (w *walker) rollUpInPart() {
	ctx, cancel, sourceOf := w.stopping()
	defer cancel()
	if _, err := w.s.RollUp(ctx, sourceOf); err != nil && !errors.Is(err, context.Canceled) {
		w.t.Fatal(err)
	}
}

func (w *walker) trim(ctx context.Context) {
	w.t.Helper()
	if w.keep == nil {
		return
	}
	if _, err := w.s.Trim(ctx, w.keep, w.sourceOf); err != nil && !errors.Is(err, context.Canceled) {
		w.t.Fatal(err)
	}
}

func (w *walker) trimInPart() {
	if w.keep == nil {
		return
	}
	ctx, cancel, sourceOf := w.stopping()
	defer cancel()
	keep := w.keep
	if w.rng.IntN(3) == 0 {
		keep = func(id munin.HostID) storage.Keep {
			cancel()
			return w.keep(id)
		}
	}
	if _, err := w.s.Trim(ctx, keep, sourceOf); err != nil && !errors.Is(err, context.Canceled) {
		w.t.Fatal(err)
	}
}

// die leaves what a process leaves that was killed while it rolled up: blocks that others replace, one tier of a window without the other, parts.
func (w *walker) die() {
	w.close()
	before := w.t.TempDir()
	for _, tier := range []string{"hour", "day"} {
		if err := os.CopyFS(filepath.Join(before, tier), os.DirFS(filepath.Join(w.dir, tier))); err != nil && !errors.Is(err, os.ErrNotExist) {
			w.t.Fatal(err)
		}
	}
	w.open()
	w.rollUp(w.t.Context())
	w.close()
	for _, tier := range []string{"hour", "day"} {
		old, err := filepath.Glob(filepath.Join(before, tier, "*"))
		if err != nil {
			w.t.Fatal(err)
		}
		known := make(map[string]bool)
		for _, path := range old {
			name := filepath.Base(path)
			known[name] = true
			if err := os.CopyFS(filepath.Join(w.dir, tier, name), os.DirFS(path)); err != nil && !errors.Is(err, os.ErrExist) {
				w.t.Fatal(err)
			}
		}
		all, err := filepath.Glob(filepath.Join(w.dir, tier, "*"))
		if err != nil {
			w.t.Fatal(err)
		}
		for _, path := range all {
			if !known[filepath.Base(path)] && w.rng.IntN(3) == 0 {
				if err := os.Rename(path, path+".part"); err != nil {
					w.t.Fatal(err)
				}
			}
		}
	}
	w.open()
}

// imports writes history as blocks: samples that are there already, and others between or before them. Neither what is in memory nor what was deleted of a
// group can be written past the TSDB.
func (w *walker) imports() {
	w.t.Helper()
	from, to := w.rawFrom().UnixMilli(), w.inBlocksUntil()
	if from >= to {
		return
	}
	exact := w.exactFrom()
	if w.opts.Retention == 0 && w.rng.IntN(2) == 0 {
		from -= w.hours(1, 100).Milliseconds()
	}
	some := w.stored(time.UnixMilli(from), 1+w.rng.IntN(10))
	for _, f := range w.fields {
		if w.rng.IntN(3) > 0 {
			continue
		}
		at := from + w.rng.Int64N(to-from)
		for range w.rng.IntN(60) {
			at += 1 + w.rng.Int64N(40*60_000)
			r := munin.Reading{ID: f.id(), Point: munin.Point{T: at, V: float64(w.rng.IntN(1 << 20))}}
			if _, known := w.raw[r.ID][r.T]; !known {
				some = append(some, r)
			}
		}
	}
	some = slices.DeleteFunc(some, func(r munin.Reading) bool {
		begins := w.opts.Retention > 0 || w.keep != nil
		return r.T >= to || begins && r.T < max(exact(r.ID.Host), w.rawFrom().UnixMilli())
	})
	slices.SortFunc(some, func(a, b munin.Reading) int { return int(a.T - b.T) })
	open := w.rng.IntN(2) == 0
	if !open {
		w.close()
	}
	if err := series.WriteBlocks(w.t.Context(), storage.RawDir(w.dir), slices.Values(some)); err != nil {
		w.t.Fatal(err)
	}
	for _, r := range some {
		w.remember(r)
	}
	if !open {
		w.open()
		return
	}
	<-time.After(6 * time.Minute)
}

// rename gives a host another name, under which it is polled from now on.
func (w *walker) rename() {
	if len(w.renames) > 1 {
		return
	}
	from := munin.HostID("b" + strings.Repeat("2", len(w.renames)))
	to := from + "2"
	w.renames = append(w.renames, munin.Rename{ID: int64(len(w.renames) + 1), From: munin.SeriesID{Host: from}, To: munin.SeriesID{Host: to}, At: time.Now()})
	for _, f := range w.fields {
		if id := f.id(); id.Host == from {
			id.Host = to
			f.names = append(f.names, id)
			w.raw[id] = make(map[int64]float64)
		}
	}
	w.s.Rename(munin.NewRenames(w.renames))
}
