package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"corbie/munin"
	"corbie/munin/wire"
	"corbie/node"
)

// statusTime is how long a node may take to tell how its plugins are.
const statusTime = 20 * time.Second

func (p *program) statusCommand() *cobra.Command {
	var (
		where           folders
		address, format string
	)
	c := &cobra.Command{
		Use:   "status",
		Short: "Show how the last runs of a node's plugins went",
		Long: "status asks a running node how the last runs of its plugins went, whoever asked for them, and why one is missing.\n" +
			"The exit code is 1 when one fails. A node tells it to whom it tells values, so that --address may be another machine's.",
		Args: usage(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := checkFormat(format); err != nil {
				return err
			}
			cfg, err := p.configure(c.Context(), &where)
			if err != nil {
				return err
			}
			return p.status(c.Context(), cfg, address, format)
		},
	}
	where.bind(c)
	c.Flags().StringVar(&address, "address", "", "`address` of the node: HOST:PORT, HOST or unix:PATH; by default that of the configuration")
	c.Flags().StringVar(&format, "format", formatText, "text or json")
	return c
}

func (p *program) status(ctx context.Context, cfg *node.Config, address, format string) error {
	network, address, err := statusAddress(cfg, address)
	if err != nil {
		return exitError{code: exitUsage, err: err}
	}
	ctx, cancel := context.WithTimeout(ctx, statusTime)
	defer cancel()
	states, err := askStatus(ctx, cfg, network, address)
	if err != nil {
		return fmt.Errorf("ask the node at %s: %w", address, err)
	}
	if format == formatJSON {
		err = p.printJSON(jsonStates(states))
	} else {
		err = p.printStates(states, time.Now())
	}
	if err != nil {
		return err
	}
	for i := range states {
		if states[i].Unhealthy() {
			return exitError{code: exitFailed}
		}
	}
	return nil
}

// statusAddress is where to ask: the given address, else the first one that the configuration listens on.
func statusAddress(cfg *node.Config, address string) (network, target string, err error) {
	if address == "" {
		switch {
		case len(cfg.Sockets) > 0:
			return "unix", cfg.Sockets[0].Path, nil
		case len(cfg.Listen) > 0:
			address = cfg.Listen[0]
		}
	}
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return "unix", strings.TrimPrefix(path, "//"), nil
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		host, port = strings.Trim(address, "[]"), wire.DefaultPort
	}
	if strings.ContainsAny(host, " /") || port == "" {
		return "", "", fmt.Errorf("--address %q: want HOST:PORT, HOST or unix:PATH", address)
	}
	if host == "" || host == "0.0.0.0" || host == "::" {
		host = "localhost"
	}
	return "tcp", net.JoinHostPort(host, port), nil
}

// askStatus has a session with a node.
func askStatus(ctx context.Context, cfg *node.Config, network, address string) ([]munin.PluginState, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, fmt.Errorf("%w; is the node running, and does it listen there?", err)
	}
	deadline, _ := ctx.Deadline()
	client := wire.NewClient(conn, wire.ClientOptions{Deadline: deadline})
	defer client.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if _, err := client.Greet(); err != nil {
		return nil, err
	}
	if cfg.TLS.Mode.Required() {
		keys, err := wire.NewTLS(cfg.TLS)
		if err != nil {
			return nil, err
		}
		if _, err := client.StartTLS(ctx, keys); err != nil {
			return nil, err
		}
	}
	if _, err := client.Cap(); err != nil {
		return nil, err
	}
	states, known, err := client.Status()
	if err != nil {
		return nil, err
	}
	if !known {
		return nil, errors.New("it does not know the question: it is Munin's node, or an old one of Corbie's")
	}
	return states, nil
}

// jsonState is a plugin's state in JSON.
type jsonState struct {
	Plugin   string     `json:"plugin"`
	OK       bool       `json:"ok"`
	Verb     string     `json:"verb"`
	Ran      *time.Time `json:"ran"`
	TookMS   int64      `json:"took_ms"`
	ExitCode int        `json:"exit_code"`
	Failure  string     `json:"failure,omitempty"`
	Stderr   string     `json:"stderr,omitempty"`
	Good     *time.Time `json:"good"`
}

func jsonStates(states []munin.PluginState) []jsonState {
	list := make([]jsonState, 0, len(states))
	for _, s := range states {
		list = append(list, jsonState{
			Plugin: s.Plugin, OK: !s.Unhealthy(), Verb: s.Verb, Ran: stamp(s.Ran), TookMS: s.Took.Milliseconds(),
			ExitCode: s.ExitCode, Failure: s.Failure, Stderr: s.Stderr, Good: stamp(s.Good),
		})
	}
	return list
}

// stamp is a time in JSON, null for the zero time.
func stamp(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// printStates prints a line a plugin, and below one that fails why.
func (p *program) printStates(states []munin.PluginState, now time.Time) error {
	if len(states) == 0 {
		fmt.Fprintln(p.stderr, "no plugin has run since the node was started")
		return nil
	}
	var b strings.Builder
	table := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "PLUGIN\tSTATE\tLAST RUN\tTOOK\tEXIT\tLAST GOOD")
	for _, s := range states {
		state := "ok"
		if s.Unhealthy() {
			state = s.Verb + " fails"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%v\t%d\t%s\n", s.Plugin, state, ago(s.Ran, now), s.Took, s.ExitCode, ago(s.Good, now))
	}
	_ = table.Flush() // A builder takes everything.
	for _, s := range states {
		if s.Failure != "" || s.Stderr != "" {
			fmt.Fprintf(&b, "\n%s:\n", s.Plugin)
			for _, line := range []string{s.Failure, s.Stderr} {
				if line != "" {
					fmt.Fprintf(&b, "    %s\n", line)
				}
			}
		}
	}
	_, err := p.stdout.Write([]byte(b.String()))
	return err
}

// ago is the age of an instant for people, "never" for the zero time.
func ago(t, now time.Time) string {
	switch age := now.Sub(t); {
	case t.IsZero():
		return "never"
	case age < time.Second:
		return "now"
	default:
		return munin.FormatDuration(age) + " ago"
	}
}
