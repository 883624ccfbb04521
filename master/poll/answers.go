package poll

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"corbie/munin"
	"corbie/munin/wire"
)

// maxAhead is how far a value's time may be ahead of this machine's clock.
const maxAhead = 10 * time.Minute

// take uses one complete answer. The error says that it cannot be the answer to what was asked.
func (s *session) take(j *job, answer wire.Answer) error {
	if answer.Verb == wire.VerbConfig {
		s.takeConfig(j, munin.ParseConfig(j.name, answer.Body))
		return nil
	}
	return s.takeFetch(j, answer.Body)
}

func (s *session) takeConfig(j *job, reply munin.Reply) {
	s.fault(reply.Faults...)
	declared := 0
	j.state = done
	for i := range reply.Graphs {
		declared += s.takeGraph(j, &reply.Graphs[i])
	}
	switch {
	case declared > 0 && reply.Dirty:
		s.takeSamples(j, reply.Samples)
	case declared > 0:
		j.state = configured
	case len(reply.Samples) > 0:
		s.fault(munin.Fault{Plugin: j.name, Reason: "its config holds values but declares no field; the plugin seems not to know \"config\""})
	case len(reply.Graphs) == 0 && len(reply.Faults) == 0:
		s.fault(munin.Fault{Plugin: j.name, Reason: "its config is empty; run it on the node with munin-run or corbie-node run to see why"})
	}
}

// takeGraph keeps a graph's description and returns the number of fields that it declared.
func (s *session) takeGraph(j *job, g *munin.Graph) int {
	if len(g.Fields) == 0 && len(g.Order) == 0 {
		return 0
	}
	if owner, taken := s.owner[g.Name]; taken {
		s.fault(munin.Fault{Plugin: j.name, Text: g.Name, Reason: fmt.Sprintf("the plugin %s has already given a graph of this name; this one is dropped", owner)})
		return 0
	}
	if len(s.poll.Graphs) >= maxGraphs {
		s.fault(munin.Fault{Plugin: j.name, Text: g.Name, Reason: fmt.Sprintf("the node has more than %d graphs", maxGraphs)})
		return 0
	}
	s.owner[g.Name] = j.name
	fields := make(map[string]bool, len(g.Fields))
	for i := range g.Fields {
		fields[g.Fields[i].Name] = true
	}
	s.fields[g.Name] = fields
	if s.target.Override != nil {
		s.target.Override(g)
	}
	s.poll.Graphs = append(s.poll.Graphs, *g)
	return len(fields)
}

func (s *session) declared(j *job, sample *munin.Sample) bool {
	return s.owner[sample.Graph] == j.name && s.fields[sample.Graph][sample.Field]
}

func (s *session) takeFetch(j *job, body []byte) error {
	reply := munin.ParseFetch(j.name, body)
	known := 0
	for i := range reply.Samples {
		if s.declared(j, &reply.Samples[i]) {
			known++
		}
	}
	if detail := foreign(&reply, known, body); detail != "" {
		return &wire.SessionError{Asked: "fetch " + j.name, Kind: wire.ErrOutOfStep, Detail: detail}
	}
	s.fault(reply.Faults...)
	j.state = done
	s.takeSamples(j, reply.Samples)
	if len(reply.Samples) == 0 && len(reply.Faults) == 0 {
		s.fault(munin.Fault{Plugin: j.name, Reason: "it gave no values"})
	}
	return nil
}

// foreign says in words why an answer to fetch must be about another plugin, and is empty when it need not.
func foreign(reply *munin.Reply, known int, body []byte) string {
	if n := len(reply.Samples); n > 0 && known == 0 {
		first := reply.Samples[0]
		return fmt.Sprintf("not one of its %d values is of a field that the plugin's config declares; the first is %s.%s", n, first.Graph, first.Field)
	}
	if len(reply.Samples) > 0 {
		return ""
	}
	for line := range bytes.Lines(body) {
		key, _, _ := strings.Cut(string(bytes.TrimSpace(line)), " ")
		if key == "graph_title" || strings.HasSuffix(key, ".label") {
			return "it holds a config instead of values: " + wire.Excerpt(line)
		}
	}
	return ""
}

// takeSamples keeps the values of declared fields, with their final times. Of two values of one field at one
// time the later counts.
func (s *session) takeSamples(j *job, samples []munin.Sample) {
	type key struct {
		graph, field string
		t            int64
	}
	at := make(map[key]int, len(samples))
	limit := time.Now().Add(maxAhead)
	for i := range samples {
		sample := &samples[i]
		when := s.opts.Slot
		switch {
		case !s.declared(j, sample):
			s.fault(munin.Fault{Plugin: j.name, Text: sample.Graph + "." + sample.Field, Reason: "the config does not declare this field (a label is enough); its value is dropped"})
			continue
		case sample.At.After(limit):
			s.fault(munin.Fault{Plugin: j.name, Text: sample.At.UTC().Format(time.RFC3339), Reason: "the value's time is in the future; see the node's clock"})
			continue
		case !sample.At.IsZero():
			when = s.slots.snap(sample.At)
		}
		point := munin.Point{T: when.UnixMilli(), V: sample.Value}
		k := key{graph: sample.Graph, field: sample.Field, t: point.T}
		if seen, twice := at[k]; twice {
			s.poll.Readings[seen].Point = point
			continue
		}
		if len(s.poll.Readings) >= maxReadings {
			s.fault(munin.Fault{Plugin: j.name, Reason: fmt.Sprintf("the node gave more than %d values in one session", maxReadings)})
			return
		}
		at[k] = len(s.poll.Readings)
		id := munin.SeriesID{Host: s.target.Host, Graph: sample.Graph, Field: sample.Field}
		s.poll.Readings = append(s.poll.Readings, munin.Reading{ID: id, Point: point})
	}
}

// nameUnasked names the plugins that gave nothing because a connection ended.
func (s *session) nameUnasked() {
	for _, j := range s.jobs {
		if j.state != done {
			s.fault(munin.Fault{Plugin: j.name, Reason: "it was not asked, because the session ended before its turn"})
		}
	}
}

func (s *session) fault(faults ...munin.Fault) {
	for _, f := range faults {
		if len(s.poll.Faults) < maxFaults {
			s.poll.Faults = append(s.poll.Faults, f)
			continue
		}
		s.poll.Faults[maxFaults-1] = munin.Fault{Reason: "there is more to mend than is listed here"}
		return
	}
}
