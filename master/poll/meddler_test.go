package poll_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"corbie/master/poll"
	"corbie/munin"
	"corbie/munin/wire/fleet"
)

// meddler is a man in the middle of one session: he swaps, delays, truncates, drops and repeats answers. He knows the
// protocol and always acts on whole answers, or cuts them.
type meddler struct {
	rnd     *rand.Rand
	actions int     // he acts so often at most …
	chance  float64 // … and on an answer with this chance

	client, server net.Conn
	asked          chan string // commands whose answers have not come yet
	answers        chan []byte
	past           [][]byte
}

// between puts him between a client, whose end is returned, and a node.
func (m *meddler) between(ctx context.Context, serve func(net.Conn), all *sync.WaitGroup) net.Conn {
	ours, client := net.Pipe()
	server, theirs := net.Pipe()
	m.client, m.server, m.asked, m.answers = client, server, make(chan string, 1000), make(chan []byte, 1000)
	all.Go(func() { serve(theirs) })
	stop := context.AfterFunc(ctx, func() { client.Close(); server.Close() })
	forward := make(chan string, 1000)
	all.Go(func() { // Nobody waits for a node that is busy answering.
		defer server.Close()
		for line := range forward {
			if _, err := io.WriteString(server, line); err != nil {
				return
			}
		}
	})
	all.Go(func() {
		defer close(forward)
		defer close(m.asked)
		lines := bufio.NewReader(client)
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				return
			}
			forward <- line
			m.asked <- strings.TrimSpace(line)
		}
	})
	all.Go(m.listen)
	all.Go(func() {
		defer stop()
		defer client.Close()
		m.meddle()
	})
	return ours
}

// listen takes what the node says apart into answers.
func (m *meddler) listen() {
	defer close(m.answers)
	lines := bufio.NewReader(m.server)
	command := "banner"
	for {
		var answer []byte
		for {
			line, err := lines.ReadBytes('\n')
			if err != nil {
				return
			}
			answer = append(answer, line...)
			word, _, _ := strings.Cut(command, " ")
			if word != "config" && word != "fetch" && word != "nodes" || string(line) == ".\n" {
				break
			}
		}
		m.answers <- answer
		var ok bool
		if command, ok = <-m.asked; !ok {
			return
		}
	}
}

// next is another answer, if one comes soon.
func (m *meddler) next() []byte {
	select {
	case answer := <-m.answers:
		return answer
	case <-time.After(time.Second):
		return nil
	}
}

func (m *meddler) say(answers ...[]byte) {
	for _, answer := range answers {
		if _, err := m.client.Write(answer); err != nil {
			return
		}
	}
}

func (m *meddler) meddle() {
	for answer := range m.answers {
		m.past = append(m.past, answer)
		if m.actions == 0 || m.rnd.Float64() >= m.chance {
			m.say(answer)
			continue
		}
		m.actions--
		cut := m.rnd.IntN(len(answer))
		switch m.rnd.IntN(9) {
		case 0: // two neighbours swapped
			m.say(m.next(), answer)
		case 1: // two bodies swapped, with the proof that stands between them where it was
			between, other := m.next(), m.next()
			m.say(other, between, answer)
		case 2: // the same, further away
			a, b, c := m.next(), m.next(), m.next()
			other := m.next()
			m.say(other, a, b, c, answer)
		case 3:
			<-time.After(time.Duration(m.rnd.Int64N(int64(12 * time.Second))))
			m.say(answer)
		case 4: // truncated, and the connection ends
			m.say(answer[:cut])
			return
		case 5: // truncated, and it goes on
			m.say(answer[:cut])
		case 6: // without its first lines
			m.say(answer[cut:])
		case 7: // said twice
			m.say(answer, answer)
		case 8: // one of before in its place
			m.say(m.past[m.rnd.IntN(len(m.past))])
		}
	}
}

// checkTime wants each counter, which tells when it was read, to be stored under about that time.
func (c *checker) checkTime(r munin.Reading) {
	if r.V < 1<<24 {
		return
	}
	read := time.Unix(0, int64(r.V)>>24*int64(fleetTick)).UTC()
	if off := r.Time().Sub(read).Abs(); off > 40*time.Second {
		c.wrong = append(c.wrong, fmt.Sprintf("%s: a value of %s is stored at %s", r.ID, read, r.Time()))
	}
}

// TestNothingAMeddlerDoesPutsAValueInTheWrongPlace has 10,000 sessions with a man in the middle. What he does follows
// from the seed; whatever it is, no value is stored under another host, graph, field or time.
func TestNothingAMeddlerDoesPutsAValueInTheWrongPlace(t *testing.T) {
	nodes, err := fleet.New(fleet.Options{Nodes: 100, Plugins: 6, Fields: 3, Seed: 1, Tick: fleetTick})
	if err != nil {
		t.Fatal(err)
	}
	t.Run("nodes that the master knows", func(t *testing.T) { meddleWithKnown(t, nodes) })
	t.Run("nodes that it sees for the first time", func(t *testing.T) { meddleWithNew(t, nodes) })
}

func meddleWithKnown(t *testing.T, nodes *fleet.Fleet) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		const interval = time.Minute
		limits := poll.Timeouts{Dial: 2 * time.Second, Idle: 5 * time.Second, Plugin: 5 * time.Second, Host: 25 * time.Second}
		targets, byAddress := fleetTargets(nodes, interval, limits)
		kept := newChecker(nodes)
		var all sync.WaitGroup
		var sessions atomic.Uint64
		ctx, cancel := context.WithCancel(t.Context())
		opts := poll.Options{Sink: kept, Catalog: kept, Log: quiet()}
		opts.Dial = func(_ context.Context, address string) (net.Conn, error) {
			node, number := byAddress[address], sessions.Add(1)
			m := &meddler{rnd: rand.New(rand.NewPCG(uint64(node), number)), actions: 5, chance: 0.08}
			if int(number) <= nodes.Len() {
				m.actions = 0 // The first time, he lets them talk.
			}
			return m.between(ctx, func(conn net.Conn) { nodes.ServeNode(ctx, conn, node) }, &all), nil
		}
		poller := poll.New(targets, opts)
		stop := run(t, poller)
		<-time.After(60 * interval)
		stop()
		cancel()
		all.Wait()
		kept.check(t)
		stats, stored := poller.Stats(), 0
		for id, n := range kept.count {
			stored += n.times
			if n.times > 62 {
				t.Errorf("%s has %d samples of an hour", id, n.times)
			}
		}
		if sessions.Load() < 6000 || stats.Faults < 1000 || stored < 6000*nodes.Series()/4 {
			t.Errorf("%d sessions, %d values, %+v: too little happened", sessions.Load(), stored, stats)
		}
		t.Logf("%d connections, %d polls, %d values, %d faults, failed %v", sessions.Load(), stats.Polls, stored, stats.Faults, stats.Failed)
	})
}

func meddleWithNew(t *testing.T, nodes *fleet.Fleet) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		limits := poll.Timeouts{Dial: 2 * time.Second, Idle: 5 * time.Second, Plugin: 5 * time.Second, Host: 25 * time.Second}
		targets, byAddress := fleetTargets(nodes, time.Minute, limits)
		kept := newChecker(nodes)
		hurt := 0
		for number := range 4000 {
			target := targets[number%len(targets)]
			var all sync.WaitGroup
			ctx, cancel := context.WithCancel(t.Context())
			first := true
			result := poll.Session(ctx, target, poll.SessionOptions{Dial: func(_ context.Context, address string) (net.Conn, error) {
				m := &meddler{rnd: rand.New(rand.NewPCG(7, uint64(number))), actions: 1, chance: 0.05}
				if !first {
					m.actions = 0
				}
				first = false
				return m.between(ctx, func(conn net.Conn) { nodes.ServeNode(ctx, conn, byAddress[address]) }, &all), nil
			}})
			cancel()
			all.Wait()
			if result.Err != nil || len(result.Faults) > 0 {
				hurt++
			}
			if err := kept.Append(t.Context(), result.Readings); err != nil {
				t.Fatal(err)
			}
		}
		kept.check(t)
		if hurt < 1000 {
			t.Errorf("only %d of 4000 sessions were hurt", hurt)
		}
		t.Logf("%d of 4000 sessions were hurt", hurt)
	})
}
