package wire

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"
)

// Texts that a node says exactly as Munin's does, because masters know them.
const (
	capabilities   = "cap multigraph dirtyconfig"
	unknownCommand = "# Unknown command. Try cap, list, nodes, config, fetch, version or quit\n"
)

// Errors for which a node ends a session. They are wrapped with what happened.
var (
	// ErrCommandTooLong says that a client sent more than MaxCommandBytes without a line end.
	ErrCommandTooLong = errors.New("the command line is too long")
	// ErrIdle says that a client did not finish a command line, or did not take its answer, in time.
	ErrIdle = errors.New("the client did nothing for too long")
	// ErrSessionOver says that the whole session took longer than it may.
	ErrSessionOver = errors.New("the session took too long")
	// ErrDrained says that the node ended a session that was waiting for its next command.
	ErrDrained = errors.New("the session was ended by the node")
)

// Handler is a consumer contract for one session of a node. It models the node as one client sees it.
type Handler interface {
	// List names the plugins of a node, in the order in which they are told. An empty name is the node
	// itself. Nodes that are not known have none.
	List(ctx context.Context, node string, caps Caps) []string
	// Nodes names the nodes that List knows, the node itself first if it has plugins.
	Nodes(ctx context.Context) []string
	// Run is a plugin's answer to config, or to fetch, as text; what went wrong is a comment in it. The
	// session leaves out what the protocol does not allow and adds the final dot.
	Run(ctx context.Context, plugin string, verb Verb, caps Caps) []byte
}

// ServerOptions are the settings of the node's side of a session. Zero durations mean the defaults.
type ServerOptions struct {
	Name    string        // of the node, as in the banner
	Version string        // of the program
	Idle    time.Duration // for one command line to arrive; 2 minutes
	Write   time.Duration // for the client to take one answer; 1 minute
	Session time.Duration // for the whole session; MaxSession
	// TLS is how sessions are encrypted; nil means that the node does not know STARTTLS.
	TLS *TLS
	// Spool is what the node keeps for masters that were away; nil: nothing.
	Spool Spool
	// Status says how the plugins' last runs went, as munin.AppendPluginStates writes it; nil means that the node
	// does not know the command, which no node of Munin's does.
	Status func(ctx context.Context) []byte
	// Dropped is told of lines of a plugin's output that were left out; nil means nobody is.
	Dropped func(plugin string, lines int)
}

// ServerConn is the node's side of one session.
type ServerConn struct {
	conn   net.Conn
	opts   ServerOptions
	stream net.Conn // what is read and written: conn, or what STARTTLS made of it
	secure bool

	mu      sync.Mutex
	drained bool
	waiting bool      // for a command
	since   time.Time // when waiting last changed
}

// NewServerConn makes the node's side of a session on a connection that was let in. It starts nothing.
func NewServerConn(conn net.Conn, opts ServerOptions) *ServerConn {
	if opts.Idle <= 0 {
		opts.Idle = 2 * time.Minute
	}
	if opts.Write <= 0 {
		opts.Write = time.Minute
	}
	if opts.Session <= 0 {
		opts.Session = MaxSession
	}
	return &ServerConn{conn: conn, stream: conn, opts: opts, since: time.Now()}
}

// Serve says the banner and answers commands, one after the other and each with one write, until the client
// quits or closes, a limit is reached, the session is drained or ctx ends. It closes the connection. The error
// is nil when the client ended the session.
func (c *ServerConn) Serve(ctx context.Context, h Handler) error {
	defer c.hangUp()
	ctx, cancel := context.WithTimeoutCause(ctx, c.opts.Session, ErrSessionOver)
	defer cancel()
	// A session that is over neither reads nor writes any more, whatever it waits for.
	defer context.AfterFunc(ctx, func() { c.conn.Close() })()

	if err := c.write([]byte("# munin node at " + c.opts.Name + "\n")); err != nil {
		return c.explain(ctx, err)
	}
	reader := bufio.NewReaderSize(c.conn, MaxCommandBytes)
	var (
		caps  Caps
		reply []byte
	)
	for {
		line, err := c.readLine(reader)
		if len(line) == 0 && err != nil {
			return c.explain(ctx, err)
		}
		command := ParseCommand(string(line))
		if handled, err := c.control(ctx, command, reader); err != nil {
			return c.explain(ctx, err)
		} else if handled {
			continue
		}
		if command.Verb == VerbCap {
			caps = command.Caps
		}
		if command.Verb == VerbSpoolFetch && c.opts.Spool != nil {
			if err := c.spoolFetch(ctx, command); err != nil {
				return c.explain(ctx, err)
			}
			continue
		}
		reply = c.answer(ctx, h, command, caps, reply[:0])
		if ctx.Err() != nil {
			return c.explain(ctx, ctx.Err())
		}
		if err := c.write(reply); err != nil {
			return c.explain(ctx, err)
		}
		if cap(reply) > MaxCommandBytes*16 {
			reply = nil // A session that waits holds on to little.
		}
		if err != nil {
			return c.explain(ctx, err)
		}
	}
}

// control handles commands about the session itself. The error ends the session; io.EOF is an ordinary end.
func (c *ServerConn) control(ctx context.Context, command Command, reader *bufio.Reader) (handled bool, err error) {
	switch {
	case c.wantsTLS(command):
		_ = c.write([]byte(tlsRequired + "\n")) // It is over either way.
		return true, errWantsTLS
	case command.Verb == VerbStartTLS && c.opts.TLS != nil:
		return true, c.startTLS(ctx, reader)
	case command.Verb == VerbQuit:
		return true, io.EOF
	}
	return false, nil
}

// readLine returns one line without its end. A last line that is ended by the client's closing counts, and
// comes with io.EOF.
func (c *ServerConn) readLine(r *bufio.Reader) ([]byte, error) {
	if err := c.wait(); err != nil {
		return nil, err
	}
	line, err := r.ReadSlice('\n')
	c.mu.Lock()
	c.waiting, c.since = false, time.Now()
	c.mu.Unlock()
	switch {
	case err == nil, errors.Is(err, io.EOF):
		return trimLineEnd(line), err
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, fmt.Errorf("%w: more than %d bytes", ErrCommandTooLong, MaxCommandBytes)
	}
	return nil, err
}

func trimLineEnd(line []byte) []byte {
	return []byte(strings.TrimRight(string(line), "\r\n"))
}

// wait gives the next command line its deadline.
func (c *ServerConn) wait() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.drained {
		return ErrDrained
	}
	c.waiting, c.since = true, time.Now()
	return c.conn.SetReadDeadline(c.since.Add(c.opts.Idle))
}

// Drain ends the session as soon as the command in progress, if any, is answered.
func (c *ServerConn) Drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drained = true
	if c.waiting {
		_ = c.conn.SetReadDeadline(time.Unix(1, 0)) // The connection is given up either way.
	}
}

// Abort ends the session at once, whatever it does.
func (c *ServerConn) Abort() {
	_ = c.conn.Close() // The connection is given up either way.
}

// IdleSince says since when the session has been waiting for a command. While one is answered it is false, with
// the time since when that is so.
func (c *ServerConn) IdleSince() (time.Time, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.since, c.waiting && !c.drained
}

func (c *ServerConn) write(b []byte) error {
	if err := c.conn.SetWriteDeadline(time.Now().Add(c.opts.Write)); err != nil {
		return err
	}
	_, err := c.stream.Write(b)
	return err
}

// explain turns a network error into what happened; an ordinary end of the session is none.
func (c *ServerConn) explain(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	c.mu.Lock()
	drained := c.drained
	c.mu.Unlock()
	switch {
	case errors.Is(err, ErrTLS):
		return err
	case refusedByPeer(err):
		return fmt.Errorf("%w: the master refused this side's certificate, or that there is none: %w", ErrTLS, err)
	case errors.Is(err, io.EOF), c.secure && errors.Is(err, io.ErrUnexpectedEOF):
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded) && drained:
		return ErrDrained
	case errors.Is(err, os.ErrDeadlineExceeded):
		return ErrIdle
	}
	return err
}

// answer appends the whole answer to one command.
func (c *ServerConn) answer(ctx context.Context, h Handler, command Command, caps Caps, b []byte) []byte {
	switch command.Verb {
	case VerbCap:
		b = append(b, capabilities...)
		if c.opts.Spool != nil && c.opts.Spool.Offers(ctx, caps) {
			b = append(b, " spool"...)
		}
		return append(b, '\n')
	case VerbList:
		b = append(b, strings.Join(h.List(ctx, command.Arg, caps), " ")...)
		return append(b, '\n')
	case VerbNodes:
		for _, name := range h.Nodes(ctx) {
			b = append(append(b, name...), '\n')
		}
		return append(b, ".\n"...)
	case VerbConfig, VerbFetch:
		b, dropped := AppendBody(b, h.Run(ctx, command.Arg, command.Verb, caps))
		if dropped > 0 && c.opts.Dropped != nil {
			c.opts.Dropped(command.Arg, dropped)
		}
		return append(b, ".\n"...)
	case VerbVersion:
		return append(b, "munins node on "+c.opts.Name+" version: "+c.opts.Version+"\n"...)
	case VerbStatus:
		if c.opts.Status != nil {
			b, _ = AppendBody(b, c.opts.Status(ctx))
			return append(b, ".\n"...)
		}
	case VerbUnknown, VerbStartTLS, VerbSpoolFetch, VerbQuit: // Quit never gets here.
	}
	return append(b, unknownCommand...)
}
