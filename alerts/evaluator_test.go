package alerts_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"corbie/alerts"
	"corbie/munin"
)

func TestEvaluatorTellsAProblemAndItsRecoveryOnce(t *testing.T) {
	bubble(t, func(r *rig) {
		df := []munin.Graph{graph("df", "df", "root=:95", "home=:95", "tmp")}
		r.poll(r.answered(df, map[string]float64{"df.root": 97, "df.home": 3, "df.tmp": 99}), "problem web;www1:df.root ok to critical")
		if n := r.mem.notices[0]; n.Graph.Title != "Title of df" || n.Graph.Label != "/root" {
			t.Errorf("the notice is about %+v", n.Graph)
		}
		r.poll(r.answered(df, map[string]float64{"df.root": 98, "df.home": 3}))
		r.poll(r.answered(df, map[string]float64{"df.root": 90, "df.home": 3}), "recovery web;www1:df.root critical to ok")
		r.poll(r.answered(df, map[string]float64{"df.root": 90, "df.home": 3}))
	})
}

func TestEvaluatorTellsOpenProblemsAgainAfterARestart(t *testing.T) {
	bubble(t, func(r *rig) {
		df := []munin.Graph{graph("df", "df", "root=:95")}
		r.poll(r.answered(df, map[string]float64{"df.root": 97}), "problem web;www1:df.root ok to critical")
		r.restart()
		r.expect("none web;www1:df.root critical to critical")
		r.poll(r.answered(df, map[string]float64{"df.root": 97}))
		r.poll(r.answered(df, map[string]float64{"df.root": 7}), "recovery web;www1:df.root critical to ok")
		r.restart()
		r.expect("none web;www1:df.root ok to ok")
		time.Sleep(alerts.Remembered) //nolint:forbidigo // the clock of the bubble
		r.restart()
		r.expect()
	})
}

func TestAFailingPluginLeavesItsFieldsUnknownAndItsProblemOpen(t *testing.T) {
	bubble(t, func(r *rig) {
		df, load := graph("df", "df", "root=:95"), graph("load", "load", "load=:10")
		both := []munin.Graph{df, load}
		r.poll(r.answered(both, map[string]float64{"df.root": 97, "load.load": 1}), "problem web;www1:df.root ok to critical")
		// Both plugins are listed, df answers nothing.
		for range 6 {
			p := r.answered([]munin.Graph{load}, map[string]float64{"load.load": 1})
			p.Plugins = []string{"df", "load"}
			r.poll(p)
		}
		if s := r.mem.states[munin.SeriesID{Host: r.host.ID, Graph: "df", Field: "root"}]; s.Level != munin.Unknown || s.Open != munin.Critical {
			t.Errorf("level %v, open %v", s.Level, s.Open)
		}
		r.poll(r.answered(both, map[string]float64{"df.root": 97, "load.load": 1}))
		r.poll(r.answered(both, map[string]float64{"df.root": 9, "load.load": 1}), "recovery web;www1:df.root critical to ok")
		// A field that had no problem becomes unknown, which is told.
		for i := range 4 {
			var want []string
			if i == 3 {
				want = []string{"problem web;www1:load.load ok to unknown"}
			}
			r.poll(r.answered(both, map[string]float64{"df.root": 9, "load.load": math.NaN()}), want...)
		}
		r.poll(r.answered(both, map[string]float64{"df.root": 9, "load.load": 1}), "recovery web;www1:load.load unknown to ok")
	})
}

func TestASilentHostIsOneProblem(t *testing.T) {
	bubble(t, func(r *rig) {
		var graphs []munin.Graph
		values := make(map[string]float64)
		for i := range 50 {
			name := fmt.Sprintf("g%d", i)
			graphs = append(graphs, graph(name, name, "a=:95"))
			values[name+".a"] = 1
		}
		values["g7.a"] = 99
		r.poll(r.answered(graphs, values), "problem web;www1:g7.a ok to critical")
		// Told after more than 15 minutes without an answer, once.
		for range 3 {
			r.poll(r.silent())
		}
		r.poll(r.silent(), "problem web;www1 ok to critical")
		if reason := r.mem.notices[1].State.Reason; !strings.Contains(reason, "has not answered since") || !strings.Contains(reason, "connection refused") {
			t.Errorf("reason %q", reason)
		}
		for range 10 {
			r.poll(r.silent())
		}
		r.restart()
		r.expect("none web;www1 critical to critical", "none web;www1:g7.a critical to critical")
		for range 3 {
			r.poll(r.silent())
		}
		// A name and nothing more is no answer.
		p := r.silent()
		p.Banner = "www1"
		r.poll(p)
		r.poll(r.answered(graphs, values), "recovery web;www1 critical to ok")
		values["g7.a"] = 9
		r.poll(r.answered(graphs, values), "recovery web;www1:g7.a critical to ok")
	})
}

func TestAHostThatNeverAnsweredIsToldOfOnce(t *testing.T) {
	bubble(t, func(r *rig) {
		for range 2 {
			r.poll(r.silent())
		}
		r.restart()
		for range 2 {
			r.poll(r.silent())
		}
		r.poll(r.silent(), "problem web;www1 ok to critical")
		if reason := r.mem.notices[0].State.Reason; !strings.Contains(reason, "never answered") {
			t.Errorf("reason %q", reason)
		}
		r.poll(r.silent())
	})
}

func TestTimeInWhichTheMasterWasDownIsNoSilence(t *testing.T) {
	bubble(t, func(r *rig) {
		df := []munin.Graph{graph("df", "df", "root=:95")}
		r.poll(r.answered(df, map[string]float64{"df.root": 9}))
		time.Sleep(24 * time.Hour) //nolint:forbidigo // the clock of the bubble
		r.restart()
		r.poll(r.silent())
		r.poll(r.answered(df, map[string]float64{"df.root": 9}))
		for range 3 {
			r.poll(r.silent())
		}
		r.poll(r.silent(), "problem web;www1 ok to critical")
	})
}

func TestProblemsOfWhatIsRemovedEnd(t *testing.T) {
	bubble(t, func(r *rig) {
		both := []munin.Graph{graph("df", "df", "root=:95", "usb=:95"), graph("load", "load", "load=:10")}
		r.poll(r.answered(both, map[string]float64{"df.root": 97, "df.usb": 99, "load.load": 20}),
			"problem web;www1:df.root ok to critical", "problem web;www1:df.usb ok to critical", "problem web;www1:load.load ok to critical")
		// The stick is pulled and the load plugin taken away; both are over after four polls.
		fewer := []munin.Graph{graph("df", "df", "root=:95")}
		for i := range 4 {
			var want []string
			if i == 3 {
				want = []string{"recovery web;www1:df.usb critical to ok", "recovery web;www1:load.load critical to ok"}
			}
			r.poll(r.answered(fewer, map[string]float64{"df.root": 97}), want...)
		}
		for range 10 {
			r.poll(r.answered(fewer, map[string]float64{"df.root": 97}))
		}
		// The stick is back, full as ever.
		r.poll(r.answered(both[:1], map[string]float64{"df.root": 97, "df.usb": 99}), "problem web;www1:df.usb ok to critical")
		// The levels of df are taken away in the configuration.
		plain := []munin.Graph{graph("df", "df", "root", "usb")}
		r.poll(r.answered(plain, map[string]float64{"df.root": 97, "df.usb": 99}),
			"recovery web;www1:df.root critical to ok", "recovery web;www1:df.usb critical to ok")
	})
}

func TestProblemsOfAHostThatIsNoLongerConfiguredEnd(t *testing.T) {
	bubble(t, func(r *rig) {
		df := []munin.Graph{graph("df", "df", "root=:95")}
		r.poll(r.answered(df, map[string]float64{"df.root": 97}), "problem web;www1:df.root ok to critical")
		if err := r.eval.Configure(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		r.expect("recovery web;www1:df.root critical to ok")
		if err := r.eval.Configure(t.Context(), []munin.Host{{ID: r.host.ID, Archived: true}}); err != nil {
			t.Fatal(err)
		}
		r.expect()
	})
}

func TestRatesComeFromTheStoreAndStaleOnesAreUnknown(t *testing.T) {
	bubble(t, func(r *rig) {
		g := graph("if", "if_eth0", "up=:1000")
		g.Fields[0].Type = munin.Derive
		id := munin.SeriesID{Host: r.host.ID, Graph: "if_eth0", Field: "up"}
		counter := func(rate float64, at time.Time, want ...string) {
			p := r.answered([]munin.Graph{g}, map[string]float64{"if_eth0.up": 1e9})
			r.mem.values[id] = munin.Point{T: at.UnixMilli(), V: rate}
			r.poll(p, want...)
		}
		counter(10, time.Now())
		counter(2000, time.Now(), "problem web;www1:if_eth0.up ok to critical")
		// The store did not take the newest sample: its rate is not of now.
		counter(10, time.Now().Add(-time.Hour))
		counter(10, time.Now(), "recovery web;www1:if_eth0.up critical to ok")
	})
}

func TestASlowPluginIsNotUnknownBetweenItsValues(t *testing.T) {
	bubble(t, func(r *rig) {
		g := graph("apt", "apt", "pending=:10")
		g.UpdateRate = time.Hour
		r.poll(r.answered([]munin.Graph{g}, map[string]float64{"apt.pending": 20}), "problem web;www1:apt.pending ok to critical")
		for range 20 {
			r.poll(r.answered([]munin.Graph{g}, nil))
		}
		if s := r.mem.states[munin.SeriesID{Host: r.host.ID, Graph: "apt", Field: "pending"}]; s.Level != munin.Critical {
			t.Errorf("level %v", s.Level)
		}
		for range 12 { // two rhythms without a value
			r.poll(r.answered([]munin.Graph{g}, nil))
		}
		if s := r.mem.states[munin.SeriesID{Host: r.host.ID, Graph: "apt", Field: "pending"}]; s.Level != munin.Unknown || s.Open != munin.Critical {
			t.Errorf("level %v, open %v", s.Level, s.Open)
		}
	})
}

func TestAFullDiskStopsNoNoticeAndStatesAreSavedWhenThereIsRoom(t *testing.T) {
	bubble(t, func(r *rig) {
		df := []munin.Graph{graph("df", "df", "root=:95")}
		r.mem.failing = errors.New("disk full")
		observe := func(value float64) {
			t.Helper()
			if err := r.eval.Observe(t.Context(), r.host, r.answered(df, map[string]float64{"df.root": value})); !errors.Is(err, r.mem.failing) {
				t.Errorf("error %v", err)
			}
		}
		told := func(want ...string) {
			t.Helper()
			if got := r.mem.takeTold(); !slices.Equal(got, want) {
				t.Errorf("told %q, want %q", got, want)
			}
			r.mem.unsaved = nil
		}
		observe(97)
		told("problem web;www1:df.root ok to critical")
		observe(97)
		told()
		r.mem.failing = nil
		r.poll(r.answered(df, map[string]float64{"df.root": 97}))
		r.restart()
		r.expect("none web;www1:df.root critical to critical")
		r.mem.failing = errors.New("disk full")
		observe(7)
		told("recovery web;www1:df.root critical to ok")
		r.mem.failing = nil
		r.poll(r.answered(df, map[string]float64{"df.root": 7}))
		r.restart()
		r.expect("none web;www1:df.root ok to ok")
	})
}

func TestWhatCouldNotBeToldIsToldByTheNextPoll(t *testing.T) {
	bubble(t, func(r *rig) {
		df := []munin.Graph{graph("df", "df", "root=:95")}
		r.mem.deaf = errors.New("not now")
		if err := r.eval.Observe(t.Context(), r.host, r.answered(df, map[string]float64{"df.root": 97})); !errors.Is(err, r.mem.deaf) {
			t.Errorf("error %v", err)
		}
		r.mem.deaf = nil
		r.poll(r.answered(df, map[string]float64{"df.root": 97}), "problem web;www1:df.root ok to critical")
	})
}

func TestACounterThatCouldNotBeStoredIsNotUnknown(t *testing.T) {
	bubble(t, func(r *rig) {
		g := graph("if", "if_eth0", "up=:1000")
		g.Fields[0].Type = munin.Derive
		id := munin.SeriesID{Host: r.host.ID, Graph: "if_eth0", Field: "up"}
		stored := munin.Point{T: time.Now().UnixMilli(), V: 10}
		for range 10 {
			p := r.answered([]munin.Graph{g}, map[string]float64{"if_eth0.up": 1e9})
			r.mem.values[id] = stored
			r.poll(p)
		}
		if s := r.mem.states[id]; s.Level != munin.OK || s.Unknowns > 0 {
			t.Errorf("level %v after %d unknowns", s.Level, s.Unknowns)
		}
	})
}

func TestAPollThatEndsAfterItsHostWasTakenOutOpensNothing(t *testing.T) {
	bubble(t, func(r *rig) {
		df := []munin.Graph{graph("df", "df", "root=:95")}
		r.poll(r.answered(df, map[string]float64{"df.root": 97}), "problem web;www1:df.root ok to critical")
		if err := r.eval.Configure(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		r.expect("recovery web;www1:df.root critical to ok")
		r.poll(r.answered(df, map[string]float64{"df.root": 97}))
		if err := r.eval.Configure(t.Context(), []munin.Host{r.host}); err != nil {
			t.Fatal(err)
		}
		r.poll(r.answered(df, map[string]float64{"df.root": 97}), "problem web;www1:df.root ok to critical")
	})
}

func TestManyHostsAreObservedAtOnce(t *testing.T) {
	mem := newMemory()
	eval, err := alerts.New(alerts.Options{Values: mem, States: mem, Graphs: mem, Teller: mem})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			host := munin.Host{ID: munin.HostID(fmt.Sprintf("h%d", i)), Interval: time.Second, Silent: time.Minute}
			for v := range 10 {
				p := &munin.Poll{
					Host: host.ID, Banner: "h", Plugins: []string{"df"}, Graphs: []munin.Graph{graph("df", "df", "root=:5")},
					Readings: []munin.Reading{{
						ID:    munin.SeriesID{Host: host.ID, Graph: "df", Field: "root"},
						Point: munin.Point{T: time.Now().UnixMilli(), V: float64(v)},
					}},
				}
				if err := eval.Observe(t.Context(), host, p); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if told := mem.takeTold(); len(told) != 20 {
		t.Errorf("told %q", told)
	}
}

// TestWhatIsToldAlternatesThroughRestarts feeds random polls, silences and restarts: towards whoever is told,
// problems and recoveries alternate, and in the end all that is open is known.
func TestWhatIsToldAlternatesThroughRestarts(t *testing.T) {
	for seed := range uint64(60) {
		bubble(t, func(r *rig) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			full := []munin.Graph{graph("df", "df", "a=:50", "b=:50"), graph("load", "load", "c=:50")}
			for range 80 {
				switch rnd.IntN(12) {
				case 0:
					r.restart()
				case 1:
					if err := r.eval.Observe(t.Context(), r.host, r.silent()); err != nil {
						t.Fatal(err)
					}
				default:
					values := make(map[string]float64)
					for _, f := range []string{"df.a", "df.b", "load.c"} {
						switch rnd.IntN(4) {
						case 0:
						case 1:
							values[f] = math.NaN()
						default:
							values[f] = float64(rnd.IntN(100))
						}
					}
					p := r.answered(full[:1+rnd.IntN(2)], values)
					p.Plugins = []string{"df", "load"}
					if rnd.IntN(4) == 0 {
						p.Plugins = p.Plugins[:1]
					}
					if err := r.eval.Observe(t.Context(), r.host, p); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(r.host.Interval) //nolint:forbidigo // the clock of the bubble
			}
			checkAlternation(t, r.mem, seed)
		})
	}
}

func checkAlternation(t *testing.T, mem *memory, seed uint64) {
	t.Helper()
	open := make(map[munin.SeriesID]munin.Level)
	for _, n := range mem.notices {
		id := n.State.ID
		switch {
		case n.Event == alerts.None && n.State.Open != open[id],
			n.Event == alerts.Problem && open[id] != munin.OK,
			n.Event == alerts.Recovery && open[id] == munin.OK,
			n.From != open[id]:
			t.Fatalf("seed %d: %s of %s from %s to %s while %s is known", seed, n.Event, id, n.From, n.State.Open, open[id])
		}
		open[id] = n.State.Open
	}
	for id, s := range mem.states {
		if s.Open != open[id] {
			t.Fatalf("seed %d: %s is %s, known is %s", seed, id, s.Open, open[id])
		}
	}
	if len(mem.notices) == 0 {
		t.Fatalf("seed %d: nothing was told", seed)
	}
}
