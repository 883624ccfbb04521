package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/mattn/go-sqlite3"

	"corbie/storage/disk"
)

var errDamaged = errors.New("the file is damaged")

// Damaged says whether an error is that of a file that is no database, or not a whole one.
func Damaged(err error) bool {
	var failure sqlite3.Error
	return errors.Is(err, errDamaged) || errors.As(err, &failure) && (failure.Code == sqlite3.ErrCorrupt || failure.Code == sqlite3.ErrNotADB)
}

// check reads the whole file once: some 200 MB a second.
func check(ctx context.Context, db *sql.DB) error {
	var result string
	if err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&result); err != nil {
		return fmt.Errorf("check it: %w", err)
	}
	if result != "ok" {
		return fmt.Errorf("%w: %s", errDamaged, result)
	}
	return nil
}

// OpenAfresh sets a damaged catalogue aside as SetAside does, and opens a new one in its place. Where the disk takes nothing the new one is in memory, as with
// Open, and the damaged one is set aside before that is written.
func OpenAfresh(path, dir string, opts Options) (c *Catalog, aside string, err error) {
	aside, err = SetAside(path, dir)
	if err == nil {
		c, err = Open(path, opts)
		return c, aside, err
	}
	if !disk.Stuck(err) {
		return nil, aside, err
	}
	c = &Catalog{place: newPlace(path, opts.Logger)}
	c.place.aside = dir
	if err := errors.Join(c.place.leave(context.Background(), err), c.start(migrations)); err != nil {
		return nil, path, fmt.Errorf("open a catalogue in memory: %w", errors.Join(err, c.Close()))
	}
	return c, path, nil
}

// SetAside moves a catalogue that nobody has open, with the files beside it, into a folder of its own inside the given one, and says which.
func SetAside(path, dir string) (aside string, err error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return "", fmt.Errorf("set the catalogue aside: %w", err)
	}
	if aside, err = os.MkdirTemp(dir, "catalog-"+time.Now().UTC().Format("20060102-150405-")); err != nil {
		return "", fmt.Errorf("set the catalogue aside: %w", err)
	}
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		if err := os.Rename(name, filepath.Join(aside, filepath.Base(name))); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return aside, fmt.Errorf("set the catalogue aside: %w", err)
		}
	}
	return aside, nil
}
