package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"corbie/munin"
	"corbie/node"
	"corbie/node/lint"
)

// Formats of the verbs that print a table.
const (
	formatText = "text"
	formatJSON = "json"
)

func checkFormat(format string) error {
	if format != formatText && format != formatJSON {
		return exitError{code: exitUsage, err: fmt.Errorf("--format %s: want text or json", format)}
	}
	return nil
}

func (p *program) printJSON(value any) error {
	encoder := json.NewEncoder(p.stdout)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}

func (p *program) lintCommand() *cobra.Command {
	var (
		where  folders
		format string
	)
	c := &cobra.Command{
		Use:   "lint PLUGIN...",
		Short: "Find what breaks or surprises in plugins",
		Long: "lint runs each plugin as the node would and reads what it says: its config, its values and its answer to autoconf.\n" +
			"It prints what is wrong, in which line, and how to mend it. PLUGIN is a name, or the path of a file.\n" +
			"The exit code is 1 when there is an error. Warnings and hints alone give 0.",
		Args: usage(cobra.MinimumNArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkFormat(format); err != nil {
				return err
			}
			cfg, err := p.configure(c.Context(), &where)
			if err != nil {
				return err
			}
			return p.lint(c.Context(), cfg, args, format)
		},
	}
	where.bind(c)
	c.Flags().StringVar(&format, "format", formatText, "text or json")
	return c
}

// linted is what was found in one plugin.
type linted struct {
	Plugin   string         `json:"plugin"`
	Findings []lint.Finding `json:"findings"`
}

func (p *program) lint(ctx context.Context, cfg *node.Config, args []string, format string) error {
	all := make([]linted, 0, len(args))
	for _, arg := range args {
		one, err := p.lintPlugin(ctx, cfg, arg)
		if err != nil {
			return err
		}
		all = append(all, one)
	}
	if format == formatJSON {
		if err := p.printJSON(all); err != nil {
			return err
		}
	} else {
		p.printFindings(all)
	}
	for _, one := range all {
		if worst, ok := lint.Worst(one.Findings); ok && worst == lint.Error {
			return exitError{code: exitFailed}
		}
	}
	return nil
}

// lintPlugin runs a plugin in all ways in which it is run, and looks at what it says.
func (p *program) lintPlugin(ctx context.Context, cfg *node.Config, arg string) (linted, error) {
	w, err := p.openPlugin(ctx, cfg, arg)
	if err != nil {
		return linted{}, err
	}
	config := w.config(ctx, false)
	if errors.Is(config.Err, munin.ErrNotFound) {
		return linted{}, w.unknown()
	}
	dirty := lintRun(w.config(ctx, true))
	subject := lint.Subject{
		Name: w.name, File: w.text(), Config: lintRun(config), Values: lintRun(w.run(ctx, node.Request{})), Dirty: &dirty,
	}
	if w.path == "" || slices.Contains(lint.Capabilities(subject.File), "autoconf") {
		autoconf := lintRun(w.run(ctx, node.Request{Args: []string{"autoconf"}}))
		subject.Autoconf = &autoconf
	}
	if ctx.Err() != nil {
		return linted{}, context.Cause(ctx)
	}
	findings := lint.Check(subject)
	if findings == nil {
		findings = []lint.Finding{}
	}
	return linted{Plugin: w.name, Findings: findings}, nil
}

func lintRun(o outcome) lint.Run {
	return lint.Run{Output: o.Output, Stderr: o.Stderr, ExitCode: o.ExitCode, At: o.began, Took: o.took, Err: o.Err}
}

// printFindings prints one finding a line, and below it how to mend it.
func (p *program) printFindings(all []linted) {
	count := make(map[lint.Severity]int)
	for _, one := range all {
		for _, f := range one.Findings {
			count[f.Severity]++
			fmt.Fprintf(p.stdout, "%s: %s: %s\n    %s\n", one.Plugin, f.Severity, f, f.Mend)
		}
		if len(one.Findings) == 0 {
			fmt.Fprintf(p.stdout, "%s: nothing to mend\n", one.Plugin)
		}
	}
	if len(count) == 0 {
		return
	}
	var words []string
	for _, severity := range []lint.Severity{lint.Error, lint.Warning, lint.Hint} {
		switch n := count[severity]; n {
		case 0:
		case 1:
			words = append(words, "1 "+severity.String())
		default:
			words = append(words, fmt.Sprintf("%d %ss", n, severity))
		}
	}
	fmt.Fprintln(p.stderr, strings.Join(words, ", "))
}
