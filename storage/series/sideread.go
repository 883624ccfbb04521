package series

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/tsdb/index"

	"corbie/munin"
	"corbie/storage/rollup"
)

// Buckets walks over the buckets of one series, oldest first. It is valid only during the call that it was given to.
type Buckets struct {
	reader   tsdb.ChunkReader
	pool     chunkenc.Pool
	chunks   *[aggregates][]chunks.Meta
	at       int // the chunk that comes next
	its      [aggregates]chunkenc.Iterator
	in       bool
	from, to int64 // first and last start, inclusive
	err      error
}

var errUneven = errors.New("average, count, least and greatest do not have the same buckets")

// Next is the next bucket; ok is false after the last one.
func (b *Buckets) Next() (bucket rollup.Bucket, ok bool) {
	for {
		if !b.in && !b.chunk() {
			return bucket, false
		}
		if b.its[0].Next() == chunkenc.ValNone {
			b.in = false
			if b.err = b.its[0].Err(); b.err != nil {
				return bucket, false
			}
			continue
		}
		bucket.Start, bucket.Avg = b.its[0].At()
		var at [aggregates]int64
		var v [aggregates]float64
		for i := 1; i < aggregates; i++ {
			if b.its[i].Next() != chunkenc.ValFloat {
				b.err = cmp.Or(b.its[i].Err(), errUneven)
				return bucket, false
			}
			at[i], v[i] = b.its[i].At()
		}
		if at[aggCount] != bucket.Start || at[aggMax] != bucket.Start || at[aggMin] != bucket.Start {
			b.err = errUneven
			return bucket, false
		}
		if bucket.Start < b.from || bucket.Start > b.to {
			continue
		}
		if v[aggCount] == noBuckets {
			continue
		}
		bucket.Count, bucket.Max, bucket.Min = int(v[aggCount]), v[aggMax], v[aggMin]
		return bucket, true
	}
}

// start begins at the first chunk that reaches into the range.
func (b *Buckets) start() {
	b.at, b.in, b.err = 0, false, nil
	averages := b.chunks[aggAvg]
	for b.at < len(averages) && averages[b.at].MaxTime < b.from {
		b.at++
	}
}

// chunk goes on to the next chunk of each of the four; false after the last one of the range.
func (b *Buckets) chunk() bool {
	averages := b.chunks[aggAvg]
	if b.err != nil || b.at >= len(averages) || averages[b.at].MinTime > b.to {
		return false
	}
	for i, one := range b.chunks {
		if len(one) != len(averages) {
			b.err = errUneven
			return false
		}
		chunk, _, err := b.reader.ChunkOrIterable(one[b.at])
		if err != nil {
			b.err = err
			return false
		}
		b.its[i] = chunk.Iterator(b.its[i])
		// The iterator has the bytes and needs the chunk no more.
		if b.err = b.pool.Put(chunk); b.err != nil {
			return false
		}
	}
	b.at++
	b.in = true
	return true
}

// Scan reads the buckets of several series that begin in a span. It calls visit once for each of the ids that the block knows, also where it has none in the
// span, with its index and the recipe by which they were made, in no particular order, and stops at the first error of visit.
func (s *Side) Scan(ctx context.Context, ids []munin.SeriesID, span rollup.Span, visit func(i int, recipe string, buckets *Buckets) error) error {
	// Both keep the block open until they are closed.
	postings, err := s.block.Index()
	if err != nil {
		return fmt.Errorf("read rollup %s: %w", s.Name, err)
	}
	chunks, err := s.block.Chunks()
	if err != nil {
		return fmt.Errorf("read rollup %s: %w", s.Name, errors.Join(err, postings.Close()))
	}
	r := sideReader{
		postings: postings, found: s.index.finder(), visit: visit,
		buckets: Buckets{reader: chunks, pool: s.pool, from: span.From, to: span.To - 1},
	}
	for _, want := range byGraph(ids) {
		if err = r.read(ctx, want); err != nil {
			err = fmt.Errorf("read rollup %s of %s: %w", s.Name, want.id, err)
			break
		}
	}
	return errors.Join(err, chunks.Close(), postings.Close())
}

// sideReader reads the series of graphs from a side block.
type sideReader struct {
	postings tsdb.IndexReader
	found    *sideFinder
	buckets  Buckets
	visit    func(int, string, *Buckets) error
}

// read calls visit for the wanted series of one graph.
func (r *sideReader) read(ctx context.Context, want *wanted) error {
	list, err := r.search(ctx, want)
	if err != nil {
		return err
	}
	group, name := want.id.Host.Group(), MetricName(want.id.Graph)
	r.buckets.chunks = &r.found.chunks
	for list.Next() {
		if err := errors.Join(ctx.Err(), r.found.four(list)); err != nil {
			return err
		}
		// As with raw samples, a host without a group is not asked for by an empty label.
		if r.found.group != group || r.found.name != name {
			continue
		}
		for _, i := range want.fields[r.found.field] {
			r.buckets.start()
			if err := errors.Join(r.visit(i, r.found.recipe, &r.buckets), r.buckets.err); err != nil {
				return err
			}
		}
	}
	return list.Err()
}

// search finds where the series of a graph are in the index.
func (r *sideReader) search(ctx context.Context, want *wanted) (index.Postings, error) {
	matchers := want.matchers()
	lists := make([]index.Postings, len(matchers))
	for i, m := range matchers {
		var err error
		if lists[i], err = r.postings.Postings(ctx, m.Name, m.Value); err != nil {
			return nil, err
		}
	}
	return index.Intersect(lists...), nil
}
