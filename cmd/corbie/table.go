package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"
	"time"

	"corbie/munin"
)

// Formats of the verbs that print a table.
const (
	formatText = "text"
	formatJSON = "json"
	formatCSV  = "csv"
)

// table collects rows for people; its JSON form is the caller's own value.
type table struct {
	head []string
	rows [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// write prints the table as aligned text, or value as indented JSON.
func (t *table) write(w io.Writer, format string, value any) error {
	switch format {
	case formatJSON:
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(value)
	case formatText:
		tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(tw, strings.Join(t.head, "\t"))
		for _, row := range t.rows {
			fmt.Fprintln(tw, strings.Join(row, "\t"))
		}
		return tw.Flush()
	}
	return usageError{fmt.Errorf("--format %q: want text or json", format)}
}

// number is a float in JSON, null where it is unknown.
type number float64

// MarshalJSON writes NaN and the infinities, which JSON cannot say, as null.
func (n number) MarshalJSON() ([]byte, error) {
	if v := float64(n); math.IsNaN(v) || math.IsInf(v, 0) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(n))
}

// ago is the age of an instant for people, "never" for the zero time.
func ago(t, now time.Time) string {
	switch {
	case t.IsZero():
		return "never"
	case now.Sub(t) < time.Second:
		return "now"
	}
	return munin.FormatDuration(now.Sub(t)) + " ago"
}

// stamp is a time in JSON, null for the zero time.
func stamp(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
