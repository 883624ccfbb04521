package route

import (
	"errors"
	"io/fs"
	"log/slog"
	"sync"
	"time"
)

// trouble remembers that a file cannot be written, because its disk is full or read-only, so that the log says so once, and once when it is over. What would
// be in the file is in memory meanwhile, and all goes on: a monitor that tells nobody because of its own disk is worse than one that may tell twice after
// a crash.
type trouble struct {
	logger *slog.Logger
	file   string

	mu    sync.Mutex
	since time.Time // zero: there is none
}

// note takes how writing the file went.
func (t *trouble) note(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case err != nil && t.since.IsZero():
		t.since = time.Now()
		t.logger.Error("a file of the notices cannot be written: notices go on from memory, and it is written as soon as the disk takes it; "+
			"after a restart before that, what is open is told again", "file", t.file, "err", err)
	case err == nil && !t.since.IsZero():
		t.logger.Info("a file of the notices is written again", "file", t.file, "for", time.Since(t.since).Round(time.Second).String())
		t.since = time.Time{}
	}
}

// is says whether the file is behind.
func (t *trouble) is() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.since.IsZero()
}

// forbidden says whether an error at the start shows that this is not the account of the master, which waiting would not mend.
func forbidden(err error) bool { return errors.Is(err, fs.ErrPermission) }
