package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets the test binary be the master itself: as a command of scripts, and as a process that tests can kill.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"corbie": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			// usage runs a command that has to end with exit code 2.
			"usage": func(ts *testscript.TestScript, _ bool, args []string) {
				var exit *exec.ExitError
				if err := ts.Exec(args[0], args[1:]...); !errors.As(err, &exit) || exit.ExitCode() != exitUsage {
					ts.Fatalf("%v: want exit 2, got %v", args, err)
				}
			},
		},
	})
}

// patience is how long tests wait for what must come soon; it ends a broken test, it never makes one pass.
const patience = 3 * time.Minute

// corbie runs one verb in this process and returns what it printed.
func corbie(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, talk bytes.Buffer
	code = run(t.Context(), args, &out, &talk)
	return out.String(), talk.String(), code
}

// mustCorbie is corbie for a verb that has to work.
func mustCorbie(t *testing.T, args ...string) string {
	t.Helper()
	out, talk, code := corbie(t, args...)
	if code != exitOK {
		t.Fatalf("corbie %s: exit %d\n%s%s", strings.Join(args, " "), code, out, talk)
	}
	return out
}

// process is a program under test with its log.
type process struct {
	cmd  *exec.Cmd
	name string

	mu   sync.Mutex
	log  bytes.Buffer
	line chan string
	done chan struct{}
}

// start runs a program and collects its stderr; it is killed when the test ends.
func start(tb testing.TB, name string, env []string, argv ...string) *process {
	tb.Helper()
	p := &process{name: name, line: make(chan string, 10000), done: make(chan struct{})}
	p.cmd = exec.Command(argv[0], argv[1:]...)
	p.cmd.Env = append(os.Environ(), env...)
	pipe, err := p.cmd.StderrPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	go func() {
		defer close(p.done)
		lines := bufio.NewScanner(pipe)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			p.mu.Lock()
			p.log.WriteString(lines.Text() + "\n")
			p.mu.Unlock()
			select {
			case p.line <- lines.Text():
			default:
			}
		}
		_ = p.cmd.Wait()
	}()
	tb.Cleanup(func() {
		p.kill()
		if tb.Failed() {
			tb.Logf("log of %s:\n%s", name, p.logged())
		}
	})
	return p
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

func (p *process) logged() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// waitFor blocks until the program logs a line that holds text, and returns it.
func (p *process) waitFor(tb testing.TB, text string) string {
	tb.Helper()
	deadline := time.After(patience)
	for {
		select {
		case line := <-p.line:
			if strings.Contains(line, text) {
				return line
			}
		case <-p.done:
			tb.Fatalf("%s ended before it said %q:\n%s", p.name, text, p.logged())
		case <-deadline:
			tb.Fatalf("%s did not say %q in %v:\n%s", p.name, text, patience, p.logged())
		}
	}
}

// eventually asks again and again, without a sleep in between but for the ticker's, until ok or patience ends.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("did not happen in %v: %s", patience, what)
		case <-tick.C:
		}
	}
}

// startMaster runs "corbie serve" on the given folder and waits until it listens.
func startMaster(tb testing.TB, dir string, conf string) *process {
	tb.Helper()
	p := start(tb, "corbie serve", nil, "corbie", "serve", "--config", conf, "--data", dir, "--listen", "127.0.0.1:0")
	p.waitFor(tb, "listening")
	return p
}

// buildNode builds corbie-node once a test and returns its path.
func buildNode(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "corbie-node")
	build := exec.Command("go", "build", "-o", path, "corbie/cmd/corbie-node")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build corbie-node: %v\n%s", err, out)
	}
	return path
}

// freeAddress is a loopback address on which nothing listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// startNode serves a folder of plugins, without native ones, and returns its address.
func startNode(t *testing.T, plugins string) string {
	t.Helper()
	return startNodeWith(t, plugins, "")
}

// startNodeWith is startNode with more lines of configuration.
func startNodeWith(t *testing.T, plugins, lines string) string {
	t.Helper()
	address := freeAddress(t)
	conf := filepath.Join(t.TempDir(), "node.conf")
	writeFile(t, conf, "native no\nhost_name node.test\nstatedir "+publicDir(t)+"\n"+lines, 0o644)
	p := start(t, "corbie-node", nil, buildNode(t), "serve", "--config", conf, "--listen", address, "--servicedir", plugins)
	p.waitFor(t, "listening")
	return address
}

// publicDir is a temporary folder that plugins can reach: a node runs them as nobody.
func publicDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "corbie-test-") //nolint:usetesting // t.TempDir is closed to nobody
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func writeFile(tb testing.TB, path, text string, mode os.FileMode) {
	tb.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		tb.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		tb.Fatal(err)
	}
}

// writeConfig writes a corbie.yml with one host and the given rest.
func writeConfig(t *testing.T, address, rest string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "corbie.yml")
	writeFile(t, path, fmt.Sprintf("interval: 1s\nhosts:\n  web1:\n    address: %s\n    group: web\n%s", address, rest), 0o644)
	return path
}
