package poll_test

import (
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"corbie/master/poll"
	"corbie/munin"
)

// spoolNode is a node with a spool: "fast" is sampled every 10 s, "slow" every 4 minutes, from a moment on.
type spoolNode struct {
	*fakeNode

	began time.Time
	terse bool // plugins with nothing new are left out, as munin-async does
	// spoil makes of an answer what is sent instead; when it is false the connection ends after it.
	spoil func(asked int, answer string) (string, bool)

	mu    sync.Mutex
	asked []int64 // what spoolfetch asked for
}

func newSpoolNode(name string) *spoolNode {
	n := &spoolNode{fakeNode: &fakeNode{name: name, plugins: []string{"fast", "slow"}}, began: time.Now()}
	n.hook = n.command
	return n
}

const (
	fastEvery = 10 * time.Second
	slowEvery = 4 * time.Minute
)

func (n *spoolNode) command(conn net.Conn, command string) bool {
	word, arg, _ := strings.Cut(command, " ")
	switch word {
	case "cap":
		_, _ = io.WriteString(conn, "cap multigraph dirtyconfig spool\n")
	case "spoolfetch":
		text, _, _ := strings.Cut(arg, " ")
		since, _ := strconv.ParseInt(text, 10, 64)
		asked := n.note(since)
		answer, goOn := n.answer(since)+".\n", true
		if n.spoil != nil {
			answer, goOn = n.spoil(asked, answer)
		}
		_, _ = io.WriteString(conn, answer)
		if !goOn {
			conn.Close()
		}
	default:
		return false
	}
	return true
}

// note keeps what was asked for and returns how often that was.
func (n *spoolNode) note(since int64) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked = append(n.asked, since)
	return len(n.asked)
}

// sampled are the times of a plugin's samples that are newer than since and not of this second.
func (n *spoolNode) sampled(since int64, every time.Duration) []int64 {
	var times []int64
	for at := n.began; at.Unix() < time.Now().Unix(); at = at.Add(every) {
		if at.Unix() > since {
			times = append(times, at.Unix())
		}
	}
	return times
}

// answer is in the order of time; each value is the second of its sample.
func (n *spoolNode) answer(since int64) string {
	var b strings.Builder
	type line struct {
		at   int64
		text string
	}
	var lines []line
	for plugin, every := range map[string]time.Duration{"fast": fastEvery, "slow": slowEvery} {
		times := n.sampled(since, every)
		if len(times) > 0 || !n.terse {
			fmt.Fprintf(&b, "multigraph %[1]s\ngraph_title %[1]s\nx.label x\ny.label y\n", plugin)
		}
		for _, at := range times {
			lines = append(lines, line{at, fmt.Sprintf("multigraph %s\nx.value %d:%d\ny.value %d:%d\n", plugin, at, at, at, at)})
		}
	}
	slices.SortStableFunc(lines, func(a, b line) int { return int(a.at - b.at) })
	for _, l := range lines {
		b.WriteString(l.text)
	}
	return b.String()
}

// wantAll wants every sample up to a time to be stored once, under its own time or, within the tolerance, its slot.
func (n *spoolNode) wantAll(t *testing.T, kept map[munin.SeriesID][]munin.Point, until time.Time) {
	t.Helper()
	for plugin, every := range map[string]time.Duration{"fast": fastEvery, "slow": slowEvery} {
		for _, field := range []string{"x", "y"} {
			id := munin.SeriesID{Host: munin.HostID(n.name), Graph: plugin, Field: field}
			got := make(map[float64]int64)
			for _, p := range kept[id] {
				if before, twice := got[p.V]; twice && before != p.T {
					t.Errorf("%s: the sample of %.0f is stored at %d and at %d ms", id, p.V, before, p.T)
				}
				if off := p.T - int64(p.V)*1000; off < -300 || off > 300 {
					t.Errorf("%s: the sample of %.0f is stored %d ms away", id, p.V, off)
				}
				got[p.V] = p.T
			}
			for at := n.began; at.Before(until); at = at.Add(every) {
				if _, ok := got[float64(at.Unix())]; !ok {
					t.Errorf("%s: the sample of %s is missing", id, at)
					break
				}
			}
		}
	}
}

func (n *spoolNode) target() poll.Target {
	return poll.Target{Host: munin.HostID(n.name), Address: n.name, Interval: time.Minute}
}

func TestWhatASpoolHoldsIsAskedForUntilItIsStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node := newSpoolNode("h")
		rnd := rand.New(rand.NewPCG(1, 1))
		node.spoil = func(_ int, answer string) (string, bool) {
			if rnd.IntN(4) == 0 { // The connection ends within the answer.
				return answer[:rnd.IntN(len(answer))], false
			}
			return answer, true
		}
		m, p := newMemory(), newPipes(map[string]*fakeNode{"h": node.fakeNode})
		full := fmt.Errorf("disk full")
		inFakeTime(t, 2*time.Hour, p, m, []poll.Target{node.target()}, nil, func(*poll.Poller) {
			for range 5 {
				<-time.After(10 * time.Minute)
				m.fail(full)
				<-time.After(5 * time.Minute)
				m.fail(nil)
			}
		})
		node.wantAll(t, m.kept, time.Now().Add(-10*time.Minute))
		for id, points := range m.kept {
			seen := make(map[int64]bool)
			for _, one := range points {
				if seen[one.T] {
					t.Errorf("%s: stored twice at %d", id, one.T)
				}
				seen[one.T] = true
			}
		}
		again := 0
		for i := 1; i < len(node.asked); i++ {
			if node.asked[i] < node.asked[i-1] {
				t.Errorf("asked for %d after %d", node.asked[i], node.asked[i-1])
			}
			if node.asked[i] == node.asked[i-1] {
				again++
			}
		}
		if again < 20 {
			t.Errorf("only %d answers had to be asked for again", again)
		}
	})
}

// TestAMasterThatIsKilledAsksTheSpoolForWhatIsNotStored starts a poller again and again from what the catalogue had.
func TestAMasterThatIsKilledAsksTheSpoolForWhatIsNotStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node := newSpoolNode("h")
		m, target := newMemory(), node.target()
		for range 10 {
			inFakeTime(t, 7*time.Minute, newPipes(map[string]*fakeNode{"h": node.fakeNode}), m, []poll.Target{target}, nil, nil)
			<-time.After(20 * time.Minute) // The master is away.
			polls := m.of("h")
			for _, one := range polls {
				if one.Spool > 0 {
					target.Before = munin.Host{ID: "h", Spool: one.Spool}
				}
			}
			before := len(node.asked)
			if target.Before.Spool == 0 {
				t.Fatal("no position was recorded")
			}
			inFakeTime(t, 4*time.Second, newPipes(map[string]*fakeNode{"h": node.fakeNode}), m, []poll.Target{target}, nil, nil)
			// A power cut may have taken the last seconds of what was stored.
			if got, want := node.asked[before], target.Before.Spool-120; got != want {
				t.Errorf("asked for %d, want %d", got, want)
			}
		}
		node.wantAll(t, m.kept, time.Now().Add(-10*time.Second))
	})
}

func TestPluginsWithNothingNewInTheSpoolKeepTheirGraphs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node := newSpoolNode("h")
		node.terse = true
		m := newMemory()
		inFakeTime(t, 30*time.Minute, newPipes(map[string]*fakeNode{"h": node.fakeNode}), m, []poll.Target{node.target()}, nil, nil)
		described := make(map[uint64]bool)
		for i, one := range m.of("h")[1:] {
			described[one.Described] = true
			if len(one.Graphs) != 2 || one.Err != nil || len(one.Faults) > 0 {
				t.Errorf("poll %d: %d graphs, %v %v", i+1, len(one.Graphs), one.Err, one.Faults)
			}
		}
		if len(described) != 1 {
			t.Errorf("graphs that stay the same were told as %d different ones", len(described))
		}
		node.wantAll(t, m.kept, time.Now().Add(-2*time.Minute))
	})
}

// TestALargeSpoolIsFetchedInPieces has answers with more values than one session takes, in the order of time and by
// plugin.
func TestALargeSpoolIsFetchedInPieces(t *testing.T) {
	const seconds = 105_000 // with two values each
	for _, byPlugin := range []bool{false, true} {
		node := newSpoolNode("h")
		node.began = time.Now().Add(-seconds * time.Second).Truncate(time.Second)
		last := node.began.Add((seconds - 100) * time.Second).Unix()
		hook := node.hook
		node.hook = func(conn net.Conn, command string) bool {
			arg, is := strings.CutPrefix(command, "spoolfetch ")
			if !is {
				return hook(conn, command)
			}
			text, _, _ := strings.Cut(arg, " ")
			since, _ := strconv.ParseInt(text, 10, 64)
			node.note(since)
			var fast, slow, both strings.Builder
			for at := max(node.began.Unix(), since+1); at <= last; at++ {
				a, b := fmt.Sprintf("x.value %d:%d\ny.value %d:%d\n", at, at, at, at), fmt.Sprintf("x.value %d:%d\n", at, at)
				fast.WriteString(a)
				slow.WriteString(b)
				both.WriteString("multigraph fast\n" + a + "multigraph slow\n" + b)
			}
			const about = "multigraph slow\ngraph_title s\nx.label x\nmultigraph fast\ngraph_title f\nx.label x\ny.label y\n"
			answer := about + both.String()
			if byPlugin {
				answer = about + fast.String() + "multigraph slow\n" + slow.String()
			}
			_, _ = io.WriteString(conn, answer+".\n")
			return true
		}
		m := newMemory()
		target := node.target()
		target.Address, target.Interval = node.listen(t), time.Second
		poller := poll.New([]poll.Target{target}, m.options())
		stop := run(t, poller)
		for {
			if got := <-m.told; got.Spool == last || got.Err != nil {
				break
			}
		}
		stop()
		stored := make(map[string]int)
		for id, points := range m.kept {
			times := make(map[int64]bool)
			for _, one := range points {
				times[one.T] = true
			}
			stored[id.Graph+"."+id.Field] = len(times)
		}
		n := int(last-node.began.Unix()) + 1
		if want := map[string]int{"fast.x": n, "fast.y": n, "slow.x": n}; !maps.Equal(stored, want) || node.note(0) < 3 {
			t.Errorf("by plugin %v: stored %v after asking for %v, want %v", byPlugin, stored, node.asked, want)
		}
	}
}

func TestANodeThatOnlyClaimsToHaveASpoolIsAskedForItsPlugins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node := soundNode("h", 7)
		node.hook = on("cap multigraph dirtyconfig spool", func(conn net.Conn) { _, _ = io.WriteString(conn, "cap multigraph dirtyconfig spool\n") })
		m := newMemory()
		inFakeTime(t, time.Minute, newPipes(map[string]*fakeNode{"h": node}), m, []poll.Target{{Host: "h", Address: "h", Interval: time.Minute}}, nil, nil)
		if got := m.of("h")[0]; len(got.Readings) != soundSeries || !strings.Contains(faults(got), "does not know spoolfetch") || got.Spool != 0 {
			t.Errorf("%d values, position %d\n%s", len(got.Readings), got.Spool, faults(got))
		}
	})
}

// FuzzSpool has a node that gives any answer to spoolfetch. What is stored was declared, is not of the future and
// belongs to the host; the position is never in the future.
func FuzzSpool(f *testing.F) {
	f.Add("multigraph p\ngraph_title P\na.label a\nmultigraph p\na.value 946684000:1\nmultigraph p\na.value 946684010:2\n")
	f.Add("multigraph p\na.label a\na.value 946684900:1\na.value 99999999999:1\na.value 1:1\na.value U\nmultigraph q.r\nb.value 1:2\n")
	f.Add("a.label a\na.value 946684010:1\na.value 946684000:1\n# Unknown\nmultigraph ..\na.value -5:1\n")
	f.Fuzz(func(t *testing.T, said string) {
		synctest.Test(t, func(t *testing.T) {
			node := newSpoolNode("h")
			node.plugins = []string{"p", "q"}
			node.spoil = func(int, string) (string, bool) { return said + "\n.\n", true }
			m := newMemory()
			target := node.target()
			target.Interval = time.Second
			target.Timeouts = poll.Timeouts{Idle: time.Second, Plugin: time.Second, Host: 2 * time.Second}
			inFakeTime(t, 4*time.Second, newPipes(map[string]*fakeNode{"h": node.fakeNode}), m, []poll.Target{target}, nil, nil)
			limit := time.Now().Add(10 * time.Minute).UnixMilli()
			for _, one := range m.of("h") {
				declared := make(map[string]bool)
				for _, g := range one.Graphs {
					for _, field := range g.Fields {
						declared[g.Name+" "+field.Name] = true
					}
				}
				for _, r := range one.Readings {
					if !declared[r.ID.Graph+" "+r.ID.Field] || r.ID.Host != "h" || r.T > limit {
						t.Errorf("%s at %d must not be stored", r.ID, r.T)
					}
				}
				if one.Spool*1000 > limit {
					t.Errorf("the position is %d, in the future", one.Spool)
				}
			}
			for i := 1; i < len(node.asked); i++ {
				if node.asked[i]*1000 > limit || node.asked[i] < 0 {
					t.Errorf("asked for %v", node.asked)
				}
			}
		})
	})
}
