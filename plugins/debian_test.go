package plugins_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"corbie/internal/testenv"
	"corbie/munin"
	"corbie/plugins"
)

// debian runs a plugin of Debian's munin-node, which is skipped, or required, when it is not installed.
func debian(t *testing.T, args ...string) []byte {
	t.Helper()
	program := testenv.Program(t, "munin-run")
	out, err := exec.Command(program, args...).Output()
	if err != nil {
		t.Fatalf("munin-run %v: %v", args, err)
	}
	return foreignDisks().ReplaceAll(out, nil)
}

// foreignDisks are the lines about disks that other tests mount meanwhile, in folders that not every plugin may look into.
func foreignDisks() *regexp.Regexp {
	return regexp.MustCompile(`(?m)^` + strings.ReplaceAll(os.TempDir(), "/", "_") + `_Test.*\n`)
}

func TestNativePluginsMatchDebians(t *testing.T) {
	set := plugins.New(os.DirFS("/"), plugins.Options{})
	compared := 0
	for _, name := range set.Names() {
		if _, err := os.Stat("/etc/munin/plugins/" + name); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		compared++
		t.Run(name, func(t *testing.T) {
			// Debian's disk statistics ask for a file of their own, which root alone may write.
			env := map[string]string{"MUNIN_STATEFILE": t.TempDir() + "/state"}
			if strings.HasPrefix(name, "df") {
				env["exclude_re"] = "^/run/user ^" + regexp.QuoteMeta(os.TempDir()) + "/Test" // as in Debian's plugin-conf.d, and foreignDisks
			}
			ours, theirs := bothConfigs(t, set, name, env)
			if len(theirs.Graphs) == 0 {
				t.Fatalf("Debian's plugin describes nothing: %v", theirs.Faults)
			}
			compareGraphs(t, ours.Graphs, theirs.Graphs)
			var different []string
			for range 5 { // the machine is busy with other things in between
				different = compareValues(ours.Graphs,
					munin.ParseFetch(name, run(t, set, name, "", env)).Samples,
					munin.ParseFetch(name, debian(t, name)).Samples)
				if len(different) == 0 {
					return
				}
			}
			t.Error(strings.Join(different, "\n"))
		})
	}
	if _, err := exec.LookPath("munin-run"); err == nil && compared < 15 {
		t.Errorf("only %d plugins were compared: the test does not see Debian's", compared)
	}
}

// bothConfigs describes the same machine: other tests mount and unmount disks meanwhile, so Debian's plugin is asked before and
// after ours until its two answers agree.
func bothConfigs(t *testing.T, set *plugins.Set, name string, env map[string]string) (ours, theirs munin.Reply) {
	t.Helper()
	before := debian(t, name, "config")
	for range 10 {
		text := run(t, set, name, "config", env)
		after := debian(t, name, "config")
		if bytes.Equal(before, after) {
			return munin.ParseConfig(name, text), munin.ParseConfig(name, after)
		}
		before = after
	}
	t.Fatalf("Debian's plugin %s describes something else each time", name)
	return ours, theirs
}

func compareGraphs(t *testing.T, ours, theirs []munin.Graph) {
	t.Helper()
	if got, want := graphNames(ours), graphNames(theirs); got != want {
		t.Fatalf("graphs are %q, Debian's %q", got, want)
	}
	for i := range theirs {
		a, b := &ours[i], &theirs[i]
		for _, c := range []struct{ what, got, want string }{
			{"title", a.Title, b.Title},
			{"vlabel", a.VLabel, b.VLabel},
			{"category", a.Category, b.Category},
			{"args", a.Args, b.Args},
			{"order", strings.Join(a.Order, " "), strings.Join(b.Order, " ")},
			{"period", a.Period, b.Period},
			{"printf", a.Printf, b.Printf},
			{"width", a.Extra["graph_width"], b.Extra["graph_width"]},
			{"fields", fieldNames(a), fieldNames(b)},
		} {
			if c.got != c.want {
				t.Errorf("%s: %s is %q, Debian's %q", a.Name, c.what, c.got, c.want)
			}
		}
		if a.NoScale != b.NoScale {
			t.Errorf("%s: graph_scale differs from Debian's", a.Name)
		}
		for j := range b.Fields {
			if f, ok := a.Field(b.Fields[j].Name); ok {
				compareFields(t, a.Name, f, &b.Fields[j])
			}
		}
	}
}

func compareFields(t *testing.T, graph string, ours, theirs *munin.Field) {
	t.Helper()
	a, b := *ours, *theirs
	if a.Type != b.Type || a.Draw != b.Draw || a.CDEF != b.CDEF || a.Negative != b.Negative || a.Hidden != b.Hidden ||
		!strings.EqualFold(a.Colour, b.Colour) {
		t.Errorf("%s.%s is %v %v cdef=%q negative=%q hidden=%v colour=%s, Debian's %v %v cdef=%q negative=%q hidden=%v colour=%s",
			graph, a.Name, a.Type, a.Draw, a.CDEF, a.Negative, a.Hidden, a.Colour,
			b.Type, b.Draw, b.CDEF, b.Negative, b.Hidden, b.Colour)
	}
	if graph != "irqstats" && a.Label != b.Label { // ours leaves the number at the controller out
		t.Errorf("%s.%s: label is %q, Debian's %q", graph, a.Name, a.Label, b.Label)
	}
	// Where Debian's has no bound or level, ours may have one that makes sense.
	if b.Bounds.HasLow && a.Bounds.Low != b.Bounds.Low || b.Bounds.HasHigh && a.Bounds.High != b.Bounds.High {
		t.Errorf("%s.%s: bounds are %v, Debian's %v", graph, a.Name, a.Bounds, b.Bounds)
	}
	if !b.Warning.IsZero() && a.Warning != b.Warning || !b.Critical.IsZero() && a.Critical != b.Critical {
		t.Errorf("%s.%s: levels are %v and %v, Debian's %v and %v", graph, a.Name, a.Warning, a.Critical, b.Warning, b.Critical)
	}
}

// compareValues wants the same fields with values, and values that are close, and says where they are not.
// Debian's plugin ran a moment later, and starting it changes what some of them count.
func compareValues(graphs []munin.Graph, ours, theirs []munin.Sample) (different []string) {
	loose := map[string]bool{
		"processes": true, "threads": true, "vmstat": true, "proc_pri": true, "load": true,
	}
	values := make(map[string]float64)
	for _, s := range ours {
		values[s.Graph+"."+s.Field] = s.Value
	}
	for _, s := range theirs {
		v, ok := values[s.Graph+"."+s.Field]
		if !ok {
			different = append(different, fmt.Sprintf("%s.%s has no value, Debian's has %v", s.Graph, s.Field, s.Value))
			continue
		}
		limit := 0.02*math.Abs(s.Value) + 100
		for _, g := range graphs {
			if f, ok := g.Field(s.Field); ok && g.Name == s.Graph {
				switch {
				case f.Type != munin.Gauge:
					limit += 2000
				case g.VLabel == "%":
					limit = 0.5
				case g.VLabel == "Bytes":
					limit += 64 << 20
				}
			}
		}
		// What Debian's diskstats says is the mean of another span.
		if math.Abs(v-s.Value) > limit && !loose[s.Graph] && !strings.HasPrefix(s.Graph, "diskstats") {
			different = append(different, fmt.Sprintf("%s.%s is %v, Debian's %v", s.Graph, s.Field, v, s.Value))
		}
	}
	return different
}

func graphNames(graphs []munin.Graph) string {
	var names []string
	for _, g := range graphs {
		names = append(names, g.Name)
	}
	return strings.Join(names, " ")
}

func fieldNames(g *munin.Graph) string {
	var names []string
	for _, f := range g.Fields {
		names = append(names, f.Name)
	}
	return strings.Join(names, " ")
}
