package wire

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"
)

// What the two sides say before a handshake. With "OK" the node is the TLS server. With "MAYBE" it has no key,
// and the side that asked is the server, with its own.
const (
	tlsCommand  = "STARTTLS"
	tlsOK       = "TLS OK"
	tlsMaybe    = "TLS MAYBE"
	tlsRequired = "# I require TLS. Closing."
)

// flipPause is how long a node waits after "TLS MAYBE" before it begins the handshake. Munin's master reads
// that line through a buffer, and what it finds there behind the line is lost.
const flipPause = 100 * time.Millisecond

// errWantsTLS says that a client did not begin with STARTTLS where it has to.
var errWantsTLS = fmt.Errorf("%w: the client did not ask for it", ErrTLS)

// startTLS answers STARTTLS and makes the rest of the session run through the encrypted stream.
func (c *ServerConn) startTLS(ctx context.Context, reader *bufio.Reader) error {
	switch {
	case c.secure:
		return fmt.Errorf("%w twice", ErrTLS)
	case reader.Buffered() > 0:
		// Who sits in between could put commands there that seem to come out of the encrypted stream.
		return fmt.Errorf("%w: the client went on before it was answered", ErrTLS)
	}
	keys := c.opts.TLS.refresh()
	if keys.cert == nil && c.opts.TLS.settings.Mode == TLSParanoid {
		return fmt.Errorf("%w: the node is paranoid and has no key", ErrTLS)
	}
	answer := tlsOK
	if keys.cert == nil {
		answer = tlsMaybe
	}
	if err := c.write([]byte(answer + "\n")); err != nil {
		return err
	}
	const node = asking(false)
	under := &batchConn{Conn: c.conn}
	var secure *tls.Conn
	if answer == tlsOK {
		secure = tls.Server(under, c.opts.TLS.config(keys, node, true))
	} else {
		pause(ctx, flipPause)
		secure = tls.Client(under, c.opts.TLS.config(keys, node, false))
	}
	if err := handshake(ctx, c.conn, secure, time.Time{}); err != nil {
		c.linger()
		return err
	}
	c.secure, c.stream = true, &lineConn{Conn: secure, under: under}
	reader.Reset(secure)
	return nil
}

// handshake encrypts a connection, in time. Nothing that was read before counts.
func handshake(ctx context.Context, conn net.Conn, secure *tls.Conn, end time.Time) error {
	deadline := time.Now().Add(handshakeTime)
	if !end.IsZero() && end.Before(deadline) {
		deadline = end
	}
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	if err := secure.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("%w: the handshake failed: %w%s", ErrTLS, err, handshakeAdvice(err))
	}
	return conn.SetDeadline(time.Time{})
}

func handshakeAdvice(err error) string {
	var network *net.OpError
	var record tls.RecordHeaderError
	switch {
	case refusedByPeer(err):
		return "; the other side refused: its log says why, and its CA must have signed the certificate of this one"
	case errors.As(err, &record):
		return "; the other side does not speak TLS 1.2 or newer, or no TLS at all"
	case errors.As(err, &network) && network.Timeout():
		return "; the other side is silent"
	}
	return ""
}

// refusedByPeer says whether the other side ended the TLS connection with an alert.
func refusedByPeer(err error) bool {
	var network *net.OpError
	return errors.As(err, &network) && network.Op == "remote error"
}

// refusedAfterwards is said for a node that closes the connection after the handshake. With TLS 1.3 a side learns
// only then that its certificate was refused.
const refusedAfterwards = "the node refused the certificate of this side, or that there is none; its log says why"

// refused says whether a connection that ended did so for this side's certificate.
func (c *Client) refused(asked string, err error) bool {
	return c.encrypted && (refusedByPeer(err) || asked == "cap" && !errors.Is(err, os.ErrDeadlineExceeded))
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// StartTLS asks the node to encrypt the session, as the mode wants it. It comes after Greet and before anything
// else. The result is false when the node cannot and the mode is TLSAuto: the session then goes on in the clear.
func (c *Client) StartTLS(ctx context.Context, t *TLS) (bool, error) {
	if t == nil || t.settings.Mode == TLSDisabled {
		return false, c.err
	}
	if err := c.begin(tlsCommand, c.opts.Idle); err != nil {
		return false, err
	}
	keys := t.refresh()
	if keys.cert == nil && t.settings.Mode == TLSParanoid {
		return false, c.fail(tlsCommand, ErrTLS, "tls is paranoid, which needs a key and a certificate", t.Check().Key)
	}
	under := &batchConn{Conn: c.conn}
	secure, err := c.askTLS(t, keys, under)
	if err != nil || secure == nil {
		return false, err
	}
	if err := handshake(ctx, c.conn, secure, c.opts.Deadline); err != nil {
		c.err = &SessionError{Asked: tlsCommand, Kind: ErrTLS, Detail: strings.TrimPrefix(err.Error(), ErrTLS.Error()+": ")}
		return false, c.err
	}
	c.conn, c.in.conn, c.done = &lineConn{Conn: secure, under: under}, secure, time.Now()
	c.buf.Reset(c.in)
	c.encrypted = true
	return true, nil
}

// askTLS says STARTTLS and makes what is needed for the handshake out of the node's answer; nil means that the
// session goes on in the clear.
func (c *Client) askTLS(t *TLS, keys tlsKeys, under *batchConn) (*tls.Conn, error) {
	if err := c.write(tlsCommand, tlsCommand+"\n"); err != nil {
		return nil, err
	}
	line, err := c.line(tlsCommand)
	if err != nil {
		return nil, err
	}
	const master = asking(true)
	switch answer := strings.ToUpper(string(bytes.TrimSpace(line))); {
	case strings.HasPrefix(answer, tlsOK) && c.buf.Buffered() > 0:
		return nil, c.unasked(tlsCommand)
	case strings.HasPrefix(answer, tlsOK):
		return tls.Client(under, t.config(keys, master, false)), nil
	case strings.HasPrefix(answer, tlsMaybe):
		if keys.cert == nil {
			if keys.cert, err = makeCertificate(); err != nil {
				return nil, c.fail(tlsCommand, ErrTLS, "", err)
			}
		}
		early, _ := c.buf.Peek(c.buf.Buffered()) // The node's side of the handshake may be there already.
		under.early = bytes.Clone(early)
		return tls.Server(under, t.config(keys, master, true)), nil
	case !t.settings.Mode.Required():
		c.done = time.Now()
		return nil, nil //nolint:nilnil // see above
	}
	return nil, c.fail(tlsCommand, ErrTLS, "the node does not know how, it said "+quoted(Excerpt(line)), nil)
}

// wantsTLS says that a command came in the clear where nothing but STARTTLS may.
func (c *ServerConn) wantsTLS(command Command) bool {
	return c.opts.TLS != nil && c.opts.TLS.settings.Mode.Required() && !c.secure && command.Verb != VerbStartTLS
}

// hangUp closes the connection. A client whose session is encrypted is told first, so that it can tell the end
// from an attack.
func (c *ServerConn) hangUp() {
	if c.secure {
		_ = c.stream.Close() // It closes the connection as well, and nobody is left to be told.
	}
	_ = c.conn.Close()
}

// linger lets the client read why it was refused: to close while it still writes would take that from it.
func (c *ServerConn) linger() {
	const (
		longest = time.Second
		most    = 64 << 10
	)
	half, ok := c.conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil || c.conn.SetReadDeadline(time.Now().Add(longest)) != nil {
		return
	}
	_, _ = io.CopyN(io.Discard, c.conn, most) // Until the client closes, mostly.
}
