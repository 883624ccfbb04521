package main

import (
	"fmt"
	"sort"
	"time"

	"github.com/spf13/cobra"

	"corbie/munin"
)

type problemRow struct {
	ID     string      `json:"id"`
	Level  munin.Level `json:"level"`
	Since  *time.Time  `json:"since"`
	Value  number      `json:"value"`
	Limit  string      `json:"limit"`
	Reason string      `json:"reason"`
}

func (p *program) problemsCommand() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "problems",
		Short: "List what is warning, critical, unknown or silent, worst first; exit 0 also when there are some",
		Args:  usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := p.openCatalog()
			if err != nil {
				return err
			}
			defer r.close()
			states, err := r.catalog.States(cmd.Context())
			if err != nil {
				return err
			}
			return p.printProblems(states, format, time.Now())
		},
	}
	cmd.Flags().StringVar(&format, "format", formatText, "text or json")
	return cmd
}

func (p *program) printProblems(states []munin.AlertState, format string, now time.Time) error {
	rows := []problemRow{}
	for _, s := range states {
		level := max(s.Level, s.Open)
		if level == munin.OK {
			continue
		}
		since := s.Since
		if s.Open != munin.OK {
			since = s.OpenSince
		}
		rows = append(rows, problemRow{s.ID.String(), level, stamp(since), number(s.Value), s.Bounds.String(), s.Reason})
	}
	sort.SliceStable(rows, func(i, j int) bool { return rows[i].Level > rows[j].Level })
	t := table{head: []string{"LEVEL", "WHAT", "SINCE", "WHY"}}
	for _, row := range rows {
		var since time.Time
		if row.Since != nil {
			since = *row.Since
		}
		t.add(row.Level.String(), row.ID, ago(since, now), row.Reason)
	}
	if len(rows) == 0 && format == formatText {
		_, err := fmt.Fprintln(p.stdout, "no problems")
		return err
	}
	return t.write(p.stdout, format, rows)
}
