package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"corbie/munin"
	"corbie/storage/catalog"
	"corbie/storage/rules"
)

// byHand is what people say of what they do at a shell.
type byHand struct {
	lasts, until string // at most one of them
	by, comment  string
}

func (b *byHand) flags(cmd *cobra.Command, why string) {
	cmd.Flags().StringVar(&b.lasts, "for", "", "how long, such as 4h or 2d")
	cmd.Flags().StringVar(&b.until, "until", "", `until when: "08:00", "2026-11-21 08:00"`)
	cmd.Flags().StringVarP(&b.comment, "comment", "m", "", why)
	cmd.Flags().StringVar(&b.by, "by", "", "who says so (default: your name on this machine)")
}

// end is when it is over; zero where neither flag says so.
func (b *byHand) end(now time.Time) (time.Time, error) {
	switch {
	case b.lasts != "" && b.until != "":
		return time.Time{}, usageError{errors.New("--for and --until do not go together")}
	case b.lasts != "":
		d, err := munin.ParseDuration(b.lasts)
		if err != nil || d == 0 {
			return time.Time{}, usageError{fmt.Errorf("--for %q: want a duration, such as 4h or 2d", b.lasts)}
		}
		return now.Add(d), nil
	case b.until == "":
		return time.Time{}, nil
	}
	if clock, err := time.ParseInLocation("15:04", b.until, now.Location()); err == nil {
		at := time.Date(now.Year(), now.Month(), now.Day(), clock.Hour(), clock.Minute(), 0, 0, now.Location())
		if !at.After(now) {
			at = at.AddDate(0, 0, 1)
		}
		return at, nil
	}
	at, err := munin.ParseTime(b.until, now)
	switch {
	case err != nil:
		return at, usageError{fmt.Errorf("--until: %w", err)}
	case !at.After(now):
		return at, usageError{fmt.Errorf("--until: %s is over", at.Format(time.DateTime))}
	}
	return at, nil
}

// who is the person at the shell, also behind sudo.
func (b *byHand) who() string {
	if b.by != "" {
		return b.by
	}
	if name := os.Getenv("SUDO_USER"); name != "" {
		return name
	}
	if u, err := user.Current(); err == nil {
		return cmp.Or(u.Username, u.Uid)
	}
	return "somebody"
}

func (p *program) ackCommand() *cobra.Command {
	var say byHand
	var undo bool
	cmd := &cobra.Command{
		Use:     "ack WHAT...",
		Aliases: []string{"acknowledge"},
		Short:   "Say that you take care of a problem: its notice is not repeated",
		Long: `ack acknowledges open problems. WHAT is a host, HOST/GRAPH or HOST/GRAPH.FIELD, or
what "corbie problems" calls it; a host means all that is wrong with it. An
acknowledged problem stands apart on the pages, and its notice is not repeated.

That ends with the problem, when the time is over, or when the problem becomes
worse; its end is told as usual. To keep problems that begin later from being
told, see "corbie silence".`,
		Example: `  corbie problems
  corbie ack web1 -m "disk ordered, ticket 4711"
  corbie ack web1/df._dev_sda1 --until 08:00
  corbie ack --undo web1`,
		Args:              usageArgs(cobra.MinimumNArgs(1)),
		ValidArgsFunction: p.completeProblems,
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.acknowledge(cmd.Context(), args, say, undo)
		},
	}
	say.flags(cmd, "what is being done about it")
	cmd.Flags().BoolVar(&undo, "undo", false, "take it back")
	return cmd
}

func (p *program) acknowledge(ctx context.Context, names []string, say byHand, undo bool) error {
	now := time.Now()
	until, err := say.end(now)
	if err != nil {
		return err
	}
	e, err := p.openEditor(ctx)
	if err != nil {
		return err
	}
	defer e.Close()
	open, err := openProblems(ctx, e.Catalog, p.dataDir)
	if err != nil {
		return err
	}
	found, err := meant(open, names)
	if err != nil {
		return err
	}
	if undo {
		return p.unacknowledge(ctx, e, found, now)
	}
	acks := make([]munin.Ack, len(found))
	for i, s := range found {
		acks[i] = munin.Ack{ID: s.ID, Since: s.OpenSince, Level: s.Open, At: now, Until: until, By: say.who(), Comment: say.comment}
	}
	if err := e.AcknowledgeByHand(ctx, acks, now); err != nil {
		return err
	}
	holds := "until it is over"
	if !until.IsZero() {
		holds = "until " + until.Format("Mon 2 Jan 15:04")
	}
	for _, s := range found {
		fmt.Fprintf(p.stdout, "%s: acknowledged %s: %s\n", s.ID, holds, s.Reason)
	}
	return e.takenOver(ctx)
}

func (p *program) unacknowledge(ctx context.Context, e *editor, found []munin.AlertState, now time.Time) error {
	acks, err := e.Acks(ctx)
	if err != nil {
		return err
	}
	var ids []munin.SeriesID
	for _, s := range found {
		if slices.ContainsFunc(acks, func(a munin.Ack) bool { return a.Covers(s, now) }) {
			ids = append(ids, s.ID)
		}
	}
	if len(ids) == 0 {
		return errors.New("nobody has acknowledged it")
	}
	if err := e.UnacknowledgeByHand(ctx, ids, now); err != nil {
		return err
	}
	for _, id := range ids {
		fmt.Fprintf(p.stdout, "%s: not acknowledged any more\n", id)
	}
	return e.takenOver(ctx)
}

// openProblems are those of levels and of rules.
func openProblems(ctx context.Context, c *catalog.Catalog, dir string) ([]munin.AlertState, error) {
	all, err := problemsOf(ctx, c, dir)
	return slices.DeleteFunc(all, func(s munin.AlertState) bool { return s.Open == munin.OK }), err
}

// problemsOf are the states of levels, and the open problems of rules.
func problemsOf(ctx context.Context, c *catalog.Catalog, dir string) ([]munin.AlertState, error) {
	all, err := c.States(ctx)
	if err != nil {
		return nil, err
	}
	more, err := rules.Open(filepath.Join(dir, alertsFolder, rulesFile))
	return append(all, more...), err
}

// namesOf are the words that mean a problem: those of its host, graph and field, with the host's group and without it, as "corbie rename" and as
// "corbie problems" write them.
func namesOf(id munin.SeriesID) []string {
	var names []string
	for _, part := range []munin.SeriesID{{Host: id.Host}, {Host: id.Host, Graph: id.Graph}, id} {
		for _, host := range []munin.HostID{id.Host, munin.HostID(id.Host.Name())} {
			part.Host = host
			names = append(names, spoken(part), part.String())
		}
	}
	if name, ok := munin.RuleName(id.Graph); ok {
		names = append(names, name)
	}
	return names
}

// meant finds the open problems that are meant by names.
func meant(open []munin.AlertState, names []string) ([]munin.AlertState, error) {
	var found []munin.AlertState
	for _, name := range names {
		hosts := make(map[munin.HostID]bool)
		n := len(found)
		for _, s := range open {
			if slices.Contains(namesOf(s.ID), name) {
				hosts[s.ID.Host] = true
				found = append(found, s)
			}
		}
		_, exact := hosts[munin.HostID(name)]
		switch {
		case n == len(found):
			return nil, fmt.Errorf("there is no open problem of %q; 'corbie problems' lists those that there are", name)
		case len(hosts) > 1 && !exact && !strings.Contains(name, ";"):
			var all []string
			for host := range hosts {
				all = append(all, quoted(string(host)))
			}
			slices.Sort(all)
			return nil, fmt.Errorf("%q is %w: it is one of %s; say which", name, munin.ErrAmbiguous, strings.Join(all, ", "))
		case len(hosts) > 1 && exact: // a host without a group, and others of its name
			found = append(found[:n], slices.DeleteFunc(found[n:], func(s munin.AlertState) bool { return s.ID.Host != munin.HostID(name) })...)
		}
	}
	slices.SortFunc(found, func(a, b munin.AlertState) int { return strings.Compare(a.Key(), b.Key()) })
	return slices.CompactFunc(found, func(a, b munin.AlertState) bool { return a.ID == b.ID }), nil
}

// completeProblems offers what is open.
func (p *program) completeProblems(cmd *cobra.Command, _ []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	const nothing = cobra.ShellCompDirectiveNoFileComp
	dir, err := p.findData()
	if err != nil {
		return nil, nothing
	}
	r, err := p.openCatalog()
	if err != nil {
		return nil, nothing
	}
	defer r.close()
	open, err := openProblems(cmd.Context(), r.catalog, dir)
	if err != nil {
		return nil, nothing
	}
	var names []cobra.Completion
	for _, s := range open {
		for _, name := range []string{s.ID.Host.Name(), spoken(s.ID)} {
			if strings.HasPrefix(name, word) && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names, nothing
}
