package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"syscall"
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
	status, err := askStatus(ctx, cfg, network, address)
	if err != nil {
		return fmt.Errorf("ask the node at %s: %w", address, err)
	}
	if format == formatJSON {
		err = p.printJSON(jsonStatus{Plugins: jsonStates(status.Plugins), Spool: jsonSpoolOf(status.Spool)})
	} else {
		err = p.printStatus(status, time.Now())
	}
	if err != nil {
		return err
	}
	if slices.ContainsFunc(status.Plugins, munin.PluginState.Unhealthy) {
		return exitError{code: exitFailed}
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
func askStatus(ctx context.Context, cfg *node.Config, network, address string) (wire.NodeStatus, error) {
	var none wire.NodeStatus
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return none, fmt.Errorf("%w; %s", err, dialHint(network, err))
	}
	deadline, _ := ctx.Deadline()
	client := wire.NewClient(conn, wire.ClientOptions{Deadline: deadline})
	defer client.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if _, err := client.Greet(); err != nil {
		return none, err
	}
	if cfg.TLS.Mode.Required() {
		keys, err := wire.NewTLS(cfg.TLS)
		if err != nil {
			return none, err
		}
		if _, err := client.StartTLS(ctx, keys); err != nil {
			return none, err
		}
	}
	if _, err := client.Cap(); err != nil {
		return none, err
	}
	status, known, err := client.Status()
	if err != nil {
		return none, err
	}
	if !known {
		return none, errors.New("it does not know the question: it is Munin's node, or an old one of Corbie's")
	}
	return status, nil
}

// dialHint says what is likely to be the matter when a node is not reached.
func dialHint(network string, err error) string {
	switch {
	case errors.Is(err, syscall.EACCES) && network == "unix":
		return "only those may use the socket whom its mode names: run this as root, or as a member of its group"
	case errors.Is(err, syscall.ENOENT) && network == "unix":
		return "there is no socket: is the node running, and does it listen there?"
	}
	return "is the node running, and does it listen there? --config and --address say where to look"
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

// jsonStatus is what a node says in JSON.
type jsonStatus struct {
	Plugins []jsonState `json:"plugins"`
	Spool   *jsonSpool  `json:"spool"`
}

// jsonSpool is a node's spool in JSON.
type jsonSpool struct {
	Samples  uint64     `json:"samples"`
	Bytes    uint64     `json:"bytes"`
	Oldest   *time.Time `json:"oldest"`
	Newest   *time.Time `json:"newest"`
	Fetched  *time.Time `json:"fetched"`
	Lost     uint64     `json:"lost"`
	Damaged  uint64     `json:"damaged_bytes"`
	Failures uint64     `json:"failures"`
	Missed   uint64     `json:"missed"`
}

func jsonSpoolOf(s *munin.SpoolState) *jsonSpool {
	if s == nil {
		return nil
	}
	return &jsonSpool{
		Samples: s.Samples, Bytes: s.Bytes, Oldest: stamp(s.Oldest), Newest: stamp(s.Newest), Fetched: stamp(s.Fetched),
		Lost: s.Lost, Damaged: s.Damaged, Failures: s.Failures, Missed: s.Missed,
	}
}

// stamp is a time in JSON, null for the zero time.
func stamp(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// printStatus prints a line a plugin, below them why one fails, and how the spool is.
func (p *program) printStatus(status wire.NodeStatus, now time.Time) error {
	var b strings.Builder
	if len(status.Plugins) == 0 {
		fmt.Fprintln(p.stderr, "no plugin has run since the node was started")
	} else {
		writeStates(&b, status.Plugins, now)
	}
	if status.Spool != nil {
		writeSpool(&b, status.Spool, now)
	}
	_, err := p.stdout.Write([]byte(b.String()))
	return err
}

// writeSpool says what the spool holds, and what was lost of it.
func writeSpool(b *strings.Builder, s *munin.SpoolState, now time.Time) {
	if b.Len() > 0 {
		b.WriteByte('\n')
	}
	fmt.Fprintf(b, "spool: %d samples in %.1f MB", s.Samples, float64(s.Bytes)/(1<<20))
	if s.Samples > 0 {
		fmt.Fprintf(b, ", the oldest %s, the newest %s", ago(s.Oldest, now), ago(s.Newest, now))
	}
	if s.Fetched.IsZero() {
		b.WriteString("\n    no master has fetched it yet\n")
	} else {
		fmt.Fprintf(b, "\n    masters have what is older than %s\n", strings.TrimSuffix(ago(s.Fetched, now), " ago"))
	}
	for _, trouble := range []struct {
		n    uint64
		what string
	}{
		{s.Lost, "samples were lost before a master fetched them: see spool_keep and spool_size, and whether the disk was full"},
		{s.Damaged, "bytes could not be read"},
		{s.Failures, "runs since the start gave no sample"},
		{s.Missed, "slots since the start passed while the plugin was still running, or waiting for its turn (sample_parallel)"},
	} {
		if trouble.n > 0 {
			fmt.Fprintf(b, "    %d %s\n", trouble.n, trouble.what)
		}
	}
}

// writeStates writes a line a plugin, and below one that fails why.
func writeStates(b *strings.Builder, states []munin.PluginState, now time.Time) {
	table := tabwriter.NewWriter(b, 0, 8, 2, ' ', 0)
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
			fmt.Fprintf(b, "\n%s:\n", s.Plugin)
			for _, line := range []string{s.Failure, s.Stderr} {
				if line != "" {
					fmt.Fprintf(b, "    %s\n", line)
				}
			}
		}
	}
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
