// Package catalog is the memory of everything that is not a sample: hosts and graphs ever seen and when they were
// last seen, what was wrong with the last poll, the states of alerts, reports. It is one SQLite file.
//
// Writes that come with each poll are not flushed to the disk one by one: a power cut may lose the last
// seconds of them, never damage the file. States and reports are flushed before the call returns.
package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	_ "github.com/mattn/go-sqlite3" // the driver "sqlite3"

	"corbie/munin"
)

// Options of a Catalog.
type Options struct {
	// Logger is told about migrations; nil drops it.
	Logger *slog.Logger
}

// readers is how many queries may run at the same time.
const readers = 4

// Catalog is one open catalogue. Its methods may be called at the same time.
type Catalog struct {
	read *sql.DB
	// fast writes without waiting for the disk, durable waits for it. Each is one connection; write keeps them from waiting for each other
	// inside SQLite, which polls.
	fast, durable *sql.DB
	write         sync.Mutex
	// graphs remembers what is stored of each host, so that a graph that did not change costs no write. Guarded by write.
	graphs map[munin.HostID]map[string]seen
	closed sync.Once
}

// Open opens the catalogue in a file, creates it where there is none, and brings an older one up to date after making a copy
// named PATH.before-N. A catalogue that a newer Corbie wrote is an error. Close must be called.
func Open(path string, opts Options) (*Catalog, error) {
	c := &Catalog{graphs: make(map[munin.HostID]map[string]seen)}
	if err := c.open(path, migrations, opts); err != nil {
		return nil, fmt.Errorf("open the catalogue %s: %w", path, errors.Join(err, c.Close()))
	}
	return c, nil
}

// open takes the migrations as an argument, so that tests can bring their own.
func (c *Catalog) open(path string, steps fs.FS, opts Options) error {
	log := opts.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	var err error
	if c.durable, err = pool(path, "rwc", "FULL", 1); err != nil {
		return err
	}
	if err := migrate(context.Background(), c.durable, steps, path, log); err != nil {
		return err
	}
	if c.fast, err = pool(path, "rw", "NORMAL", 1); err != nil {
		return err
	}
	c.read, err = pool(path, "ro", "NORMAL", readers)
	return err
}

// OpenReadOnly opens the catalogue for reading, also while another process writes to it. Writing methods fail. It fails if
// the file does not exist, or is of another version than this program writes.
func OpenReadOnly(path string, opts Options) (*Catalog, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open the catalogue for reading: no master has written %s yet: %w", path, munin.ErrNotFound)
	}
	c := &Catalog{}
	var err error
	if c.read, err = pool(path, "ro", "NORMAL", readers); err == nil {
		err = checkVersion(context.Background(), c.read)
	}
	if err != nil {
		return nil, fmt.Errorf("open the catalogue %s for reading: %w", path, errors.Join(err, c.Close()))
	}
	return c, nil
}

// pool opens connections that all have the same pragmas: those run by hand would reach one of them only.
func pool(path, mode, synchronous string, connections int) (*sql.DB, error) {
	query := url.Values{
		"mode":          {mode},
		"_busy_timeout": {"10000"},
		"_foreign_keys": {"on"},
		"_synchronous":  {synchronous},
		"_cache_size":   {"-16384"}, // KiB
	}
	if mode == "ro" {
		query.Set("_query_only", "true")
	} else {
		query.Set("_journal_mode", "WAL")
		query.Set("_txlock", "immediate")
	}
	db, err := sql.Open("sqlite3", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+query.Encode())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return db, nil
}

// Close closes the file; once is enough.
func (c *Catalog) Close() (err error) {
	c.closed.Do(func() { err = c.close() })
	return err
}

func (c *Catalog) close() error {
	var errs []error
	if c.fast != nil {
		_, err := c.fast.ExecContext(context.Background(), "PRAGMA optimize")
		errs = append(errs, err)
	}
	for _, db := range []*sql.DB{c.read, c.fast, c.durable} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

var errReadOnly = errors.New("the catalogue was opened for reading only")

// change runs fn in one transaction on one of the two writing pools.
func (c *Catalog) change(ctx context.Context, db *sql.DB, fn func(tx *sql.Tx) error) error {
	if db == nil {
		return errReadOnly
	}
	c.write.Lock()
	defer c.write.Unlock()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := fn(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// nanos is a time as it is stored: NULL for none.
func nanos(t time.Time) sql.NullInt64 {
	return sql.NullInt64{Int64: t.UnixNano(), Valid: !t.IsZero()}
}

func fromNanos(n sql.NullInt64) time.Time {
	if !n.Valid {
		return time.Time{}
	}
	return time.Unix(0, n.Int64).UTC()
}

// quoteList names a few things for an error message.
func quoteList(names []string) string {
	const most = 5
	var b strings.Builder
	for i, name := range names {
		if i == most {
			b.WriteString(" and " + strconv.Itoa(len(names)-most) + " more")
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(strconv.Quote(name))
	}
	return b.String()
}
