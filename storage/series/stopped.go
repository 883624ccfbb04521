package series

import (
	"context"
	"errors"
	"sync"
	"syscall"
	"time"

	"corbie/storage/disk"
)

// stopped remembers that samples cannot be stored, so that the log says so once, and once when it goes on.
type stopped struct {
	mu    sync.Mutex
	since time.Time // zero: they are stored
	lost  int
	cause error // of the last attempt
}

// note takes what became of storing some readings.
func (db *DB) note(ctx context.Context, err error, readings int) {
	if ctx.Err() != nil || errors.Is(err, errClosed) || errors.Is(err, errReadOnly) {
		return
	}
	if err != nil {
		db.noteStopped(err, readings)
		return
	}
	s := &db.stopped
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.since.IsZero() {
		db.log.Info("samples are stored again", "not_stored", s.lost, "for", time.Since(s.since).Round(time.Second).String())
		s.since, s.lost, s.cause = time.Time{}, 0, nil
		db.takeReserve()
	}
}

// noteStopped takes that readings could not be stored.
func (db *DB) noteStopped(err error, readings int) {
	s := &db.stopped
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lost += readings
	s.cause = err
	if !s.since.IsZero() {
		return
	}
	s.since = time.Now()
	if errors.Is(err, syscall.ENOSPC) {
		db.giveReserve()
	}
	db.log.Error("samples are not stored until this is mended; polling, pages and notices go on", "err", err, "advice", disk.Advice(err))
}

// Stopped says why samples are not stored, as of the last attempt; nil while they are.
func (db *DB) Stopped() error {
	db.stopped.mu.Lock()
	defer db.stopped.mu.Unlock()
	return db.stopped.cause
}

// StoppedSince is when storing samples began to fail, as on a full disk; zero while it works.
func (db *DB) StoppedSince() time.Time {
	db.stopped.mu.Lock()
	defer db.stopped.mu.Unlock()
	return db.stopped.since
}
