package remote_test

import (
	"testing"
	"time"

	"corbie/munin"
	"corbie/storage/remote"
	"corbie/storage/storagetest/engine"
)

func TestSeveralMastersShareAnEngine(t *testing.T) {
	e := engine.VictoriaMetrics(t)
	north, _ := open(t, t.TempDir(), remote.Options{Target: target(remote.VictoriaMetrics, e.URL), Labels: map[string]string{"site": "north"}})
	south, _ := open(t, t.TempDir(), remote.Options{Target: target(remote.VictoriaMetrics, e.URL), Labels: map[string]string{"site": "south"}})
	list := readings(0, 3)
	add(t, north, list)
	for i := range list {
		list[i].V *= 100
	}
	add(t, south, list)
	eventually(t, "all is sent", func() bool { return north.State().Queued+south.State().Queued == 0 })
	e.Flush(t)
	span := munin.Range{From: list[0].Time(), To: list[2].Time().Add(time.Second)}
	for _, c := range []struct {
		store *remote.Store
		want  float64
	}{{north, 1}, {south, 100}} {
		got, err := c.store.Raw(t.Context(), list[0].ID, span)
		if err != nil || len(got) != 3 || got[0].V != c.want {
			t.Errorf("%v, %v, want three from %v", got, err, c.want)
		}
	}
}

// TestAHostThatTwoMastersPollByMistakeHasOneValueForEachTime: masters poll a host at the same slot, so both have a sample of the same time.
func TestAHostThatTwoMastersPollByMistakeHasOneValueForEachTime(t *testing.T) {
	for kind, start := range map[remote.Engine]func(testing.TB) *engine.Engine{remote.Prometheus: engine.Prometheus, remote.VictoriaMetrics: engine.VictoriaMetrics} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			e := start(t)
			north, _ := open(t, t.TempDir(), remote.Options{Target: target(kind, e.URL)})
			south, _ := open(t, t.TempDir(), remote.Options{Target: target(kind, e.URL)})
			list := readings(0, 6)
			add(t, north, list[:4])
			eventually(t, "the first master has sent", func() bool { return north.State().Queued == 0 })
			other := readings(2, 6)
			for i := range other {
				other[i].V += 0.5
			}
			mine := readings(0, 1)
			mine[0].ID.Host = "web;south"
			add(t, south, append(other, mine...))
			eventually(t, "the second master has sent", func() bool { return south.State().Queued == 0 })
			e.Flush(t)
			reader, _ := open(t, t.TempDir(), remote.Options{Target: target(kind, e.URL)})
			span := munin.Range{From: list[0].Time(), To: list[5].Time().Add(time.Second)}
			got, err := reader.Raw(t.Context(), list[0].ID, span)
			if err != nil || len(got) != 6 {
				t.Fatalf("%v, %v, want one value for each of six times", got, err)
			}
			for i, p := range got {
				first, second := float64(i+1), float64(i+1)+0.5
				if p.T != list[i].T || p.V != first && (p.V != second || i < 2) || i >= 4 && p.V != second {
					t.Errorf("the value of second %d is %v", i, p)
				}
			}
			if got, err := reader.Raw(t.Context(), mine[0].ID, span); err != nil || len(got) != 1 {
				t.Errorf("the second master's own host has %v, %v", got, err)
			}
			refused := int64(0)
			for _, r := range south.Rejected() {
				refused += r.Count
			}
			// Prometheus compares with the newest sample of a series alone.
			if want := map[remote.Engine]int64{remote.Prometheus: 1}[kind]; refused != want {
				t.Errorf("%d samples were refused, want %d: %+v", refused, want, south.Rejected())
			}
		})
	}
}
