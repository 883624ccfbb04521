package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"corbie/internal/testenv"
	"corbie/munin/wire/fleet"
)

// BenchmarkFleet measures a whole master, with catalogue, store, levels and self-watch, against simulated nodes
// that share the machine with it: 10,000 nodes, then 1,000 that are 50 ms away, then 200 together with Debian's
// Munin. Nodes have 20 plugins of 5 fields.
//
// A cycle is how long one poll of every node takes when nothing but work limits it: the interval is so short
// that the master is never done.
func BenchmarkFleet(b *testing.B) {
	b.Run("10000", func(b *testing.B) { benchLarge(b, 10_000) })
	b.Run("50ms", benchFar)
	b.Run("munin-update", benchMunin)
}

// shortest is an interval that is always too short for these fleets.
const shortest = time.Second

// rig is a fleet in this process and a master in another.
type rig struct {
	nodes  *fleet.Fleet
	port   int
	conf   string
	data   string
	master *process
	url    string
}

func newRig(b *testing.B, opts fleet.Options, interval time.Duration) *rig {
	b.Helper()
	nodes, err := fleet.New(opts)
	if err != nil {
		b.Fatal(err)
	}
	l, err := fleet.Listen(b.Context(), 0)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- nodes.Serve(ctx, l) }()
	b.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			b.Error(err)
		}
	})
	dir := b.TempDir()
	r := &rig{
		nodes: nodes, port: l.Addr().(*net.TCPAddr).Port, conf: filepath.Join(dir, "corbie.yml"), data: filepath.Join(dir, "data"),
	}
	r.configure(b, interval)
	r.master = startMaster(b, r.data, r.conf)
	address := regexp.MustCompile(`url=(http://\S+)`).FindStringSubmatch(r.master.Log())
	if address == nil {
		b.Fatalf("no address in the log:\n%s", r.master.Log())
	}
	r.url = address[1]
	return r
}

func (r *rig) configure(b *testing.B, interval time.Duration) {
	b.Helper()
	var text strings.Builder
	if err := r.nodes.WriteConfig(&text, r.port, interval); err != nil {
		b.Fatal(err)
	}
	testenv.WriteFile(b, r.conf, text.String(), 0o644)
}

// metric reads counters of the master.
func (r *rig) metrics(b *testing.B) map[string]float64 {
	b.Helper()
	answer, err := http.Get(r.url + "/metrics") //nolint:forbidigo // of a test
	if err != nil {
		b.Fatal(err)
	}
	defer answer.Body.Close()
	got := make(map[string]float64)
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		name, text, _ := strings.Cut(lines.Text(), " ")
		if v, err := strconv.ParseFloat(text, 64); err == nil {
			got[name] = v
		}
	}
	return got
}

// waitPolls waits until the master has ended so many sessions more.
func (r *rig) waitPolls(b *testing.B, more int) {
	b.Helper()
	goal := r.metrics(b)["corbie_polls_total"] + float64(more)
	deadline := time.Now().Add(3 * time.Minute)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for r.metrics(b)["corbie_polls_total"] < goal {
		if time.Now().After(deadline) {
			b.Fatalf("%v: the polls do not come along", r.metrics(b))
		}
		<-tick.C
	}
}

// measured is what the master did in a while.
type measured struct {
	wall                         time.Duration
	cpu                          time.Duration
	polls, values, failed, late  float64
	residentMB, residentAtMostMB float64
}

func (r *rig) measure(b *testing.B, during time.Duration) measured {
	b.Helper()
	before, cpu, begin := r.metrics(b), r.cpu(b), time.Now()
	<-time.After(during)
	after, m := r.metrics(b), measured{cpu: r.cpu(b) - cpu, wall: time.Since(begin)}
	of := func(name string) float64 { return after[name] - before[name] }
	m.polls, m.values, m.late = of("corbie_polls_total"), of("corbie_values_total"), of("corbie_polls_late_total")
	for name := range after {
		if strings.HasPrefix(name, "corbie_polls_failed_total") {
			m.failed += of(name)
		}
	}
	m.residentMB, m.residentAtMostMB = r.status(b, "VmRSS"), r.status(b, "VmHWM")
	const beingStored = 256 // polls at once, which count before their values do
	if m.failed > 0 || m.values < (m.polls-beingStored)*float64(r.nodes.Series())*0.99 {
		b.Errorf("%v polls failed, %v values of %v polls", m.failed, m.values, m.polls)
	}
	return m
}

// cycle is the time for one poll of every node.
func (m measured) cycle(nodes int) time.Duration {
	return time.Duration(float64(m.wall) / m.polls * float64(nodes))
}

func (m measured) cpuOfNode() time.Duration { return time.Duration(float64(m.cpu) / m.polls) }

// cpu is what the master has used so far.
func (r *rig) cpu(b *testing.B) time.Duration {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", r.master.Cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	words := strings.Fields(string(text[strings.LastIndexByte(string(text), ')'):]))
	user, errUser := strconv.Atoi(words[12])
	system, errSystem := strconv.Atoi(words[13])
	if err := errors.Join(errUser, errSystem); err != nil {
		b.Fatal(err)
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}

// status is a line of the kernel's status of the master, in MB.
func (r *rig) status(b *testing.B, key string) float64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.master.Cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	found := regexp.MustCompile(key + `:\s+(\d+) kB`).FindSubmatch(text)
	if found == nil {
		b.Fatalf("no %s in %s", key, text)
	}
	kb, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil {
		b.Fatal(err)
	}
	return kb / 1024
}

func (r *rig) hangup(b *testing.B, interval time.Duration) {
	b.Helper()
	r.configure(b, interval)
	r.master.Signal(b, syscall.SIGHUP)
	r.master.WaitFor(b, "configuration reloaded")
}

func sheet() *tabwriter.Writer {
	return tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', tabwriter.AlignRight)
}

func flush(b *testing.B, t *tabwriter.Writer) {
	b.Helper()
	if err := t.Flush(); err != nil {
		b.Fatal(err)
	}
}

func benchLarge(b *testing.B, nodes int) {
	b.Helper()
	const interval = 10 * time.Second
	for b.Loop() {
		begin := time.Now()
		r := newRig(b, fleet.Options{Nodes: nodes, Seed: 1}, interval)
		r.waitPolls(b, nodes)
		cold := time.Since(begin)
		r.waitPolls(b, 2*nodes)
		steady := r.measure(b, 3*interval)
		r.hangup(b, shortest)
		r.waitPolls(b, 2*nodes)
		full := r.measure(b, 20*time.Second)
		t := sheet()
		fmt.Fprintf(t, "\n%d nodes, %d values each\tevery %v\tas fast as possible\t\n", nodes, r.nodes.Series(), interval)
		fmt.Fprintf(t, "one poll of every node\t%v of CPU\t%v of time\t\n",
			(steady.cpuOfNode() * time.Duration(nodes)).Round(10*time.Millisecond), full.cycle(nodes).Round(10*time.Millisecond))
		for _, line := range []struct {
			what string
			of   func(m measured) string
		}{
			{"nodes/s", func(m measured) string { return fmt.Sprintf("%.0f", m.polls/m.wall.Seconds()) }},
			{"values/s", func(m measured) string { return fmt.Sprintf("%.0f", m.values/m.wall.Seconds()) }},
			{"CPU of the master a node", func(m measured) string { return m.cpuOfNode().Round(time.Microsecond).String() }},
			{"CPU of the master", func(m measured) string { return fmt.Sprintf("%.0f %%", 100*m.cpu.Seconds()/m.wall.Seconds()) }},
			{"polls missed", func(m measured) string { return fmt.Sprintf("%.0f", m.late) }},
			{"resident", func(m measured) string { return fmt.Sprintf("%.0f MB", m.residentMB) }},
			{"resident at most, aim 2 GB for a million series", func(m measured) string { return fmt.Sprintf("%.0f MB", m.residentAtMostMB) }},
		} {
			fmt.Fprintf(t, "%s\t%s\t%s\t\n", line.what, line.of(steady), line.of(full))
		}
		fmt.Fprintf(t, "from the start until every node was polled once\t%v\t\t\n", cold.Round(100*time.Millisecond))
		flush(b, t)
		b.ReportMetric(full.cycle(nodes).Seconds(), "s/cycle")
		b.ReportMetric(full.polls/full.wall.Seconds(), "nodes/s")
		b.ReportMetric(float64(full.cpuOfNode().Microseconds()), "cpu-µs/node")
		b.ReportMetric(full.residentAtMostMB, "MB")
		r.master.Kill()
	}
}

func benchFar(b *testing.B) {
	const nodes, latency = 1000, 50 * time.Millisecond
	for b.Loop() {
		r := newRig(b, fleet.Options{Nodes: nodes, Seed: 2, Latency: latency}, shortest)
		r.waitPolls(b, 2*nodes)
		m := r.measure(b, 10*time.Second)
		t := sheet()
		fmt.Fprintf(t, "\n%d nodes, %v away\t\t\n", nodes, latency)
		fmt.Fprintf(t, "one poll of every node\t%v\t\n", m.cycle(nodes).Round(10*time.Millisecond))
		fmt.Fprintf(t, "nodes/s\t%.0f\t\n", m.polls/m.wall.Seconds())
		fmt.Fprintf(t, "CPU of the master a node\t%v\t\n", m.cpuOfNode().Round(time.Microsecond))
		flush(b, t)
		b.ReportMetric(m.cycle(nodes).Seconds(), "s/cycle")
		r.master.Kill()
	}
}

// benchMunin lets Debian's munin-update and the master poll the same nodes, one after the other.
func benchMunin(b *testing.B) {
	const nodes = 200
	uid, gid := account(b)
	for b.Loop() {
		r := newRig(b, fleet.Options{Nodes: nodes, Seed: 3}, shortest)
		r.waitPolls(b, 5*nodes)
		ours := r.measure(b, 10*time.Second)
		r.master.Kill()

		var text strings.Builder
		text.WriteString("dbdir /var/lib/munin\nhtmldir /var/cache/munin/www\nlogdir /var/log/munin\nrundir /var/run/munin\n")
		for i := range nodes {
			host, port, _ := strings.Cut(r.nodes.Address(i, r.port), ":")
			fmt.Fprintf(&text, "[fleet;%s]\naddress %s\nport %s\n", r.nodes.Name(i), host, port)
		}
		dir, conf := muninFolders(b, text.String(), "", uid, gid)
		wall, cpu := time.Duration(0), time.Duration(0)
		for range 2 { // The first run makes the files.
			cmd := exec.CommandContext(b.Context(), muninUpdate, "--config", conf)
			cmd.Dir = "/"
			cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + dir, "USER=munin", "LOGNAME=munin", "LC_ALL=C"}
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
			begin := time.Now()
			if out, err := cmd.CombinedOutput(); err != nil {
				b.Fatalf("munin-update: %v\n%s", err, out)
			}
			wall, cpu = time.Since(begin), cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime()
		}
		files, err := filepath.Glob(filepath.Join(dir, "lib/fleet/*.rrd"))
		if err != nil || len(files) != nodes*r.nodes.Series() {
			b.Fatalf("munin-update made %d files, want %d: %v", len(files), nodes*r.nodes.Series(), err)
		}
		t := sheet()
		fmt.Fprintf(t, "\nthe same %d nodes\tcorbie\tmunin-update\tratio\t\n", nodes)
		fmt.Fprintf(t, "one poll of every node\t%v\t%v\t%.0f\t\n", ours.cycle(nodes).Round(time.Millisecond), wall.Round(10*time.Millisecond),
			float64(wall)/float64(ours.cycle(nodes)))
		ratio := float64(cpu) / nodes / float64(ours.cpuOfNode())
		fmt.Fprintf(t, "CPU a node\t%v\t%v\t%.0f\t\n", ours.cpuOfNode().Round(time.Microsecond), (cpu / nodes).Round(10*time.Microsecond), ratio)
		flush(b, t)
		b.ReportMetric(ratio, "times-less-cpu")
		b.ReportMetric(float64(wall)/float64(ours.cycle(nodes)), "times-faster")
	}
}
