package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"corbie/master/config"
	"corbie/master/poll"
	"corbie/master/transport"
	"corbie/munin"
)

type pollFlags struct {
	plugins []string
	format  string
}

func (p *program) pollCommand() *cobra.Command {
	var flags pollFlags
	cmd := &cobra.Command{
		Use:   "poll HOST[:PORT]",
		Short: "Ask one node once and print what it said, how long it took and what is wrong",
		Long: `poll has one session with a node and prints what came of it. Nothing is stored.
HOST is a host of the configuration or an address. The exit code is 1 when the
session had to be given up or a plugin's answer could not be used.`,
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error { return p.poll(cmd.Context(), args[0], flags) },
	}
	cmd.Flags().StringSliceVar(&flags.plugins, "plugin", nil, "ask only this plugin (may be repeated)")
	cmd.Flags().StringVar(&flags.format, "format", formatText, "text or json")
	return cmd
}

func (p *program) poll(ctx context.Context, name string, flags pollFlags) error {
	conf, err := p.loadConfig(config.Flags{Tolerant: true})
	if err != nil {
		return err
	}
	target, err := conf.Target(name)
	if err != nil {
		return usageError{err}
	}
	got := poll.Session(ctx, target, poll.SessionOptions{Dial: transport.Dial, Only: flags.plugins})
	if err := p.printPoll(got, flags.format); err != nil {
		return err
	}
	missing := slices.DeleteFunc(slices.Clone(flags.plugins), func(name string) bool { return slices.Contains(got.Plugins, name) })
	switch {
	case got.Err != nil:
		return fmt.Errorf("poll %s: %w", target.Address, got.Err)
	case len(missing) > 0:
		return fmt.Errorf("poll %s: the node does not offer %s", target.Address, strings.Join(missing, ", "))
	case len(got.Faults) > 0:
		return errors.New("poll " + target.Address + ": " + plural(len(got.Faults), "piece", "pieces") + " of the answers could not be used")
	}
	return nil
}

type pollRow struct {
	Plugin string    `json:"plugin"`
	Graph  string    `json:"graph"`
	Field  string    `json:"field"`
	Type   string    `json:"type"`
	Time   time.Time `json:"time"`
	Value  number    `json:"value"`
}

func (p *program) printPoll(got *munin.Poll, format string) error {
	t := table{head: []string{"PLUGIN", "GRAPH", "FIELD", "TYPE", "VALUE"}}
	rows := pollRows(got)
	for _, r := range rows {
		t.add(r.Plugin, r.Graph, r.Field, r.Type, formatRaw(float64(r.Value)))
	}
	faults := make([]string, len(got.Faults))
	for i, f := range got.Faults {
		faults[i] = f.String()
	}
	errText := ""
	if got.Err != nil {
		errText = got.Err.Error()
	}
	if format == formatText {
		how := ""
		if got.Encrypted {
			how = ", encrypted"
		}
		fmt.Fprintf(p.stderr, "%s: node %s%s; offers %s; %s, %s, %s, %d bytes in %s\n", got.Address, orNone(got.Banner), how,
			orNone(strings.Join(got.Caps, " ")), plural(len(got.Plugins), "plugin", "plugins"), plural(len(got.Graphs), "graph", "graphs"),
			plural(len(rows), "value", "values"), got.Bytes, got.Took.Round(time.Millisecond))
		for _, f := range faults {
			fmt.Fprintln(p.stderr, "  "+f)
		}
		if len(rows) == 0 {
			return nil
		}
	}
	return t.write(p.stdout, format, map[string]any{
		"host": got.Host, "address": got.Address, "banner": got.Banner, "encrypted": got.Encrypted, "capabilities": got.Caps, "plugins": got.Plugins,
		"took_ms": got.Took.Milliseconds(), "bytes": got.Bytes, "values": rows, "faults": faults, "error": errText,
	})
}

// pollRows joins the readings of a poll with the plugin and type of their fields.
func pollRows(got *munin.Poll) []pollRow {
	graphs := make(map[string]*munin.Graph, len(got.Graphs))
	for i := range got.Graphs {
		graphs[got.Graphs[i].Name] = &got.Graphs[i]
	}
	rows := make([]pollRow, 0, len(got.Readings))
	for _, r := range got.Readings {
		row := pollRow{Graph: r.ID.Graph, Field: r.ID.Field, Time: r.Time(), Value: number(r.V)}
		if g, ok := graphs[r.ID.Graph]; ok {
			row.Plugin = g.Plugin
			if f, ok := g.Field(r.ID.Field); ok {
				row.Type = f.Type.String()
			}
		}
		rows = append(rows, row)
	}
	return rows
}

func formatRaw(v float64) string {
	if v != v { // NaN
		return "U"
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

func orNone(s string) string {
	if s == "" {
		return "(none)"
	}
	return s
}
