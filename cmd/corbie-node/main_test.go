package main

import (
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets the test binary play corbie-node, also under the name of a plugin.
func TestMain(m *testing.M) {
	testscript.Main(suite{m}, map[string]func(){"corbie-node": main, "load": main})
}

// suite runs the tests where programs of the system are found as well.
type suite struct{ *testing.M }

func (s suite) Run() int {
	// Most tests wait for plugins and for Munin rather than compute. A -parallel on the command line wins.
	err := errors.Join(flag.Set("test.parallel", "4"), os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin"))
	if err != nil {
		panic(err)
	}
	return s.M.Run()
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			// The plugins of a script may run as somebody else, who has to get there.
			return errors.Join(os.Chmod(env.WorkDir, 0o755), os.Chmod(filepath.Dir(env.WorkDir), 0o755))
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){"exitcode": exitCode},
	})
}

// exitCode is "exitcode N PROGRAM ARGS…": the program ends with exactly that code.
func exitCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exitcode N PROGRAM ARGS...")
	}
	var exit *exec.ExitError
	err := ts.Exec(args[1], args[2:]...)
	if !errors.As(err, &exit) || strconv.Itoa(exit.ExitCode()) != args[0] {
		ts.Fatalf("%q ended with %v, want exit code %s", args[1:], err, args[0])
	}
}
