package wire

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// begin prepares for an answer that a node gives at once.
func (c *Client) begin(asked string, idle time.Duration) error {
	if c.err != nil {
		return c.err
	}
	if c.buf.Buffered() > 0 {
		return c.unasked(asked)
	}
	now := time.Now()
	c.in.idle, c.in.idleFrom = idle, 0
	c.in.answer, c.in.began = now.Add(c.opts.Answer), now
	return nil
}

func (c *Client) unasked(asked string) error {
	early, _ := c.buf.Peek(c.buf.Buffered())
	return c.fail(asked, ErrOutOfStep, "before that was asked, it said "+quoted(Excerpt(early)), nil)
}

// readBody reads up to the lone dot. proved says that the proof of being in step came instead of the dot. The body is
// valid until the next one is read.
func (c *Client) readBody(asked string) (body []byte, proved bool, err error) {
	body = c.body[:0]
	defer func() { c.body = body[:0] }()
	for {
		line, err := c.line(asked)
		switch {
		case err != nil:
			return body[:0], false, err
		case len(line) == 1 && line[0] == '.':
			return body, false, nil
		case c.capLine != "" && string(bytes.TrimSpace(line)) == c.capLine:
			return body, true, nil
		case len(c.capLine) >= tellingBytes && bytes.HasSuffix(bytes.TrimSpace(line), []byte(c.capLine)):
			// The end of this answer is lost: what follows belongs to the next.
			return body[:0], false, c.fail(asked, ErrOutOfStep, "in the middle of the answer it said "+quoted(Excerpt(line)), nil)
		case len(body)+len(line) >= c.opts.Reply:
			return body[:0], false, c.fail(asked, ErrLongReply, fmt.Sprintf("more than %d bytes", c.opts.Reply), nil)
		}
		body = append(append(body, line...), '\n')
	}
}

// step reads the node's proof that it is in step: its answer to the cap command that followed the question.
func (c *Client) step(asked string) error {
	line, err := c.line(asked)
	if err != nil {
		return err
	}
	if string(bytes.TrimSpace(line)) != c.capLine {
		return c.fail(asked, ErrOutOfStep, "after the answer it said "+quoted(Excerpt(line)), nil)
	}
	c.done = time.Now()
	return nil
}

// line reads one line without its end. It is valid until the next read.
func (c *Client) line(asked string) ([]byte, error) {
	if c.err != nil {
		return nil, c.err
	}
	var long []byte
	for {
		piece, err := c.buf.ReadSlice('\n')
		if len(long)+len(piece) > c.opts.Line {
			return nil, c.fail(asked, ErrLongLine, fmt.Sprintf("more than %d bytes", c.opts.Line), nil)
		}
		switch {
		case err == nil && long == nil:
			return bytes.TrimRight(piece, "\r\n"), nil
		case err == nil:
			return bytes.TrimRight(append(long, piece...), "\r\n"), nil
		case errors.Is(err, bufio.ErrBufferFull):
			long = append(long, piece...)
		default:
			return nil, c.readFailed(asked, err)
		}
	}
}

func (c *Client) readFailed(asked string, err error) error {
	switch {
	case c.err != nil:
		return c.err // What was to be sent before could not be sent.
	case c.refused(asked, err):
		return c.fail(asked, ErrTLS, refusedAfterwards, err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		detail, kind := c.in.expired(asked)
		return c.fail(asked, kind, detail, nil)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrClosedPipe), c.encrypted && errors.Is(err, io.ErrUnexpectedEOF):
		return c.fail(asked, ErrHungUp, "", nil)
	}
	return c.fail(asked, ErrHungUp, "", err)
}

// flush sends the questions that were not sent yet.
func (c *Client) flush() error {
	if len(c.out) == 0 {
		return nil
	}
	asked := ""
	if len(c.pending) > 0 {
		asked = c.pending[0].asked
	}
	return c.write(asked, "")
}

// write sends a text, after what was not sent yet.
func (c *Client) write(asked, text string) error {
	c.out = append(c.out, text...)
	defer func() { c.out = c.out[:0] }()
	deadline := time.Now().Add(c.opts.Idle)
	if end := c.opts.Deadline; !end.IsZero() && end.Before(deadline) {
		deadline = end
	}
	if err := c.conn.SetWriteDeadline(deadline); err != nil {
		return c.fail(asked, ErrHungUp, "", err)
	}
	if _, err := c.conn.Write(c.out); err != nil {
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return c.fail(asked, ErrSilent, "it does not read what is asked", nil)
		case c.refused(asked, err):
			return c.fail(asked, ErrTLS, refusedAfterwards, err)
		}
		return c.fail(asked, ErrHungUp, "", err)
	}
	return nil
}

func (c *Client) fail(asked string, kind error, detail string, err error) error {
	c.err = &SessionError{Asked: asked, Kind: kind, Detail: detail, Err: err}
	return c.err
}
