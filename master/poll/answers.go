package poll

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"corbie/munin"
	"corbie/munin/wire"
)

// maxAhead is how far a value's time may be ahead of this machine's clock.
const maxAhead = 10 * time.Minute

// What is said of plugins that answered without a word.
const (
	gaveNothing = "it gave no values"
	emptyConfig = "its config is empty; run it on the node with munin-run or corbie-node run to see why"
)

// take uses one complete answer. The error says that it cannot be the answer to what was asked.
func (s *session) take(j *job, answer wire.Answer) error {
	if answer.Verb == wire.VerbConfig {
		return s.takeConfig(j, answer.Body)
	}
	return s.takeFetch(j, answer.Body)
}

func (s *session) takeConfig(j *job, body []byte) error {
	about, values := split(body)
	d, twin, ok := s.describe(j.name, about)
	if !ok {
		return &wire.SessionError{
			Asked: "config " + j.name, Kind: wire.ErrOutOfStep,
			Detail: fmt.Sprintf("its config is now the one that %s had at the last poll; if it is so again, it will be believed", twin),
		}
	}
	j.about, j.state = d, done
	s.fault(d.faults...)
	declared := 0
	for i := range d.graphs {
		declared += s.takeGraph(j, &d.graphs[i])
	}
	var samples []munin.Sample
	if values != nil {
		reply := munin.ParseFetch(j.name, values)
		s.fault(reply.Faults...)
		samples = reply.Samples
	}
	switch {
	case declared > 0 && len(samples) > 0:
		s.takeSamples(j, samples)
	case declared > 0:
		j.state = configured
	case len(samples) > 0:
		s.fault(munin.Fault{Plugin: j.name, Reason: "its config holds values but declares no field; the plugin seems not to know \"config\""})
	case len(d.graphs) == 0 && len(d.faults) == 0:
		s.fault(munin.Fault{Plugin: j.name, Reason: emptyConfig})
	}
	return nil
}

// takeGraph keeps a graph's description and returns the number of fields that it declared.
func (s *session) takeGraph(j *job, g *munin.Graph) int {
	if owner, taken := s.owner[g.Name]; taken {
		s.fault(munin.Fault{Plugin: j.name, Text: g.Name, Reason: fmt.Sprintf("the plugin %s has already given a graph of this name; this one is dropped", owner)})
		return 0
	}
	if len(s.kept) >= maxGraphs {
		s.fault(munin.Fault{Plugin: j.name, Text: g.Name, Reason: fmt.Sprintf("the node has more than %d graphs", maxGraphs)})
		return 0
	}
	s.owner[g.Name] = j.name
	s.kept = append(s.kept, g)
	return len(g.Fields)
}

// declared finds the names of a value's series, as its plugin's config declared them.
func (s *session) declared(j *job, sample *munin.Sample) (id munin.SeriesID, ok bool) {
	if j.about == nil {
		return id, false
	}
	graph := j.about.names[sample.Graph]
	field, ok := graph.fields[sample.Field]
	if !ok || s.owner[sample.Graph] != j.name {
		return id, false
	}
	return munin.SeriesID{Host: s.target.Host, Graph: graph.graph, Field: field}, true
}

func (s *session) takeFetch(j *job, body []byte) error {
	reply := munin.ParseFetch(j.name, body)
	known := 0
	for i := range reply.Samples {
		if _, ok := s.declared(j, &reply.Samples[i]); ok {
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
		s.fault(munin.Fault{Plugin: j.name, Reason: gaveNothing})
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
// time the later counts. It returns how many of the samples were looked at: fewer than there are when the session
// has too many.
func (s *session) takeSamples(j *job, samples []munin.Sample) int {
	limit := time.Now().Add(maxAhead)
	if s.poll.Readings == nil {
		s.poll.Readings = make([]munin.Reading, 0, max(s.known.values, len(samples)))
	}
	seen := newTwice(s.poll.Readings, len(samples))
	dense := supersampled(samples)
	ahead, last := 0, (*munin.Sample)(nil)
	defer func() {
		if ahead > 0 {
			s.fault(munin.Fault{
				Plugin: j.name, Text: last.Graph + "." + last.Field + " " + last.At.UTC().Format(time.RFC3339),
				Reason: fmt.Sprintf("values whose time is in the future are not stored, %d in the last answer: set the clock of the node", ahead),
			})
		}
	}()
	for i := range samples {
		sample := &samples[i]
		when := s.opts.Slot
		id, ok := s.declared(j, sample)
		switch {
		case !ok:
			s.fault(munin.Fault{Plugin: j.name, Text: sample.Graph + "." + sample.Field, Reason: "the config does not declare this field (a label is enough); its value is dropped"})
			continue
		case sample.At.After(limit):
			ahead++
			last = sample
			continue
		case !sample.At.IsZero() && dense[series{sample.Graph, sample.Field}]:
			when = sample.At
		case !sample.At.IsZero():
			when = s.slots.snap(sample.At)
		}
		reading := munin.Reading{ID: id, Point: munin.Point{T: when.UnixMilli(), V: sample.Value}}
		if at, twice := seen.find(s.poll.Readings, &reading); twice {
			s.poll.Readings[at] = reading
			continue
		}
		if len(s.poll.Readings) >= maxReadings {
			s.fault(munin.Fault{Plugin: j.name, Reason: fmt.Sprintf("the node gave more than %d values in one session", maxReadings)})
			return i
		}
		s.poll.Readings = append(s.poll.Readings, reading)
	}
	return len(samples)
}

// series names a field within an answer.
type series struct{ graph, field string }

// supersampled are the fields for which an answer has more than one time. Such times are kept as they are: those
// close to a slot would fall together. It is nil where there are none.
func supersampled(samples []munin.Sample) map[series]bool {
	if !slices.ContainsFunc(samples, func(one munin.Sample) bool { return !one.At.IsZero() }) {
		return nil
	}
	dense := make(map[series]bool)
	for i := range samples {
		name := series{samples[i].Graph, samples[i].Field}
		_, before := dense[name]
		dense[name] = before
	}
	return dense
}

// twice finds readings of one field at one time among those of one answer.
type twice struct {
	from int // where the answer's readings begin
	at   map[timed]int
}

type timed struct {
	graph, field string
	t            int64
}

// fewReadings are compared one by one, as that is quicker.
const fewReadings = 16

func newTwice(readings []munin.Reading, expected int) twice {
	t := twice{from: len(readings)}
	if expected > fewReadings {
		t.at = make(map[timed]int, expected)
	}
	return t
}

// find says where the reading is already; if it is not, it is expected to come next.
func (t *twice) find(readings []munin.Reading, r *munin.Reading) (at int, found bool) {
	if t.at != nil {
		key := timed{r.ID.Graph, r.ID.Field, r.T}
		if at, found = t.at[key]; !found {
			t.at[key] = len(readings)
		}
		return at, found
	}
	for i := t.from; i < len(readings); i++ {
		if readings[i].T == r.T && readings[i].ID == r.ID {
			return i, true
		}
	}
	return 0, false
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
