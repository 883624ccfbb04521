package plugins

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// statfs asks the kernel about the file system at a mount point. It hangs for as long as the file system does.
func statfs(path string) (FileSystem, error) {
	var st unix.Statfs_t
	for {
		err := unix.Statfs(path, &st)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EINTR) {
			return FileSystem{}, fmt.Errorf("statfs %s: %w", path, err)
		}
	}
	size := uint64(st.Frsize)
	if size == 0 {
		size = uint64(st.Bsize)
	}
	return FileSystem{
		BlockSize: size, Blocks: st.Blocks, Free: st.Bfree, Available: st.Bavail,
		Files: st.Files, FreeFiles: st.Ffree,
	}, nil
}
