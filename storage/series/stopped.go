package series

import (
	"context"
	"errors"
	"sync"
	"syscall"
	"time"
)

// stopped remembers that samples cannot be stored, so that the log says so once, and once when it goes on.
type stopped struct {
	mu    sync.Mutex
	since time.Time // zero: they are stored
	lost  int
}

// note takes what became of storing some readings.
func (db *DB) note(ctx context.Context, err error, readings int) {
	if ctx.Err() != nil || errors.Is(err, errClosed) || errors.Is(err, errReadOnly) {
		return
	}
	s := &db.stopped
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err != nil:
		s.lost += readings
		if s.since.IsZero() {
			s.since = time.Now()
			if errors.Is(err, syscall.ENOSPC) {
				db.giveReserve()
			}
			db.log.Error("samples are not stored until this is mended; polling, pages and notices go on", "err", err)
		}
	case !s.since.IsZero():
		db.log.Info("samples are stored again", "not_stored", s.lost, "for", time.Since(s.since).Round(time.Second).String())
		s.since, s.lost = time.Time{}, 0
		db.takeReserve()
	}
}

// StoppedSince is when storing samples began to fail, as on a full disk; zero while it works.
func (db *DB) StoppedSince() time.Time {
	db.stopped.mu.Lock()
	defer db.stopped.mu.Unlock()
	return db.stopped.since
}
