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
	"sync/atomic"
	"time"

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
	// hosts remembers what is stored of each host, so that what did not change costs no write. Guarded by write.
	hosts   map[munin.HostID]*stored
	renames atomic.Pointer[munin.Renames]
	closed  sync.Once

	polls  *together[*munin.Poll]
	states *together[[]munin.AlertState]
}

// Open opens the catalogue in a file, creates it where there is none, and brings an older one up to date after making a copy
// named PATH.before-N. A catalogue that a newer Corbie wrote is an error. Close must be called.
func Open(path string, opts Options) (*Catalog, error) {
	c := &Catalog{}
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
	c.hosts, c.polls, c.states = make(map[munin.HostID]*stored), newTogether(c.recordAll), newTogether(c.saveAll)
	var err error
	if c.durable, err = pool(path, 1, writer("rwc", "FULL")); err != nil {
		return err
	}
	if err := check(context.Background(), c.durable); err != nil {
		return err
	}
	if err := migrate(context.Background(), c.durable, steps, path, log); err != nil {
		return err
	}
	if c.fast, err = pool(path, 1, writer("rw", "NORMAL")); err != nil {
		return err
	}
	if c.read, err = pool(path, readers, reader()); err != nil {
		return err
	}
	return c.Reread(context.Background())
}

// OpenReadOnly opens the catalogue for reading, also while another process writes to it. Writing methods fail. It fails if
// the file does not exist, or is of another version than this program writes.
func OpenReadOnly(path string, opts Options) (*Catalog, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open the catalogue for reading: no master has written %s yet: %w", path, munin.ErrNotFound)
	}
	with := reader()
	c, err := openReader(path, with)
	if err != nil && !writing(path) {
		// Even a reader needs to make files beside the database, unless it may take for granted that nobody writes.
		with["immutable"] = "1"
		if still, errStill := openReader(path, with); errStill == nil {
			return still, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open the catalogue %s for reading: %w", path, err)
	}
	return c, nil
}

func openReader(path string, with settings) (*Catalog, error) {
	c := &Catalog{}
	var err error
	if c.read, err = pool(path, readers, with); err == nil {
		err = checkVersion(context.Background(), c.read)
	}
	if err == nil {
		err = c.Reread(context.Background())
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// writing says whether a log lies beside the database: somebody has it open, or died with it open.
func writing(path string) bool {
	info, err := os.Stat(path + "-wal")
	return err == nil && info.Size() > 0
}

// settings are parameters of a connection, as SQLite and the driver name them.
type settings map[string]string

// Who writes needs these.
func writer(mode, synchronous string) settings {
	return settings{"mode": mode, "_synchronous": synchronous, "_journal_mode": "WAL", "_txlock": "immediate"}
}

func reader() settings { return settings{"mode": "ro", "_query_only": "true"} }

// pool opens connections that all have the same settings: pragmas that are run by hand reach one of them only.
func pool(path string, connections int, with settings) (*sql.DB, error) {
	query := url.Values{
		"_busy_timeout": {"10000"},
		"_foreign_keys": {"on"},
		"_cache_size":   {"-16384"}, // KiB
	}
	for name, value := range with {
		query.Set(name, value)
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
