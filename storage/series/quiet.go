package series

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"

	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/wlog"
)

// quiet passes on what the TSDB warns of; what it reports otherwise, several lines at each start, is dropped.
func quiet(log *slog.Logger) *slog.Logger { return slog.New(warnings{Handler: log.Handler()}) }

// telling is quiet, but tells how far opening has come.
func telling(log *slog.Logger, progress *progress) *slog.Logger {
	return slog.New(warnings{Handler: log.Handler(), progress: progress})
}

// progress counts what is read at a start: the snapshot, if there is one, and the files of the log after it.
type progress struct {
	tell     func(done, of int)
	snapshot int // 1: there is one
	first    int // file of the log that is read
}

// newProgress looks what there is to read in a folder, and says so.
func newProgress(dir string, tell func(done, of int)) *progress {
	p := &progress{tell: tell}
	if _, at, _, err := tsdb.LastChunkSnapshot(dir); err == nil {
		p.snapshot, p.first = 1, at
	}
	wal := filepath.Join(dir, "wal")
	if _, at, err := wlog.LastCheckpoint(wal); err == nil {
		p.first = max(p.first, at+1)
	}
	first, last, err := wlog.Segments(wal)
	if err == nil && last >= 0 {
		p.first = max(p.first, first)
		tell(0, p.snapshot+max(0, last-p.first+1))
	}
	return p
}

// heard takes a message of the TSDB.
func (p *progress) heard(r slog.Record) {
	at := make(map[string]int)
	r.Attrs(func(a slog.Attr) bool {
		n, _ := a.Value.Any().(int64)
		at[a.Key] = int(n)
		return true
	})
	switch r.Message {
	case "WAL segment loaded":
		p.tell(p.snapshot+at["segment"]-p.first+1, p.snapshot+at["maxSegment"]-p.first+1)
	case "WBL segment loaded":
		p.tell(at["segment"]+1, at["maxSegment"]+1)
	}
}

type warnings struct {
	slog.Handler

	progress *progress // may be nil
}

func (w warnings) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && w.Handler.Enabled(ctx, level) || w.progress != nil && level == slog.LevelInfo
}

// Handle says what the TSDB's messages mean. Of a repair of the log it only warns that it begins one: it cuts the log at the damage. A
// file of chunks that ends in the middle of one is what kill -9 leaves behind: the log has the same.
func (w warnings) Handle(ctx context.Context, r slog.Record) error {
	if r.Level < slog.LevelWarn {
		if w.progress != nil {
			w.progress.heard(r)
		}
		return nil
	}
	if strings.HasPrefix(r.Message, "Encountered W") && strings.HasSuffix(r.Message, "attempting repair") {
		said := slog.NewRecord(r.Time, slog.LevelError,
			"the log of the last hours is damaged: it is used up to the damage, samples after it are lost; check the disk", r.PC)
		r.Attrs(func(a slog.Attr) bool { said.AddAttrs(a); return true })
		r = said
	}
	if r.Message == "Loading on-disk chunks failed" {
		said := slog.NewRecord(r.Time, slog.LevelWarn, "a file of chunks is not whole, as after kill -9: its samples are read from the log", r.PC)
		r.Attrs(func(a slog.Attr) bool { said.AddAttrs(a); return true })
		r = said
	}
	return w.Handler.Handle(ctx, r)
}

func (w warnings) WithAttrs(attrs []slog.Attr) slog.Handler {
	return warnings{w.Handler.WithAttrs(attrs), w.progress}
}

func (w warnings) WithGroup(name string) slog.Handler {
	return warnings{w.Handler.WithGroup(name), w.progress}
}
