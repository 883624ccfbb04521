// Package demo makes up thirty hosts for people who want to look at Corbie: web servers, databases, mail and an
// office, with the plugins that such hosts have, a year of history and the events that give a monitor something to
// show. A deploy at 14:05 makes pages slow, two disks fill up, one was cleaned, one has failed, a host is silent.
//
// Everything follows from a seed and the present, so that history can be written in advance and goes on in what the
// nodes answer. The nodes speak the protocol for real.
package demo

import (
	"hash/fnv"
	"sync"
	"time"

	"corbie/munin"
)

// Step is the time between two polls.
const Step = 5 * time.Minute

// Options of a Fleet.
type Options struct {
	Seed uint64
	// Now is where history ends and the answers of the nodes begin.
	Now time.Time
	// Location is where the people live after whose clock the work goes; nil is UTC.
	Location *time.Location
}

// Fleet is the hosts. Its methods may be called at the same time.
type Fleet struct {
	Hosts []*Host
	opts  Options
	zone  int64 // seconds east of Greenwich
	story story

	silence chan struct{} // closed by Hush
	once    sync.Once
}

// Host is one of them.
type Host struct {
	ID    munin.HostID
	Roles []string
	Tags  []string
	// SilentSince is since when it does not answer; zero: it does.
	SilentSince time.Time

	fleet   *Fleet
	spec    spec
	plugins []plugin
	booted  int64 // Unix seconds
	address string

	mu sync.Mutex // over the totals of its counters
}

// plugin is one plugin of a host.
type plugin struct {
	name   string
	graphs []graph
	broken string // what it says instead of values
}

// graph is one of its graphs: config holds the lines about it.
type graph struct {
	name   string
	config []string
	fields []field
}

type field struct {
	id     munin.SeriesID
	name   string
	config []string
	rate   bool // the signal is the rate of a counter
	value  signal
	total  float64 // of a counter; 0: it has not begun
	at     int64   // the time of total
}

// New makes the hosts. They do not answer before Serve.
func New(opts Options) *Fleet {
	if opts.Location == nil {
		opts.Location = time.UTC
	}
	_, zone := opts.Now.In(opts.Location).Zone()
	f := &Fleet{opts: opts, zone: int64(zone), story: newStory(opts.Now.In(opts.Location)), silence: make(chan struct{})}
	for _, s := range f.specs() {
		h := &Host{
			ID: munin.NewHostID(s.group, s.name+".example.com"), Roles: s.roles, Tags: s.tags, fleet: f, spec: s,
		}
		if s.silent > 0 {
			h.SilentSince = opts.Now.Add(-s.silent).Truncate(Step)
		}
		h.booted = opts.Now.Unix() - day*int64(20+hash(h.seed("boot"), 0)%180)
		h.plugins = h.standard()
		for _, more := range s.services {
			h.plugins = append(h.plugins, more(h)...)
		}
		h.name()
		f.Hosts = append(f.Hosts, h)
	}
	return f
}

// name tells each field which series it is.
func (h *Host) name() {
	for i := range h.plugins {
		for k := range h.plugins[i].graphs {
			g := &h.plugins[i].graphs[k]
			for n := range g.fields {
				g.fields[n].id = munin.SeriesID{Host: h.ID, Graph: g.name, Field: g.fields[n].name}
			}
		}
	}
}

// Deploy is when the events of the deploy begin: the last 14:05 that is at least half an hour ago.
func (f *Fleet) Deploy() time.Time { return f.story.deploy }

// seed is a random number for a thing of a host.
func (h *Host) seed(name string) uint64 {
	sum := fnv.New64a()
	_, _ = sum.Write([]byte(string(h.ID) + "/" + name)) // a hash takes everything
	return hash(sum.Sum64(), h.fleet.opts.Seed)
}

// moment is what the signals of a host have in common at a time.
func (h *Host) moment(t int64) moment {
	f := h.fleet
	m := moment{t: t, ago: float64(f.opts.Now.Unix()-t) / day}
	local := t + f.zone
	seed := h.seed("work")
	growth := 1 - h.spec.growth*m.ago/365
	m.work = h.spec.rhythm.at(local) * growth * (1 + 0.1*wander(seed, t, hour) + 0.1*wander(seed+1, t, 2*day) + 0.08*grain(seed+2, t))
	if h.spec.busier != 0 && m.ago <= h.spec.busierFrom && m.ago > h.spec.busierUntil {
		m.work *= h.spec.busier
	}
	m.work = max(m.work, 0.02)
	clock := local % day
	begin := int64(h.spec.nightAt * hour)
	if length := int64(h.spec.nightFor * hour); length > 0 && clock >= begin {
		length += int64(float64(length) * 0.3 * random(seed+3, local/day))
		if clock < begin+length {
			m.dusk = 0.8 + 0.2*wander(seed+4, t, 20*minute)
		}
	}
	return m
}

// Address is where the node of the host listens, once Listen has been called.
func (h *Host) Address() string { return h.address }
