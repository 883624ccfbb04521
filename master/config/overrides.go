package config

import (
	"maps"
	"slices"
	"strings"

	"corbie/munin"
)

// Override gives what its pattern matches attributes that win over what the plugin says: graphs, or fields.
type Override struct {
	Match string // the pattern as written: HOST:GRAPH or HOST:GRAPH.FIELD, where HOST: may be missing
	At    Place

	host  string // pattern; empty: every host; "@tag": those with the tag
	graph string
	field string // empty: the attributes are those of the graph
	attrs []attr // in the order of the file
}

type attr struct {
	name, value string
	at          Place
}

// Override applies the configuration to a graph of a host: first munin.conf, then the section graphs, then the levels.
// Where several of one kind match, the later one wins, attribute by attribute. The Origin of graph and fields then says
// which line of which file an attribute comes from.
func (c *Config) Override(host munin.HostID, g *munin.Graph) {
	if c.munin != nil {
		c.munin.override(host, g)
	}
	tags := c.tags[host]
	for _, all := range [][]Override{c.Graphs, c.Levels} {
		for i := range all {
			if o := &all[i]; matchesHost(o.host, host, tags) && matches(o.graph, g.Name) {
				o.apply(g)
			}
		}
	}
}

func (o *Override) apply(g *munin.Graph) {
	if o.field == "" {
		o.applyToGraph(g)
		return
	}
	for i := range g.Fields {
		if f := &g.Fields[i]; matches(o.field, f.Name) {
			for _, a := range o.attrs {
				a.setField(f)
			}
		}
	}
}

func (o *Override) applyToGraph(g *munin.Graph) {
	for _, a := range o.attrs {
		a.setGraph(g)
	}
	if slices.ContainsFunc(o.attrs, func(a attr) bool { return a.name == "graph_order" }) {
		g.Fields = slices.Clone(g.Fields)
		g.SortFields()
	}
}

// setField sets an attribute that was tried when its file was read.
func (a attr) setField(f *munin.Field) {
	if err := f.Set(a.name, a.value); err != nil {
		return
	}
	f.Origin = with(f.Origin, a.name, a.at.String())
}

// setGraph sets an attribute that was tried when its file was read.
func (a attr) setGraph(g *munin.Graph) {
	if err := g.Set(a.name, a.value); err != nil {
		return
	}
	g.Origin = with(g.Origin, a.name, a.at.String())
}

// with adds to a copy of a map: descriptions of graphs are shared.
func with(m map[string]string, key, value string) map[string]string {
	out := make(map[string]string, len(m)+1)
	maps.Copy(out, m)
	out[key] = value
	return out
}

// anyHost says whether a configured host matches a pattern.
func (c *Config) anyHost(pattern string) bool {
	return pattern == "" || slices.ContainsFunc(c.Hosts, func(h Host) bool { return matchesHost(pattern, h.ID, h.Tags) })
}

// matchesHost compares a host with a pattern: of its name, of its whole path, or of one of its tags.
func matchesHost(pattern string, host munin.HostID, tags []string) bool {
	if tag, ok := strings.CutPrefix(pattern, "@"); ok {
		return slices.ContainsFunc(tags, func(one string) bool { return matches(tag, one) })
	}
	switch {
	case pattern == "":
		return true
	case strings.Contains(pattern, ";"):
		return matches(pattern, string(host))
	}
	return matches(pattern, host.Name())
}

// matches compares a text with a pattern in which * stands for any characters and ? for one.
func matches(pattern, text string) bool {
	p, t, star, mark := 0, 0, -1, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, t
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == text[t]):
			p++
			t++
		case star >= 0:
			mark++
			p, t = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
