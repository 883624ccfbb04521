package munin_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"corbie/munin"
)

// fleet knows the graphs of some hosts: "host graph" → config text.
type fleet map[string]string

func (f fleet) known(host munin.HostID, graph string) (*munin.Graph, time.Duration) {
	text, ok := f[string(host)+" "+graph]
	if !ok {
		return nil, 0
	}
	for _, g := range munin.ParseConfig(graph, []byte(text)).Graphs {
		if g.Name == graph {
			return &g, 5 * time.Minute
		}
	}
	return nil, 0
}

func webFleet() fleet {
	load := "graph_title Load\nload.label load\nload.info five minutes\nload.warning 5\n"
	traffic := "graph_title eth0\ndown.label d\ndown.type DERIVE\ndown.min 0\ndown.draw AREA\ndown.colour FF0000\nup.label u\nup.type COUNTER\n"
	return fleet{
		"web;www1.example.com load": load, "web;www2.example.com load": load, "db;sql load": load, "web;eu;Totals load": load,
		"web;www1.example.com if_eth0": traffic, "web;www2.example.com if_eth0": traffic,
		"web;www1.example.com diskstats_iops.sda": "multigraph diskstats_iops.sda\nrdio.label r\n",
	}
}

// borrowed describes every field of a graph after Borrow.
func borrowed(t *testing.T, host munin.HostID, name, text string) (lines string, faults []munin.Fault) {
	t.Helper()
	reply := munin.ParseConfig(name, []byte(text))
	if len(reply.Graphs) != 1 || len(reply.Faults) > 0 {
		t.Fatalf("%d graphs, faults %v", len(reply.Graphs), reply.Faults)
	}
	g := &reply.Graphs[0]
	before := fmt.Sprintf("%+v", *g)
	if !g.Borrows() {
		t.Errorf("%s: it borrows nothing", name)
	}
	out, faults := g.Borrow(host, webFleet().known)
	if after := fmt.Sprintf("%+v", *g); after != before {
		t.Errorf("the graph was changed:\n%s\n%s", before, after)
	}
	var b strings.Builder
	for i := range out.Fields {
		f := &out.Fields[i]
		source := out.Source(host, f, time.Minute)
		fmt.Fprintf(&b, "%s %q %s %s", f.Name, f.Label, f.Type, f.Draw)
		if f.Hidden {
			b.WriteString(" hidden")
		}
		if f.CDEF != "" {
			b.WriteString(" cdef=" + f.CDEF)
		}
		fmt.Fprintf(&b, " <- %s", source.ID)
		for _, part := range source.Sum {
			fmt.Fprintf(&b, " + %s", part.ID)
		}
		b.WriteByte('\n')
	}
	return b.String(), faults
}

func TestABorrowedFieldIsReadWhereItIs(t *testing.T) {
	got, faults := borrowed(t, "web;Totals", "loads", `graph_title Loads
graph_order one=www1.example.com:load.load -two=web;www2.example.com:load.load far=db;sql:load.load in=www1.example.com:if_eth0.down deep=www1.example.com:diskstats_iops.sda.rdio
one.label the first
in.draw LINE2
`)
	want := `one "the first" GAUGE LINE1 <- web;www1.example.com:load.load
two "two" GAUGE LINE1 hidden <- web;www2.example.com:load.load
far "far" GAUGE LINE1 <- db;sql:load.load
in "in" DERIVE LINE2 <- web;www1.example.com:if_eth0.down
deep "deep" GAUGE LINE1 <- web;www1.example.com:diskstats_iops.sda.rdio
`
	if got != want || len(faults) > 0 {
		t.Errorf("got:\n%swant:\n%sfaults %v", got, want, faults)
	}
}

func TestAPathIsRelativeToTheNearestThatHasIt(t *testing.T) {
	for _, c := range []struct{ host, path, want string }{
		{"web;www1.example.com", "if_eth0.down", "web;www1.example.com:if_eth0.down"},
		{"web;www1.example.com", "www2.example.com:if_eth0.down", "web;www2.example.com:if_eth0.down"},
		{"web;eu;x", "www2.example.com:if_eth0.down", "web;www2.example.com:if_eth0.down"},
		{"web;eu;x", "Totals:load.load", "web;eu;Totals:load.load"},
		{"web;x", "eu;Totals:load.load", "web;eu;Totals:load.load"},
		{"web;x", "sql:load.load", ""},
		{"db;x", "sql.load.load", "db;sql:load.load"},
		{"db;x", "web;eu;Totals:load.load", "web;eu;Totals:load.load"},
		{"web;www1.example.com", "own", "web;www1.example.com:g.own"},
		{"web;www1.example.com", "", ""},
		{"web;www1.example.com", ":", ""},
		{"web;www1.example.com", "a:b", ""},
		{"x", "web;www1.example.com:load.load", "web;www1.example.com:load.load"},
	} {
		g := munin.Graph{Name: "g", Order: []string{"alias=" + c.path}, Fields: []munin.Field{{Name: "own"}}}
		out, faults := g.Borrow(munin.HostID(c.host), webFleet().known)
		got := ""
		if f, ok := out.Field("alias"); ok {
			got = out.Source(munin.HostID(c.host), f, 0).ID.String()
		}
		if got != c.want || (c.want == "") != (len(faults) == 1) {
			t.Errorf("%s from %s: %q, want %q; faults %v", c.path, c.host, got, c.want, faults)
		}
	}
}

func TestAPathFindsTheInnerGraphsOfItsOwn(t *testing.T) {
	g := munin.Graph{Name: "diskstats_iops.all", Order: []string{"sum=sda.rdio"}}
	out, faults := g.Borrow("web;www1.example.com", webFleet().known)
	if len(faults) > 0 || len(out.Fields) != 1 || out.Fields[0].From[0].ID.Graph != "diskstats_iops.sda" {
		t.Errorf("%+v, faults %v", out.Fields, faults)
	}
}

func TestASumNamesItsParts(t *testing.T) {
	got, faults := borrowed(t, "web;Totals", "sums", `graph_title Sums
total.sum www1.example.com:if_eth0.down b=www2.example.com:if_eth0.down nobody:load.load
total.label Total
total.cdef total,8,*
one.sum www1.example.com:load.load
one.label One
none.label None
none.sum nobody:load.load
`)
	want := `total "Total" DERIVE LINE1 cdef=total,8,* <- web;Totals:sums.total + web;www1.example.com:if_eth0.down + web;www2.example.com:if_eth0.down
one "One" GAUGE LINE1 <- web;www1.example.com:load.load
none "None" GAUGE LINE1 <- web;Totals:sums.none
`
	if got != want || len(faults) != 2 || !strings.Contains(faults[0].String(), "nobody:load.load") {
		t.Errorf("got:\n%swant:\n%sfaults %v", got, want, faults)
	}
}

func TestAStackBecomesItsFields(t *testing.T) {
	got, faults := borrowed(t, "web;Totals", "stacks", `graph_title Stacked
graph_order dummy last
last.label Last
dummy.stack a=www1.example.com:load.load b=www2.example.com:load.load c=www3.example.com:load.load
dummy.label ignored
dummy.draw AREA
dummy.cdef dummy,100,*
`)
	want := `a "a" GAUGE AREA cdef=a,100,* <- web;www1.example.com:load.load
b "b" GAUGE STACK cdef=b,100,* <- web;www2.example.com:load.load
last "Last" GAUGE LINE1 <- web;Totals:stacks.last
`
	if got != want || len(faults) != 1 {
		t.Errorf("got:\n%swant:\n%sfaults %v", got, want, faults)
	}
}

func TestWhatIsBorrowedTwiceIsReadAtItsEnd(t *testing.T) {
	hosts := webFleet()
	total := munin.Graph{Name: "t", Fields: []munin.Field{{Name: "sum", Extra: map[string]string{"sum": "www1.example.com:load.load www2.example.com:load.load"}}}}
	total, _ = total.Borrow("web;Totals", hosts.known)
	known := func(host munin.HostID, graph string) (*munin.Graph, time.Duration) {
		if host == "web;Totals" && graph == "t" {
			return &total, time.Minute
		}
		return hosts.known(host, graph)
	}
	again := munin.Graph{Name: "u", Order: []string{"all=Totals:t.sum"}, Fields: []munin.Field{{Name: "more", Extra: map[string]string{"sum": "Totals:t.sum db;sql:load.load"}}}}
	again, faults := again.Borrow("web;Other", known)
	if len(faults) > 0 || len(again.Fields[0].From) != 2 || len(again.Fields[1].From) != 3 {
		t.Errorf("%+v, faults %v", again.Fields, faults)
	}
}

func TestAnOrdinaryGraphBorrowsNothing(t *testing.T) {
	g := munin.ParseConfig("load", []byte("graph_title Load\ngraph_order load\nload.label load\n")).Graphs[0]
	if g.Borrows() {
		t.Error("it borrows")
	}
}

func FuzzBorrow(f *testing.F) {
	f.Add("web;Totals", "g", "a=www1.example.com:load.load -b", "www1.example.com:load.load", "x=load.load")
	f.Add("x", "a.b.c", "-=: = a=", ":", "=")
	f.Add("web;eu;x", "g", "own=own more=g.own", "g.own", "own=own own=own")
	f.Fuzz(func(t *testing.T, host, graph, order, sum, stack string) {
		g := munin.Graph{Name: graph, Order: strings.Fields(order), Fields: []munin.Field{
			{Name: "own", CDEF: "own,8,*", Extra: map[string]string{"sum": sum}}, {Name: "two", Extra: map[string]string{"stack": stack}},
		}}
		out, faults := g.Borrow(munin.HostID(host), webFleet().known)
		if len(out.Fields) > munin.MaxFields || len(faults) > munin.MaxFaults {
			t.Errorf("%d fields, %d faults", len(out.Fields), len(faults))
		}
		for i := range out.Fields {
			if field := &out.Fields[i]; field.Name != munin.SanitiseField(field.Name) || field.Label == "" && field.Name != "" {
				t.Errorf("field %+v", field)
			}
		}
	})
}

func TestGraphSourcesAreThereAndHidden(t *testing.T) {
	got, faults := borrowed(t, "web;Totals", "share", `graph_title Share
graph_sources total=db;sql:load.load own
part.label part
part.cdef part,total,/
own.label own
`)
	want := `part "part" GAUGE LINE1 cdef=part,total,/ <- web;Totals:share.part
own "own" GAUGE LINE1 hidden <- web;Totals:share.own
total "total" GAUGE LINE1 hidden <- db;sql:load.load
`
	if got != want || len(faults) > 0 {
		t.Errorf("got:\n%swant:\n%sfaults %v", got, want, faults)
	}
}

func TestAGraphSaysHowLargeItIsAndWhetherSumsAreWanted(t *testing.T) {
	f := func(text string, width, height int, sums bool) {
		t.Helper()
		g := munin.ParseConfig("g", []byte("graph_title g\n"+text+"a.label a\n")).Graphs[0]
		if w, h := g.Size(); w != width || h != height || g.Sums() != sums {
			t.Errorf("%q: %d × %d, sums %v", text, w, h, g.Sums())
		}
	}
	f("", 400, 175, false)
	f("graph_width 600\ngraph_height 400\ngraph_sums yes\n", 600, 400, true)
	f("graph_width 1e9\ngraph_height 99999999\ngraph_sums 1\n", 400, 2000, true)
	f("graph_width -5\ngraph_height 3\ngraph_sums perhaps\n", 400, 100, false)
}
