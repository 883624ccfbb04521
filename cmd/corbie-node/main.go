// Corbie-node is the agent of Corbie. It offers the plugins of the machine it runs on to the masters that may
// ask for them, over Munin's protocol; it runs Munin's plugins and reads Munin's configuration.
//
// Called by the name of one of its native plugins, as by a link, it is that plugin and nothing else.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"corbie/munin"
	"corbie/plugins"
)

// Exit codes of commands that are not those of a plugin.
const (
	exitFailed = 1
	exitUsage  = 2
)

// gcPercent trades a little work for little memory, as an agent shares its machine with what it watches.
const gcPercent = 50

func main() {
	// What whoever started us left open is none of the plugins' business. Kernels before 5.11 cannot do it.
	_ = unix.CloseRange(3, 1<<31-1, unix.CLOSE_RANGE_CLOEXEC)
	const groupWritable = 0o002 // the umask that plugins know from Munin
	syscall.Umask(groupWritable)
	debug.SetGCPercent(gcPercent)

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	p := program{
		name: os.Args[0], environ: os.Environ(), hangups: hangups, share: shareFolder(os.Executable()),
		stdout: os.Stdout, stderr: os.Stderr,
	}
	code := p.run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// hangups begins to collect hangups, which else end the program.
func hangups() <-chan os.Signal {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	return hangup
}

// program is one call of corbie-node with all that it may touch of its surroundings.
type program struct {
	name           string // argv[0]
	share          string // what was installed with the program
	environ        []string
	hangups        func() <-chan os.Signal // each asks to read the configuration anew
	stdout, stderr io.Writer
}

// exitError is a failure that has its own exit code. Without text, all has been said already.
type exitError struct {
	code int
	err  error
}

func (e exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e exitError) Unwrap() error { return e.err }

// run is the whole program. It returns the exit code.
func (p *program) run(ctx context.Context, args []string) int {
	if code, ok := p.asPlugin(ctx, args); ok {
		return code
	}
	root := p.command()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	code := exitFailed
	var exit exitError
	if errors.As(err, &exit) {
		code = exit.code
	}
	if text := err.Error(); text != "" {
		fmt.Fprintln(p.stderr, "corbie-node:", text)
	}
	if code == exitUsage {
		fmt.Fprintln(p.stderr, `Run "corbie-node --help" to see what it can do.`)
	}
	return code
}

// asPlugin plays the native plugin whose name the program was called by. It says false when there is no such
// plugin.
func (p *program) asPlugin(ctx context.Context, args []string) (code int, ok bool) {
	name := filepath.Base(p.name)
	if strings.HasPrefix(name, "corbie-node") {
		return 0, false
	}
	verb := ""
	if len(args) > 0 {
		verb = args[0]
	}
	output, err := nativePlugins().Run(ctx, name, verb, environMap(p.environ))
	switch {
	case errors.Is(err, munin.ErrNotFound):
		return 0, false
	case err != nil:
		fmt.Fprintln(p.stderr, err)
		return exitFailed, true
	}
	if _, err := p.stdout.Write(output); err != nil {
		return exitFailed, true
	}
	return 0, true
}

// nativePlugins are those for this machine.
func nativePlugins() *plugins.Set {
	return plugins.New(os.DirFS("/"), plugins.Options{})
}

func environMap(environ []string) map[string]string {
	env := make(map[string]string, len(environ))
	for _, entry := range environ {
		if key, value, ok := strings.Cut(entry, "="); ok {
			env[key] = value
		}
	}
	return env
}

// shareFolder is where "make install" puts what comes with the program, by the program's path: beside the folder of programs, whatever
// prefix that is in. It is the folder of a distribution's package where there is none.
func shareFolder(program string, err error) string {
	const packaged = "/usr/share/corbie"
	if err != nil {
		return packaged
	}
	beside := filepath.Join(filepath.Dir(program), "../share/corbie")
	if _, err := os.Stat(filepath.Join(beside, "plugins/plugin.sh")); err != nil {
		return packaged
	}
	return beside
}

// version is that of the module, or of the commit it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "devel"
	}
	return strings.TrimPrefix(info.Main.Version, "v")
}
