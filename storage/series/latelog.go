package series

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/prometheus/prometheus/tsdb/record"
	"github.com/prometheus/prometheus/tsdb/wlog"
	"github.com/prometheus/prometheus/util/compression"
)

// The log of late samples, and the names it has while it is written anew.
const (
	lateLog    = "wbl"
	lateLogNew = "wbl-new" // complete
	lateLogOld = "wbl-old" // replaced
)

// freeLateLog takes the marks out of the log of late samples that say "what came before is in a file of chunks". The TSDB writes such a mark
// before the chunk has left its own memory, so after kill -9 there may be marks of chunks that never got to the disk. At the next start it sees
// that; but at the one after that other chunks have taken the place, the mark seems to hold, and the samples before it are passed over, and lost
// for good when the log is cut. Without marks every late sample is read from the log; some are then also in chunks, which does no harm.
func (db *DB) freeLateLog(dir string) error {
	log := filepath.Join(dir, lateLog)
	if err := finishLateLog(dir); err != nil {
		return fmt.Errorf("the log of late samples: %w", err)
	}
	marked, err := db.copyLateLog(log, "")
	if err != nil || !marked {
		return err
	}
	dropCopies(dir)
	part := filepath.Join(dir, lateLogNew+".part")
	if _, err := db.copyLateLog(log, part); err != nil {
		return errors.Join(fmt.Errorf("write the log of late samples anew: %w", err), os.RemoveAll(part))
	}
	if err := os.Rename(part, filepath.Join(dir, lateLogNew)); err != nil {
		return err
	}
	return finishLateLog(dir)
}

// spareChunks is how much larger than the logs the files of chunks may be.
const spareChunks = 16 << 20

// dropCopies removes the files of chunks when they can hold little but copies. They hold what the logs hold too, in fewer bytes; but late samples
// are put there again at each start, so a master that is killed again and again would need ever more memory.
func dropCopies(dir string) {
	chunks := filepath.Join(dir, "chunks_head")
	if treeBytes(chunks) > treeBytes(filepath.Join(dir, "wal"))+treeBytes(filepath.Join(dir, lateLog))+spareChunks {
		dropSnapshots(dir) // They are of no use without the files of chunks.
		_ = os.RemoveAll(chunks)
	}
}

// treeBytes are the sizes of the files below a folder.
func treeBytes(dir string) (total int64) {
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			if info, err := e.Info(); err == nil {
				total += info.Size()
			}
		}
		return nil
	})
	return total
}

// finishLateLog ends the exchange of the log, however far it had come when the process died.
func finishLateLog(dir string) error {
	log, next, old := filepath.Join(dir, lateLog), filepath.Join(dir, lateLogNew), filepath.Join(dir, lateLogOld)
	if err := os.RemoveAll(next + ".part"); err != nil {
		return err
	}
	if _, err := os.Stat(next); errors.Is(err, fs.ErrNotExist) {
		return os.RemoveAll(old)
	}
	// While there is a new one, the old one holds all that it holds.
	if _, err := os.Stat(old); errors.Is(err, fs.ErrNotExist) {
		if err := os.Rename(log, old); err != nil {
			return err
		}
	}
	if err := os.Rename(next, log); err != nil {
		return err
	}
	return os.RemoveAll(old)
}

// copyLateLog copies the log without its marks, and says whether there are any. It writes nothing when to is empty. A piece of a record, as
// kill -9 leaves it at the end, ends the copy: what is behind one, the TSDB would not read either.
func (db *DB) copyLateLog(from, to string) (marked bool, err error) {
	if _, err := os.Stat(from); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	in, err := wlog.NewSegmentsReader(from)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	var out *wlog.WL
	if to != "" {
		if out, err = wlog.New(quiet(db.log), nil, to, compression.Snappy); err != nil {
			return false, err
		}
		defer func() { err = errors.Join(err, out.Close()) }()
	}
	decoder := record.NewDecoder(nil, db.log)
	reader := wlog.NewReader(in)
	for reader.Next() {
		if decoder.Type(reader.Record()) == record.MmapMarkers {
			if marked = true; out == nil {
				return marked, nil
			}
			continue
		}
		if out != nil {
			if err := out.Log(reader.Record()); err != nil {
				return marked, err
			}
		}
	}
	var damage *wlog.CorruptionErr
	if err := reader.Err(); err != nil && !errors.As(err, &damage) {
		return marked, err
	}
	if damage != nil && out != nil {
		db.log.Warn("the log of late samples ends in a piece of a record, as kill -9 leaves it: it is used up to there", "err", damage)
	}
	return marked, nil
}
