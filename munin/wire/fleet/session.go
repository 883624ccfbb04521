package fleet

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net"
	"time"
)

// session is one session with one node.
type session struct {
	fleet   *Fleet
	node    int
	conn    net.Conn
	is      Behaviour
	rnd     *rand.Rand
	trouble int // the question at which a node that misbehaves begins to
	asked   int
	out     []byte
}

// what follows an answer.
type verdict int

const (
	goOn  verdict = iota
	hang          // say nothing more
	leave         // close
)

// absent says whether the node is away.
func (s *session) absent(now time.Time) bool {
	if s.fleet.opts.Loss > 0 && s.rnd.Float64() < s.fleet.opts.Loss {
		return true
	}
	if s.is != Vanishing {
		return false
	}
	// Which nodes are away together is spread.
	turn := now.Sub(s.fleet.began)/s.fleet.opts.Away + time.Duration(s.node)
	return turn%2 == 0
}

// serve answers until the session ends. Answers to questions that came together leave together.
func (s *session) serve(ctx context.Context) {
	w := s.writer(ctx)
	defer w.close()
	s.out = append(append(append(s.out, "# munin node at "...), s.banner()...), '\n')
	if !w.write(s.out, 2*s.fleet.opts.Latency) { // to open a connection takes a round trip as well
		return
	}
	s.out = s.out[:0]
	reader := bufio.NewReaderSize(s.conn, 4<<10)
	for {
		line, err := reader.ReadSlice('\n')
		if err != nil {
			return
		}
		then := s.answer(bytes.TrimSpace(line))
		if then == goOn && reader.Buffered() > 0 && s.is != Slow && len(s.out) < 64<<10 {
			continue
		}
		if !w.write(s.out, s.delay()) {
			return
		}
		s.out = s.out[:0]
		switch then {
		case goOn:
		case leave:
			reset(s.conn)
			return
		case hang:
			_, _ = io.Copy(io.Discard, s.conn) // until the client has enough
			return
		}
	}
}

func (s *session) banner() string {
	if s.is == Wrong && s.trouble == 1 {
		return s.fleet.Name((s.node + 1) % s.fleet.opts.Nodes)
	}
	return s.fleet.Name(s.node)
}

// delay is how long the answers in hand are on their way.
func (s *session) delay() time.Duration {
	d := s.fleet.opts.Latency
	if s.fleet.opts.Jitter > 0 {
		d += time.Duration(s.rnd.Int64N(int64(s.fleet.opts.Jitter)))
	}
	if s.is == Slow {
		d += s.fleet.opts.SlowBy / time.Duration(4*s.fleet.opts.Plugins)
	}
	return d
}

// answer appends the answer to one command.
func (s *session) answer(line []byte) verdict {
	s.fleet.answers.Add(1)
	verb, arg, _ := bytes.Cut(line, []byte{' '})
	switch string(verb) {
	case "cap":
		s.out = append(s.out, "cap multigraph dirtyconfig\n"...)
	case "list":
		if len(arg) == 0 || string(arg) == s.fleet.Name(s.node) {
			s.out = append(s.out, s.fleet.list...)
		} else {
			s.out = append(s.out, '\n')
		}
	case "nodes":
		s.out = append(append(s.out, s.fleet.Name(s.node)...), "\n.\n"...)
	case "config", "fetch":
		return s.plugin(string(verb) == "config", arg)
	case "version":
		s.out = append(append(s.out, "munins node on "+s.fleet.Name(s.node)...), " version: fleet\n"...)
	case "quit":
		return leave
	default:
		s.out = append(s.out, "# Unknown command. Try cap, list, nodes, config, fetch, version or quit\n"...)
	}
	return goOn
}

func (s *session) plugin(config bool, name []byte) verdict {
	s.asked++
	number, ok := s.fleet.number(name)
	if !ok {
		s.out = append(s.out, "# Unknown service\n.\n"...)
		return goOn
	}
	begin := len(s.out)
	troubled := s.asked >= s.trouble
	if troubled && s.is == Wrong {
		number = (number + 1 + s.rnd.IntN(max(len(s.fleet.texts)-1, 1))) % len(s.fleet.texts)
	}
	if config {
		s.out = append(s.out, s.fleet.texts[number].config...)
	} else {
		s.out = s.fleet.appendFetch(s.out, s.node, number, s.fleet.tick(time.Now()))
	}
	switch {
	case !troubled:
	case s.is == Hanging:
		s.out = s.out[:begin+s.rnd.IntN(len(s.out)-begin)]
		return hang
	case s.is == Vanishing:
		s.out = s.out[:begin+s.rnd.IntN(len(s.out)-begin)]
		return leave
	case s.is == Rubbish:
		s.spoil(begin)
	}
	return goOn
}

// spoil makes rubbish of the answer that begins at begin.
func (s *session) spoil(begin int) {
	answer := s.out[begin:]
	switch s.rnd.IntN(7) {
	case 0: // noise, without an end
		for i := range answer {
			answer[i] = byte(s.rnd.IntN(256))
		}
	case 1: // the end is missing
		s.out = s.out[:len(s.out)-2]
	case 2: // an end in the middle
		cut := begin + bytes.IndexByte(answer, '\n') + 1
		rest := bytes.Clone(s.out[cut:])
		s.out = append(append(s.out[:cut], ".\n"...), rest...)
	case 3: // a line that does not end
		for range 100 {
			s.out = append(s.out, "abcdefghijklmnopqrstuvwxyz0123456789"...)
		}
	case 4: // lines of no use
		s.out = append(s.out[:begin], "multigraph ..\nx.value\nvalue 7\n<b>.value 0x12\nsim.value 1e\n\x00\x01\n.\n"...)
	case 5: // said twice
		s.out = append(s.out, bytes.Clone(answer)...)
	case 6: // nothing but the end
		s.out = append(s.out[:begin], ".\n"...)
	}
}

// writer writes what the node says after it was on its way for a while.
type writer struct {
	s     *session
	ctx   context.Context //nolint:containedctx // of the one session, for the one goroutine below
	queue chan parcel     // nil when nothing is delayed: it is written at once
	ended chan struct{}
}

type parcel struct {
	due  time.Time
	text []byte
}

func (s *session) writer(ctx context.Context) *writer {
	w := &writer{s: s, ctx: ctx}
	if s.fleet.opts.Latency+s.fleet.opts.Jitter == 0 && s.is != Slow {
		return w
	}
	w.queue, w.ended = make(chan parcel, 64), make(chan struct{})
	go w.deliver()
	return w
}

// write says whether it is worth going on.
func (w *writer) write(text []byte, after time.Duration) bool {
	if w.queue == nil {
		return w.now(text)
	}
	select {
	case w.queue <- parcel{time.Now().Add(after), bytes.Clone(text)}:
		return true
	case <-w.ended:
		return false
	}
}

func (w *writer) now(text []byte) bool {
	n, err := w.s.conn.Write(text)
	w.s.fleet.written.Add(int64(n))
	return err == nil
}

// deliver writes what was queued when it is due. Several answers may be on their way at once.
func (w *writer) deliver() {
	defer close(w.ended)
	timer := time.NewTimer(0)
	defer timer.Stop()
	var last time.Time
	for p := range w.queue {
		if p.due.Before(last) {
			p.due = last // Answers do not overtake each other.
		}
		last = p.due
		timer.Reset(time.Until(p.due))
		select {
		case <-timer.C:
		case <-w.ctx.Done():
			return
		}
		if len(p.text) > 0 && !w.now(p.text) {
			return
		}
	}
}

// close writes what is still on its way.
func (w *writer) close() {
	if w.queue != nil {
		close(w.queue)
		<-w.ended
	}
}
