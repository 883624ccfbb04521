package demo

import (
	"iter"
	"math"
	"time"

	"corbie/munin"
)

// Readings are what polls would have brought, at whole multiples of Step, of all hosts: those of a day come host by
// host, and each series in the order of time. The answers of the nodes go on where the last call ended.
func (f *Fleet) Readings(from, to time.Time) iter.Seq[munin.Reading] {
	const step = int64(Step / time.Second)
	begin, end := (from.Unix()+step-1)/step*step, to.Unix()
	return func(yield func(munin.Reading) bool) {
		for d := begin; d <= end; d = (d/day + 1) * day {
			for _, h := range f.Hosts {
				until := min(end+1, (d/day+1)*day)
				if !h.SilentSince.IsZero() {
					until = min(until, h.SilentSince.Unix()+1)
				}
				for t := d; t < until; t += step {
					if !h.readings(t, yield) {
						return
					}
				}
			}
		}
	}
}

// readings are those of one host at one time, not before that of the call before.
func (h *Host) readings(t int64, yield func(munin.Reading) bool) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	m := h.moment(t)
	for i := range h.plugins {
		p := &h.plugins[i]
		for k := range p.graphs {
			g := &p.graphs[k]
			for n := range g.fields {
				fd := &g.fields[n]
				if !yield(munin.Reading{ID: fd.id, Point: munin.Point{T: t * 1000, V: h.value(fd, &m)}}) {
					return false
				}
			}
		}
	}
	return true
}

// value is what a plugin says of a field: of a counter, the count. Locked.
func (h *Host) value(f *field, m *moment) float64 {
	v := f.value(m)
	if !f.rate || math.IsNaN(v) {
		return v
	}
	if f.total == 0 {
		f.total = 1 + float64(hash(h.seed(f.id.Graph+f.name), 0)%1e9)
	} else {
		f.total += v * float64(max(min(m.t-f.at, hour), 0))
	}
	f.at = m.t
	return math.Floor(f.total)
}

// Hour is what is known of an hour of a series.
type Hour struct {
	Start int64 // Unix milliseconds
	munin.Bucket
}

// Hours are the history of one host in hours, by graph and field: of counters, their rates.
func (h *Host) Hours(from, to time.Time) iter.Seq2[munin.SeriesID, []Hour] {
	begin := (from.Unix() + hour - 1) / hour * hour
	end := to.Unix() / hour * hour
	if !h.SilentSince.IsZero() {
		end = min(end, h.SilentSince.Unix()/hour*hour)
	}
	// Twice an hour is enough to see how far values go.
	var moments []moment
	for t := begin; t < end; t += hour {
		moments = append(moments, h.moment(t+10*minute), h.moment(t+40*minute))
	}
	return func(yield func(munin.SeriesID, []Hour) bool) {
		for i := range h.plugins {
			for k := range h.plugins[i].graphs {
				g := &h.plugins[i].graphs[k]
				for n := range g.fields {
					if !yield(g.fields[n].id, hours(g.fields[n].value, moments)) {
						return
					}
				}
			}
		}
	}
}

func hours(s signal, moments []moment) []Hour {
	out := make([]Hour, 0, len(moments)/2)
	for i := 0; i+1 < len(moments); i += 2 {
		a, b := s(&moments[i]), s(&moments[i+1])
		if math.IsNaN(a) || math.IsNaN(b) {
			continue
		}
		out = append(out, Hour{
			Start:  (moments[i].t - 10*minute) * 1000,
			Bucket: munin.Bucket{Avg: (a + b) / 2, Min: min(a, b), Max: max(a, b), Count: int(hour / int64(Step/time.Second))},
		})
	}
	return out
}

// Values are what a series would have shown at each poll: of a counter, its rate.
func (h *Host) Values(id munin.SeriesID, from, to time.Time) iter.Seq2[time.Time, float64] {
	return func(yield func(time.Time, float64) bool) {
		f := h.field(id)
		if !h.SilentSince.IsZero() && to.After(h.SilentSince) {
			to = h.SilentSince
		}
		for at := from.Truncate(Step); f != nil && !at.After(to); at = at.Add(Step) {
			m := h.moment(at.Unix())
			if !yield(at, f.value(&m)) {
				return
			}
		}
	}
}

// field finds a field; nil: there is none.
func (h *Host) field(id munin.SeriesID) *field {
	for i := range h.plugins {
		for k := range h.plugins[i].graphs {
			g := &h.plugins[i].graphs[k]
			for n := range g.fields {
				if g.fields[n].id == id {
					return &g.fields[n]
				}
			}
		}
	}
	return nil
}
