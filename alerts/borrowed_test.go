package alerts_test

import (
	"testing"
	"time"

	"corbie/munin"
)

// A host whose graphs show what others have is judged by what those have now, though no poll brings it.
func TestABorrowedFieldIsJudgedByWhatItBorrows(t *testing.T) {
	bubble(t, func(r *rig) {
		there := munin.SeriesID{Host: "web;www2", Graph: "load", Field: "load"}
		set := func(v float64, age time.Duration) {
			r.mem.values[there] = munin.Point{T: time.Now().Add(-age).UnixMilli(), V: v}
		}
		loads := graph("loads", "loads", "here=:10")
		loads.Fields[0].From = []munin.Source{{ID: there, Heartbeat: 630 * time.Second}}
		poll := func(want ...string) {
			t.Helper()
			p := r.answered([]munin.Graph{loads}, nil)
			r.poll(p, want...)
		}
		set(5, time.Minute)
		poll()
		set(20, 4*time.Minute)
		poll("problem web;www1:loads.here ok to critical")
		poll()
		set(5, time.Minute)
		poll("recovery web;www1:loads.here critical to ok")
		set(5, time.Hour)
		poll()
		if s := r.mem.states[munin.SeriesID{Host: "web;www1", Graph: "loads", Field: "here"}]; s.Unknowns != 1 {
			t.Errorf("a stale value counts: %+v", s)
		}
	})
}
