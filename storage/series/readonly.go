package series

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/oklog/ulid/v2"
)

// scratchPrefix begins the names of the folders that read-only opens make inside the folder of the TSDB.
const scratchPrefix = "readonly-"

// scratchLock is a file in them that is locked while their owner lives.
const scratchLock = "inuse"

// errMoved says that a writer reorganised its files while they were being linked.
var errMoved = errors.New("the files changed while they were read")

// OpenReadOnly opens the TSDB in dir for reading, also while another process writes to it. It sees every sample that was
// stored before the call, and none that came later. It fails if dir does not exist.
//
// It makes a folder of hard links to the finished blocks and to the write-ahead log (whose newest file is
// copied), and opens that. The TSDB's own read-only mode is not used because it takes the end of the newest
// block for the end of what the log need not tell any more: after a node delivered late samples that is too late, and samples would be missing.
// So the folder must be writable: use the account of the master, or root. On a read-only file system it uses symbolic links in memory instead: nobody can
// change what they show.
func OpenReadOnly(dir string, opts Options) (*DB, error) {
	db := newDB(dir, opts)
	scratch, release, err := Freeze(dir)
	if errors.Is(err, syscall.EROFS) {
		if err = db.openStandIn(); err == nil {
			db.release = func() error { return nil }
			return db, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open the sample store for reading: %w", err)
	}
	o := db.tsdbOptions(Options{})
	o.EnableMemorySnapshotOnShutdown = false
	if db.tsdb, err = db.openWhole(scratch, o); err != nil {
		return nil, errors.Join(fmt.Errorf("open the sample store %s for reading: %w", dir, err), release())
	}
	db.tsdb.DisableCompactions()
	db.release = release
	return db, nil
}

// Freeze makes a folder inside dir that holds what the TSDB in dir holds now and does not change any more: its finished blocks and its log,
// mostly as hard links. It is a whole TSDB of its own. The writer, if there is one, goes on undisturbed. Call release at the end: it removes
// the folder.
func Freeze(dir string) (frozen string, release func() error, err error) {
	removeScratch(dir)
	for range 200 {
		if frozen, release, err = linkAll(dir); !errors.Is(err, errMoved) {
			break
		}
	}
	if errors.Is(err, fs.ErrPermission) {
		err = fmt.Errorf("run this as the user of the master, or as root: %w", err)
	}
	return frozen, release, err
}

// linkAll makes the scratch folder. The write-ahead log comes before the blocks: what a writer moves from the one to the other
// meanwhile is then seen twice, which does no harm, and not never.
func linkAll(dir string) (scratch string, release func() error, err error) {
	before, err := layout(dir)
	if err != nil {
		return "", nil, err
	}
	if scratch, err = os.MkdirTemp(dir, scratchPrefix); err != nil {
		return "", nil, err
	}
	unlock, err := lockFile(filepath.Join(scratch, scratchLock))
	if err != nil {
		// Another process took the folder, not locked yet, for a left-over.
		return "", nil, errors.Join(errMoved, err, os.RemoveAll(scratch))
	}
	release = func() error { return errors.Join(os.RemoveAll(scratch), unlock()) }
	for _, part := range before {
		if err = linkTree(filepath.Join(dir, part), filepath.Join(scratch, part)); err != nil {
			break
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = errMoved
	}
	if err == nil {
		var after []string
		if after, err = layout(dir); err == nil && !slices.Equal(before, after) {
			err = errMoved
		}
	}
	if err != nil {
		return "", nil, errors.Join(err, release())
	}
	return scratch, release, nil
}

// layout lists the folders to link: logs and their checkpoints first, then the blocks. That the list did not change
// while they were linked shows that they belong together.
func layout(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var logs, blocks []string
	for _, e := range entries {
		name := e.Name()
		if name == lateLogNew || name == lateLogOld {
			return nil, errMoved
		}
		if name == "wal" || name == lateLog {
			logs = append(logs, name)
			inside, err := os.ReadDir(filepath.Join(dir, name))
			if err != nil {
				return nil, err
			}
			for _, sub := range inside {
				if sub.IsDir() && !strings.HasSuffix(sub.Name(), ".tmp") {
					logs = append(logs, filepath.Join(name, sub.Name()))
				}
			}
			continue
		}
		if _, err := ulid.ParseStrict(name); err != nil || !e.IsDir() {
			continue
		}
		if reason, err := metaFault(filepath.Join(dir, name), name); err == nil && reason == "" {
			blocks = append(blocks, name, filepath.Join(name, "chunks"))
		}
	}
	// A late sample names its series by a number, and the other log says which that is. It is written before, so it is linked after: what is not named
	// yet would be taken for that of the next series that is new.
	slices.SortStableFunc(logs, func(a, b string) int { return strings.Compare(b[:len(lateLog)], a[:len(lateLog)]) })
	return append(logs, blocks...), nil
}

// linkTree links the files of one folder; folders in it are listed by layout themselves. Files that the writer still changes are
// copied: the newest segment of a log, and tombstones.
func linkTree(from, to string) error {
	if err := os.MkdirAll(to, 0o750); err != nil {
		return err
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	entries = slices.DeleteFunc(entries, fs.DirEntry.IsDir)
	base := filepath.Base(from)
	for i, e := range entries {
		source, target := filepath.Join(from, e.Name()), filepath.Join(to, e.Name())
		growing := (base == "wal" || base == "wbl") && i == len(entries)-1
		if growing || e.Name() == "tombstones" {
			err = copyFile(source, target)
		} else {
			err = os.Link(source, target)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	_, err = io.Copy(out, in)
	return err
}

// lockFile makes a file that is locked until the returned function is called or the process ends.
func lockFile(path string) (unlock func() error, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f.Close, nil
}

// removeScratch removes the scratch folders whose owner has died. One that is just being made has no lock yet and is
// left alone; nothing depends on its success.
func removeScratch(dir string) {
	old, _ := filepath.Glob(filepath.Join(dir, scratchPrefix+"*"))
	removeLeft(old)
}

func removeLeft(old []string) {
	for _, path := range old {
		mark := filepath.Join(path, scratchLock)
		if _, err := os.Stat(mark); err != nil {
			continue
		}
		if unlock, err := lockFile(mark); err == nil {
			_ = os.RemoveAll(path)
			_ = unlock()
		}
	}
}
