package testenv

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Process is a program that runs beside the test, with what it writes to stderr.
type Process struct {
	Cmd  *exec.Cmd
	name string

	mu    sync.Mutex
	log   bytes.Buffer
	asked int           // bytes of the log that WaitFor has looked at
	more  chan struct{} // the log has grown
	done  chan struct{}
	err   error // how it ended, once done
}

// Start starts a program, called by name in messages. When the test ends it is killed, and its log shown if the test failed,
// as it does where a program built with -race has logged a race.
func Start(tb testing.TB, name string, cmd *exec.Cmd) *Process {
	tb.Helper()
	p := &Process{Cmd: cmd, name: name, more: make(chan struct{}, 1), done: make(chan struct{})}
	pipe, err := cmd.StderrPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	go func() {
		defer close(p.done)
		p.read(pipe)
		p.err = cmd.Wait()
	}()
	tb.Cleanup(func() {
		p.Kill()
		if strings.Contains(p.Log(), "WARNING: DATA RACE") {
			tb.Errorf("the race detector has found something in %s", name)
		}
		if tb.Failed() {
			tb.Logf("log of %s:\n%s", name, p.Log())
		}
	})
	return p
}

func (p *Process) read(stderr io.Reader) {
	lines := bufio.NewReader(stderr)
	for {
		line, err := lines.ReadBytes('\n')
		p.mu.Lock()
		p.log.Write(line)
		p.mu.Unlock()
		select {
		case p.more <- struct{}{}:
		default:
		}
		if err != nil {
			return // It ended, or was killed.
		}
	}
}

// Log is what it has written to stderr so far.
func (p *Process) Log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// Kill ends it at once, as kill -9 does, if it still runs.
func (p *Process) Kill() {
	_ = p.Cmd.Process.Kill() // It may have ended by itself.
	<-p.done
}

// Signal sends it a signal.
func (p *Process) Signal(tb testing.TB, s syscall.Signal) {
	tb.Helper()
	if err := p.Cmd.Process.Signal(s); err != nil {
		tb.Fatalf("%s to %s: %v", s, p.name, err)
	}
}

// Stop tells it to end, and wants it to end well.
func (p *Process) Stop(tb testing.TB) {
	tb.Helper()
	p.Signal(tb, syscall.SIGTERM)
	if err := p.Wait(tb); err != nil {
		tb.Errorf("%s ended with %v:\n%s", p.name, err, p.Log())
	}
}

// Wait waits for its end, and returns what os/exec says of it.
func (p *Process) Wait(tb testing.TB) error {
	tb.Helper()
	select {
	case <-p.done:
		return p.err
	case <-time.After(Patience):
		tb.Fatalf("%s did not end in %v:\n%s", p.name, Patience, p.Log())
		return nil
	}
}

// WaitFor waits until it has logged a line that holds a text, and returns the line. Each call goes on behind the line of the one before.
func (p *Process) WaitFor(tb testing.TB, text string) string {
	tb.Helper()
	deadline := time.After(Patience)
	for ended := false; ; {
		if line, ok := p.next(text); ok {
			return line
		}
		if ended {
			tb.Fatalf("%s ended before it said %q:\n%s", p.name, text, p.Log())
		}
		select {
		case <-p.more:
		case <-p.done:
			ended = true // What it said last may not have been looked at yet.
		case <-deadline:
			tb.Fatalf("%s did not say %q in %v:\n%s", p.name, text, Patience, p.Log())
		}
	}
}

// next looks at the lines that WaitFor has not seen.
func (p *Process) next(text string) (string, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		rest := p.log.Bytes()[p.asked:]
		end := bytes.IndexByte(rest, '\n')
		if end < 0 {
			return "", false
		}
		p.asked += end + 1
		if line := string(rest[:end]); strings.Contains(line, text) {
			return line, true
		}
	}
}

// Build compiles a command of the module, as it is shipped, into a file.
func Build(ctx context.Context, command, path string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", path, "corbie/cmd/"+command)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", command, err, out)
	}
	return nil
}

// MuninNode starts Debian's munin-node with its default plugins, as root, and waits until it listens, which it does after it has asked each
// plugin for its config.
func MuninNode(tb testing.TB, hostName string) (address string, p *Process) {
	tb.Helper()
	program := Program(tb, "munin-node")
	Program(tb, "munin-run")
	Root(tb)
	dir := tb.TempDir()
	address = FreeAddress(tb, "tcp")
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		tb.Fatal(err)
	}
	conf := filepath.Join(dir, "munin-node.conf")
	WriteFile(tb, conf, fmt.Sprintf("log_level 1\nlog_file %[1]s/log\npid_file %[1]s/pid\nbackground 0\nsetsid 0\nuser root\ngroup root\n"+
		"host_name %[2]s\nallow ^127\\.0\\.0\\.1$\nhost 127.0.0.1\nport %[3]s\nignore_file \\.bak$\n", dir, hostName, port), 0o644)
	cmd := exec.CommandContext(context.WithoutCancel(tb.Context()), program, "--config", conf, "--foreground")
	cmd.Dir = "/"
	p = Start(tb, "munin-node", cmd)
	AwaitListener(tb, address)
	return address, p
}
