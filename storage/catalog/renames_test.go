package catalog_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"corbie/munin"
	"corbie/storage/catalog"
)

func hostNames(t *testing.T, c *catalog.Catalog) string {
	t.Helper()
	hosts, err := c.Hosts(t.Context())
	must(t, err)
	var out []string
	for _, h := range hosts {
		name := string(h.ID)
		if h.Archived {
			name += "(archived)"
		}
		out = append(out, name)
	}
	return strings.Join(out, " ")
}

func graphNames(t *testing.T, c *catalog.Catalog, host munin.HostID) string {
	t.Helper()
	graphs, err := c.Graphs(t.Context(), host)
	must(t, err)
	return names(graphs)
}

func configure(t *testing.T, c *catalog.Catalog, hosts ...munin.HostID) {
	t.Helper()
	list := make([]munin.Host, len(hosts))
	for i, id := range hosts {
		list[i] = munin.Host{ID: id, Address: "192.0.2.1:4949", Interval: time.Minute}
	}
	must(t, c.Configure(t.Context(), list))
}

func problemOf(host munin.HostID, graph, field string, level munin.Level) munin.AlertState {
	return munin.AlertState{
		ID: munin.SeriesID{Host: host, Graph: graph, Field: field}, Level: level, Open: level, Since: start(), OpenSince: start(), Value: 1,
	}
}

func levelOf(t *testing.T, c *catalog.Catalog, host munin.HostID, graph string) string {
	t.Helper()
	all, err := c.States(t.Context())
	must(t, err)
	for _, s := range all {
		if s.ID.Host == host && s.ID.Graph == graph {
			return s.Open.String()
		}
	}
	return "none"
}

func host(name munin.HostID) munin.SeriesID { return munin.SeriesID{Host: name} }

func TestARenamedHostKeepsItsGraphsStatesAndPosition(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.db")
	c := open(t, path)
	configure(t, c, "g;old", "other")
	poll := answer("g;old", start(), "cpu", "df")
	poll.Spool = 1234
	must(t, c.Record(t.Context(), poll))
	must(t, c.SaveStates(t.Context(), []munin.AlertState{problemOf("g;old", "df", "a", munin.Critical)}))
	before, err := c.Host(t.Context(), "old")
	must(t, err)

	must(t, c.Annotate(t.Context(), munin.Annotation{Kind: munin.Deploy, From: start(), Where: "g;old", Text: "v2", By: "ann"}))
	must(t, c.Acknowledge(t.Context(), munin.Ack{ID: munin.SeriesID{Host: "g;old", Graph: "df", Field: "a"}, By: "ann", Comment: "mine"}))

	must(t, c.Rename(t.Context(), host("g;old"), host("g;new"), start()))
	notes, err := c.Annotations(t.Context(), munin.Range{From: start(), To: start().Add(time.Hour)})
	if must(t, err); len(notes) != 1 || notes[0].Where != "g;new" {
		t.Errorf("annotations: %v", notes)
	}
	acks, err := c.Acks(t.Context())
	if must(t, err); len(acks) != 2 || acks[0].ID.Host != "g;new" || acks[0].Comment != "mine" {
		t.Errorf("acks: %v", acks)
	}
	if index, err := c.GraphIndex(t.Context()); err != nil || len(index) != 2 || index[0].Host != "g;new" || index[1].Name != "df" {
		t.Errorf("all graphs: %v, %v", index, err)
	}
	if got := hostNames(t, c); got != "g;new other" {
		t.Errorf("hosts: %s", got)
	}
	if got := graphNames(t, c, "g;new"); got != "cpu df" {
		t.Errorf("graphs: %s", got)
	}
	for _, name := range []string{"new", "g;new", "old", "g;old"} {
		after, err := c.Host(t.Context(), name)
		must(t, err)
		if before.ID = "g;new"; after != before {
			t.Errorf("%s is\n%+v, was\n%+v", name, after, before)
		}
	}
	if _, err := c.Graph(t.Context(), "g;old", "df"); err != nil {
		t.Error(err)
	}
	if got := levelOf(t, c, "g;new", "df"); got != "critical" {
		t.Errorf("state: %s", got)
	}
	// The next polls bring one graph of the same name, one new, one not any more; also in another process.
	closeCatalog(t, c)
	c = open(t, path)
	configure(t, c, "g;new", "other")
	must(t, c.Record(t.Context(), answer("g;new", start().Add(time.Minute), "df", "load")))
	if got := graphNames(t, c, "g;new"); got != "cpu df load" {
		t.Errorf("graphs: %s", got)
	}
	if g, err := c.Graph(t.Context(), "g;new", "cpu"); err != nil || !g.LastSeen.Equal(start()) {
		t.Errorf("cpu was last seen %s, %v", g.LastSeen, err)
	}
	edits, err := c.Edits(t.Context())
	if must(t, err); len(edits) != 1 || edits[0].Kind != catalog.EditRename || edits[0].To.Host != "g;new" {
		t.Fatalf("edits: %v", edits)
	}
	must(t, c.EditTaken(t.Context(), edits[0].ID, start()))
	if edits, err = c.Edits(t.Context()); err != nil || len(edits) > 0 {
		t.Errorf("edits: %v, %v", edits, err)
	}

	r, err := c.UndoRename(t.Context(), host("g;new"), start())
	if must(t, err); r.From.Host != "g;old" {
		t.Errorf("undone: %v", r)
	}
	if got := hostNames(t, c); got != "g;new(archived) g;old other" {
		t.Errorf("hosts: %s", got)
	}
	if a, b := graphNames(t, c, "g;old"), graphNames(t, c, "g;new"); a != "cpu df" || b != "df load" {
		t.Errorf("graphs: %s and %s", a, b)
	}
}

func TestAnUndoneRenameLeavesNoHostThatNeverWas(t *testing.T) {
	c := fresh(t)
	configure(t, c, "old")
	must(t, c.Record(t.Context(), answer("old", start(), "cpu")))
	must(t, c.Rename(t.Context(), host("old"), host("new"), start()))
	if _, err := c.UndoRename(t.Context(), host("old"), start()); err != nil {
		t.Fatal(err)
	}
	if got := hostNames(t, c); got != "old" {
		t.Errorf("hosts: %s", got)
	}
	if _, err := c.UndoRename(t.Context(), host("old"), start()); !errors.Is(err, munin.ErrNotFound) {
		t.Errorf("a second undo: %v", err)
	}
}

func TestTwoHostsBecomeOne(t *testing.T) {
	c := fresh(t)
	configure(t, c, "old", "new")
	must(t, c.Record(t.Context(), answer("old", start(), "cpu", "df")))
	must(t, c.Record(t.Context(), answer("new", start().Add(time.Hour), "df", "load")))
	must(t, c.SaveStates(t.Context(), []munin.AlertState{
		problemOf("old", "df", "a", munin.Critical), problemOf("new", "df", "a", munin.OK), problemOf("old", "cpu", "a", munin.Warning),
	}))
	if err := c.Rename(t.Context(), host("old"), host("new"), start()); err == nil || !strings.Contains(err.Error(), "both are configured") {
		t.Errorf("both are polled: %v", err)
	}
	configure(t, c, "new")
	must(t, c.Rename(t.Context(), host("old"), host("new"), start()))
	if got := hostNames(t, c); got != "new" {
		t.Errorf("hosts: %s", got)
	}
	if got := graphNames(t, c, "new"); got != "cpu df load" {
		t.Errorf("graphs: %s", got)
	}
	if g, err := c.Graph(t.Context(), "new", "df"); err != nil || !g.LastSeen.Equal(start().Add(time.Hour)) {
		t.Errorf("df is not the one of the new host: %s, %v", g.LastSeen, err)
	}
	if a, b := levelOf(t, c, "new", "df"), levelOf(t, c, "new", "cpu"); a != "ok" || b != "warning" {
		t.Errorf("states: df %s, cpu %s", a, b)
	}
	_, err := c.UndoRename(t.Context(), host("old"), start())
	must(t, err)
	if got := hostNames(t, c); got != "new old(archived)" {
		t.Errorf("hosts: %s", got)
	}
	if a, b := graphNames(t, c, "old"), graphNames(t, c, "new"); a != "cpu df" || b != "df load" {
		t.Errorf("graphs: %s and %s", a, b)
	}
}

func TestANameThatIsGivenToAnotherHostStartsAnew(t *testing.T) {
	c := fresh(t)
	configure(t, c, "web1")
	must(t, c.Record(t.Context(), answer("web1", start(), "cpu")))
	must(t, c.Rename(t.Context(), host("web1"), host("was1"), start()))
	must(t, c.Reuse(t.Context(), "web1", start().Add(time.Hour)))
	configure(t, c, "web1", "was1")
	must(t, c.Record(t.Context(), answer("web1", start().Add(2*time.Hour), "load")))
	if got := hostNames(t, c); got != "was1 web1" {
		t.Errorf("hosts: %s", got)
	}
	if a, b := graphNames(t, c, "was1"), graphNames(t, c, "web1"); a != "cpu" || b != "load" {
		t.Errorf("graphs: %s and %s", a, b)
	}
	if g, err := c.Graph(t.Context(), "was1", "cpu"); err != nil || !g.LastSeen.Equal(start()) {
		t.Errorf("cpu: %s, %v", g.LastSeen, err)
	}
	if _, err := c.UndoRename(t.Context(), host("was1"), start()); err == nil || !strings.Contains(err.Error(), "given to another host") {
		t.Errorf("undo: %v", err)
	}
}

func TestAGraphThatAPluginRenamed(t *testing.T) {
	c := fresh(t)
	configure(t, c, "h")
	must(t, c.Record(t.Context(), answer("h", start(), "if_eth0", "if_eth1")))
	must(t, c.Record(t.Context(), answer("h", start().Add(time.Minute), "if_enp1s0", "if_eth1")))
	graph := func(name string) munin.SeriesID { return munin.SeriesID{Host: "h", Graph: name} }
	must(t, c.Rename(t.Context(), graph("if_eth0"), graph("if_enp1s0"), start()))
	if got := graphNames(t, c, "h"); got != "if_enp1s0 if_eth1" {
		t.Errorf("graphs: %s", got)
	}
	if g, err := c.Graph(t.Context(), "h", "if_eth0"); err != nil || g.Name != "if_enp1s0" {
		t.Errorf("the old name finds %q, %v", g.Name, err)
	}
	_, err := c.UndoRename(t.Context(), graph("if_eth0"), start())
	must(t, err)
	if got := graphNames(t, c, "h"); got != "if_enp1s0 if_eth0 if_eth1" {
		t.Errorf("graphs: %s", got)
	}
}

func TestRenamesThatCannotBe(t *testing.T) {
	c := fresh(t)
	configure(t, c, "a", "b", "c")
	must(t, c.Record(t.Context(), answer("a", start(), "cpu")))
	configure(t, c, "b", "c")
	must(t, c.Rename(t.Context(), host("a"), host("b"), start()))
	configure(t, c, "c")
	field := munin.SeriesID{Host: "c", Graph: "g", Field: "f"}
	for _, test := range []struct {
		from, to munin.SeriesID
		want     string
	}{
		{host("x"), host("y"), "not found"},
		{host("c"), host("c"), "this name already"},
		{host("a"), host("c"), "renamed to b already"},
		{host("c"), host("a"), "a was renamed to b: undo that first"},
		{host("c"), field, "not the same kind"},
		{host("c"), host(""), "not the same kind"},
		{field, munin.SeriesID{Host: "b", Graph: "g", Field: "f"}, "stay with their host"},
	} {
		if err := c.Rename(t.Context(), test.from, test.to, start()); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s to %s: %v, want %q", test.from, test.to, err, test.want)
		}
	}
}

func TestARemovedHostIsInNoListAndComesBack(t *testing.T) {
	c := fresh(t)
	configure(t, c, "a", "b")
	must(t, c.Record(t.Context(), answer("a", start(), "cpu")))
	if err := c.Remove(t.Context(), "a", start()); err == nil || !strings.Contains(err.Error(), "take it out of the configuration") {
		t.Errorf("it is configured: %v", err)
	}
	if err := c.Remove(t.Context(), "x", start()); !errors.Is(err, munin.ErrNotFound) {
		t.Errorf("it is not known: %v", err)
	}
	configure(t, c, "b")
	must(t, c.Remove(t.Context(), "a", start()))
	if err := c.Remove(t.Context(), "a", start()); err == nil || !strings.Contains(err.Error(), "removed already") {
		t.Errorf("twice: %v", err)
	}
	if got := hostNames(t, c); got != "b" {
		t.Errorf("hosts: %s", got)
	}
	if removed, err := c.Removed(t.Context()); err != nil || len(removed) != 1 || removed[0].ID != "a" {
		t.Errorf("removed: %v, %v", removed, err)
	}
	must(t, c.Restore(t.Context(), "a", start()))
	if got := hostNames(t, c); got != "a(archived) b" {
		t.Errorf("hosts: %s", got)
	}
	must(t, c.Remove(t.Context(), "a", start()))
	configure(t, c, "a", "b")
	if got, cpu := hostNames(t, c), graphNames(t, c, "a"); got != "a b" || cpu != "cpu" {
		t.Errorf("configured again: %s with %s", got, cpu)
	}
}

func TestHandsMayChangeACatalogueThatAMasterWrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.db")
	master := open(t, path)
	configure(t, master, "old")
	must(t, master.Record(t.Context(), answer("old", start(), "cpu")))
	hand, err := catalog.OpenToEdit(t.Context(), path)
	must(t, err)
	must(t, hand.Rename(t.Context(), host("old"), host("new"), start()))
	closeCatalog(t, hand)
	must(t, master.Record(t.Context(), answer("old", start().Add(time.Minute), "cpu")))
	if got := hostNames(t, master); got != "new old" {
		t.Errorf("before it was told, the master sees: %s", got)
	}
	must(t, master.Reread(t.Context()))
	if got := hostNames(t, master); got != "new" {
		t.Errorf("hosts: %s", got)
	}
	must(t, master.Record(t.Context(), answer("new", start().Add(2*time.Minute), "cpu")))
	if g, err := master.Graph(t.Context(), "new", "cpu"); err != nil || !g.LastSeen.Equal(start().Add(2*time.Minute)) {
		t.Errorf("cpu: %s, %v", g.LastSeen, err)
	}
}
