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
// remembered in the catalogue after the samples are stored, so that nothing is left out when the program is killed in
// between; what comes again is stored again, which changes nothing.
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
	byTime := func(a, b munin.Sample) int { return a.At.Compare(b.At) }
	sorted := slices.IsSortedFunc(reply.Samples, byTime)
	if !sorted { // as munin-async says them: plugin by plugin
		slices.SortStableFunc(reply.Samples, byTime)
	}
	taken := s.takeSamples(all, reply.Samples)
	s.poll.Spool = newest(reply.Samples[:taken])
	var left int64 // the oldest time of what is to be asked for again
	switch {
	case taken < len(reply.Samples):
		left = reply.Samples[taken].At.Unix()
	case len(reply.Samples) < munin.MaxSamples:
		return
	case sorted:
		left = s.poll.Spool
	default:
		s.fault(munin.Fault{Reason: fmt.Sprintf("its spool gave more than %d values at once, and not in the order of time: some are lost", munin.MaxSamples)})
		return
	}
	// A second that holds more than can be taken at once must not be asked for for ever.
	if before := left - 1; before > s.known.spool {
		s.poll.Spool = min(s.poll.Spool, before)
	}
}

// newest is the highest time that the samples themselves have, whatever slot they are stored under: the node may have
// more that is newer than them, but not than the slot. Times in the future are not stored and do not count.
func newest(samples []munin.Sample) int64 {
	limit, highest := time.Now().Add(maxAhead), int64(0)
	for i := range samples {
		if at := samples[i].At; !at.IsZero() && !at.After(limit) {
			highest = max(highest, at.Unix())
		}
	}
	return highest
}

// describeSpool makes one description of what all plugins say; it is that of the time before when nothing changed.
// What munin-async says holds only the plugins that have something new: the others are described as they were.
func (s *session) describeSpool(graphs []munin.Graph) *described {
	d := new(described)
	speaks := make(map[string]bool)
	for i := range graphs {
		g := &graphs[i]
		if len(g.Fields) == 0 && len(g.Order) == 0 {
			continue
		}
		g.Plugin = s.pluginOf(g.Name)
		speaks[g.Plugin] = true
		d.graphs = append(d.graphs, *g)
	}
	order := func(a, b munin.Graph) int { return cmp.Compare(a.Name, b.Name) }
	slices.SortFunc(d.graphs, order)
	d = d.overridden(s.target.Override)
	before := s.known.spooled
	if before != nil {
		had := len(d.graphs)
		for i := range before.graphs {
			if g := &before.graphs[i]; !speaks[g.Plugin] && slices.Contains(s.poll.Plugins, g.Plugin) {
				d.graphs = append(d.graphs, *g)
			}
		}
		if len(d.graphs) > had {
			slices.SortFunc(d.graphs, order)
		}
		if reflect.DeepEqual(before.graphs, d.graphs) {
			return before
		}
	}
	d.index()
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
