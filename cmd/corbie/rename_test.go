package main

import (
	"encoding/csv"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"corbie/internal/testenv"
)

// site is a master with its configuration and data.
type site struct {
	t      *testing.T
	dir    string
	conf   string
	master *process
}

func newSite(t *testing.T, conf string) *site {
	t.Helper()
	s := &site{t: t, dir: filepath.Join(t.TempDir(), "data"), conf: filepath.Join(t.TempDir(), "corbie.yml")}
	testenv.WriteFile(t, s.conf, conf, 0o644)
	s.master = startMaster(t, s.dir, s.conf)
	return s
}

func (s *site) corbie(args ...string) string {
	s.t.Helper()
	return mustCorbie(s.t, append(args, "--data", s.dir)...)
}

// refused is what a verb says that does not work.
func (s *site) refused(args ...string) string {
	s.t.Helper()
	out, talk, code := corbie(s.t, append(args, "--data", s.dir)...)
	if code != exitFailed {
		s.t.Errorf("corbie %v: exit %d\n%s%s", args, code, out, talk)
	}
	return talk
}

// reload gives the master another configuration.
func (s *site) reload(conf string) {
	s.t.Helper()
	testenv.WriteFile(s.t, s.conf, conf, 0o644)
	s.master.Signal(s.t, syscall.SIGHUP)
	s.master.WaitFor(s.t, "configuration reloaded")
}

func (s *site) restart() {
	s.t.Helper()
	s.stop()
	s.master = startMaster(s.t, s.dir, s.conf)
}

func (s *site) stop() {
	s.t.Helper()
	s.master.Stop(s.t)
}

// page is what the master serves at a path.
func (s *site) page(path string) (body string, status int) {
	s.t.Helper()
	status, body = testenv.Get(s.t, s.master.url()+path)
	return body, status
}

// hosts are the names and states that "corbie hosts" lists, without the master itself.
func (s *site) hosts() string {
	s.t.Helper()
	var rows []hostRow
	if err := json.Unmarshal([]byte(s.corbie("hosts", "--format", "json")), &rows); err != nil {
		s.t.Fatal(err)
	}
	var out []string
	for _, r := range rows {
		if !isSelf(r.Host) {
			out = append(out, string(r.Host)+" "+r.State)
		}
	}
	return strings.Join(out, ", ")
}

// values are the raw values of a graph, as exported.
func (s *site) values(host, graph string) [][]string {
	s.t.Helper()
	rows, err := csv.NewReader(strings.NewReader(s.corbie("export", host, graph, "--from", "now-1h"))).ReadAll()
	if err != nil {
		s.t.Fatal(err)
	}
	return rows[1:]
}

// problem is since when a field has one, zero where it has none.
func (s *site) problem(id string) time.Time {
	s.t.Helper()
	var rows []problemRow
	if err := json.Unmarshal([]byte(s.corbie("problems", "--format", "json")), &rows); err != nil {
		s.t.Fatal(err)
	}
	for _, r := range rows {
		if r.ID == id && r.Since != nil {
			return *r.Since
		}
	}
	return time.Time{}
}

// roomNode is a node with a temperature that is always too high, and a counter.
func roomNode(t *testing.T) (address, plugins string) {
	t.Helper()
	plugins = testenv.PublicDir(t)
	testenv.WriteFile(t, filepath.Join(plugins, "room"), `#!/bin/sh
[ "$1" = config ] && { echo graph_title Room; echo temp.label temp; echo temp.critical 30; } || echo temp.value 42
`, 0o755)
	testenv.WriteFile(t, filepath.Join(plugins, "seconds"), `#!/bin/sh
[ "$1" = config ] && { echo graph_title Seconds; echo s.label s; echo s.type DERIVE; echo s.min 0; } || echo s.value $(date +%s)
`, 0o755)
	return startNode(t, plugins), plugins
}

func TestAHostIsRenamedWhileTheMasterRuns(t *testing.T) {
	t.Parallel()
	address, _ := roomNode(t)
	s := newSite(t, "interval: 1s\ngroups: {g: {}}\nhosts: {old: {address: '"+address+"', group: g}}\n")
	testenv.Eventually(t, "a problem and some values are there", func() bool {
		return !s.problem("g;old:room.temp").IsZero() && len(s.values("old", "seconds")) > 3
	})
	began := s.problem("g;old:room.temp")
	till := strconv.FormatInt(time.Now().Unix()-1, 10)
	views := []string{".csv?from=now-10m&to=", ".json?from=now-10m&to=", ".svg?from=now-10m&to="}
	before := make([]string, len(views))
	from := strconv.FormatInt(time.Now().Unix()-600, 10)
	for i, view := range views {
		before[i], _ = s.page("/h/g;old/seconds" + strings.Replace(view, "now-10m", from, 1) + till)
	}
	stored := s.values("old", "seconds")

	if out := s.corbie("rename", "old", "new"); !strings.Contains(out, "g;old is g;new now") || !strings.Contains(out, "--undo 'g;old'") {
		t.Errorf("rename says %q", out)
	}
	s.master.WaitFor(t, "it is polled under its new name")
	for i, view := range views {
		after, status := s.page("/h/g;new/seconds" + strings.Replace(view, "now-10m", from, 1) + till)
		if want := strings.ReplaceAll(before[i], "old", "new"); status != http.StatusOK || after != want {
			t.Errorf("%s is different, status %d:\n%s\nwas\n%s", view, status, after, want)
		}
	}
	if got := s.hosts(); got != "g;new ok" {
		t.Errorf("hosts: %s", got)
	}
	testenv.Eventually(t, "the problem goes on under the new name", func() bool { return s.problem("g;new:room.temp").Equal(began) })
	if !s.problem("g;old:room.temp").IsZero() {
		t.Error("the old name still has a problem")
	}
	testenv.Eventually(t, "values are stored under the new name", func() bool { return len(s.values("new", "seconds")) > len(stored)+2 })
	for i, row := range s.values("new", "seconds")[:len(stored)] {
		if row[0] != stored[i][0] || row[len(row)-1] != stored[i][len(row)-1] {
			t.Errorf("value %d was %v, is %v", i, stored[i], row)
		}
	}
	if page, status := s.page("/h/old"); status != http.StatusOK || !strings.Contains(page, "Seconds") {
		t.Errorf("the old address gives status %d", status)
	}

	s.reload("interval: 1s\ngroups: {g: {}}\nhosts: {new: {address: '" + address + "', group: g}}\n")
	many := len(s.values("new", "seconds"))
	testenv.Eventually(t, "polls go on after the configuration has the new name", func() bool { return len(s.values("new", "seconds")) > many+1 })
	s.restart()
	testenv.Eventually(t, "and after a restart", func() bool {
		return len(s.values("new", "seconds")) > many+3 && s.problem("g;new:room.temp").Equal(began)
	})

	s.corbie("rename", "--undo", "old")
	testenv.Eventually(t, "both are apart again", func() bool { return s.hosts() == "g;new ok, g;old archived" })
	if n := len(s.values("old", "seconds")); n < len(stored) || n > len(stored)+5 {
		t.Errorf("the old host has %d values, had %d", n, len(stored))
	}
	s.corbie("rename", "old", "new")
	if got := s.hosts(); got != "g;new ok" {
		t.Errorf("hosts: %s", got)
	}
}

func TestHostsAreRenamedMergedAndRemovedWithoutAMaster(t *testing.T) {
	t.Parallel()
	address, plugins := roomNode(t)
	s := newSite(t, "interval: 1s\nhosts: {web1: {address: '"+address+"', use_node_name: yes}, web2: {address: '"+address+"', use_node_name: yes}}\n")
	testenv.Eventually(t, "problems and values are there", func() bool {
		return !s.problem("web1:room.temp").IsZero() && !s.problem("web2:room.temp").IsZero() && len(s.values("web1", "room")) > 2
	})
	if talk := s.refused("rename", "web1", "web2"); !strings.Contains(talk, "take one of them out of the configuration") {
		t.Errorf("both are polled: %s", talk)
	}
	if talk := s.refused("remove", "web1"); !strings.Contains(talk, "take it out of the configuration") {
		t.Errorf("it is polled: %s", talk)
	}
	began := s.problem("web1:room.temp")
	s.stop()
	s.corbie("rename", "web1", "shop1")
	testenv.WriteFile(t, s.conf, "interval: 1s\nhosts: {shop1: {address: '"+address+"', use_node_name: yes}, web1: {address: '"+address+"', use_node_name: yes}}\n", 0o644)
	s.master = startMaster(t, s.dir, s.conf)
	if !strings.Contains(s.master.Log(), "the old name of a renamed host is that of another one from now on") {
		t.Error("the log does not say that the name is another host's")
	}
	testenv.Eventually(t, "the problem is that of the renamed host", func() bool { return s.problem("shop1:room.temp").Equal(began) })
	testenv.Eventually(t, "another host has the old name", func() bool { return s.hosts() == "shop1 ok, web1 ok, web2 archived" })
	first := s.values("shop1", "room")[0]
	if own := s.values("web1", "room"); len(own) > 0 && own[0][0] <= first[0] {
		t.Errorf("the new web1 begins with %v, the old one did with %v", own[0], first)
	}
	if talk := s.refused("rename", "--undo", "shop1"); !strings.Contains(talk, "was given to another host") {
		t.Errorf("undo: %s", talk)
	}

	s.corbie("remove", "web2")
	if got := s.hosts(); got != "shop1 ok, web1 ok" {
		t.Errorf("hosts: %s", got)
	}
	if page, _ := s.page("/"); strings.Contains(page, "web2") {
		t.Error("the overview lists a removed host")
	}
	if list := s.corbie("remove", "--list"); !strings.Contains(list, "web2") {
		t.Errorf("removed: %s", list)
	}
	if len(s.values("web2", "room")) == 0 {
		t.Error("the values of a removed host are gone")
	}
	s.corbie("remove", "--undo", "web2")
	s.corbie("rename", "web2", "shop1")
	testenv.Eventually(t, "two hosts are one", func() bool { return s.hosts() == "shop1 ok, web1 ok" })

	first = s.values("shop1", "room")[0]
	// The plugin calls its graph and its field differently from now on.
	if err := os.Rename(filepath.Join(plugins, "room"), filepath.Join(plugins, "hall")); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "the node offers the new name", func() bool { return strings.Contains(s.corbie("graphs", "shop1"), "hall") })
	s.corbie("rename", "shop1/room", "shop1/hall")
	if got := s.values("shop1", "hall")[0]; got[0] != first[0] {
		t.Errorf("the graph begins with %v, want %v", got, first)
	}
	list := s.corbie("rename", "--list")
	for _, want := range []string{"web1 ", "web2 ", "shop1/room ", "shop1/hall "} {
		if !strings.Contains(list, want) {
			t.Errorf("%q is missing in\n%s", want, list)
		}
	}
}

func TestWhatCannotBeRenamedIsExplained(t *testing.T) {
	t.Parallel()
	address, _ := roomNode(t)
	s := newSite(t, "interval: 1s\nhosts: {web1: '"+address+"'}\n")
	testenv.Eventually(t, "values are there", func() bool { return strings.Contains(s.corbie("graphs", "web1"), "room") })
	for _, test := range []struct{ from, to, want string }{
		{"web9", "web2", "'corbie hosts' lists those that are known"},
		{"web1", "web1", "it has this name already"},
		{"web1", "web 2", "is not allowed in a name"},
		{"web1", "a/b", "want the name of a host"},
		{"corbie", "raven", "is the master itself"},
		{"web1/rum", "room", `no graph "rum"; corbie graphs web1 lists them`},
		{"web1/rom", "room", "did you mean room? corbie graphs web1 lists them"},
		{"wbe1", "web2", "did you mean web1?"},
		{"web1/room", "rooms", "once it does"},
		{"web1/room", "room.temp", "one is a graph, the other a field"},
		{"web1/room.tmp", "room.temp", "no value is stored under web1/room.tmp"},
		{"web1/room.temp", "room.heat", "the graph has no such field"},
	} {
		if talk := s.refused("rename", test.from, test.to); !strings.Contains(talk, test.want) {
			t.Errorf("rename %s %s says %q, want %q", test.from, test.to, talk, test.want)
		}
	}
	if talk := s.refused("rename", "--undo", "web1"); !strings.Contains(talk, "corbie rename --list") {
		t.Errorf("undo of nothing: %s", talk)
	}
	if out, _, code := corbie(t, "rename", "web1"); code != exitUsage {
		t.Errorf("one name: exit %d %s", code, out)
	}
	if out, _, _ := corbie(t, "__complete", "rename", "--data", s.dir, "we"); !strings.Contains(out, "web1\n") {
		t.Errorf("completion: %s", out)
	}
	if out := s.corbie("rename", "--list"); out != "nothing was renamed\n" {
		t.Errorf("list: %s", out)
	}
}

// TestAFieldGoesOnWithTheHistoryOfItsOldname lets a plugin call a field differently, and say so.
func TestAFieldGoesOnWithTheHistoryOfItsOldname(t *testing.T) {
	t.Parallel()
	plugins := testenv.PublicDir(t)
	plugin := func(config, values string) {
		t.Helper()
		path := filepath.Join(plugins, "room")
		testenv.WriteFile(t, path+".new", "#!/bin/sh\n[ \"$1\" = config ] && { printf 'graph_title Room\n"+config+"'; exit; }\nprintf '"+values+"'\n", 0o755)
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	plugin(`a.label a\na.critical 30\n`, `a.value 42\n`)
	s := newSite(t, "interval: 1s\nhosts: {web1: {address: '"+startNode(t, plugins)+"', use_node_name: yes}}\n")
	testenv.Eventually(t, "a problem and values are there", func() bool { return !s.problem("web1:room.a").IsZero() && len(s.values("web1", "room")) > 2 })
	began, first := s.problem("web1:room.a"), s.values("web1", "room")[0]
	plugin(`b.label b\nb.oldname a\nb.critical 30\nc.label c\nc.oldname a\nd.label d\nd.oldname nosuch\n`, `b.value 43\nc.value 1\nd.value 2\n`)
	s.master.WaitFor(t, "its history goes on")
	testenv.Eventually(t, "the problem goes on", func() bool { return s.problem("web1:room.b").Equal(began) && s.problem("web1:room.a").IsZero() })
	if rows := s.values("web1", "room"); rows[0][0] != first[0] || rows[0][len(rows[0])-2] != "b" {
		t.Errorf("it begins with %v, did with %v", rows[0], first)
	}
	list := s.corbie("rename", "--list")
	if !strings.Contains(list, "web1/room.a") || !strings.Contains(list, "web1/room.b") || strings.Contains(list, "room.c") || strings.Contains(list, "nosuch") {
		t.Errorf("renamed are\n%s", list)
	}
	s.corbie("rename", "--undo", "web1/room.a")
	s.restart() // what was undone stays so
	before := len(s.values("web1", "room"))
	testenv.Eventually(t, "it was polled again", func() bool { return len(s.values("web1", "room")) > before+6 })
	if list := s.corbie("rename", "--list"); !strings.Contains(list, "nothing was renamed") {
		t.Errorf("renamed are\n%s", list)
	}
}
