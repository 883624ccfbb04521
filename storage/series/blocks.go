package series

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"

	"corbie/munin"
	"corbie/storage/rollup"
)

// WriteBlocks writes readings of any age as finished blocks into the folder of a TSDB, past all the checks of Append:
// generated history, or what is imported from another system. The readings must come in blocks of 27 days, oldest first, and in the
// order of time within each series and block: the order of time altogether is always right. An open TSDB finds new
// blocks within 5 minutes, or when it is opened next. NaN is unknown.
func WriteBlocks(ctx context.Context, dir string, readings iter.Seq[munin.Reading]) error {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("write blocks: %w", err)
	}
	return writeBlocks(ctx, dir, maxBlock, readings)
}

func writeBlocks(ctx context.Context, dir string, size time.Duration, readings iter.Seq[munin.Reading]) error {
	w := blockWriter{dir: dir, size: size.Milliseconds(), start: math.MinInt64}
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

// writeLateBlocks is WriteBlocks for what goes on to come: in pieces of 8 hours, which are said to be of late samples. A start of the TSDB drops what the log
// has before the end of any other block, and one that ends within 8 hours may be merged with one that lasts longer.
func writeLateBlocks(ctx context.Context, dir string, readings iter.Seq[munin.Reading]) (err error) {
	tmp := filepath.Join(dir, ulid.Make().String()+unfinishedSuffix)
	if err := os.Mkdir(tmp, 0o750); err != nil {
		return fmt.Errorf("write blocks: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	if err := writeBlocks(ctx, tmp, minBlock, readings); err != nil {
		return err
	}
	entries, err := os.ReadDir(tmp)
	for _, e := range entries {
		if err == nil {
			err = markLate(filepath.Join(tmp, e.Name()))
		}
		if err == nil {
			err = os.Rename(filepath.Join(tmp, e.Name()), filepath.Join(dir, e.Name()))
		}
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		return fmt.Errorf("write blocks: %w", err)
	}
	return nil
}

// markLate says of a block that nobody has opened yet that its samples came late.
func markLate(block string) error {
	path := filepath.Join(block, "meta.json")
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var meta tsdb.BlockMeta
	if err := json.Unmarshal(text, &meta); err != nil {
		return err
	}
	meta.Compaction.SetOutOfOrder()
	if err := os.Remove(path); err != nil {
		return err
	}
	return errors.Join(writeJSON(path, &meta), syncDir(block))
}

// unfinishedSuffix ends the names of folders that the TSDB removes when it is opened, where a block's name stands before it.
const unfinishedSuffix = ".tmp-for-creation"

// ref is where a block that is being written keeps a series.
type ref struct {
	ref    storage.SeriesRef
	labels labels.Labels
}

// blockWriter fills one block after the other.
type blockWriter struct {
	dir    string
	size   int64 // of a block, in milliseconds
	start  int64 // of the block being filled
	block  *tsdb.BlockWriter
	app    storage.AppenderV2
	refs   map[munin.SeriesID]ref
	filled int // samples since the last commit
}

func (w *blockWriter) add(ctx context.Context, r munin.Reading) error {
	start := rollup.Floor(r.T, w.size)
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
	block, err := tsdb.NewBlockWriter(slog.New(slog.DiscardHandler), w.dir, 2*w.size)
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
