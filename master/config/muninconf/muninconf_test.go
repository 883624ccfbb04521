package muninconf_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"corbie/master/config/muninconf"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// show is one line for each setting, problem and warning.
func show(c *muninconf.Conf) string {
	var b strings.Builder
	for _, s := range c.Settings {
		fmt.Fprintf(&b, "%s: %s | %s | %s | %s = %s\n", s.At, s.Group, s.Host, strings.Join(s.Path, "."), s.Key, s.Value)
	}
	for _, p := range c.Problems {
		fmt.Fprintf(&b, "%s: ERROR %s\n", p.At, p.Text)
	}
	for _, p := range c.Warnings {
		fmt.Fprintf(&b, "%s: warning %s\n", p.At, p.Text)
	}
	return b.String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; run with -update and read the diff. Got:\n%s", file, got)
	}
}

// The cases that were tried on Munin 2.0.73 and, where that is broken, what is obviously meant.
func TestSectionsAndKeysMeanWhatTheyMeanInMunin(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"[h1]\naddress 1.2.3.4", "h1 | h1 |  | address = 1.2.3.4"},
		{"[h1.example.com]\naddress a", "example.com | h1.example.com |  | address = a"},
		{"[g;h]\naddress a", "g | h |  | address = a"},
		{"[g;sub;h]\naddress a", "g;sub | h |  | address = a"},
		{"[g;]\nnode_order b a", "g |  |  | node_order = b a"},
		{"[g;sub;]\ncontacts none", "g;sub |  |  | contacts = none"},
		{"[g;h:svc]\nf.warning 5", "g | h | svc.f | warning = 5"},
		{"[g;h:svc.sub]\nf.warning 5", "g | h | svc.sub.f | warning = 5"},
		{"[a;b;h4:svc]\nf.warning 5", "a;b | h4 | svc.f | warning = 5"},
		{"[10.0.0.1]\naddress a", "0.0.1 | 10.0.0.1 |  | address = a"},
		{"[h2:svc]\nf.warning 5", "h2 | h2 | svc.f | warning = 5"},
		{"[h1.ex.com:svc]\nf.warning 5", "ex.com | h1.ex.com | svc.f | warning = 5"},
		{"[g;h5:svc]\n:sub.f.warning 8", "g | h5 | svc.sub.f | warning = 8"},
		{"g;h:address 9", "g | h |  | address = 9"},
		{"grp;host:svc.field.warning 5", "grp | host | svc.field | warning = 5"},
		{"[g;h]\nsvc.f.critical :5", "g | h | svc.f | critical = :5"},
		{"contact.me.command mail -s x me", " |  | contact.me | command = mail -s x me"},
		{"dbdir\t/var/lib/munin", " |  |  | dbdir = /var/lib/munin"},
		{"[ g;h ]\n  address   a  b  ", "g | h |  | address = a  b"},
		{"[g;h]\naddress a # comment\n#all\n", "g | h |  | address = a"},
		{"[g;h]\nx.graph_title a \\# b # c", "g | h | x | graph_title = a # b"},
		{"[g;h]\nx.graph_order a=b:c.d \\\n    e=f:g.h", "g | h | x | graph_order = a=b:c.d e=f:g.h"},
		{"[g;h]\nx.graph_title one\\\n   two", "g | h | x | graph_title = onetwo"},
		{"[g;h]\nupdate NO", "g | h |  | update = NO"},
		{"[My Group;h]\nport 1", "My Group | h |  | port = 1"},
	} {
		conf := muninconf.Parse("munin.conf", []byte(c.in))
		got := strings.TrimSpace(show(conf))
		_, got, _ = strings.Cut(got, ": ")
		if got != c.want {
			t.Errorf("%q\ngot  %s\nwant %s", c.in, got, c.want)
		}
	}
}

func TestWhatIsWrongIsNamedAndLeftOut(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"[bad_host]\naddress a", "allows no underscore"},
		{"[fe80::1]\naddress a", "two colons"},
		{"[g;fe80::1]\naddress a", "two colons"},
		{"update maybe", `"maybe": want yes or no`},
		{"[g;h]\nuse_node_name ignore", `use_node_name: "ignore": want yes or no`},
		{"custom_palette FF0000", `unknown keyword "custom_palette": write "colour"`},
		{"[g;h]\nload.oldname x", `unknown keyword "oldname": only a plugin`},
		{"[g;h]\nload.load.color x", `write "colour"`},
		{"[g;h]\nadddress a", `did you mean "address"?`},
		{"[g;h]\nload.load.warnig 5", `did you mean "warning"?`},
		{"[g;h\naddress a", "a section is written [group;host]"},
		{"[g;h] # ok\n[g;h] x\naddress a", "a section is written [group;host]"},
		{"[]\naddress a", "a section without a name"},
		{"[a[b;h]\naddress a", "brackets"},
		{"[g;h:]\nf.warning 5", "a name is empty"},
		{"[g;h]\na..b.warning 5", "a name is empty"},
		{"[g;h]\n.warning 5", "a name is empty"},
		{"h:svc.f.warning 5", "a host stands behind its group"},
		{";h:address 5", "the name of a group is empty"},
		{"[g;-h]\naddress 5", "cannot begin with a dot or a dash"},
		{"[g/x;h]\naddress 5", `'/' is not allowed`},
		{"[g;h]\nx.gr" + strings.Repeat("a", 300) + ".warning 5", "longer than 200 bytes"},
	} {
		conf := muninconf.Parse("munin.conf", []byte(c.in))
		if len(conf.Settings) > 0 || len(conf.Problems) != 1 || !strings.Contains(conf.Problems[0].Text, c.want) {
			t.Errorf("%q\ngot  %s\nwant %s", c.in, show(conf), c.want)
		}
	}
}

func TestAnErrorCostsOneLineOnly(t *testing.T) {
	conf := muninconf.Parse("munin.conf", []byte("[g;h]\naddress a\ncolr x\nport 5\n[bad_one]\naddress b\n[g;i]\naddress c\naddress\n"))
	golden(t, "oneline.golden", show(conf))
}

func TestTheIncludedirIsReadAfterTheMainFileByName(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, sub := range []string{"conf.d", "conf.d/sub", "unused"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	write("munin.conf", "includedir unused\nincludedir conf.d\n[g;h]\naddress main\n")
	write("conf.d/10-b", "address nowhere\n[g;h]\naddress second\nincludedir x\n")
	write("conf.d/02-a", "[g;i]\naddress first\n")
	write("conf.d/.hidden", "nonsense\n")
	write("conf.d/old~", "nonsense\n")
	write("conf.d/sub/x", "nonsense\n")
	write("unused/x", "nonsense\n")
	conf, err := muninconf.Load(filepath.Join(dir, "munin.conf"))
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "includedir.golden", strings.ReplaceAll(show(conf), dir, "DIR"))
	write("munin.conf", "includedir missing\n")
	conf, err = muninconf.Load(filepath.Join(dir, "munin.conf"))
	if err != nil || len(conf.Problems) > 0 || len(conf.Warnings) != 1 || !strings.Contains(conf.Warnings[0].Text, "there is no folder") {
		t.Errorf("%v\n%s", err, show(conf))
	}
	if _, err := muninconf.Load(filepath.Join(dir, "none")); !os.IsNotExist(unwrapAll(err)) {
		t.Errorf("a missing file: %v", err)
	}
}

func unwrapAll(err error) error {
	for {
		inner, ok := err.(interface{ Unwrap() error })
		if !ok || os.IsNotExist(err) {
			return err
		}
		err = inner.Unwrap()
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"[g;h]\naddress a\n", "[h2:svc]\nf.warning 5\n", "[a;b;]\nx\\\n y # z", "[g;h:s]\n:sub.f.warning 1", "a;b:c.d.warning 5", "[[]\n[]\n;:.\n", "x\\",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		conf := muninconf.Parse("f", text)
		lines := strings.Count(string(text), "\n") + 1
		for _, s := range conf.Settings {
			if s.At.Line < 1 || s.At.Line > lines || s.Key == "" || s.Value == "" || s.Host != "" && s.Group == "" {
				t.Errorf("setting %+v", s)
			}
		}
		for _, p := range conf.Problems {
			if p.Text == "" || strings.ContainsAny(p.Text, "\n\x00") {
				t.Errorf("problem %+v", p)
			}
		}
	})
}
