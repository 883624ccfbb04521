package poll

import (
	"bytes"
	"crypto/sha256"
	"hash/maphash"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"
	"weak"

	"corbie/munin"
)

// described is what one text of a plugin's config says. Hosts share it, and nobody changes it.
type described struct {
	hash   digest
	graphs []munin.Graph // with fields, or with an order
	names  map[string]names
	faults []munin.Fault
}

// names are those of a graph and its declared fields, to be shared by all readings.
type names struct {
	graph  string
	fields map[string]string
}

type digest [sha256.Size]byte

// describe takes a config apart that holds no values.
func describe(plugin string, hash digest, text []byte) *described {
	reply := munin.ParseConfig(plugin, text)
	d := &described{hash: hash, faults: reply.Faults}
	for i := range reply.Graphs {
		if g := &reply.Graphs[i]; len(g.Fields) > 0 || len(g.Order) > 0 {
			d.graphs = append(d.graphs, *g)
		}
	}
	d.index()
	return d
}

func (d *described) index() {
	d.names = make(map[string]names, len(d.graphs))
	for i := range d.graphs {
		g := &d.graphs[i]
		n := names{graph: g.Name, fields: make(map[string]string, len(g.Fields))}
		for j := range g.Fields {
			n.fields[g.Fields[j].Name] = g.Fields[j].Name
		}
		d.names[g.Name] = n
	}
}

// overridden is d itself where a host's configuration changes nothing of it.
func (d *described) overridden(override func(*munin.Graph)) *described {
	if override == nil {
		return d
	}
	var own *described
	for i := range d.graphs {
		g := cloned(&d.graphs[i])
		override(&g)
		if reflect.DeepEqual(g, d.graphs[i]) {
			continue
		}
		if own == nil {
			own = &described{hash: d.hash, graphs: slices.Clone(d.graphs), faults: d.faults}
		}
		own.graphs[i] = g
	}
	if own == nil {
		return d
	}
	own.index()
	return own
}

// cloned is a copy whose fields and attributes can be changed.
func cloned(g *munin.Graph) munin.Graph {
	c := *g
	c.Order, c.Extra, c.Fields = slices.Clone(g.Order), maps.Clone(g.Extra), slices.Clone(g.Fields)
	for i := range c.Fields {
		f := &c.Fields[i]
		f.Extra, f.Origin = maps.Clone(f.Extra), maps.Clone(f.Origin)
	}
	return c
}

// library keeps what configs say for as long as a host refers to it, so that hosts with the same plugins share
// one copy and only the first of them has to parse.
type library struct {
	seed maphash.Seed

	mu      sync.Mutex
	books   map[edition]weak.Pointer[described]
	sets    map[uint64]weak.Pointer[graphSet]
	version uint64 // of the newest set
	sweepAt int
}

// graphSet is what the graphs of a poll are told as.
type graphSet struct {
	kept    []*munin.Graph // in order
	graphs  []munin.Graph  // the same, not pointed to
	version uint64         // munin.Poll.Described
}

func newGraphSet(kept []*munin.Graph, version uint64) *graphSet {
	set := &graphSet{kept: kept, graphs: make([]munin.Graph, len(kept)), version: version}
	for i, g := range kept {
		set.graphs[i] = *g
	}
	return set
}

type edition struct {
	plugin string
	hash   digest
}

// leastSweep is how much may gather before the first sweep.
const leastSweep = 1000

func newLibrary() *library {
	return &library{
		seed: maphash.MakeSeed(), books: make(map[edition]weak.Pointer[described]), sets: make(map[uint64]weak.Pointer[graphSet]),
		sweepAt: leastSweep,
	}
}

// set makes of graphs what a poll tells. Hosts that have the very same graphs share it.
func (l *library) set(kept []*munin.Graph) *graphSet {
	if l == nil {
		return newGraphSet(kept, 0)
	}
	var h maphash.Hash
	h.SetSeed(l.seed)
	for _, g := range kept {
		maphash.WriteComparable(&h, g)
	}
	key := h.Sum64()
	l.mu.Lock()
	defer l.mu.Unlock()
	if set := l.sets[key].Value(); set != nil && slices.Equal(set.kept, kept) {
		return set
	}
	l.version++
	set := newGraphSet(kept, l.version)
	l.sets[key] = weak.Make(set)
	l.sweep()
	return set
}

// sweep drops what no host refers to any more, from time to time.
func (l *library) sweep() {
	if len(l.books)+len(l.sets) < l.sweepAt {
		return
	}
	maps.DeleteFunc(l.books, func(_ edition, p weak.Pointer[described]) bool { return p.Value() == nil })
	maps.DeleteFunc(l.sets, func(_ uint64, p weak.Pointer[graphSet]) bool { return p.Value() == nil })
	l.sweepAt = max(leastSweep, 2*(len(l.books)+len(l.sets)))
}

func (l *library) find(plugin string, hash digest, text []byte) *described {
	if l == nil {
		return describe(plugin, hash, text)
	}
	key := edition{plugin, hash}
	l.mu.Lock()
	d := l.books[key].Value()
	l.mu.Unlock()
	if d != nil {
		return d
	}
	d = describe(plugin, hash, text)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.books[key] = weak.Make(d)
	l.sweep()
	return d
}

// knowledge is what is remembered of a host from one session to the next.
type knowledge struct {
	plugins map[string]*described
	asked   map[string]time.Time // when a plugin answered that is not asked at every poll
	doubted map[string]digest    // configs that looked like another plugin's the last time
	set     *graphSet            // the graphs of the last session that brought some

	values  int        // of the last session
	spooled *described // what the spool said the last time

	node   string // under which it was asked, or the only name that it knew, as it did not know the host's own, …
	banner string // … and what it called itself then
	mute   bool   // it cannot say how its plugins' last runs went
	spool  int64  // how far the node's spool is stored, in seconds since 1970
}

// before is what the catalogue knew.
func before(host *munin.Host, address string) knowledge {
	k := knowledge{}
	if host.Address == "" || host.Address == address {
		k.banner = host.Banner
	}
	if host.Spool > 0 {
		k.spool = max(host.Spool-int64(spoolOverlap.Seconds()), 0)
	}
	return k
}

// forget drops what depends on the configuration. The node behind another address may be another one.
func (k *knowledge) forget(moved bool) {
	*k = knowledge{node: k.node, banner: k.banner, spool: k.spool}
	if moved {
		k.node, k.banner = "", ""
	}
}

// twin names another plugin that had exactly this config the last time.
func (k *knowledge) twin(plugin string, hash digest) (name string, ok bool) {
	for other, d := range k.plugins {
		if other != plugin && d.hash == hash {
			return other, true
		}
	}
	return "", false
}

// describe finds what a plugin's config says. It is false when the config changed to what another plugin of this
// node said the last time: then it is likely to be the answer to another question. Once it is said again, it is
// believed.
func (s *session) describe(plugin string, text []byte) (d *described, twin string, ok bool) {
	hash := digest(sha256.Sum256(text))
	old := s.known.plugins[plugin]
	if old != nil && old.hash == hash {
		return old, "", true
	}
	if other, same := s.known.twin(plugin, hash); same && old != nil && s.known.doubted[plugin] != hash {
		if s.known.doubted == nil {
			s.known.doubted = make(map[string]digest)
		}
		s.known.doubted[plugin] = hash
		return nil, other, false
	}
	delete(s.known.doubted, plugin)
	return s.opts.library.find(plugin, hash, text).overridden(s.target.Override), "", true
}

// remember keeps what this session learnt, and tells in the poll which graphs it brought: the very same as
// before when nothing changed.
func (s *session) remember() {
	k := s.known
	k.values = len(s.poll.Readings)
	if k.plugins == nil {
		k.plugins = make(map[string]*described)
	}
	listed := make(map[string]bool, len(s.poll.Plugins))
	for _, name := range s.poll.Plugins {
		listed[name] = true
	}
	if len(listed) > 0 {
		maps.DeleteFunc(k.plugins, func(name string, _ *described) bool { return !listed[name] })
	}
	for _, j := range s.jobs {
		if j.about != nil {
			k.plugins[j.name] = j.about
			s.answered(j)
		}
	}
	if len(s.kept) == 0 {
		return
	}
	if k.set == nil || !slices.Equal(k.set.kept, s.kept) {
		k.set = s.opts.library.set(s.kept)
	}
	s.poll.Graphs, s.poll.Described = k.set.graphs, k.set.version
}

// split parts a config's answer into the description and, where a dirty one holds values, an answer to fetch.
// Lines keep their numbers.
func split(body []byte) (about, values []byte) {
	if !bytes.Contains(body, []byte(".value")) {
		return body, nil
	}
	about = make([]byte, 0, len(body))
	found := false
	for line := range bytes.Lines(body) {
		key, _, _ := bytes.Cut(bytes.TrimSpace(line), []byte{' '})
		key, _, _ = bytes.Cut(key, []byte{'\t'})
		_, attr, _ := bytes.Cut(key, []byte{'.'})
		isValue, isHead := string(attr) == "value", string(key) == "multigraph"
		found = found || isValue
		if isValue {
			about = append(about, '\n')
		} else {
			about = append(about, line...)
		}
		if isValue || isHead {
			values = append(values, line...)
		} else {
			values = append(values, '\n')
		}
	}
	if !found {
		return body, nil
	}
	return about, values
}
