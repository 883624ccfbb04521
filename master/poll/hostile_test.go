package poll_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"corbie/internal/testenv"
	"corbie/master/poll"
	"corbie/munin"
	"corbie/munin/wire"
)

// flood writes until the other side has enough, at most a given number of bytes.
func flood(conn net.Conn, piece string, most int) {
	for sent := 0; sent < most; sent += len(piece) {
		if _, err := io.WriteString(conn, piece); err != nil {
			return
		}
	}
}

// trickle writes a piece every now and then until the other side has enough.
func trickle(conn net.Conn, piece string) {
	for tick := time.NewTicker(30 * time.Millisecond); ; <-tick.C {
		if _, err := io.WriteString(conn, piece); err != nil {
			tick.Stop()
			return
		}
	}
}

func binary(n int) string {
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // any bytes do
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.IntN(256))
		if b[i] == '\n' {
			b[i] = 0
		}
	}
	return string(b)
}

// on makes a hook that answers one command in its own way.
func on(command string, do func(conn net.Conn)) func(net.Conn, string) bool {
	return func(conn net.Conn, got string) bool {
		if got != command {
			return false
		}
		do(conn)
		return true
	}
}

// hostile are the ways to misbehave. The node is a soundNode with a plugin "evil" between the others.
var hostile = []struct {
	name   string
	hook   func(net.Conn, string) bool
	kind   error  // for which the poll is given up; nil: the other plugins are there, all of them
	reason string // what the poll says about it, in Err or in Faults
}{
	{"a plugin prints rubbish", on("fetch evil", func(conn net.Conn) {
		say(conn, "Traceback (most recent call last):\n  File \"/x\"\nevil.value lots\nevil value 7\n;;;\n.\n")
	}), nil, `evil: line 3: evil: "lots" is not a number`},
	{"a plugin's config is rubbish", on("config evil", func(conn net.Conn) {
		say(conn, "<html>\n"+strings.Repeat("}{ %s\n", 5000)+".\n")
	}), nil, ""},
	{"a plugin prints binary", on("fetch evil", func(conn net.Conn) { say(conn, binary(5000)+"\n"+binary(90)+"\n.\n") }), nil, "evil: "},
	{"a plugin prints 100 MB", on("fetch evil", func(conn net.Conn) {
		flood(conn, strings.Repeat("evil.value 1\n", 10_000), 100<<20)
		say(conn, ".\n")
	}), nil, "evil: its answer ended the connection: fetch evil: the answer is too long: more than 8388608 bytes"},
	{"a plugin prints nothing", on("config evil", func(conn net.Conn) { say(conn, ".\n") }), nil, "evil: its config is empty"},
	{"a plugin gives no values", on("fetch evil", func(conn net.Conn) { say(conn, ".\n") }), nil, "evil: it gave no values"},
	{
		"a plugin never ends", on("fetch evil", func(conn net.Conn) { trickle(conn, "evil.value 1\n") }), nil,
		"evil: its answer ended the connection: fetch evil: the answer came too slowly: it was not complete after 3 s",
	},
	{
		"a plugin never begins", on("config evil", func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }), nil,
		"evil: its answer ended the connection: config evil: the node hangs: no answer began within 3 s",
	},
	{
		"a plugin prints a lone dot", on("fetch evil", func(conn net.Conn) { say(conn, "evil.value 1\n.\nevil.value 2\n.\n") }), nil,
		`evil: its answer ended the connection: fetch evil: the node answered something else than was asked: after the answer it said "evil.value 2"`,
	},
	{
		"a plugin is not known, and no dot follows", on("config evil", func(conn net.Conn) { say(conn, "# unknown plugin: evil\n") }), nil,
		`did not end its answer with a dot, and said "# unknown plugin: evil"`,
	},
	{"a plugin is not known", on("config evil", func(conn net.Conn) { say(conn, "# Unknown service\n.\n") }), nil, "evil: line 1: the node does not know this plugin"},
	{
		"a plugin prints its config for its values", on("fetch evil", func(conn net.Conn) { say(conn, "graph_title Evil\nevil.label evil\n.\n") }), nil,
		"it holds a config instead of values",
	},
	{
		"a plugin crashes the node", on("fetch evil", func(conn net.Conn) { say(conn, "evil.val"); conn.Close() }), nil,
		"fetch evil: the node closed the connection before its answer was complete",
	},
	{
		"it answers a different plugin than asked", on("fetch evil", func(conn net.Conn) { say(conn, "a.value 1\nb.value 2\n.\n") }), nil,
		"not one of its 2 values is of a field that the plugin's config declares; the first is evil.a",
	},

	{
		"it hangs after the banner", on("cap multigraph dirtyconfig spool", func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }), wire.ErrSilent,
		"cap: the node hangs: nothing came for 2 s after its banner",
	},
	{"it says nothing", on("banner", func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }), wire.ErrSilent, "banner: the node hangs"},
	{"it answers slowly, byte by byte", on("list evil.example.com", func(conn net.Conn) { trickle(conn, "x") }), wire.ErrSlow, "list: the answer came too slowly"},
	{
		"it sends a line without end", on("list evil.example.com", func(conn net.Conn) { flood(conn, strings.Repeat("x", 1<<16), 100<<20) }), wire.ErrLongLine,
		"list: the node sent a line without end: more than 1048576 bytes",
	},
	{"it closes in the middle of its list", on("list evil.example.com", func(conn net.Conn) { say(conn, "pla"); conn.Close() }), wire.ErrHungUp, "list: the node closed the connection"},
	{"it refuses", on("banner", func(conn net.Conn) { conn.Close() }), wire.ErrNoBanner, "closed the connection without a word"},
	{"it is a web server", on("banner", func(conn net.Conn) { say(conn, "HTTP/1.1 400 Bad Request\r\n\r\n") }), wire.ErrNoBanner, "HTTP/1.1 400"},
	{"it talks for ever before its banner", on("banner", func(conn net.Conn) { flood(conn, strings.Repeat("hello\n", 1000), 100<<20) }), wire.ErrNoBanner, "it said"},
	{"it answers every fetch with another plugin's values", func(conn net.Conn, command string) bool {
		if strings.HasPrefix(command, "fetch") {
			say(conn, "other.value 1\n.\n")
			return true
		}
		return false
	}, wire.ErrOutOfStep, "the first is plain.other"},
	{"it repeats every answer", func(conn net.Conn, command string) bool {
		if strings.HasPrefix(command, "config") {
			say(conn, "graph_title X\nx.label x\n.\ngraph_title X\nx.label x\n.\n")
			return true
		}
		return false
	}, wire.ErrOutOfStep, "after the answer it said"},
}

func say(conn net.Conn, text string) { _, _ = io.WriteString(conn, text) }

const soundHosts = 50

// wantSound checks that a poll of a sound node has all its values and none of another's.
func wantSound(t *testing.T, result *munin.Poll, value float64, more int) {
	t.Helper()
	got := values(result)
	for _, series := range []string{"plain.a", "plain.b", "multi.m", "multi.sub.n", "dirty.d"} {
		if v, there := got[series]; !there || v != value {
			t.Errorf("%s: %s is %g (there: %t), want %g; err %v, faults:\n%s", result.Host, series, v, there, value, result.Err, faults(result))
		}
	}
	if len(got) > soundSeries+more {
		t.Errorf("%s: values that nobody gave: %v", result.Host, got)
	}
}

func TestHostileNodesCostNobodyElseASample(t *testing.T) {
	for _, h := range hostile {
		t.Run(h.name, func(t *testing.T) {
			t.Parallel()
			evil := soundNode("evil.example.com", 666)
			evil.plugins = []string{"plain", "evil", "multi", "dirty"}
			evil.answers["config evil"] = "graph_title Evil\nevil.label evil\n"
			evil.answers["fetch evil"] = "evil.value 1\n"
			evil.hook = h.hook
			short := poll.Timeouts{Dial: 5 * time.Second, Idle: 2 * time.Second, Plugin: 3 * time.Second, Host: 20 * time.Second}
			const interval = time.Second
			targets := []poll.Target{{Host: "evil.example.com", Address: evil.listen(t), Interval: interval, Timeouts: short}}
			for i := range soundHosts {
				name := fmt.Sprintf("sound%d.example.com", i)
				targets = append(targets, poll.Target{Host: munin.HostID("web;" + name), Address: soundNode(name, i).listen(t), Interval: interval})
			}
			m := newMemory()
			stop := run(t, poll.New(targets, m.options()))
			waitFor(t, m, func() bool {
				for _, target := range targets {
					if n := len(m.of(target.Host)); n < 2 && target.Host != "evil.example.com" || n < 1 {
						return false
					}
				}
				return true
			})
			stop()
			for i, target := range targets[1:] {
				for _, result := range m.of(target.Host) {
					if result.Err != nil || len(result.Faults) > 0 {
						t.Errorf("%s: %v\n%s", target.Host, result.Err, faults(result))
					}
					wantSound(t, result, float64(i), 0)
				}
			}
			result := m.of("evil.example.com")[0]
			if said := fmt.Sprint(result.Err, "\n", faults(result)); !strings.Contains(said, h.reason) {
				t.Errorf("it is not told that %s: want %q in:\n%s", h.name, h.reason, said)
			}
			switch {
			case h.kind == nil && result.Err != nil:
				t.Errorf("the poll was given up: %v", result.Err)
			case h.kind == nil:
				wantSound(t, result, 666, 2)
			case !errors.Is(result.Err, h.kind):
				t.Errorf("%v, want %v", result.Err, h.kind)
			}
		})
	}
}

// waitFor waits until something is true, looking at it after each poll.
func waitFor(t *testing.T, m *memory, done func() bool) {
	t.Helper()
	limit := time.After(testenv.Patience)
	for !done() {
		select {
		case <-m.told:
		case <-limit:
			t.Fatal("it takes too long")
		}
	}
}

func TestAHugeAnswerTakesBoundedMemory(t *testing.T) {
	evil := soundNode("evil.example.com", 1)
	evil.hook = on("fetch plain", func(conn net.Conn) { flood(conn, strings.Repeat("a.value 1\n", 10_000), 100<<20) })
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	result := evil.session(t, nil)
	runtime.ReadMemStats(&after)
	if !strings.Contains(faults(result), "too long") {
		t.Errorf("it was not given up: %v\n%s", result.Err, faults(result))
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 100<<20 {
		t.Errorf("%d MB were allocated in all", grown>>20)
	}
}

func TestPluginsThatBrokeAConnectionAreAskedLast(t *testing.T) {
	node := soundNode("host", 7)
	node.plugins = []string{"evil1", "evil2", "evil3", "plain", "multi", "dirty"}
	for _, name := range node.plugins[:3] {
		node.answers["config "+name] = "graph_title X\nx.label x\n"
		node.answers["fetch "+name] = "x.value 1\n.\nx.value 2\n"
	}
	target := poll.Target{Host: "host", Address: node.listen(t), Interval: 2 * time.Second}
	m := newMemory()
	stop := run(t, poll.New([]poll.Target{target}, m.options()))
	waitFor(t, m, func() bool { return len(m.of("host")) >= 2 })
	stop()
	for i, result := range m.of("host")[:2] {
		if result.Err != nil {
			t.Errorf("poll %d: %v", i+1, result.Err)
		}
		wantSound(t, result, 7, 3)
		for _, f := range result.Faults {
			if !strings.HasPrefix(f.Plugin, "evil") {
				t.Errorf("poll %d: %s", i+1, f)
			}
		}
	}
	// In the second poll the sound plugins come first, so that their graphs do.
	if first := m.of("host")[1].Graphs[0].Plugin; first != "plain" {
		t.Errorf("%s was asked first", first)
	}
}
