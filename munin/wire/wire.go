// Package wire is Munin's line protocol, both ends, over any net.Conn. The server side reads commands and
// writes replies; the client side asks and matches answers to what was asked. It knows no plugins and no hosts.
package wire

import "time"

// Limits of a session. What exceeds them ends the session.
const (
	MaxCommandBytes = 4 << 10          // of one command line, read by a node
	MaxLineBytes    = 1 << 20          // of one reply line, read by a master ("list" puts all plugins on one line)
	MaxReplyBytes   = 32 << 20         // of one reply
	MaxSession      = 15 * time.Minute // of a session as a node sees it; Munin's global_timeout
	DefaultPort     = "4949"
)
