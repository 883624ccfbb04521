package node_test

import (
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"corbie/node"
	"corbie/node/runner"
)

func parsePluginConf(t *testing.T, text string) *node.PluginConf {
	t.Helper()
	c := new(node.PluginConf)
	if err := c.Parse("f", []byte(text)); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSectionsSayHowAPluginIsRun(t *testing.T) {
	c := parsePluginConf(t, `
# comment
[exim_mailqueue]
user  Debian-exim
group adm, (Debian-exim),daemon   # one may be missing
command nice -n 10 %c
env.logdir /var/log/exim4/
env.text  a "quoted"  text with \# in it # and a comment
host_name Mail.example.com
timeout 30
update_rate 60
disable_autoconf yes
`)
	disabled := true
	want := node.Settings{
		DisableAutoconf: &disabled,

		User:     "Debian-exim",
		Groups:   []runner.Group{{Name: "adm"}, {Name: "Debian-exim", Optional: true}, {Name: "daemon"}},
		Command:  []string{"nice", "-n", "10", "%c"},
		HostName: "Mail.example.com",
		Timeout:  30 * time.Second,
		Rate:     time.Minute,
		Env:      map[string]string{"logdir": "/var/log/exim4/", "text": `a "quoted"  text with # in it`},
	}
	if got := c.For("exim_mailqueue"); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	if got := c.For("exim"); !reflect.DeepEqual(got, node.Settings{}) {
		t.Errorf("another plugin got %+v", got)
	}
}

func TestTheMoreTellingSectionWins(t *testing.T) {
	c := parsePluginConf(t, `
[*]
user everybody
timeout 7
env.a all
env.b all
[if_*]
user if
env.a if
[if_err_*]
env.a if_err
[if_err_eth0]
env.c exact
[*_eth0]
group eth
user eth
`)
	f := func(plugin, user, group string, env map[string]string) {
		t.Helper()
		got := c.For(plugin)
		gotGroup := ""
		if len(got.Groups) > 0 {
			gotGroup = got.Groups[0].Name
		}
		if got.User != user || gotGroup != group || !maps.Equal(got.Env, env) || got.Timeout != 7*time.Second {
			t.Errorf("%s: %+v", plugin, got)
		}
	}
	f("cpu", "everybody", "", map[string]string{"a": "all", "b": "all"})
	f("if_eth1", "if", "", map[string]string{"a": "if", "b": "all"})
	f("if_err_eth1", "if", "", map[string]string{"a": "if_err", "b": "all"})
	f("if_err_eth0", "if", "eth", map[string]string{"a": "if_err", "b": "all", "c": "exact"})
	f("vlan_eth0", "eth", "eth", map[string]string{"a": "all", "b": "all"})
	if again := c.For("if_err_eth0"); again.Env["c"] != "exact" || c.For("if_eth1").Env["c"] != "" {
		t.Error("asking changed the settings")
	}
}

func TestLaterTextOfTheSameSectionWins(t *testing.T) {
	c := parsePluginConf(t, "[a]\nuser one\nenv.x 1\nenv.y 1\n[b]\nuser b\n[a]\nuser two\nenv.x 2\n")
	if err := c.Parse("second file", []byte("[a]\nenv.y 3\n")); err != nil {
		t.Fatal(err)
	}
	if got := c.For("a"); got.User != "two" || !maps.Equal(got.Env, map[string]string{"x": "2", "y": "3"}) {
		t.Errorf("got %+v", got)
	}
}

func TestAutoconfIsDisabledForOneOrMany(t *testing.T) {
	c := parsePluginConf(t, "[*]\nuser x\n[snmp_*]\ndisable_autoconf yes\n[snmp_here]\ndisable_autoconf off\n")
	for plugin, want := range map[string]string{"snmp_there": "yes", "snmp_here": "no", "cpu": "not said"} {
		got := "not said"
		if disabled := c.For(plugin).DisableAutoconf; disabled != nil {
			got = map[bool]string{true: "yes", false: "no"}[*disabled]
		}
		if got != want {
			t.Errorf("%s: disabled is %s, want %s", plugin, got, want)
		}
	}
}

func TestAMistakeCostsTheRestOfItsFile(t *testing.T) {
	for name, bad := range map[string]string{
		"an unknown directive":   "usr nobody",
		"the old form of env":    "env KEY=value",
		"a line without value":   "user",
		"a timeout that is none": "timeout soon",
		"neither yes nor no":     "disable_autoconf maybe",
		"two stars":              "[*a*]",
		"a star in the middle":   "[a*b]",
		"an env without name":    "env. x",
		"a section without end":  "[open",
	} {
		t.Run(name, func(t *testing.T) {
			c := new(node.PluginConf)
			err := c.Parse("f", []byte("[a]\nuser before\n"+bad+"\ngroup after\n"))
			if err == nil || !strings.HasPrefix(err.Error(), "f:3: ") {
				t.Errorf("err = %v", err)
			}
			if got := c.For("a"); got.User != "before" || got.Groups != nil {
				t.Errorf("got %+v", got)
			}
		})
	}
	if err := new(node.PluginConf).Parse("f", []byte("user early\n[a]\n")); err == nil || !strings.Contains(err.Error(), "before the first") {
		t.Errorf("err = %v", err)
	}
}

func TestAFolderOfSettingsIsReadInOrderOfNames(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"10-first":   "[a]\nuser first\nenv.only first\n",
		"20-broken":  "[a]\nuser broken\nnonsense\nuser never\n",
		"30-last":    "[a]\nenv.last yes\n",
		".hidden":    "[a]\nuser hidden\n",
		"40-old.bak": "[a]\nuser bak\n",
		"50 blank":   "[a]\nuser blank\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "60-folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	c, faults := node.LoadPluginConf(dir, &node.Config{Ignore: []*regexp.Regexp{regexp.MustCompile(`\.bak$`)}})
	if len(faults) != 1 || !strings.Contains(faults[0].Error(), "20-broken:3:") {
		t.Errorf("faults %v", faults)
	}
	if got := c.For("a"); got.User != "broken" || got.Env["only"] != "first" || got.Env["last"] != "yes" {
		t.Errorf("got %+v", got)
	}
	if none, faults := node.LoadPluginConf(filepath.Join(dir, "missing"), &node.Config{}); len(faults) != 0 || none.For("a").User != "" {
		t.Errorf("a folder that is not there: %v", faults)
	}
}

func FuzzPluginConf(f *testing.F) {
	for _, seed := range []string{
		"[a]\nuser x\n", "[*]\nenv.a b\n[*a]\n[a*]\ntimeout 3", "[df*]\nenv.exclude none udf # x\n", "user x", "[]\n", "[a]\nenv A=b",
		"[a]\ngroup (,),\n", "[a]\ncommand %c %c\r\n", "[\x00]\nenv.\xff 1",
	} {
		f.Add(seed, "a")
	}
	f.Fuzz(func(t *testing.T, text, plugin string) {
		c := new(node.PluginConf)
		_ = c.Parse("f", []byte(text)) // What stands before a mistake counts all the same.
		s := c.For(plugin)
		if s.Timeout < 0 || slices.ContainsFunc(s.Groups, func(g runner.Group) bool { return g.Name == "" }) {
			t.Errorf("%q gave %+v", text, s)
		}
		for key, value := range s.Env {
			if key == "" || strings.ContainsAny(key, "=\n\x00 ") || strings.Contains(value, "\n") {
				t.Errorf("%q gave env %q=%q", text, key, value)
			}
		}
	})
}
