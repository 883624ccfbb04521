package series

import (
	"sync"
	"unique"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"

	"corbie/munin"
)

// refs remember where the TSDB keeps each series, by host: what comes together lies together in memory, and the names of graphs and fields are
// kept once for all hosts. The labels are with the TSDB alone. A number is never given to another series as long as the TSDB is open.
type refs struct {
	mu    sync.RWMutex
	hosts map[munin.HostID]map[fieldName]storage.SeriesRef
	count int
}

type fieldName struct{ graph, field string }

// lookUp finds where the series of the batch are; zero for those that are not known.
func (r *refs) lookUp(batch []munin.Reading) []storage.SeriesRef {
	found := make([]storage.SeriesRef, len(batch))
	r.mu.RLock()
	defer r.mu.RUnlock()
	var host munin.HostID
	var fields map[fieldName]storage.SeriesRef
	for i := range batch {
		id := &batch[i].ID
		if i == 0 || id.Host != host {
			host, fields = id.Host, r.hosts[id.Host]
		}
		found[i] = fields[fieldName{id.Graph, id.Field}]
	}
	return found
}

// remember keeps what was found for the next time. Series come and go (containers, mounts): once most of what is remembered
// is no longer in the TSDB's memory, which has so many, all is forgotten and learnt again.
func (r *refs) remember(batch []munin.Reading, found []storage.SeriesRef, inMemory int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.hosts == nil || r.count > 1000 && r.count > 2*inMemory {
		r.hosts, r.count = make(map[munin.HostID]map[fieldName]storage.SeriesRef), 0
	}
	for i := range batch {
		if found[i] == 0 {
			continue
		}
		id := batch[i].ID
		fields := r.hosts[id.Host]
		if fields == nil {
			fields = make(map[fieldName]storage.SeriesRef)
			r.hosts[munin.HostID(unique.Make(string(id.Host)).Value())] = fields
		}
		before := len(fields)
		fields[fieldName{unique.Make(id.Graph).Value(), unique.Make(id.Field).Value()}] = found[i]
		r.count += len(fields) - before
	}
}

// forget is for a TSDB that was opened anew: it counts anew.
func (r *refs) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hosts, r.count = nil, 0
}

// labelsFor are the labels that the TSDB needs: none where it knows the series by a number.
func labelsFor(id munin.SeriesID, ref storage.SeriesRef) labels.Labels {
	if ref != 0 {
		return labels.EmptyLabels()
	}
	return LabelsOf(id)
}
