package storagetest

import (
	"math"
	"slices"
	"strconv"
	"time"

	"corbie/munin"
)

func (s *suite) raw() {
	// The ends of the range.
	want := s.every(id("a"), 0, 5, 0, -1, 0.1, 1<<53, 3, 4, 5, math.Copysign(0, -1))
	s.add(want...)
	s.wantRaw(id("a"), s.span(0, 36), want...)
	// Values that lose digits when they are taken for anything but a float64; each by itself, as some stores share an exponent within a series.
	for i, v := range []float64{0.1, 1<<53 + 2, 18446744073709551615, 1e-300, math.MaxFloat64, -math.MaxFloat64} {
		one := s.at(id("extreme"+strconv.Itoa(i)), 0, v)
		s.add(one)
		s.wantRaw(one.ID, s.span(0, 36), one)
	}
	s.wantRaw(id("a"), s.span(5, 15), want[1], want[2])
	s.wantRaw(id("a"), s.span(36, 60))
}

func (s *suite) unknown() {
	unknown := math.NaN()
	want := s.every(id("a"), 0, 5, 1, unknown, 3)
	s.add(want...)
	s.wantRaw(id("a"), s.span(0, 60), want...)
	s.add(s.at(id("b"), 0, math.Inf(1)), s.at(id("b"), 5, math.Inf(-1)))
	s.wantRaw(id("b"), s.span(0, 60), s.every(id("b"), 0, 5, unknown, unknown)...)
	s.wantAvg(s.query(s.span(0, 20), 5*time.Minute, gauge("a"))[0], 1, unknown, 3, unknown)
}

func (s *suite) apart() {
	// Names that could be taken for one another: by group, host, graph, and where a dot or a semicolon stands.
	ids := []munin.SeriesID{
		{Host: "a", Graph: "g", Field: "f"},
		{Host: "a;a", Graph: "g", Field: "f"},
		{Host: "a;b", Graph: "g", Field: "f"},
		{Host: "b;a", Graph: "g", Field: "f"},
		{Host: "b;c;a", Graph: "g", Field: "f"},
		{Host: "a", Graph: "g.f", Field: "f"},
		{Host: "a", Graph: "g_f", Field: "f"},
		{Host: "a", Graph: "g-f", Field: "f"},
		{Host: "a", Graph: "g", Field: "f_f"},
		{Host: "a", Graph: "f", Field: "g"},
	}
	sources := make([]munin.Source, len(ids))
	for i, id := range ids {
		s.add(s.at(id, 0, float64(i)))
		sources[i] = munin.Source{ID: id}
	}
	for i, id := range ids {
		s.wantRaw(id, s.span(0, 5), s.at(id, 0, float64(i)))
	}
	// Sources of one query may repeat.
	sources = append(sources, sources[0])
	for i, got := range s.query(s.span(0, 5), 5*time.Minute, sources...) {
		s.wantAvg(got, float64(i%len(ids)))
	}
}

func (s *suite) twice() {
	unknown := math.NaN()
	want := s.every(id("a"), 0, 5, 1, unknown, 3, 3)
	s.add(want...)
	s.add(want...)
	s.add(append(slices.Clone(want[2:]), want[:2]...)...)
	s.wantRaw(id("a"), s.span(0, 60), want...)
}

func (s *suite) conflict() {
	s.add(s.at(id("a"), 0, 1), s.at(id("a"), 5, 2))
	s.add(s.at(id("a"), 5, 9), s.at(id("b"), 5, 7))
	s.wantRaw(id("a"), s.span(0, 60), s.every(id("a"), 0, 5, 1, 2)...)
	s.wantRaw(id("b"), s.span(0, 60), s.at(id("b"), 5, 7))
}

func (s *suite) late() {
	// A node that was cut off for days comes back while others went on.
	const days = -5 * 24 * 60
	s.add(s.every(id("other"), 0, 5, 1, 2, 3)...)
	want := s.every(id("a"), days, 5, 1, 2, 3, 4, 5, 6)
	mixed := []munin.Reading{want[3], want[5], want[0], want[4], want[2], want[1]}
	s.add(mixed...)
	s.wantRaw(id("a"), s.span(days, days+60), want...)
	s.wantAvg(s.query(s.span(days, days+30), 10*time.Minute, gauge("a"))[0], 1.5, 3.5, 5.5)
}

func (s *suite) future() {
	s.add(s.every(id("a"), 0, 5, 1, 2)...)
	// Three years ahead, a day ahead, and among them a good one.
	good := s.at(id("b"), 5, 7)
	s.add(s.at(id("b"), 3*365*24*60, 5), good, s.at(id("b"), 2*24*60, 6))
	s.wantRaw(id("b"), munin.Range{From: s.base.AddDate(-1, 0, 0), To: s.base.AddDate(10, 0, 0)}, good)
	s.add(s.every(id("a"), 10, 5, 3, 4)...)
	s.wantRaw(id("a"), s.span(0, 60), s.every(id("a"), 0, 5, 1, 2, 3, 4)...)
}

func (s *suite) ancient() {
	s.add(s.at(id("a"), -30*24*60, 5), s.at(id("a"), 0, 1), munin.Reading{ID: id("a"), Point: munin.Point{T: 0, V: 1}})
	s.wantRaw(id("a"), munin.Range{From: time.Unix(-1000, 0), To: s.base.AddDate(1, 0, 0)}, s.at(id("a"), 0, 1))
}
