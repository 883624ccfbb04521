package series

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/tsdb/encoding"
	"github.com/prometheus/prometheus/tsdb/fileutil"
	"github.com/prometheus/prometheus/tsdb/index"
	"github.com/prometheus/prometheus/tsdb/record"
	"github.com/prometheus/prometheus/tsdb/tombstones"
	"github.com/prometheus/prometheus/tsdb/wlog"
	"github.com/prometheus/prometheus/util/compression"
)

// A snapshot is what the TSDB has in memory, in the form that it writes when it is closed and reads when it is opened: then it reads only that part of its
// log that came later. The TSDB's own is of no use while it runs. It notes the end of the log in the middle of a page, where it cannot
// begin to read; samples that are in the log and not yet in memory would be missing; and it counts on chunks in files that have not
// left the memory of the process. So this one begins where a file of the log begins, which is before all that it may lack, and holds
// every sample that is in memory, in one chunk for each series: who finds it does not need the files of chunks, see useSnapshot.

// SnapshotAfter is how many bytes of the log are read at a start without trouble: some 30 million samples, 6 seconds.
const SnapshotAfter = 256 << 20

const (
	// snapshotSeries and snapshotTombstones are the kinds of the records of series, and of the last one.
	snapshotSeries     = 1
	snapshotTombstones = 2
	// snapshotMark is a file in the folder of a snapshot that needs no files of chunks.
	snapshotMark = "whole"
	// snapshotPerSeries is how many bytes of a snapshot a series may take; half a day of 5-minute samples takes half of it.
	snapshotPerSeries = 1 << 10
	// snapshotBatch is how many bytes are written at once.
	snapshotBatch = 4 << 20
	// snapshotSamples is how many samples fit into a chunk, which counts them in 16 bits.
	snapshotSamples = 60_000
)

// errManySamples ends a snapshot that would not hold all.
var errManySamples = errors.New("a series has more samples in memory than a chunk can hold")

// Snapshot says what was written; the zero value: nothing.
type Snapshot struct {
	Series  int
	Samples int64
	Bytes   int64
}

// Snapshot writes what is in memory to a folder, so that the next start need not read the whole log, also after kill -9. It does nothing where that would save
// the reading of less than so many bytes, where there is too little room on the disk, and for a store that can only be read. Samples
// are taken meanwhile. When it fails, or is interrupted, all is as before.
func (db *DB) Snapshot(ctx context.Context, after int64) (Snapshot, error) {
	done, err := db.use()
	if err != nil {
		return Snapshot{}, fmt.Errorf("write a snapshot: %w", err)
	}
	defer done()
	if db.release != nil || db.standIn != nil {
		return Snapshot{}, nil
	}
	segment, err := db.snapshotFrom(after)
	if err != nil {
		return Snapshot{}, fmt.Errorf("write a snapshot: %w", err)
	}
	room := int64(db.tsdb.Head().NumSeries()) * (pendingPerSeries + snapshotPerSeries) //nolint:gosec // it fits
	if segment < 0 || db.checkFree(room) != nil {
		return Snapshot{}, nil
	}
	name := filepath.Join(db.dir, fmt.Sprintf("chunk_snapshot.%06d.%010d", segment, 0))
	written, err := db.writeSnapshot(ctx, name)
	if err != nil {
		return Snapshot{}, fmt.Errorf("write a snapshot: %w", err)
	}
	if err := tsdb.DeleteChunkSnapshots(db.dir, segment, 0); err != nil {
		db.log.Warn("an old snapshot could not be deleted; it is not used any more", "err", err)
	}
	return written, nil
}

// snapshotFrom is the file of the log from which on it must be read after a snapshot that is taken now; negative: there should be none. Nothing is being
// written while it is looked up, so what is in the files before is in memory.
func (db *DB) snapshotFrom(after int64) (int, error) {
	db.journal.mu.Lock()
	defer db.journal.mu.Unlock()
	if db.journal.torn {
		return -1, nil
	}
	_, last, err := wlog.Segments(filepath.Join(db.dir, "wal"))
	if err != nil {
		return -1, err
	}
	_, taken, offset, err := tsdb.LastChunkSnapshot(db.dir)
	switch {
	case errors.Is(err, record.ErrNotFound):
		taken, offset = -1, 0
	case err != nil:
		return -1, err
	}
	if last <= max(taken, 0) || logBytes(db.dir, taken, last)-int64(offset) < after {
		return -1, nil
	}
	return last, nil
}

// logBytes is the size of the log from one file to before another, with its checkpoint where that is read as well.
func logBytes(dir string, from, to int) (total int64) {
	wal := filepath.Join(dir, "wal")
	if path, at, err := wlog.LastCheckpoint(wal); err == nil {
		if at >= from {
			total = treeBytes(path)
		}
		from = max(from, at+1)
	}
	for i := max(from, 0); i < to; i++ {
		if info, err := os.Stat(wlog.SegmentName(wal, i)); err == nil {
			total += info.Size()
		}
	}
	return total
}

// writeSnapshot writes a snapshot, which gets its name when it is complete and on the disk.
func (db *DB) writeSnapshot(ctx context.Context, name string) (Snapshot, error) {
	part := name + ".tmp" // The TSDB deletes it at the next start.
	if err := os.RemoveAll(part); err != nil {
		return Snapshot{}, err
	}
	w := snapshotWriter{oldest: db.tsdb.Head().MinTime()}
	err := w.create(part)
	if err == nil {
		err = errors.Join(db.fillSnapshot(ctx, &w), w.out.Close())
	}
	if err == nil {
		err = writeSynced(filepath.Join(part, snapshotMark))
	}
	if err == nil {
		w.done.Bytes = treeBytes(part)
		err = fileutil.Replace(part, name)
	}
	if err != nil {
		return Snapshot{}, errors.Join(err, os.RemoveAll(part))
	}
	return w.done, nil
}

// writeSynced makes an empty file that a power cut does not lose.
func writeSynced(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o640)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// fillSnapshot writes all series, then the TSDB's list of what was deleted.
func (db *DB) fillSnapshot(ctx context.Context, w *snapshotWriter) (err error) {
	head := db.tsdb.Head()
	if w.index, err = head.Index(); err != nil {
		return err
	}
	if w.chunks, err = head.Chunks(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.chunks.Close(), w.index.Close()) }()
	name, value := index.AllPostingsKey()
	all, err := w.index.Postings(ctx, name, value)
	if err != nil {
		return err
	}
	for all.Next() {
		if w.done.Series%1000 == 0 && db.torn() {
			return errTorn
		}
		if err := errors.Join(ctx.Err(), w.series(all.At())); err != nil {
			return err
		}
	}
	if err := all.Err(); err != nil {
		return err
	}
	return w.end(head)
}

// snapshotWriter turns series into records.
type snapshotWriter struct {
	out     *wlog.WL
	index   tsdb.IndexReader
	chunks  tsdb.ChunkReader
	oldest  int64 // of the samples that are not in blocks, in milliseconds
	builder labels.ScratchBuilder
	metas   []chunks.Meta
	it      chunkenc.Iterator
	buf     encoding.Encbuf
	ends    []int // of the records in buf
	done    Snapshot
}

func (w *snapshotWriter) create(dir string) (err error) {
	w.builder = labels.NewScratchBuilder(0)
	w.out, err = wlog.New(nil, nil, dir, compression.Snappy)
	return err
}

// series adds one series with all its samples in order of time. Late samples have a log of their own, which is read at each start.
func (w *snapshotWriter) series(ref storage.SeriesRef) error {
	err := w.index.Series(ref, &w.builder, &w.metas)
	if errors.Is(err, storage.ErrNotFound) {
		return nil // It has just left the memory: its samples are in a block.
	}
	if err != nil {
		return err
	}
	chunk, last, err := w.merge()
	if err != nil {
		return err
	}
	w.buf.PutByte(snapshotSeries)
	w.buf.PutBE64(uint64(ref))
	record.EncodeLabels(&w.buf, w.builder.Labels())
	w.buf.PutBE64(0) // not used any more
	if chunk.NumSamples() == 0 {
		w.buf.PutUvarint(0)
	} else {
		w.chunk(chunk, last)
	}
	w.ends = append(w.ends, w.buf.Len())
	w.done.Series++
	w.done.Samples += int64(chunk.NumSamples())
	if w.buf.Len() < snapshotBatch {
		return nil
	}
	return w.flush()
}

// span is what the TSDB keeps besides a chunk.
type span struct {
	from, to int64 // times of the first and last sample, in milliseconds
	value    float64
}

// merge puts the samples of the series' chunks into one.
func (w *snapshotWriter) merge() (*chunkenc.XORChunk, span, error) {
	out := chunkenc.NewXORChunk()
	var s span
	app, err := out.Appender()
	if err != nil {
		return nil, s, err
	}
	for _, meta := range w.metas {
		one, _, err := w.chunks.ChunkOrIterable(meta)
		if errors.Is(err, storage.ErrNotFound) {
			continue // It has just left the memory.
		}
		if err != nil {
			return nil, s, err
		}
		for w.it = one.Iterator(w.it); w.it.Next() == chunkenc.ValFloat; {
			t, v := w.it.At()
			if t < w.oldest {
				continue
			}
			if out.NumSamples() == snapshotSamples {
				return nil, s, errManySamples
			}
			if out.NumSamples() == 0 {
				s.from = t
			}
			app.Append(0, t, v)
			s.to, s.value = t, v
		}
		if err := w.it.Err(); err != nil {
			return nil, s, err
		}
	}
	return out, s, nil
}

func (w *snapshotWriter) chunk(chunk *chunkenc.XORChunk, s span) {
	w.buf.PutUvarint(1)
	w.buf.PutBE64int64(s.from)
	w.buf.PutBE64int64(s.to)
	w.buf.PutByte(byte(chunk.Encoding()))
	w.buf.PutUvarintBytes(chunk.Bytes())
	for range 3 { // not used any more
		w.buf.PutBE64(0)
		w.buf.PutBE64(0)
	}
	w.buf.PutBE64(0)
	w.buf.PutBEFloat64(s.value)
}

func (w *snapshotWriter) flush() error {
	records, from, all := make([][]byte, 0, len(w.ends)), 0, w.buf.Get()
	for _, to := range w.ends {
		records = append(records, all[from:to])
		from = to
	}
	err := w.out.Log(records...)
	w.buf.Reset()
	w.ends = w.ends[:0]
	return err
}

func (w *snapshotWriter) end(head *tsdb.Head) error {
	deleted, err := head.Tombstones()
	if err != nil {
		return err
	}
	encoded, err := tombstones.Encode(deleted)
	if err != nil {
		return err
	}
	w.buf.PutByte(snapshotTombstones)
	w.buf.PutUvarintBytes(encoded)
	w.ends = append(w.ends, w.buf.Len())
	return w.flush()
}

// newestSnapshot is the folder of the newest snapshot where that is one of Snapshot, else empty.
func newestSnapshot(dir string) (string, error) {
	newest, _, _, err := tsdb.LastChunkSnapshot(dir)
	if err == nil {
		_, err = os.Stat(filepath.Join(newest, snapshotMark))
	}
	if errors.Is(err, record.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return newest, err
}

// putSnapshotAside keeps the newest snapshot from being replaced while the TSDB is closed; back puts it back. Where that is interrupted, the next start does
// without it.
func putSnapshotAside(dir string) (back func() error) {
	newest, err := newestSnapshot(dir)
	aside := filepath.Join(dir, "snapshot-aside")
	if err == nil {
		err = os.RemoveAll(aside)
	}
	if err != nil || newest == "" || os.Rename(newest, aside) != nil {
		return func() error { return nil }
	}
	return func() error { return os.Rename(aside, newest) }
}

// useSnapshot prepares a folder for being opened. Where the newest snapshot is of Snapshot, the files of chunks go: all that they have is in it, or in the
// log after it, and the TSDB would take chunks of the same time for damage.
func useSnapshot(dir string) error {
	newest, err := newestSnapshot(dir)
	if err == nil && newest != "" {
		err = os.RemoveAll(filepath.Join(dir, "chunks_head"))
	}
	if err != nil {
		return fmt.Errorf("use the snapshot of what was in memory: %w", err)
	}
	return nil
}
