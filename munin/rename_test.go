package munin_test

import (
	"math"
	"slices"
	"testing"
	"time"

	"corbie/munin"
)

func host(name munin.HostID) munin.SeriesID { return munin.SeriesID{Host: name} }

func field(host munin.HostID, graph, field string) munin.SeriesID {
	return munin.SeriesID{Host: host, Graph: graph, Field: field}
}

func TestNothingWasRenamed(t *testing.T) {
	var r *munin.Renames
	if id := field("h", "g", "f"); r.Current(id) != id || r.Names(id) != nil || r.Host("h") != "h" {
		t.Error("no renames change something")
	}
	if munin.NewRenames(nil) != nil {
		t.Error("an empty list makes renames")
	}
}

func TestRenamesOfHostsGraphsAndFieldsAddUp(t *testing.T) {
	r := munin.NewRenames([]munin.Rename{
		{ID: 1, From: field("a", "g1", ""), To: field("a", "g2", "")},
		{ID: 2, From: host("a"), To: host("b")},
		{ID: 3, From: field("b", "g2", "x"), To: field("b", "g2", "y")},
		{ID: 4, From: host("b"), To: host("c")},
	})
	if got, want := r.Current(field("a", "g1", "x")), field("c", "g2", "y"); got != want {
		t.Errorf("now it is %s, want %s", got, want)
	}
	var got []munin.SeriesID
	for _, name := range r.Names(field("c", "g2", "y")) {
		got = append(got, name.ID)
		if name.From != math.MinInt64 || name.To != math.MaxInt64 {
			t.Errorf("%s is bounded", name.ID)
		}
	}
	for _, want := range []munin.SeriesID{
		field("c", "g2", "y"), field("b", "g2", "y"), field("b", "g2", "x"), field("a", "g2", "y"), field("a", "g2", "x"), field("a", "g1", "x"),
	} {
		if !slices.Contains(got, want) {
			t.Errorf("%s is missing in %v", want, got)
		}
	}
	if got[0] != field("c", "g2", "y") {
		t.Errorf("the present name is not first: %v", got)
	}
	if r.Names(field("d", "g", "f")) != nil {
		t.Error("another host has other names")
	}
}

func TestANameThatGoesToAnotherHostEndsThere(t *testing.T) {
	at := func(hour int) time.Time { return time.Date(2025, 6, 1, hour, 0, 0, 0, time.UTC) }
	r := munin.NewRenames([]munin.Rename{
		{ID: 1, From: host("a"), To: host("b"), Until: at(1)},
		{ID: 2, From: host("a"), To: host("c"), Until: at(2)},
	})
	for _, test := range []struct {
		of       munin.HostID
		name     munin.HostID
		from, to int64
	}{
		{"b", "a", math.MinInt64, at(1).UnixMilli()},
		{"c", "a", at(1).UnixMilli(), at(2).UnixMilli()},
		{"a", "a", at(2).UnixMilli(), math.MaxInt64},
	} {
		names := r.Names(host(test.of))
		if !slices.Contains(names, munin.Past{ID: host(test.name), From: test.from, To: test.to}) {
			t.Errorf("%s: %v", test.of, names)
		}
	}
	if was := r.CurrentOf(field("a", "g", "f"), at(0)); was.Host != "b" {
		t.Errorf("what was a at first is %s", was)
	}
	if was := r.CurrentOf(host("a"), at(3)); was.Host != "a" {
		t.Errorf("what is a at last is %s", was)
	}
	if r.Host("a") != "a" {
		t.Error("a is a host of its own again")
	}
}

func TestRenamesInACircleEnd(t *testing.T) {
	r := munin.NewRenames([]munin.Rename{{ID: 1, From: host("a"), To: host("b")}, {ID: 2, From: host("b"), To: host("a")}})
	if n := len(r.Names(host("a"))); n == 0 || n > munin.MaxNames {
		t.Errorf("%d names", n)
	}
}
