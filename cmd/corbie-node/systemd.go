package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"corbie/node"
)

// systemd is told what the node is about, when systemd started it.
type systemd struct {
	log *slog.Logger
}

func (s systemd) tell(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		s.log.Warn("cannot tell systemd about the node", "state", state, "err", err)
	}
}

// reloading says that the configuration is read anew, until ready is said again.
func (s systemd) reloading() {
	s.tell(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
}

// watch feeds systemd's watchdog twice as often as it wants it, and only while the node works, until ctx ends.
// A node that hangs is then killed and started again by systemd.
func (s systemd) watch(ctx context.Context, server *node.Server) {
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		s.log.Warn("systemd's watchdog is not fed", "err", err)
	}
	if interval <= 0 {
		return
	}
	ticker := time.NewTicker(interval / 2)
	defer ticker.Stop()
	for {
		// Not before it serves, which takes a moment, and no longer than it hangs.
		if err := server.Ping(ctx); err == nil {
			s.tell(daemon.SdNotifyWatchdog)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
