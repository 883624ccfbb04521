package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"time"

	"corbie/munin"
)

// EditKind is a kind of change by hand.
type EditKind string

// The kinds.
const (
	EditRename  EditKind = "rename"
	EditUndo    EditKind = "undo" // of a rename: From is the name that was undone, To what it is called again
	EditRemove  EditKind = "remove"
	EditRestore EditKind = "restore"
	EditAck     EditKind = "acknowledge" // or take that back; the acknowledgements are in their table
	EditSilence EditKind = "silence"     // Detail says which
	EditUnmute  EditKind = "end silence" // Detail is its ID
)

// Edit is a change that was made by hand, also while no master ran.
type Edit struct {
	ID       int64
	At       time.Time
	Kind     EditKind
	From, To munin.SeriesID
	Detail   string
}

// OpenToEdit opens a catalogue for changes by hand, also while a master writes to it. It does not bring it up to date: one of another
// version is an error, and so is one that a master keeps in memory.
func OpenToEdit(ctx context.Context, path string) (*Catalog, error) {
	unlock, err := lockEdits(path, syscall.LOCK_SH)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open the catalogue %s: %w", path, err)
	}
	c, err := OpenReadOnly(path, Options{})
	if err != nil {
		if unlock != nil {
			err = errors.Join(err, unlock())
		}
		return nil, err
	}
	c.unlock = unlock
	c.durable = c.place.pool(1, writer("rw", "FULL"))
	if err := c.durable.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open the catalogue %s (are you the user of the master?): %w", path, err), c.Close())
	}
	return c, nil
}

// edit runs fn in a transaction and takes over what it did to the renames.
func (c *Catalog) edit(ctx context.Context, fn func(tx *sql.Tx) error) error {
	if c.durable == nil {
		return errReadOnly
	}
	if err := c.Reread(ctx); err != nil {
		return err
	}
	if err := c.change(ctx, c.durable, fn); err != nil {
		return err
	}
	return c.Reread(ctx)
}

func journal(ctx context.Context, tx *sql.Tx, e Edit) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO edits (at, kind, from_host, from_graph, from_field, to_host, to_graph, to_field, detail)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`, nanos(e.At), e.Kind, e.From.Host, e.From.Graph, e.From.Field, e.To.Host, e.To.Graph, e.To.Field, e.Detail)
	return err
}

// Edits lists the changes by hand that no master has taken over yet, oldest first.
func (c *Catalog) Edits(ctx context.Context) ([]Edit, error) {
	scan := func(rows *sql.Rows) (e Edit, err error) {
		var at sql.NullInt64
		err = rows.Scan(&e.ID, &at, &e.Kind, &e.From.Host, &e.From.Graph, &e.From.Field, &e.To.Host, &e.To.Graph, &e.To.Field, &e.Detail)
		e.At = fromNanos(at)
		return e, err
	}
	edits, err := collect(ctx, c.read, scan, `SELECT id, at, kind, from_host, from_graph, from_field, to_host, to_graph, to_field, detail
		FROM edits WHERE taken IS NULL ORDER BY id`)
	if err != nil {
		return nil, fmt.Errorf("list changes by hand: %w", err)
	}
	return edits, nil
}

// EditTaken notes that the master has taken over a change.
func (c *Catalog) EditTaken(ctx context.Context, id int64, now time.Time) error {
	err := c.change(ctx, c.durable, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE edits SET taken = ? WHERE id = ?", nanos(now), id)
		return err
	})
	if err != nil {
		return fmt.Errorf("note that a change was taken over: %w", err)
	}
	return nil
}

// Leave writes down a change that the running master has to make, or the next one: its Detail says all that it needs.
func (c *Catalog) Leave(ctx context.Context, e Edit) error {
	if err := c.edit(ctx, func(tx *sql.Tx) error { return journal(ctx, tx, e) }); err != nil {
		return fmt.Errorf("%s: %w", e.Kind, err)
	}
	return nil
}

// AcknowledgeByHand is Acknowledge for several problems, while a master runs, which takes it over.
func (c *Catalog) AcknowledgeByHand(ctx context.Context, acks []munin.Ack, now time.Time) error {
	err := c.edit(ctx, func(tx *sql.Tx) error {
		for i := range acks {
			if err := saveAck(ctx, tx, &acks[i]); err != nil {
				return err
			}
		}
		return journal(ctx, tx, Edit{At: now, Kind: EditAck})
	})
	if err != nil {
		return fmt.Errorf("acknowledge: %w", err)
	}
	return nil
}

// UnacknowledgeByHand takes acknowledgements back, while a master runs, which takes it over.
func (c *Catalog) UnacknowledgeByHand(ctx context.Context, ids []munin.SeriesID, now time.Time) error {
	err := c.edit(ctx, func(tx *sql.Tx) error {
		for _, id := range ids {
			if _, err := tx.ExecContext(ctx, deleteAck, string(id.Host), id.Graph, id.Field); err != nil {
				return err
			}
		}
		return journal(ctx, tx, Edit{At: now, Kind: EditAck})
	})
	if err != nil {
		return fmt.Errorf("take acknowledgements back: %w", err)
	}
	return nil
}

// Remove takes a host that is not configured any more out of all lists; its history stays. It comes back when it is configured, or by Restore.
func (c *Catalog) Remove(ctx context.Context, host munin.HostID, now time.Time) error {
	return c.setRemoved(ctx, host, true, now)
}

// Restore puts a removed host into the lists again.
func (c *Catalog) Restore(ctx context.Context, host munin.HostID, now time.Time) error {
	return c.setRemoved(ctx, host, false, now)
}

func (c *Catalog) setRemoved(ctx context.Context, host munin.HostID, removed bool, now time.Time) error {
	kind := EditRestore
	if removed {
		kind = EditRemove
	}
	err := c.edit(ctx, func(tx *sql.Tx) error {
		done, err := tx.ExecContext(ctx, "UPDATE hosts SET removed = ?1 WHERE path = ?2 AND archived = 1 AND removed <> ?1", removed, host)
		if err != nil {
			return err
		}
		if n, err := done.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, whyNot(ctx, tx, host, removed))
		}
		return journal(ctx, tx, Edit{At: now, Kind: kind, From: munin.SeriesID{Host: host}})
	})
	if err != nil {
		return fmt.Errorf("%s %s: %w", kind, host, err)
	}
	return nil
}

// whyNot says why a host could not be removed or restored.
func whyNot(ctx context.Context, tx *sql.Tx, host munin.HostID, removed bool) error {
	var archived, is bool
	err := tx.QueryRowContext(ctx, "SELECT archived, removed FROM hosts WHERE path = ?", host).Scan(&archived, &is)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return munin.ErrNotFound
	case err != nil:
		return err
	case is == removed && removed:
		return errors.New("it is removed already")
	case is == removed:
		return errors.New("it is not removed")
	}
	return errors.New("it is configured: take it out of the configuration, and reload the master, first")
}

// Removed lists the hosts that were removed, by path.
func (c *Catalog) Removed(ctx context.Context) ([]munin.Host, error) {
	hosts, err := collect(ctx, c.read, scanHost, "SELECT "+hostColumns+" FROM hosts WHERE removed = 1 AND archived = 1 ORDER BY path")
	if err != nil {
		return nil, fmt.Errorf("list removed hosts: %w", err)
	}
	return hosts, nil
}
