package wire_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"corbie/munin/wire"
)

const (
	banner = "# munin node at www1.example.com\n"
	proof  = "cap multigraph dirtyconfig\n"
)

// replay is a connection to a node that has already said everything and then closes.
type replay struct{ io.Reader }

func (replay) Write(b []byte) (int, error)      { return len(b), nil }
func (replay) Close() error                     { return nil }
func (replay) LocalAddr() net.Addr              { return nil }
func (replay) RemoteAddr() net.Addr             { return nil }
func (replay) SetDeadline(time.Time) error      { return nil }
func (replay) SetReadDeadline(time.Time) error  { return nil }
func (replay) SetWriteDeadline(time.Time) error { return nil }

// oneAtATime gives a line at each read, as a node does that answers questions one by one.
type oneAtATime struct{ *bufio.Reader }

func (r oneAtATime) Read(b []byte) (int, error) {
	line, err := r.ReadSlice('\n')
	return copy(b, line), err
}

func replayed(said string) net.Conn {
	return replay{oneAtATime{bufio.NewReaderSize(strings.NewReader(said), 1<<16)}}
}

// opened is a client after banner and cap, whose node says the rest.
func opened(t *testing.T, said string) *wire.Client {
	t.Helper()
	c := wire.NewClient(replayed(banner+proof+said), wire.ClientOptions{Reply: 1000, Line: 500})
	if _, err := c.Greet(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Cap(); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestClientFindsTheBanner(t *testing.T) {
	for _, c := range [][2]string{
		{banner, "www1.example.com"},
		{"# MUNIN client at Node7\r\n", "Node7"},
		{"# lrrd node at old.example.com\n", "old.example.com"},
		{"Last login: yesterday\n\x1b[0mhi\n" + banner, "www1.example.com"},
		{"# some wrapper: munin node at x.example.com extra\n", "x.example.com"},
	} {
		name, err := wire.NewClient(replayed(c[0]), wire.ClientOptions{}).Greet()
		if err != nil || name != c[1] {
			t.Errorf("%q: %q, %v", c[0], name, err)
		}
	}
}

func TestClientSaysWhyThereIsNoBanner(t *testing.T) {
	for said, want := range map[string]string{
		"":                                 "closed the connection without a word",
		"\n" + banner:                      "it said nothing",
		"HTTP/1.1 400 Bad Request\r\n\r\n": `it said "HTTP/1.1 400 Bad Request"`,
		"SSH-2.0-OpenSSH_9.2p1\r\n":        `it said "SSH-2.0-OpenSSH_9.2p1" and closed`,
		"# munin node at":                  "closed the connection",
		strings.Repeat("noise\n", 20000):   "it said",
		"munin node at www1\n":             "it said",
	} {
		c := wire.NewClient(replayed(said), wire.ClientOptions{})
		_, err := c.Greet()
		if !errors.Is(err, wire.ErrNoBanner) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %q", said, err, want)
		}
		if _, again := c.Cap(); again == nil {
			t.Errorf("%.40q: the session went on", said)
		}
	}
}

func TestClientSaysWhatCameInPlaceOfABannerBeforeSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer theirs.Close()
		go func() { _, _ = io.WriteString(theirs, "SSH-2.0-OpenSSH_9.2p1\r\n") }()
		_, err := wire.NewClient(ours, wire.ClientOptions{}).Greet()
		if !errors.Is(err, wire.ErrNoBanner) || !strings.Contains(err.Error(), `it said "SSH-2.0-OpenSSH_9.2p1", and then nothing for 30 s`) {
			t.Errorf("it says %v", err)
		}
		ours.Close()
	})
}

func TestClientReadsCapabilities(t *testing.T) {
	for said, want := range map[string]string{
		"cap multigraph dirtyconfig\n": "[multigraph dirtyconfig]",
		"cap spool \r\n":               "[spool]",
		"cap \n":                       "[]",
		"# Unknown command. Try list, nodes, config, fetch, version or quit\n": "[]",
	} {
		c := wire.NewClient(replayed(banner+said), wire.ClientOptions{})
		if _, err := c.Greet(); err != nil {
			t.Fatal(err)
		}
		caps, err := c.Cap()
		if err != nil || fmt.Sprint(caps) != want {
			t.Errorf("%q: %v, %v", said, caps, err)
		}
	}
}

func TestClientWorksWithANodeThatKnowsNoCap(t *testing.T) {
	const unknown = "# Unknown command. Try list, nodes, config, fetch, version or quit\n"
	c := wire.NewClient(replayed(banner+unknown+"cpu  load \n"+unknown+"load.value 1\n.\n"+unknown), wire.ClientOptions{})
	_, err := c.Greet()
	_, capErr := c.Cap()
	names, listErr := c.List("")
	body, fetchErr := c.Fetch("load")
	if err := errors.Join(err, capErr, listErr, fetchErr); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(names) != "[cpu load]" || string(body) != "load.value 1\n" {
		t.Errorf("list %q, fetch %q", names, body)
	}
}

func TestClientReadsAnswers(t *testing.T) {
	for said, want := range map[string]string{
		"load.value 1\n.\n":                          "load.value 1\n",
		"load.value 1\r\n.\r\n":                      "load.value 1\n",
		"load.value 1\n\n.\n":                        "load.value 1\n\n", // munin-node-c
		".\n":                                        "",
		"# Unknown service\n.\n":                     "# Unknown service\n",
		"..\n .\n.x\n.\n":                            "..\n .\n.x\n",
		strings.Repeat("x", 499) + "\n.\n":           strings.Repeat("x", 499) + "\n",
		strings.Repeat("twelve bytes\n", 70) + ".\n": strings.Repeat("twelve bytes\n", 70),
	} {
		c := opened(t, said+proof)
		body, err := c.Fetch("load")
		if err != nil || string(body) != want {
			t.Errorf("%.40q: %.40q, %v", said, body, err)
		}
	}
}

func TestClientsWithTheSameMemoryDoNotShareAnswers(t *testing.T) {
	var memory wire.Scratch
	for _, said := range []string{
		strings.Repeat("a.value 1\n", 30_000) + ".\n" + proof, // more than is kept
		"b.value 2\n.\n" + proof,
		"c.val",
		"d.value 4\n.\n" + proof,
	} {
		c := wire.NewClient(replayed(banner+proof+said), wire.ClientOptions{Scratch: &memory})
		greetAndCap(t, c)
		want, whole := strings.CutSuffix(said, ".\n"+proof)
		body, err := c.Fetch("load")
		if c.Close(); whole != (err == nil) || whole && string(body) != want {
			t.Errorf("%.20q: %.20q, %v", said, body, err)
		}
		if _, err := c.Fetch("load"); err == nil {
			t.Error("a client that was closed answers")
		}
		c.Close()
	}
}

func TestClientEndsTheSessionWhenItIsOutOfStep(t *testing.T) {
	for name, c := range map[string]struct {
		said string
		kind error
		want string
	}{
		"text after the dot":        {"a.value 1\n.\nb.value 2\n.\n" + proof, wire.ErrOutOfStep, `after the answer it said "b.value 2"`},
		"two dots":                  {"a.value 1\n.\n.\n" + proof, wire.ErrOutOfStep, `after the answer it said "."`},
		"no dot":                    {"a.value 1\n" + proof, wire.ErrOutOfStep, "did not end its answer with a dot"},
		"an end that was cut off":   {"a.value 1\nb.val" + proof + "c.value 3\n.\n" + proof, wire.ErrOutOfStep, `in the middle of the answer it said "b.valcap `},
		"munin-node-c's error":      {"# unknown plugin: load\n" + proof, wire.ErrOutOfStep, `said "# unknown plugin: load"`},
		"closed in the answer":      {"a.value 1\n", wire.ErrHungUp, "before its answer was complete"},
		"closed in a line":          {"a.val", wire.ErrHungUp, ""},
		"closed after the dot":      {"a.value 1\n.\n", wire.ErrHungUp, ""},
		"a line without end":        {strings.Repeat("x", 600), wire.ErrLongLine, "more than 500 bytes"},
		"a line that is a bit long": {strings.Repeat("x", 501) + "\n.\n" + proof, wire.ErrLongLine, ""},
		"an endless answer":         {strings.Repeat("a.value 1\n", 200) + ".\n" + proof, wire.ErrLongReply, "more than 1000 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			client := opened(t, c.said+"late.value 9\n.\n"+proof)
			if errors.Is(c.kind, wire.ErrHungUp) {
				client = opened(t, c.said)
			}
			body, err := client.Fetch("load")
			if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "fetch load: ") || body != nil {
				t.Errorf("%q, %v", body, err)
			}
			// What comes later is never used.
			if body, again := client.Fetch("other"); !errors.Is(again, err) || body != nil {
				t.Errorf("the session went on: %q, %v", body, again)
			}
		})
	}
}

func TestClientNoticesTextThatNobodyAskedFor(t *testing.T) {
	// All at once, so that the extra answer is there before the next question.
	c := wire.NewClient(replay{strings.NewReader(banner)}, wire.ClientOptions{})
	if _, err := c.Greet(); err != nil {
		t.Fatal(err)
	}
	c = wire.NewClient(replay{strings.NewReader(banner + "surprise\n" + proof)}, wire.ClientOptions{})
	if _, err := c.Greet(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Cap(); !errors.Is(err, wire.ErrOutOfStep) || !strings.Contains(err.Error(), `"surprise"`) {
		t.Errorf("%v", err)
	}
}

func TestClientRefusesNamesThatAreCommands(t *testing.T) {
	c := opened(t, "")
	for _, name := range []string{"", "a\nquit", "a b", "../x", ".hidden", strings.Repeat("x", 300)} {
		if err := c.Ask(wire.VerbFetch, name); err == nil {
			t.Errorf("%.20q was asked for", name)
		}
	}
	if err := c.Ask(wire.VerbQuit, "load"); err == nil {
		t.Error("quit was asked as a question")
	}
	if c.InFlight() != 0 {
		t.Errorf("%d in flight", c.InFlight())
	}
}

func TestClientListsNodesWithAndWithoutADot(t *testing.T) {
	for said, want := range map[string]string{
		"a.example.com\nb.example.com\n.\n" + proof: "[a.example.com b.example.com]",
		"a.example.com b.example.com\n" + proof:     "[a.example.com b.example.com]",
		"# Unknown command\n" + proof:               "[]",
	} {
		names, err := opened(t, said).Nodes()
		if err != nil || fmt.Sprint(names) != want {
			t.Errorf("%q: %q, %v", said, names, err)
		}
	}
}

// converse runs a client against a node's side of a pipe, in fake time.
func converse(t *testing.T, node func(t *testing.T, conn net.Conn), client func(t *testing.T, c *wire.Client), opts wire.ClientOptions) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		over := make(chan struct{})
		go func() {
			defer close(over)
			node(t, theirs)
			_, _ = io.Copy(io.Discard, theirs) // Until the client closes.
		}()
		if !opts.Deadline.IsZero() {
			opts.Deadline = time.Now().Add(time.Minute)
		}
		c := wire.NewClient(ours, opts)
		client(t, c)
		c.Close()
		<-over
		theirs.Close()
	})
}

func say(conn net.Conn, text string) { _, _ = io.WriteString(conn, text) }

// hear reads lines from the client.
func hear(conn net.Conn, lines int) {
	b, got := make([]byte, 1), 0
	for got < lines {
		if _, err := conn.Read(b); err != nil {
			return
		}
		if b[0] == '\n' {
			got++
		}
	}
}

func TestClientGivesASilentNodeUpAfterExactlyTheIdleLimit(t *testing.T) {
	converse(t, func(_ *testing.T, conn net.Conn) {
		say(conn, banner)
	}, func(t *testing.T, c *wire.Client) {
		t.Helper()
		if _, err := c.Greet(); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		_, err := c.Cap()
		if waited := time.Since(start); waited != 20*time.Second {
			t.Errorf("given up after %s", waited)
		}
		if !errors.Is(err, wire.ErrSilent) || !strings.Contains(err.Error(), "nothing came for 20 s after its banner") {
			t.Errorf("%v", err)
		}
	}, wire.ClientOptions{Idle: 20 * time.Second})
}

func greetAndCap(t *testing.T, c *wire.Client) {
	t.Helper()
	if _, err := c.Greet(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Cap(); err != nil {
		t.Fatal(err)
	}
}

func TestClientWaitsForAPluginLongerThanForTheNode(t *testing.T) {
	converse(t, func(_ *testing.T, conn net.Conn) {
		say(conn, banner)
		hear(conn, 1)
		say(conn, proof)
		hear(conn, 2)
		<-time.After(50 * time.Second) // The plugin runs.
		say(conn, "a.value 1\n.\n"+proof)
		hear(conn, 2)
		say(conn, "a.value 2\n")
		<-time.After(50 * time.Second) // Silence in the middle of an answer.
	}, func(t *testing.T, c *wire.Client) {
		t.Helper()
		greetAndCap(t, c)
		if body, err := c.Fetch("a"); err != nil || string(body) != "a.value 1\n" {
			t.Errorf("%q, %v", body, err)
		}
		start := time.Now()
		_, err := c.Fetch("a")
		if waited := time.Since(start); waited != 20*time.Second || !errors.Is(err, wire.ErrSilent) {
			t.Errorf("after %s: %v", waited, err)
		}
	}, wire.ClientOptions{Idle: 20 * time.Second, Answer: time.Minute})
}

func TestClientGivesUpAPluginThatNeverAnswers(t *testing.T) {
	converse(t, func(_ *testing.T, conn net.Conn) {
		say(conn, banner)
		hear(conn, 1)
		say(conn, proof)
	}, func(t *testing.T, c *wire.Client) {
		t.Helper()
		greetAndCap(t, c)
		start := time.Now()
		_, err := c.Config("slow")
		if waited := time.Since(start); waited != time.Minute || !errors.Is(err, wire.ErrSilent) || !strings.Contains(err.Error(), "no answer began within 1 min") {
			t.Errorf("after %s: %v", waited, err)
		}
	}, wire.ClientOptions{Idle: 20 * time.Second, Answer: time.Minute})
}

func TestClientGivesUpANodeThatAnswersByteByByte(t *testing.T) {
	converse(t, func(_ *testing.T, conn net.Conn) {
		say(conn, banner)
		hear(conn, 1)
		say(conn, proof)
		hear(conn, 2)
		for _, c := range []byte(strings.Repeat("a.value 1\n", 50)) {
			<-time.After(2 * time.Second)
			if _, err := conn.Write([]byte{c}); err != nil {
				return
			}
		}
	}, func(t *testing.T, c *wire.Client) {
		t.Helper()
		greetAndCap(t, c)
		start := time.Now()
		body, err := c.Fetch("a")
		if waited := time.Since(start); waited != time.Minute || !errors.Is(err, wire.ErrSlow) || body != nil {
			t.Errorf("after %s: %q, %v", waited, body, err)
		}
	}, wire.ClientOptions{Idle: 20 * time.Second, Answer: time.Minute})
}

func TestClientKeepsTheDeadlineOfTheWholeSession(t *testing.T) {
	converse(t, func(_ *testing.T, conn net.Conn) {
		say(conn, banner)
		hear(conn, 1)
		say(conn, proof)
		for {
			hear(conn, 2)
			<-time.After(7 * time.Second)
			if _, err := io.WriteString(conn, "a.value 1\n.\n"+proof); err != nil {
				return
			}
		}
	}, func(t *testing.T, c *wire.Client) {
		t.Helper()
		greetAndCap(t, c)
		start, answers := time.Now(), 0
		var err error
		for err == nil {
			if _, err = c.Fetch("a"); err == nil {
				answers++
			}
		}
		if waited := time.Since(start); waited != time.Minute || answers != 8 || !errors.Is(err, wire.ErrOutOfTime) {
			t.Errorf("%d answers in %s: %v", answers, waited, err)
		}
	}, wire.ClientOptions{Deadline: time.Unix(1, 0)})
}

func TestClientGivesUpANodeThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer theirs.Close()
		c := wire.NewClient(ours, wire.ClientOptions{Idle: 20 * time.Second})
		go say(theirs, banner)
		if _, err := c.Greet(); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		_, err := c.Cap()
		if waited := time.Since(start); waited != 20*time.Second || !errors.Is(err, wire.ErrSilent) || !strings.Contains(err.Error(), "does not read") {
			t.Errorf("after %s: %v", waited, err)
		}
		c.Close()
	})
}

func TestQuestionsInFlightAreAnsweredInTheirOrder(t *testing.T) {
	var said strings.Builder
	for i := range 40 {
		fmt.Fprintf(&said, "f.value %d\n.\n%s", i, proof)
	}
	c := opened(t, said.String())
	asked := 0
	for i := range 40 {
		for asked < 40 && c.InFlight() < 8 {
			if err := c.Ask(wire.VerbFetch, fmt.Sprintf("p%d", asked)); err != nil {
				t.Fatal(err)
			}
			asked++
		}
		answer, err := c.Next()
		if err != nil || answer.Plugin != fmt.Sprintf("p%d", i) || string(answer.Body) != fmt.Sprintf("f.value %d\n", i) {
			t.Fatalf("answer %d: %+v, %v", i, answer, err)
		}
	}
	if _, err := c.Next(); err == nil {
		t.Error("an answer without a question")
	}
}

func TestBothEndsUnderstandEachOther(t *testing.T) {
	// The client takes its leave, so that the node sees an ordinary end.
	converse(t, func(t *testing.T, conn net.Conn) {
		t.Helper()
		say(conn, banner)
		hear(conn, 1)
		say(conn, proof)
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil || wire.ParseCommand(line).Verb != wire.VerbQuit {
			t.Errorf("the node heard %q, %v", line, err)
		}
	}, greetAndCap, wire.ClientOptions{})
}

func FuzzClient(f *testing.F) {
	f.Add([]byte(banner + proof + "load cpu\n" + proof + "graph_title x\nload.label y\n.\n" + proof + "load.value 1\n.\n" + proof))
	f.Add([]byte("motd\n" + banner + "# Unknown\r\n" + "a\r\n# Unknown\n\n\n.\n# Unknown\n"))
	f.Add([]byte(banner + "cap \n\n cap\n# unknown plugin: load\ncap \n.\n"))
	f.Add([]byte(banner + "\n\n\n.\n\n.\n\n"))
	f.Fuzz(func(t *testing.T, said []byte) {
		c := wire.NewClient(replayed(string(said)), wire.ClientOptions{Line: 200, Reply: 400})
		if name, err := c.Greet(); err != nil || name == "" {
			return
		}
		if _, err := c.Cap(); err != nil {
			return
		}
		if _, err := c.List(""); err != nil {
			return
		}
		var lines [][]byte
		for _, line := range bytes.Split(said, []byte("\n")) {
			lines = append(lines, bytes.TrimRight(line, "\r"))
		}
		all := bytes.Join(lines, []byte("\n"))
		for range 3 {
			body, err := c.Fetch("load")
			if err != nil {
				if body != nil || c.Ask(wire.VerbFetch, "load") == nil {
					t.Fatalf("the session goes on after %v", err)
				}
				return
			}
			if len(body) > 400 || !bytes.Contains(all, append(body, ".\n"...)) {
				t.Fatalf("%q is no terminated answer", body)
			}
		}
	})
}
