package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"slices"

	"corbie/munin"
)

// SaveStates stores states, each instead of what was stored for its ID before, and others stay. All are stored or none; when it returns
// nil, they survive a power cut.
func (c *Catalog) SaveStates(ctx context.Context, states []munin.AlertState) error {
	if len(states) == 0 {
		return nil
	}
	if c.durable == nil {
		return fmt.Errorf("store alert states: %w", errReadOnly)
	}
	if err := c.states.run(ctx, states); err != nil {
		return fmt.Errorf("store alert states: %w", err)
	}
	return nil
}

// saveAll stores states in one transaction, all or none.
func (c *Catalog) saveAll(ctx context.Context, batch [][]munin.AlertState) error {
	return c.change(ctx, c.durable, func(tx *sql.Tx) error {
		stmt, err := tx.PrepareContext(ctx, `INSERT OR REPLACE INTO states
			(host, graph, field, level, since, open, open_since, unknowns, value, bounds, changed, reason)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
		if err != nil {
			return err
		}
		defer stmt.Close()
		for _, s := range slices.Concat(batch...) {
			_, err := stmt.ExecContext(ctx, s.ID.Host, s.ID.Graph, s.ID.Field, s.Level.String(), nanos(s.Since),
				s.Open.String(), nanos(s.OpenSince), s.Unknowns, sql.NullFloat64{Float64: s.Value, Valid: !math.IsNaN(s.Value)},
				s.Bounds.String(), nanos(s.Changed), s.Reason)
			if err != nil {
				return fmt.Errorf("%s: %w", s.ID, err)
			}
		}
		return nil
	})
}

// States lists all stored states, by ID.
func (c *Catalog) States(ctx context.Context) ([]munin.AlertState, error) {
	states, err := collect(ctx, c.read, scanState, `SELECT host, graph, field, level, since, open, open_since, unknowns, value, bounds,
		changed, reason FROM states ORDER BY host, graph, field`)
	if err != nil {
		return nil, fmt.Errorf("list alert states: %w", err)
	}
	return states, nil
}

func scanState(rows *sql.Rows) (munin.AlertState, error) {
	var s munin.AlertState
	var level, open, bounds string
	var since, openSince, changed sql.NullInt64
	var value sql.NullFloat64
	err := rows.Scan(&s.ID.Host, &s.ID.Graph, &s.ID.Field, &level, &since, &open, &openSince, &s.Unknowns, &value, &bounds,
		&changed, &s.Reason)
	if err != nil {
		return s, err
	}
	s.Since, s.OpenSince, s.Changed = fromNanos(since), fromNanos(openSince), fromNanos(changed)
	s.Value = math.NaN()
	if value.Valid {
		s.Value = value.Float64
	}
	if s.Level, err = munin.ParseLevel(level); err == nil {
		s.Open, err = munin.ParseLevel(open)
	}
	if err == nil {
		s.Bounds, err = munin.ParseBounds(bounds)
	}
	if err != nil {
		return s, fmt.Errorf("stored state of %s: %w", s.ID, err)
	}
	return s, nil
}
