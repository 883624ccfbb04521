package main_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"

	"corbie/internal/testenv"
)

// BenchmarkFullSession asks our node and Debian's munin-node the same things with the same client: list, then
// config and fetch of every plugin, one command after the other. It prints the times, what one is of the
// other, and how much memory each daemon holds.
func BenchmarkFullSession(b *testing.B) {
	empty := b.TempDir()
	ours := startNode(b, buildNode(b), "--servicedir", empty, "--sconfdir", empty)
	theirs, muninNode := testenv.MuninNode(b, "node1.example.com")

	both := common(listOf(b, ours.addr), listOf(b, theirs))
	var all, theirAll, same, theirSame []session
	for b.Loop() {
		for range 20 {
			all = append(all, fullSession(b, ours.addr, nil))
			same = append(same, fullSession(b, ours.addr, both))
		}
		for range 3 {
			theirAll = append(theirAll, fullSession(b, theirs, nil))
			theirSame = append(theirSame, fullSession(b, theirs, both))
		}
	}
	ourRSS, theirRSS := residentKB(b, ours.Cmd.Process.Pid), residentKB(b, muninNode.Cmd.Process.Pid)
	table := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "\nfull session (median)\tcorbie-node\tmunin-node\ttimes faster\t")
	compare := func(what string, a, c []session, of func(session) time.Duration) float64 {
		x, y := median(a, of), median(c, of)
		fmt.Fprintf(table, "%s\t%v\t%v\t%.1f\t\n", what, x.Round(time.Microsecond), y.Round(time.Microsecond), float64(y)/float64(x))
		return float64(y) / float64(x)
	}
	ratio := compare(fmt.Sprintf("all plugins: %d and %d", all[0].plugins, theirAll[0].plugins), all, theirAll, func(s session) time.Duration { return s.total })
	sameRatio := compare(fmt.Sprintf("the %d that both have", same[0].plugins), same, theirSame, func(s session) time.Duration { return s.total })
	compare("  one config", same, theirSame, func(s session) time.Duration { return s.config / time.Duration(s.plugins) })
	compare("  one fetch", same, theirSame, func(s session) time.Duration { return s.fetch / time.Duration(s.plugins) })
	compare("  list", same, theirSame, func(s session) time.Duration { return s.list })
	fmt.Fprintf(table, "resident memory\t%.1f MB\t%.1f MB\t%.1f\t\n", ourRSS/1024, theirRSS/1024, theirRSS/ourRSS)
	if err := table.Flush(); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(ratio, "times-faster")
	b.ReportMetric(sameRatio, "times-faster-same-plugins")
	b.ReportMetric(float64(median(all, func(s session) time.Duration { return s.total }).Microseconds()), "corbie-µs")
	b.ReportMetric(float64(median(theirAll, func(s session) time.Duration { return s.total }).Microseconds()), "munin-µs")
	b.ReportMetric(ourRSS/1024, "corbie-MB")
	b.ReportMetric(theirRSS/1024, "munin-MB")
}

// buildNode builds the program as it is shipped.
func buildNode(tb testing.TB) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "corbie-node")
	if err := testenv.Build(tb.Context(), "corbie-node", path); err != nil {
		tb.Fatal(err)
	}
	return path
}

// session is how long the parts of a session took.
type session struct {
	plugins             int
	total               time.Duration
	list, config, fetch time.Duration
}

// client is a master that asks one thing after the other, without the kernel's delayed acknowledgements that
// would hold up a node which writes line by line.
type client struct {
	tb   testing.TB
	conn *net.TCPConn
	r    *bufio.Reader
}

func dialClient(tb testing.TB, addr string) *client {
	tb.Helper()
	conn, err := (&net.Dialer{}).DialContext(tb.Context(), "tcp", addr)
	if err != nil {
		tb.Fatal(err)
	}
	c := &client{tb: tb, conn: conn.(*net.TCPConn)}
	c.r = bufio.NewReader(c)
	if banner := c.line(); !strings.HasPrefix(banner, "# munin node at ") {
		tb.Fatalf("banner %q", banner)
	}
	c.ask("cap multigraph")
	return c
}

// Read implements io.Reader.
func (c *client) Read(b []byte) (int, error) {
	raw, err := c.conn.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1) // Without it, it is only slower.
		})
	}
	if err != nil {
		return 0, err
	}
	return c.conn.Read(b)
}

func (c *client) line() string {
	line, err := c.r.ReadString('\n')
	if err != nil {
		c.tb.Fatal(err)
	}
	return strings.TrimSuffix(line, "\n")
}

func (c *client) ask(command string) string {
	if _, err := io.WriteString(c.conn, command+"\n"); err != nil {
		c.tb.Fatal(err)
	}
	return c.line()
}

func (c *client) body(command string) {
	for line := c.ask(command); line != "."; line = c.line() {
		if line == "# Timed out" || line == "# Unknown service" {
			c.tb.Fatalf("%s: %s", command, line)
		}
	}
}

func listOf(tb testing.TB, addr string) []string {
	tb.Helper()
	c := dialClient(tb, addr)
	defer c.conn.Close()
	return strings.Fields(c.ask("list"))
}

// fullSession is one session over the plugins named, or over all that are listed.
func fullSession(tb testing.TB, addr string, names []string) session {
	tb.Helper()
	var s session
	begin := time.Now()
	c := dialClient(tb, addr)
	defer c.conn.Close()
	since := time.Now()
	listed := strings.Fields(c.ask("list"))
	s.list = time.Since(since)
	if names == nil {
		names = listed
	}
	s.plugins = len(names)
	for _, name := range names {
		since = time.Now()
		c.body("config " + name)
		s.config += time.Since(since)
		since = time.Now()
		c.body("fetch " + name)
		s.fetch += time.Since(since)
	}
	if _, err := io.WriteString(c.conn, "quit\n"); err != nil {
		tb.Fatal(err)
	}
	s.total = time.Since(begin)
	return s
}

func common(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(name string) bool { return !slices.Contains(b, name) })
}

func median(sessions []session, of func(session) time.Duration) time.Duration {
	times := make([]time.Duration, 0, len(sessions))
	for _, s := range sessions {
		times = append(times, of(s))
	}
	slices.Sort(times)
	return times[len(times)/2]
}

func residentKB(tb testing.TB, pid int) float64 {
	tb.Helper()
	return statusKB(tb, pid, "VmRSS")
}

// statusKB is a line of what the kernel says of a process.
func statusKB(tb testing.TB, pid int, line string) float64 {
	tb.Helper()
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		tb.Fatal(err)
	}
	found := regexp.MustCompile(line + `:\s+(\d+) kB`).FindSubmatch(status)
	if found == nil {
		tb.Fatalf("no %s in %s", line, status)
	}
	kb, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil {
		tb.Fatal(err)
	}
	return kb
}
