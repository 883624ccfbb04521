package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"corbie/master/config"
)

func (p *program) checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check [FILE]",
		Short: "Check the configuration: every error at once, with file and line; exit 1 when there is one",
		Args:  usageArgs(cobra.MaximumNArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 {
				p.configPath = args[0]
			}
			return p.check()
		},
	}
}

func (p *program) check() error {
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
	for _, w := range conf.Warnings {
		fmt.Fprintln(p.stderr, "warning:", w)
	}
	fmt.Fprintf(p.stdout, "%s: ok: %s, %s, %s\n", conf.Name, plural(len(conf.Hosts), "host", "hosts"),
		plural(len(conf.Levels), "level", "levels"), plural(len(conf.Receivers), "receiver", "receivers"))
	return nil
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
