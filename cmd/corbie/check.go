package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"corbie/master/config"
	"corbie/storage/rules"
)

func (p *program) checkCommand() *cobra.Command {
	var host string
	cmd := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Check the configuration: every error at once, with file and line; exit 1 when there is one",
		Long: `check reads the configuration, and the munin.conf and the other files that it
names, and prints every error with its file and line, and what is legal but
probably not meant. With --explain it prints what a host resolves to instead:
its settings and, where a master has polled it, what holds for its graphs and
fields, each with the line that it comes from.`,
		Args: usageArgs(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				p.configPath = args[0]
			}
			return p.check(cmd.Context(), host)
		},
	}
	cmd.Flags().StringVar(&host, "explain", "", "print what this host resolves to, and where each setting comes from")
	return cmd
}

func (p *program) check(ctx context.Context, host string) error {
	conf, err := p.loadConfig(config.Flags{})
	if err != nil {
		problems := config.Problems(err)
		for _, line := range problems {
			fmt.Fprintln(p.stderr, line)
		}
		if len(problems) == 0 {
			return err
		}
		return errors.New(plural(len(problems), "error", "errors") + " in the configuration")
	}
	set, bad := rules.Load(conf.Rules)
	if wrong := append(checkAccess(conf), bad...); len(wrong) > 0 {
		for _, err := range wrong {
			fmt.Fprintln(p.stderr, err)
		}
		return errors.New(plural(len(wrong), "error", "errors") + " in files that the configuration names")
	}
	for _, w := range conf.Warnings {
		fmt.Fprintln(p.stderr, "warning:", w)
	}
	if host != "" {
		return p.explain(ctx, conf, host)
	}
	more := ""
	if n := set.Count(); n > 0 {
		more = ", " + plural(n, "rule", "rules")
	}
	fmt.Fprintf(p.stdout, "%s: ok: %s, %s, %s%s\n", conf.Name, plural(len(conf.Hosts), "host", "hosts"),
		plural(len(conf.Levels), "level", "levels"), plural(len(conf.Receivers), "receiver", "receivers"), more)
	return nil
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
