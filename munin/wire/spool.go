package wire

import (
	"bufio"
	"context"
	"io"
)

// Spool is a consumer contract for what a node keeps for masters that were away. It models the spool as one
// session sees it.
type Spool interface {
	// Offers says whether a client with these abilities is to be told of the spool. One that cannot name the
	// node it wants must not be, where there are several.
	Offers(ctx context.Context, caps Caps) bool
	// Fetch writes config and values of a node that are newer than a time in seconds since 1970, as lines
	// without a lone dot among them; an empty name is the node itself. After an error the session is given up.
	Fetch(ctx context.Context, w io.Writer, node string, since int64) error
}

// spoolFetch answers in pieces, each with a deadline of its own. Without the final dot the client knows that the
// answer is not whole.
func (c *ServerConn) spoolFetch(ctx context.Context, command Command) error {
	const piece = 32 << 10
	w := bufio.NewWriterSize(writerFunc(func(b []byte) (int, error) { return len(b), c.write(b) }), piece)
	if err := c.opts.Spool.Fetch(ctx, w, command.Arg, command.Since); err != nil {
		return err
	}
	if _, err := w.WriteString(".\n"); err != nil {
		return err
	}
	return w.Flush()
}

// writerFunc is a function as an io.Writer.
type writerFunc func(b []byte) (int, error)

// Write implements io.Writer.
func (f writerFunc) Write(b []byte) (int, error) { return f(b) }
