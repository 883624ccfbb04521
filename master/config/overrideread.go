package config

import (
	"slices"
	"strings"

	"corbie/munin"
)

// overrideSection is what the sections graphs and levels do not share.
type overrideSection struct {
	name     string
	pattern  string   // what match looks like
	want     string   // which forms it can have, with an example
	attrs    []string // that can be set
	usual    string   // which of them mostly are, for messages
	try      func(name, value string) error
	ofFields bool // the pattern ends with that of a field
}

func graphsSection() overrideSection {
	return overrideSection{
		name: "graphs", pattern: "HOST:GRAPH", want: `HOST:GRAPH, GRAPH or @TAG:GRAPH, such as "www*:df"`,
		attrs: graphAttrs(), usual: "graph_title or another attribute",
		try: func(name, value string) error { return new(munin.Graph).Set(name, value) },
	}
}

func levelsSection() overrideSection {
	return overrideSection{
		name: "levels", pattern: "HOST:GRAPH.FIELD", want: `HOST:GRAPH.FIELD or GRAPH.FIELD, such as "www*:df.*"`,
		attrs: levelAttrs(), usual: "warning or critical",
		try:      func(name, value string) error { return new(munin.Field).Set(name, value) },
		ofFields: true,
	}
}

// graphAttrs are the graph attributes that corbie.yml may set.
func graphAttrs() []string {
	return []string{
		"graph_title", "graph_vlabel", "graph_category", "graph_info", "graph_args", "graph_order", "graph_period", "graph_scale",
		"graph_printf", "graph_total", "graph_width", "graph_height", "graph_sums", "graph_future", "graph_args_after", "graph", "update_rate",
	}
}

// levelAttrs are the field attributes that corbie.yml may set.
func levelAttrs() []string {
	return []string{
		"warning", "critical", "unknown_limit", "min", "max", "label", "type", "draw", "colour", "info", "extinfo",
		"line", "cdef", "negative", "graph", "trend", "predict", "ceiling",
	}
}

// overrides reads the section graphs or levels; nil is a section that is not there.
func (r *reader) overrides(n *node, section overrideSection, c *Config) []Override {
	var list []Override
	for _, item := range r.items(n, section.name, "match") {
		o := Override{At: r.at(item.Line)}
		keys := map[string]func(*node){
			"match": func(n *node) { r.match(n, section, &o) },
		}
		for _, name := range section.attrs {
			keys[name] = func(n *node) { r.attr(n, section, name, &o) }
		}
		if !r.mapping(item.node, item.where, keys) {
			continue
		}
		switch {
		case o.Match == "":
			r.problem(item.Line, "%s: match is missing; write match: %q, with * for any characters", item.where, section.pattern)
		case len(o.attrs) == 0:
			r.problem(item.Line, "%s: it changes nothing; set %s", item.where, section.usual)
		case !c.anyHost(o.host):
			r.warn(item.Line, "%s: no configured host matches %q", section.name, o.Match)
		}
		list = append(list, o)
	}
	return list
}

// match takes a pattern apart: the host up to the first colon, and the field, where there is one, from the last dot on.
func (r *reader) match(n *node, section overrideSection, o *Override) {
	value := r.text(n)
	if value == "" {
		return
	}
	host, graph, hasHost := strings.Cut(value, ":")
	if !hasHost {
		host, graph = "", value
	}
	field, whole := "", graph != ""
	if section.ofFields {
		dot := strings.LastIndexByte(graph, '.')
		if whole = dot > 0 && dot < len(graph)-1; whole {
			graph, field = graph[:dot], graph[dot+1:]
		}
	}
	switch {
	case len(value) > 3*munin.MaxNameBytes:
		r.problem(n.Line, "match: the pattern is longer than %d bytes", 3*munin.MaxNameBytes)
	case hasHost && host == "":
		r.problem(n.Line, "match: %q: there is no host before the colon; leave the colon out to match every host", short(value))
	case !whole:
		r.problem(n.Line, "match: %q: want %s", short(value), section.want)
	case strings.Contains(graph+field, ";"):
		r.problem(n.Line, "match: %q: the host, after its group, ends with a colon, as in \"web;www1:%s\"", short(value), strings.TrimPrefix(section.pattern, "HOST:"))
	case strings.ContainsAny(value, "[]{}|\\^$"):
		r.problem(n.Line, "match: %q: only * and ? are special here, other characters of regular expressions are not", short(value))
	default:
		o.Match, o.host, o.graph, o.field = value, strings.TrimSpace(host), strings.TrimSpace(graph), field
	}
}

// attr reads one attribute and tries it.
func (r *reader) attr(n *node, section overrideSection, name string, o *Override) {
	value := r.text(n)
	if value == "" {
		return
	}
	if slices.Contains([]string{"warning", "critical"}, name) && (value == "none" || value == "off") {
		value = ":"
	}
	if err := section.try(name, value); err != nil {
		r.problem(n.Line, "%s", strings.TrimPrefix(err.Error(), name+": "))
		return
	}
	o.attrs = append(o.attrs, attr{name: name, value: value, at: r.at(n.Line)})
}
