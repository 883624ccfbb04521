package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// Exit codes of every verb.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// program is what the verbs share: where they write, and the flags that all of them know.
type program struct {
	stdout, stderr io.Writer
	configPath     string
	muninConf      string
	dataDir        string
}

// usageError marks a mistake on the command line: exit code 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// run is the whole program but for flags of the process: tests call it.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	p := &program{stdout: stdout, stderr: stderr}
	root := p.root()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	var usage usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "corbie: %v\nSee 'corbie --help'.\n", err)
		return exitUsage
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		// What it was doing at that moment is nobody's error.
		fmt.Fprintln(stderr, "corbie: interrupted")
		return exitFailed
	}
	fmt.Fprintf(stderr, "corbie: %v\n", err)
	return exitFailed
}

func (p *program) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "corbie",
		Short: "Polls Munin and Corbie nodes, draws, pages and forecasts",
		Long: `corbie polls Munin and Corbie nodes, keeps every value, serves the pages,
notifies on warning and critical levels and forecasts what will be full.

Start with "corbie serve"; look at a single node with "corbie poll HOST".`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       version(),
		Args:          usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
	}
	root.PersistentFlags().StringVar(&p.configPath, "config", "",
		"configuration file (default "+defaultConfig+" where it exists)")
	root.PersistentFlags().StringVar(&p.muninConf, "munin-conf", "",
		"munin.conf to be read besides, or alone (default: munin_conf in the configuration)")
	root.PersistentFlags().StringVar(&p.dataDir, "data", "",
		"data folder (default: data in the configuration, else "+defaultData+")")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.SetVersionTemplate("corbie {{.Version}}\n")
	root.AddCommand(p.serveCommand(), p.checkCommand(), p.pollCommand(), p.hostsCommand(), p.graphsCommand(),
		p.exportCommand(), p.problemsCommand(), p.ackCommand(), p.silenceCommand(), p.annotateCommand(), p.reportCommand(),
		p.renameCommand(), p.removeCommand(), p.backupCommand(), p.restoreCommand(), p.verifyCommand(), p.importCommand(), p.demoCommand(),
		p.tokenCommand(), p.auditCommand())
	p.complete(root)
	return root
}

// usageArgs makes a wrong number of arguments a usage error.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		err := check(cmd, args)
		switch {
		case err == nil:
			return nil
		case !cmd.HasParent():
			return usageError{err}
		}
		// The name of the program comes in front of every error.
		verb := strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()+" ")
		return usageError{fmt.Errorf("%s: %w", verb, err)}
	}
}

// version is what Go stamped into the binary.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "unreleased"
	}
	return info.Main.Version
}
