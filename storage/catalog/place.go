package catalog

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/mattn/go-sqlite3"

	"corbie/storage/disk"
)

// settleEvery is how often it is tried to get back to the file.
const settleEvery = time.Second

// spareBytes is how much more room there must be than what is written to the file.
const spareBytes = 1 << 20

// place is where the catalogue is: in its file or, while the disk takes nothing, in memory, where all goes on as before. All connections are made
// here, and those to where it was before end by themselves. What changes it is called by one goroutine at a time.
type place struct {
	path   string
	log    *slog.Logger
	moves  atomic.Int64 // odd: it is in memory
	tried  time.Time    // to get back to the file
	since  time.Time
	before string // copy that has to be made of the file before it is replaced; empty: none
	aside  string // folder where the file, which is damaged, goes before; empty: it is whole

	anchor *sqlite3.SQLiteConn // keeps the database in memory alive
	unlock func() error        // lets others edit the file again
}

func newPlace(path string, log *slog.Logger) *place {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &place{path: path, log: log}
}

func (p *place) inMemory() bool { return p.moves.Load()%2 == 1 }

// fileURI names the file for SQLite.
func fileURI(path string, with settings) string {
	query := url.Values{
		"_busy_timeout": {"10000"},
		"_foreign_keys": {"on"},
		"_cache_size":   {"-16384"}, // KiB
	}
	for name, value := range with {
		query.Set(name, value)
	}
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + query.Encode()
}

// memoryURI names a database in memory that all connections of this process share.
func (p *place) memoryURI(move int64, with settings) string {
	shared := settings{"vfs": "memdb"}
	for name, value := range with {
		if name != "mode" && name != "immutable" && name != "_journal_mode" && name != "_synchronous" {
			shared[name] = value
		}
	}
	path, err := filepath.Abs(p.path)
	if err != nil {
		path = "/" + p.path
	}
	return fileURI(path+"/"+strconv.FormatInt(move, 10), shared)
}

// connector makes the connections of one pool.
type connector struct {
	place *place
	with  settings
}

// Connect implements driver.Connector.
func (c *connector) Connect(context.Context) (driver.Conn, error) {
	move := c.place.moves.Load()
	uri := fileURI(c.place.path, c.with)
	if move%2 == 1 {
		uri = c.place.memoryURI(move, c.with)
	}
	made, err := dial(uri)
	if err != nil {
		return nil, err
	}
	return &connection{SQLiteConn: made, place: c.place, move: move}, nil
}

// Driver implements driver.Connector.
func (c *connector) Driver() driver.Driver { return &sqlite3.SQLiteDriver{} }

// dial opens one connection.
func dial(uri string) (*sqlite3.SQLiteConn, error) {
	made, err := (&sqlite3.SQLiteDriver{}).Open(uri)
	if err != nil {
		return nil, err
	}
	conn, ok := made.(*sqlite3.SQLiteConn)
	if !ok {
		return nil, errors.Join(errors.New("the connection is not SQLite's"), made.Close())
	}
	return conn, nil
}

// connection is one to where the catalogue was when it was made.
type connection struct {
	*sqlite3.SQLiteConn

	place *place
	move  int64
}

// IsValid implements driver.Validator.
func (c *connection) IsValid() bool { return c.move == c.place.moves.Load() }

// ResetSession implements driver.SessionResetter.
func (c *connection) ResetSession(context.Context) error {
	if !c.IsValid() {
		return driver.ErrBadConn
	}
	return nil
}

// stuck says whether an error of SQLite means that the disk takes nothing.
func (p *place) stuck(err error) bool {
	var failure sqlite3.Error
	if !errors.As(err, &failure) {
		return disk.Stuck(err)
	}
	switch failure.Code {
	case sqlite3.ErrFull:
		return true
	case sqlite3.ErrIoErr, sqlite3.ErrReadonly, sqlite3.ErrCantOpen:
		return disk.Stuck(failure.SystemErrno) || disk.Stuck(disk.Try(filepath.Dir(p.path), 0))
	}
	return false
}

// readOnly says whether an error is that of a connection that cannot write.
func readOnly(err error) bool {
	var failure sqlite3.Error
	return errors.As(err, &failure) && failure.Code == sqlite3.ErrReadonly
}

// leave moves the catalogue to memory. Nobody else may change the file meanwhile, see lockEdits.
func (p *place) leave(ctx context.Context, cause error) (err error) {
	unlock, err := lockEdits(p.path, syscall.LOCK_EX)
	if err != nil {
		return fmt.Errorf("keep the catalogue in memory: %w", err)
	}
	uri := p.memoryURI(p.moves.Load()+1, nil)
	anchor, err := dial(uri)
	if err == nil {
		if err = p.load(ctx, uri); err != nil {
			err = errors.Join(err, anchor.Close())
		}
	}
	if err != nil {
		return errors.Join(fmt.Errorf("keep the catalogue in memory: %w", err), unlock())
	}
	p.anchor, p.unlock, p.since, p.tried = anchor, unlock, time.Now(), time.Now()
	p.moves.Add(1)
	p.log.Error("the catalogue cannot be written: hosts, states of problems and what people note are kept in memory until it can, "+
		"and are lost if the master ends before", "err", cause, "advice", disk.Advice(p.reason(cause)))
	return nil
}

// reason is the error of the system behind one of SQLite.
func (p *place) reason(err error) error {
	var failure sqlite3.Error
	switch {
	case !errors.As(err, &failure):
		return err
	case failure.Code == sqlite3.ErrFull:
		return syscall.ENOSPC
	case disk.Stuck(failure.SystemErrno):
		return failure.SystemErrno
	}
	return disk.Try(filepath.Dir(p.path), 0)
}

// load copies the file to a database in memory that is empty. There may be none yet. The file of the log beside it counts as well; which way
// it can be read depends on what is there, and on whether files can be made.
func (p *place) load(ctx context.Context, uri string) error {
	if _, err := os.Stat(p.path); errors.Is(err, os.ErrNotExist) || p.aside != "" {
		return nil
	}
	ways := []settings{{"mode": "ro"}, {"mode": "rw", "_locking_mode": "EXCLUSIVE"}}
	if !writing(p.path) {
		ways = append(ways, settings{"mode": "ro", "immutable": "1"})
	}
	var all error
	for _, with := range ways {
		from, err := dial(fileURI(p.path, with))
		if err == nil {
			_, err = from.ExecContext(ctx, "VACUUM INTO ?", []driver.NamedValue{{Ordinal: 1, Value: uri}})
			err = errors.Join(err, from.Close())
		}
		if err == nil {
			return nil
		}
		all = errors.Join(all, err)
	}
	return fmt.Errorf("read it: %w", all)
}

// settle moves the catalogue back to its file, all at once, when there is room; else it stays where it is. It tries now and then.
func (p *place) settle(ctx context.Context) {
	if !p.inMemory() || time.Since(p.tried) < settleEvery {
		return
	}
	p.tried = time.Now()
	if err := p.goBack(ctx); err != nil {
		p.log.Debug("the catalogue stays in memory", "err", err)
	}
}

func (p *place) goBack(ctx context.Context) error {
	bytes, err := p.room()
	if err != nil {
		return err
	}
	if p.aside != "" {
		if _, err := SetAside(p.path, p.aside); err != nil {
			return err
		}
		p.aside = ""
	}
	to, err := dial(fileURI(p.path, writer("rwc", "FULL")))
	if err != nil {
		return err
	}
	if p.before != "" {
		if _, err = to.ExecContext(ctx, "VACUUM INTO ?", []driver.NamedValue{{Ordinal: 1, Value: p.before + ".part"}}); err == nil {
			err = os.Rename(p.before+".part", p.before)
		}
	}
	if err == nil {
		err = copyAll(to, p.anchor)
	}
	if err == nil {
		// That it grows no larger than need be is all: it is safe already.
		_, _ = to.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)", nil)
	}
	if err = errors.Join(err, to.Close()); err != nil {
		return fmt.Errorf("copy the catalogue back: %w", err)
	}
	p.moves.Add(1)
	p.log.Info("the catalogue is written again, with all that changed meanwhile", "bytes", bytes, "for", time.Since(p.since).Round(time.Second).String())
	err = errors.Join(p.anchor.Close(), p.unlock())
	p.anchor, p.unlock, p.before = nil, nil, ""
	return err
}

// room fails while the disk has none for the catalogue; it says how large that is.
func (p *place) room() (bytes int64, err error) {
	rows, err := p.anchor.Query("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size", nil)
	if err != nil {
		return 0, err
	}
	row := make([]driver.Value, 1)
	if err = errors.Join(rows.Next(row), rows.Close()); err != nil {
		return 0, err
	}
	bytes, _ = row[0].(int64)
	dir := filepath.Dir(p.path)
	if free, err := disk.Free(dir); err == nil && free < uint64(bytes+spareBytes) { //nolint:gosec // not negative
		return bytes, syscall.ENOSPC
	}
	return bytes, disk.Try(dir, spareBytes/16)
}

// copyAll replaces what is in one database by what is in another, in one transaction.
func copyAll(to, from *sqlite3.SQLiteConn) error {
	b, err := to.Backup("main", from, "main")
	if err != nil {
		return err
	}
	done, err := b.Step(-1)
	if err == nil && !done {
		err = errors.New("it is not complete")
	}
	return errors.Join(err, b.Finish())
}

// end gives up what is in memory, after a last attempt to write it.
func (p *place) end(ctx context.Context) error {
	if !p.inMemory() {
		return nil
	}
	if err := p.goBack(ctx); err != nil {
		return errors.Join(fmt.Errorf("what changed in the catalogue since %s is lost: the disk cannot be written: %w", p.since.Format(time.RFC3339), err),
			p.anchor.Close(), p.unlock())
	}
	return nil
}

// errElsewhere says that a change by hand would be lost.
var errElsewhere = errors.New("the disk of the catalogue is full or cannot be written, so the running master keeps it in memory: mend that first")

// lockEdits keeps those who change the file by hand and a master that keeps it in memory apart, who would replace it later: the ones share the lock, the
// other has it alone. It is on the folder, since SQLite loses its own locks when a file that it has open is closed by somebody else in its process.
func lockEdits(path string, how int) (unlock func() error, err error) {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(dir.Fd()), how|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = errElsewhere
		if how == syscall.LOCK_EX {
			err = errors.New("a command that changes it is at work")
		}
	}
	if err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	return dir.Close, nil
}
