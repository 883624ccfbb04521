package munin

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// Rename says that what was known under one name is now known under another. From and To name alike a host, a graph of one host or a
// field of one host. Samples stay where they are: who reads To reads what is stored under From as well.
type Rename struct {
	ID       int64 // in the order in which they were made
	From, To SeriesID
	At       time.Time
	// Until is when the name From was given to another host; zero where it was not. What was stored under it before belongs to To.
	Until time.Time
}

// MaxNames is how many names one series can have had: those that are longest ago are not read.
const MaxNames = 16

// Renames answers which names belong together. A nil *Renames knows of none. It is not changed once it is made.
type Renames struct {
	from, to map[SeriesID][]Rename // by the name, in the order in which they were made
}

// Past is a name under which samples of a series are stored, and the time in which they are its own: From inclusive, To exclusive, in Unix
// milliseconds.
type Past struct {
	ID       SeriesID
	From, To int64
}

// NewRenames puts renames together; nil where there are none.
func NewRenames(list []Rename) *Renames {
	if len(list) == 0 {
		return nil
	}
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b Rename) int { return cmp.Compare(a.ID, b.ID) })
	r := &Renames{from: make(map[SeriesID][]Rename), to: make(map[SeriesID][]Rename)}
	for _, one := range list {
		r.from[one.From] = append(r.from[one.From], one)
		r.to[one.To] = append(r.to[one.To], one)
	}
	return r
}

// scopes are the names that a rename may have so that it holds for id: those of its field, its graph and its host.
func scopes(id SeriesID) []SeriesID {
	all := []SeriesID{id}
	if id.Field != "" {
		all = append(all, SeriesID{Host: id.Host, Graph: id.Graph})
	}
	if id.Graph != "" {
		all = append(all, SeriesID{Host: id.Host})
	}
	return all
}

// Renamed is the name that a host, or what is below it, has once its part old is called with.
func Renamed(id, old, with SeriesID) SeriesID { return replaced(id, old, with) }

// replaced is id with the part of its name that old says put as new says.
func replaced(id, old, with SeriesID) SeriesID {
	id.Host = with.Host
	if old.Graph != "" {
		id.Graph = with.Graph
	}
	if old.Field != "" {
		id.Field = with.Field
	}
	return id
}

// Current is the name that a host, graph or field has now.
func (r *Renames) Current(id SeriesID) SeriesID { return r.currentFrom(id, math.MaxInt64) }

// CurrentOf is the name that a host, graph or field has now which had the name id at a time: another may have it since.
func (r *Renames) CurrentOf(id SeriesID, at time.Time) SeriesID {
	return r.currentFrom(id, at.UnixMilli())
}

func (r *Renames) currentFrom(id SeriesID, at int64) SeriesID {
	if r == nil {
		return id
	}
	for range MaxNames {
		next := r.next(id, at)
		if next == id {
			break
		}
		id = next
	}
	return id
}

func (r *Renames) next(id SeriesID, at int64) SeriesID {
	for _, scope := range scopes(id) {
		for _, one := range r.from[scope] {
			if one.Until.IsZero() || at < one.Until.UnixMilli() {
				return replaced(id, one.From, one.To)
			}
		}
	}
	return id
}

// Host is the name that a host has now.
func (r *Renames) Host(id HostID) HostID {
	if r == nil {
		return id
	}
	return r.Current(SeriesID{Host: id}).Host
}

// Names lists the names under which samples of a host, graph or field are: first the one that it has now, then those that it had before,
// the newest first. It is nil where there is but the name that was asked for.
func (r *Renames) Names(id SeriesID) []Past {
	if r == nil {
		return nil
	}
	first := r.Current(id)
	names := []Past{{ID: first, From: r.since(first), To: math.MaxInt64}}
	for at := 0; at < len(names) && len(names) < MaxNames; at++ {
		for _, scope := range scopes(names[at].ID) {
			for _, one := range slices.Backward(r.to[scope]) {
				past := Past{ID: replaced(names[at].ID, one.To, one.From), From: r.before(one), To: math.MaxInt64}
				if !one.Until.IsZero() {
					past.To = one.Until.UnixMilli()
				}
				if !slices.Contains(names, past) {
					names = append(names, past)
				}
			}
		}
	}
	if len(names) == 1 && first == id && names[0].From == math.MinInt64 {
		return nil
	}
	return names[:min(len(names), MaxNames)]
}

// since is when a name was last given to another host, so that what is older under it is not its own.
func (r *Renames) since(id SeriesID) int64 {
	since := int64(math.MinInt64)
	for _, scope := range scopes(id) {
		for _, one := range r.from[scope] {
			if !one.Until.IsZero() {
				since = max(since, one.Until.UnixMilli())
			}
		}
	}
	return since
}

// before is when what a rename gave away begins: where the one before it, of the same name, ended.
func (r *Renames) before(one Rename) int64 {
	since := int64(math.MinInt64)
	for _, other := range r.from[one.From] {
		if other.ID < one.ID && !other.Until.IsZero() {
			since = max(since, other.Until.UnixMilli())
		}
	}
	return since
}
