package wire

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"corbie/munin"
)

// ClientOptions are the limits of a session as the asking side sees it. Zero values mean the defaults.
type ClientOptions struct {
	Idle     time.Duration // longest silence, except while a plugin may be running; 30 s
	Answer   time.Duration // longest time for one answer, begun when the one before was complete; 65 s
	Deadline time.Time     // end of the whole session; zero: none
	Line     int           // bytes of one line; MaxLineBytes
	Reply    int           // bytes of one answer; MaxReplyBytes
	Scratch  *Scratch      // memory of a Client that was closed, to be used again; nil: none
}

// Scratch is memory that Clients use one after the other, so that a program with many sessions makes less garbage.
// The zero Scratch is ready. It belongs to one Client at a time, until Close.
type Scratch struct {
	buf       *bufio.Reader
	out, body []byte
}

// keepBytes is how much a Scratch keeps at most of one kind.
const keepBytes = 128 << 10

func (s *Scratch) take(c *Client) {
	if s.buf == nil {
		s.buf = bufio.NewReaderSize(c.in, readBytes)
	}
	s.buf.Reset(c.in)
	c.buf, c.out, c.body = s.buf, s.out[:0], s.body[:0]
	s.buf, s.out, s.body = nil, nil, nil
}

func (s *Scratch) giveBack(c *Client) {
	if c.buf == nil {
		return
	}
	c.buf.Reset(nil)
	s.buf, c.buf = c.buf, nil
	if cap(c.out) <= keepBytes {
		s.out = c.out
	}
	if cap(c.body) <= keepBytes {
		s.body = c.body
	}
	c.out, c.body = nil, nil
}

// Client is the asking side of one session. It is for one goroutine; to interrupt it, close the connection.
// After the first error it stays failed: every method then returns that error.
type Client struct {
	opts    ClientOptions
	in      *timedReader
	buf     *bufio.Reader
	conn    net.Conn // encrypted after StartTLS
	pending []question
	out     []byte // asked, but not sent yet: questions that can leave together do
	body    []byte // of the answer that was read last
	capLine string // the node's answer to capCommand, with which it proves to be in step
	err     error
	done    time.Time // when the last answer was complete

	encrypted bool
}

type question struct {
	verb   Verb
	plugin string
	asked  string
	sent   time.Time
}

// Answer is the body of one config or fetch answer, without the final dot. The body is valid until the client reads
// the next one.
type Answer struct {
	Verb   Verb
	Plugin string
	Body   []byte
	Took   time.Duration // since it was the node's turn to answer it
}

// capCommand opens a session, and follows every question after that: see the package comment.
const capCommand = "cap multigraph dirtyconfig spool"

// NewClient makes the asking side of a session on an open connection. It starts nothing.
func NewClient(conn net.Conn, opts ClientOptions) *Client {
	if opts.Idle <= 0 {
		opts.Idle = 30 * time.Second
	}
	if opts.Answer <= 0 {
		opts.Answer = 65 * time.Second
	}
	if opts.Line <= 0 {
		opts.Line = MaxLineBytes
	}
	if opts.Reply <= 0 {
		opts.Reply = MaxReplyBytes
	}
	in := &timedReader{conn: conn, ack: quickAck(conn), session: opts.Deadline}
	if opts.Scratch == nil {
		opts.Scratch = new(Scratch)
	}
	c := &Client{opts: opts, conn: conn, in: in, done: time.Now()}
	opts.Scratch.take(c)
	in.flush = c.flush
	return c
}

// readBytes is how much is read at once.
const readBytes = 16 << 10

// Received is the number of bytes that came so far.
func (c *Client) Received() int64 { return c.in.bytes }

// Greet reads the node's banner and returns the name that it gives itself. Other lines before it are skipped,
// because a shell or an ssh server may say something first; an empty line ends the attempt.
func (c *Client) Greet() (name string, err error) {
	if err := c.begin("banner", c.opts.Idle); err != nil {
		return "", err
	}
	first, read := "", 0
	for {
		line, err := c.line("banner")
		if err != nil {
			return "", c.noBanner(err, first)
		}
		if name, ok := bannerName(line); ok {
			c.done = time.Now()
			return name, nil
		}
		text := Excerpt(line)
		if first == "" {
			first = text
		}
		read += len(line)
		if text == "" || read > bannerBytes {
			return "", c.fail("banner", ErrNoBanner, "it said "+quoted(first), nil)
		}
	}
}

// bannerBytes is how much a connection may say before its banner.
const bannerBytes = 64 << 10

// noBanner makes an end of the connection before the banner a node's refusal, which it usually is.
func (c *Client) noBanner(err error, first string) error {
	if errors.Is(err, ErrSilent) && first != "" {
		c.err = nil
		return c.fail("banner", ErrNoBanner, "it said "+quoted(first)+", and then nothing for "+words(c.opts.Idle), nil)
	}
	if !errors.Is(err, ErrHungUp) {
		return err
	}
	var cause *SessionError
	if errors.As(err, &cause) && cause.Err != nil {
		err = cause.Err
	}
	c.err = nil
	if first != "" {
		return c.fail("banner", ErrNoBanner, "it said "+quoted(first)+" and closed the connection", nil)
	}
	if errors.Is(err, ErrHungUp) {
		err = nil
	}
	return c.fail("banner", ErrNoBanner,
		"it closed the connection without a word; see whether allow or cidr_allow in its munin-node.conf names this machine", err)
}

// bannerName finds the name in "# munin node at NAME", "# lrrd client at NAME", in any case.
func bannerName(line []byte) (string, bool) {
	words := strings.Fields(string(line))
	for i := 0; i+3 < len(words); i++ {
		who, what, at := strings.ToLower(words[i]), strings.ToLower(words[i+1]), strings.ToLower(words[i+2])
		if (who == "munin" || who == "lrrd") && (what == "node" || what == "client") && at == "at" && words[0][0] == '#' {
			name := munin.CleanText(words[i+3])
			return name, name != "" && len(name) <= munin.MaxNameBytes
		}
	}
	return "", false
}

// Cap tells the node what this side can do and returns the capabilities that the node has, none where it does
// not know the command. It must be the first question.
func (c *Client) Cap() ([]string, error) {
	if err := c.begin("cap", c.opts.Idle); err != nil {
		return nil, err
	}
	if err := c.write("cap", capCommand+"\n"); err != nil {
		return nil, err
	}
	line, err := c.line("cap")
	if err != nil {
		return nil, err
	}
	c.done = time.Now()
	c.capLine = string(bytes.TrimSpace(line))
	if strings.HasPrefix(c.capLine, tlsRequired) {
		return nil, c.fail("cap", ErrTLS, "the node wants TLS; set tls for this host", nil)
	}
	words := strings.Fields(c.capLine)
	if len(words) == 0 || words[0] != "cap" {
		return nil, nil
	}
	return words[1:], nil
}

// List asks for the plugins of a node; an empty name asks for those of the node itself. The names come as they
// were said: validate them.
func (c *Client) List(node string) ([]string, error) {
	line, err := c.oneLine(strings.TrimSpace("list " + node))
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(line, "#") {
		return nil, c.fail("list", ErrOutOfStep, "it said "+quoted(Excerpt([]byte(line))), nil)
	}
	return strings.Fields(line), nil
}

// oneLine asks a question that is answered with one line without a dot.
func (c *Client) oneLine(command string) (string, error) {
	word, _, _ := strings.Cut(command, " ")
	if err := c.idleQuestion(word, command); err != nil {
		return "", err
	}
	line, err := c.line(word)
	if err != nil {
		return "", err
	}
	text := string(line)
	return text, c.step(word)
}

// Nodes asks for the names of the nodes that are behind this connection.
func (c *Client) Nodes() ([]string, error) {
	if err := c.idleQuestion("nodes", "nodes"); err != nil {
		return nil, err
	}
	body, proved, err := c.readBody("nodes")
	if err != nil {
		return nil, err
	}
	if !proved {
		err = c.step("nodes")
	}
	var names []string
	for line := range strings.Lines(string(body)) {
		if !strings.HasPrefix(line, "#") {
			names = append(names, strings.Fields(line)...)
		}
	}
	return names, err
}

// SpoolFetch asks for what a node has kept since a time, in seconds since 1970: configs, and values with their
// times, of all plugins, valid until the next body is read. The node is one that List knows; empty is the node
// itself. It is false for a node that does not know the command.
func (c *Client) SpoolFetch(since int64, node string) (body []byte, ok bool, err error) {
	const word = "spoolfetch"
	if err := c.idleQuestion(word, strings.TrimSpace(fmt.Sprintf("%s %d %s", word, max(since, 0), node))); err != nil {
		return nil, false, err
	}
	limit := c.opts.Reply
	c.opts.Reply = max(limit, MaxReplyBytes)
	c.in.answer = time.Now().Add(MaxSession) // It may be long: silence and the end of the session are what limits it.
	body, proved, err := c.readBody(word)
	c.opts.Reply = limit
	if err != nil || proved {
		return nil, false, err
	}
	return body, true, c.step(word)
}

// idleQuestion sends a command that the node answers at once.
func (c *Client) idleQuestion(word, command string) error {
	if c.err != nil {
		return c.err
	}
	if len(c.pending) > 0 {
		return fmt.Errorf("%s: %d questions are still to be answered", word, len(c.pending))
	}
	if err := c.begin(word, c.opts.Idle); err != nil {
		return err
	}
	return c.write(word, command+"\n"+capCommand+"\n")
}

// Ask poses a config or fetch question without waiting for its answer, which Next returns. Questions are sent
// when Next has to wait for the node, and answered in the order in which they were asked. Keep few in flight: a node that is writing an answer need not
// be reading.
func (c *Client) Ask(verb Verb, plugin string) error {
	word := "config"
	switch verb {
	case VerbConfig:
	case VerbFetch:
		word = "fetch"
	default:
		return fmt.Errorf("ask %s: only config and fetch can be asked", plugin)
	}
	if err := munin.ValidatePluginName(plugin); err != nil {
		return fmt.Errorf("ask: %w", err)
	}
	asked := word + " " + plugin
	if c.err != nil {
		return c.err
	}
	if len(c.pending) == 0 && c.buf.Buffered() > 0 {
		return c.unasked(asked)
	}
	c.out = append(append(c.out, asked...), "\n"+capCommand+"\n"...)
	c.pending = append(c.pending, question{verb: verb, plugin: plugin, asked: asked, sent: time.Now()})
	return nil
}

// InFlight is the number of questions that were asked and not answered yet.
func (c *Client) InFlight() int { return len(c.pending) }

// Next waits for the answer to the oldest question. It returns an answer only after the node proved that it is
// in step; with an error, the oldest question was not answered.
func (c *Client) Next() (Answer, error) {
	if c.err != nil {
		return Answer{}, c.err
	}
	if len(c.pending) == 0 {
		return Answer{}, errors.New("next: nothing was asked")
	}
	q := c.pending[0]
	turn := c.done
	if q.sent.After(turn) {
		turn = q.sent
	}
	c.in.idle, c.in.idleFrom = c.opts.Idle, c.in.bytes
	if c.buf.Buffered() > 0 {
		c.in.idleFrom = 0
	}
	c.in.answer, c.in.began = turn.Add(c.opts.Answer), turn
	body, proved, err := c.readBody(q.asked)
	if err != nil {
		return Answer{}, err
	}
	if proved {
		return Answer{}, c.fail(q.asked, ErrOutOfStep, "it did not end its answer with a dot, and said "+quoted(Excerpt(body)), nil)
	}
	if err := c.step(q.asked); err != nil {
		return Answer{}, err
	}
	c.pending = slices.Delete(c.pending, 0, 1)
	return Answer{Verb: q.verb, Plugin: q.plugin, Body: body, Took: c.done.Sub(turn)}, nil
}

// Config asks for a plugin's config and waits for it.
func (c *Client) Config(plugin string) ([]byte, error) { return c.askOne(VerbConfig, plugin) }

// Fetch asks for a plugin's values and waits for them.
func (c *Client) Fetch(plugin string) ([]byte, error) { return c.askOne(VerbFetch, plugin) }

func (c *Client) askOne(verb Verb, plugin string) ([]byte, error) {
	if c.err != nil {
		return nil, c.err
	}
	if len(c.pending) > 0 {
		return nil, fmt.Errorf("ask %s: %d questions are still to be answered", plugin, len(c.pending))
	}
	if err := c.Ask(verb, plugin); err != nil {
		return nil, err
	}
	answer, err := c.Next()
	return bytes.Clone(answer.Body), err
}

// Close takes leave of the node where that is possible, and closes the connection.
func (c *Client) Close() error {
	if c.err == nil && len(c.pending) == 0 {
		_ = c.write("quit", "quit \n") // The node sees the end of the connection as well.
	}
	if c.err == nil {
		c.err = net.ErrClosed
	}
	c.opts.Scratch.giveBack(c)
	return c.conn.Close()
}

// tellingBytes is how long an answer to capCommand has to be for no plugin to end a line with it by chance.
const tellingBytes = 8
