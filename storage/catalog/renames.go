package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"corbie/munin"
)

// Renames are the renames that hold, as they were when the catalogue was opened, changed by it, or read by Reread. It may be nil.
func (c *Catalog) Renames() *munin.Renames { return c.renames.Load() }

// Reread takes over renames that another process stored.
func (c *Catalog) Reread(ctx context.Context) error {
	list, err := c.ListRenames(ctx)
	if err != nil {
		return err
	}
	c.renames.Store(munin.NewRenames(list))
	return nil
}

// ListRenames lists the renames that hold, in the order in which they were made.
func (c *Catalog) ListRenames(ctx context.Context) ([]munin.Rename, error) {
	list, err := collect(ctx, c.read, scanRename, `SELECT id, from_host, from_graph, from_field, to_host, to_graph, to_field, at, until
		FROM renames WHERE undone IS NULL ORDER BY id`)
	if err != nil {
		return nil, fmt.Errorf("list the renames: %w", err)
	}
	return list, nil
}

func scanRename(rows *sql.Rows) (r munin.Rename, err error) {
	var at, until sql.NullInt64
	err = rows.Scan(&r.ID, &r.From.Host, &r.From.Graph, &r.From.Field, &r.To.Host, &r.To.Graph, &r.To.Field, &at, &until)
	r.At, r.Until = fromNanos(at), fromNanos(until)
	return r, err
}

// Rename makes what is known under one name known under another: a host, a graph of a host or a field of one; both names are of the same
// kind. Where there is something of the new name, it becomes one with what has the old one. Alert states are
// copied to the new name; those of the old one stay for the evaluator to end. The error says what is in the way.
func (c *Catalog) Rename(ctx context.Context, from, to munin.SeriesID, now time.Time) error {
	err := c.edit(ctx, func(tx *sql.Tx) error {
		if err := c.mayRename(ctx, from, to); err != nil {
			return err
		}
		made := 0
		if from.Graph == "" {
			var err error
			if made, err = carryHost(ctx, tx, from.Host, to.Host); err != nil {
				return err
			}
		}
		if err := journal(ctx, tx, Edit{At: now, Kind: EditRename, From: from, To: to}); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO renames (from_host, from_graph, from_field, to_host, to_graph, to_field, at, made)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?)`, from.Host, from.Graph, from.Field, to.Host, to.Graph, to.Field, nanos(now), made)
		return errors.Join(err, copyStates(ctx, tx, from, to, "OR IGNORE"), copyAcks(ctx, tx, from, to))
	})
	if err != nil {
		return fmt.Errorf("rename %s to %s: %w", from, to, err)
	}
	return nil
}

// FieldRenames says how often a field was renamed, and how often any field of its host; what was undone since counts, too.
func (c *Catalog) FieldRenames(ctx context.Context, field munin.SeriesID) (own, all int, err error) {
	err = c.read.QueryRowContext(ctx, `SELECT count(*) FILTER (WHERE from_graph = ? AND from_field = ?), count(*)
		FROM renames WHERE from_host = ? AND from_field <> ''`, field.Graph, field.Field, field.Host).Scan(&own, &all)
	if err != nil {
		return 0, 0, fmt.Errorf("look for renames of %s: %w", field, err)
	}
	return own, all, nil
}

// mayRename says what speaks against a rename.
func (c *Catalog) mayRename(ctx context.Context, from, to munin.SeriesID) error {
	known := c.Renames()
	switch {
	case from == to:
		return errors.New("it has this name already")
	case to.Host.Name() == "" || (from.Graph == "") != (to.Graph == "") || (from.Field == "") != (to.Field == ""):
		return errors.New("one is not the same kind of thing as the other")
	case from.Graph != "" && from.Host != to.Host:
		return errors.New("graphs and fields stay with their host")
	case known.Current(from) != from:
		return fmt.Errorf("%s was renamed to %s already", from, known.Current(from))
	case known.Current(to) != to:
		return fmt.Errorf("%s was renamed to %s: undo that first", to, known.Current(to))
	}
	if from.Graph != "" {
		return nil
	}
	old, err := c.Host(ctx, string(from.Host))
	if err != nil {
		return err
	}
	into, err := c.Host(ctx, string(to.Host))
	if err == nil && into.ID == to.Host && !into.Archived && !old.Archived {
		return errors.New("both are configured: take one of them out of the configuration, and reload the master, first")
	}
	return nil
}

const carried = "address, interval, silent, first_seen, last_answer, last_tried, last_error, last_took, banner, archived, " +
	"last_lag, last_values, last_bytes, slowest, slowest_took, spool"

// carryHost gives what is known of a host to another one: one that is new, made is 1 then, or one that is not configured any more while
// the first one is.
func carryHost(ctx context.Context, tx *sql.Tx, from, to munin.HostID) (made int, err error) {
	done, err := tx.ExecContext(ctx, "INSERT OR IGNORE INTO hosts (path, name, "+carried+") SELECT ?, ?, "+carried+" FROM hosts WHERE path = ?",
		to, to.Name(), from)
	if err != nil {
		return 0, err
	}
	n, err := done.RowsAffected()
	if err != nil || n > 0 {
		return int(n), err
	}
	_, err = tx.ExecContext(ctx, `UPDATE hosts SET removed = 0, (`+carried+`) = (SELECT `+carried+` FROM hosts WHERE path = ?)
		WHERE path = ? AND archived = 1 AND EXISTS (SELECT * FROM hosts WHERE path = ? AND archived = 0)`, from, to, from)
	return 0, err
}

// copyStates gives the alert states of one name to another.
func copyStates(ctx context.Context, tx *sql.Tx, from, to munin.SeriesID, how string) error {
	_, err := tx.ExecContext(ctx, `INSERT `+how+` INTO states
			(host, graph, field, level, since, open, open_since, unknowns, value, bounds, changed, reason)
		SELECT ?, iif(? = '', graph, ?), iif(? = '', field, ?), level, since, open, open_since, unknowns, value, bounds, changed, reason
		FROM states WHERE host = ? AND (? = '' OR graph = ?) AND (? = '' OR field = ?)`,
		to.Host, to.Graph, to.Graph, to.Field, to.Field, from.Host, from.Graph, from.Graph, from.Field, from.Field)
	return err
}

// copyAcks gives what is said about who takes care to another name.
func copyAcks(ctx context.Context, tx *sql.Tx, from, to munin.SeriesID) error {
	_, err := tx.ExecContext(ctx, `INSERT OR IGNORE INTO acks (host, graph, field, since, level, at, until, author, comment)
		SELECT ?, iif(? = '', graph, ?), iif(? = '', field, ?), since, level, at, until, author, comment
		FROM acks WHERE host = ? AND (? = '' OR graph = ?) AND (? = '' OR field = ?)`,
		to.Host, to.Graph, to.Graph, to.Field, to.Field, from.Host, from.Graph, from.Graph, from.Field, from.Field)
	return err
}

// UndoRename ends a rename, which it finds by its old name or, where only one has it, by its new one. What was stored under either name
// since stays under that name. The error wraps munin.ErrNotFound.
func (c *Catalog) UndoRename(ctx context.Context, name munin.SeriesID, now time.Time) (munin.Rename, error) {
	var r munin.Rename
	err := c.edit(ctx, func(tx *sql.Tx) error {
		all, err := c.ListRenames(ctx)
		if err != nil {
			return err
		}
		if r, err = findRename(all, name); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "UPDATE renames SET undone = ? WHERE id = ?", nanos(now), r.ID); err != nil {
			return err
		}
		if err := journal(ctx, tx, Edit{At: now, Kind: EditUndo, From: r.To, To: r.From}); err != nil {
			return err
		}
		if r.From.Graph != "" {
			return nil
		}
		return giveBack(ctx, tx, r)
	})
	if err != nil {
		return r, fmt.Errorf("undo the rename of %s: %w", name, err)
	}
	return r, nil
}

func findRename(all []munin.Rename, name munin.SeriesID) (munin.Rename, error) {
	var by []munin.Rename
	for _, r := range all {
		if r.From == name && r.Until.IsZero() {
			return r, nil
		}
		if r.To == name {
			by = append(by, r)
		}
	}
	switch {
	case len(by) == 0:
		return munin.Rename{}, fmt.Errorf("%w: 'corbie rename --list' shows those that hold", munin.ErrNotFound)
	case len(by) > 1:
		return munin.Rename{}, fmt.Errorf("several were renamed to it: say which old name is to come back, as in %s", by[0].From)
	case !by[0].Until.IsZero():
		return munin.Rename{}, fmt.Errorf("its old name %s was given to another host on %s", by[0].From, by[0].Until.Format(time.DateOnly))
	}
	return by[0], nil
}

// giveBack makes a host out of one with the old name again. Where there was none with the new name before, there is none
// afterwards either, unless it was polled as that.
func giveBack(ctx context.Context, tx *sql.Tx, r munin.Rename) error {
	var made bool
	if err := tx.QueryRowContext(ctx, "SELECT made FROM renames WHERE id = ?", r.ID).Scan(&made); err != nil || !made {
		return err
	}
	if err := errors.Join(copyStates(ctx, tx, r.To, r.From, "OR REPLACE"), copyAcks(ctx, tx, r.To, r.From)); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `UPDATE hosts SET (`+carried+`) = (SELECT `+carried+` FROM hosts WHERE path = ?) WHERE path = ?`,
		r.To.Host, r.From.Host)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "DELETE FROM hosts WHERE path = ? AND NOT EXISTS (SELECT * FROM graphs WHERE host_id = hosts.id)", r.To.Host)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "UPDATE hosts SET archived = 1 WHERE path = ?", r.To.Host)
	return err
}

// Reuse gives the old name of a renamed host to another host: what was stored under it so far stays with the renamed one for good.
func (c *Catalog) Reuse(ctx context.Context, name munin.HostID, now time.Time) error {
	err := c.edit(ctx, func(tx *sql.Tx) error {
		for _, do := range []struct {
			query string
			args  []any
		}{
			{`UPDATE OR IGNORE graphs SET current = 0, last_seen = iif(current, (SELECT graphs_seen FROM hosts WHERE id = host_id), last_seen),
				host_id = (SELECT hosts.id FROM hosts JOIN renames ON path = to_host
					WHERE from_host = ?1 AND from_graph = '' AND undone IS NULL AND until IS NULL ORDER BY renames.id DESC LIMIT 1)
				WHERE host_id = (SELECT id FROM hosts WHERE path = ?1)`, []any{name}},
			{"DELETE FROM hosts WHERE path = ?", []any{name}},
			{"DELETE FROM states WHERE host = ? AND open = ?", []any{name, munin.OK.String()}},
			{"UPDATE renames SET until = ? WHERE from_host = ? AND from_graph = '' AND undone IS NULL AND until IS NULL", []any{nanos(now), name}},
		} {
			if _, err := tx.ExecContext(ctx, do.query, do.args...); err != nil {
				return err
			}
		}
		clear(c.hosts)
		return nil
	})
	if err != nil {
		return fmt.Errorf("give the name %s to another host: %w", name, err)
	}
	return nil
}

// namesOf lists the hosts whose graphs are those of a host now, the host itself first.
func (c *Catalog) namesOf(host munin.HostID) []munin.HostID {
	names := c.Renames().Names(munin.SeriesID{Host: host})
	if names == nil {
		return []munin.HostID{host}
	}
	all := make([]munin.HostID, 0, len(names))
	for i, name := range names {
		if i == 0 || name.To == names[0].To { // else its name is another host's by now, and its graphs were moved
			all = append(all, name.ID.Host)
		}
	}
	return all
}
