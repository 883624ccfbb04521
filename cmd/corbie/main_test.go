package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"corbie/internal/testenv"
)

// TestMain lets the test binary be the master itself: as a command of scripts, and as a process that tests can kill.
func TestMain(m *testing.M) {
	testscript.Main(suite{m}, map[string]func(){"corbie": main})
}

// suite runs the tests with a folder for what they share.
type suite struct{ *testing.M }

var shared string // the folder

func (s suite) Run() int {
	var err error
	if shared, err = os.MkdirTemp("", "corbie-suite-"); err != nil {
		panic(err)
	}
	defer os.RemoveAll(shared)
	// Most tests wait for polls and for disks rather than compute. A -parallel on the command line wins.
	if err := flag.Set("test.parallel", "4"); err != nil {
		panic(err)
	}
	return s.M.Run()
}

// buildNode builds corbie-node for the first test that asks.
var buildNode = sync.OnceValues(func() (path string, err error) {
	path = filepath.Join(shared, "corbie-node")
	return path, testenv.Build(context.Background(), "corbie-node", path)
})

// nodeProgram is the path of a corbie-node.
func nodeProgram(tb testing.TB) string {
	tb.Helper()
	path, err := buildNode()
	if err != nil {
		tb.Fatal(err)
	}
	return path
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

// process is a program under test.
type process struct{ *testenv.Process }

// start runs a program with more environment than the test's, until the test ends.
func start(tb testing.TB, name string, env []string, argv ...string) *process {
	tb.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), env...)
	return &process{testenv.Start(tb, name, cmd)}
}

// url is the address of a master's pages, without a slash at its end.
func (p *process) url() string {
	_, rest, _ := strings.Cut(p.Log(), "url=")
	base, _, _ := strings.Cut(rest, " ")
	return strings.Trim(base, `"`)
}

// page is what a master serves at a path; it must be there.
func (p *process) page(tb testing.TB, path string) string {
	tb.Helper()
	status, body := testenv.Get(tb, p.url()+path)
	if status != http.StatusOK {
		tb.Fatalf("%s: %d\n%s", path, status, body)
	}
	return body
}

// startMaster runs "corbie serve" on the given folder and waits until it listens.
func startMaster(tb testing.TB, dir string, conf string) *process {
	tb.Helper()
	p := start(tb, "corbie serve", nil, "corbie", "serve", "--config", conf, "--data", dir, "--listen", "127.0.0.1:0")
	p.WaitFor(tb, "listening")
	return p
}

// startNode serves a folder of plugins, without native ones, and returns its address.
func startNode(t *testing.T, plugins string) string {
	t.Helper()
	return startNodeWith(t, plugins, "")
}

// startNodeWith is startNode with more lines of configuration.
func startNodeWith(t *testing.T, plugins, lines string) string {
	t.Helper()
	conf := filepath.Join(t.TempDir(), "node.conf")
	testenv.WriteFile(t, conf, "native no\nhost_name node.test\nspooldir "+t.TempDir()+"\nstatedir "+testenv.PublicDir(t)+"\n"+lines, 0o644)
	return serveNode(t, conf, plugins)
}

// serveNode starts a node and returns its address.
func serveNode(t *testing.T, conf, plugins string) string {
	t.Helper()
	p := start(t, "corbie-node", nil, nodeProgram(t), "serve", "--config", conf, "--listen", "127.0.0.1:0", "--servicedir", plugins)
	_, address, _ := strings.Cut(p.WaitFor(t, "msg=listening"), " address=")
	address, _, _ = strings.Cut(address, " ")
	return address
}

// writeConfig writes a corbie.yml with one host and the given rest.
func writeConfig(t *testing.T, address, rest string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "corbie.yml")
	testenv.WriteFile(t, path, fmt.Sprintf("interval: 1s\nhosts:\n  web1:\n    address: %s\n    group: web\n%s", address, rest), 0o644)
	return path
}
