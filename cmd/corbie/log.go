package main

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"
)

// newLogger writes the master's log: one line an event, for people and for journald.
func newLogger(w io.Writer, verbose bool) *slog.Logger {
	level := slog.LevelInfo
	if verbose {
		level = slog.LevelDebug
	}
	text := slog.NewTextHandler(w, &slog.HandlerOptions{Level: level})
	return slog.New(fewErrors{Handler: text, said: &errorCounts{counts: make(map[string]*errorCount)}})
}

const (
	// errorsAtOnce is how often an error message is logged in errorsWithin. What concerns one host is worth a line; what
	// concerns all of them at every poll, as a full disk does, is not worth a thousand.
	errorsAtOnce = 5
	errorsWithin = time.Minute
)

// fewErrors passes on so many errors of each message in a minute. The first one after that says how many were left out.
type fewErrors struct {
	slog.Handler
	said *errorCounts
}

type errorCounts struct {
	mu     sync.Mutex
	counts map[string]*errorCount // by message; messages are constants, so there are few
}

type errorCount struct {
	since   time.Time
	n       int
	leftOut int
}

// Handle implements slog.Handler.
func (f fewErrors) Handle(ctx context.Context, r slog.Record) error {
	if r.Level < slog.LevelError {
		return f.Handler.Handle(ctx, r)
	}
	leftOut, pass := f.said.count(r.Message, r.Time)
	if !pass {
		return nil
	}
	if leftOut > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Int("left_out", leftOut))
	}
	return f.Handler.Handle(ctx, r)
}

func (e *errorCounts) count(message string, now time.Time) (leftOut int, pass bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.counts[message]
	if c == nil {
		c = &errorCount{since: now}
		e.counts[message] = c
	}
	if age := now.Sub(c.since); age < 0 || age >= errorsWithin {
		leftOut = c.leftOut
		*c = errorCount{since: now}
	}
	if c.n >= errorsAtOnce {
		c.leftOut++
		return 0, false
	}
	c.n++
	return leftOut, true
}

// WithAttrs implements slog.Handler.
func (f fewErrors) WithAttrs(attrs []slog.Attr) slog.Handler {
	return fewErrors{Handler: f.Handler.WithAttrs(attrs), said: f.said}
}

// WithGroup implements slog.Handler.
func (f fewErrors) WithGroup(name string) slog.Handler {
	return fewErrors{Handler: f.Handler.WithGroup(name), said: f.said}
}
