package series

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"

	"corbie/munin"
	"corbie/storage/rollup"
)

// Side is an open side block.
type Side struct {
	SideMeta

	Name  ulid.ULID // later ones are greater
	Bytes int64     // on disk
	path  string
	block *tsdb.Block
}

// OpenSides opens all side blocks of a folder, oldest first; the folder need not exist. Those that are open already, by their names, are
// taken over. Damaged ones are left out and returned with the reason: everything in them can be made again while the samples are there.
func OpenSides(dir string, known []*Side) (sides []*Side, damaged []Quarantined, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("open the rollups: %w", err)
	}
	for _, e := range entries {
		name, err := ulid.ParseStrict(e.Name())
		if err != nil || !e.IsDir() {
			continue
		}
		if i := slices.IndexFunc(known, func(s *Side) bool { return s.Name == name }); i >= 0 {
			sides = append(sides, known[i])
			continue
		}
		side, err := openSide(filepath.Join(dir, e.Name()), name)
		switch {
		case errors.Is(err, fs.ErrNotExist) && !exists(filepath.Join(dir, e.Name())):
			continue // the master removed it meanwhile
		case err != nil && ofTheMachine(err):
			return nil, nil, errors.Join(fmt.Errorf("open the rollups: %w", err), closeNew(sides, known))
		case err != nil:
			damaged = append(damaged, Quarantined{Path: filepath.Join(dir, e.Name()), Reason: err.Error()})
			continue
		}
		sides = append(sides, side)
	}
	slices.SortFunc(sides, func(a, b *Side) int { return cmp.Or(cmp.Compare(a.From, b.From), a.Name.Compare(b.Name)) })
	return sides, damaged, nil
}

func closeNew(sides, known []*Side) error {
	var err error
	for _, s := range sides {
		if !slices.Contains(known, s) {
			err = errors.Join(err, s.Close())
		}
	}
	return err
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func openSide(path string, name ulid.ULID) (*Side, error) {
	text, err := os.ReadFile(filepath.Join(path, "meta.json"))
	if err != nil {
		return nil, err
	}
	var file sideFile
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, fmt.Errorf("meta.json is damaged: %w", err)
	}
	if m := file.Rollup; file.ULID != name || m.Size <= 0 || m.From >= m.To {
		return nil, errors.New("meta.json is not of this rollup")
	}
	block, err := tsdb.OpenBlock(slog.New(slog.DiscardHandler), path, chunkenc.NewPool(), tsdb.DefaultPostingsDecoderFactory)
	if err != nil {
		return nil, err
	}
	return &Side{SideMeta: file.Rollup, Name: name, Bytes: block.Size(), path: path, block: block}, nil
}

// Close closes the block. It waits for those who read it.
func (s *Side) Close() error { return s.block.Close() }

// Remove closes the block and deletes it: its name goes first, so that nobody finds half of it.
func (s *Side) Remove() error {
	gone := s.path + partSuffix
	return errors.Join(s.Close(), os.Rename(s.path, gone), os.RemoveAll(gone))
}

// Buckets walks over the buckets of one series, oldest first. It is valid only during the call that it was given to.
type Buckets struct {
	chunks   [aggregates]chunks.Iterator
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
		bucket.Count, bucket.Max, bucket.Min = int(v[aggCount]), v[aggMax], v[aggMin]
		return bucket, true
	}
}

// chunk goes on to the next chunk of each of the four.
func (b *Buckets) chunk() bool {
	if b.err != nil {
		return false
	}
	for i := range b.chunks {
		if !b.chunks[i].Next() {
			b.err = b.chunks[i].Err()
			if b.err == nil && i > 0 {
				b.err = errUneven
			}
			return false
		}
		b.its[i] = b.chunks[i].At().Chunk.Iterator(b.its[i])
	}
	b.in = true
	return true
}

// Scan reads the buckets of several series that begin in a span. It calls visit once for each of the ids that has any, with its index and
// the recipe by which they were made, in no particular order, and stops at the first error of visit.
func (s *Side) Scan(ctx context.Context, ids []munin.SeriesID, span rollup.Span, visit func(i int, recipe string, buckets *Buckets) error) error {
	q, err := tsdb.NewBlockChunkQuerier(s.block, span.From, span.To-1)
	if err != nil {
		return fmt.Errorf("read rollup %s: %w", s.Name, err)
	}
	r := sideReader{buckets: Buckets{from: span.From, to: span.To - 1}, visit: visit}
	hints := wholeChunks(span.From, span.To-1)
	for _, want := range byGraph(ids) {
		if err = want.each(ctx, q, hints, r.next); err != nil {
			err = fmt.Errorf("read rollup %s of %s: %w", s.Name, want.id, err)
			break
		}
	}
	return errors.Join(err, q.Close())
}

// sideReader puts the four series that belong together back together.
type sideReader struct {
	buckets Buckets
	four    [aggregates]storage.ChunkSeries
	have    int
	visit   func(int, string, *Buckets) error
}

func (r *sideReader) next(indexes []int, found storage.ChunkSeries) error {
	if found.Labels().Get(labelRollup) != aggregateName(r.have) {
		return errUneven
	}
	r.four[r.have] = found
	if r.have++; r.have < aggregates {
		return nil
	}
	r.have = 0
	recipe := found.Labels().Get(labelRecipe)
	for _, i := range indexes {
		r.buckets.in, r.buckets.err = false, nil
		for k, one := range r.four {
			r.buckets.chunks[k] = one.Iterator(r.buckets.chunks[k])
		}
		if err := errors.Join(r.visit(i, recipe, &r.buckets), r.buckets.err); err != nil {
			return err
		}
	}
	return nil
}

// Recipes lists the series of the block with their recipes.
func (s *Side) Recipes(ctx context.Context, visit func(id munin.SeriesID, recipe string) error) error {
	q, err := tsdb.NewBlockChunkQuerier(s.block, s.From, s.To-1)
	if err != nil {
		return fmt.Errorf("list rollup %s: %w", s.Name, err)
	}
	averages := labels.MustNewMatcher(labels.MatchEqual, labelRollup, aggregateName(aggAvg))
	set := q.Select(ctx, false, wholeChunks(s.From, s.To-1), averages)
	for err == nil && set.Next() {
		l := set.At().Labels()
		id, ok := IDOf(l)
		if !ok {
			continue
		}
		err = errors.Join(ctx.Err(), visit(id, strings.Clone(l.Get(labelRecipe))))
	}
	if err = errors.Join(err, set.Err(), q.Close()); err != nil {
		return fmt.Errorf("list rollup %s: %w", s.Name, err)
	}
	return nil
}
