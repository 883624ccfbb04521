package munin

import "strings"

// rulePrefix is what no name of a graph begins with.
const rulePrefix = "rule:"

// RuleGraph is what stands for the graph in the SeriesID of an alert of a rule in PromQL, which is on no graph.
func RuleGraph(alert string) string { return rulePrefix + alert }

// RuleName is the alert's name of such a graph; ok is false for a real one.
func RuleName(graph string) (alert string, ok bool) { return strings.CutPrefix(graph, rulePrefix) }
