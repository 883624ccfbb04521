package poll_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"corbie/master/poll"
	"corbie/munin"
)

// swapped polls a host while its address belongs first to one node, then to another, then to the first again. It
// returns the last poll of each time. The nodes' values are 1 and 2.
func swapped(t *testing.T, first, second *fakeNode, target poll.Target, restart bool) (polls [3]*munin.Poll) {
	t.Helper()
	m := newMemory()
	target.Address, target.Interval = "a", time.Minute
	for i, node := range []*fakeNode{first, second, first} {
		nodes := map[string]*fakeNode{"a": node}
		if i == 0 && !restart { // One poller for all of it.
			p := newPipes(nodes)
			inFakeTime(t, 15*time.Minute, p, m, []poll.Target{target}, nil, func(*poll.Poller) {
				for i, node := range []*fakeNode{second, first} {
					<-time.After(4 * time.Minute)
					synctest.Wait()
					polls[i] = m.of(target.Host)[len(m.of(target.Host))-1]
					p.put("a", node)
				}
			})
			polls[2] = m.of(target.Host)[len(m.of(target.Host))-1]
			return polls
		}
		inFakeTime(t, 4*time.Minute, newPipes(nodes), m, []poll.Target{target}, nil, nil)
		polls[i] = m.of(target.Host)[len(m.of(target.Host))-1]
		if polls[i].Banner != "" {
			target.Before = munin.Host{ID: target.Host, Address: "a", Banner: polls[i].Banner}
		}
	}
	return polls
}

func TestANodeThatSaysItIsAnotherIsReportedAndNotObeyed(t *testing.T) {
	for _, restart := range []bool{false, true} {
		for name, first := range map[string]string{"it knows the host's name": "h", "it knows another one": "n1"} {
			t.Run(fmt.Sprintf("%s, restart %v", name, restart), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					polls := swapped(t, soundNode(first, 1), soundNode("n2", 2), poll.Target{Host: "h"}, restart)
					if polls[0].Err != nil || len(polls[0].Readings) != soundSeries {
						t.Fatalf("first: %d values, %v", len(polls[0].Readings), polls[0].Err)
					}
					err := polls[1].Err
					if !errors.Is(err, poll.ErrAnother) || len(polls[1].Readings) > 0 || len(polls[1].Graphs) > 0 || polls[1].Answered() {
						t.Errorf("another: %d values, %v", len(polls[1].Readings), err)
					} else if want := fmt.Sprintf(`it was %q and is now "n2"; if it was renamed, write "node_name: n2"`, first); !strings.Contains(err.Error(), want) {
						t.Errorf("%v: want %s", err, want)
					}
					if poll.Reason(err) != "another node" {
						t.Errorf("counted as %q", poll.Reason(err))
					}
					if got := values(polls[2]); polls[2].Err != nil || got["plain.a"] != 1 {
						t.Errorf("the first again: %v, %v", got, polls[2].Err)
					}
				})
			})
		}
	}
}

// TestANodeThatIsToBeObeyedIsReportedWhenItSaysItIsAnother has the namings with which the configuration takes whatever
// is at the address, and a node that still knows the host's name.
func TestANodeThatIsToBeObeyedIsReportedWhenItSaysItIsAnother(t *testing.T) {
	knowing := soundNode("n2", 2)
	knowing.also = "h"
	for name, c := range map[string]struct {
		second *fakeNode
		naming poll.Naming
	}{
		"use_node_name: yes":         {soundNode("n2", 2), poll.NameBanner},
		"use_default_node: yes":      {soundNode("n2", 2), poll.NameNone},
		"it knows the host's name":   {knowing, poll.NameAuto},
		"it is asked by name anyway": {knowing, poll.NameHost},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMemory()
				target := poll.Target{Host: "h", Address: "a", Interval: time.Minute, Naming: c.naming}
				p := newPipes(map[string]*fakeNode{"a": soundNode("h", 1)})
				inFakeTime(t, 9*time.Minute, p, m, []poll.Target{target}, nil, func(*poll.Poller) {
					<-time.After(4*time.Minute + 30*time.Second)
					synctest.Wait()
					p.put("a", c.second)
				})
				reported := 0
				for _, one := range m.of("h") {
					if strings.Contains(faults(one), `the node calls itself "n2" now; it was "h" until then`) {
						reported++
					}
				}
				last := m.of("h")[len(m.of("h"))-1]
				if reported != 1 || last.Err != nil || values(last)["plain.a"] != 2 {
					t.Errorf("reported %d times; then %v, %v", reported, values(last), last.Err)
				}
			})
		})
	}
}
