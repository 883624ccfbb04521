package poll_test

import (
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"corbie/internal/testenv"
	"corbie/master/poll"
	"corbie/munin"
)

// muninNode is the address of Debian's munin-node with its default plugins.
func muninNode(t *testing.T) string {
	t.Helper()
	address, _ := testenv.MuninNode(t, "debian.example.com")
	return address
}

// muninRun is what Debian's own tool prints for a plugin.
func muninRun(t *testing.T, program, plugin string) map[string]float64 {
	t.Helper()
	out, err := exec.Command(program, plugin).Output()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	values := make(map[string]float64)
	for _, s := range munin.ParseFetch(plugin, out).Samples {
		values[s.Graph+"."+s.Field] = s.Value
	}
	return values
}

func TestPollsDebiansMuninNode(t *testing.T) {
	run := testenv.Program(t, "munin-run")
	address := muninNode(t)
	slot := time.Now().Truncate(time.Second)
	target := poll.Target{Host: "test;debian.example.com", Address: address, Interval: 5 * time.Minute}
	// Some plugins print averages since their last run and nothing the first time, for each master anew.
	first := poll.Session(t.Context(), target, poll.SessionOptions{})
	if first.Err != nil {
		t.Fatal(first.Err)
	}
	before := make(map[string]map[string]float64)
	for _, name := range first.Plugins {
		before[name] = muninRun(t, run, name)
	}
	result := poll.Session(t.Context(), target, poll.SessionOptions{Slot: slot})
	if result.Err != nil {
		t.Fatal(result.Err)
	}
	for _, f := range result.Faults {
		t.Logf("fault: %s", f)
	}
	if result.Banner != "debian.example.com" || !slices.Contains(result.Caps, "multigraph") || len(result.Plugins) < 15 {
		t.Fatalf("banner %q, caps %q, plugins %q", result.Banner, result.Caps, result.Plugins)
	}
	got := readings(t, result, slot)
	checked, exact := 0, 0 // values, and those that are the same before and after
	for _, name := range result.Plugins {
		after := muninRun(t, run, name)
		types := fieldTypes(result, name)
		for field, last := range after {
			v, there := got[field]
			if types[field] == "" {
				continue // munin-run prints a field that the config does not declare.
			}
			if !there {
				t.Errorf("%s: %s is missing; munin-run prints %g", name, field, last)
				continue
			}
			checked++
			first, known := before[name][field]
			// diskstats averages since its own last run for the same master, so that the two rightly differ.
			if known && (v == first && v == last || math.IsNaN(v) && math.IsNaN(last)) {
				exact++
			} else if name != "diskstats" && !plausible(types[field], slices.Contains(movers, name), v, first, last) {
				t.Errorf("%s: %s (%s) is %g; munin-run printed %g before and %g after", name, field, types[field], v, first, last)
			}
		}
	}
	t.Logf("%d plugins in %s, %d values compared, %d of them to the last digit", len(result.Plugins), result.Took, checked, exact)
	if checked < 100 || exact < checked/3 {
		t.Errorf("only %d values were compared, %d exactly", checked, exact)
	}
}

// readings are the values of a poll, all of which have the time of the slot.
func readings(t *testing.T, result *munin.Poll, slot time.Time) map[string]float64 {
	t.Helper()
	got := make(map[string]float64)
	for _, r := range result.Readings {
		if r.T != slot.UnixMilli() || r.ID.Host != result.Host {
			t.Errorf("%s is of %s", r.ID, r.Time())
		}
		got[r.ID.Graph+"."+r.ID.Field] = r.V
	}
	return got
}

func fieldTypes(result *munin.Poll, plugin string) map[string]string {
	types := make(map[string]string)
	for _, g := range result.Graphs {
		for _, f := range g.Fields {
			if g.Plugin == plugin {
				types[g.Name+"."+f.Name] = f.Type.String()
			}
		}
	}
	return types
}

// movers are plugins whose gauges change from one second to the next.
var movers = []string{
	"cpu", "diskstats", "entropy", "load", "memory", "munin_stats", "netstat", "open_files", "open_inodes", "proc_pri",
	"processes", "threads", "uptime", "users", "vmstat",
}

// plausible says whether a value can lie between what was seen before and after it.
func plausible(kind string, moves bool, v, first, last float64) bool {
	switch {
	case math.IsNaN(v) || math.IsNaN(first) || math.IsNaN(last):
		return moves
	case kind != "GAUGE" && first <= last:
		return v >= first && v <= last
	case moves:
		return math.Abs(v) <= 1000+10*max(math.Abs(first), math.Abs(last))
	}
	return first != last
}

func BenchmarkSessionWithMuninNode(b *testing.B) {
	address := os.Getenv("CORBIE_MUNIN_NODE")
	if address == "" {
		b.Skip("set CORBIE_MUNIN_NODE to the address of a munin-node")
	}
	for _, window := range []int{1, 16} {
		b.Run(fmt.Sprintf("window=%d", window), func(b *testing.B) {
			for range b.N {
				result := poll.Session(b.Context(), poll.Target{Host: "h", Address: address, Interval: time.Minute, Naming: poll.NameBanner},
					poll.SessionOptions{Window: window})
				if result.Err != nil {
					b.Fatal(result.Err)
				}
			}
		})
	}
}
