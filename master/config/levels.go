package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"corbie/munin"
)

// Level gives fields attributes that win over what the plugin says: thresholds above all.
type Level struct {
	Match string // as written
	Line  int

	host  string // pattern; empty: every host; "@tag": those with the tag
	graph string
	field string
	attrs []attr // in the order of the file
}

type attr struct {
	name, value string
	at          Place
}

// levelAttrs are the field attributes that the configuration may set.
func levelAttrs() []string {
	return []string{
		"warning", "critical", "unknown_limit", "min", "max", "label", "type", "draw", "colour", "info", "extinfo",
		"line", "cdef", "negative", "graph",
	}
}

// Override applies the configuration to a graph of a host: first munin.conf, then the rules for graphs, then the levels.
// Where several of one kind match, the later one wins, attribute by attribute. The Origin of graph and fields then says
// which line of which file an attribute comes from.
func (c *Config) Override(host munin.HostID, g *munin.Graph) {
	if c.munin != nil {
		c.munin.override(host, g)
	}
	tags := c.tags[host]
	for i := range c.GraphRules {
		if rule := &c.GraphRules[i]; matchesHost(rule.host, host, tags) && matches(rule.graph, g.Name) {
			rule.apply(g)
		}
	}
	for i := range c.Levels {
		l := &c.Levels[i]
		if !matchesHost(l.host, host, tags) || !matches(l.graph, g.Name) {
			continue
		}
		for j := range g.Fields {
			if f := &g.Fields[j]; matches(l.field, f.Name) {
				l.apply(f)
			}
		}
	}
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

func (l *Level) apply(f *munin.Field) {
	for _, a := range l.attrs {
		a.setField(f)
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

func (r *reader) levels(n *node, c *Config) []Level {
	if n == nil {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		r.problem(n.Line, "levels: want a list: each entry begins with \"- match: …\"")
		return nil
	}
	var list []Level
	for i, item := range n.Content {
		l := Level{Line: item.Line}
		where := fmt.Sprintf("levels, entry %d", i+1)
		keys := map[string]func(*node){
			"match": func(n *node) { r.match(n, &l) },
		}
		for _, name := range levelAttrs() {
			keys[name] = func(n *node) { r.levelAttr(n, name, &l) }
		}
		before := len(r.problems)
		r.mapping(item, where, keys)
		if len(r.problems) > before {
			continue
		}
		switch {
		case l.Match == "":
			r.problem(item.Line, "%s: match is missing; write match: \"HOST:GRAPH.FIELD\", with * for any characters", where)
		case len(l.attrs) == 0:
			r.problem(item.Line, "%s: it changes nothing; set warning or critical", where)
		case !c.anyHost(l.host):
			r.warn(item.Line, "levels: no configured host matches %q", l.Match)
		}
		list = append(list, l)
	}
	return list
}

// anyHost says whether a configured host matches a pattern.
func (c *Config) anyHost(pattern string) bool {
	return pattern == "" || slices.ContainsFunc(c.Hosts, func(h Host) bool { return matchesHost(pattern, h.ID, h.Tags) })
}

// match takes "HOST:GRAPH.FIELD" or "GRAPH.FIELD" apart.
func (r *reader) match(n *node, l *Level) {
	value := r.text(n)
	if value == "" {
		return
	}
	host, rest, ok := strings.Cut(value, ":")
	if !ok {
		host, rest = "", value
	}
	dot := strings.LastIndexByte(rest, '.')
	switch {
	case len(value) > 3*munin.MaxNameBytes:
		r.problem(n.Line, "match: the pattern is longer than %d bytes", 3*munin.MaxNameBytes)
	case ok && host == "":
		r.problem(n.Line, "match: %q: there is no host before the colon; leave the colon out to match every host", short(value))
	case dot < 1 || dot == len(rest)-1:
		r.problem(n.Line, "match: %q: want HOST:GRAPH.FIELD or GRAPH.FIELD, such as \"www*:df.*\"", short(value))
	case strings.Contains(rest, ";"):
		r.problem(n.Line, "match: %q: the host, after its group, ends with a colon: \"web;www1:df.*\"", short(value))
	case strings.ContainsAny(value, "[]{}|\\^$"):
		r.problem(n.Line, "match: %q: only * and ? are special here, other characters of regular expressions are not", short(value))
	default:
		l.Match, l.host, l.graph, l.field = value, strings.TrimSpace(host), rest[:dot], rest[dot+1:]
	}
}

// levelAttr reads one attribute and tries it on a field.
func (r *reader) levelAttr(n *node, name string, l *Level) {
	value := r.text(n)
	if value == "" {
		return
	}
	if (name == "warning" || name == "critical") && (value == "none" || value == "off") {
		value = ":"
	}
	var try munin.Field
	if err := try.Set(name, value); err != nil {
		r.problem(n.Line, "%s", strings.TrimPrefix(err.Error(), name+": "))
		return
	}
	l.attrs = append(l.attrs, attr{name: name, value: value, at: r.at(n.Line)})
}
