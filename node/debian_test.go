package node_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"corbie/internal/testenv"
	"corbie/munin"
	"corbie/node"
)

// TestServesDebiansPluginsAsMuninNodeDoes takes over the configuration of Debian's munin-node, all of it, and
// compares what our node and munin-run say about each plugin.
func TestServesDebiansPluginsAsMuninNodeDoes(t *testing.T) {
	muninRun := testenv.Program(t, "munin-run")
	testenv.Root(t) // to read Munin's plugin-conf.d
	n := startDebian(t)
	m := n.dial(t)
	m.ask("cap multigraph")
	offered := strings.Fields(m.ask("list"))
	if len(offered) < 10 {
		t.Fatalf("only %q of Debian's plugins are offered", offered)
	}
	for _, name := range offered {
		theirs, err := runPeer(t, muninRun, name, "config")
		ours := m.body("config " + name)
		if err != nil {
			if ours != "# Bad exit\n" {
				t.Errorf("%s: munin-run says %v, our node %q", name, err, ours)
			}
			continue
		}
		got, want := munin.ParseConfig(name, []byte(ours)), munin.ParseConfig(name, theirs)
		compareGraphs(t, name, got.Graphs, want.Graphs)
		if len(want.Graphs) == 0 {
			continue
		}
		values := munin.ParseFetch(name, []byte(m.body("fetch "+name)))
		text, err := runPeer(t, muninRun, name)
		if err != nil {
			t.Errorf("munin-run %s: %v", name, err)
			continue
		}
		if gotFields, wantFields := fieldsOf(values), fieldsOf(munin.ParseFetch(name, text)); !slices.Equal(gotFields, wantFields) {
			t.Errorf("fetch %s: our node gives values for %q, munin-run for %q", name, gotFields, wantFields)
		}
	}
}

// startDebian starts our node with Debian's configuration, on a free port.
func startDebian(t *testing.T) *testNode {
	t.Helper()
	cfg, err := node.LoadConfig("/etc/munin/munin-node.conf")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Name, cfg.LibDir = "Node1.example.com", "/usr/share/munin"
	n := &testNode{log: new(lockedBuffer)}
	opts := node.Options{Version: "1.2.3", ListWait: time.Minute, Log: slog.New(slog.NewTextHandler(n.log, nil))}
	catalogue, err := node.NewCatalogue(t.Context(), cfg, opts)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n.addr = listener.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- node.NewServer(cfg, catalogue, opts).Run(ctx, []net.Listener{listener}) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return n
}

func runPeer(t *testing.T, muninRun string, args ...string) ([]byte, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), muninRun, append([]string{"--ignore-systemd-properties"}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr, cmd.Dir = &stderr, "/"
	out, err := cmd.Output()
	if err != nil {
		err = errors.Join(err, errors.New(strings.TrimSpace(stderr.String())))
	}
	return out, err
}

func compareGraphs(t *testing.T, plugin string, got, want []munin.Graph) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("config %s: %d graphs, munin-run has %d", plugin, len(got), len(want))
		return
	}
	for i := range want {
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Errorf("config %s: graph %s:\n%s\nmunin-run has %s:\n%s", plugin,
				got[i].Name, munin.AppendConfig(nil, &got[i]), want[i].Name, munin.AppendConfig(nil, &want[i]))
		}
	}
}

func fieldsOf(reply munin.Reply) []string {
	var names []string
	for _, sample := range reply.Samples {
		names = append(names, sample.Graph+"."+sample.Field)
	}
	slices.Sort(names)
	return names
}
