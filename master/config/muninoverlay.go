package config

import (
	"maps"
	"slices"
	"strings"

	"corbie/munin"
)

// override applies what a munin.conf says of a graph. What it says of the graph and of its fields wins over the plugin;
// what it says further out (a service for its fields, a host, a group, everything) only holds where nothing nearer says
// anything.
func (m *muninConf) override(host munin.HostID, g *munin.Graph) {
	h := m.hosts[host]
	if h == nil {
		h = &muninHost{}
	}
	g.Fields = slices.Clone(g.Fields)
	ordered := false
	for _, a := range sorted(h.services[g.Name]) {
		if isGraphAttr(a.name) || a.name == "graph" || a.name == "update_rate" {
			a.setGraph(g)
			ordered = ordered || a.name == "graph_order"
		}
	}
	h.addFields(g)
	for i := range g.Fields {
		f := &g.Fields[i]
		for _, a := range sorted(h.services[g.Name+"."+f.Name]) {
			if !isGraphAttr(a.name) {
				a.setField(f)
			}
		}
	}
	m.inherit(host, h, g)
	if ordered {
		g.SortFields()
	}
}

// sorted are attributes by name, so that the result does not depend on the order of a map.
func sorted(attrs map[string]attr) []attr {
	list := make([]attr, 0, len(attrs))
	for _, name := range slices.Sorted(maps.Keys(attrs)) {
		list = append(list, attrs[name])
	}
	return list
}

// addFields adds the fields that only the munin.conf knows: sums, stacks and the like.
func (h *muninHost) addFields(g *munin.Graph) {
	for _, path := range h.paths {
		name, ok := strings.CutPrefix(path, g.Name+".")
		if !ok || strings.Contains(name, ".") || len(g.Fields) >= munin.MaxFields {
			continue
		}
		name = munin.SanitiseField(name)
		if _, there := g.Field(name); there || !h.describesField(path) {
			continue
		}
		g.Fields = append(g.Fields, munin.Field{Name: name, Label: name, Draw: munin.Draw{Width: 1}})
	}
}

// describesField says whether a path has what makes a field.
func (h *muninHost) describesField(path string) bool {
	attrs := h.services[path]
	for _, name := range []string{"label", "sum", "stack", "cdef"} {
		if _, ok := attrs[name]; ok {
			return !h.isService(path)
		}
	}
	return false
}

// isService says whether a path has what only a service can have.
func (h *muninHost) isService(path string) bool {
	for name := range h.services[path] {
		if isGraphAttr(name) {
			return true
		}
	}
	return false
}

// chain are the places where an attribute is looked for, the nearest first: the graph and the graphs around it, if they
// are wanted, then host, groups, everything.
func (m *muninConf) chain(host munin.HostID, h *muninHost, graph string, within bool) (near, far []map[string]attr) {
	for path := graph; path != ""; path = path[:max(strings.LastIndexByte(path, '.'), 0)] {
		if attrs, ok := h.services[path]; ok && (within || path != graph) {
			near = append(near, attrs)
		}
	}
	if len(h.own) > 0 {
		far = append(far, h.own)
	}
	for group := host.Group(); group != ""; group = group[:max(strings.LastIndexByte(group, ';'), 0)] {
		if attrs, ok := m.groups[group]; ok {
			far = append(far, attrs)
		}
	}
	return near, append(far, m.global)
}

func nearestOf(places []map[string]attr, name string) (attr, bool) {
	for _, attrs := range places {
		if a, ok := attrs[name]; ok {
			return a, true
		}
	}
	return attr{}, false
}

// inherit fills in what neither plugin nor munin.conf says of the graph and its fields. Levels that are set for a whole
// host or more only hold in graphs that have levels of their own, as munin-limits looks at no others.
func (m *muninConf) inherit(host munin.HostID, h *muninHost, g *munin.Graph) {
	near, far := m.chain(host, h, g.Name, false)
	for name, unset := range unsetGraph(g) {
		if a, ok := nearestOf(append(near, far...), name); ok && unset {
			a.setGraph(g)
		}
	}
	near, far = m.chain(host, h, g.Name, true)
	everywhere := append(slices.Clone(near), far...)
	limits := everywhere
	if !hasLimits(near, g) {
		limits = near
	}
	for i := range g.Fields {
		f := &g.Fields[i]
		for name, unset := range unsetField(f) {
			places := everywhere
			if name == "warning" || name == "critical" {
				places = limits
			}
			if a, ok := nearestOf(places, name); ok && unset {
				a.setField(f)
			}
		}
	}
}

// hasLimits says whether a graph is one that munin-limits looks at.
func hasLimits(near []map[string]attr, g *munin.Graph) bool {
	for _, name := range []string{"warning", "critical"} {
		if _, ok := nearestOf(near, name); ok {
			return true
		}
	}
	return slices.ContainsFunc(g.Fields, func(f munin.Field) bool { return !f.Warning.IsZero() || !f.Critical.IsZero() })
}

// unsetGraph are the attributes that a graph can inherit, and whether nobody set them.
func unsetGraph(g *munin.Graph) map[string]bool {
	unset := map[string]bool{
		"graph_args": g.Args == "", "graph_vlabel": g.VLabel == "", "graph_info": g.Info == "", "graph_total": g.Total == "",
		"graph_printf": g.Printf == "", "graph_category": g.Category == "other" || g.Category == "",
		"graph_period": g.Period == "second", "graph_scale": !g.NoScale,
	}
	for _, name := range []string{"graph_width", "graph_height", "graph_sums", "graph_future", "graph_args_after"} {
		unset[name] = g.Extra[name] == ""
	}
	for name := range g.Origin {
		delete(unset, name)
	}
	return unset
}

// unsetField are the attributes that a field can inherit, and whether nobody set them.
func unsetField(f *munin.Field) map[string]bool {
	unset := map[string]bool{
		"warning": f.Warning.IsZero(), "critical": f.Critical.IsZero(), "unknown_limit": f.UnknownLimit == 0,
		"min": !f.Bounds.HasLow, "max": !f.Bounds.HasHigh, "colour": f.Colour == "", "cdef": f.CDEF == "",
		"line": f.Line == "", "extinfo": f.ExtInfo == "", "info": f.Info == "",
		"draw": f.Draw == munin.Draw{Width: 1} || f.Draw == munin.Draw{},
	}
	for name := range f.Origin {
		delete(unset, name)
	}
	return unset
}

// virtualGraphs are the graphs of a host that show what others have: all of those of a virtual host, and of a polled
// one those that borrow or are not to be polled.
func (m *muninConf) virtualGraphs(found *findings, h *muninHost, all bool) []munin.Graph {
	var list []munin.Graph
	for _, path := range h.paths {
		if !h.isService(path) {
			continue
		}
		title, titled := h.services[path]["graph_title"]
		g := munin.Graph{Plugin: strings.Split(path, ".")[0], Name: path, Title: title.value, Category: "other", Period: "second"}
		g.Fields = h.fieldsOf(path)
		m.override(munin.NewHostID(h.group, h.name), &g)
		off, said := h.services[path]["update"]
		switch {
		case !all && !g.Borrows() && (!said || isYes(off.value)):
			continue // What it says of a plugin's graph is applied when that is polled.
		case !titled && all:
			found.warnAt(h.firstLine(path), "%s of %s has no graph_title, without which there is no graph", path, h.name)
			continue
		case !titled:
			continue
		}
		list = append(list, g)
	}
	return list
}

func isYes(text string) bool {
	yes, err := munin.ParseBool(text)
	return err == nil && yes
}

func (h *muninHost) firstLine(path string) Place {
	for _, a := range sorted(h.services[path]) {
		return a.at
	}
	return h.at
}

// fieldsOf are the fields that a munin.conf describes of a service.
func (h *muninHost) fieldsOf(service string) []munin.Field {
	var fields []munin.Field
	for _, path := range h.paths {
		name, ok := strings.CutPrefix(path, service+".")
		if !ok || strings.Contains(name, ".") || h.isService(path) || len(fields) >= munin.MaxFields {
			continue
		}
		fields = append(fields, munin.Field{Name: munin.SanitiseField(name)})
	}
	return fields
}

// Virtual are the graphs of a host that no node has: they show what others have. They have to be resolved by
// munin.Graph.Borrow.
func (c *Config) Virtual(host munin.HostID) []munin.Graph {
	if c.munin == nil {
		return nil
	}
	graphs := slices.Clone(c.munin.virtual[host])
	for i := range graphs {
		graphs[i].Fields = slices.Clone(graphs[i].Fields)
		c.Override(host, &graphs[i])
	}
	return graphs
}
