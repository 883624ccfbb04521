package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"corbie/alerts/route"
	"corbie/munin"
	"corbie/storage/catalog"
)

type silenceFlags struct {
	byHand

	group  string
	match  []string
	list   bool
	end    string
	format string
}

type silenceRow struct {
	ID      string    `json:"id"` // empty where the master has not taken it over yet
	What    string    `json:"what"`
	From    time.Time `json:"from"`
	Until   time.Time `json:"until"`
	By      string    `json:"by"`
	Comment string    `json:"comment"`
}

func (p *program) silenceCommand() *cobra.Command {
	var flags silenceFlags
	cmd := &cobra.Command{
		Use:   "silence WHAT --for 2h -m WHY",
		Short: "Keep problems that begin from being told, for a time",
		Long: `silence keeps quiet about problems that begin meanwhile: for maintenance, or while
a cause is known. WHAT is a host, HOST/GRAPH or HOST/GRAPH.FIELD. --group NAME
is a whole group with those in it. --match LABEL=VALUE, as often as you like,
compares any label of a problem: group, host, graph, field, severity, alertname,
and those of a rule; LABEL=~REGEX matches a pattern, LABEL!=VALUE all others.

Polling, graphs and the page of problems go on. What was told before is told to
be over, also meanwhile. What is still a problem at the end is told then.`,
		Example: `  corbie silence web1 --for 2h -m "new disks"
  corbie silence --group 'web;eu' --until 06:00 -m "network maintenance"
  corbie silence --match alertname=WebIsBusy --match severity=warning --for 1d -m "known"
  corbie silence --list
  corbie silence --end 3f9a1c22`,
		Args:              usageArgs(cobra.MaximumNArgs(1)),
		ValidArgsFunction: p.completeHosts(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case flags.list && (flags.end != "" || len(args) > 0):
				return usageError{errors.New("corbie silence: --list stands alone")}
			case flags.list:
				return p.listSilences(cmd.Context(), flags.format)
			case flags.end != "" && len(args) > 0:
				return usageError{errors.New("corbie silence: --end takes the ID of a silence, and nothing else; --list shows it")}
			case flags.end != "":
				return p.endSilence(cmd.Context(), flags.end)
			}
			return p.silence(cmd.Context(), args, &flags)
		},
	}
	flags.flags(cmd, "why (needed)")
	cmd.Flags().StringVar(&flags.group, "group", "", "a whole group, with the groups in it")
	cmd.Flags().StringArrayVar(&flags.match, "match", nil, "LABEL=VALUE, LABEL=~REGEX, LABEL!=VALUE or LABEL!~REGEX of problems")
	cmd.Flags().BoolVar(&flags.list, "list", false, "list the silences that hold, or will")
	cmd.Flags().StringVar(&flags.end, "end", "", "end the silence with this ID, or whose ID begins so")
	cmd.Flags().StringVar(&flags.format, "format", formatText, "with --list: text or json")
	return cmd
}

func (p *program) silence(ctx context.Context, args []string, flags *silenceFlags) error {
	now := time.Now()
	until, err := flags.byHand.end(now)
	switch {
	case err != nil:
		return err
	case len(args) == 0 && flags.group == "" && len(flags.match) == 0:
		return usageError{errors.New("corbie silence: say what: a host, HOST/GRAPH, --group or --match")}
	case until.IsZero():
		return usageError{errors.New("corbie silence: say how long, by --for 2h or --until 08:00")}
	case flags.comment == "":
		return usageError{errors.New(`corbie silence: say why, by -m "new disks": others will ask`)}
	}
	e, err := p.openEditor(ctx)
	if err != nil {
		return err
	}
	defer e.Close()
	s := route.Silence{StartsAt: now, EndsAt: until, CreatedBy: flags.who(), Comment: flags.comment}
	if s.Matchers, err = e.matchers(ctx, args, flags); err != nil {
		return err
	}
	if err := s.Check(); err != nil {
		return usageError{fmt.Errorf("corbie silence: %w", err)}
	}
	detail, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := e.Leave(ctx, catalog.Edit{At: now, Kind: catalog.EditSilence, Detail: string(detail)}); err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "%s: silent until %s. 'corbie silence --list' shows it, --end ends it.\n", s.Words(), until.Format("Mon 2 Jan 15:04"))
	return e.takenOver(ctx)
}

// matchers are what the arguments say.
func (e *editor) matchers(ctx context.Context, args []string, flags *silenceFlags) ([]route.Matcher, error) {
	var all []route.Matcher
	if len(args) > 0 {
		id, err := e.known(ctx, args[0])
		if err != nil {
			return nil, err
		}
		all = append(all, route.Matcher{Name: "host", Value: id.Host.Name()}, route.Matcher{Name: "group", Value: id.Host.Group()})
		for name, value := range map[string]string{"graph": id.Graph, "field": id.Field} {
			if value != "" {
				all = append(all, route.Matcher{Name: name, Value: value})
			}
		}
	}
	if flags.group != "" {
		hosts, err := e.Hosts(ctx)
		if err != nil {
			return nil, err
		}
		within := func(h munin.Host) bool { return strings.HasPrefix(h.ID.Group()+";", flags.group+";") }
		if !slices.ContainsFunc(hosts, within) {
			return nil, fmt.Errorf("no host is in a group %q; 'corbie hosts' shows the groups", flags.group)
		}
		all = append(all, route.Matcher{Name: "group", Value: regexp.QuoteMeta(flags.group) + "(;.*)?", Regex: true})
	}
	for _, text := range flags.match {
		m, err := route.ParseMatcher(text)
		if err != nil {
			return nil, usageError{fmt.Errorf("--match: %w", err)}
		}
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b route.Matcher) int { return strings.Compare(a.String(), b.String()) })
	return all, nil
}

// storedSilences are those that the master has, and those that it has not taken over yet.
func (p *program) storedSilences(ctx context.Context) ([]route.Silence, error) {
	r, err := p.openCatalog()
	if err != nil {
		return nil, err
	}
	defer r.close()
	dir, err := p.findData()
	if err != nil {
		return nil, err
	}
	all, err := route.StoredSilences(ctx, filepath.Join(dir, alertsFolder))
	if err != nil {
		return nil, err
	}
	edits, err := r.catalog.Edits(ctx)
	for _, e := range edits {
		var s route.Silence
		switch e.Kind {
		case catalog.EditSilence:
			if json.Unmarshal([]byte(e.Detail), &s) == nil && s.EndsAt.After(time.Now()) {
				all = append(all, s)
			}
		case catalog.EditUnmute:
			all = slices.DeleteFunc(all, func(s route.Silence) bool { return s.ID == e.Detail })
		default:
		}
	}
	return all, err
}

func (p *program) listSilences(ctx context.Context, format string) error {
	all, err := p.storedSilences(ctx)
	if err != nil {
		return err
	}
	if len(all) == 0 && format == formatText {
		fmt.Fprintln(p.stdout, "nothing is silenced")
		return nil
	}
	t, rows := table{head: []string{"ID", "WHAT", "UNTIL", "BY", "WHY"}}, make([]silenceRow, 0, len(all))
	for i := range all {
		s := &all[i]
		rows = append(rows, silenceRow{s.ID, s.Words(), s.StartsAt, s.EndsAt, s.CreatedBy, s.Comment})
		id := s.ID[:min(len(s.ID), 8)]
		if id == "" {
			id = "at the master's start"
		}
		t.add(id, s.Words(), s.EndsAt.Local().Format("Mon 2 Jan 15:04"), s.CreatedBy, s.Comment)
	}
	return t.write(p.stdout, format, rows)
}

func (p *program) endSilence(ctx context.Context, id string) error {
	all, err := p.storedSilences(ctx)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(s route.Silence) bool { return s.ID == "" || !strings.HasPrefix(s.ID, id) })
	switch len(all) {
	case 0:
		return fmt.Errorf("there is no silence %q: 'corbie silence --list' shows those that hold", id)
	case 1:
	default:
		return fmt.Errorf("%d silences have an ID that begins with %q: say more of it", len(all), id)
	}
	e, err := p.openEditor(ctx)
	if err != nil {
		return err
	}
	defer e.Close()
	if err := e.Leave(ctx, catalog.Edit{At: time.Now(), Kind: catalog.EditUnmute, Detail: all[0].ID}); err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "%s: not silenced any more. What is a problem there is told.\n", all[0].Words())
	return e.takenOver(ctx)
}

// silence begins what was left by "corbie silence".
func (a *app) silence(ctx context.Context, e catalog.Edit) error {
	var s route.Silence
	if err := json.Unmarshal([]byte(e.Detail), &s); err != nil {
		a.log.Error("a silence by hand cannot be read", "err", err)
		return nil
	}
	if !s.EndsAt.After(time.Now()) {
		return nil // it was over before a master could begin it
	}
	return a.router.SilenceOnce(ctx, s)
}
