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
	Ack    *ackRow     `json:"acknowledged"`
}

type ackRow struct {
	By      string     `json:"by"`
	At      time.Time  `json:"at"`
	Until   *time.Time `json:"until"`
	Comment string     `json:"comment"`
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
			dir, err := p.findData()
			if err != nil {
				return err
			}
			states, err := problemsOf(cmd.Context(), r.catalog, dir)
			if err != nil {
				return err
			}
			acks, err := r.catalog.Acks(cmd.Context())
			if err != nil {
				return err
			}
			return p.printProblems(states, acks, format, time.Now())
		},
	}
	cmd.Flags().StringVar(&format, "format", formatText, "text or json")
	return cmd
}

func (p *program) printProblems(states []munin.AlertState, acks []munin.Ack, format string, now time.Time) error {
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
		row := problemRow{s.ID.String(), level, stamp(since), number(s.Value), s.Bounds.String(), s.Reason, nil}
		for i := range acks {
			if a := &acks[i]; a.Covers(s, now) {
				row.Ack = &ackRow{a.By, a.At, stamp(a.Until), a.Comment}
			}
		}
		rows = append(rows, row)
	}
	sort.SliceStable(rows, func(i, j int) bool { return rows[i].Level > rows[j].Level })
	t := table{head: []string{"LEVEL", "WHAT", "SINCE", "WHY"}}
	for _, row := range rows {
		var since time.Time
		if row.Since != nil {
			since = *row.Since
		}
		t.add(row.Level.String(), row.ID, ago(since, now), row.Reason+row.Ack.words())
	}
	if len(rows) == 0 && format == formatText {
		_, err := fmt.Fprintln(p.stdout, "no problems")
		return err
	}
	return t.write(p.stdout, format, rows)
}

// words say who takes care of a problem.
func (a *ackRow) words() string {
	if a == nil {
		return ""
	}
	text := " (acknowledged by " + a.By
	if a.Until != nil {
		text += " until " + a.Until.Local().Format("Mon 2 Jan 15:04")
	}
	if a.Comment != "" {
		text += ": " + a.Comment
	}
	return text + ")"
}
