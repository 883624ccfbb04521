package wire

import (
	"net"
	"syscall"
)

// quickAck returns a function that asks the kernel to acknowledge what arrives at once; the kernel forgets that
// after a while, so it is called before each read. Munin's node writes each line of an answer by itself and
// waits for the acknowledgement of the one before, which by default comes 40 ms later.
func quickAck(conn net.Conn) func() {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return func() {}
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return func() {}
	}
	set := func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 1) // Only speed is lost.
	}
	return func() { _ = raw.Control(set) }
}
