package storage

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"corbie/munin"
	"corbie/storage/disk"
)

// InUse says whether a process holds a data folder.
func InUse(dir string) bool {
	f, err := os.Open(filepath.Join(dir, "lock"))
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB), syscall.EWOULDBLOCK)
}

// Lock takes a data folder for this process, and creates the folder if need be. Another process that holds it gives an
// error that wraps munin.ErrInUse and names the process. The lock ends with release or with the process, however it
// dies; the file DIR/lock stays. On a disk that takes nothing a file that is there is locked all the same.
func Lock(dir string) (release func() error, err error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o640)
	if errors.Is(err, syscall.EROFS) {
		f, err = os.Open(path)
	}
	if err != nil {
		return nil, fmt.Errorf("lock data folder %s: %w", dir, err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		holder := "another process"
		if text, err := io.ReadAll(io.LimitReader(f, 20)); err == nil {
			if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && alive(pid) {
				holder = "process " + strconv.Itoa(pid)
			}
		}
		return nil, errors.Join(fmt.Errorf("data folder %s is in use by %s: %w", dir, holder, munin.ErrInUse), f.Close())
	}
	if err == nil {
		err = sign(f)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock data folder %s: %w", dir, err), f.Close())
	}
	return f.Close, nil
}

// sign writes who holds the lock, as wide as any number so that it needs no more room the next time. Where that cannot be written, nobody can
// be told who it is.
func sign(f *os.File) error {
	_, err := f.WriteAt(fmt.Appendf(nil, "%-18d\n", os.Getpid()), 0)
	if disk.Stuck(err) || errors.Is(err, syscall.EBADF) { // the latter: opened for reading
		return nil
	}
	return err
}

// alive says whether there is a process of that number: an old one may stand in the file.
func alive(pid int) bool {
	return pid > 0 && !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
}
