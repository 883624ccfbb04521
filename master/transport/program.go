package transport

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"corbie/munin"
)

const (
	// mercy is how long a program may take to end when its session is over.
	mercy = 2 * time.Second
	// lastWords is how long a session that ended too soon waits for the program to say why.
	lastWords = time.Second
	// maxTalk is how much of a program's stderr is kept for messages.
	maxTalk = 2 << 10
)

// program is a connection through a program: one socket is its input and output.
type program struct {
	net.Conn

	name  string
	cmd   *exec.Cmd
	talk  *head
	ended chan struct{}
	err   error // of the program; to be read when ended is closed
	once  sync.Once
}

// start runs a program with a socket for input and output. What it says on stderr is read all the time, so that it can
// never be blocked by it.
func start(argv []string) (net.Conn, error) {
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, fmt.Errorf("make a socket for %s: %w", argv[0], err)
	}
	defer theirs.Close()
	p := &program{Conn: ours, name: argv[0], talk: &head{}, ended: make(chan struct{})}
	p.cmd = exec.Command(argv[0], argv[1:]...) //nolint:gosec,noctx // the administrator's command, without a shell; Close ends it
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = theirs, theirs, p.talk
	p.cmd.Dir = "/"
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.cmd.WaitDelay = mercy
	if err := p.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", argv[0], err), ours.Close())
	}
	go func() {
		defer close(p.ended)
		p.err = p.cmd.Wait()
	}()
	return p, nil
}

// socketPair is a connection whose other end a child can inherit.
func socketPair() (net.Conn, *os.File, error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	mine, theirs := os.NewFile(uintptr(fds[0]), "session"), os.NewFile(uintptr(fds[1]), "session")
	defer mine.Close()
	conn, err := net.FileConn(mine)
	if err != nil {
		return nil, nil, errors.Join(err, theirs.Close())
	}
	return conn, theirs, nil
}

// Read implements net.Conn. When the program has ended, the error says why, instead of io.EOF.
func (p *program) Read(b []byte) (int, error) {
	n, err := p.Conn.Read(b)
	if err == nil || !errors.Is(err, io.EOF) {
		return n, err
	}
	timer := time.NewTimer(lastWords)
	defer timer.Stop()
	select {
	case <-p.ended:
	case <-timer.C:
		return n, err
	}
	said := p.talk.String()
	switch {
	case p.err == nil && said == "":
		return n, err
	case p.err == nil:
		return n, fmt.Errorf("%s ended and said %q", p.name, said)
	case said == "":
		return n, fmt.Errorf("%s: %w", p.name, p.err)
	}
	return n, fmt.Errorf("%s: %w, it said %q", p.name, p.err, said)
}

// Close ends the session, and the program with all that it started: politely first. It does not wait.
func (p *program) Close() error {
	err := p.Conn.Close()
	p.once.Do(func() {
		p.signal(syscall.SIGTERM)
		go func() {
			timer := time.NewTimer(mercy)
			defer timer.Stop()
			select {
			case <-p.ended:
			case <-timer.C:
				p.signal(syscall.SIGKILL)
			}
		}()
	})
	return err
}

// signal reaches the program and its children, unless it has ended: its number may be another's by then.
func (p *program) signal(s syscall.Signal) {
	select {
	case <-p.ended:
	default:
		_ = syscall.Kill(-p.cmd.Process.Pid, s)
	}
}

// head keeps the beginning of what is written to it.
type head struct {
	mu   sync.Mutex
	text []byte
}

// Write implements io.Writer and takes everything.
func (h *head) Write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.text = append(h.text, b[:min(len(b), maxTalk-len(h.text))]...)
	return len(b), nil
}

func (h *head) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return munin.CleanText(string(h.text))
}
