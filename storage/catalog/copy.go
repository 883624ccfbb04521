package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/mattn/go-sqlite3"
)

// Copy copies a catalogue to a file, also while a master writes to it: the copy is the catalogue at one instant. The file must not exist.
// The copy is checked before Copy returns.
func Copy(ctx context.Context, from, to string) error {
	source, err := OpenReadOnly(from, Options{})
	if err != nil {
		return err
	}
	defer source.Close()
	target := newPlace(to, nil).pool(1, settings{"mode": "rwc", "_journal_mode": "DELETE"})
	// All at once: between two steps a write of the master would make it begin anew each time.
	err = withConnections(ctx, source.read, target, func(in, out *sqlite3.SQLiteConn) error { return copyAll(out, in) })
	if err == nil {
		err = integrity(ctx, target)
	}
	if err = errors.Join(err, target.Close()); err != nil {
		return fmt.Errorf("copy the catalogue to %s: %w", to, err)
	}
	return nil
}

// Check says what is wrong with the file of a catalogue that no master uses.
func Check(ctx context.Context, path string) error {
	c, err := OpenReadOnly(path, Options{})
	if err != nil {
		return err
	}
	if err = errors.Join(integrity(ctx, c.read), c.Close()); err != nil {
		return fmt.Errorf("check the catalogue %s: %w", path, err)
	}
	return nil
}

func integrity(ctx context.Context, db *sql.DB) error {
	var text string
	if err := db.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&text); err != nil {
		return err
	}
	if text != "ok" {
		return errors.New(text)
	}
	return nil
}

// withConnections hands out one connection of each pool as the driver knows it.
func withConnections(ctx context.Context, from, to *sql.DB, fn func(in, out *sqlite3.SQLiteConn) error) error {
	in, err := from.Conn(ctx)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := to.Conn(ctx)
	if err != nil {
		return err
	}
	defer out.Close()
	return in.Raw(func(source any) error {
		return out.Raw(func(target any) error {
			a, okA := source.(*connection)
			b, okB := target.(*connection)
			if !okA || !okB {
				return errors.New("the connections are not SQLite's")
			}
			return fn(a.SQLiteConn, b.SQLiteConn)
		})
	})
}
