package config_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"corbie/master/config"
	"corbie/munin"
)

// loadMunin reads a munin.conf from its text.
func loadMunin(t *testing.T, text string, flags config.Flags) (*config.Config, error) {
	t.Helper()
	flags.MuninConf = filepath.Join(t.TempDir(), "munin.conf")
	if err := os.WriteFile(flags.MuninConf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return config.LoadMunin(flags)
}

func mustMunin(t *testing.T, text string) *config.Config {
	t.Helper()
	c, err := loadMunin(t, text, config.Flags{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// describe is one line for each attribute of a graph that did not come from a plugin.
func describe(b *strings.Builder, g *munin.Graph) {
	fmt.Fprintf(b, "  %s %q order %v\n", g.Name, g.Title, g.Order)
	for _, name := range slices.Sorted(maps.Keys(g.Origin)) {
		fmt.Fprintf(b, "    %s: %s\n", name, g.Origin[name])
	}
	for i := range g.Fields {
		f := &g.Fields[i]
		fmt.Fprintf(b, "    %s %q warning %q critical %q cdef %q\n", f.Name, f.Label, f.Warning, f.Critical, f.CDEF)
		for _, name := range slices.Sorted(maps.Keys(f.Origin)) {
			fmt.Fprintf(b, "      %s: %s\n", name, f.Origin[name])
		}
	}
}

func TestAMuninConfGivesTheseHostsAndGraphs(t *testing.T) {
	c, err := config.LoadMunin(config.Flags{MuninConf: "testdata/munin.conf"})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, w := range c.Warnings {
		if !strings.Contains(w, "there is no program") { // The machines of those who test differ.
			fmt.Fprintf(&b, "warning %s\n", w)
		}
	}
	load := "graph_title Load average\ngraph_category system\nload.label load\nload.warning 99\n"
	cpu := "graph_title CPU\ngraph_order system user idle\nsystem.label s\nuser.label u\nidle.label i\n"
	for _, h := range c.Hosts {
		fmt.Fprintf(&b, "%s %q every %s timeouts %v naming %d\n", h.ID, h.Address, h.Interval, h.Timeouts, h.Naming)
		for _, g := range c.Virtual(h.ID) {
			b.WriteString("  virtual")
			describe(&b, &g)
		}
		if h.Address == "" {
			continue
		}
		for name, text := range map[string]string{"load": load, "cpu": cpu} {
			if name == "cpu" {
				continue
			}
			g := munin.ParseConfig(name, []byte(text)).Graphs[0]
			c.Override(h.ID, &g)
			describe(&b, &g)
		}
		g := munin.ParseConfig("cpu", []byte(cpu)).Graphs[0]
		c.Override(h.ID, &g)
		describe(&b, &g)
	}
	for i := range c.Receivers {
		r := &c.Receivers[i]
		fmt.Fprintf(&b, "receiver %s %q %q\n", r.Name, r.Contact.Args, r.Contact.Text)
		for _, id := range []munin.SeriesID{
			{Host: "localdomain;localhost.localdomain"},
			{Host: "web;www1.example.com", Graph: "load", Field: "load"},
			{Host: "web;www2.example.com", Graph: "load", Field: "load"},
			{Host: "web;Totals", Graph: "sum", Field: "total"},
			{Host: "other;host"},
		} {
			fmt.Fprintf(&b, "  %s: %t\n", id, c.Tells(r, id))
		}
	}
	golden(t, "munin.golden", b.String())
}

func TestWhatIsWrongInAMuninConfIsToldOrLeftOut(t *testing.T) {
	text := `[g;h1]
address 10.0.0.1
load.load.warning lots
colr x
[g;h2]
port 5
[g;h3]
address 10.0.0.3
port many
[g;h4]
address 10.0.0.4
port 5000
df.x.draw BAR
svc.graph_period year
[bad_name]
address 10.0.0.5
[g;h6]
update no
load.warning 5
contact.a.command mail x | tee y
`
	_, err := loadMunin(t, text, config.Flags{})
	want := []string{
		":3: warning: level \"lots\"", ":4: unknown keyword \"colr\"", ":6: the host g;h2 has no address", ":9: port \"many\"",
		":13: draw \"BAR\"", ":14: graph_period \"year\"", ":15: section [bad_name]",
	}
	problems := config.Problems(err)
	if len(problems) != len(want) {
		t.Fatalf("%d problems:\n%s", len(problems), strings.Join(problems, "\n"))
	}
	for i := range want {
		if !strings.Contains(problems[i], "munin.conf"+want[i]) {
			t.Errorf("problem %d: %s, want %s", i, problems[i], want[i])
		}
	}
	c, err := loadMunin(t, text, config.Flags{Tolerant: true})
	if err != nil || len(c.Rejected) != len(want) {
		t.Fatalf("%v, rejected:\n%s", err, strings.Join(c.Rejected, "\n"))
	}
	var hosts []string
	for _, h := range c.Hosts {
		hosts = append(hosts, string(h.ID)+" "+h.Address)
	}
	if got := strings.Join(hosts, ", "); got != "g;h1 10.0.0.1:4949, g;h4 10.0.0.4:5000, g;h6 " {
		t.Errorf("hosts %s", got)
	}
}

func TestInheritedAttributesFillWhatNobodySaid(t *testing.T) {
	c := mustMunin(t, `warning 1
graph_category everything
colour 00FF00
[g;]
colour 0000FF
critical 7
[g;h]
address 10.0.0.1
graph_args --base 1024
svc.critical 9
svc.a.extinfo mine
`)
	text := "graph_title T\ngraph_category own\na.label a\na.colour FF0000\nb.label b\nb.warning 3\nc.label c\n"
	override := func(name, text string) *munin.Graph {
		g := munin.ParseConfig(name, []byte(text)).Graphs[0]
		c.Override("g;h", &g)
		return &g
	}
	g := override("svc", text)
	a, b, third := g.Fields[0], g.Fields[1], g.Fields[2]
	if g.Category != "own" || g.Args != "--base 1024" || a.Colour != "FF0000" || b.Colour != "0000FF" || a.ExtInfo != "mine" || b.ExtInfo != "" {
		t.Errorf("%+v", g)
	}
	if a.Warning.String() != ":1" || b.Warning.String() != ":3" || a.Critical.String() != ":9" || third.Warning.String() != ":1" {
		t.Errorf("levels: %+v", g.Fields)
	}
	g = override("other", "graph_title T\na.label a\n")
	if f := g.Fields[0]; g.Category != "everything" || !f.Warning.IsZero() || !f.Critical.IsZero() {
		t.Errorf("a level of everything makes a graph be watched that has none of its own: %+v", g)
	}
	g = override("third", "graph_title T\na.label a\na.warning 5\nb.label b\n")
	if f := g.Fields[1]; f.Warning.String() != ":1" || f.Critical.String() != ":7" {
		t.Errorf("inherited levels: %+v", f)
	}
}

func TestWhatANestedGraphInherits(t *testing.T) {
	c := mustMunin(t, "[g;h]\naddress a\ndiskstats_iops.warning 5\ndiskstats_iops.sda.rdio.warning 9\ndiskstats_iops.sda.graph_title Disk\n")
	g := munin.ParseConfig("diskstats", []byte("multigraph diskstats_iops.sda\ngraph_title x\nrdio.label r\nwrio.label w\n")).Graphs[0]
	c.Override("g;h", &g)
	if g.Title != "Disk" || g.Fields[0].Warning.String() != ":9" || g.Fields[1].Warning.String() != ":5" {
		t.Errorf("%+v", g)
	}
}

func TestAFieldCanBeAddedToAPluginsGraph(t *testing.T) {
	c := mustMunin(t, "[g;h]\naddress a\nload.all.sum load.load db1:load.load\nload.all.label all\nload.nothing.colour FF0000\n")
	g := munin.ParseConfig("load", []byte("graph_title x\nload.label l\n")).Graphs[0]
	before := len(g.Fields)
	c.Override("g;h", &g)
	if len(g.Fields) != before+1 || g.Fields[1].Name != "all" || g.Fields[1].Extra["sum"] == "" || !g.Borrows() {
		t.Errorf("%+v", g.Fields)
	}
}

// fileWriter writes files into a folder and says where they are.
func fileWriter(t *testing.T, dir string) func(name, text string) string {
	t.Helper()
	return func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
}

func TestBothFilesTogether(t *testing.T) {
	write := fileWriter(t, t.TempDir())
	write("munin.conf", "[web;a]\naddress 10.0.0.1\ndf.x.warning 50\n[web;b]\naddress 10.0.0.2\ndf.x.warning 60\ndf.update no\n")
	main := write("corbie.yml", "munin_conf: munin.conf\ngroups: {web: {interval: 1m, tags: [w]}}\nhosts: {\"web;a\": 10.9.9.9}\n"+
		"levels: [{match: \"a:df.*\", critical: 70}]\n")
	c, err := config.Load(main, config.Flags{})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Hosts) != 2 || c.Hosts[0].Address != "10.9.9.9:4949" || c.Hosts[1].Interval != time.Minute || len(c.Warnings) != 1 {
		t.Errorf("%+v, warnings %q", c.Hosts, c.Warnings)
	}
	g := munin.ParseConfig("df", []byte("graph_title x\nx.label l\n")).Graphs[0]
	c.Override("web;a", &g)
	if f := g.Fields[0]; f.Warning.String() != ":50" || f.Critical.String() != ":70" || !strings.HasSuffix(f.Origin["warning"], "munin.conf:3") {
		t.Errorf("%+v", f)
	}
	if rules := c.Hosts[1].Plugins; len(rules) != 1 || rules[0].Pattern != "df" || rules[0].Every >= 0 {
		t.Errorf("plugins %+v", rules)
	}
}

func TestAContactsCommandIsTakenApartWithoutAShell(t *testing.T) {
	command := func(text string) (*config.Config, error) {
		return loadMunin(t, "contact.c.command "+text+"\n", config.Flags{})
	}
	for text, want := range map[string]string{
		`/bin/mail -s "Munin ${var:worst} for 'x'" a@b.c`: `["/bin/mail" "-s" "Munin ${var:worst} for 'x'" "a@b.c"]`,
		`| /bin/mail root`:                                         `["/bin/mail" "root"]`,
		`/bin/x 'single $x' a\ b "q\"q" ""`:                        `["/bin/x" "single $x" "a b" "q\"q" ""]`,
		`/bin/x ${loop<, >:wfields ${var:label} "x"} -${var:host}`: `["/bin/x" "${loop<, >:wfields ${var:label} \"x\"}" "-${var:host}"]`,
		`sh -c`: ``,
	} {
		c, err := command(text)
		switch {
		case err != nil:
			t.Errorf("%s: %v", text, err)
		case want == "":
			if args := c.Receivers[0].Contact.Args; !strings.HasPrefix(args[0], "/") {
				t.Errorf("%s: %q", text, args)
			}
		case fmt.Sprintf("%q", c.Receivers[0].Contact.Args) != want:
			t.Errorf("%s: %q, want %s", text, c.Receivers[0].Contact.Args, want)
		}
	}
	for text, want := range map[string]string{
		"/bin/mail x | tee y": "needs a shell", "/bin/mail $HOME": "$ needs a shell", "/bin/mail \"`id`\"": "` needs a shell", "/bin/mail > /tmp/x": "needs a shell",
		"/bin/mail 'x": "a quote is not closed", "/bin/mail \"x": "a quote is not closed", "${var:x} y": "begin with a program", "A=b mail": "begin with a program",
		"/bin/x ${var:y": "not closed", "/bin/x ${nonsense}": "want one of var", "no-such-program-here x": "there is no program", "|": "it is empty", "../mail x": "absolute path",
	} {
		if _, err := command(text); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "munin.conf:1: ") {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

// FuzzMunin looks for texts that break the reading of a munin.conf or what is made of it.
func FuzzMunin(f *testing.F) {
	text, err := os.ReadFile("testdata/munin.conf")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte("[g;h]\naddress a\nload.x.sum y\nload.x.stack a=b\nload.graph_order -x=y\ncontact.a.command x ${if:y z}\n"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte) {
		if strings.Contains(string(text), "includedir") {
			return
		}
		path := filepath.Join(dir, "munin.conf")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := config.LoadMunin(config.Flags{MuninConf: path, Tolerant: true})
		if err != nil {
			t.Fatalf("a tolerant reading fails: %v", err)
		}
		for _, target := range c.Targets() {
			target.Override(graph())
		}
		for _, h := range c.Hosts {
			for _, g := range c.Virtual(h.ID) {
				g.Borrow(h.ID, func(munin.HostID, string) (*munin.Graph, time.Duration) { return nil, 0 })
			}
		}
	})
}
