package self_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"corbie/master/poll"
	"corbie/master/self"
	"corbie/munin"
)

// fake is a poller, and where the polls of the master itself go.
type fake struct {
	stats  poll.Stats
	window poll.Window
	hosts  map[munin.HostID]poll.HostStats
	polls  []*munin.Poll
	stored []munin.Reading
	told   int
}

func (f *fake) Stats() poll.Stats                          { return f.stats }
func (f *fake) Window() poll.Window                        { return f.window }
func (f *fake) HostStats() map[munin.HostID]poll.HostStats { return maps.Clone(f.hosts) }
func (f *fake) observe(context.Context, *munin.Poll)       { f.told++ }
func (f *fake) Record(_ context.Context, p *munin.Poll) error {
	f.polls = append(f.polls, p)
	return nil
}

func (f *fake) Append(_ context.Context, readings []munin.Reading) error {
	f.stored = append(f.stored, readings...)
	return nil
}

func (f *fake) run(t *testing.T, during time.Duration, process error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), during)
	defer cancel()
	w := self.New(self.Options{
		Interval: time.Minute, Poller: f, Sink: f, Catalog: f, Observe: f.observe,
		Process: func() (self.Process, error) {
			return self.Process{CPU: 3 * time.Second, Resident: 1 << 20, DataBytes: 2 << 20, DiskFree: 3 << 20, Refused: 4}, process
		},
	})
	if err := w.Run(ctx); err != nil {
		t.Fatal(err)
	}
}

func (f *fake) last() map[string]float64 {
	got := make(map[string]float64)
	for _, r := range f.polls[len(f.polls)-1].Readings {
		got[r.ID.Graph+"."+r.ID.Field] = r.V
	}
	return got
}

func TestWhatTheMasterDidBecomesValuesOfAHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{
			stats: poll.Stats{
				Hosts: 2, Polls: 100, Failed: map[string]int64{"silent": 3, "out of step": 4}, Late: 5, Bytes: 6, Values: 7, Lost: 8, Faults: 9,
				Limit: 256, Storing: 1500 * time.Millisecond,
			},
			window: poll.Window{Polls: 4, TookSum: 2 * time.Second, TookMost: time.Second, LagSum: 8 * time.Second, LagMost: 3 * time.Second},
			hosts: map[munin.HostID]poll.HostStats{
				"web;a": {Took: time.Second, Lag: 2 * time.Second, Bytes: 10, Values: 11},
				"b-1":   {Failed: "silent"},
			},
		}
		begin := time.Now()
		f.run(t, 5*time.Minute+time.Second, nil)
		if len(f.polls) != 5 || f.told != 5 {
			t.Fatalf("%d polls, %d told", len(f.polls), f.told)
		}
		got := f.last()
		for name, want := range map[string]float64{
			"corbie_polls.polls": 100, "corbie_polls.failed": 7, "corbie_polls.missed": 5,
			"corbie_failures.silent": 3, "corbie_failures.out_of_step": 4, "corbie_failures.other": 0,
			"corbie_sessions.took": 0.5, "corbie_sessions.longest": 1, "corbie_sessions.late": 2, "corbie_sessions.latest": 3,
			"corbie_values.stored": 7, "corbie_values.lost": 8, "corbie_values.refused": 4, "corbie_values.faults": 9,
			"corbie_traffic.bytes": 6, "corbie_work.storing": 1.5, "corbie_work.limit": 256, "corbie_hosts.hosts": 2, "corbie_hosts.failing": 1,
			"corbie_cpu.cpu": 3, "corbie_memory.resident": 1 << 20, "corbie_disk.data": 2 << 20, "corbie_disk.free": 3 << 20,
			"corbie_took.web_a": 1, "corbie_late.web_a": 2, "corbie_bytes.web_a": 10, "corbie_counts.web_a": 11, "corbie_failing.web_a": 0,
			"corbie_took.b_1": 0, "corbie_failing.b_1": 1,
		} {
			if v, ok := got[name]; !ok || v != want {
				t.Errorf("%s is %v (%v), want %v", name, v, ok, want)
			}
		}
		for i, p := range f.polls {
			if want := begin.Truncate(time.Minute).Add(time.Duration(i+1) * time.Minute); !p.Slot.Equal(want) {
				t.Errorf("poll %d is of %s, want %s", i, p.Slot, want)
			}
			if !p.Answered() || p.Host != self.Host || p.Described == 0 || p.Described != f.polls[0].Described {
				t.Errorf("poll %d: %+v", i, p)
			}
		}
		checkDescribed(t, f.polls[0])
	})
}

// checkDescribed wants every value to be of a field that is described, and a level where values cannot be stored.
func checkDescribed(t *testing.T, p *munin.Poll) {
	t.Helper()
	fields := make(map[string]*munin.Field)
	for i := range p.Graphs {
		g := &p.Graphs[i]
		if !slices.Contains(p.Plugins, g.Plugin) || g.Title == g.Name || g.Category != "corbie" {
			t.Errorf("%+v", g)
		}
		for j := range g.Fields {
			fields[g.Name+"."+g.Fields[j].Name] = &g.Fields[j]
		}
	}
	if len(p.Readings) != len(fields) {
		t.Errorf("%d values of %d fields", len(p.Readings), len(fields))
	}
	for _, r := range p.Readings {
		if fields[r.ID.Graph+"."+r.ID.Field] == nil {
			t.Errorf("%s is not described", r.ID)
		}
	}
	if stopped := fields["corbie_storage.stopped"]; stopped == nil || !stopped.Critical.Outside(1) || stopped.Critical.Outside(0) || stopped.Type.IsRate() {
		t.Errorf("that nothing is stored is no problem: %+v", stopped)
	}
}

func TestManyHostsAreShownByGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{hosts: make(map[munin.HostID]poll.HostStats)}
		for i := range 5000 {
			id := munin.HostID(fmt.Sprintf("g%d;host%d", i%7, i))
			f.hosts[id] = poll.HostStats{Took: time.Duration(i) * time.Second, Values: 2, Failed: strings.Repeat("silent", i/4999)}
		}
		f.hosts["alone"] = poll.HostStats{Values: 1}
		f.run(t, time.Minute+time.Second, nil)
		got := f.last()
		if got["corbie_took.g1"] != 4999-4999%7+1 || got["corbie_counts.g3"] != 2*714 || got["corbie_counts.no_group"] != 1 {
			t.Errorf("%v", got)
		}
		if got["corbie_failing.g1"] != 1 || got["corbie_failing.g2"] != 0 {
			t.Errorf("%v", got)
		}
	})
}

func TestANewHostIsANewDescription(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{hosts: map[munin.HostID]poll.HostStats{"a": {}}}
		time.AfterFunc(90*time.Second, func() { f.hosts["b"] = poll.HostStats{} })
		f.run(t, 3*time.Minute+time.Second, nil)
		one, two, three := f.polls[0].Described, f.polls[1].Described, f.polls[2].Described
		if one == two || two != three {
			t.Errorf("described as %d, %d, %d", one, two, three)
		}
	})
}

func TestWithoutTheMachinesFiguresTheOthersAreThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := new(fake)
		f.run(t, time.Minute+time.Second, errors.New("no /proc"))
		got := f.last()
		if _, there := got["corbie_memory.resident"]; there {
			t.Error("memory is told, though it is not known")
		}
		if _, there := got["corbie_polls.polls"]; !there {
			t.Error("the polls are missing")
		}
	})
}
