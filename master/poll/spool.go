package poll

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"corbie/munin"
	"corbie/munin/wire"
)

// What a node has kept in its spool is asked for from the highest time that was stored. That position is
// remembered in the catalogue after the samples are stored, so that nothing is left out; what comes again is
// stored again, which changes nothing.
const (
	spoolCap = "spool"
	// catchUpFrom is how much a spool may hold back before fetching it counts as heavy: few at a time are.
	catchUpFrom = time.Hour
	catchUps    = 8
	// spoolOverlap is asked for again after a start: a power cut takes the last seconds of what was stored.
	spoolOverlap = 2 * time.Minute
)

// hasSpool says whether the node keeps what the master has not fetched.
func (s *session) hasSpool() bool {
	return slices.Contains(s.poll.Caps, spoolCap) && len(s.opts.Only) == 0 && s.opts.library != nil
}

// spool takes what the node has kept, in place of asking every plugin. It is false when the plugins have to be
// asked after all.
func (s *session) spool(client *wire.Client) (bool, error) {
	since := s.known.spool
	if room := s.opts.catchUp; room != nil && time.Since(time.Unix(since, 0)) > catchUpFrom {
		select {
		case room <- struct{}{}:
			defer func() { <-room }()
		default:
			s.fault(munin.Fault{Reason: "its spool holds much, and waits until those of other hosts are fetched"})
			s.finishJobs()
			return true, nil
		}
	}
	body, ok, err := client.SpoolFetch(since, s.asked)
	if err != nil {
		return true, err
	}
	if !ok {
		s.fault(munin.Fault{Reason: "it says that it has a spool, but does not know spoolfetch; its plugins are asked instead"})
		return false, nil
	}
	s.finishJobs()
	s.takeSpool(body)
	return true, nil
}

func (s *session) finishJobs() {
	for _, j := range s.jobs {
		j.state = done
	}
}

// takeSpool keeps all graphs and values of an answer to spoolfetch, and how far it reaches.
func (s *session) takeSpool(body []byte) {
	reply := munin.ParseConfig("", body)
	s.fault(reply.Faults...)
	if len(reply.Graphs) == 0 && len(reply.Samples) == 0 {
		if s.known.set != nil {
			s.kept = s.known.set.kept // Nothing is new: neither are the graphs.
		}
		return
	}
	all := &job{about: s.describeSpool(reply.Graphs), state: done}
	for i := range all.about.graphs {
		s.takeGraph(all, &all.about.graphs[i])
	}
	s.known.spooled = all.about
	from := len(s.poll.Readings)
	s.takeSamples(all, reply.Samples)
	for i := from; i < len(s.poll.Readings); i++ {
		s.poll.Spool = max(s.poll.Spool, s.poll.Readings[i].T/1000)
	}
	if n := len(reply.Samples); n >= munin.MaxSamples || len(s.poll.Readings) >= maxReadings {
		// The rest of this answer is asked for again. Answers are in the order of time.
		last := s.poll.Readings[len(s.poll.Readings)-1].T/1000 - 1
		if s.poll.Spool = min(s.poll.Spool, last); s.poll.Spool <= s.known.spool {
			s.poll.Spool = last + 1
		}
	}
}

// describeSpool makes one description of what all plugins say; it is that of the time before when nothing changed.
func (s *session) describeSpool(graphs []munin.Graph) *described {
	d := new(described)
	for i := range graphs {
		g := &graphs[i]
		if len(g.Fields) == 0 && len(g.Order) == 0 {
			continue
		}
		g.Plugin = s.pluginOf(g.Name)
		d.graphs = append(d.graphs, *g)
	}
	slices.SortFunc(d.graphs, func(a, b munin.Graph) int { return cmp.Compare(a.Name, b.Name) })
	d.index()
	d = d.overridden(s.target.Override)
	if before := s.known.spooled; before != nil && reflect.DeepEqual(before.graphs, d.graphs) {
		return before
	}
	return d
}

// pluginOf finds the plugin that a graph is likely to be of: the listed one with the longest name that the
// graph's begins with.
func (s *session) pluginOf(graph string) string {
	root, _, _ := strings.Cut(graph, ".")
	best := ""
	for _, name := range s.poll.Plugins {
		clean := munin.SanitisePlugin(name)
		if len(clean) > len(munin.SanitisePlugin(best)) && (clean == root || strings.HasPrefix(root, clean+"_")) {
			best = name
		}
	}
	if best == "" {
		return root
	}
	return best
}

// sameNode says whether the node that knows only one name is the one that it was before. The host's own name says
// nothing here, because the node does not know it.
func (s *session) sameNode(name string) error {
	k := s.known
	before, now := k.node, name
	if k.banner != "" && !strings.EqualFold(k.banner, s.poll.Banner) {
		before, now = k.banner, s.poll.Banner
	}
	if before == "" || strings.EqualFold(before, now) {
		k.node, k.banner = name, s.poll.Banner
		return nil
	}
	s.poll.Banner = "" // It is not this host that answered.
	return fmt.Errorf("%w: it was %q and is now %q; if it was renamed, write \"node_name: %s\" for this host", ErrAnother, before, now, name)
}
