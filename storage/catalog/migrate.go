package catalog

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"

	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var migrations embed.FS

func provider(db *sql.DB, steps fs.FS) (*goose.Provider, error) {
	files, err := fs.Sub(steps, "migrations")
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectSQLite3, db, files, goose.WithDisableGlobalRegistry(true))
}

// migrate brings the tables up to date, each step in its own transaction.
func migrate(ctx context.Context, db *sql.DB, steps fs.FS, at *place) error {
	p, err := provider(db, steps)
	if err != nil {
		return err
	}
	have, want, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read the version: %w", err)
	}
	if err := notNewer(have, want); err != nil {
		return err
	}
	if have == want {
		return nil
	}
	if have > 0 {
		saved := at.path + ".before-" + strconv.FormatInt(want, 10)
		if at.inMemory() {
			at.before = saved
		} else if err := save(ctx, db, saved); err != nil {
			return err
		}
		at.log.Info("catalogue is brought up to date", "from", have, "to", want, "copy", saved)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("bring it from version %d to %d: %w", have, want, err)
	}
	return nil
}

func notNewer(have, want int64) error {
	if have > want {
		return fmt.Errorf("it was written by a newer corbie (its version is %d, this program knows %d): "+
			"install that corbie again, or put back a copy named …before-N", have, want)
	}
	return nil
}

// save copies the database as it is now; a copy from an earlier attempt is replaced.
func save(ctx context.Context, db *sql.DB, to string) error {
	part := to + ".part"
	if err := os.Remove(part); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("copy to %s: %w", part, err)
	}
	if _, err := db.ExecContext(ctx, "VACUUM INTO ?", part); err != nil {
		return fmt.Errorf("copy to %s: %w", part, err)
	}
	if err := os.Rename(part, to); err != nil {
		return fmt.Errorf("copy to %s: %w", to, err)
	}
	return nil
}

// checkVersion refuses a database that this program cannot read, without changing it.
func checkVersion(ctx context.Context, db *sql.DB) error {
	p, err := provider(db, migrations)
	if err != nil {
		return err
	}
	var want int64
	for _, source := range p.ListSources() {
		want = max(want, source.Version)
	}
	var have int64
	if err := db.QueryRowContext(ctx, "SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied").Scan(&have); err != nil {
		return fmt.Errorf("read the version: %w", err)
	}
	if have < want {
		return fmt.Errorf("its version is %d, this program reads %d: start the master once to bring it up to date", have, want)
	}
	return notNewer(have, want)
}
