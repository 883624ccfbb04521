package munin

import (
	"strconv"
	"strings"
)

// rulePrefix is what no name of a graph begins with.
const rulePrefix = "rule:"

// RuleGraph is what stands for the graph in the SeriesID of an alert of a rule in PromQL, which is on no graph.
func RuleGraph(alert string) string { return rulePrefix + alert }

// RuleName is the alert's name of such a graph; ok is false for a real one.
func RuleName(graph string) (alert string, ok bool) { return strings.CutPrefix(graph, rulePrefix) }

// RuleOn is the graph that an alert of a rule is about, where its labels name one as those of all samples do: then its ID's Field, which lists them,
// says graph="NAME".
func RuleOn(id SeriesID) (on SeriesID, ok bool) {
	if _, rule := RuleName(id.Graph); !rule {
		return id, false
	}
	for rest := id.Field; rest != ""; {
		name, after, found := strings.Cut(rest, "=")
		quoted, err := strconv.QuotedPrefix(after)
		if !found || err != nil {
			return id, false
		}
		value, err := strconv.Unquote(quoted)
		if strings.TrimLeft(name, ", ") == "graph" && err == nil && ValidateGraphName(value) == nil {
			return SeriesID{Host: id.Host, Graph: value}, true
		}
		rest = after[len(quoted):]
	}
	return id, false
}
