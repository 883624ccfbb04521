package runner

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	chunkBytes  = 4 << 10
	stderrBytes = 16 << 10 // of the end of standard error are kept
	stderrLines = 40
	// pipeBytes is more than a pipe can hold, unless root enlarged it.
	pipeBytes = 1 << 20
)

// pipe reads one of a program's outputs.
type pipe struct {
	reader, writer *os.File
	limit          int
	tail           bool // keep the end of what is too long instead of its beginning
	data           []byte
	full           chan struct{} // closed when there was more than limit; never for a tail
	done           chan struct{} // closed when reading is over
	started        bool
}

func newPipe(limit int) (*pipe, error) {
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	return &pipe{
		reader: reader, writer: writer, limit: limit,
		full: make(chan struct{}), done: make(chan struct{}),
	}, nil
}

func newTailPipe() (*pipe, error) {
	p, err := newPipe(stderrBytes)
	if err == nil {
		p.tail = true
	}
	return p, err
}

// start begins to read, after the program got its end of the pipe.
func (p *pipe) start() {
	_ = p.writer.Close() // The program has it now.
	p.started = true
	go func() {
		defer close(p.done)
		p.read()
	}()
}

func (p *pipe) read() {
	chunk := make([]byte, chunkBytes)
	for {
		n, err := p.reader.Read(chunk)
		if !p.keep(chunk[:n]) {
			return
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			p.drain(chunk)
		}
		if err != nil {
			return
		}
	}
}

// keep takes what was read and says whether there may be more.
func (p *pipe) keep(b []byte) bool {
	p.data = append(p.data, b...)
	if len(p.data) <= p.limit {
		return true
	}
	if p.tail {
		if len(p.data) > 2*p.limit {
			p.data = append(p.data[:0], p.data[len(p.data)-p.limit:]...)
		}
		return true
	}
	p.data = p.data[:p.limit]
	close(p.full)
	return false
}

// drain reads what is in the pipe already. A deadline that has passed hides it from Read, however long it has
// been there.
func (p *pipe) drain(chunk []byte) {
	conn, err := p.reader.SyscallConn()
	if err != nil || p.reader.SetReadDeadline(time.Time{}) != nil {
		return
	}
	for total := 0; total < pipeBytes; {
		n := 0
		err := conn.Read(func(fd uintptr) bool {
			n, _ = unix.Read(int(fd), chunk) // Nothing there is -1, and the end like any other.
			return true
		})
		if err != nil || n <= 0 || !p.keep(chunk[:n]) {
			return
		}
		total += n
	}
}

// finish gives whoever still holds the other end a last moment and returns all that was read.
func (p *pipe) finish(linger time.Duration) []byte {
	if p.reader.SetReadDeadline(time.Now().Add(linger)) != nil {
		_ = p.reader.Close() // So that reading ends all the same.
	}
	<-p.done
	if p.tail && len(p.data) > p.limit {
		return p.data[len(p.data)-p.limit:]
	}
	return p.data
}

func (p *pipe) close() {
	_ = p.reader.Close()
	if !p.started {
		_ = p.writer.Close()
	}
}

// lastLines splits the end of standard error into lines.
func lastLines(b []byte) []string {
	if len(b) == 0 {
		return nil
	}
	lines := strings.FieldsFunc(string(b), func(r rune) bool { return r == '\n' || r == '\r' })
	return lines[max(0, len(lines)-stderrLines):]
}
