// Package disk tells whether anything can be written to a disk, and whether an error means that it cannot be for now: it is full, or
// read-only, as the kernel makes a file system after errors. What meets such an error goes on without writing, and tries again.
package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// Stuck says whether an error means that the disk takes nothing now, whoever asks: it is full, over its quota, read-only or failing. A
// missing permission is not of this kind: waiting would not mend it.
func Stuck(err error) bool {
	for _, kind := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EIO} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// Advice says in a few words, which are the same for all errors of a kind, what is wrong and what a sysadmin does about it; empty where Stuck is
// false.
func Advice(err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "the disk is full: make room"
	case errors.Is(err, syscall.EROFS):
		return "the disk is read-only: see dmesg for why; mount it for writing again, or stop the master, unmount it, run fsck, mount it and start"
	case errors.Is(err, syscall.EIO):
		return "the disk fails: see dmesg and smartctl, and copy the data elsewhere"
	}
	return ""
}

// Try writes so many bytes to a new file in a folder, which nobody sees: what statfs says is not enough to go by, since there are
// quotas, and disks that fail.
func Try(dir string, bytes int) (err error) {
	probe, err := os.CreateTemp(dir, "probe-*.tmp")
	if err != nil {
		return fmt.Errorf("try to write to %s: %w", dir, err)
	}
	err = os.Remove(probe.Name()) // at once, so that nothing is left if the process dies
	if err == nil {
		_, err = probe.Write(make([]byte, bytes))
	}
	if err = errors.Join(err, probe.Close()); err != nil {
		return fmt.Errorf("try to write to %s: %w", dir, err)
	}
	return nil
}

// Free is how many bytes of the disk of a folder are free for this user.
func Free(dir string) (uint64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return s.Bavail * uint64(s.Bsize), nil //nolint:gosec // not negative
}

// Memory makes a folder outside a disk that cannot be written: in memory where the system has such a file system, else where temporary files
// go. What dead processes of the same user left there under the same prefix is for the caller to remove, see Left.
func Memory(prefix string, bytes int) (dir string, err error) {
	for _, parent := range places() {
		if err = Try(parent, bytes); err != nil {
			continue
		}
		if dir, err = os.MkdirTemp(parent, prefix); err == nil {
			return dir, nil
		}
	}
	return "", fmt.Errorf("a folder that is not on that disk: %w", err)
}

// Left lists the folders of this user that Memory made with a prefix.
func Left(prefix string) (dirs []string) {
	for _, parent := range places() {
		found, _ := filepath.Glob(filepath.Join(parent, prefix+"*"))
		for _, path := range found {
			info, err := os.Lstat(path)
			if err != nil || !info.IsDir() {
				continue
			}
			if owner, ok := info.Sys().(*syscall.Stat_t); ok && int(owner.Uid) == os.Geteuid() {
				dirs = append(dirs, path)
			}
		}
	}
	return dirs
}

func places() []string { return []string{"/dev/shm", os.TempDir()} }
