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
	place   *place       // guarded by write
	unlock  func() error // of who edits by hand; nil for others

	polls  *together[*munin.Poll]
	states *together[[]munin.AlertState]
}

// Open opens the catalogue in a file, creates it where there is none, and brings an older one up to date after making a copy
// named PATH.before-N. A catalogue that a newer Corbie wrote is an error. Close must be called.
//
// Where the disk takes nothing, because it is full or read-only, the catalogue is read into memory and kept there; so it is when that happens
// later. All methods go on to work, what they change is written as soon as the disk takes it, and is lost if the process dies before.
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
	c.place = newPlace(path, log)
	return c.start(steps)
}

// start opens the connections to where the catalogue is, and takes over what it says.
func (c *Catalog) start(steps fs.FS) error {
	c.hosts, c.polls, c.states = make(map[munin.HostID]*stored), newTogether(c.recordAll), newTogether(c.saveAll)
	err := c.openPools(steps)
	if err != nil && !c.place.inMemory() && c.place.stuck(err) {
		if err = errors.Join(c.closePools(), c.place.leave(context.Background(), err)); err == nil {
			err = c.openPools(steps)
		}
	}
	if err != nil {
		return err
	}
	return c.Reread(context.Background())
}

// openPools opens all connections and brings the tables up to date.
func (c *Catalog) openPools(steps fs.FS) error {
	ctx := context.Background()
	c.durable = c.place.pool(1, writer("rwc", "FULL"))
	if err := check(ctx, c.durable); err != nil {
		return err
	}
	if err := migrate(ctx, c.durable, steps, c.place); err != nil {
		return err
	}
	c.fast = c.place.pool(1, writer("rw", "NORMAL"))
	c.read = c.place.pool(readers, reader())
	return errors.Join(c.fast.PingContext(ctx), c.read.PingContext(ctx))
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
	c := &Catalog{place: newPlace(path, nil)}
	c.read = c.place.pool(readers, with)
	err := checkVersion(context.Background(), c.read)
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
func (p *place) pool(connections int, with settings) *sql.DB {
	db := sql.OpenDB(&connector{place: p, with: with})
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return db
}

// Close closes the file; once is enough.
func (c *Catalog) Close() (err error) {
	c.closed.Do(func() { err = c.close() })
	return err
}

func (c *Catalog) close() error {
	var errs []error
	if c.fast != nil {
		if _, err := c.fast.ExecContext(context.Background(), "PRAGMA optimize"); err != nil && !c.place.stuck(err) {
			errs = append(errs, err)
		}
	}
	if c.place != nil {
		errs = append(errs, c.place.end(context.Background()))
	}
	errs = append(errs, c.closePools())
	if c.unlock != nil {
		errs = append(errs, c.unlock())
	}
	return errors.Join(errs...)
}

func (c *Catalog) closePools() error {
	var err error
	for _, db := range []*sql.DB{c.read, c.fast, c.durable} {
		if db != nil {
			err = errors.Join(err, db.Close())
		}
	}
	c.read, c.fast, c.durable = nil, nil, nil
	return err
}

var errReadOnly = errors.New("the catalogue was opened for reading only")

// change runs fn in one transaction on one of the two writing pools, and once more in memory where the disk takes nothing.
func (c *Catalog) change(ctx context.Context, db *sql.DB, fn func(tx *sql.Tx) error) error {
	if db == nil {
		return errReadOnly
	}
	c.write.Lock()
	defer c.write.Unlock()
	c.place.settle(ctx)
	err := transact(ctx, db, fn)
	if err == nil || c.unlock != nil || c.place.inMemory() {
		return err
	}
	if !c.place.stuck(err) {
		if !readOnly(err) {
			return err
		}
		c.renew()
		return transact(ctx, db, fn)
	}
	if errLeave := c.place.leave(ctx, err); errLeave != nil {
		return errors.Join(err, errLeave)
	}
	clear(c.hosts)
	return transact(ctx, db, fn)
}

// renew ends all connections: they were made while the disk was read-only, so that SQLite opened the file for reading, and it takes something now. As long as
// one of them is there, SQLite shares what that one opened.
func (c *Catalog) renew() {
	clear(c.hosts)
	c.place.moves.Add(2)
	for db, most := range map[*sql.DB]int{c.read: readers, c.fast: 1, c.durable: 1} {
		db.SetMaxIdleConns(0)
		db.SetMaxIdleConns(most)
	}
}

func transact(ctx context.Context, db *sql.DB, fn func(tx *sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := fn(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// InMemory says whether the catalogue is kept in memory, because its file cannot be written.
func (c *Catalog) InMemory() bool { return c.place.inMemory() }

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
