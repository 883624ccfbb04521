package config

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"corbie/munin"
)

// GraphRule gives graphs attributes that win over what the plugin says.
type GraphRule struct {
	Match string // as written
	At    Place

	host  string // pattern, as in Level
	graph string
	attrs []attr
}

// graphAttrs are the graph attributes that corbie.yml may set.
func graphAttrs() []string {
	return []string{
		"graph_title", "graph_vlabel", "graph_category", "graph_info", "graph_args", "graph_order", "graph_period", "graph_scale",
		"graph_printf", "graph_total", "graph_width", "graph_height", "graph", "update_rate",
	}
}

func (g *GraphRule) apply(to *munin.Graph) {
	for _, a := range g.attrs {
		a.setGraph(to)
	}
	if slices.ContainsFunc(g.attrs, func(a attr) bool { return a.name == "graph_order" }) {
		to.Fields = slices.Clone(to.Fields)
		to.SortFields()
	}
}

// graphRules reads the section graphs.
func (r *reader) graphRules(n *node, c *Config) []GraphRule {
	if n == nil {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		r.problem(n.Line, "graphs: want a list: each entry begins with \"- match: …\"")
		return nil
	}
	var list []GraphRule
	for i, item := range n.Content {
		rule := GraphRule{At: r.at(item.Line)}
		where := fmt.Sprintf("graphs, entry %d", i+1)
		keys := map[string]func(*node){"match": func(n *node) { r.graphMatch(n, &rule) }}
		for _, name := range graphAttrs() {
			keys[name] = func(n *node) { r.graphAttr(n, name, &rule) }
		}
		before := len(r.problems)
		r.mapping(item, where, keys)
		if len(r.problems) > before {
			continue
		}
		switch {
		case rule.Match == "":
			r.problem(item.Line, "%s: match is missing; write match: \"HOST:GRAPH\", with * for any characters", where)
		case len(rule.attrs) == 0:
			r.problem(item.Line, "%s: it changes nothing; set graph_title or another attribute", where)
		case !c.anyHost(rule.host):
			r.warn(item.Line, "graphs: no configured host matches %q", rule.Match)
		}
		list = append(list, rule)
	}
	return list
}

func (r *reader) graphMatch(n *node, rule *GraphRule) {
	value := r.text(n)
	if value == "" {
		return
	}
	host, graph, ok := strings.Cut(value, ":")
	if !ok {
		host, graph = "", value
	}
	switch {
	case len(value) > 3*munin.MaxNameBytes:
		r.problem(n.Line, "match: the pattern is longer than %d bytes", 3*munin.MaxNameBytes)
	case ok && host == "", graph == "":
		r.problem(n.Line, "match: %q: want HOST:GRAPH, GRAPH or @TAG:GRAPH", short(value))
	case strings.ContainsAny(graph, ";") || strings.ContainsAny(value, "[]{}|\\^$"):
		r.problem(n.Line, "match: %q: only * and ? are special here, and the host ends with a colon: \"web;www1:df\"", short(value))
	default:
		rule.Match, rule.host, rule.graph = value, strings.TrimSpace(host), strings.TrimSpace(graph)
	}
}

// graphAttr reads one attribute and tries it on a graph.
func (r *reader) graphAttr(n *node, name string, rule *GraphRule) {
	value := r.text(n)
	if value == "" {
		return
	}
	var try munin.Graph
	if err := try.Set(name, value); err != nil {
		r.problem(n.Line, "%s", strings.TrimPrefix(err.Error(), name+": "))
		return
	}
	rule.attrs = append(rule.attrs, attr{name: name, value: value, at: r.at(n.Line)})
}
