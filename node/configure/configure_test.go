package configure_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"corbie/node"
	"corbie/node/configure"
	"corbie/node/runner"
)

// folder is a library or a plugin folder of a test.
type folder struct{ dir string }

func (f folder) Plugins() []node.Plugin {
	files, err := os.ReadDir(f.dir)
	if err != nil {
		return nil
	}
	var list []node.Plugin
	for _, file := range files {
		list = append(list, node.Plugin{Name: file.Name(), Path: filepath.Join(f.dir, file.Name())})
	}
	return list
}

// library writes plugins that consist of their markers.
func library(t *testing.T, markers map[string]string) folder {
	t.Helper()
	dir := t.TempDir()
	for name, text := range markers {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder{dir}
}

func link(t *testing.T, dir, name, target string) {
	t.Helper()
	if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

// answers are what the plugins of a test say, by name and question.
type answers map[string]node.Answer

func (a answers) RunPlugin(_ context.Context, request node.Request) node.Answer {
	return a[request.Plugin+" "+request.Args[0]]
}

func says(text string) node.Answer { return node.Answer{Output: []byte(text)} }

const (
	plain    = "#!/bin/sh\n#%# family=auto\n#%# capabilities=autoconf\n"
	wildcard = "#!/usr/bin/perl\n=pod\n  #%# family=auto\n  #%# capabilities=autoconf suggest\n"
)

// surveyed is the tour of all that a table can show.
func surveyed(t *testing.T) (plugins []*configure.Plugin, lib, services string) {
	t.Helper()
	l := library(t, map[string]string{
		"fine": plain, "linked": plain, "gone": plain, "broken": plain, "late": plain, "noisy": plain, "silent": plain,
		"chatty": plain, "odd": plain, "off": plain, "unreasoned": plain, "other": "#%# family=manual\n", "cpu": plain,
		"if_": wildcard, "if_err_": wildcard, "disk_": wildcard, "lonely_": wildcard, "wrong": "#%# family=auto\n",
	})
	services = t.TempDir()
	for name, target := range map[string]string{
		"linked": "linked", "gone": "gone", "broken": "broken", "renamed": "linked",
		"disk_a": "disk_", "disk_b": "disk_", "off": "off", "other": "other", "if_eth0": "if_",
	} {
		link(t, services, name, filepath.Join(l.dir, target))
	}
	link(t, services, "foreign", filepath.Join(t.TempDir(), "fine"))
	plugins = configure.Load(l, []string{configure.FamilyAuto})
	disabled := func(name string) bool { return name == "off" }
	err := configure.Survey(t.Context(), answers{
		"fine autoconf": says("yes\n"), "linked autoconf": says("# debugging\nyes\n"),
		"gone autoconf":   says("no (the machine has none)\n"),
		"broken autoconf": {ExitCode: 3, Err: fmt.Errorf("%w: exit status 3", runner.ErrExit), Stderr: []string{"# why", "dreadful\x1b[2J"}},
		"late autoconf":   {ExitCode: -1, Err: fmt.Errorf("%w after 10s", runner.ErrTimedOut)},
		"noisy autoconf":  {Output: []byte("yes\n"), Stderr: []string{"# a comment", "a warning"}},
		"silent autoconf": {}, "chatty autoconf": says("yes\nindeed\n"), "odd autoconf": says("maybe\n"),
		"unreasoned autoconf": says("no\n"), "cpu autoconf": says("yes\n"),
		"if_ autoconf": says("yes\n"), "if_ suggest": says("eth0\neth1\r\n# a comment\nwlan0\n"),
		"if_err_ autoconf": says("yes\n"), "if_err_ suggest": says("eth0\neth1\n"),
		"disk_ autoconf": says("yes\n"), "disk_ suggest": says("c\na\nc\n"),
		"lonely_ autoconf": says("yes\n"), "lonely_ suggest": says("good\n../../etc\n"),
	}, plugins, configure.SurveyOptions{Disabled: disabled})
	if err != nil {
		t.Fatal(err)
	}
	configure.FindLinks(plugins, folder{services})
	return configure.AddNative(plugins, []string{"cpu", "if_eth1", "if_err_eth0", "if_err_eth1", "uptime"}), l.dir, services
}

func TestTheTableShowsWhatIsInUseAndWhatWouldBe(t *testing.T) {
	plugins, _, _ := surveyed(t)
	var out bytes.Buffer
	if err := configure.WriteTable(&out, plugins, true); err != nil {
		t.Fatal(err)
	}
	want := `
Plugin                     | Used | Suggestions
------                     | ---- | -----------
broken                     | yes  | no [[[ plugin has errors, see below ]]]
chatty                     | no   | no [[[ plugin has errors, see below ]]]
cpu                        | yes  | yes {native: no link needed}
disk_                      | yes  | yes (a +c -b)
fine                       | no   | yes
gone                       | yes  | no [the machine has none]
if_                        | yes  | yes (eth0 +wlan0) {native: eth1}
if_err_                    | yes  | yes {native: eth0 eth1}
late                       | no   | no [[[ plugin has errors, see below ]]]
linked                     | yes  | yes (-renamed)
lonely_                    | no   | yes (+good)
noisy                      | no   | no [[[ plugin has errors, see below ]]]
odd                        | no   | no [[[ plugin has errors, see below ]]]
off                        | yes  | no [not asked: disable_autoconf in plugin-conf.d]
silent                     | no   | no [[[ plugin has errors, see below ]]]
unreasoned                 | no   | no [[[ plugin gave no reason why ]]]
uptime                     | yes  | yes {native: no link needed}
wrong                      | no   | no [[[ plugin has errors, see below ]]]
`
	if got := trimLines(out.String()); got != strings.TrimPrefix(want, "\n") {
		t.Errorf("got:\n%s", got)
	}
	out.Reset()
	if !configure.WriteFaults(&out, plugins) {
		t.Error("no faults")
	}
	for _, want := range []string{
		"# broken:\n# \tNon-zero exit during autoconf (3): dreadful [2J\n", "# late:\n# \tTimed out during autoconf\n",
		"# noisy:\n# \tJunk printed to stderr during autoconf: a warning\n", "# silent:\n# \tNothing printed to stdout during autoconf\n",
		"# chatty:\n# \tautoconf must print one line, and it printed 2", "# odd:\n# \tautoconf must print yes, no or no (REASON), not \"maybe\"",
		"# lonely_:\n# \tBad suggestion: \"../../etc\"", "# wrong:\n# \tits family is auto, but autoconf is not among its capabilities\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
}

func trimLines(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, " ")
	}
	return strings.Join(lines, "\n")
}

func TestThePlanAddsWhatIsMissingAndRemovesOnlyAfterAClearAnswer(t *testing.T) {
	plugins, lib, services := surveyed(t)
	f := func(removeAlso bool, want ...string) {
		t.Helper()
		var got []string
		for _, change := range configure.Plan(plugins, removeAlso) {
			got = append(got, strings.ReplaceAll(strings.ReplaceAll(change.Shell(services), lib, "LIB"), services, "SERVICES"))
		}
		if !slices.Equal(got, want) {
			t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	f(false, "ln -s 'LIB/disk_' 'SERVICES/disk_c'", "ln -s 'LIB/fine' 'SERVICES/fine'", "ln -s 'LIB/if_' 'SERVICES/if_wlan0'", "ln -s 'LIB/lonely_' 'SERVICES/lonely_good'")
	f(true, "ln -s 'LIB/disk_' 'SERVICES/disk_c'", "rm -f 'SERVICES/disk_b'", "ln -s 'LIB/fine' 'SERVICES/fine'", "rm -f 'SERVICES/gone'",
		"ln -s 'LIB/if_' 'SERVICES/if_wlan0'", "rm -f 'SERVICES/renamed'", "ln -s 'LIB/lonely_' 'SERVICES/lonely_good'")
}

func TestAppliedChangesLeaveNothingToChange(t *testing.T) {
	plugins, _, services := surveyed(t)
	for _, change := range configure.Plan(plugins, true) {
		if err := change.Apply(services); err != nil {
			t.Errorf("%v: %v", change, err)
		}
	}
	again, _, _ := surveyed(t)
	for _, p := range again {
		p.Links, p.Path = nil, plugins[slices.IndexFunc(plugins, func(q *configure.Plugin) bool { return q.Name == p.Name })].Path
	}
	configure.FindLinks(again, folder{services})
	if left := configure.Plan(again, true); len(left) != 0 {
		t.Errorf("still to do: %v", left)
	}
}

func TestApplyOverwritesAndRemovesNothingOfSomebodyElse(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	link(t, dir, "elsewhere", "/somewhere/else")
	link(t, dir, "relative", "../lib/plugin")
	target := filepath.Join(filepath.Dir(dir), "lib/plugin")
	for _, change := range []configure.Change{
		{Link: "file", Target: target},
		{Link: "elsewhere", Target: target},
		{Remove: true, Link: "file", Target: target},
		{Remove: true, Link: "elsewhere", Target: target},
		{Link: "../outside", Target: target},
		{Link: "..", Target: target},
		{Link: "", Target: target},
	} {
		if err := change.Apply(dir); err == nil {
			t.Errorf("%v is done", change)
		}
	}
	if text, err := os.ReadFile(filepath.Join(dir, "file")); err != nil || string(text) != "mine" {
		t.Errorf("file: %q, %v", text, err)
	}
	if to, err := os.Readlink(filepath.Join(dir, "elsewhere")); err != nil || to != "/somewhere/else" {
		t.Errorf("elsewhere: %q, %v", to, err)
	}
	for range 2 { // It is no mistake if somebody else has removed it already.
		if err := (configure.Change{Remove: true, Link: "relative", Target: target}).Apply(dir); err != nil {
			t.Errorf("a relative link: %v", err)
		}
	}
	if _, err := os.Lstat(filepath.Join(dir, "relative")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the relative link is still there: %v", err)
	}
}

func TestNamesAreQuotedForTheShell(t *testing.T) {
	got := configure.Change{Link: "x", Target: "/it's/$(here) \\"}.Shell("/a b")
	if want := `ln -s '/it'\''s/$(here) \' '/a b/x'`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestThePluginOfTheFirstLibraryWins(t *testing.T) {
	one, two := library(t, map[string]string{"a": plain, "both": plain}), library(t, map[string]string{"both": plain, "Z": plain})
	auto := []string{configure.FamilyAuto}
	var got []string
	for _, p := range configure.Merge(configure.Load(one, auto), configure.Load(two, auto)) {
		got = append(got, strings.NewReplacer(one.dir, "1", two.dir, "2").Replace(p.Path))
	}
	if want := []string{"2/Z", "1/a", "1/both"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestNewerKeepsWhatCameLater(t *testing.T) {
	const history = "# comment\n[1.0]\nold\n[1.2]\nsame\nlinux/same_too\n\n[1.3]\nnew # indeed\nlinux/here\nsunos/there\n[1.4]\nnewest_\n"
	newer, err := configure.Newer(history, "1.2", "linux")
	if err != nil {
		t.Fatal(err)
	}
	plugins := []*configure.Plugin{{Name: "old", Family: "contrib"}}
	for _, name := range []string{"old", "same", "same_too", "new", "here", "there", "newest_", "unheard"} {
		plugins = append(plugins, &configure.Plugin{Name: name, Family: configure.FamilyAuto})
	}
	var got []string
	for _, p := range configure.KeepNewer(plugins, newer) {
		got = append(got, p.Name)
	}
	if want := []string{"old", "new", "here", "newest_"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, err := configure.Newer(history, "2.0", "linux"); err == nil || !strings.Contains(err.Error(), "1.0, 1.2, 1.3, 1.4") {
		t.Errorf("err = %v", err)
	}
}

// crowd counts how many plugins are asked at the same time.
type crowd struct{ now, most, all atomic.Int32 }

func (c *crowd) RunPlugin(ctx context.Context, _ node.Request) node.Answer {
	c.all.Add(1)
	if n := c.now.Add(1); n > c.most.Load() {
		c.most.Store(n)
	}
	defer c.now.Add(-1)
	select {
	case <-time.After(20 * time.Millisecond):
	case <-ctx.Done():
	}
	return says("yes\n")
}

func TestPluginsAreAskedSideBySideButNotAllAtOnce(t *testing.T) {
	var plugins []*configure.Plugin
	for i := range 20 {
		plugins = append(plugins, &configure.Plugin{Name: fmt.Sprint("p", i), Path: "/p", Autoconf: true})
	}
	var c crowd
	if err := configure.Survey(t.Context(), &c, plugins, configure.SurveyOptions{Parallel: 4}); err != nil {
		t.Fatal(err)
	}
	if c.all.Load() != 20 || c.most.Load() < 2 || c.most.Load() > 4 {
		t.Errorf("%d asked, %d at the same time", c.all.Load(), c.most.Load())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := configure.Survey(ctx, &c, plugins, configure.SurveyOptions{}); !errors.Is(err, context.Canceled) || c.all.Load() != 20 {
		t.Errorf("after the end: err = %v, %d asked", err, c.all.Load())
	}
}

func TestProgramsInMachineCodeAreSearchedUpToALimit(t *testing.T) {
	for name, text := range map[string]string{
		"a long line":         strings.Repeat("x", 3<<20),
		"a marker at the end": strings.Repeat("x\n", 1<<19) + plain,
	} {
		p := &configure.Plugin{Name: "p", Family: configure.FamilyContrib}
		if err := p.ParseMarkers(strings.NewReader(text)); err != nil || p.Family != configure.FamilyContrib {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
}

func FuzzAnswers(f *testing.F) {
	for _, seed := range []string{
		"yes", "no (because)", "no", "eth0\neth1\n", "require 1.3.6.1.2.1.1. [0-9]", "index 1.3.6.", "#%# family=auto\n#%# capabilities=autoconf suggest",
		"require 1.3 (((", "number 1", "#%# family=\n", "no (\x1b[2J)",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p := &configure.Plugin{Name: "p_", Path: "/lib/p_"}
		_ = p.ParseMarkers(strings.NewReader(text)) // A line may be too long.
		lines := strings.Split(text, "\n")
		p.TakeAutoconf(lines)
		p.TakeSuggestions(lines)
		p.TakeSNMPConf(lines)
		p.Useful = true
		for _, change := range configure.Plan([]*configure.Plugin{p}, true) {
			if strings.ContainsAny(change.Link, "/\n '\x00") || !strings.HasPrefix(change.Link, "p_") {
				t.Errorf("%q leads to the link %q", text, change.Link)
			}
		}
		var out bytes.Buffer
		configure.WriteFaults(&out, []*configure.Plugin{p})
		if err := configure.WriteTable(&out, []*configure.Plugin{p}, true); err != nil || strings.ContainsAny(out.String(), "\x1b\x00\r") {
			t.Errorf("%q is printed as %q, %v", text, out.String(), err)
		}
	})
}
