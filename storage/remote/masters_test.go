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
