package poll_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"corbie/internal/testenv"
	"corbie/master/poll"
	"corbie/munin"
	"corbie/munin/wire"
)

func TestASessionBringsEveryGraphAndValue(t *testing.T) {
	result := soundNode("www1", 42).session(t, nil)
	if result.Err != nil || len(result.Faults) > 0 {
		t.Fatalf("%v\n%s", result.Err, faults(result))
	}
	wantSound(t, result, 42, 0)
	var graphs []string
	for _, g := range result.Graphs {
		graphs = append(graphs, g.Plugin+"/"+g.Name)
	}
	if got := strings.Join(graphs, " "); got != "plain/plain multi/multi multi/multi.sub dirty/dirty" {
		t.Errorf("graphs %s", got)
	}
	if result.Banner != "www1" || !result.Answered() || fmt.Sprint(result.Caps, result.Plugins) != "[multigraph dirtyconfig] [plain multi dirty]" ||
		result.Bytes < 300 || result.Took <= 0 || result.Address == "" || result.Start.IsZero() {
		t.Errorf("%+v", result)
	}
	for _, r := range result.Readings {
		if r.T != 1_700_000_000_000 {
			t.Errorf("%s is of %s, not of the slot", r.ID, r.Time())
		}
	}
}

func TestManyQuestionsInFlightGiveTheSameAsOne(t *testing.T) {
	node := soundNode("www1", 7)
	for i := range 200 {
		name := fmt.Sprintf("p%d", i)
		node.plugins = append(node.plugins, name)
		node.answers["config "+name] = fmt.Sprintf("graph_title %d\nf.label f\n", i)
		node.answers["fetch "+name] = fmt.Sprintf("f.value %d\n", i)
	}
	var polls []string
	for _, window := range []int{1, 2, 16, 100} {
		result := node.session(t, func(_ *poll.Target, o *poll.SessionOptions) { o.Window = window })
		if result.Err != nil || len(result.Readings) != 200+soundSeries {
			t.Fatalf("window %d: %d readings, %v", window, len(result.Readings), result.Err)
		}
		polls = append(polls, fmt.Sprint(values(result)))
	}
	if len(slices.Compact(polls)) != 1 {
		t.Error("the window changes the values")
	}
}

func TestTimesOfValues(t *testing.T) {
	const slot = 1_700_000_000
	now := time.Now().Unix()
	node := &fakeNode{name: "h", plugins: []string{"p"}, answers: map[string]string{
		"config p": "graph_title P\na.label a\nb.label b\nc.label c\nd.label d\n",
		"fetch p": fmt.Sprintf("a.value 1\nb.value 1600000000:1\nb.value 1600000010:2\nb.value 1600000010:3\nc.value %d:1\nd.value %d:1\na.value N:2\n",
			now+3600, now+60),
	}}
	result := node.session(t, func(target *poll.Target, o *poll.SessionOptions) {
		target.Interval = 10 * time.Second
		o.Slot = time.Unix(slot, 0)
	})
	got := make(map[string][]munin.Point)
	for _, r := range result.Readings {
		got[r.ID.Field] = append(got[r.ID.Field], r.Point)
	}
	if fmt.Sprint(got["a"]) != "[{1700000000000 2}]" {
		t.Errorf("without a time: %v; it must be the slot, and the later of two values", got["a"])
	}
	if fmt.Sprint(got["b"]) != "[{1600000000000 1} {1600000010000 3}]" {
		t.Errorf("with a time: %v", got["b"])
	}
	if len(got["c"]) != 0 || !strings.Contains(faults(result), "in the future") {
		t.Errorf("an hour ahead: %v\n%s", got["c"], faults(result))
	}
	if len(got["d"]) != 1 {
		t.Errorf("a minute ahead: %v", got["d"])
	}
}

func TestATimeCloseToItsSlotIsTheSlot(t *testing.T) {
	// One of 1000 hosts has its phase where whole seconds are within 0.5 % of five minutes.
	node := &fakeNode{name: "h", plugins: []string{"p"}, answers: map[string]string{"config p": "graph_title P\na.label a\n"}}
	var lines strings.Builder
	for i := range 300 {
		fmt.Fprintf(&lines, "a.value %d:1\n", 1_600_000_000+i)
	}
	node.answers["fetch p"] = lines.String()
	result := node.session(t, nil)
	whole, snapped := 0, make(map[int64]bool)
	for _, r := range result.Readings {
		if r.T%1000 == 0 {
			whole++
		} else {
			snapped[r.T] = true
		}
	}
	// Three or so of 300 seconds are within 1.5 s of the slot; they become one sample.
	if len(snapped) > 1 || len(snapped) == 1 && whole != 297 && whole != 298 || len(snapped) == 0 && whole < 297 {
		t.Errorf("%d whole seconds, slots %v", whole, snapped)
	}
}

func TestUnknownValuesAreKept(t *testing.T) {
	node := &fakeNode{name: "h", plugins: []string{"p"}, answers: map[string]string{
		"config p": "graph_title P\na.label a\n", "fetch p": "a.value U\n",
	}}
	got := values(node.session(t, nil))
	if v, there := got["p.a"]; !there || !math.IsNaN(v) {
		t.Errorf("%v", got)
	}
}

func TestWhatCannotBeUsedIsNamed(t *testing.T) {
	node := &fakeNode{name: "h", plugins: []string{"first", "second", "alien", "only_values", "bad!name", "first"}, answers: map[string]string{
		"config first":       "multigraph shared\ngraph_title A\na.label a\n",
		"fetch first":        "multigraph shared\na.value 1\nb.value 2\n",
		"config second":      "graph_title S\ns.label s\nmultigraph shared\ngraph_title B\na.label a\n",
		"fetch second":       "s.value 3\nmultigraph shared\na.value 4\n",
		"config only_values": "x.value 5\n",
		"config alien":       "# Bad exit\n",
	}}
	result := node.session(t, nil)
	if got := values(result); fmt.Sprint(got) != "map[second.s:3 shared.a:1]" || result.Err != nil {
		t.Errorf("%v, %v", got, result.Err)
	}
	said := faults(result)
	for _, want := range []string{
		"first: the config does not declare this field",
		"second: the plugin first has already given a graph of this name",
		"alien: line 1: the plugin failed on the node",
		"only_values: its config holds values but declares no field",
		"cannot be asked for",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is not told in:\n%s", want, said)
		}
	}
}

func TestOverridesAreAppliedBeforeTheGraphIsUsed(t *testing.T) {
	result := soundNode("h", 1).session(t, func(target *poll.Target, _ *poll.SessionOptions) {
		target.Override = func(g *munin.Graph) { g.Fields[0].Warning = munin.Bounds{High: 5, HasHigh: true} }
	})
	for _, g := range result.Graphs {
		if !g.Fields[0].Warning.Outside(6) {
			t.Errorf("%s has no level", g.Name)
		}
	}
}

func TestOnlySomePluginsCanBeAsked(t *testing.T) {
	result := soundNode("h", 1).session(t, func(_ *poll.Target, o *poll.SessionOptions) { o.Only = []string{"multi"} })
	if len(result.Readings) != 2 || len(result.Plugins) != 3 || result.Err != nil {
		t.Errorf("%d readings, plugins %q, %v", len(result.Readings), result.Plugins, result.Err)
	}
}

func TestUnderWhichNameANodeIsAsked(t *testing.T) {
	for _, c := range []struct {
		why      string
		host     munin.HostID
		naming   poll.Naming
		nodeName string
		found    bool
		err      string
	}{
		{"its own name", "web;node.example.com", poll.NameAuto, "", true, ""},
		{"another name, and the node is one only", "web;www1", poll.NameAuto, "", true, ""},
		{"a name that cannot be asked for", "my_host", poll.NameAuto, "", true, ""},
		{"another name, strictly", "web;www1", poll.NameHost, "", false, `for "www1", it knows ["node.example.com"]; set node_name`},
		{"an explicit name", "www1", poll.NameHost, "node.example.com", true, ""},
		{"an explicit name that is wrong", "node.example.com", poll.NameHost, "nobody", false, `for "nobody"`},
		{"the banner's name", "www1", poll.NameBanner, "", true, ""},
		{"no name", "www1", poll.NameNone, "", true, ""},
	} {
		result := soundNode("node.example.com", 1).session(t, func(target *poll.Target, _ *poll.SessionOptions) {
			target.Host, target.Naming, target.NodeName = c.host, c.naming, c.nodeName
		})
		if c.found && (result.Err != nil || len(result.Plugins) != 3) {
			t.Errorf("%s: %q, %v", c.why, result.Plugins, result.Err)
		}
		if !c.found && (!errors.Is(result.Err, poll.ErrNoPlugins) || !strings.Contains(result.Err.Error(), c.err)) {
			t.Errorf("%s: %v", c.why, result.Err)
		}
	}
}

func TestANodeThatSpeaksForSeveralIsNotGuessed(t *testing.T) {
	node := soundNode("node.example.com", 1)
	node.hook = on("nodes", func(conn net.Conn) { say(conn, "node.example.com\nswitch.example.com\n.\n") })
	result := node.session(t, func(target *poll.Target, _ *poll.SessionOptions) { target.Host = "switch2.example.com" })
	if !errors.Is(result.Err, poll.ErrNoPlugins) || len(result.Readings) > 0 {
		t.Errorf("%v, %d readings", result.Err, len(result.Readings))
	}
}

func TestANodeThatIsNotThereIsSaidToBeSo(t *testing.T) {
	target := poll.Target{Host: "h", Address: testenv.FreeAddress(t, "tcp"), Interval: time.Minute}
	result := poll.Session(t.Context(), target, poll.SessionOptions{})
	if !errors.Is(result.Err, poll.ErrUnreachable) || !strings.Contains(result.Err.Error(), "is munin-node or corbie-node running there") || result.Answered() {
		t.Errorf("%v", result.Err)
	}
	dead := func(ctx context.Context, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	target.Timeouts.Dial = 20 * time.Millisecond
	result = poll.Session(t.Context(), target, poll.SessionOptions{Dial: dead})
	if !errors.Is(result.Err, poll.ErrUnreachable) || !strings.Contains(result.Err.Error(), "within 20ms") || poll.Reason(result.Err) != "unreachable" {
		t.Errorf("%v", result.Err)
	}
}

func TestASecondConnectionMustReachTheSameNode(t *testing.T) {
	first, second := soundNode("first", 1), soundNode("second", 2)
	first.hook = on("fetch plain", func(conn net.Conn) { conn.Close() })
	a, b := first.listen(t), second.listen(t)
	var dialed atomic.Int32
	result := poll.Session(t.Context(), poll.Target{Host: "first", Address: a, Interval: time.Minute}, poll.SessionOptions{
		Dial: func(ctx context.Context, _ string) (net.Conn, error) {
			if dialed.Add(1) == 1 {
				return poll.DialTCP(ctx, a)
			}
			return poll.DialTCP(ctx, b)
		},
	})
	if !errors.Is(result.Err, wire.ErrOutOfStep) || !strings.Contains(result.Err.Error(), `reached "second" instead of "first"`) {
		t.Errorf("%v", result.Err)
	}
	for series, v := range values(result) {
		if v != 1 {
			t.Errorf("%s is %g, which the other node said", series, v)
		}
	}
}

func TestTheHostsDeadlineEndsTheSessionAndKeepsWhatIsThere(t *testing.T) {
	node := soundNode("h", 9)
	node.plugins = []string{"plain", "dirty", "slow", "multi"}
	node.hook = on("config slow", func(conn net.Conn) {
		buf := make([]byte, 1000)
		for {
			if _, err := conn.Read(buf); err != nil {
				return
			}
		}
	})
	start := time.Now()
	result := node.session(t, func(target *poll.Target, o *poll.SessionOptions) {
		target.Timeouts = poll.Timeouts{Host: 700 * time.Millisecond}
		o.Window = 1
	})
	if !errors.Is(result.Err, wire.ErrOutOfTime) || time.Since(start) > 4*time.Second {
		t.Errorf("after %s: %v", time.Since(start), result.Err)
	}
	got := values(result)
	if got["plain.a"] != 9 || got["dirty.d"] != 9 || len(got) != 3 {
		t.Errorf("kept: %v", got)
	}
	if said := faults(result); !strings.Contains(said, "slow: its answer ended the connection: config slow: the time for the whole session was up") ||
		!strings.Contains(said, "multi: it was not asked") {
		t.Errorf("faults:\n%s", said)
	}
}

func TestEveryFailureHasAReason(t *testing.T) {
	for want, err := range map[string]error{
		"": nil, "stopped": poll.ErrStopped, "silent": fmt.Errorf("x: %w", wire.ErrSilent), "out of step": &wire.SessionError{Kind: wire.ErrOutOfStep},
		"other": errors.New("x"),
	} {
		if got := poll.Reason(err); got != want {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}
}

// replay is a connection to a node that has already said everything.
type replay struct {
	net.Conn
	said *bufio.Reader
}

func (r replay) Read(b []byte) (int, error) {
	line, err := r.said.ReadSlice('\n')
	return copy(b, line), err
}
func (replay) Write(b []byte) (int, error)      { return len(b), nil }
func (replay) Close() error                     { return nil }
func (replay) SetReadDeadline(time.Time) error  { return nil }
func (replay) SetWriteDeadline(time.Time) error { return nil }

func FuzzSession(f *testing.F) {
	const opening = "# munin node at h\n" + capLine + "p q\n" + capLine
	f.Add([]byte(opening + "graph_title P\na.label a\n.\n" + capLine + "a.value 1\n.\n" + capLine + "multigraph p\nx.label x\nx.value 1:2\n.\n" + capLine))
	f.Add([]byte(opening + "multigraph r.s\na.label a\na.value U\n.\n" + capLine + ".\n" + capLine))
	f.Add([]byte(opening + "a.label a\n.\n" + capLine + "b.value 1\n.\n" + capLine))
	f.Add([]byte("# munin node at other\ncap\n\ncap\nother\n.\ncap\np\ncap\n"))
	f.Fuzz(func(t *testing.T, said []byte) {
		result := poll.Session(t.Context(), poll.Target{Host: "h", Interval: time.Minute}, poll.SessionOptions{
			Window: 1,
			Dial: func(context.Context, string) (net.Conn, error) {
				return replay{said: bufio.NewReaderSize(bytes.NewReader(said), 1<<16)}, nil
			},
		})
		declared := make(map[string]bool)
		for _, g := range result.Graphs {
			if declared[g.Name] {
				t.Errorf("two graphs %s", g.Name)
			}
			declared[g.Name] = true
			for _, field := range g.Fields {
				declared[g.Name+" "+field.Name] = true
			}
		}
		seen := make(map[string]bool)
		for _, r := range result.Readings {
			key := fmt.Sprint(r.ID, r.T)
			if r.ID.Host != "h" || !declared[r.ID.Graph+" "+r.ID.Field] || seen[key] {
				t.Errorf("%s at %d was not declared, or is there twice", r.ID, r.T)
			}
			seen[key] = true
		}
	})
}
