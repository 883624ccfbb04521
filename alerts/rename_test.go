package alerts_test

import (
	"testing"
	"time"

	"corbie/munin"
)

func TestAnOpenProblemGoesOnUnderTheNewName(t *testing.T) {
	bubble(t, func(r *rig) {
		graphs := []munin.Graph{graph("df", "df", "root=90", "home=90")}
		r.poll(r.answered(graphs, map[string]float64{"df.root": 95, "df.home": 1}), "problem web;www1:df.root ok to critical")
		since := r.mem.states[munin.SeriesID{Host: "web;www1", Graph: "df", Field: "root"}].OpenSince

		r.rename("web;www2", "problem web;www2:df.root ok to critical", "recovery web;www1:df.root critical to ok")
		state := r.mem.states[munin.SeriesID{Host: "web;www2", Graph: "df", Field: "root"}]
		if state.Open != munin.Critical || !state.OpenSince.Equal(since) || state.Value != 95 {
			t.Errorf("the state is %+v", state)
		}
		r.poll(r.answered(graphs, map[string]float64{"df.root": 96, "df.home": 1}))
		r.restart()
		r.mem.takeTold()
		r.poll(r.answered(graphs, map[string]float64{"df.root": 10, "df.home": 1}), "recovery web;www2:df.root critical to ok")
	})
}

func TestTheLastPollUnderTheOldNameOpensNothing(t *testing.T) {
	bubble(t, func(r *rig) {
		graphs := []munin.Graph{graph("df", "df", "root=90")}
		r.poll(r.answered(graphs, map[string]float64{"df.root": 1}))
		old := r.host
		late := r.answered(graphs, map[string]float64{"df.root": 95})
		r.rename("web;www2")
		if err := r.eval.Observe(t.Context(), old, late); err != nil {
			t.Error(err)
		}
		r.expect()
	})
}

func TestASilentHostIsStillSilentUnderItsNewName(t *testing.T) {
	bubble(t, func(r *rig) {
		graphs := []munin.Graph{graph("df", "df", "root=90")}
		r.poll(r.answered(graphs, map[string]float64{"df.root": 1}))
		for range 3 {
			r.poll(r.silent())
		}
		r.poll(r.silent(), "problem web;www1 ok to critical")
		r.rename("web;www2", "problem web;www2 ok to critical", "recovery web;www1 critical to ok")
		r.poll(r.silent())
		r.poll(r.answered(graphs, map[string]float64{"df.root": 1}), "recovery web;www2 critical to ok")
	})
}

func TestAFieldThatIsCalledDifferentlyKeepsItsProblem(t *testing.T) {
	bubble(t, func(r *rig) {
		r.poll(r.answered([]munin.Graph{graph("df", "df", "a=90")}, map[string]float64{"df.a": 95}), "problem web;www1:df.a ok to critical")
		from := munin.SeriesID{Host: "web;www1", Graph: "df", Field: "a"}
		to := munin.SeriesID{Host: "web;www1", Graph: "df", Field: "b"}
		if err := r.eval.Rename(t.Context(), from, to); err != nil {
			t.Fatal(err)
		}
		r.expect("problem web;www1:df.b ok to critical", "recovery web;www1:df.a critical to ok")
		r.poll(r.answered([]munin.Graph{graph("df", "df", "b=90")}, map[string]float64{"df.b": 95}))
	})
}

// rename gives the host of the rig another name, and checks what was told.
func (r *rig) rename(to munin.HostID, want ...string) {
	r.t.Helper()
	if err := r.eval.Rename(r.t.Context(), munin.SeriesID{Host: r.host.ID}, munin.SeriesID{Host: to}); err != nil {
		r.t.Fatal(err)
	}
	r.host.ID = to
	if err := r.eval.Configure(r.t.Context(), []munin.Host{r.host}); err != nil {
		r.t.Fatal(err)
	}
	r.expect(want...)
	time.Sleep(time.Second) //nolint:forbidigo // the clock of the bubble
}
