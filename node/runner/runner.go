// Package runner runs one plugin once and brings back what it printed. It is the only part of the node that
// starts programs.
//
// Whatever the program does, Run comes back: a program that takes too long, prints too much or leaves
// children behind costs its own answer and nothing else. The hidden reasons in it:
//
//   - The program leads a session of its own, so that all it started can be ended together, by the id of the
//     process group. The leader is not reaped before the last signal was sent: until then the kernel cannot
//     give its id to an innocent process.
//   - Both pipes are read apart from each other. A program that closes one keeps what it says on the other.
//   - Reading ends with the program, not with the last child that holds a pipe. What the program itself wrote
//     is in the pipe by then, and is read to the end.
package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Errors in a Result that callers tell apart.
var (
	// ErrTimedOut says that the program took longer than it may and was ended.
	ErrTimedOut = errors.New("timed out")
	// ErrTooMuchOutput says that the program printed more than it may and was ended.
	ErrTooMuchOutput = errors.New("too much output")
	// ErrExit says that the program ended by itself, with another exit code than 0 or by a signal.
	ErrExit = errors.New("bad exit")
)

// DefaultMaxOutput is how many bytes a program may print to its standard output.
const DefaultMaxOutput = 8 << 20

// Spec says what to run. Only Path is needed.
type Spec struct {
	Path string   // the program; a name without a slash is looked up in the PATH of Env
	Args []string // without the program's name
	Env  []string // the whole environment, as KEY=value; the last of two equal keys counts
	Dir  string   // working directory; empty means /
	// Identity is the user and the groups to become; nil means to stay who we are.
	Identity *Identity
	Timeout  time.Duration // 0: none, until ctx ends
	Grace    time.Duration // between the request to end and the kill; 0: 2 seconds
	// Linger is how long children that outlive the program may go on printing; 0: 200 ms.
	Linger    time.Duration
	MaxOutput int // bytes of standard output; 0: DefaultMaxOutput
	Limits    Limits
}

// Result is what became of a run.
type Result struct {
	Stdout   []byte
	Stderr   []string // the last lines, without line ends
	ExitCode int      // -1 when it did not start or was ended by a signal
	Duration time.Duration
	TimedOut bool
	// Err is nil when the program ended in time with exit code 0. Otherwise it wraps ErrTimedOut, ErrNoMemory,
	// ErrTooMuchOutput, ErrExit, the end of ctx, or says why the program could not be started.
	Err error
}

// Run runs a program to its end and returns what it said. It never returns later than the timeout, the grace
// and a few seconds after it.
func Run(ctx context.Context, spec Spec) Result {
	start := time.Now()
	result := run(ctx, &spec)
	result.Duration = time.Since(start)
	result.TimedOut = errors.Is(result.Err, ErrTimedOut)
	return result
}

func run(ctx context.Context, spec *Spec) Result {
	spec.fillDefaults()
	program, err := spec.command()
	if err != nil {
		return Result{ExitCode: -1, Err: err}
	}
	cmd := &command{Cmd: program}
	stdout, err := newPipe(spec.MaxOutput)
	if err != nil {
		return Result{ExitCode: -1, Err: err}
	}
	defer stdout.close()
	stderr, err := newTailPipe()
	if err != nil {
		return Result{ExitCode: -1, Err: err}
	}
	defer stderr.close()
	cmd.Stdout, cmd.Stderr = stdout.writer, stderr.writer
	if err := spec.start(cmd); err != nil {
		return Result{ExitCode: -1, Err: startError(spec, err)}
	}
	stdout.start()
	stderr.start()

	exited := make(chan struct{})
	go func() {
		awaitExit(cmd.Process.Pid)
		close(exited)
	}()
	reason := supervise(ctx, spec, cmd.Process.Pid, exited, stdout.full)
	var result Result
	if isClosed(exited) {
		result = reap(cmd.Cmd)
	} else {
		// Not even the kill ended it: it hangs in the kernel. It is reaped when it comes back.
		go func() { _ = cmd.Wait() }() // Nobody is left to be told.
		result = Result{ExitCode: -1}
	}
	linger := spec.Linger
	if reason != nil {
		result.Err, linger = reason, 0
	}
	result.Stdout = stdout.finish(linger)
	result.Stderr = lastLines(stderr.finish(0))
	if result.Err == nil && isClosed(stdout.full) {
		result.Err = tooMuch(spec)
	}
	if err := spec.outOfMemory(cmd, &result); err != nil {
		result.Err = err
	}
	return result
}

// command is a program that is started, or was.
type command struct {
	*exec.Cmd
	grouped bool // it is in a control group
	kills   int  // that there were in the group before
}

func (s *Spec) fillDefaults() {
	if s.Dir == "" {
		s.Dir = "/"
	}
	if s.Grace <= 0 {
		s.Grace = 2 * time.Second
	}
	if s.Linger <= 0 {
		s.Linger = 200 * time.Millisecond
	}
	if s.MaxOutput <= 0 {
		s.MaxOutput = DefaultMaxOutput
	}
}

func (s *Spec) command() (*exec.Cmd, error) {
	file, err := s.lookPath()
	if err != nil {
		return nil, err
	}
	attr := &syscall.SysProcAttr{Setsid: true}
	if s.Identity != nil {
		attr.Credential = s.Identity.credential()
	}
	env := s.Env
	if env == nil {
		env = []string{}
	}
	// Standard input is /dev/null, which exec takes for none.
	return &exec.Cmd{Path: file, Args: append([]string{s.Path}, s.Args...), Env: env, Dir: s.Dir, SysProcAttr: attr}, nil
}

// lookPath finds the program as a shell with the plugin's own PATH would.
func (s *Spec) lookPath() (string, error) {
	if strings.Contains(s.Path, "/") {
		return s.Path, nil
	}
	search := ""
	for _, entry := range s.Env {
		if value, ok := strings.CutPrefix(entry, "PATH="); ok {
			search = value
		}
	}
	for _, dir := range filepath.SplitList(search) {
		file := filepath.Join(dir, s.Path)
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && unix.Access(file, unix.X_OK) == nil {
			return file, nil
		}
	}
	return "", fmt.Errorf("run %s: it is not in the PATH of the plugin, %q", s.Path, search)
}

// startError says what usually is behind the kernel's terse reasons.
func startError(spec *Spec, err error) error {
	switch {
	case errors.Is(err, syscall.ENOEXEC):
		return fmt.Errorf("run %s: the file is not a program: a script must begin with a line like #!/bin/sh", spec.Path)
	case errors.Is(err, syscall.ENOENT):
		if _, statErr := os.Stat(spec.Path); statErr == nil {
			return fmt.Errorf("run %s: the interpreter named in its first line is missing", spec.Path)
		}
	case errors.Is(err, syscall.EACCES) && spec.Identity != nil:
		return fmt.Errorf("run %s as user %s: %w: look at the modes of the file and of the folders above it", spec.Path, spec.Identity.Name, syscall.EACCES)
	case errors.Is(err, syscall.EPERM) && spec.Identity != nil:
		return fmt.Errorf("run %s as user %s: only root may do that", spec.Path, spec.Identity.Name)
	}
	return fmt.Errorf("run %s: %w", spec.Path, err)
}

// supervise waits for the program to end and makes it end when it must. It returns why it had to; exited may
// still be open then, if nothing helped.
func supervise(ctx context.Context, spec *Spec, pid int, exited, full <-chan struct{}) error {
	var timeout <-chan time.Time
	if spec.Timeout > 0 {
		timer := time.NewTimer(spec.Timeout)
		defer timer.Stop()
		timeout = timer.C
	}
	var reason error
	select {
	case <-exited:
		return nil
	case <-full:
		reason = tooMuch(spec)
	case <-timeout:
		reason = fmt.Errorf("%w after %v", ErrTimedOut, spec.Timeout)
	case <-ctx.Done():
		reason = context.Cause(ctx)
	}
	signal(pid, syscall.SIGHUP)
	signal(pid, syscall.SIGTERM)
	waitFor(exited, spec.Grace)
	signal(pid, syscall.SIGKILL)
	waitFor(exited, spec.Grace)
	return reason
}

func tooMuch(spec *Spec) error {
	return fmt.Errorf("%w: more than %d bytes", ErrTooMuchOutput, spec.MaxOutput)
}

// signal reaches every process of the group that the program leads. A group without members is no mistake.
func signal(pid int, s syscall.Signal) { _ = syscall.Kill(-pid, s) }

func waitFor(done <-chan struct{}, limit time.Duration) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// awaitExit waits for the end of a child without reaping it.
func awaitExit(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

func reap(cmd *exec.Cmd) Result {
	err := cmd.Wait()
	result := Result{ExitCode: cmd.ProcessState.ExitCode()}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		result.Err = fmt.Errorf("%w: %v", ErrExit, exit.ProcessState)
	case err != nil:
		result.Err = err
	}
	return result
}
