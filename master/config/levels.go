package config

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"corbie/munin"
)

// Level gives fields attributes that win over what the plugin says: thresholds above all.
type Level struct {
	Match string // as written
	Line  int

	host  string // pattern; empty: every host
	graph string
	field string
	attrs []attr // in the order of the file
}

type attr struct {
	name, value string
	origin      string // "corbie.yml:14"
}

// levelAttrs are the field attributes that the configuration may set.
func levelAttrs() []string {
	return []string{
		"warning", "critical", "unknown_limit", "min", "max", "label", "type", "draw", "colour", "info", "extinfo",
		"line", "cdef", "negative", "graph",
	}
}

// Override applies the levels to a graph of a host. Where several match a field, the later one wins, attribute by
// attribute. Field.Origin then says which line of the file an attribute comes from.
func (c *Config) Override(host munin.HostID, g *munin.Graph) {
	for i := range c.Levels {
		l := &c.Levels[i]
		if !l.matchesHost(host) || !matches(l.graph, g.Name) {
			continue
		}
		for j := range g.Fields {
			if f := &g.Fields[j]; matches(l.field, f.Name) {
				l.apply(f)
			}
		}
	}
}

func (l *Level) matchesHost(host munin.HostID) bool {
	switch {
	case l.host == "":
		return true
	case strings.Contains(l.host, ";"):
		return matches(l.host, string(host))
	}
	return matches(l.host, host.Name())
}

func (l *Level) apply(f *munin.Field) {
	for _, a := range l.attrs {
		if err := f.Set(a.name, a.value); err != nil {
			continue // It was tried when the file was read.
		}
		if f.Origin == nil {
			f.Origin = make(map[string]string)
		}
		f.Origin[a.name] = a.origin
	}
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

func (r *reader) levels(n *node, hosts []Host) []Level {
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
		case !slices.ContainsFunc(hosts, func(h Host) bool { return l.matchesHost(h.ID) }) && l.host != "":
			r.warn(item.Line, "levels: no configured host matches %q", l.Match)
		}
		list = append(list, l)
	}
	return list
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
	l.attrs = append(l.attrs, attr{name: name, value: value, origin: place(r.name, n.Line)})
}
