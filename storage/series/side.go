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
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"corbie/munin"
)

// Side is an open side block.
type Side struct {
	SideMeta

	Name  ulid.ULID // later ones are greater
	Bytes int64     // on disk
	path  string
	block *tsdb.Block
	pool  chunkenc.Pool // where the chunks of block come from
	index *sideIndex
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
	pool := chunkenc.NewPool()
	block, err := tsdb.OpenBlock(slog.New(slog.DiscardHandler), path, pool, tsdb.DefaultPostingsDecoderFactory)
	if err != nil {
		return nil, err
	}
	found, err := openSideIndex(path)
	if err != nil {
		return nil, errors.Join(err, block.Close())
	}
	return &Side{SideMeta: file.Rollup, Name: name, Bytes: block.Size(), path: path, block: block, pool: pool, index: found}, nil
}

// Close closes the block. It waits for those who read it.
func (s *Side) Close() error { return errors.Join(s.block.Close(), s.index.close()) }

// Remove closes the block and deletes it: its name goes first, so that nobody finds half of it.
func (s *Side) Remove() error {
	gone := s.path + partSuffix
	return errors.Join(s.Close(), os.Rename(s.path, gone), os.RemoveAll(gone))
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
