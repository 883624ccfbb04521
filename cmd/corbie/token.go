package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"corbie/munin"
	"corbie/ui/access"
)

func catalogPath(dir string) string { return filepath.Join(dir, catalogFile) }

type tokenFlags struct {
	role    string
	see     []string
	expires string
	format  string
}

func (p *program) tokenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Make, list and revoke the tokens by which programs are let in to the pages",
		Args:  usageArgs(cobra.NoArgs),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var flags tokenFlags
	add := &cobra.Command{
		Use:   "add NAME",
		Short: "Make a token and print it, this once",
		Long: `add makes a token and prints it. Only its hash is kept, so it cannot be shown again.
A program sends it with each request:

  curl -H "Authorization: Bearer TOKEN" https://corbie.example.com/api/v1/query?query=up

It may read (viewer), acknowledge and annotate (operator), or write samples (admin).
NAME is who did it in the audit log; it cannot be used twice.`,
		Example: `  corbie token add grafana
  corbie token add deploy --role operator --see web --expires 1y`,
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error { return p.addToken(cmd.Context(), args[0], flags) },
	}
	add.Flags().StringVar(&flags.role, "role", munin.Viewer.String(), "viewer, operator or admin")
	add.Flags().StringSliceVar(&flags.see, "see", nil, "only the hosts of this group, as in \"web;eu\" (more than once; default: all)")
	add.Flags().StringVar(&flags.expires, "expires", "never", "how long it lets somebody in, such as 90d")
	list := &cobra.Command{
		Use:   "list",
		Short: "List all tokens, those that were revoked too",
		Args:  usageArgs(cobra.NoArgs),
		RunE:  func(cmd *cobra.Command, _ []string) error { return p.listTokens(cmd.Context(), flags.format) },
	}
	list.Flags().StringVar(&flags.format, "format", formatText, "text or json")
	revoke := &cobra.Command{
		Use:   "revoke NAME",
		Short: "Let nobody in by a token any more, from the next request on",
		Args:  usageArgs(cobra.ExactArgs(1)),
		RunE:  func(cmd *cobra.Command, args []string) error { return p.revokeToken(cmd.Context(), args[0]) },
	}
	cmd.AddCommand(add, list, revoke)
	return cmd
}

// tokenPrefix begins every token, so that scanners for secrets find one that got into a repository.
const tokenPrefix = "corbie_"

func (p *program) addToken(ctx context.Context, name string, flags tokenFlags) (err error) {
	role, err := munin.ParseRole(flags.role)
	if err != nil || role == munin.NoRole {
		return usageError{fmt.Errorf("--role %q: want viewer, operator or admin", flags.role)}
	}
	see, err := groupList(flags.see)
	if err != nil {
		return err
	}
	if name == "" || len(name) > 100 || name != munin.CleanText(name) {
		return usageError{errors.New("NAME: want 1 to 100 characters")}
	}
	now := time.Now()
	secret := tokenPrefix + rand.Text() + rand.Text()
	t := munin.Token{Name: name, Hash: access.HashToken(secret), Role: role, Groups: see, Created: now, By: whoami()}
	if flags.expires != "never" {
		span, err := munin.ParseDuration(flags.expires)
		if err != nil || span <= 0 {
			return usageError{fmt.Errorf("--expires %q: want a time such as 90d, or never", flags.expires)}
		}
		t.Ends = now.Add(span)
	}
	cat, err := p.openWriter()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cat.Close()) }()
	if err := cat.AddToken(ctx, t); err != nil {
		return err
	}
	if err := noteCLI(ctx, cat, "token add", strings.TrimSpace(name+" "+role.String()+" "+strings.Join(see, ","))); err != nil {
		return err
	}
	fmt.Fprintf(p.stderr, "The token %s; it is shown this once:\n", name)
	_, err = fmt.Fprintln(p.stdout, secret)
	return err
}

type tokenRow struct {
	Name    string     `json:"name"`
	Role    munin.Role `json:"role"`
	See     []string   `json:"see"`
	State   string     `json:"state"`
	By      string     `json:"by"`
	Created *time.Time `json:"created"`
	Ends    *time.Time `json:"ends"`
	Used    *time.Time `json:"used"`
}

func (p *program) listTokens(ctx context.Context, format string) error {
	r, err := p.openCatalog()
	if err != nil {
		return err
	}
	defer r.close()
	tokens, err := r.catalog.Tokens(ctx)
	if err != nil {
		return err
	}
	now := time.Now()
	rows := []tokenRow{}
	t := table{head: []string{"NAME", "ROLE", "SEES", "STATE", "MADE BY", "MADE", "USED"}}
	for i := range tokens {
		one := &tokens[i]
		state := "valid"
		switch {
		case !one.Revoked.IsZero():
			state = "revoked " + ago(one.Revoked, now)
		case !one.Valid(now):
			state = "expired " + ago(one.Ends, now)
		case !one.Ends.IsZero():
			state = "valid for " + munin.FormatDuration(one.Ends.Sub(now).Truncate(time.Hour))
		}
		see := "all"
		if len(one.Groups) > 0 {
			see = strings.Join(one.Groups, ", ")
		}
		rows = append(rows, tokenRow{one.Name, one.Role, one.Groups, state, one.By, stamp(one.Created), stamp(one.Ends), stamp(one.Used)})
		t.add(one.Name, one.Role.String(), see, state, one.By, ago(one.Created, now), ago(one.Used, now))
	}
	if len(rows) == 0 && format == formatText {
		_, err := fmt.Fprintln(p.stdout, errNoTokens)
		return err
	}
	return t.write(p.stdout, format, rows)
}

func (p *program) revokeToken(ctx context.Context, name string) (err error) {
	cat, err := p.openWriter()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cat.Close()) }()
	err = cat.RevokeToken(ctx, name, time.Now())
	if errors.Is(err, munin.ErrNotFound) {
		return fmt.Errorf("no valid token is called %q; 'corbie token list' lists all", name)
	}
	if err != nil {
		return err
	}
	return noteCLI(ctx, cat, "token revoke", name)
}

type changeRow struct {
	At      time.Time `json:"at"`
	Who     string    `json:"who"`
	Method  string    `json:"method"`
	Address string    `json:"address"`
	Action  string    `json:"action"`
	Detail  string    `json:"detail"`
	Refused bool      `json:"refused"`
}

func (p *program) auditCommand() *cobra.Command {
	var format, since string
	var most int
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Print who changed what, signed in or tried to, the newest first",
		Args:  usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var from time.Time
			if since != "" {
				var err error
				if from, err = munin.ParseTime(since, time.Now()); err != nil {
					return usageError{fmt.Errorf("--since: %w", err)}
				}
			}
			if most < 1 {
				return usageError{errors.New("--most: want a number of at least 1")}
			}
			return p.audit(cmd.Context(), from, most, format)
		},
	}
	cmd.Flags().StringVar(&since, "since", "", "nothing older, such as now-7d or 2026-11-21")
	cmd.Flags().IntVar(&most, "most", 100, "at most so many entries")
	cmd.Flags().StringVar(&format, "format", formatText, "text or json")
	return cmd
}

func (p *program) audit(ctx context.Context, from time.Time, most int, format string) error {
	r, err := p.openCatalog()
	if err != nil {
		return err
	}
	defer r.close()
	changes, err := r.catalog.Changes(ctx, time.Time{}, most)
	if err != nil {
		return err
	}
	rows := []changeRow{}
	t := table{head: []string{"WHEN", "WHO", "HOW", "FROM", "WHAT", "WITH"}}
	for i := range changes {
		c := &changes[i]
		if c.At.Before(from) {
			break
		}
		rows = append(rows, changeRow(*c))
		who, what := c.Who, c.Action
		if who == "" {
			who = "nobody"
		}
		if c.Refused {
			what += " (refused)"
		}
		t.add(c.At.Local().Format("2006-01-02 15:04:05"), who, c.Method, c.Address, what, c.Detail)
	}
	if len(rows) == 0 && format == formatText {
		_, err := fmt.Fprintln(p.stdout, "no changes")
		return err
	}
	return t.write(p.stdout, format, rows)
}
