package fleet

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// onlyLoopback makes a port that is open on all addresses unreachable from other machines. Where the kernel does
// not allow it, Serve still turns away whoever does not come to a loopback address.
func onlyLoopback(_, _ string, raw syscall.RawConn) error {
	return raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptString(int(fd), unix.SOL_SOCKET, unix.SO_BINDTODEVICE, "lo") // see above
	})
}
