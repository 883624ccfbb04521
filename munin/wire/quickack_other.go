//go:build !linux

package wire

import "net"

// quickAck does nothing where the kernel cannot be asked.
func quickAck(net.Conn) func() { return func() {} }
