package node_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"corbie/munin"
	"corbie/munin/wire"
	"corbie/node"
)

// stateOf finds a plugin in what a node tells.
func (n *testNode) stateOf(t *testing.T, plugin string) munin.PluginState {
	t.Helper()
	m := n.dial(t)
	body := m.body("status")
	states, err := munin.ParsePluginStates([]byte(body))
	if err != nil {
		t.Fatalf("%v in %q", err, body)
	}
	if !slices.IsSortedFunc(states, func(a, b munin.PluginState) int { return strings.Compare(a.Plugin, b.Plugin) }) {
		t.Errorf("not sorted: %q", body)
	}
	for _, s := range states {
		if s.Plugin == plugin {
			return s
		}
	}
	return munin.PluginState{}
}

func TestANodeTellsWhyAPluginIsMissing(t *testing.T) {
	n := startNode(t, setup{scripts: map[string]string{
		"load":  loadScript,
		"fails": `[ "$1" = config ] && echo graph_title x && exit; echo "# a remark" >&2; echo "mysql://root:geheim@db/: password=geheim token: 'ge heim' no such table" >&2; echo "# bye" >&2; exit 3`,
		"quiet": `[ "$1" = config ] && echo graph_title x; exit 0`,
		"slow":  `[ "$1" = config ] && echo graph_title x && exit; sleep 60`,
		"never": `exit 1`,
	}, conf: "[slow]\ntimeout 0.3\n"})
	m := n.dial(t)
	m.ask("list") // Waits until all have been asked for their config.
	for _, name := range []string{"load", "fails", "quiet", "slow"} {
		m.body("config " + name)
		m.body("fetch " + name)
	}
	load := n.stateOf(t, "load")
	if load.Unhealthy() || load.Verb != "fetch" || load.ExitCode != 0 || load.Good.IsZero() || load.Ran.IsZero() {
		t.Errorf("load: %+v", load)
	}
	fails := n.stateOf(t, "fails")
	if fails.Failure != "bad exit: exit status 3" || fails.ExitCode != 3 || fails.Verb != "fetch" || fails.Good.IsZero() {
		t.Errorf("fails: %+v", fails)
	}
	if strings.Contains(fails.Stderr, "heim") || !strings.Contains(fails.Stderr, "mysql://***@db/") || !strings.HasSuffix(fails.Stderr, "no such table") {
		t.Errorf("fails: the last words are %q", fails.Stderr)
	}
	if quiet := n.stateOf(t, "quiet"); quiet.Failure != "it printed nothing" {
		t.Errorf("quiet: %+v", quiet)
	}
	if slow := n.stateOf(t, "slow"); !strings.Contains(slow.Failure, "timed out after 300ms") || slow.Took.Milliseconds() < 300 {
		t.Errorf("slow: %+v", slow)
	}
	if never := n.stateOf(t, "never"); never.Verb != "config" || never.Failure == "" || !never.Good.IsZero() {
		t.Errorf("never: %+v", never)
	}

	// A config that works does not hide values that fail, and a plugin that is gone is not told of.
	m.body("config fails")
	if again := n.stateOf(t, "fails"); again.Verb != "fetch" || again.Failure == "" {
		t.Errorf("fails, after its config: %+v", again)
	}
	n.write(t, "plugins/fails", "#!/bin/sh\n"+loadScript+"\n", 0o755)
	m.body("fetch fails")
	if mended := n.stateOf(t, "fails"); mended.Unhealthy() || !mended.Good.Equal(mended.Ran) {
		t.Errorf("fails, mended: %+v", mended)
	}
	if err := os.Remove(filepath.Join(n.dir, "plugins/quiet")); err != nil {
		t.Fatal(err)
	}
	m.ask("list")
	if gone := n.stateOf(t, "quiet"); gone.Plugin != "" {
		t.Errorf("quiet is gone, but: %+v", gone)
	}
}

func TestOnlyRunsForGraphsCount(t *testing.T) {
	n := startNode(t, setup{native: fakeNative{
		"users": func(_ context.Context, verb string, _ map[string]string) ([]byte, error) {
			if verb == "autoconf" {
				return nil, errors.New("no")
			}
			return []byte("users.value 1\n"), nil
		},
	}})
	var all sync.WaitGroup
	for _, args := range [][]string{nil, {"config"}, {"autoconf"}} {
		all.Go(func() {
			for range 50 {
				n.catalogue.RunPlugin(t.Context(), node.Request{Plugin: "users", Args: args, Caps: wire.Caps{}})
				n.catalogue.States()
			}
		})
	}
	all.Wait()
	states := n.catalogue.States()
	if len(states) != 1 || states[0].Unhealthy() || states[0].Plugin != "users" {
		t.Errorf("%+v", states)
	}
}
