package storage_test

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"corbie/munin"
	"corbie/storage"
	"corbie/storage/rollup"
)

func (w *walker) points(id munin.SeriesID) []munin.Point {
	out := make([]munin.Point, 0, len(w.raw[id]))
	for t, v := range w.raw[id] {
		out = append(out, munin.Point{T: t, V: v})
	}
	slices.SortFunc(out, func(a, b munin.Point) int { return int(a.T - b.T) })
	return out
}

type blockMeta struct {
	rollup.Span

	late bool // made of late samples alone
}

// blocks are the finished blocks of raw samples.
func (w *walker) blocks() []blockMeta {
	w.t.Helper()
	metas, err := filepath.Glob(filepath.Join(w.dir, "raw", "*", "meta.json"))
	if err != nil {
		w.t.Fatal(err)
	}
	var all []blockMeta
	for _, path := range metas {
		var meta struct {
			MinTime, MaxTime int64
			Compaction       struct{ Hints []string }
		}
		w.read(path, &meta)
		all = append(all, blockMeta{rollup.Span{From: meta.MinTime, To: meta.MaxTime}, slices.Contains(meta.Compaction.Hints, "from-out-of-order")})
	}
	return all
}

// inBlocksUntil is the time before which nothing but late samples is in memory.
func (w *walker) inBlocksUntil() int64 {
	until := int64(math.MinInt64)
	for _, b := range w.blocks() {
		if !b.late {
			until = max(until, b.To)
		}
	}
	return until
}

func (w *walker) read(path string, into any) {
	w.t.Helper()
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		w.t.Fatal(err)
	}
}

// rawFrom is where raw samples begin; zero where there are none.
func (w *walker) rawFrom() time.Time {
	w.t.Helper()
	stat, err := w.s.Stat(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return stat.Oldest
}

// exactFrom is when each host is what its samples give now, by the sources of now: where no raw sample of the window has gone.
func (w *walker) exactFrom() func(munin.HostID) int64 {
	w.t.Helper()
	from := int64(math.MinInt64)
	oldest := w.rawFrom()
	gone := !oldest.IsZero() && w.opts.Retention > 0 && w.first() < oldest.UnixMilli()
	if gone {
		if at := oldest.UnixMilli(); !slices.Contains(w.cuts, at) {
			w.cuts = append(w.cuts, at)
		}
		from = rollup.Floor(oldest.UnixMilli(), day.Milliseconds()) + day.Milliseconds()
		var spans []rollup.Span
		for _, b := range w.blocks() {
			spans = append(spans, b.Span)
		}
		if windows := rollup.Windows(spans, math.MaxInt64); len(windows) > 0 {
			from = max(from, windows[0].To)
		}
	}
	var marks struct{ Before map[munin.HostID]int64 }
	w.read(filepath.Join(w.dir, "retention", "trimmed.json"), &marks)
	for host, at := range marks.Before {
		if known := w.marks[host]; len(known) > 0 && known[len(known)-1].at == at {
			continue
		}
		one := trimmed{at: at, sources: make(map[munin.SeriesID]int)}
		for _, f := range w.fields {
			for _, id := range f.names {
				one.sources[id] = len(f.past)
			}
		}
		w.marks[host] = append(w.marks[host], one)
	}
	return func(host munin.HostID) int64 {
		if at, ok := marks.Before[host]; ok {
			return max(from, at+(4*day).Milliseconds())
		}
		return from
	}
}

// first is the time of the oldest sample that there ever was.
func (w *walker) first() int64 {
	first := int64(math.MaxInt64)
	for _, all := range w.raw {
		for t := range all {
			first = min(first, t)
		}
	}
	return first
}

// grid is the steps of one answer.
type steps struct {
	start time.Time
	size  time.Duration
	count int
}

func (g steps) at(k int) time.Time { return g.start.Add(time.Duration(k) * g.size) }

// wanted is what a field may be in each step: one thing where all its samples are there, else what it was when it was rolled up last.
type wanted struct {
	exact []munin.Bucket
	from  int // the first step that must be exact
	may   [][]munin.Bucket
}

func (n *wanted) takes(k int, b munin.Bucket) bool {
	if k >= n.from {
		return alike(b, n.exact[k])
	}
	return slices.ContainsFunc(n.may, func(one []munin.Bucket) bool { return one != nil && alike(b, one[k]) })
}

func alike(b, want munin.Bucket) bool {
	size := max(math.Abs(want.Min), math.Abs(want.Max))
	return b.Count == want.Count && close7(b.Avg, want.Avg, size) && close7(b.Min, want.Min, size) && close7(b.Max, want.Max, size)
}

// want is what one stored name of a field gives.
func (w *walker) want(f *fieldState, id munin.SeriesID, g steps, from int64) *wanted {
	points := w.points(id)
	n := &wanted{exact: expected(munin.Rates(f.source, points), g.start, g.size, g.count)}
	for n.from < g.count && g.at(n.from).UnixMilli() < from {
		n.from++
	}
	if n.from == 0 {
		return n
	}
	for i, source := range f.past {
		n.may = append(n.may, expected(munin.Rates(source, points), g.start, g.size, g.count))
		cuts := slices.Clone(w.cuts)
		for _, one := range w.marks[id.Host] {
			if i >= one.sources[id] { // only what is seen in another way since needs the samples that have gone
				cuts = append(cuts, one.at)
			}
		}
		for _, cut := range cuts {
			// What was made anew after older samples had gone lacks the first rate after them, and nothing else.
			at, _ := slices.BinarySearchFunc(points, cut, func(p munin.Point, t int64) int { return int(p.T - t) })
			if at == len(points) {
				continue
			}
			one := expected(munin.Rates(source, points[at:]), g.start, g.size, g.count)
			k := int((points[at].T - g.start.UnixMilli()) / g.size.Milliseconds())
			if k < 0 || k >= g.count || points[at].T < g.start.UnixMilli() {
				continue
			}
			if at > 0 && points[at-1].T >= g.at(k).UnixMilli() {
				continue
			}
			only := slices.Clone(n.may[len(n.may)-1])
			only[k] = one[k]
			n.may = append(n.may, only)
		}
	}
	return n
}

// wantAll is what a field gives under all its names: where a newer one has nothing for longer than the heartbeat, the one before it counts.
func (w *walker) wantAll(f *fieldState, g steps, exact func(munin.HostID) int64) *wanted {
	out := w.want(f, f.id(), g, exact(f.id().Host))
	for _, id := range slices.Backward(f.names[:len(f.names)-1]) {
		earlier := w.want(f, id, g, exact(id.Host))
		out.may = append(out.may, earlier.may...)
		out.may = append(out.may, earlier.exact, slices.Clone(out.exact))
		from := max(out.from, earlier.from)
		begin := 0
		for k := 0; k <= g.count; k++ {
			if k < g.count && out.exact[k].Count == 0 {
				continue
			}
			if inside := begin > 0 && k < g.count; begin < k && (!inside || time.Duration(k-begin)*g.size > f.source.Heartbeat) {
				copy(out.exact[begin:k], earlier.exact[begin:k])
			}
			begin = k + 1
		}
		// A gap that reaches over the border may be shorter or longer than it seems here.
		for from > 0 && from < g.count && out.exact[from].Count == 0 {
			from++
		}
		out.from = from
	}
	return out
}

func (w *walker) query(r munin.Range, step time.Duration) ([]munin.Series, steps) {
	w.t.Helper()
	sources := make([]munin.Source, len(w.fields))
	for i, f := range w.fields {
		sources[i] = f.source
		sources[i].ID = f.id()
	}
	got, err := w.s.Query(w.t.Context(), sources, r, step)
	if err != nil {
		w.t.Fatal(err)
	}
	g := steps{start: got[0].Start, size: got[0].Step, count: len(got[0].Buckets)}
	if g.start.After(r.From) || !g.at(1).After(r.From) || g.at(g.count).Before(r.To) || !g.at(g.count-1).Before(r.To) {
		w.t.Errorf("%d steps of %s from %s are not those of %s to %s", g.count, g.size, g.start, r.From, r.To)
	}
	return got, g
}

// compare asks for a range and compares each step that must be right.
func (w *walker) compare(s *storage.Samples, r munin.Range, step time.Duration, exactOnly bool, finer ...munin.Series) []munin.Series {
	w.t.Helper()
	own := w.s
	w.s = s
	got, g := w.query(r, step)
	w.s = own
	exact := w.exactFrom()
	wrong := 0
	for i, f := range w.fields {
		want := w.wantAll(f, g, exact)
		if len(finer) > 0 { // hours where there are no days of that time yet
			want.may = append(want.may, together(&finer[i], g))
		}
		for k, b := range got[i].Buckets {
			if exactOnly && k < want.from || want.takes(k, b) {
				w.weighed += b.Count
				continue
			}
			if wrong++; wrong < 6 {
				w.t.Errorf("after %q: %s %v step %s: bucket at %s is %+v, want %+v (exact: %t)",
					w.did[len(w.did)-1], f.id(), f.source, step, g.at(k), b, want.exact[k], k >= want.from)
			}
		}
		w.checkLast(f, &got[i], want, r)
	}
	if wrong > 5 {
		w.t.Errorf("after %q: %d buckets are wrong", w.did[len(w.did)-1], wrong)
	}
	return got
}

// checkLast compares the newest value of a range where that must be exact.
func (w *walker) checkLast(f *fieldState, got *munin.Series, want *wanted, r munin.Range) {
	w.t.Helper()
	if len(f.names) > 1 || want.from > len(got.Buckets)-2 || got.Step%time.Hour == 0 {
		return
	}
	last := munin.Point{V: math.NaN()}
	for _, p := range munin.Rates(f.source, w.points(f.id())) {
		if t := p.Time(); !math.IsNaN(p.V) && t.Before(r.To) && !t.Before(r.From) {
			last = p
		}
	}
	if want.from == 0 && (got.Last.T != last.T || !close7(got.Last.V, last.V, math.Abs(last.V))) {
		w.t.Errorf("after %q: the last of %s within %v is %+v, want %+v", w.did[len(w.did)-1], f.id(), r, got.Last, last)
	}
}

// check asks for much.
func (w *walker) check() {
	w.t.Helper()
	now := time.Now()
	whole := munin.Range{From: w.begin.Add(-w.hours(110, 600)), To: now.Add(time.Duration(w.rng.IntN(300)) * time.Second)}
	hours := w.compare(w.s, whole, time.Hour, false)
	days := w.compare(w.s, whole, day, false, hours...)
	w.merged(hours, whole, w.hours(2, 23))
	w.merged(days, whole, w.hours(1, 9)*24)
	// Steps into which hours do not fit, somewhere.
	from := w.begin.Add(time.Duration(w.rng.Int64N(int64(now.Sub(w.begin)) + 1)))
	w.compare(w.s, munin.Range{From: from, To: from.Add(w.hours(1, 100))}, time.Duration(1+w.rng.IntN(5000))*time.Second, true)
	// The newest.
	w.compare(w.s, munin.Range{From: now.Add(-w.hours(1, 30)), To: now.Add(time.Millisecond)}, time.Duration(1+w.rng.IntN(90))*time.Minute, true)
	// As a picture would.
	auto, _ := w.query(whole, 0)
	if n := len(auto[0].Buckets); n > 1000 {
		w.t.Errorf("a picture has %d steps", n)
	}
	if w.rng.IntN(6) == 0 {
		if found := verify(w.t, w.dir); len(found.Faults) > 0 {
			w.t.Errorf("after %q these are damaged: %+v", w.did[len(w.did)-1], found.Faults)
		}
		reader, err := storage.OpenReadOnly(w.dir, w.opts)
		if err != nil {
			w.t.Fatal(err)
		}
		reader.Rename(munin.NewRenames(w.renames))
		w.compare(reader, whole, day, false, hours...)
		closeStore(w.t, reader)
	}
}

// together puts shorter steps together.
func together(fine *munin.Series, g steps) []munin.Bucket {
	out := make([]munin.Bucket, g.count)
	for k, b := range fine.Buckets {
		start := fine.Start.Add(time.Duration(k) * fine.Step)
		at := int(start.Sub(g.start) / g.size)
		if b.Count == 0 || start.Before(g.start) || at >= g.count {
			continue
		}
		cell := &out[at]
		if cell.Count == 0 {
			cell.Min, cell.Max = b.Min, b.Max
		}
		cell.Avg += (b.Avg - cell.Avg) * float64(b.Count) / float64(cell.Count+b.Count)
		cell.Count += b.Count
		cell.Min, cell.Max = min(cell.Min, b.Min), max(cell.Max, b.Max)
	}
	for k := range out {
		if out[k].Count == 0 {
			out[k] = munin.Gap()
		}
	}
	return out
}

// merged asks for longer steps: they hold what the shorter ones hold together.
func (w *walker) merged(fine []munin.Series, r munin.Range, step time.Duration) {
	w.t.Helper()
	if slices.ContainsFunc(w.fields, func(f *fieldState) bool { return len(f.names) > 1 }) {
		return // which name counts depends on the steps
	}
	got, g := w.query(r, step)
	for i := range got {
		want := together(&fine[i], g)
		for k, b := range got[i].Buckets {
			// The first and the last step may reach over what was asked for in shorter steps.
			if k > 0 && k < g.count-1 && !alike(b, want[k]) {
				w.t.Errorf("after %q: %s step %s at %s is %+v, the shorter ones give %+v", w.did[len(w.did)-1], got[i].ID, step, g.at(k), b, want[k])
			}
		}
	}
}
