package series

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/oklog/ulid/v2"

	"corbie/storage/disk"
)

// memoryPrefix begins the names of the folders that stand-ins are made of.
const memoryPrefix = "corbie-samples-"

// deletionSuffix ends the name of a block while it is deleted; the TSDB removes what a crash leaves of it.
const deletionSuffix = ".tmp-for-deletion"

// standIn is what answers questions while the store cannot be opened for writing, because the disk takes nothing: a TSDB in a folder in memory, made of
// symbolic links to the blocks and logs. Nobody writes to those meanwhile. What the TSDB itself writes when it is opened, chunks and the repair of
// a log, goes to that folder.
type standIn struct {
	dir    string
	unlock func() error
}

func (s *standIn) close() error { return errors.Join(os.RemoveAll(s.dir), s.unlock()) }

// openStandIn opens what there is for reading. The caller holds db.mu, or is alone.
func (db *DB) openStandIn() (err error) {
	removeLeft(disk.Left(memoryPrefix))
	s := &standIn{}
	if s.dir, err = disk.Memory(memoryPrefix, probeBytes); err != nil {
		return err
	}
	if s.unlock, err = lockFile(filepath.Join(s.dir, scratchLock)); err != nil {
		return errors.Join(err, os.RemoveAll(s.dir))
	}
	if err = db.showAll(s.dir); err == nil {
		o := db.tsdbOptions(Options{})
		o.EnableMemorySnapshotOnShutdown = false
		db.tsdb, err = db.openWhole(s.dir, o)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("open the sample store for reading: %w", err), s.close())
	}
	db.tsdb.DisableCompactions()
	db.standIn = s
	return nil
}

// showAll makes links in a folder to all that counts of the TSDB: damaged blocks are passed over, and what a crash left of an exchange of logs
// is understood as finishLateLog and undoRepair would.
func (db *DB) showAll(to string) error {
	dir, err := filepath.Abs(db.dir)
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	snapshot, err := newestSnapshot(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		from, name := filepath.Join(dir, e.Name()), e.Name()
		_, notBlock := ulid.ParseStrict(name)
		switch {
		case !e.IsDir():
			continue
		case name == "wal", name == lateLog && !exists(filepath.Join(dir, lateLogNew)):
			err = showLog(from, filepath.Join(to, name))
		case name == lateLogNew:
			err = showLog(from, filepath.Join(to, lateLog))
		case from == snapshot:
			err = showFiles(from, filepath.Join(to, name))
		case notBlock == nil:
			err = db.showBlock(from, filepath.Join(to, name))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (db *DB) showBlock(from, to string) error {
	reason, err := db.blockFault(filepath.Base(from))
	if err != nil {
		return err
	}
	if reason != "" {
		db.log.Error("damaged block passed over: its samples are missing from graphs until it is replaced", "path", from, "reason", reason)
		return nil
	}
	return showFiles(from, to)
}

// showFiles makes a folder of links to all that is in another.
func showFiles(from, to string) error {
	if err := os.Mkdir(to, 0o750); err != nil {
		return err
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.Symlink(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// showLog shows a log with its checkpoints.
func showLog(from, to string) error {
	if err := os.Mkdir(to, 0o750); err != nil {
		return err
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries { // a name comes before the same with a suffix
		source, name := filepath.Join(from, e.Name()), e.Name()
		target := filepath.Join(to, strings.TrimSuffix(name, repairSuffix))
		switch {
		case e.IsDir() && strings.HasSuffix(name, ".tmp"):
		case e.IsDir():
			err = showFiles(source, target)
		default:
			if strings.HasSuffix(name, repairSuffix) {
				_ = os.Remove(target)
			}
			err = os.Symlink(source, target)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// makeRoom deletes the blocks that are too old or too many, because somebody may have shortened the retention to get a full disk free: the TSDB does that, but
// only once it is open. It is true when there were any; else a stand-in is open, if one can be.
func (db *DB) makeRoom(cause error) bool {
	if !errors.Is(cause, syscall.ENOSPC) && !errors.Is(cause, syscall.EDQUOT) || db.openStandIn() != nil {
		return false
	}
	gone, bytes := blocksToDelete(db.opts, db.now)(db.tsdb.Blocks()), int64(0)
	for _, b := range db.tsdb.Blocks() {
		if _, ok := gone[b.Meta().ULID]; ok {
			bytes += b.Size()
		}
	}
	if len(gone) == 0 {
		return false
	}
	db.putAway()
	var err error
	for name := range gone {
		path := filepath.Join(db.dir, name.String())
		err = errors.Join(err, os.Rename(path, path+deletionSuffix), os.RemoveAll(path+deletionSuffix))
	}
	db.log.Warn("the disk is full: blocks that are older than the retention, or more than its size, were deleted", "blocks", len(gone), "bytes", bytes, "err", err)
	return true
}

// shut says whether the store is not open for writing, and should be.
func (db *DB) shut() bool {
	db.mu.RLock()
	defer db.mu.RUnlock()
	return db.standIn != nil || db.down != nil
}
