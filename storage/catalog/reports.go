package catalog

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"corbie/munin"
)

// keptReports is how many reports of each name are kept.
const keptReports = 60

// finding is a munin.Finding as it is stored: JSON knows neither NaN nor infinity, and a zero time is left out.
type finding struct {
	Host         munin.HostID  `json:"host"`
	Graph        string        `json:"graph"`
	Field        string        `json:"field"`
	Title        string        `json:"title,omitempty"`
	Label        string        `json:"label,omitempty"`
	Unit         string        `json:"unit,omitempty"`
	Base         int           `json:"base,omitempty"`
	Used         number        `json:"used"`
	Ceiling      number        `json:"ceiling"`
	Verdict      munin.Verdict `json:"verdict"`
	Full10       time.Time     `json:"full10,omitzero"`
	Full50       time.Time     `json:"full50,omitzero"`
	Full90       time.Time     `json:"full90,omitzero"`
	Chance30     number        `json:"chance30"`
	GrowthPerDay number        `json:"growth_per_day"`
	Days         int           `json:"days"`
	Missing      int           `json:"missing,omitempty"`
	Note         string        `json:"note,omitempty"`
}

// number is a float64 whose text may also be NaN, +Inf or -Inf.
type number float64

// MarshalText writes all digits.
func (n number) MarshalText() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(n), 'g', -1, 64), nil
}

// UnmarshalText reads what MarshalText wrote.
func (n *number) UnmarshalText(text []byte) error {
	v, err := strconv.ParseFloat(string(text), 64)
	*n = number(v)
	return err
}

// SaveReport stores a report; the newest 60 of each name are kept. When it returns nil, it survives a power cut.
func (c *Catalog) SaveReport(ctx context.Context, r munin.Report) error {
	stored := make([]finding, len(r.Findings))
	for i, f := range r.Findings {
		stored[i] = finding{
			Host: f.ID.Host, Graph: f.ID.Graph, Field: f.ID.Field, Title: f.Title, Label: f.Label, Unit: f.Unit, Base: f.Base,
			Used: number(f.Used), Ceiling: number(f.Ceiling), Verdict: f.Verdict,
			Full10: f.Full10, Full50: f.Full50, Full90: f.Full90,
			Chance30: number(f.Chance30), GrowthPerDay: number(f.GrowthPerDay), Days: f.Days, Missing: f.Missing, Note: f.Note,
		}
	}
	body, err := json.Marshal(stored)
	if err == nil {
		err = c.change(ctx, c.durable, func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "INSERT INTO reports (name, at, horizon, body) VALUES (?, ?, ?, ?)",
				r.Name, r.At.UnixNano(), r.Horizon, string(body))
			if err != nil {
				return err
			}
			_, err = tx.ExecContext(ctx, `DELETE FROM reports WHERE name = ?1 AND id NOT IN
				(SELECT id FROM reports WHERE name = ?1 ORDER BY at DESC, id DESC LIMIT ?2)`, r.Name, keptReports)
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("store report %q: %w", r.Name, err)
	}
	return nil
}

// LastReport is the report with the newest At of a name; the error wraps munin.ErrNotFound where there is none.
func (c *Catalog) LastReport(ctx context.Context, name string) (munin.Report, error) {
	reports, err := collect(ctx, c.read, scanReport,
		"SELECT name, at, horizon, body FROM reports WHERE name = ? ORDER BY at DESC, id DESC LIMIT 1", name)
	if err == nil && len(reports) == 0 {
		err = munin.ErrNotFound
	}
	if err != nil {
		return munin.Report{}, fmt.Errorf("report %q: %w", name, err)
	}
	return reports[0], nil
}

func scanReport(rows *sql.Rows) (munin.Report, error) {
	var r munin.Report
	var at int64
	var body []byte
	if err := rows.Scan(&r.Name, &at, &r.Horizon, &body); err != nil {
		return r, err
	}
	r.At = time.Unix(0, at).UTC()
	var stored []finding
	if err := json.Unmarshal(body, &stored); err != nil {
		return r, fmt.Errorf("stored findings: %w", err)
	}
	r.Findings = make([]munin.Finding, len(stored))
	for i, f := range stored {
		r.Findings[i] = munin.Finding{
			ID:    munin.SeriesID{Host: f.Host, Graph: f.Graph, Field: f.Field},
			Title: f.Title, Label: f.Label, Unit: f.Unit, Base: f.Base,
			Used: float64(f.Used), Ceiling: float64(f.Ceiling), Verdict: f.Verdict,
			Full10: f.Full10, Full50: f.Full50, Full90: f.Full90,
			Chance30: float64(f.Chance30), GrowthPerDay: float64(f.GrowthPerDay), Days: f.Days, Missing: f.Missing, Note: f.Note,
		}
	}
	return r, nil
}
