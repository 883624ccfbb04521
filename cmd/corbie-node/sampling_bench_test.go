package main_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"corbie/internal/testenv"
	"corbie/munin"
)

const (
	benchPlugins = 40
	benchEvery   = 10 * time.Second
	benchRounds  = 6
	asyncdPath   = "/usr/share/munin/munin-asyncd"
	nodeCPath    = "/opt/corbie-peers/usr/sbin/munin-node-c"
)

// cost is what a way to watch a machine took in a while.
type cost struct {
	name  string
	share float64 // of one core
	rss   float64 // kB that stay resident, at the end
	peak  float64 // kB at the worst moment, of the daemons alone
}

// BenchmarkSampling lets our node, Debian's munin-node, that with munin-asyncd, and munin-node-c watch the same 40 graphs every ten
// seconds, at the same time, for a minute. It prints what each took of one core, with all plugins that it ran, and how
// much memory it holds. Who does not sample by itself is asked by a client as a master does it: config and fetch of every plugin.
//
// It runs in a network of its own, with enough interfaces for 40 native plugins.
func BenchmarkSampling(b *testing.B) {
	_, err := os.Stat("/usr/sbin/munin-node")
	testenv.Need(b, "munin-node (Debian's)", err == nil)
	_, err = os.Stat(asyncdPath)
	testenv.Need(b, "munin-asyncd (Debian's munin-async)", err == nil)
	_, err = os.Stat(nodeCPath)
	testenv.Need(b, "munin-node-c (Debian's, unpacked by .ci/peers)", err == nil)
	testenv.Need(b, "root, to run munin-node", os.Getuid() == 0)
	if os.Getenv("CORBIE_BENCH_NETWORK") == "" {
		const script = `mount -t sysfs sysfs /sys && ip link set lo up && for i in 0 1 2 3 4; do ip link add a$i type veth peer name b$i && ip link set a$i up && ip link set b$i up; done && exec "$@"`
		cmd := exec.CommandContext(b.Context(), "unshare", "--net", "--mount", "sh", "-c", script, "sh",
			os.Args[0], "-test.run", "^$", "-test.bench", "^BenchmarkSampling$", "-test.benchtime", "1x")
		cmd.Env = append(os.Environ(), "CORBIE_BENCH_NETWORK=own")
		out, err := cmd.CombinedOutput()
		fmt.Println(string(out))
		if err != nil {
			b.Fatal(err)
		}
		return
	}
	for b.Loop() {
		benchSampling(b)
	}
}

func benchSampling(b *testing.B) {
	b.Helper()
	program := buildNode(b)
	names, links := benchNames(b, program)
	// munin-node-c knows no other folder than this one; the mount is seen by nobody else.
	if err := syscall.Mount(links, "/etc/munin/plugins", "", syscall.MS_BIND, ""); err != nil {
		b.Fatal(err)
	}
	ours := startSampling(b, program, names)
	polled, polledNode := testenv.MuninNode(b, "node1.example.com")
	spooled, spooledNode := testenv.MuninNode(b, "node1.example.com")
	asyncd := startAsyncd(b, spooled)
	nodeC := startNodeC(b)

	groups := map[string][]int{
		"corbie-node": {ours.Cmd.Process.Pid}, "munin-node": {polledNode.Cmd.Process.Pid}, "munin-node + munin-asyncd": {spooledNode.Cmd.Process.Pid, asyncd},
	}
	before := make(map[string]time.Duration)
	for name, pids := range groups {
		before[name] = cpuOf(b, pids)
	}
	nodeC.take() // what was before does not count
	begin := time.Now()
	var polls sync.WaitGroup
	for round := range benchRounds {
		<-time.After(time.Until(begin.Add(time.Duration(round) * benchEvery)))
		for _, addr := range []string{polled, nodeC.addr} {
			polls.Go(func() { fullSession(b, addr, names) })
		}
	}
	polls.Wait()
	<-time.After(time.Until(begin.Add(benchRounds * benchEvery)))
	took := time.Since(begin)
	var costs []cost
	for _, name := range []string{"corbie-node", "munin-node", "munin-node + munin-asyncd"} {
		c := cost{name: name, share: (cpuOf(b, groups[name]) - before[name]).Seconds() / took.Seconds()}
		for _, pid := range groups[name] {
			c.rss += statusKB(b, pid, "VmRSS")
			c.peak += statusKB(b, pid, "VmHWM")
		}
		costs = append(costs, c)
	}
	spent, peak := nodeC.take()
	costs = append(costs, cost{name: "munin-node-c (a process for each session)", share: spent.Seconds() / took.Seconds(), peak: peak})
	checkSampled(b, ours.addr, names)
	printCosts(b, program, len(names), costs)
}

// benchNames chooses the plugins: those that are native, and scripts of Debian's as well. It makes a folder with links to the latter.
func benchNames(b *testing.B, program string) (names []string, folder string) {
	b.Helper()
	empty := b.TempDir()
	folder = testenv.PublicDir(b)
	out, err := exec.CommandContext(b.Context(), program, "list", "--servicedir", empty, "--sconfdir", empty).Output()
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		name := strings.Fields(line)[0]
		script := name
		for _, prefix := range []string{"if_err_", "if_"} {
			if strings.HasPrefix(name, prefix) {
				script = prefix
				break
			}
		}
		path := filepath.Join(debianLibrary, script)
		if _, err := os.Stat(path); err != nil || len(names) == benchPlugins {
			continue
		}
		if err := os.Symlink(path, filepath.Join(folder, name)); err != nil {
			b.Fatal(err)
		}
		names = append(names, name)
	}
	if len(names) < benchPlugins {
		b.Errorf("only %d native plugins are of use here, want %d", len(names), benchPlugins)
	}
	return names, folder
}

// startSampling starts our node with native plugins that it samples every ten seconds.
func startSampling(b *testing.B, program string, names []string) *daemon {
	b.Helper()
	empty := b.TempDir()
	config := filepath.Join(b.TempDir(), "node.conf")
	testenv.WriteFile(b, config, fmt.Sprintf("host_name node1.example.com\nspool yes\nspooldir %s\nsample_interval %d\nnative %s\nstatedir %s\n",
		filepath.Join(empty, "spool"), int(benchEvery.Seconds()), strings.Join(names, " "), filepath.Join(empty, "state")), 0o644)
	return startNode(b, program, "--config", config, "--servicedir", empty, "--sconfdir", empty)
}

// startAsyncd starts Debian's sampler of a munin-node.
func startAsyncd(b *testing.B, node string) (pid int) {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), asyncdPath, "--host", node, "--spooldir", b.TempDir(), "--minrate", strconv.Itoa(int(benchEvery.Seconds())))
	cmd.Dir = "/"
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Kill() // It has nothing to keep.
		_ = cmd.Wait()
	})
	return cmd.Process.Pid
}

// inetd starts munin-node-c for every connection, as inetd and systemd do.
type inetd struct {
	addr  string
	mu    sync.Mutex
	spent time.Duration
	peak  int64 // kB
}

func startNodeC(b *testing.B) *inetd {
	b.Helper()
	listener, err := (&net.ListenConfig{}).Listen(b.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	d := &inetd{addr: listener.Addr().String()}
	var sessions sync.WaitGroup
	sessions.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			sessions.Go(func() { d.serve(b, conn.(*net.TCPConn)) })
		}
	})
	b.Cleanup(func() {
		_ = listener.Close()
		sessions.Wait()
	})
	return d
}

func (d *inetd) serve(b *testing.B, conn *net.TCPConn) {
	b.Helper()
	defer conn.Close()
	file, err := conn.File()
	if err != nil {
		b.Error(err)
		return
	}
	defer file.Close()
	cmd := exec.CommandContext(b.Context(), nodeCPath)
	cmd.Stdin, cmd.Stdout, cmd.Dir = file, file, "/"
	if err := cmd.Run(); err != nil {
		b.Errorf("munin-node-c: %v", err)
		return
	}
	usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.spent += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	d.peak = max(d.peak, usage.Maxrss)
}

// take is what was spent since it was last taken, and the most memory that a session had.
func (d *inetd) take() (spent time.Duration, peakKB float64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	spent, peakKB = d.spent, float64(d.peak)
	d.spent = 0
	return spent, peakKB
}

// cpuOf is the time that processes have used so far, with that of children that have ended.
func cpuOf(b *testing.B, pids []int) time.Duration {
	b.Helper()
	const tick = 10 * time.Millisecond // of the kernel's counters, on every machine that Go runs on
	total := time.Duration(0)
	for _, pid := range pids {
		text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if err != nil {
			b.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		fields := strings.Fields(rest)
		for _, field := range fields[11:15] { // utime, stime, cutime, cstime
			n, err := strconv.ParseInt(field, 10, 64)
			if err != nil {
				b.Fatal(err)
			}
			total += time.Duration(n) * tick
		}
	}
	return total
}

// checkSampled makes sure that our node did what is measured.
func checkSampled(b *testing.B, addr string, names []string) {
	b.Helper()
	conn, err := (&net.Dialer{}).DialContext(b.Context(), "tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	_, writeErr := io.WriteString(conn, "spoolfetch 0\nquit\n")
	heard, readErr := io.ReadAll(conn)
	if err := errors.Join(writeErr, readErr); err != nil {
		b.Fatal(err)
	}
	text := string(heard)
	_, body, _ := strings.Cut(text[strings.IndexByte(text, '\n')+1:], "")
	reply := munin.ParseConfig("__root__", []byte(strings.TrimSuffix(body, ".\n")))
	times := make(map[string][]int64) // of the samples of each graph
	for _, sample := range reply.Samples {
		if at := sample.At.Unix(); !slices.Contains(times[sample.Graph], at) {
			times[sample.Graph] = append(times[sample.Graph], at)
		}
	}
	sampled := 0
	for _, name := range names {
		if len(times[name]) >= benchRounds-1 || strings.HasPrefix(name, "diskstats") {
			sampled++
		} else {
			b.Logf("%s was sampled %d times", name, len(times[name]))
		}
	}
	if sampled < len(names) {
		b.Errorf("only %d of %d plugins were sampled in every round", sampled, len(names))
	}
}

func printCosts(b *testing.B, program string, plugins int, costs []cost) {
	b.Helper()
	info, err := os.Stat(program)
	if err != nil {
		b.Fatal(err)
	}
	ours := costs[0]
	table := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(table, "\n%d plugins every %v, for %v\tof one core\tours is 1\tresident\tours is 1\tpeak\t\n", plugins, benchEvery, benchRounds*benchEvery)
	for _, c := range costs {
		fmt.Fprintf(table, "%s\t%.2f %%\t%.1f\t%.1f MB\t%.1f\t%.1f MB\t\n", c.name, 100*c.share, c.share/ours.share, c.rss/1024, c.rss/ours.rss, c.peak/1024)
	}
	if err := table.Flush(); err != nil {
		b.Fatal(err)
	}
	fmt.Printf("corbie-node is one file of %.1f MB; the peak of munin-node is without its children, that of munin-node-c its largest process\n", float64(info.Size())/(1<<20))
	b.ReportMetric(100*ours.share, "corbie-%cpu")
	b.ReportMetric(ours.rss/1024, "corbie-MB")
	for i, name := range []string{"munin-node", "asyncd", "munin-node-c"} {
		b.ReportMetric(costs[i+1].share/ours.share, name+"-cpu-ratio")
	}
}
