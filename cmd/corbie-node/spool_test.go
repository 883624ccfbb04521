package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"corbie/internal/testenv"
	"corbie/munin"
)

// spoolNode starts a node that samples every second.
func spoolNode(t *testing.T, spoolDir, more string) *daemon {
	t.Helper()
	empty := t.TempDir()
	config := filepath.Join(t.TempDir(), "node.conf")
	testenv.WriteFile(t, config, fmt.Sprintf("spool yes\nspooldir %s\nsample_interval 1\n%s", spoolDir, more), 0o644)
	return startNode(t, "corbie-node", "--config", config, "--servicedir", empty, "--sconfdir", empty)
}

// spoolReply is the answer to spoolfetch, taken apart.
func spoolReply(t *testing.T, addr string, since int64) munin.Reply {
	t.Helper()
	_, body, _ := strings.Cut(ask(t, addr, fmt.Sprintf("spoolfetch %d", since)), "\n")
	body, whole := strings.CutSuffix(body, ".\n")
	if !whole {
		t.Fatalf("the answer is not whole: %.300q", body)
	}
	return munin.ParseConfig("__root__", []byte(body))
}

// TestMuninUpdateFetchesTheSpoolWithoutComplaint is Debian's Munin master against our node's spool, twice.
func TestMuninUpdateFetchesTheSpoolWithoutComplaint(t *testing.T) {
	t.Parallel()
	_, err := os.Stat(muninUpdate)
	testenv.Need(t, "munin-update (Debian's munin)", err == nil)
	rrdtool := testenv.Program(t, "rrdtool")
	account, err := user.Lookup("munin")
	testenv.Need(t, "the user munin", err == nil)
	testenv.Need(t, "root, to become munin", os.Getuid() == 0)

	d := spoolNode(t, filepath.Join(t.TempDir(), "spool"), "native cpu load memory df if_* diskstats swap\n")
	if caps := ask(t, d.addr, "cap multigraph dirtyconfig"); !strings.HasSuffix(strings.TrimSpace(caps), " spool") {
		t.Fatalf("the node does not offer its spool: %q", caps)
	}
	dir, update := muninMaster(t, d.addr, account)
	first := awaitSamples(t, d.addr, 3)
	update()
	awaitSamples(t, d.addr, 8)
	update()
	log, err := os.ReadFile(filepath.Join(dir, "log/munin-update.log"))
	if err != nil {
		t.Fatal(err)
	}
	if bad := regexp.MustCompile(`(?m)^.*\[(.*WARNING|ERROR|FATAL)\].*$`).FindAllString(string(log), -1); len(bad) > 0 {
		t.Errorf("munin-update complains:\n%s", strings.Join(bad, "\n"))
	}
	fields := 0
	for i := range first.Graphs {
		for j := range first.Graphs[i].Fields {
			fields++
			checkRRD(t, rrdtool, dir, &first.Graphs[i], &first.Graphs[i].Fields[j])
		}
	}
	if fields < 20 {
		t.Errorf("only %d fields were looked at", fields)
	}
	checkAllArrived(t, rrdtool, dir, spoolReply(t, d.addr, 0))
	t.Logf("%d graphs, %d fields", len(first.Graphs), fields)
	d.Stop(t)
}

// awaitSamples waits until there are n samples of the load, and returns what is in the spool then.
func awaitSamples(t *testing.T, addr string, n int) (reply munin.Reply) {
	t.Helper()
	testenv.Eventually(t, fmt.Sprintf("there are %d samples of the load", n), func() bool {
		reply = spoolReply(t, addr, 0)
		return len(timesOf(&reply, "load", "load")) >= n
	})
	return reply
}

func timesOf(reply *munin.Reply, graph, field string) []int64 {
	var times []int64
	for _, one := range reply.Samples {
		if one.Graph == graph && one.Field == field {
			times = append(times, one.At.Unix())
		}
	}
	return times
}

// checkAllArrived wants the master to have got a sample from its second visit: later than the first ones of the spool.
func checkAllArrived(t *testing.T, rrdtool, dir string, reply munin.Reply) {
	t.Helper()
	times := timesOf(&reply, "load", "load")
	out, err := exec.CommandContext(t.Context(), rrdtool, "last", filepath.Join(dir, "db/test/node1.example.com-load-load-g.rrd")).CombinedOutput()
	if err != nil {
		t.Fatalf("rrdtool last: %s", out)
	}
	last := strings.TrimSpace(string(out))
	if at := fmt.Sprint(times[5]); last < at {
		t.Errorf("the last value that the master has is of %s, but the sixth in the spool of %s", last, at)
	}
}
