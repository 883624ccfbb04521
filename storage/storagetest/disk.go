package storagetest

import (
	"os"
	"syscall"
	"testing"
)

// SmallDisk is the folder of a file system of its own, in memory, that a test can fill; the options are those of mount(8), such as
// "size=60m". It needs root: without it the test is skipped, or fails where peers are required and it is root.
func SmallDisk(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		if os.Getenv("CORBIE_PEERS") == "required" && os.Geteuid() == 0 {
			t.Fatalf("mount a tmpfs: %v", err)
		}
		t.Skipf("mount a tmpfs (needs root): %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}
