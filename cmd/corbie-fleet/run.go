package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/spf13/cobra"

	"corbie/munin"
	"corbie/munin/wire/fleet"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// usageError marks a mistake on the command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// settings are what the flags say.
type settings struct {
	options  fleet.Options
	port     int
	interval time.Duration
	config   string
}

// run is the whole program; it serves until ctx ends.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	cmd := command(stdout)
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	err := cmd.ExecuteContext(ctx)
	var usage usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "corbie-fleet: %v\nSee 'corbie-fleet --help'.\n", err)
		return exitUsage
	}
	fmt.Fprintf(stderr, "corbie-fleet: %v\n", err)
	return exitFailed
}

func command(stdout io.Writer) *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use:   "corbie-fleet",
		Short: "Serve simulated nodes, to size a master or to vex one",
		Long: `corbie-fleet serves any number of simulated nodes on this machine, each on an
address of its own: 127.1.0.1, 127.1.0.2, … on one port. Other machines cannot
reach them. What the nodes do follows from --seed, and is the same every time.

How much a master needs for 2000 nodes, polled once a minute:

  corbie-fleet --nodes 2000 --interval 1m --write-config fleet.yml &
  corbie serve --config fleet.yml --data /tmp/fleet --listen 127.0.0.1:8081

Nodes that misbehave are shares of all: --hang 0.05 makes 5 % of them stop in
the middle of a session and keep the connection. They come in addition to
--latency, --jitter and --loss, which all nodes have.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(cmd *cobra.Command, args []string) error {
			if err := cobra.NoArgs(cmd, args); err != nil {
				return usageError{err}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return serve(cmd.Context(), s, stdout) },
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	f, o := cmd.Flags(), &s.options
	f.IntVar(&o.Nodes, "nodes", 100, "how many nodes")
	f.IntVar(&o.Plugins, "plugins", 20, "plugins of each node")
	f.IntVar(&o.Fields, "fields", 5, "fields of each plugin")
	f.IntVar(&s.port, "port", 4950, "port of all nodes; 0: any that is free")
	f.Uint64Var(&o.Seed, "seed", 1, "what the nodes do follows from this number")
	f.DurationVar(&o.Tick, "tick", 10*time.Second, "how often values change")
	f.DurationVar(&o.Latency, "latency", 0, "round trip to every node, such as 50ms")
	f.DurationVar(&o.Jitter, "jitter", 0, "up to this much more, for each answer")
	f.Float64Var(&o.Loss, "loss", 0, "share of connections that are reset at once")
	f.Float64Var(&o.Mix.Hang, "hang", 0, "share of nodes that stop in the middle of a session")
	f.Float64Var(&o.Mix.Slow, "slow", 0, "share of nodes that take their time, see --slow-by")
	f.Float64Var(&o.Mix.Rubbish, "rubbish", 0, "share of nodes that say what no node should")
	f.Float64Var(&o.Mix.Vanish, "vanish", 0, "share of nodes that go away and come back, see --away")
	f.Float64Var(&o.Mix.Wrong, "wrong", 0, "share of nodes that answer about another plugin than was asked for")
	f.DurationVar(&o.SlowBy, "slow-by", 5*time.Second, "what a slow node adds to a session, about")
	f.DurationVar(&o.Away, "away", time.Minute, "how long a node that vanishes is away, and then there")
	f.DurationVar(&s.interval, "interval", 5*time.Minute, "time between two polls, for --write-config")
	f.StringVar(&s.config, "write-config", "", "write a corbie.yml for a master of this fleet to a file")
	return cmd
}

func serve(ctx context.Context, s settings, stdout io.Writer) error {
	nodes, err := fleet.New(s.options)
	if err != nil {
		return usageError{err}
	}
	if s.interval < time.Second || s.port < 0 || s.port > 65535 {
		return usageError{errors.New("want an --interval of at least 1s and a --port from 0 to 65535")}
	}
	l, err := fleet.Listen(ctx, s.port)
	if err != nil {
		return err
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // it is a TCP port
	if s.config != "" {
		if err := writeConfig(nodes, s, port); err != nil {
			return err
		}
	}
	counts := make(map[fleet.Behaviour]int)
	for i := range nodes.Len() {
		counts[nodes.Behaviour(i)]++
	}
	fmt.Fprintf(stdout, "%d nodes with %d values each, from %s to %s", nodes.Len(), nodes.Series(), nodes.Address(0, port), nodes.Address(nodes.Len()-1, port))
	for b := fleet.Honest; b <= fleet.Wrong; b++ {
		if counts[b] > 0 && counts[b] < nodes.Len() {
			fmt.Fprintf(stdout, ", %d %s", counts[b], b)
		}
	}
	fmt.Fprintln(stdout)
	began := time.Now()
	err = nodes.Serve(ctx, l)
	stats := nodes.Stats()
	fmt.Fprintf(stdout, "%d sessions, %d answers, %d bytes in %s\n", stats.Sessions, stats.Answers, stats.Bytes, munin.FormatDuration(time.Since(began)))
	return err
}

func writeConfig(nodes *fleet.Fleet, s settings, port int) error {
	file, err := os.Create(s.config)
	if err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	err = nodes.WriteConfig(file, port, s.interval)
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	return nil
}
