package plugins_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"corbie/munin"
	"corbie/plugins"
)

var update = flag.Bool("update", false, "rewrite the expected texts in testdata")

// run runs a plugin, which must not fail.
func run(tb testing.TB, set *plugins.Set, name, verb string, env map[string]string) []byte {
	tb.Helper()
	out, err := set.Run(context.Background(), name, verb, env)
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

// machine is one of the machines in testdata, its file systems included.
func machine(tb testing.TB, name string) *plugins.Set {
	tb.Helper()
	dir := filepath.Join("testdata", "machines", name)
	table, err := os.ReadFile(filepath.Join(dir, "statfs"))
	if err != nil {
		tb.Fatal(err)
	}
	sizes := make(map[string]plugins.FileSystem)
	for line := range strings.Lines(string(table)) {
		var point string
		var f plugins.FileSystem
		if _, err := fmt.Sscan(line, &point, &f.BlockSize, &f.Blocks, &f.Free, &f.Available, &f.Files, &f.FreeFiles); err != nil {
			tb.Fatalf("%s: %v", line, err)
		}
		sizes[strings.ReplaceAll(point, `\040`, " ")] = f
	}
	return plugins.New(os.DirFS(dir), plugins.Options{Statfs: func(point string) (plugins.FileSystem, error) {
		if f, ok := sizes[point]; ok {
			return f, nil
		}
		return plugins.FileSystem{}, fs.ErrPermission
	}})
}

// checkTexts wants descriptions and values that a master takes without a complaint and that fit together.
func checkTexts(tb testing.TB, name string, config, fetch []byte) {
	tb.Helper()
	described := munin.ParseConfig(name, config)
	if len(described.Faults) > 0 {
		tb.Errorf("%s config: %v", name, described.Faults)
	}
	fields := make(map[string]bool)
	for _, g := range described.Graphs {
		if g.Title == "" || g.Category == "other" || g.VLabel == "" {
			tb.Errorf("%s: the graph %s lacks title, category or vlabel", name, g.Name)
		}
		for _, f := range g.Fields {
			fields[g.Name+"."+f.Name] = true
			if !bytes.Contains(config, []byte(f.Name+".label ")) {
				tb.Errorf("%s: the field %s.%s has no label", name, g.Name, f.Name)
			}
			if f.Type == munin.Derive && !f.Bounds.HasLow {
				tb.Errorf("%s: %s.%s is DERIVE without a minimum: a reset would look like a fall", name, g.Name, f.Name)
			}
			if f.Name == "root" {
				tb.Errorf("%s: Munin cannot have a field named root", name)
			}
			if f.Negative != "" {
				if other, ok := g.Field(f.Negative); !ok || !other.Hidden {
					tb.Errorf("%s: %s.%s mirrors %s, which is not there or drawn by itself", name, g.Name, f.Name, f.Negative)
				}
			}
		}
	}
	values := munin.ParseFetch(name, fetch)
	if len(values.Faults) > 0 {
		tb.Errorf("%s: %v", name, values.Faults)
	}
	for _, s := range values.Samples {
		if id := s.Graph + "." + s.Field; !fields[id] {
			tb.Errorf("%s: %s has a value but is not described, or has two", name, id)
		} else {
			delete(fields, id)
		}
	}
	for id := range fields {
		tb.Errorf("%s: %s is described but has no value", name, id)
	}
}

func TestReportsOfKnownMachines(t *testing.T) {
	for _, name := range []string{"server", "container"} {
		t.Run(name, func(t *testing.T) {
			set := machine(t, name)
			var got bytes.Buffer
			fmt.Fprintf(&got, "names: %s\n", strings.Join(set.Names(), " "))
			for _, plugin := range set.Names() {
				config, fetch := run(t, set, plugin, "config", nil), run(t, set, plugin, "", nil)
				fmt.Fprintf(&got, "\n== %s config\n%s\n== %s\n%s", plugin, config, plugin, fetch)
				checkTexts(t, plugin, config, fetch)
			}
			golden(t, name+".txt", got.Bytes())
		})
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", "golden", name)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	wantLines := strings.Split(string(want), "\n")
	gotLines := strings.Split(string(got), "\n")
	for i := range max(len(wantLines), len(gotLines)) {
		var a, b string
		if i < len(gotLines) {
			a = gotLines[i]
		}
		if i < len(wantLines) {
			b = wantLines[i]
		}
		if a != b {
			t.Fatalf("%s, line %d: got %q, want %q (go test -update rewrites it)", file, i+1, a, b)
		}
	}
}

func TestConfigCarriesTheValuesForAMasterThatTakesThem(t *testing.T) {
	set := machine(t, "server")
	for _, name := range set.Names() {
		plain := munin.ParseConfig(name, run(t, set, name, "config", nil))
		both := munin.ParseConfig(name, run(t, set, name, "config", map[string]string{"MUNIN_CAP_DIRTYCONFIG": "1"}))
		fetched := munin.ParseFetch(name, run(t, set, name, "", nil))
		if plain.Dirty || len(plain.Samples) > 0 {
			t.Errorf("%s: config carries values nobody asked for", name)
		}
		if !both.Dirty || len(both.Samples) != len(fetched.Samples) || len(both.Faults) > 0 {
			t.Errorf("%s: config carries %d values, fetch %d; %v", name, len(both.Samples), len(fetched.Samples), both.Faults)
		}
	}
}

func TestLevelsThatAPluginSetsSayWhatToDo(t *testing.T) {
	set := machine(t, "server")
	levels := 0
	for _, name := range set.Names() {
		for _, g := range munin.ParseConfig(name, run(t, set, name, "config", nil)).Graphs {
			for _, f := range g.Fields {
				if f.Warning.IsZero() && f.Critical.IsZero() {
					continue
				}
				levels++
				if f.ExtInfo == "" {
					t.Errorf("%s.%s has a level, but no word on what to do when it is breached", g.Name, f.Name)
				}
			}
		}
	}
	if levels == 0 {
		t.Error("no plugin sets a level")
	}
}

func TestSeveralMastersMayAskAtOnce(t *testing.T) {
	set := machine(t, "server")
	var group sync.WaitGroup
	for i := range 4 {
		group.Go(func() {
			env := map[string]string{"MUNIN_STATEFILE": fmt.Sprint(i), "MUNIN_CAP_DIRTYCONFIG": "1"}
			for _, name := range set.Names() {
				for _, verb := range []string{"config", ""} {
					out, err := set.Run(t.Context(), name, verb, env)
					if err != nil || strings.HasPrefix(name, "df") && bytes.Contains(out, []byte("value U")) {
						t.Errorf("%s %s: %v, %s", name, verb, err, out)
					}
				}
			}
		})
	}
	group.Wait()
}

func TestAutoconfSaysWhyAPluginIsOfNoUse(t *testing.T) {
	for _, c := range []struct{ machine, plugin, want string }{
		{"server", "cpu", "yes\n"},
		{"server", "if_", "yes\n"},
		{"container", "if_", "no (no network interface but loopback)\n"},
		{"container", "diskstats", "no (cannot read /proc/diskstats: no such file or directory)\n"},
		{"container", "fw_conntrack", "no (cannot read /proc/net/nf_conntrack: no such file or directory)\n"},
		{"container", "users", "no (neither /run/utmp nor /run/systemd/sessions is there)\n"},
	} {
		if got := string(run(t, machine(t, c.machine), c.plugin, "autoconf", nil)); got != c.want {
			t.Errorf("%s on the %s: %q, want %q", c.plugin, c.machine, got, c.want)
		}
	}
}

func TestWildcardsSuggestTheirInstances(t *testing.T) {
	set := machine(t, "server")
	if got, want := string(run(t, set, "if_err_", "suggest", nil)), "eth0\neth1\nbr-lan\n"; got != want {
		t.Errorf("suggest says %q, want %q", got, want)
	}
	if out := run(t, set, "cpu", "suggest", nil); len(out) > 0 {
		t.Errorf("cpu suggests %q", out)
	}
	if out := run(t, set, "if_lo", "", nil); !bytes.Contains(out, []byte("down.value 123456\n")) {
		t.Errorf("an interface that is not suggested, but asked for, says %q", out)
	}
}

func TestRunRefusesWhatIsNotThere(t *testing.T) {
	set := machine(t, "server")
	for _, c := range []struct {
		name, verb string
		notFound   bool
	}{
		{"nothing", "", true},
		{"../cpu", "", false},
		{"if_nosuch0", "", true},
		{"if_", "", false},
		{"cpu", "snmpconf", false},
	} {
		out, err := set.Run(t.Context(), c.name, c.verb, nil)
		if err == nil || errors.Is(err, munin.ErrNotFound) != c.notFound {
			t.Errorf("%s %s: %q, %v", c.name, c.verb, out, err)
		}
	}
	if _, err := machine(t, "container").Run(t.Context(), "diskstats", "", nil); err == nil {
		t.Error("diskstats runs where there is no /proc/diskstats")
	}
}

func TestACancelledRunEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	set := machine(t, "server")
	for _, name := range set.Names() {
		if _, err := set.Run(ctx, name, "", nil); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSettingsComeFromTheEnvironment(t *testing.T) {
	set := machine(t, "server")
	for _, c := range []struct {
		name, env  string
		has, hasNo string // lines of config
	}{
		{"cpu", "scaleto100=yes", "user.cdef user,4,/", "graph_args --base 1000 -r --lower-limit 0 --upper-limit 400"},
		{"cpu", "ignore_fields=idle iowait", "idle.graph no", "user.graph no"},
		{"cpu", "iowait_warning=50%", "iowait.warning 200", "user.warning 200"},
		{"load", "warning=8", "load.warning 8", "load.critical 8"},
		{"load", "load_critical=1:30 warning=8", "load.critical 1:30", "load.critical 8"},
		{"memory", "apps_warning=90%:95% swap_critical=50%", "swap.critical 2147481600", "apps.critical 2147481600"},
		{"df", "warning=80 _dev_sda1_critical=85", "_dev_sdb.warning 80", "_dev_sdb.critical 85"},
		{"df", "critical=:", "_dev_sdb.warning 92", "_dev_sdb.critical 98"},
		{"df", "exclude=ext4 tmpfs", "_dev_sdb.label /home", "_dev_mapper_vg0_root.label /"},
		{"df", "exclude_re=^/run /dev/sdb$", "_run.label /run", "_run.label /run"},
		{"df", "exclude_re=^/ include_re=^/home$", "_dev_sdb.label /home", "_dev_mapper_vg0_root.label /"},
		{"if_eth1", "speed=100", "up.max 100000000", "up.info Traffic of eth1. Its driver does not say its speed; env.speed can, in Mb/s."},
		{"if_err_eth0", "rcvd_warning=:", "trans.warning 1", "rcvd.warning 1"},
		{"diskstats", "include_only=nvme", "multigraph diskstats_iops.nvme0n1", "multigraph diskstats_iops.sda"},
		{"diskstats", "exclude=/dev/sd, vg0", "multigraph diskstats_iops.nvme0n1", "multigraph diskstats_iops.vg0_root"},
		{"open_files", "used_warning=1000", "used.warning 1000", "used.warning 8485489513906913280"},
	} {
		env := make(map[string]string)
		var key string
		for word := range strings.FieldsSeq(c.env) {
			if k, v, ok := strings.Cut(word, "="); ok {
				key, env[k] = k, v
			} else {
				env[key] += " " + word
			}
		}
		config := "\n" + string(run(t, set, c.name, "config", env))
		if c.has != c.hasNo && !strings.Contains(config, "\n"+c.has+"\n") {
			t.Errorf("%s with %s: no line %q in %s", c.name, c.env, c.has, config)
		}
		if strings.Contains(config, "\n"+c.hasNo+"\n") {
			t.Errorf("%s with %s has the line %q", c.name, c.env, c.hasNo)
		}
		checkTexts(t, c.name, []byte(config), run(t, set, c.name, "", env))
	}
	for _, c := range []struct{ name, key, value string }{
		{"df", "exclude_re", "("},
		{"cpu", "HZ", "0"},
	} {
		if _, err := set.Run(t.Context(), c.name, "config", map[string]string{c.key: c.value}); err == nil || !strings.Contains(err.Error(), "env."+c.key) {
			t.Errorf("%s with %s=%s: %v", c.name, c.key, c.value, err)
		}
	}
	both := map[string]string{"include_only": "sda", "exclude": "sdb"}
	if _, err := set.Run(t.Context(), "diskstats", "", both); err == nil {
		t.Error("diskstats takes include_only and exclude together")
	}
}

func TestAFileSystemThatDoesNotAnswerIsUnknownAndHoldsNothingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var asked atomic.Int32
		root := fstest.MapFS{"proc/self/mountinfo": &fstest.MapFile{Data: []byte(
			"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 8:2 / /stale rw - ext4 /dev/sdb1 rw\n")}}
		set := plugins.New(root, plugins.Options{StatfsTimeout: time.Second, Statfs: func(point string) (plugins.FileSystem, error) {
			if point == "/stale" {
				asked.Add(1)
				<-release
			}
			return plugins.FileSystem{BlockSize: 4096, Blocks: 100, Free: 50, Available: 50}, nil
		}})
		start := time.Now()
		for range 3 {
			if got, want := string(run(t, set, "df", "", nil)), "_dev_sda1.value 50\n_dev_sdb1.value U\n"; got != want {
				t.Errorf("df says %q, want %q", got, want)
			}
		}
		if took := time.Since(start); took != time.Second || asked.Load() != 1 {
			t.Errorf("three runs took %v and asked %d times, want one second and once", took, asked.Load())
		}
		close(release)
		synctest.Wait()
		if got, want := string(run(t, set, "df", "", nil)), "_dev_sda1.value 50\n_dev_sdb1.value 50\n"; got != want {
			t.Errorf("when it answers again df says %q, want %q", got, want)
		}
	})
}

func TestManyProcessorsAndHugeCounters(t *testing.T) {
	var stat strings.Builder
	stat.WriteString("cpu  18446744073709551615 1 2 3 4 5 6 7 8 9\n")
	for i := range 128 {
		fmt.Fprintf(&stat, "cpu%d 144115188075855871 1 2 3 4 5 6 7 8 9\n", i)
	}
	stat.WriteString("intr 18446744073709551615 1 2\nctxt 18446744073709551615\n")
	set := plugins.New(fstest.MapFS{"proc/stat": {Data: []byte(stat.String())}}, plugins.Options{})
	config := run(t, set, "cpu", "config", nil)
	if !bytes.Contains(config, []byte("--upper-limit 12800\n")) {
		t.Errorf("128 processors are described as %s", config)
	}
	checkTexts(t, "cpu", config, run(t, set, "cpu", "", nil))
	if got := string(run(t, set, "interrupts", "", nil)); got != "intr.value 18446744073709551615\nctx.value 18446744073709551615\n" {
		t.Errorf("interrupts says %q: large counters must stay exact", got)
	}
}

func TestUtmpCountsSessionsWhoseProcessLives(t *testing.T) {
	record := func(kind byte, pid byte, line, user string) []byte {
		b := make([]byte, 384)
		b[0], b[4] = kind, pid
		copy(b[8:], line)
		copy(b[44:], user)
		return b
	}
	utmp := bytes.Join([][]byte{
		record(2, 0, "~", "reboot"),
		record(7, 10, "tty1", "ann"),
		record(7, 10, "pts/3", "ann"),
		record(7, 10, ":0", "bob"),
		record(7, 99, "pts/4", "gone"),
		record(8, 10, "pts/5", ""),
		[]byte("half a record"),
	}, nil)
	if binaryIsBigEndian() {
		t.Skip("the records above are little-endian")
	}
	set := plugins.New(fstest.MapFS{"run/utmp": {Data: utmp}, "proc/10/stat": {}}, plugins.Options{})
	want := "tty.value 1\npty.value 0\npts.value 1\nX.value 1\nother.value 0\n"
	if got := string(run(t, set, "users", "", nil)); got != want {
		t.Errorf("users says %q, want %q", got, want)
	}
}

func binaryIsBigEndian() bool { return bytes.Equal(nativeOne(), []byte{0, 1}) }
