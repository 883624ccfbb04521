package storagetest

import (
	"math"
	"time"

	"corbie/munin"
)

func (s *suite) buckets() {
	unknown := math.NaN()
	s.add(s.every(id("a"), 0, 5, 1, 2, 6, unknown, 5, 4)...)
	got := s.query(s.span(0, 30), 15*time.Minute, gauge("a"))[0]
	want := []munin.Bucket{{Avg: 3, Min: 1, Max: 6, Count: 3}, {Avg: 4.5, Min: 4, Max: 5, Count: 2}}
	for i, w := range want {
		if got.Buckets[i] != w {
			s.t.Errorf("bucket %d is %v, want %v", i, got.Buckets[i], w)
		}
	}
	if want := s.at(id("a"), 25, 4).Point; got.Last != want {
		s.t.Errorf("last is %v, want %v", got.Last, want)
	}
	// Last is known, and within the range as asked.
	if got, want := s.query(s.span(0, 18), 15*time.Minute, gauge("a"))[0].Last, s.at(id("a"), 10, 6).Point; got != want {
		s.t.Errorf("last is %v, want %v", got, want)
	}
	if got := s.query(s.span(60, 90), 15*time.Minute, gauge("a"))[0].Last; !math.IsNaN(got.V) {
		s.t.Errorf("last of an empty range is %v", got)
	}
}

func (s *suite) grid() {
	s.add(s.every(id("a"), 0, 1, make([]float64, 60)...)...)
	got := s.query(s.span(7, 23), 5*time.Minute, gauge("a"))[0]
	if want := s.base.Add(5 * time.Minute); !got.Start.Equal(want) || got.Start.Location() != time.UTC {
		s.t.Errorf("start is %s, want %s in UTC", got.Start, want)
	}
	if got.Step != 5*time.Minute || len(got.Buckets) != 4 {
		s.t.Errorf("got %d buckets of %s, want 4 of 5 minutes", len(got.Buckets), got.Step)
	}
	for i, b := range got.Buckets {
		if b.Count != 5 {
			s.t.Errorf("bucket %d has %d samples: the first and the last must be whole", i, b.Count)
		}
	}
	day := 24 * time.Hour
	if got := s.query(s.span(0, 60), day, gauge("a"))[0]; !got.Start.Equal(s.base.Truncate(day)) {
		s.t.Errorf("a day starts at %s", got.Start)
	}
}

func (s *suite) gaps() {
	unknown := math.NaN()
	s.add(s.at(id("a"), 0, 1), s.at(id("a"), 5, 2), s.at(id("a"), 40, 3))
	s.wantAvg(s.query(s.span(0, 50), 10*time.Minute, gauge("a"))[0], 1.5, unknown, unknown, unknown, 3)
}

func (s *suite) nothing() {
	unknown := math.NaN()
	s.wantAvg(s.query(s.span(0, 15), 5*time.Minute, gauge("a"))[0], unknown, unknown, unknown)
	s.add(s.every(id("a"), 0, 5, 1, 2, 3)...)
	got := s.query(s.span(0, 15), 5*time.Minute, gauge("none"), gauge("a"), source("nothing", munin.Derive))
	s.wantAvg(got[0], unknown, unknown, unknown)
	s.wantAvg(got[1], 1, 2, 3)
	s.wantAvg(got[2], unknown, unknown, unknown)
	s.wantRaw(id("none"), s.span(0, 60))
	if got := s.query(s.span(0, 15), 5*time.Minute); len(got) != 0 {
		s.t.Errorf("no sources gave %v", got)
	}
}

func (s *suite) fine() {
	unknown := math.NaN()
	s.add(s.every(id("a"), 0, 5, 1, 2)...)
	s.wantAvg(s.query(s.span(0, 10), 2*time.Minute, gauge("a"))[0], 1, unknown, 2, unknown, unknown)
}

func (s *suite) chosen() {
	s.add(s.every(id("a"), 0, 5, 1, 2)...)
	for _, r := range []munin.Range{s.span(0, 60), s.span(-24*60, 0), s.span(-400*24*60, 0), s.span(-20*365*24*60, 0)} {
		got := s.query(r, 0, gauge("a"))[0]
		if n := len(got.Buckets); n < 1 || n > 1000 || got.Step < 5*time.Minute*20/21 {
			s.t.Errorf("%s gave %d steps of %s", r.Duration(), n, got.Step)
		}
	}
}

func (s *suite) tooMany() {
	_, err := s.store.Query(s.t.Context(), []munin.Source{gauge("a")}, s.span(-50*366*24*60, 0), time.Second)
	if err == nil {
		s.t.Error("50 years by the second were not refused")
	}
}

func (s *suite) emptyRange() {
	for _, r := range []munin.Range{s.span(0, 0), s.span(5, 0)} {
		if _, err := s.store.Query(s.t.Context(), []munin.Source{gauge("a")}, r, time.Minute); err == nil {
			s.t.Errorf("%v was not refused", r)
		}
	}
}

func (s *suite) firstRate() {
	unknown := math.NaN()
	s.add(s.every(id("a"), 0, 5, 0, 300, 900, 1800)...)
	s.wantAvg(s.query(s.span(5, 20), 5*time.Minute, source("a", munin.Derive))[0], 1, 2, 3)
	s.wantAvg(s.query(s.span(0, 10), 5*time.Minute, source("a", munin.Derive))[0], unknown, 1)
	// A source in the same query with a longer heartbeat changes nothing, and none at all takes any sample before.
	slow := source("slow", munin.Derive)
	slow.Heartbeat = 100 * time.Minute
	s.add(s.at(slow.ID, 0, 0), s.at(slow.ID, 60, 3600))
	got := s.query(s.span(60, 65), 5*time.Minute, source("a", munin.Derive), slow)
	s.wantAvg(got[0], unknown)
	s.wantAvg(got[1], 1)
	slow.Heartbeat = 0
	s.wantAvg(s.query(s.span(60, 65), 5*time.Minute, slow)[0], 1)
	slow.Heartbeat = 30 * time.Minute
	s.wantAvg(s.query(s.span(60, 65), 5*time.Minute, slow)[0], unknown)
}

func (s *suite) rates() {
	unknown := math.NaN()
	limited := source("limited", munin.Counter)
	limited.Bounds = munin.Bounds{Low: 0, High: 1e6, HasLow: true, HasHigh: true}
	for _, c := range []struct {
		source munin.Source
		raw    []float64
		want   []float64
	}{
		{source("gauge", munin.Gauge), []float64{5, -3, 4, 0}, []float64{5, -3, 4, 0}},
		{source("derive", munin.Derive), []float64{0, 600, 300, 900}, []float64{unknown, 2, -1, 2}},
		{source("counter", munin.Counter), []float64{100, 400, 0, 300}, []float64{unknown, 1, unknown, 1}},
		{source("absolute", munin.Absolute), []float64{300, 600, 0, 150}, []float64{unknown, 2, 0, 0.5}},
		{source("dderive", munin.DDerive), []float64{0.5, 0.5, 3.5, 0.5}, []float64{unknown, 0, 0.01, -0.01}},
		{source("dcounter", munin.DCounter), []float64{0.5, 3.5, 0.5, 3.5}, []float64{unknown, 0.01, unknown, 0.01}},
		{limited, []float64{1<<32 - 300, 0, 600, unknown}, []float64{unknown, 1, 2, unknown}},
		{source("holes", munin.Derive), []float64{0, unknown, 600, 900}, []float64{unknown, unknown, unknown, 1}},
	} {
		s.add(s.every(c.source.ID, 0, 5, c.raw...)...)
		s.wantAvg(s.query(s.span(0, 20), 5*time.Minute, c.source)[0], c.want...)
	}
}

func (s *suite) bounds() {
	unknown := math.NaN()
	percent := gauge("percent")
	percent.Bounds = munin.Bounds{Low: 0, High: 100, HasLow: true, HasHigh: true}
	s.add(s.every(percent.ID, 0, 5, 0, -1, 100, 101)...)
	s.wantAvg(s.query(s.span(0, 20), 5*time.Minute, percent)[0], 0, unknown, 100, unknown)
}

func (s *suite) newest(minute float64, sources ...munin.Source) []munin.Point {
	s.t.Helper()
	now := s.base.Add(time.Duration(minute * float64(time.Minute)))
	got, err := s.store.Latest(s.t.Context(), sources, now)
	if err != nil || len(got) != len(sources) {
		s.t.Fatalf("latest: %v, %v", got, err)
	}
	return got
}

func (s *suite) wantPoint(got, want munin.Point) {
	s.t.Helper()
	if got.T != want.T || !same(got.V, want.V) {
		s.t.Errorf("got %v at %s, want %v at %s", got.V, got.Time(), want.V, want.Time())
	}
}

func (s *suite) latest() {
	unknown := math.NaN()
	s.add(s.every(id("a"), 0, 5, 1, 2, 3)...)
	none := munin.Point{V: unknown}
	s.wantPoint(s.newest(10, gauge("a"))[0], s.at(id("a"), 10, 3).Point)
	s.wantPoint(s.newest(12, gauge("a"))[0], s.at(id("a"), 10, 3).Point)
	s.wantPoint(s.newest(9.9, gauge("a"))[0], s.at(id("a"), 5, 2).Point)
	s.wantPoint(s.newest(20, gauge("a"))[0], s.at(id("a"), 10, 3).Point)
	s.wantPoint(s.newest(20.1, gauge("a"))[0], none)
	s.wantPoint(s.newest(-1, gauge("a"))[0], none)
	got := s.newest(12, gauge("none"), gauge("a"), gauge("a"))
	s.wantPoint(got[0], none)
	s.wantPoint(got[1], got[2])
	// The heartbeat of one source does not stretch that of another.
	slow := gauge("slow")
	slow.Heartbeat = 25 * time.Hour
	s.add(s.at(slow.ID, 0, 7))
	got = s.newest(23*60, gauge("a"), slow)
	s.wantPoint(got[0], none)
	s.wantPoint(got[1], s.at(slow.ID, 0, 7).Point)
}

func (s *suite) latestUnknown() {
	unknown := math.NaN()
	s.add(s.every(id("a"), 0, 5, 1, unknown)...)
	s.wantPoint(s.newest(6, gauge("a"))[0], s.at(id("a"), 5, unknown).Point)
	high := gauge("b")
	high.Bounds = munin.Bounds{High: 10, HasHigh: true}
	s.add(s.every(id("b"), 0, 5, 1, 11)...)
	s.wantPoint(s.newest(6, high)[0], s.at(id("b"), 5, unknown).Point)
}

func (s *suite) latestRate() {
	unknown := math.NaN()
	s.add(s.every(id("a"), 0, 5, 0, 300, 900)...)
	s.wantPoint(s.newest(10, source("a", munin.Derive))[0], s.at(id("a"), 10, 2).Point)
	s.wantPoint(s.newest(0, source("a", munin.Derive))[0], s.at(id("a"), 0, unknown).Point)
	// The sample before may be older than the heartbeat allows for the newest.
	s.add(s.at(id("a"), 19, 1440))
	s.wantPoint(s.newest(28, source("a", munin.Derive))[0], s.at(id("a"), 19, 1).Point)
	s.add(s.at(id("a"), 30, 2000))
	s.wantPoint(s.newest(31, source("a", munin.Derive))[0], s.at(id("a"), 30, unknown).Point)
}
