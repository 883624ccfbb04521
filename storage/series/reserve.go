package series

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// reserveName is a file that only takes up room. It is removed when samples cannot be stored any more for want of room, so that what is
// small and must go on can: the catalogue, states of problems, the log of notices. It is made again once samples are stored.
const (
	reserveName  = "reserve"
	reserveBytes = 8 << 20
)

// giveReserve makes room.
func (db *DB) giveReserve() {
	if err := os.Remove(filepath.Join(db.dir, reserveName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		db.log.Warn("the reserve could not be given up", "err", err)
	}
}

// takeReserve makes the file where there is none, if there is plenty of room. Nothing depends on its success: some file systems cannot do it.
func (db *DB) takeReserve() {
	path := filepath.Join(db.dir, reserveName)
	if _, err := os.Stat(path); err == nil || db.checkFree(4*reserveBytes) != nil {
		return
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return
	}
	err = syscall.Fallocate(int(f.Fd()), 0, 0, reserveBytes)
	if err = errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(path)
	}
}
