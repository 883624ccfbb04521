package wire

import (
	"bytes"
	"net"
)

// lineConn writes each line as a TLS record of its own. Munin's master and node take what is in one record for
// one line, whatever is in it. For the network it is still one write, or few.
type lineConn struct {
	net.Conn // the TLS connection

	under *batchConn
}

// Write implements io.Writer.
func (c *lineConn) Write(b []byte) (int, error) {
	c.under.hold = true
	defer func() { c.under.hold = false }()
	written := 0
	for line := range bytes.Lines(b) {
		n, err := c.Conn.Write(line)
		written += n
		if err != nil {
			return written, err
		}
	}
	return written, c.under.flush()
}

// batchConn is what a TLS connection runs on. It can hold back what is written, so that many records make one
// packet, and can begin with something that was read before. It is written to by one goroutine at a time.
type batchConn struct {
	net.Conn

	early []byte // comes before what is read from the connection
	hold  bool
	held  []byte
}

// maxHeld is how much is held back at most.
const maxHeld = 64 << 10

// Read implements io.Reader.
func (c *batchConn) Read(b []byte) (int, error) {
	if len(c.early) == 0 {
		return c.Conn.Read(b)
	}
	n := copy(b, c.early)
	c.early = c.early[n:]
	return n, nil
}

// Write implements io.Writer.
func (c *batchConn) Write(b []byte) (int, error) {
	if !c.hold {
		return c.Conn.Write(b)
	}
	c.held = append(c.held, b...)
	if len(c.held) < maxHeld {
		return len(b), nil
	}
	return len(b), c.flush()
}

// flush writes what was held back.
func (c *batchConn) flush() error {
	if len(c.held) == 0 {
		return nil
	}
	_, err := c.Conn.Write(c.held)
	c.held = c.held[:0]
	if cap(c.held) > 2*maxHeld {
		c.held = nil
	}
	return err
}
