package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"corbie/munin"
	"corbie/node"
)

// explain runs a plugin once and prints all that came of it, and what a master makes of that. The error carries
// the plugin's exit code.
func (p *program) explain(ctx context.Context, cfg *node.Config, arg string, request node.Request) error {
	w, err := p.openPlugin(ctx, cfg, arg)
	if err != nil {
		return err
	}
	got := w.run(ctx, request)
	if errors.Is(got.Err, munin.ErrNotFound) {
		return w.unknown()
	}
	var b bytes.Buffer
	p.explainRun(&b, w, request, got)
	switch {
	case len(request.Args) == 0:
		explainValues(&b, munin.ParseFetch(w.name, got.Output))
	case len(request.Args) == 1 && request.Args[0] == "config":
		explainConfig(&b, munin.ParseConfig(w.name, got.Output))
	}
	if _, err := p.stdout.Write(b.Bytes()); err != nil {
		return fmt.Errorf("print the explanation: %w", err)
	}
	switch {
	case got.Err == nil:
		return nil
	case got.ExitCode > 0:
		return exitError{code: got.ExitCode}
	}
	return exitError{code: exitFailed}
}

// explainRun prints how the run went and what the plugin said, line by line.
func (p *program) explainRun(b *bytes.Buffer, w *workpiece, request node.Request, got outcome) {
	head := tabwriter.NewWriter(b, 0, 8, 2, ' ', 0)
	fmt.Fprintf(head, "plugin\t%s\n", strings.Join(append([]string{w.name}, request.Args...), " "))
	fmt.Fprintf(head, "from\t%s\n", w.source())
	if w.path != "" {
		for _, line := range w.settings() {
			fmt.Fprintln(head, line)
		}
	}
	result := "exit code " + strconv.Itoa(got.ExitCode)
	if got.Err != nil {
		result = got.Err.Error() + "; nothing of what it printed is used"
	}
	fmt.Fprintf(head, "result\t%s\n", result)
	fmt.Fprintf(head, "took\t%v\n", got.took.Round(time.Millisecond))
	_ = head.Flush() // A buffer takes everything.
	numbered(b, "stdout", strings.Split(strings.TrimSuffix(string(got.Output), "\n"), "\n"), len(got.Output) == 0)
	numbered(b, "stderr", got.Stderr, len(got.Stderr) == 0)
}

// settings says with what the node runs the plugin. Of its environment only the names are told, as passwords
// are kept there.
func (w *workpiece) settings() []string {
	conf, _ := node.LoadPluginConf(w.cfg.SconfDir, w.cfg) // The mistakes are the daemon's to tell.
	s := conf.For(w.name)
	var lines []string
	if os.Getuid() == 0 {
		user := s.User
		if user == "" {
			user = w.cfg.PluginUser
		}
		lines = append(lines, "user\t"+user)
	}
	if len(s.Command) > 0 {
		lines = append(lines, "command\t"+strings.Join(s.Command, " "))
	}
	if len(s.Env) > 0 {
		lines = append(lines, "env\t"+strings.Join(slices.Sorted(maps.Keys(s.Env)), " "))
	}
	timeout := w.cfg.Timeout
	if s.Timeout > 0 {
		timeout = s.Timeout
	}
	return append(lines, fmt.Sprintf("timeout\t%v (not for this run)", timeout))
}

func numbered(w io.Writer, title string, lines []string, none bool) {
	if none {
		fmt.Fprintf(w, "\n%s: nothing\n", title)
		return
	}
	fmt.Fprintf(w, "\n%s:\n", title)
	for i, line := range lines {
		fmt.Fprintf(w, "%4d  %s\n", i+1, munin.CleanText(line))
	}
}

// explainConfig prints the graphs as a master has understood them.
func explainConfig(b *bytes.Buffer, reply munin.Reply) {
	for i := range reply.Graphs {
		g := &reply.Graphs[i]
		fmt.Fprintf(b, "\ngraph %s: %s\n", g.Name, g.Title)
		fmt.Fprintf(b, "  unit %s, category %s\n", orNone(g.Unit()), g.Category)
		table := tabwriter.NewWriter(b, 0, 8, 2, ' ', 0)
		fmt.Fprintln(table, "  FIELD\tLABEL\tTYPE\tDRAW\tMIN:MAX\tWARNING\tCRITICAL")
		for j := range g.Fields {
			f := &g.Fields[j]
			draw := f.Draw.String()
			if f.Hidden {
				draw = "hidden"
			}
			fmt.Fprintf(table, "  %s\t%s\t%s\t%s\t%s\t%s\t%s\n", f.Name, f.Label, f.Type, draw, orNone(f.Bounds.String()),
				orNone(f.Warning.String()), orNone(f.Critical.String()))
		}
		_ = table.Flush() // A buffer takes everything.
	}
	explainFaults(b, reply)
}

// explainValues prints the values as a master has understood them.
func explainValues(b *bytes.Buffer, reply munin.Reply) {
	if len(reply.Samples) > 0 {
		fmt.Fprintln(b, "\nvalues:")
	}
	table := tabwriter.NewWriter(b, 0, 8, 2, ' ', 0)
	for _, s := range reply.Samples {
		at := ""
		if !s.At.IsZero() {
			at = "\tat " + s.At.Local().Format(time.DateTime)
		}
		fmt.Fprintf(table, "  %s.%s\t%s%s\n", s.Graph, s.Field, formatRaw(s.Value), at)
	}
	_ = table.Flush() // A buffer takes everything.
	explainFaults(b, reply)
}

func explainFaults(b *bytes.Buffer, reply munin.Reply) {
	if len(reply.Faults) == 0 {
		return
	}
	fmt.Fprintln(b, "\nnot understood:")
	for _, fault := range reply.Faults {
		fault.Plugin = ""
		fmt.Fprintf(b, "  %s\n", fault)
	}
}

func formatRaw(v float64) string {
	if v != v { // NaN
		return "unknown"
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

func orNone(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
