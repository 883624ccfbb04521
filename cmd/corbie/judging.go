package main

import (
	"log/slog"
	"sync"
	"time"

	"corbie/munin"
)

// judgingEvery is how often the log says that levels cannot be evaluated, or changes of them not be kept: each poll of each host may meet the same trouble.
const judgingEvery = time.Minute

// judging remembers that evaluating levels fails.
type judging struct {
	mu     sync.Mutex
	said   time.Time // zero: it works
	failed int       // since then
	hosts  map[munin.HostID]bool
}

// note takes how the evaluation of a host went: a failure is said at once, then every minute with how many there were, and its end once.
func (j *judging) note(log *slog.Logger, host munin.HostID, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err == nil {
		delete(j.hosts, host)
		if len(j.hosts) == 0 && !j.said.IsZero() {
			log.Info("levels of all hosts are evaluated and kept again", "failed", j.failed)
			j.said, j.failed = time.Time{}, 0
		}
		return
	}
	if j.hosts == nil {
		j.hosts = make(map[munin.HostID]bool)
	}
	j.hosts[host] = true
	j.failed++
	if now := time.Now(); now.Sub(j.said) >= judgingEvery {
		j.said = now
		log.Error("cannot evaluate levels, or not keep what changed", "host", host, "err", err, "failed", j.failed, "hosts", len(j.hosts))
	}
}
