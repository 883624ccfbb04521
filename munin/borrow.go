package munin

import (
	"slices"
	"strings"
	"time"
)

// Known gives a graph of a host as it is known, and the time between two polls of that host; nil where there is no
// such host or graph.
type Known func(host HostID, graph string) (g *Graph, interval time.Duration)

// Borrows says whether the graph has anything for Borrow to do: fields that are borrowed (graph_order alias=path),
// summed (sum), stacked (stack) or hidden by a dash in graph_order.
func (g *Graph) Borrows() bool {
	for _, item := range g.Order {
		if strings.HasPrefix(item, "-") || strings.IndexByte(item, '=') > 0 {
			return true
		}
	}
	if g.Extra["graph_sources"] != "" {
		return true
	}
	for i := range g.Fields {
		extra := g.Fields[i].Extra
		if extra["sum"] != "" || extra["stack"] != "" {
			return true
		}
	}
	return false
}

// Borrow returns a copy of a graph of a host in which every field that has no values of its own says in From where
// they come from:
//
//   - "alias=path" in graph_order is a field named alias that shows the series at the path. It takes over type, draw and
//     info of the field there, and nothing else; its label is the alias, unless it has one.
//   - "field.sum path path …" is the sum of the series at the paths.
//   - "field.stack a=path b=path …" becomes the fields a, b and so on: the first is drawn as the field would be, the
//     others are stacked on it. The field itself is not drawn.
//   - "-name" in graph_order hides a field; all that graph_sources names are hidden as well.
//
// A path is "field", "graph.field", "host:graph.field" or "group;host:graph.field", relative to the graph itself, or to
// its host, or to one of its groups, the nearest first. Paths at which nothing is known are named in the faults.
func (g *Graph) Borrow(host HostID, known Known) (Graph, []Fault) {
	out := *g
	out.Order = slices.Clone(g.Order)
	out.Fields = slices.Clone(g.Fields)
	for i := range out.Fields {
		out.Fields[i].From = nil
	}
	b := &borrower{host: host, graph: g, out: &out, known: known}
	b.order()
	b.sums()
	b.stacks()
	for i := range out.Fields {
		f := &out.Fields[i]
		if f.Label == "" {
			f.Label = f.Name
		}
		if f.Draw == (Draw{}) {
			f.Draw.Width = 1
		}
	}
	out.SortFields()
	return out, b.faults
}

type borrower struct {
	host   HostID
	graph  *Graph // as it was
	out    *Graph
	known  Known
	faults []Fault
}

func (b *borrower) fault(text, reason string) {
	if len(b.faults) < MaxFaults {
		b.faults = append(b.faults, Fault{Plugin: b.graph.Plugin, Text: excerpt(text), Reason: b.graph.Name + ": " + reason})
	}
}

// order takes graph_order apart.
func (b *borrower) order() {
	items := slices.Clone(b.graph.Order)
	for _, item := range strings.Fields(b.graph.Extra["graph_sources"]) {
		items = append(items, "-"+strings.TrimPrefix(item, "-"))
	}
	for _, item := range items {
		name, hidden := strings.CutPrefix(item, "-")
		name, path, borrowed := strings.Cut(name, "=")
		if name = SanitiseField(name); name == "" {
			continue
		}
		if borrowed {
			from, field, ok := b.find(path)
			if !ok {
				b.fault(item, "graph_order borrows what nobody has")
				b.out.Fields = slices.DeleteFunc(b.out.Fields, func(f Field) bool { return f.Name == name })
				continue
			}
			own := Source{}
			if old, there := b.graph.Field(name); there {
				own = b.graph.Source(b.host, old, 0)
			}
			f := b.field(name)
			if from.ID != own.ID {
				f.inherit(field)
				f.From = parts(&from)
			}
		}
		if f, there := b.out.Field(name); there && hidden {
			f.Hidden = true
		}
	}
}

// inherit takes over what a borrowed field shows of the field that it borrows.
func (f *Field) inherit(from *Field) {
	f.Type = from.Type
	if _, said := f.Origin["draw"]; !said && (f.Draw == Draw{} || f.Draw == Draw{Width: 1}) {
		f.Draw = from.Draw
	}
	if f.Info == "" {
		f.Info = from.Info
	}
}

// field finds a field of the new graph, or makes it.
func (b *borrower) field(name string) *Field {
	if f, ok := b.out.Field(name); ok {
		return f
	}
	if len(b.out.Fields) >= MaxFields {
		b.fault(name, "it has too many fields")
		return new(Field)
	}
	b.out.Fields = append(b.out.Fields, Field{Name: name})
	return &b.out.Fields[len(b.out.Fields)-1]
}

func (b *borrower) sums() {
	for i := range b.out.Fields {
		f := &b.out.Fields[i]
		for _, item := range strings.Fields(f.Extra["sum"]) {
			_, path, aliased := strings.Cut(item, "=")
			if !aliased {
				path = item
			}
			from, field, ok := b.find(path)
			switch {
			case !ok:
				b.fault(item, f.Name+".sum adds what nobody has")
			case len(f.From) >= MaxFields:
				b.fault(item, f.Name+".sum adds too many fields")
			default:
				f.From = append(f.From, parts(&from)...)
				f.Type = field.Type
			}
		}
	}
}

// parts are the series of which a source consists.
func parts(s *Source) []Source {
	if len(s.Sum) > 0 {
		return s.Sum
	}
	return []Source{*s}
}

func (b *borrower) stacks() {
	for _, parent := range slices.Clone(b.out.Fields) {
		items := strings.Fields(parent.Extra["stack"])
		if len(items) == 0 {
			continue
		}
		at := slices.IndexFunc(b.out.Fields, func(f Field) bool { return f.Name == parent.Name })
		stacked := b.stack(&parent, items)
		b.out.Fields = slices.Replace(b.out.Fields, at, at+1, stacked...)
		names := make([]string, len(stacked))
		for i := range stacked {
			names[i] = stacked[i].Name
		}
		if i := slices.Index(b.out.Order, parent.Name); i >= 0 {
			b.out.Order = slices.Replace(b.out.Order, i, i+1, names...)
		}
	}
}

func (b *borrower) stack(parent *Field, items []string) []Field {
	var list []Field
	for _, item := range items {
		alias, path, aliased := strings.Cut(item, "=")
		if !aliased {
			path = item
		}
		from, field, ok := b.find(path)
		if !ok {
			b.fault(item, parent.Name+".stack shows what nobody has")
			continue
		}
		if len(list)+len(b.out.Fields) >= MaxFields {
			b.fault(item, parent.Name+".stack shows too many fields")
			break
		}
		f := Field{
			Name: SanitiseField(alias), Label: CleanText(alias), Type: field.Type, Draw: Draw{Kind: Stack}, Info: field.Info,
			From: parts(&from), Origin: make(map[string]string),
		}
		if len(list) == 0 {
			f.Draw = parent.Draw
			f.origin("draw", parent)
		}
		if parent.CDEF != "" {
			f.CDEF = rename(parent.CDEF, parent.Name, f.Name)
			f.origin("cdef", parent)
		}
		list = append(list, f)
	}
	return list
}

// origin takes over where an attribute comes from.
func (f *Field) origin(name string, from *Field) {
	if place, ok := from.Origin[name]; ok {
		f.Origin[name] = place
	}
}

// rename replaces a field's name in a cdef.
func rename(cdef, from, to string) string {
	words := strings.Split(cdef, ",")
	for i, word := range words {
		if strings.TrimSpace(word) == from {
			words[i] = to
		}
	}
	return strings.Join(words, ",")
}

// find resolves a path.
func (b *borrower) find(path string) (Source, *Field, bool) {
	for _, id := range candidates(b.host, b.graph.Name, path) {
		g, interval := b.graph, time.Duration(0)
		if id.Host != b.host || id.Graph != b.graph.Name {
			g, interval = b.known(id.Host, id.Graph)
		} else if known, every := b.known(id.Host, id.Graph); known != nil {
			interval = every
		}
		if g == nil {
			continue
		}
		if f, ok := g.Field(id.Field); ok {
			return g.Source(id.Host, f, interval), f, true
		}
	}
	return Source{}, nil, false
}

// candidates are the series that a path can mean for a graph of a host, the nearest first.
func candidates(host HostID, graph, path string) []SeriesID {
	path = strings.TrimSpace(path)
	left, right, hosted := strings.Cut(path, ":")
	if hosted {
		dot := strings.LastIndexByte(right, '.')
		if dot < 1 {
			return nil
		}
		return across(host, left, right[:dot], right[dot+1:])
	}
	dot := strings.LastIndexByte(path, '.')
	if dot < 0 {
		return []SeriesID{{Host: host, Graph: graph, Field: SanitiseField(path)}}
	}
	inner, field := path[:dot], SanitiseField(path[dot+1:])
	var list []SeriesID
	for at := graph; ; {
		list = append(list, SeriesID{Host: host, Graph: at + "." + inner, Field: field})
		i := strings.LastIndexByte(at, '.')
		if i < 0 {
			break
		}
		at = at[:i]
	}
	list = append(list, SeriesID{Host: host, Graph: inner, Field: field})
	// Without a colon, a host can only be named if its name has no dot.
	if name, rest, ok := strings.Cut(inner, "."); ok {
		list = append(list, across(host, name, rest, field)...)
	}
	return list
}

// across are the hosts of a name, or of a name with a group, in each group above a host and at the top.
func across(host HostID, name, graph, field string) []SeriesID {
	var list []SeriesID
	for group := host.Group(); ; {
		list = append(list, SeriesID{Host: NewHostID(group, name), Graph: graph, Field: SanitiseField(field)})
		if group == "" {
			return list
		}
		group = group[:max(strings.LastIndexByte(group, ';'), 0)]
	}
}
