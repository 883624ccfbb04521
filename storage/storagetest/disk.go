package storagetest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"corbie/internal/testenv"
)

// SmallDisk is the folder of a file system of its own, in memory, that a test can fill; the options are those of mount(8), such as
// "size=60m". It needs root: without it the test is skipped, or fails where peers are required.
func SmallDisk(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		testenv.Need(t, fmt.Sprintf("root, to mount a tmpfs (%v)", err), false)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// Fill takes all room that the disk of a file has, at once, and again what somebody gave up since; remove the file to give it back.
func Fill(t *testing.T, ballast string) {
	t.Helper()
	f, err := os.OpenFile(ballast, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for {
		var disk syscall.Statfs_t
		if err := syscall.Fstatfs(int(f.Fd()), &disk); err != nil {
			t.Fatal(err)
		}
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		room := int64(disk.Bavail) * disk.Bsize //nolint:gosec // it fits
		if room == 0 {
			return
		}
		err = syscall.Fallocate(int(f.Fd()), 0, info.Size(), room)
		if err != nil && !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EINTR) {
			t.Fatal(err)
		}
	}
}

// Remount makes a SmallDisk read-only, or writable again. Nobody may have a file of it open for writing.
func Remount(t *testing.T, disk string, readOnly bool) {
	t.Helper()
	flags := uintptr(syscall.MS_REMOUNT)
	if readOnly {
		flags |= syscall.MS_RDONLY
	}
	if err := syscall.Mount("", disk, "", flags, ""); err != nil {
		t.Fatalf("remount %s: %v", disk, err)
	}
}

// FailingDisk is the folder of an ext4 file system of its own that becomes read-only when fail is called, while files of it are open, as the kernel makes
// one after an error. It needs root, and a machine that has loop devices: else the test is skipped.
func FailingDisk(t *testing.T) (dir string, fail func()) {
	t.Helper()
	image, dir := filepath.Join(t.TempDir(), "image"), t.TempDir()
	if os.Geteuid() != 0 {
		t.Skip("mount an ext4 file system: needs root")
	}
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 128<<20); err != nil {
		t.Fatal(err)
	}
	run := func(name string, args ...string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
		if err != nil {
			t.Skipf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
		}
		return strings.TrimSpace(string(out))
	}
	run("mkfs.ext4", "-q", image)
	run("mount", "-o", "loop,errors=remount-ro", image, dir)
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	trigger := filepath.Join("/sys/fs/ext4", filepath.Base(run("findmnt", "-no", "SOURCE", dir)), "trigger_fs_error")
	if _, err := os.Stat(trigger); err != nil {
		t.Skipf("an ext4 that can be made to fail: %v", err)
	}
	return dir, func() {
		t.Helper()
		if err := os.WriteFile(trigger, []byte("test"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
