package uitest

import (
	"fmt"
	"time"

	"corbie/munin"
)

// Large is a fleet of many hosts in groups of fifty, each with all graphs of the small one. Three in a hundred have a
// problem, one in a hundred is silent.
func Large(now time.Time, hosts int) *Fleet {
	f := New(now)
	var graphs []munin.Graph
	for _, config := range configs() {
		for _, g := range munin.ParseConfig(config.plugin, []byte(config.text)).Graphs {
			g.LastSeen = now.Add(-time.Minute)
			graphs = append(graphs, g)
		}
	}
	f.Known, f.Watched, f.Drawn = nil, nil, make(map[munin.HostID][]munin.Graph)
	for i := range hosts {
		id := munin.NewHostID(fmt.Sprintf("rack%02d", i/50), fmt.Sprintf("node%04d", i))
		h := munin.Host{
			ID: id, Address: fmt.Sprintf("192.0.2.%d:4949", i%250), Interval: Interval, Silent: 3 * Interval, FirstSeen: now.Add(-300 * 24 * time.Hour),
			LastAnswer: now.Add(-time.Minute), LastTried: now.Add(-time.Minute), LastTook: time.Second, Banner: id.Name(),
		}
		state := munin.AlertState{ID: munin.SeriesID{Host: id, Graph: "load", Field: "load"}, Since: now.Add(-time.Hour), Value: 1}
		switch i % 100 {
		case 7:
			h.LastAnswer, h.LastError = now.Add(-2*time.Hour), "connection refused"
		case 13, 14, 15:
			state.Level, state.Reason, state.Value = munin.Warning, "4.6 is above 4", 4.6
			if i%100 == 13 {
				state.Level, state.Reason, state.Value = munin.Critical, "9 is above 8", 9
			}
			state.Open, state.OpenSince = state.Level, state.Since
			state.Bounds, _ = munin.ParseBounds(":4")
		}
		f.Known, f.Watched = append(f.Known, h), append(f.Watched, state)
		f.Drawn[id] = graphs
	}
	return f
}
