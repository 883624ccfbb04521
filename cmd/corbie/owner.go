package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// checkOwner refuses to write into the data folder of another user: what root writes there, that user cannot change later, and its master does not
// start any more.
func checkOwner(dir string) error {
	owner, mine := ownerOf(dir)
	switch {
	case owner == "" || mine:
		return nil
	case os.Geteuid() == 0:
		return fmt.Errorf("data folder %s belongs to the user %s, who could not use what root writes there: run this as that user, sudo -u %s corbie …; "+
			"or give root the folder, chown -R root %s", dir, owner, owner, dir)
	case unix.Access(dir, unix.W_OK) != nil:
		return fmt.Errorf("data folder %s belongs to the user %s: run this as that user, sudo -u %s corbie …: %w", dir, owner, owner, fs.ErrPermission)
	}
	return nil
}

// mayRead says who may, where somebody else wants to look at a data folder.
func mayRead(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, catalogFile)); !errors.Is(err, fs.ErrPermission) {
		return nil
	}
	owner, _ := ownerOf(dir)
	if owner == "" {
		return nil
	}
	return fmt.Errorf("data folder %s may be read by the user %s: sudo -u %s corbie …: %w", dir, owner, owner, fs.ErrPermission)
}

// ownerOf is the name, or else the number, of whom a folder belongs to, and whether that is who runs this. It is empty where that cannot be found out.
func ownerOf(dir string) (name string, mine bool) {
	info, err := os.Stat(dir)
	if err != nil {
		return "", false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "", false
	}
	name = strconv.FormatUint(uint64(stat.Uid), 10)
	if u, err := user.LookupId(name); err == nil {
		name = u.Username
	}
	return name, int(stat.Uid) == os.Geteuid()
}
