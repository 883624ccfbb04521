package series

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math"
	"os"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"

	"corbie/munin"
)

// WriteBlocks writes readings of any age as finished blocks into the folder of a TSDB, past all the checks of Append:
// generated history, or what is imported from another system. The readings must come in blocks of 27 days, oldest first, and in the
// order of time within each series and block: the order of time altogether is always right. An open TSDB finds new
// blocks within 5 minutes, or when it is opened next. NaN is unknown.
func WriteBlocks(ctx context.Context, dir string, readings iter.Seq[munin.Reading]) error {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("write blocks: %w", err)
	}
	w := blockWriter{dir: dir, start: math.MinInt64}
	for r := range readings {
		if err := w.add(ctx, r); err != nil {
			return errors.Join(fmt.Errorf("write blocks: %s at %s: %w", r.ID, r.Time(), err), w.discard())
		}
	}
	if err := w.flush(ctx); err != nil {
		return fmt.Errorf("write blocks: %w", err)
	}
	return nil
}

// ref is where a block that is being written keeps a series.
type ref struct {
	ref    storage.SeriesRef
	labels labels.Labels
}

// blockWriter fills one block after the other.
type blockWriter struct {
	dir    string
	start  int64 // of the block being filled
	block  *tsdb.BlockWriter
	app    storage.AppenderV2
	refs   map[munin.SeriesID]ref
	filled int // samples since the last commit
}

func (w *blockWriter) add(ctx context.Context, r munin.Reading) error {
	size := maxBlock.Milliseconds()
	start := r.T - ((r.T%size)+size)%size
	if w.block == nil || start != w.start {
		if start < w.start {
			return errors.New("older than the block before: sort the readings by time")
		}
		if err := w.next(ctx, start); err != nil {
			return err
		}
	}
	at, ok := w.refs[r.ID]
	if !ok {
		at.labels = LabelsOf(r.ID)
	}
	v := r.V
	if math.IsNaN(v) || math.IsInf(v, 0) {
		v = math.Float64frombits(value.StaleNaN)
	}
	got, err := w.app.Append(at.ref, at.labels, 0, r.T, v, nil, nil, storage.AOptions{})
	if err != nil {
		return err
	}
	if got != at.ref {
		at.ref = got
		w.refs[r.ID] = at
	}
	if w.filled++; w.filled < commitSamples {
		return nil
	}
	w.filled = 0
	if err := errors.Join(ctx.Err(), w.app.Commit()); err != nil {
		return err
	}
	w.app = w.block.AppenderV2(ctx)
	return nil
}

func (w *blockWriter) next(ctx context.Context, start int64) error {
	if err := w.flush(ctx); err != nil {
		return err
	}
	// Twice the size, because the writer takes only what is younger than half of it.
	block, err := tsdb.NewBlockWriter(slog.New(slog.DiscardHandler), w.dir, 2*maxBlock.Milliseconds())
	if err != nil {
		return err
	}
	w.block, w.start, w.filled = block, start, 0
	w.app, w.refs = block.AppenderV2(ctx), make(map[munin.SeriesID]ref)
	return nil
}

func (w *blockWriter) flush(ctx context.Context) error {
	if w.block == nil {
		return nil
	}
	err := w.app.Commit()
	if err == nil {
		_, err = w.block.Flush(ctx)
	}
	return errors.Join(err, w.discard())
}

// discard drops what was not flushed, and the scratch files.
func (w *blockWriter) discard() error {
	if w.block == nil {
		return nil
	}
	block := w.block
	w.block, w.app = nil, nil
	return block.Close()
}
