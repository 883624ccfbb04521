package poll_test

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"corbie/master/poll"
	"corbie/munin"
)

// failingNode has, beside those of a soundNode, three plugins that fail: at their config, at their values, and one that
// other nodes fail at. status is its answer to that command; without one it does not know it.
func failingNode(name, status string) (n *fakeNode, asked *atomic.Int64) {
	n, asked = soundNode(name, 1), new(atomic.Int64)
	n.plugins = append(n.plugins, "config_fails", "fetch_fails", "mute")
	n.answers["config config_fails"] = "# Bad exit\n"
	n.answers["config fetch_fails"], n.answers["fetch fetch_fails"] = "graph_title F\nf.label f\n", "# Timed out\n"
	n.answers["config mute"], n.answers["fetch mute"] = "graph_title M\nm.label m\n", ""
	n.hook = func(conn net.Conn, command string) bool {
		if command != "status" {
			return false
		}
		asked.Add(1)
		answer := "# Unknown command. Try cap, list, nodes, config, fetch, version or quit\n"
		if status != "" {
			answer = status + ".\n"
		}
		_, _ = io.WriteString(conn, answer)
		return true
	}
	return n, asked
}

func TestTheNodeItselfSaysWhyAPluginGivesNothing(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	status := string(munin.AppendPluginStates(nil, []munin.PluginState{
		{Plugin: "plain", Verb: "fetch", Ran: at, Good: at},
		{Plugin: "config_fails", Verb: "config", Ran: at, ExitCode: 3, Failure: "bad exit: exit status 3", Stderr: "no such table"},
		{Plugin: "fetch_fails", Verb: "fetch", Ran: at, Took: 60 * time.Second, ExitCode: -1, Failure: "timed out", Good: at.Add(-time.Hour)},
		{Plugin: "mute", Verb: "fetch", Ran: at, Failure: "it printed nothing", Good: at.Add(-time.Minute)},
		{Plugin: "of_another_host", Verb: "fetch", Ran: at, Failure: "bad exit"},
	}))
	node, asked := failingNode("h", status)
	result := node.session(t, nil)
	if result.Err != nil || len(result.Readings) != soundSeries || asked.Load() != 1 {
		t.Fatalf("%d values, asked %d times, %v", len(result.Readings), asked.Load(), result.Err)
	}
	want := `config_fails: config failed on the node at 2026-03-04 05:06:07 UTC: bad exit: exit status 3; it wrote "no such table"; it has not gone well since the node was started; to see more, run "corbie-node run config_fails config" there
fetch_fails: fetch failed on the node at 2026-03-04 05:06:07 UTC: timed out after 1 min; it last went well at 2026-03-04 04:06:07 UTC; to see more, run "corbie-node run fetch_fails" there
mute: fetch failed on the node at 2026-03-04 05:06:07 UTC: it printed nothing; it last went well at 2026-03-04 05:05:07 UTC; to see more, run "corbie-node run mute" there
`
	if got := faults(result); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	only := node.session(t, func(_ *poll.Target, o *poll.SessionOptions) { o.Only = []string{"mute"} })
	if got := faults(only); !strings.HasPrefix(got, "mute: fetch failed") || strings.Count(got, "\n") != 1 {
		t.Errorf("of one plugin:\n%s", got)
	}
}

func TestANodeThatCannotSayWhyIsAskedOnce(t *testing.T) {
	node, asked := failingNode("h", "")
	m := newMemory()
	target := poll.Target{Host: "h", Address: node.listen(t), Interval: time.Second}
	stop := run(t, poll.New([]poll.Target{target}, m.options()))
	for range 3 {
		if got := <-m.told; got.Err != nil || len(got.Readings) != soundSeries || len(got.Faults) < 3 {
			t.Errorf("%d values, %v\n%s", len(got.Readings), got.Err, faults(got))
		}
	}
	stop()
	if asked.Load() != 1 {
		t.Errorf("asked %d times", asked.Load())
	}
}

func TestANodeIsNotAskedWhyWhenNothingIsAmiss(t *testing.T) {
	node, asked := failingNode("h", "plugin\n")
	node.plugins = node.plugins[:3]
	if result := node.session(t, nil); result.Err != nil || len(result.Faults) > 0 || asked.Load() != 0 {
		t.Errorf("asked %d times, %v\n%s", asked.Load(), result.Err, faults(result))
	}
}

// TestAPoorAnswerToStatusCostsNoValue has nodes that hang, close or talk nonsense when they are asked for their states.
func TestAPoorAnswerToStatusCostsNoValue(t *testing.T) {
	for name, do := range map[string]func(conn net.Conn){
		"closes":   func(conn net.Conn) { conn.Close() },
		"nonsense": func(conn net.Conn) { _, _ = io.WriteString(conn, "\x00\x01\nplugin\tverb\nx\n..\n.\n.\n") },
		"hangs":    func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) },
		"endless": func(conn net.Conn) {
			for {
				if _, err := fmt.Fprintf(conn, "plugin\tverb\n%s", strings.Repeat("x\ty\n", 1000)); err != nil {
					return
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			node, _ := failingNode("h", "")
			node.hook = on("status", do)
			result := node.session(t, func(target *poll.Target, _ *poll.SessionOptions) { target.Timeouts.Idle = time.Second })
			if result.Err != nil || len(result.Readings) != soundSeries || len(result.Faults) < 3 {
				t.Errorf("%d values, %v\n%s", len(result.Readings), result.Err, faults(result))
			}
		})
	}
}
