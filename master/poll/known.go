package poll

import (
	"bytes"
	"crypto/sha256"
	"maps"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
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
	version atomic.Uint64 // of the newest set of graphs

	mu      sync.Mutex
	books   map[edition]weak.Pointer[described]
	sweepAt int
}

type edition struct {
	plugin string
	hash   digest
}

func newLibrary() *library {
	return &library{books: make(map[edition]weak.Pointer[described]), sweepAt: 1000}
}

// next is the number of another set of graphs; 0 where there is nothing to compare it with.
func (l *library) next() uint64 {
	if l == nil {
		return 0
	}
	return l.version.Add(1)
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
	if len(l.books) > l.sweepAt {
		maps.DeleteFunc(l.books, func(_ edition, p weak.Pointer[described]) bool { return p.Value() == nil })
		l.sweepAt = max(1000, 2*len(l.books))
	}
	return d
}

// knowledge is what is remembered of a host from one session to the next.
type knowledge struct {
	plugins map[string]*described
	asked   map[string]time.Time // when a plugin answered that is not asked at every poll
	doubted map[string]digest    // configs that looked like another plugin's the last time
	kept    []*munin.Graph       // the graphs of the last session, in order, …
	graphs  []munin.Graph        // … as they were told, …
	version uint64               // … and as munin.Poll.Described

	spooled *described // what the spool said the last time

	node   string // the only name that the node knew, as it did not know the host's own, …
	banner string // … and what it called itself then
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
	if k.version == 0 || !slices.Equal(k.kept, s.kept) {
		k.kept, k.graphs, k.version = s.kept, make([]munin.Graph, len(s.kept)), s.opts.library.next()
		for i, g := range s.kept {
			k.graphs[i] = *g
		}
	}
	s.poll.Graphs, s.poll.Described = k.graphs, k.version
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
