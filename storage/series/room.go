package series

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"

	"corbie/storage/disk"
)

// defaultReserve is how many bytes of the disk stay free for what must go on when samples cannot be stored: the catalogue, the
// notification log, the repair of a log.
const defaultReserve = 16 << 20

// probeBytes are written before the TSDB is opened, to see whether that works.
const probeBytes = 1 << 20

// journal is the write-ahead log's state as this package sees it.
//
// A write to the log that fails half way, as on a full disk, leaves a piece of a record. What the TSDB appends later comes after
// that piece, and the next start or reader cuts the log there: samples that were acknowledged since would be gone. So after the
// first failure nothing is committed any more, and the TSDB is closed and opened anew, which repairs the log, before the next.
type journal struct {
	mu   sync.Mutex // held while anything is written to the log
	torn bool       // a write failed since the TSDB was opened
}

var errTorn = errors.New("the write-ahead log has to be repaired first")

// commit ends an appender: what it holds is in the log, or else nothing more gets there.
func (db *DB) commit(app storage.AppenderV2) error {
	j := &db.journal
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.torn {
		return errors.Join(errTorn, app.Rollback())
	}
	if err := app.Commit(); err != nil {
		j.torn = true
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// rollback drops what an appender holds. New series are in the log all the same.
func (db *DB) rollback(app storage.AppenderV2) error {
	j := &db.journal
	j.mu.Lock()
	defer j.mu.Unlock()
	err := app.Rollback()
	j.torn = j.torn || err != nil
	return err
}

func (db *DB) torn() bool {
	db.journal.mu.Lock()
	defer db.journal.mu.Unlock()
	return db.journal.torn
}

// ready makes sure that readings can be stored: there is space on the disk, and the log is whole.
func (db *DB) ready() error {
	if err := db.checkFree(db.pendingBytes()); err != nil || !db.torn() && !db.shut() {
		return err
	}
	return db.mend()
}

// checkFree fails when the disk has less than the reserve and more bytes free.
func (db *DB) checkFree(more int64) error {
	free, err := db.free(db.dir)
	if err != nil {
		return nil //nolint:nilerr // a file system that cannot tell is written to until it fails
	}
	if need := uint64(db.reserve + more); free < need { //nolint:gosec // neither is negative
		return fmt.Errorf("the disk of %s has %d MB free, and %d MB are needed: %w", db.dir, free>>20, (need+1<<20-1)>>20, syscall.ENOSPC)
	}
	return nil
}

// checkRepair fails when the TSDB could not be opened with a torn log: the repair copies one of its files, and would lose what is in it
// where it finds no room. The TSDB also writes chunks while it opens, and panics where it cannot. What the disk says is
// not enough to go by: there are quotas, and disks that fail.
func (db *DB) checkRepair() error {
	if err := db.checkFree(largestSegment(db.dir)); err != nil {
		return err
	}
	return disk.Try(db.dir, probeBytes)
}

// mend closes the TSDB and opens it anew, which cuts the torn end off its log: nothing that was acknowledged comes after it. So does it open a TSDB that
// could not be opened for writing before. Where that fails, what is there can still be read.
func (db *DB) mend() error {
	if err := db.checkRepair(); err != nil {
		return err
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed {
		return errClosed
	}
	torn := db.torn()
	if !torn && db.standIn == nil && db.down == nil {
		return nil
	}
	db.putAway()
	if torn {
		dropSnapshots(db.dir)
	}
	if err := db.openToWrite(); err != nil {
		if db.down = db.openStandIn(); db.down != nil {
			db.log.Error("the samples cannot be read before the disk can be written", "err", db.down)
		}
		return fmt.Errorf("open the sample store again: %w", err)
	}
	db.journal.mu.Lock()
	db.journal.torn = false
	db.journal.mu.Unlock()
	if torn {
		db.log.Info("the write-ahead log was repaired after a failed write")
	}
	return nil
}

// putAway closes what is open. That its own last writes fail is to be expected. The caller holds db.mu.
func (db *DB) putAway() {
	if db.down == nil {
		db.openGate()
		if err := closeTSDB(db.tsdb); err != nil {
			db.log.Warn("the sample store did not close well before its repair", "err", err)
		}
	}
	if db.standIn != nil {
		if err := db.standIn.close(); err != nil {
			db.log.Warn("cannot remove what stood in for the sample store", "err", err)
		}
	}
	db.standIn, db.down = nil, nil
	db.metrics.unregister()
	db.refs.forget()
}

// closeTSDB closes the TSDB, which panics where it cannot write the chunks that are in memory: on a full disk. They are in
// the log as well.
func closeTSDB(open *tsdb.DB) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("write what is in memory: %v", cause)
		}
	}()
	return open.Close()
}

// openTSDB opens the TSDB for writing.
func (db *DB) openTSDB() error {
	if err := db.undoRepair(); err != nil {
		return err
	}
	opened, err := db.openWhole(db.dir, db.tsdbOptions(db.opts))
	if err != nil {
		return err
	}
	db.tsdb = opened
	db.gate.Store(&gate{leave: make(chan struct{})})
	return nil
}

// openWhole opens the TSDB, twice where its first log was damaged, as kill -9 in the middle of a write leaves it. The TSDB repairs
// that, but then passes over its other log, the one of late samples, and would lose them for good as new ones come. What it writes when it is closed then
// is of no use: it has forgotten the series that have late samples only.
func (db *DB) openWhole(dir string, o *tsdb.Options) (*tsdb.DB, error) {
	if err := errors.Join(db.freeLateLog(dir), useSnapshot(dir)); err != nil {
		return nil, err
	}
	opened, err := tsdb.Open(dir, telling(db.log, newProgress(dir, db.tellProgress())), db.metrics, o, nil)
	if err == nil && db.metrics.repaired() {
		back := putSnapshotAside(dir)
		if err := closeTSDB(opened); err != nil {
			db.log.Warn("the sample store did not close well after its repair", "err", err)
		}
		db.metrics.unregister()
		dropSnapshots(dir)
		if err := errors.Join(back(), useSnapshot(dir)); err != nil {
			return nil, err
		}
		opened, err = tsdb.Open(dir, telling(db.log, newProgress(dir, db.tellProgress())), db.metrics, o, nil)
	}
	if err != nil {
		db.metrics.unregister()
		return nil, err
	}
	return opened, nil
}

// progressEvery is how often the log says how far an open has come.
const progressEvery = 5 * time.Second

// tellProgress takes how far reading the TSDB's log, and a snapshot of its memory, has come: for the caller each time, for the log now and then.
func (db *DB) tellProgress() func(done, of int) {
	said := time.Now()
	return func(done, of int) {
		if db.opts.Progress != nil {
			db.opts.Progress(done, of)
		}
		if time.Since(said) >= progressEvery {
			said = time.Now()
			db.log.Info("reading the log of the last hours", "file", done, "of", of)
		}
	}
}

// repairSuffix is what a repair of a log puts after the name of a file while it writes it anew.
const repairSuffix = ".repair"

// undoRepair puts back what a repair of a log had moved away when it was interrupted, so that the next one finds it.
func (db *DB) undoRepair() error {
	for _, name := range []string{"wal", "wbl"} {
		left, err := filepath.Glob(filepath.Join(db.dir, name, "*"+repairSuffix))
		if err != nil {
			return err
		}
		for _, path := range left {
			if err := os.Rename(path, strings.TrimSuffix(path, repairSuffix)); err != nil {
				return fmt.Errorf("put back a log whose repair was interrupted: %w", err)
			}
		}
	}
	return nil
}

// largestSegment is how much a repair may write: it copies one file of a log.
func largestSegment(dir string) (size int64) {
	for _, name := range []string{"wal", "wbl"} {
		_ = filepath.WalkDir(filepath.Join(dir, name), func(_ string, e fs.DirEntry, err error) error {
			if err == nil && !e.IsDir() {
				if info, err := e.Info(); err == nil {
					size = max(size, info.Size())
				}
			}
			return nil
		})
	}
	return size
}

// dropSnapshots removes the TSDB's picture of its memory, which makes it pass over the log before it: also over a
// torn place that must not stay.
func dropSnapshots(dir string) {
	found, _ := filepath.Glob(filepath.Join(dir, "chunk_snapshot.*"))
	for _, path := range found {
		_ = os.RemoveAll(path)
	}
}

// registrations remember what the TSDB registered, so that it can be opened twice.
type registrations struct {
	prometheus.Registerer
	mu  sync.Mutex
	all []prometheus.Collector
}

// repaired says whether the TSDB found one of its logs damaged when it was opened. It tells only its metrics.
func (r *registrations) repaired() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.all {
		counter, ok := c.(prometheus.Counter)
		if !ok || !strings.Contains(counter.Desc().String(), `"prometheus_tsdb_wal_corruptions_total"`) {
			continue
		}
		one := prometheus.NewRegistry()
		one.MustRegister(counter)
		found, err := one.Gather()
		return err == nil && len(found) == 1 && found[0].GetMetric()[0].GetCounter().GetValue() > 0
	}
	return false
}

// Register implements prometheus.Registerer.
func (r *registrations) Register(c prometheus.Collector) error {
	if err := r.Registerer.Register(c); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, c)
	return nil
}

// MustRegister implements prometheus.Registerer.
func (r *registrations) MustRegister(all ...prometheus.Collector) {
	for _, c := range all {
		if err := r.Register(c); err != nil {
			panic(err)
		}
	}
}

func (r *registrations) unregister() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.all {
		r.Unregister(c)
	}
	r.all = nil
}
