package series

import (
	"context"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
)

// joinedSamples is how many samples a chunk may have that was joined of others: a day in steps of 5 minutes. The TSDB keeps chunks as they were
// cut in memory, at the latest every 8 hours, for ever; each costs some 35 bytes besides its samples.
const joinedSamples = 300

// joiningCompactor is the TSDB's own compactor, but when it merges blocks it joins small chunks of a series to larger ones.
func joiningCompactor(ctx context.Context, r prometheus.Registerer, l *slog.Logger, ranges []int64, pool chunkenc.Pool, o *tsdb.Options) (tsdb.Compactor, error) {
	merge := storage.NewCompactingChunkSeriesMergerWithFloatEncoding(storage.ChainedSeriesMerge, nil)
	return tsdb.NewLeveledCompactorWithOptions(ctx, r, l, ranges, pool, tsdb.LeveledCompactorOptions{
		MaxBlockChunkSegmentSize:    o.MaxBlockChunkSegmentSize,
		EnableOverlappingCompaction: o.EnableOverlappingCompaction,
		PD:                          o.PostingsDecoderFactory,
		UseUncachedIO:               o.UseUncachedIO,
		BlockExcludeFilter:          o.BlockCompactionExcludeFunc,
		MergeFunc: func(series ...storage.ChunkSeries) storage.ChunkSeries {
			merged := merge(series...)
			if merged == nil {
				return nil
			}
			return &storage.ChunkSeriesEntry{
				Lset:            merged.Labels(),
				ChunkIteratorFn: func(chunks.Iterator) chunks.Iterator { return &joinedChunks{from: merged.Iterator(nil)} },
			}
		},
	})
}

// joinedChunks walks over chunks that do not overlap, and joins neighbours as long as they are small together.
type joinedChunks struct {
	from chunks.Iterator
	next chunks.Meta // read and not given yet
	has  bool        // there is a next
	at   chunks.Meta
	err  error
}

// At is the chunk that Next went on to.
func (j *joinedChunks) At() chunks.Meta { return j.at }

// Err is what ended the walk early.
func (j *joinedChunks) Err() error { return j.err }

// Next goes on to the next chunk; false after the last one.
func (j *joinedChunks) Next() bool {
	if !j.read() {
		return false
	}
	j.at, j.has = j.next, false
	var app chunkenc.Appender
	for j.read() && fit(j.at, j.next) {
		if app == nil {
			joined := chunkenc.NewXORChunk()
			if app, j.err = joined.Appender(); j.err == nil {
				j.err = copySamples(app, j.at.Chunk)
			}
			j.at.Chunk = joined
		}
		if j.err == nil {
			j.err = copySamples(app, j.next.Chunk)
		}
		j.at.MaxTime, j.has = j.next.MaxTime, false
	}
	return j.err == nil
}

// read makes sure that there is a next chunk; false where there is none.
func (j *joinedChunks) read() bool {
	if j.err != nil || j.has {
		return j.err == nil
	}
	if j.has = j.from.Next(); j.has {
		j.next = j.from.At()
	} else {
		j.err = j.from.Err()
	}
	return j.has
}

// fit says whether two chunks may become one.
func fit(a, b chunks.Meta) bool {
	return a.Chunk.Encoding() == chunkenc.EncXOR && b.Chunk.Encoding() == chunkenc.EncXOR && a.MaxTime < b.MinTime &&
		a.Chunk.NumSamples()+b.Chunk.NumSamples() <= joinedSamples
}

// copySamples appends the samples of a chunk, bit by bit as they are: a stale marker is a NaN of its own.
func copySamples(app chunkenc.Appender, from chunkenc.Chunk) error {
	it := from.Iterator(nil)
	for it.Next() != chunkenc.ValNone {
		t, v := it.At()
		app.Append(0, t, v)
	}
	return it.Err()
}
