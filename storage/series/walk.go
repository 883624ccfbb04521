package series

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb"

	"corbie/munin"
	"corbie/storage/rollup"
)

// Block is a finished block of raw samples.
type Block struct {
	Name ulid.ULID // changes whenever what is in the block may have changed
	Span rollup.Span
	// Parents are the blocks that it was directly made of; none where it was made of samples from memory.
	Parents []ulid.ULID
}

// Finished lists the finished blocks, oldest first, and the time before which nothing can change but by new blocks: nothing
// older is in memory, and samples that old are no longer taken.
func (db *DB) Finished() (blocks []Block, until int64, err error) {
	done, err := db.use()
	if err != nil {
		return nil, 0, err
	}
	defer done()
	// The time is taken before the blocks are listed: what goes from memory into a block in between counts as in memory.
	until = db.settled()
	return describe(db.tsdb.Blocks()), until, nil
}

func describe(blocks []*tsdb.Block) []Block {
	out := make([]Block, len(blocks))
	for i, b := range blocks {
		meta := b.Meta()
		out[i] = Block{Name: meta.ULID, Span: rollup.Span{From: meta.MinTime, To: meta.MaxTime}}
		for _, parent := range meta.Compaction.Parents {
			out[i].Parents = append(out[i].Parents, parent.ULID)
		}
	}
	return out
}

// settled is the time before which nothing is in memory and nothing is taken any more.
func (db *DB) settled() int64 {
	until := db.now().Add(-db.window - MaxAhead).UnixMilli()
	head := db.tsdb.Head()
	until = min(until, head.MinTime(), head.MinOOOTime())
	if newest := head.MaxTime(); newest != math.MinInt64 {
		until = min(until, newest-(db.window+MaxAhead).Milliseconds())
	}
	return until
}

// Walk reads all series that have samples in a range, in the order in which a SideWriter takes them. The visit may leave
// the samples unread.
func (db *DB) Walk(ctx context.Context, span rollup.Span, visit func(id munin.SeriesID, points *Points) error) error {
	done, err := db.use()
	if err != nil {
		return fmt.Errorf("read all samples: %w", err)
	}
	defer done()
	return db.walk(ctx, span, visit)
}

// walk is Walk for a caller that keeps the TSDB open.
func (db *DB) walk(ctx context.Context, span rollup.Span, visit func(id munin.SeriesID, points *Points) error) error {
	from, to := span.From, span.To-1
	q, err := db.tsdb.ChunkQuerier(from, to)
	if err != nil {
		return fmt.Errorf("read all samples: %w", err)
	}
	points := Points{from: from, to: to}
	set := q.Select(ctx, true, wholeChunks(from, to), everything())
	for err == nil && set.Next() {
		found := set.At()
		id, ok := IDOf(found.Labels())
		if !ok {
			continue
		}
		points.start(found)
		if err = errors.Join(ctx.Err(), visit(id, &points), points.err); err != nil {
			err = fmt.Errorf("read all samples: %s: %w", id, err)
		}
	}
	return errors.Join(err, set.Err(), q.Close())
}

func everything() *labels.Matcher {
	return labels.MustNewMatcher(labels.MatchNotEqual, labelHost, "")
}

// IDOf finds whose samples they are; ok is false for a series that was not written by Corbie. The strings outlive the block.
func IDOf(l labels.Labels) (id munin.SeriesID, ok bool) {
	id.Graph, id.Field = strings.Clone(l.Get(labelGraph)), strings.Clone(l.Get(labelField))
	id.Host = munin.HostID(strings.Clone(l.Get(labelHost)))
	count := 4
	if group := l.Get(LabelGroup); group != "" {
		id.Host = munin.NewHostID(group, string(id.Host))
		count++
	}
	for _, extra := range []string{labelRecipe, labelRollup} {
		if l.Has(extra) {
			count++
		}
	}
	return id, l.Len() == count && l.Get(model.MetricNameLabel) == MetricName(id.Graph)
}

// SortIDs puts series in the order in which a SideWriter takes them.
func SortIDs(ids []munin.SeriesID) {
	slices.SortFunc(ids, CompareIDs)
}

// MemoryFrom is the time of the oldest sample that is in memory and not in a block, in Unix milliseconds; what is in memory may be in
// a block as well.
func (db *DB) MemoryFrom() int64 {
	done, err := db.use()
	if err != nil {
		return math.MaxInt64
	}
	defer done()
	head := db.tsdb.Head()
	return min(head.MinTime(), head.MinOOOTime())
}
