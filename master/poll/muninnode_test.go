package poll_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"corbie/master/poll"
	"corbie/munin"
)

// peer finds a program that the test talks to; without it the test is skipped, or fails where peers are required.
func peer(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		for _, dir := range []string{"/usr/sbin", "/usr/bin", "/sbin"} {
			if _, statErr := os.Stat(filepath.Join(dir, name)); statErr == nil {
				return filepath.Join(dir, name)
			}
		}
		if os.Getenv("CORBIE_PEERS") == "required" {
			t.Fatalf("%s is needed: %v", name, err)
		}
		t.Skipf("%s is not installed", name)
	}
	return path
}

// startMuninNode starts Debian's munin-node with its default plugins and returns its address.
func startMuninNode(t *testing.T) string {
	t.Helper()
	program := peer(t, "munin-node")
	if os.Getuid() != 0 {
		if os.Getenv("CORBIE_PEERS") == "required" {
			t.Fatal("munin-node must be started as root")
		}
		t.Skip("munin-node must be started as root")
	}
	dir, port := t.TempDir(), freePort(t)
	conf := filepath.Join(dir, "munin-node.conf")
	text := fmt.Sprintf("log_level 2\nlog_file %s/node.log\npid_file %s/node.pid\nbackground 0\nsetsid 0\nuser root\ngroup root\n"+
		"host 127.0.0.1\nport %s\nallow ^127\\.0\\.0\\.1$\nhost_name debian.example.com\nignore_file \\.bak$\n", dir, dir, port)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	node := exec.CommandContext(ctx, program, "--config", conf, "--foreground")
	node.Cancel = func() error { return node.Process.Signal(os.Interrupt) }
	node.WaitDelay = 5 * time.Second
	if err := node.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	ended := make(chan struct{})
	var endErr error
	go func() {
		endErr = node.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	address := net.JoinHostPort("127.0.0.1", port)
	// It listens only after it has asked every plugin for its config.
	limit := time.After(2 * time.Minute)
	for {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
			return address
		}
		select {
		case <-ended:
			log, _ := os.ReadFile(filepath.Join(dir, "node.log"))
			t.Fatalf("munin-node ended: %v\n%s", endErr, log)
		case <-limit:
			t.Fatalf("munin-node does not listen: %v", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
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
	run := peer(t, "munin-run")
	address := startMuninNode(t)
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
