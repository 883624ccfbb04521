// Package self makes the master a host of its own: what its polls took, lost and failed at are graphs like any
// other, with levels where something is lost.
//
// Up to a hundred hosts have a field each; where there are more, groups have one.
package self

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"corbie/master/poll"
	"corbie/munin"
)

// Host is the name of the host that the master is.
const Host munin.HostID = "corbie"

// Poller is a consumer contract for what is watched. It models a poll.Poller's counters.
type Poller interface {
	Stats() poll.Stats
	Window() poll.Window
	HostStats() map[munin.HostID]poll.HostStats
}

// Process is what the machine knows of this program.
type Process struct {
	CPU       time.Duration // used since the program began
	Resident  int64         // bytes of memory
	DataBytes int64         // of the data folder
	DiskFree  int64         // bytes, where the data folder is
	Refused   int64         // values that the store did not take for their time
	Stopped   time.Duration // for how long values could not be stored; 0 while they can
	Why       string        // what is wrong then and what to do; the same words as long as it is the same trouble. Empty: the log says it
	SetAside  int           // damaged parts of the data folder that lie beside it
}

// Options are the parts that a Watch works with. Log may be nil.
type Options struct {
	Interval time.Duration // between two values
	Poller   Poller
	Sink     poll.Sink
	Catalog  poll.Catalog
	Observe  func(ctx context.Context, p *munin.Poll) // nil: nobody is told
	Process  func() (Process, error)
	Log      *slog.Logger
}

// Watch writes what the master did as if the master had polled itself.
type Watch struct {
	opts  Options
	known map[string]munin.Graph // by name, as last described
	text  map[string]string      // the text of their descriptions
	set   string                 // names of all, …
	ver   uint64                 // … and how often that or a text changed
}

// New makes a Watch; Run starts it.
func New(opts Options) *Watch {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	opts.Interval = max(opts.Interval, time.Second)
	return &Watch{opts: opts, known: make(map[string]munin.Graph), text: make(map[string]string)}
}

// Run writes at fixed times until ctx ends.
func (w *Watch) Run(ctx context.Context) error {
	next := time.Now().Truncate(w.opts.Interval)
	for {
		next = next.Add(w.opts.Interval)
		if now := time.Now(); next.Before(now) || next.Sub(now) > 2*w.opts.Interval {
			next = now.Truncate(w.opts.Interval).Add(w.opts.Interval)
		}
		timer := time.NewTimer(time.Until(next))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
		w.contained(ctx, next)
	}
}

// contained makes a fault of this package a line in the log: it must not end the polling of all hosts.
func (w *Watch) contained(ctx context.Context, slot time.Time) {
	defer func() {
		if cause := recover(); cause != nil {
			w.opts.Log.ErrorContext(ctx, "internal error in the master's own graphs, please report it", "cause", fmt.Sprint(cause), "stack", string(debug.Stack()))
		}
	}()
	w.once(ctx, slot)
}

// once writes one value of everything.
func (w *Watch) once(ctx context.Context, slot time.Time) {
	begin := time.Now()
	process, err := w.opts.Process()
	if err != nil {
		w.opts.Log.WarnContext(ctx, "cannot see all of what this program uses", "err", err)
	}
	plugins := w.plugins(process, err == nil)
	p := &munin.Poll{Host: Host, Slot: slot.UTC(), Start: begin.UTC(), Banner: string(Host)}
	for i := range plugins {
		w.take(p, &plugins[i])
	}
	w.describe(p)
	p.Took = time.Since(begin)
	if err := w.opts.Sink.Append(ctx, p.Readings); err != nil && ctx.Err() == nil {
		w.opts.Log.DebugContext(ctx, "the master's own values were not stored", "err", err) // The store says it once.
	}
	if err := w.opts.Catalog.Record(ctx, p); err != nil && ctx.Err() == nil {
		w.opts.Log.DebugContext(ctx, "the master's own graphs were not recorded", "err", err) // So fare the polls, which say it.
	}
	if w.opts.Observe != nil && ctx.Err() == nil {
		w.opts.Observe(ctx, p)
	}
}

// take adds what one plugin says to a poll.
func (w *Watch) take(p *munin.Poll, said *plugin) {
	text := string(said.config)
	if w.text[said.name] != text {
		reply := munin.ParseConfig(said.name, []byte(text))
		if len(reply.Graphs) != 1 {
			w.opts.Log.Error("a graph of the master itself cannot be described", "graph", said.name)
			return
		}
		w.known[said.name], w.text[said.name] = reply.Graphs[0], text
		w.set = "" // There is a new set of graphs.
	}
	p.Plugins = append(p.Plugins, said.name)
	p.Graphs = append(p.Graphs, w.known[said.name])
	for _, v := range said.values {
		id := munin.SeriesID{Host: Host, Graph: said.name, Field: v.field}
		p.Readings = append(p.Readings, munin.Reading{ID: id, Point: munin.Point{T: p.Slot.UnixMilli(), V: v.value}})
	}
}

// describe numbers the set of graphs.
func (w *Watch) describe(p *munin.Poll) {
	if set := strings.Join(p.Plugins, " "); set != w.set {
		w.set = set
		w.ver++
	}
	p.Described = w.ver
}

// plugin is a config and values, in the making.
type plugin struct {
	name   string
	config []byte
	values []value
}

type value struct {
	field string
	value float64
}

// newPlugin begins a graph: attributes are lines of a plugin's config.
func newPlugin(name string, attributes ...string) plugin {
	p := plugin{name: "corbie_" + name}
	for _, line := range append(attributes, "graph_category corbie") {
		p.config = append(append(p.config, line...), '\n')
	}
	return p
}

// add gives the graph a field with its value.
func (p *plugin) add(field, label string, v float64, attributes ...string) {
	p.config = fmt.Appendf(p.config, "%s.label %s\n%s.min 0\n", field, label, field)
	for _, attr := range attributes {
		p.config = fmt.Appendf(p.config, "%s.%s\n", field, attr)
	}
	p.values = append(p.values, value{field, v})
}

const (
	derive  = "type DERIVE"
	dderive = "type DDERIVE"
)

// plugins says everything.
func (w *Watch) plugins(process Process, complete bool) []plugin {
	s, window, hosts := w.opts.Poller.Stats(), w.opts.Poller.Window(), w.opts.Poller.HostStats()
	all := []plugin{polls(&s), failures(&s), sessions(&window), values(&s, process.Refused), traffic(&s), work(&s), hostCounts(&s, hosts)}
	if complete {
		all = append(all, processor(process), memory(process), disk(process), storing(process))
	}
	return append(all, perHost(hosts)...)
}

func polls(s *poll.Stats) plugin {
	p := newPlugin("polls", "graph_title Polls", "graph_vlabel per ${graph_period}", "graph_period minute",
		"graph_info Sessions with nodes. Missed are times at which a host should have been polled while its poll before was not over.")
	p.add("polls", "polls", float64(s.Polls), derive)
	failed := int64(0)
	for _, n := range s.Failed {
		failed += n
	}
	p.add("failed", "failed", float64(failed), derive)
	p.add("missed", "missed", float64(s.Late), derive)
	return p
}

func failures(s *poll.Stats) plugin {
	p := newPlugin("failures", "graph_title Failed polls by kind", "graph_vlabel per ${graph_period}", "graph_period minute")
	for _, kind := range poll.Reasons() {
		p.add(munin.SanitiseField(kind), kind, float64(s.Failed[kind]), derive)
	}
	return p
}

func sessions(w *poll.Window) plugin {
	p := newPlugin("sessions", "graph_title How long polls take, and how late they begin", "graph_vlabel seconds",
		"graph_info Late is the time that a poll waited for a place among those that run at once.")
	average := func(sum time.Duration) float64 {
		if w.Polls == 0 {
			return 0
		}
		return sum.Seconds() / float64(w.Polls)
	}
	p.add("took", "average", average(w.TookSum))
	p.add("longest", "longest", w.TookMost.Seconds())
	p.add("late", "late, average", average(w.LagSum))
	p.add("latest", "late, most", w.LagMost.Seconds())
	return p
}

func values(s *poll.Stats, refused int64) plugin {
	p := newPlugin("values", "graph_title Values", "graph_vlabel per ${graph_period}",
		"graph_info Lost values could not be stored: the log says why. Refused ones have a time that cannot be right. Faults are parts of answers that could not be used.")
	p.add("stored", "stored", float64(s.Values), derive)
	p.add("lost", "lost", float64(s.Lost), derive)
	p.add("refused", "refused", float64(refused), derive)
	p.add("faults", "faults", float64(s.Faults), derive)
	return p
}

func traffic(s *poll.Stats) plugin {
	p := newPlugin("traffic", "graph_title Received from nodes", "graph_vlabel bytes per ${graph_period}", "graph_args --base 1024")
	p.add("bytes", "received", float64(s.Bytes), derive)
	return p
}

func work(s *poll.Stats) plugin {
	p := newPlugin("work", "graph_title What polls are doing", "graph_vlabel polls at once",
		"graph_info How many polls are, on average, talking with their node or at the steps that follow.")
	p.add("talking", "talking with nodes", s.Talking.Seconds(), dderive)
	p.add("storing", "storing values", s.Storing.Seconds(), dderive)
	p.add("recording", "writing the catalogue", s.Recording.Seconds(), dderive)
	p.add("judging", "judging levels", s.Judging.Seconds(), dderive)
	p.add("limit", "most at once", float64(s.Limit))
	return p
}

func hostCounts(s *poll.Stats, hosts map[munin.HostID]poll.HostStats) plugin {
	failing := 0
	for _, h := range hosts {
		if h.Failed != "" {
			failing++
		}
	}
	p := newPlugin("hosts", "graph_title Hosts", "graph_vlabel hosts")
	p.add("hosts", "polled", float64(s.Hosts))
	p.add("failing", "whose last poll failed", float64(failing))
	return p
}

func processor(process Process) plugin {
	p := newPlugin("cpu", "graph_title Processor time of the master", "graph_vlabel %")
	p.add("cpu", "used", process.CPU.Seconds(), dderive, "cdef cpu,100,*")
	return p
}

func memory(process Process) plugin {
	p := newPlugin("memory", "graph_title Memory of the master", "graph_vlabel bytes", "graph_args --base 1024")
	p.add("resident", "resident", float64(process.Resident))
	return p
}

func disk(process Process) plugin {
	p := newPlugin("disk", "graph_title Disk of the master's data", "graph_vlabel bytes", "graph_args --base 1024")
	p.add("data", "used by the data folder", float64(process.DataBytes))
	p.add("free", "free on its disk", float64(process.DiskFree))
	return p
}

// storing is judged by the value just said, not by what is stored: it must be told while nothing can be stored.
func storing(process Process) plugin {
	p := newPlugin("storage", "graph_title Storing values", "graph_vlabel seconds and parts",
		"graph_info Values that cannot be stored are asked for again where nodes keep them. Parts that were damaged lie in a folder named quarantine or set-aside, or are named by corbie verify.")
	why := cmp.Or(munin.CleanText(process.Why), "see the master's log, and whether the disk of its data folder is full")
	p.add("stopped", "seconds since values could be stored", process.Stopped.Seconds(), "critical :0",
		"extinfo values are not stored: "+why+". Polls, notices and pages go on")
	p.add("damaged", "damaged parts", float64(process.SetAside), "warning :0",
		"extinfo see the master's log for what is missing; delete the folders quarantine and set-aside in the data folder when they are of no use any more")
	return p
}

// mostFields is how many hosts, or groups where there are more hosts, have a field of their own.
const mostFields = 100

// perHost says what polls of each host, or of the hosts of each group, cost.
func perHost(hosts map[munin.HostID]poll.HostStats) []plugin {
	byGroup := len(hosts) > mostFields
	sums := make(map[string]*share)
	for id, h := range hosts {
		name := string(id)
		if byGroup {
			name = cmp.Or(id.Group(), "no group")
		}
		s := sums[name]
		if s == nil {
			s = new(share)
			sums[name] = s
		}
		s.add(h)
	}
	names := make([]string, 0, len(sums))
	for name := range sums {
		names = append(names, name)
	}
	slices.Sort(names)
	if len(names) > mostFields {
		names = names[:mostFields]
	}
	of := "host"
	if byGroup {
		of = "group"
	}
	took := newPlugin("took", "graph_title Longest poll of each "+of, "graph_vlabel seconds")
	late := newPlugin("late", "graph_title How late the last polls of each "+of+" began, at most", "graph_vlabel seconds")
	size := newPlugin("bytes", "graph_title Received at the last polls of each "+of, "graph_vlabel bytes", "graph_args --base 1024")
	count := newPlugin("counts", "graph_title Values of the last polls of each "+of, "graph_vlabel values")
	bad := newPlugin("failing", "graph_title Hosts of each "+of+" whose last poll failed", "graph_vlabel hosts")
	used := make(map[string]bool)
	for _, name := range names {
		field := munin.SanitiseField(name)
		if len(field) > munin.MaxNameBytes || used[field] {
			continue // Two that differ in punctuation only: the graphs would mix them.
		}
		used[field] = true
		s := sums[name]
		took.add(field, name, s.took.Seconds())
		late.add(field, name, s.lag.Seconds())
		size.add(field, name, float64(s.bytes))
		count.add(field, name, float64(s.values))
		bad.add(field, name, float64(s.failed))
	}
	if len(used) == 0 {
		return nil
	}
	return []plugin{took, late, size, count, bad}
}

// share is what the last polls of some hosts cost.
type share struct {
	took, lag     time.Duration
	bytes, values int64
	failed        int
}

func (s *share) add(h poll.HostStats) {
	s.took, s.lag = max(s.took, h.Took), max(s.lag, h.Lag)
	s.bytes += h.Bytes
	s.values += int64(h.Values)
	if h.Failed != "" {
		s.failed++
	}
}
