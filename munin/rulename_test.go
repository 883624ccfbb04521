package munin_test

import (
	"testing"

	"corbie/munin"
)

func TestTheLabelsOfARuleSayWhichGraphItIsAbout(t *testing.T) {
	f := func(graph, field, want string) {
		t.Helper()
		on, ok := munin.RuleOn(munin.SeriesID{Host: "web;www1", Graph: graph, Field: field})
		if ok != (want != "") || ok && (on.Host != "web;www1" || on.Graph != want || on.Field != "") {
			t.Errorf("%s %s: %v %v, want %q", graph, field, on, ok, want)
		}
	}
	rule := munin.RuleGraph("Busy")
	f(rule, `field="load", graph="load", severity="warning"`, "load")
	f(rule, `graph="diskstats_iops.sda"`, "diskstats_iops.sda")
	f(rule, `a="graph=\"x\"", graph="y"`, "y")
	f(rule, `severity="warning"`, "")
	f(rule, `graph="../../etc"`, "")
	f(rule, `graph=load`, "")
	f(rule, `graph="load`, "")
	f(rule, "", "")
	f("load", `graph="load"`, "")
}

func FuzzRuleOn(f *testing.F) {
	for _, seed := range []string{`graph="load"`, `a="\"", graph="x"`, `=`, `graph=`, `graph="\xff"`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, field string) {
		on, ok := munin.RuleOn(munin.SeriesID{Host: "h", Graph: munin.RuleGraph("r"), Field: field})
		if ok && munin.ValidateGraphName(on.Graph) != nil {
			t.Errorf("%q is about the graph %q", field, on.Graph)
		}
	})
}
