package series

import (
	"cmp"
	"log/slog"
	"slices"
	"sync"
	"time"

	"corbie/munin"
)

// Reason says why a sample was refused.
type Reason string

// The reasons.
const (
	TooFarAhead Reason = "more than 10 minutes in the future: check the clock of the node"
	TooOld      Reason = "older than what is still accepted"
	Conflict    Reason = "another value is stored for the same time"
	Incomplete  Reason = "no host, graph or field is named"
)

// Reject counts the samples of one host that were refused for one reason since the store was opened.
type Reject struct {
	Host   munin.HostID
	Reason Reason
	Count  int64
	Last   munin.Reading // the newest one refused
	At     time.Time     // when that was
}

type rejectKey struct {
	host   munin.HostID
	reason Reason
}

// Rejects counts refused samples. Its methods may be called at the same time.
type Rejects struct {
	log *slog.Logger
	mu  sync.Mutex
	all map[rejectKey]*Reject
}

// NewRejects begins with none. The log is told of the first one of each host and reason.
func NewRejects(log *slog.Logger) *Rejects {
	return &Rejects{log: log, all: make(map[rejectKey]*Reject)}
}

// Add counts a refused sample.
func (j *Rejects) Add(r munin.Reading, reason Reason) {
	j.mu.Lock()
	defer j.mu.Unlock()
	key := rejectKey{r.ID.Host, reason}
	entry := j.all[key]
	if entry == nil {
		entry = &Reject{Host: r.ID.Host, Reason: reason}
		j.all[key] = entry
		j.log.Warn("sample refused; further ones of this host are only counted",
			"host", string(r.ID.Host), "graph", r.ID.Graph, "field", r.ID.Field, "time", r.Time(), "reason", string(reason))
	}
	entry.Count++
	entry.Last, entry.At = r, time.Now()
}

// List gives all of them by host and reason.
func (j *Rejects) List() []Reject {
	j.mu.Lock()
	defer j.mu.Unlock()
	all := make([]Reject, 0, len(j.all))
	for _, r := range j.all {
		all = append(all, *r)
	}
	slices.SortFunc(all, func(a, b Reject) int {
		return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Reason, b.Reason))
	})
	return all
}
