package poll_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"corbie/master/poll"
	"corbie/munin"
)

func TestAPluginCanBeAskedMoreRarelyOrNever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target := poll.Target{Host: "h", Address: "h", Interval: time.Minute, Every: func(plugin string) time.Duration {
			return map[string]time.Duration{"multi": 10 * time.Minute, "dirty": -1}[plugin]
		}}
		m := newMemory()
		inFakeTime(t, 58*time.Minute, newPipes(map[string]*fakeNode{"h": soundNode("h", 1)}), m, []poll.Target{target}, nil, nil)
		polls := m.of("h")
		id := func(graph, field string) munin.SeriesID {
			return munin.SeriesID{Host: "h", Graph: graph, Field: field}
		}
		plain, multi, dirty := m.kept[id("plain", "a")], m.kept[id("multi", "m")], m.kept[id("dirty", "d")]
		if len(plain) < 57 || len(multi) != 6 || len(dirty) != 0 {
			t.Errorf("%d polls, %d, %d and %d values", len(polls), len(plain), len(multi), len(dirty))
		}
		for i := 2; i < len(multi); i++ {
			if gap := time.Duration(multi[i].T-multi[i-1].T) * time.Millisecond; gap != 10*time.Minute {
				t.Errorf("value %d came after %s", i, gap)
			}
		}
		for i, p := range polls {
			names := make([]string, len(p.Graphs))
			for j := range p.Graphs {
				names[j] = p.Graphs[j].Name
			}
			slices.Sort(names)
			if !slices.Equal(names, []string{"multi", "multi.sub", "plain"}) || len(p.Faults) > 0 || slices.Contains(p.Plugins, "dirty") {
				t.Errorf("poll %d: graphs %v, plugins %v, faults %v", i, names, p.Plugins, p.Faults)
			}
		}
	})
}
