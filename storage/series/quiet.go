package series

import (
	"context"
	"log/slog"
	"strings"
)

// quiet passes on what the TSDB warns of; what it reports otherwise, several lines at each start, is dropped.
func quiet(log *slog.Logger) *slog.Logger { return slog.New(warnings{Handler: log.Handler()}) }

// telling is quiet, but tells how far reading the log has come.
func telling(log *slog.Logger, progress func(done, of int)) *slog.Logger {
	return slog.New(warnings{Handler: log.Handler(), progress: progress})
}

type warnings struct {
	slog.Handler

	progress func(done, of int) // may be nil
}

func (w warnings) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && w.Handler.Enabled(ctx, level) || w.progress != nil && level == slog.LevelInfo
}

// Handle says what the TSDB's messages mean. Of a repair of the log it only warns that it begins one: it cuts the log at the damage. A
// file of chunks that ends in the middle of one is what kill -9 leaves behind: the log has the same.
func (w warnings) Handle(ctx context.Context, r slog.Record) error {
	if r.Level < slog.LevelWarn {
		if w.progress != nil && (r.Message == "WAL segment loaded" || r.Message == "WBL segment loaded") {
			at := make(map[string]int64)
			r.Attrs(func(a slog.Attr) bool { at[a.Key], _ = a.Value.Any().(int64); return true })
			w.progress(int(at["segment"])+1, int(at["maxSegment"])+1)
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
