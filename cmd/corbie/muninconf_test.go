package main

import (
	"errors"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"corbie/internal/testenv"
	"corbie/master/config"
	"corbie/munin"
	"corbie/storage/catalog"
)

const muninUpdate = "/usr/share/munin/munin-update"

// account is the user as whom Debian's munin-update runs, which must be installed.
func account(tb testing.TB) (uid, gid int) {
	tb.Helper()
	testenv.Program(tb, muninUpdate)
	testenv.Root(tb)
	munin, err := user.Lookup("munin")
	testenv.Need(tb, "the user munin", err == nil)
	uid, uidErr := strconv.Atoi(munin.Uid)
	gid, gidErr := strconv.Atoi(munin.Gid)
	if err := errors.Join(uidErr, gidErr); err != nil {
		tb.Fatal(err)
	}
	return uid, gid
}

// muninFolders makes the folders in which Munin works, and its configuration.
func muninFolders(tb testing.TB, text, address string, uid, gid int) (dir, conf string) {
	tb.Helper()
	dir = testenv.PublicDir(tb)
	err := os.Chown(dir, uid, gid)
	for _, name := range []string{"lib", "www", "log", "run"} {
		path := filepath.Join(dir, name)
		err = errors.Join(err, os.Mkdir(path, 0o755), os.Chown(path, uid, gid))
	}
	if err != nil {
		tb.Fatal(err)
	}
	_, port, _ := strings.Cut(address, ":")
	text = strings.NewReplacer("/var/lib/munin", dir+"/lib", "/var/cache/munin/www", dir+"/www", "/var/log/munin", dir+"/log",
		"/var/run/munin", dir+"/run", "port 4949", "port "+port).Replace(text)
	conf = filepath.Join(dir, "munin.conf")
	testenv.WriteFile(tb, conf, text, 0o644)
	return dir, conf
}

// muninView is what Debian's Munin makes of the configuration after one run of munin-update, a sorted line for each thing.
func muninView(t *testing.T, dir, conf string, uid, gid int) []string {
	t.Helper()
	script := filepath.Join(dir, "view.pl")
	testenv.WriteFile(t, script, readFile(t, "testdata/muninview.pl"), 0o644)
	var out []byte
	for _, argv := range [][]string{{muninUpdate, "--config", conf}, {"perl", script, conf}} {
		cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
		cmd.Dir = "/"
		cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + dir, "USER=munin", "LOGNAME=munin", "LC_ALL=C"}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
		var talk strings.Builder
		cmd.Stderr = &talk
		var err error
		if out, err = cmd.Output(); err != nil {
			t.Fatalf("%v: %v\n%s%s", argv, err, talk.String(), out)
		}
	}
	var lines []string
	for line := range strings.Lines(string(out)) {
		words := strings.Split(strings.TrimRight(line, "\n"), "\t")
		if words[0] == "field" {
			for _, i := range []int{4, 5} {
				bounds, err := munin.ParseBounds(words[i])
				if err != nil {
					t.Errorf("%s: %v", line, err)
				}
				words[i] = bounds.String()
			}
		}
		lines = append(lines, strings.Join(words, "\t"))
	}
	slices.Sort(lines)
	return lines
}

// ourView is the same from the catalogue of a master that has polled every host.
func ourView(t *testing.T, data, conf string) []string {
	t.Helper()
	read, err := config.LoadMunin(config.Flags{MuninConf: conf})
	if err != nil {
		t.Fatal(err)
	}
	cat, err := catalog.OpenReadOnly(filepath.Join(data, catalogFile), catalog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer cat.Close()
	hosts, err := cat.Hosts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, h := range hosts {
		if isSelf(h.ID) {
			continue
		}
		graphs, err := cat.Graphs(t.Context(), h.ID)
		if err != nil {
			t.Fatal(err)
		}
		for i := range graphs {
			lines = append(lines, viewGraph(read, h.ID, &graphs[i])...)
		}
	}
	slices.Sort(lines)
	return lines
}

func viewGraph(conf *config.Config, host munin.HostID, g *munin.Graph) []string {
	id := munin.SeriesID{Host: host, Graph: g.Name}
	path := location(id)
	var told []string
	for i := range conf.Receivers {
		if r := &conf.Receivers[i]; conf.Tells(r, id) {
			told = append(told, r.Name)
		}
	}
	slices.Sort(told)
	lines := []string{strings.Join([]string{"graph", path, g.Title, g.Category, g.Args, strings.Join(told, " ")}, "\t")}
	for i := range g.Fields {
		f := &g.Fields[i]
		var from []string
		for _, source := range f.From {
			from = append(from, location(source.ID))
		}
		patience := ""
		if f.UnknownLimit > 0 && (!f.Warning.IsZero() || !f.Critical.IsZero()) {
			patience = strconv.Itoa(f.UnknownLimit)
		}
		lines = append(lines, strings.Join([]string{
			"field", path, f.Name, f.Label, f.Warning.String(), f.Critical.String(), strings.Join(from, " "), patience,
		}, "\t"))
	}
	return lines
}

// location is a series as a path in Munin's tree.
func location(id munin.SeriesID) string {
	path := strings.ReplaceAll(string(id.Host), ";", "/") + "/" + strings.ReplaceAll(id.Graph, ".", "/")
	if id.Field != "" {
		path += "/" + id.Field
	}
	return path
}

// settledView is ours once it equals theirs, which takes until every host, and the virtual one after them, was polled. One that
// never does is returned as it is after a while.
func settledView(t *testing.T, data, conf string, theirs []string) []string {
	t.Helper()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(testenv.Patience); ; <-tick.C {
		if ours := ourView(t, data, conf); slices.Equal(ours, theirs) || time.Now().After(deadline) {
			return ours
		}
	}
}

// A real munin.conf gives the same hosts, graphs, fields, levels and contacts here as in Debian's Munin.
func TestAMuninConfMeansTheSameAsInMunin(t *testing.T) {
	uid, gid := account(t)
	address := startMuninNode(t)
	dir, conf := muninFolders(t, readFile(t, "../../master/config/testdata/munin.conf"), address, uid, gid)
	data := t.TempDir()
	p := start(t, "corbie serve", nil, "corbie", "serve", "--munin-conf", conf, "--data", data, "--listen", "127.0.0.1:0")
	theirs := muninView(t, dir, conf, uid, gid)
	p.WaitFor(t, "listening")
	ours := settledView(t, data, conf, theirs)
	hosts := make(map[string]bool)
	for _, line := range theirs {
		words := strings.Split(line, "\t")
		hosts[words[1][:strings.LastIndexByte(words[1], '/')]] = true
		if !slices.Contains(ours, line) {
			t.Errorf("only in Munin:  %q", line)
		}
	}
	for _, line := range ours {
		if !slices.Contains(theirs, line) {
			t.Errorf("only in Corbie: %q", line)
		}
	}
	if len(theirs) < 300 || len(hosts) < 5 {
		t.Errorf("only %d things were compared, on %d hosts", len(theirs), len(hosts))
	}
	for _, end := range []string{"\tops pager", "\tops", "\t", "\t5"} { // contacts of all kinds, and an unknown_limit
		if !slices.ContainsFunc(theirs, func(line string) bool { return strings.HasSuffix(line, end) }) {
			t.Errorf("nothing that ends with %q was compared", end)
		}
	}
	t.Logf("%d graphs and fields are the same", len(theirs))
}
