package remote

import (
	"cmp"
	"math"
	"slices"
	"sync"

	"github.com/prometheus/prometheus/model/labels"

	"corbie/munin"
	"corbie/storage/series"
)

// recent keeps the two newest samples of each series in memory, 100 bytes or so a series. A sample takes seconds to the engine and back, and hours when the
// engine is away; levels are judged at once. Series lie together by graph, so that a question for one metric looks at its own alone.
type recent struct {
	mu  sync.RWMutex
	all map[string]map[member]pair
}

// member is what a series is called within its graph.
type member struct {
	host  munin.HostID
	field string
}

func memberOf(id munin.SeriesID) member { return member{id.Host, id.Field} }

func (m member) of(graph string) munin.SeriesID {
	return munin.SeriesID{Host: m.host, Graph: graph, Field: m.field}
}

// pair is up to two samples, the newer one second; a time of notYet is none.
type pair [2]munin.Point

const notYet = math.MinInt64

// points are the samples of a pair, oldest first.
func (p pair) points() []munin.Point {
	out := make([]munin.Point, 0, len(p))
	for _, one := range p {
		if one.T != notYet {
			out = append(out, one)
		}
	}
	return out
}

// add remembers samples.
func (c *recent) add(readings []munin.Reading) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range readings {
		graph := c.all[r.ID.Graph]
		if graph == nil {
			graph = make(map[member]pair)
			c.all[r.ID.Graph] = graph
		}
		p, ok := graph[memberOf(r.ID)]
		if !ok {
			p = pair{{T: notYet}, {T: notYet}}
		}
		switch {
		case r.T > p[1].T:
			p[0], p[1] = p[1], r.Point
		case r.T > p[0].T && r.T < p[1].T:
			p[0] = r.Point
		}
		graph[memberOf(r.ID)] = p
	}
}

// conflicts says which samples contradict what is remembered for the same time; nil when none does.
func (c *recent) conflicts(readings []munin.Reading) map[int]bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var found map[int]bool
	for i, r := range readings {
		p, ok := c.all[r.ID.Graph][memberOf(r.ID)]
		if ok && (r.T == p[1].T && !alike(r.V, p[1].V) || r.T == p[0].T && !alike(r.V, p[0].V)) {
			if found == nil {
				found = make(map[int]bool)
			}
			found[i] = true
		}
	}
	return found
}

func alike(a, b float64) bool {
	return a == b || math.IsNaN(a) && math.IsNaN(b)
}

// of gives what is remembered of a series, oldest first.
func (c *recent) of(id munin.SeriesID) []munin.Point {
	c.mu.RLock()
	p, ok := c.all[id.Graph][memberOf(id)]
	c.mu.RUnlock()
	if !ok {
		return nil
	}
	return p.points()
}

// matching calls visit for each remembered series that fits.
func (c *recent) matching(a asked, external labels.Labels, visit func(id munin.SeriesID, points []munin.Point)) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for graph, members := range c.all {
		polled, computed := a.metric(series.MetricName(graph)), a.metric(graph)
		if !polled && !computed {
			continue
		}
		for m, p := range members {
			fits := polled
			if m.host == computedHost {
				fits = computed
			}
			if id := m.of(graph); fits && a.others(id, external) {
				visit(id, p.points())
			}
		}
	}
}

// forget drops series without a sample since a time, in Unix milliseconds: containers and mounts come and go.
func (c *recent) forget(before int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for graph, members := range c.all {
		for m, p := range members {
			if p[1].T < before {
				delete(members, m)
			}
		}
		if len(members) == 0 {
			delete(c.all, graph)
		}
	}
}

// inOrder sorts samples by time and keeps the first of each time.
func inOrder(points []munin.Point) []munin.Point {
	byTime := func(a, b munin.Point) int { return cmp.Compare(a.T, b.T) }
	if !slices.IsSortedFunc(points, byTime) {
		slices.SortStableFunc(points, byTime)
	}
	return slices.CompactFunc(points, func(a, b munin.Point) bool { return a.T == b.T })
}

// join puts what is remembered after what was read. What lies in between was read.
func join(read, remembered []munin.Point) []munin.Point {
	for _, p := range remembered {
		if n := len(read); n == 0 || p.T > read[n-1].T {
			read = append(read, p)
		}
	}
	return read
}
