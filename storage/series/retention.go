package series

import (
	"cmp"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/tsdb"

	"corbie/storage/rollup"
)

// blocksToDelete decides which blocks go. The TSDB's own retention compares with the newest block, so that one day from a
// clock that is years ahead deletes all of the history; here Expired and Oversize decide, and MayGo has the last word.
func blocksToDelete(opts Options, now func() time.Time) tsdb.BlocksToDeleteFunc {
	return func(blocks []*tsdb.Block) map[ulid.ULID]struct{} {
		all := describe(blocks)
		spans, sizes := make([]rollup.Span, len(blocks)), make([]int64, len(blocks))
		for i, b := range blocks {
			spans[i], sizes[i] = all[i].Span, b.Size()
		}
		expired, oversize := Expired(spans, opts.Retention, now()), Oversize(spans, sizes, opts.MaxBytes)
		gone := make(map[ulid.ULID]struct{})
		for i, b := range blocks {
			may := (expired[i] || oversize[i]) && (opts.MayGo == nil || opts.MayGo(all[i], all))
			// Deletable means that a merge of several blocks left nothing.
			if may || b.Meta().Compaction.Deletable {
				gone[b.Meta().ULID] = struct{}{}
			}
		}
		return gone
	}
}

// Oversize says for each block whether it goes because the newer ones alone reach the limit in bytes. The newest stays
// whatever its size. A limit of zero keeps all.
func Oversize(blocks []rollup.Span, sizes []int64, limit int64) []bool {
	gone := make([]bool, len(blocks))
	if limit <= 0 {
		return gone
	}
	total := int64(0)
	for n, i := range newestFirst(blocks) {
		total += sizes[i]
		gone[i] = n > 0 && total > limit
	}
	return gone
}

// newestFirst are the indexes of the blocks in the order of their ends.
func newestFirst(blocks []rollup.Span) []int {
	order := make([]int, len(blocks))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(blocks[b].To, blocks[a].To) })
	return order
}

// Expired says for each block whether it goes. A block goes when it ended longer than the retention before now and the
// newer blocks together cover at least the retention too (less the 27 days of one block). The second condition keeps the history when the
// clock of the master is wrong: a day of data from the year after next is one day, however far away. It also
// keeps the last of a history that nothing was added to. Blocks from the future count for nothing. A retention of zero keeps all.
func Expired(blocks []rollup.Span, retention time.Duration, now time.Time) []bool {
	gone := make([]bool, len(blocks))
	if retention <= 0 {
		return gone
	}
	limit := now.Add(-retention).UnixMilli()
	enough := max(retention-maxBlock, retention/2).Milliseconds()
	// What lies in the future covers nothing.
	covered, reached := int64(0), now.Add(minBlock).UnixMilli()
	for _, i := range newestFirst(blocks) {
		b := blocks[i]
		gone[i] = b.To <= limit && covered >= enough
		// Blocks come newest end first, so what is new in this one lies before the earliest start so far.
		if to := min(b.To, reached); to > b.From {
			covered += to - b.From
			reached = b.From
		}
	}
	return gone
}
