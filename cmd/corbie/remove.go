package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"corbie/munin"
)

func (p *program) removeCommand() *cobra.Command {
	var undo, list bool
	cmd := &cobra.Command{
		Use:   "remove HOST",
		Short: "Take a host that is not configured any more out of all lists",
		Long: `remove takes a host out of all lists and pages. It has to be out of the
configuration first: a host that is configured is polled and listed.

Nothing is deleted. Its graphs can still be seen at their addresses and exported,
and its values go when they are older than the retention. "corbie remove --undo"
puts it into the lists again, and so does configuring it.`,
		Example: `  corbie remove web1
  corbie remove --undo web1
  corbie remove --list`,
		Args: func(cmd *cobra.Command, args []string) error {
			if undo && list {
				return usageError{errors.New("corbie remove: --undo and --list do not go together")}
			}
			want := 1
			if list {
				want = 0
			}
			return usageArgs(cobra.ExactArgs(want))(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if list {
				return p.listRemoved(cmd.Context())
			}
			return p.remove(cmd.Context(), args[0], undo)
		},
	}
	cmd.Flags().BoolVar(&undo, "undo", false, "put a removed host into the lists again")
	cmd.Flags().BoolVar(&list, "list", false, "list the hosts that were removed")
	return cmd
}

func (p *program) remove(ctx context.Context, name string, undo bool) error {
	e, err := p.openEditor(ctx)
	if err != nil {
		return err
	}
	defer e.Close()
	id, err := e.known(ctx, name)
	switch {
	case err != nil:
		return err
	case id.Graph != "":
		return fmt.Errorf("%s is not a host: graphs go by themselves when they are older than the retention", name)
	case undo:
		if err := e.Restore(ctx, id.Host, time.Now()); err != nil {
			return err
		}
		fmt.Fprintf(p.stdout, "%s is in the lists again.\n", id.Host)
	default:
		if err := e.Remove(ctx, id.Host, time.Now()); err != nil {
			return err
		}
		fmt.Fprintf(p.stdout, "%s is out of all lists; nothing was deleted. To undo: corbie remove --undo %s\n", id.Host, quoted(string(id.Host)))
	}
	return e.takenOver(ctx)
}

func (p *program) listRemoved(ctx context.Context) error {
	r, err := p.openCatalog()
	if err != nil {
		return err
	}
	defer r.close()
	hosts, err := r.catalog.Removed(ctx)
	if err != nil {
		return err
	}
	if len(hosts) == 0 {
		fmt.Fprintln(p.stdout, "no host was removed")
		return nil
	}
	return p.printRemoved(hosts)
}

func (p *program) printRemoved(hosts []munin.Host) error {
	t := table{head: []string{"HOST", "LAST ANSWER"}}
	for _, h := range hosts {
		t.add(string(h.ID), ago(h.LastAnswer, time.Now()))
	}
	return t.write(p.stdout, formatText, nil)
}
