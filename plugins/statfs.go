package plugins

import (
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
		if err != unix.EINTR { //nolint:errorlint // a bare errno from the kernel
			return FileSystem{}, fmt.Errorf("statfs %s: %w", path, err)
		}
	}
	size := uint64(st.Frsize) //nolint:unconvert // the type differs between architectures
	if size == 0 {
		size = uint64(st.Bsize) //nolint:unconvert // the type differs between architectures
	}
	return FileSystem{
		BlockSize: size, Blocks: st.Blocks, Free: st.Bfree, Available: st.Bavail,
		Files: st.Files, FreeFiles: st.Ffree,
	}, nil
}
