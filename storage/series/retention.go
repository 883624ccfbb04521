package series

import (
	"cmp"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/tsdb"
)

// blocksToDelete decides which blocks go. The TSDB's own retention compares with the newest block, so that one day from a
// clock that is years ahead deletes all of the history; here Expired decides.
func blocksToDelete(retention time.Duration) tsdb.BlocksToDeleteFunc {
	return func(blocks []*tsdb.Block) map[ulid.ULID]struct{} {
		spans := make([]Span, len(blocks))
		for i, b := range blocks {
			spans[i] = Span{From: b.Meta().MinTime, To: b.Meta().MaxTime}
		}
		expired := Expired(spans, retention, time.Now())
		gone := make(map[ulid.ULID]struct{})
		for i, b := range blocks {
			// Deletable means that a merge of several blocks left nothing.
			if expired[i] || b.Meta().Compaction.Deletable {
				gone[b.Meta().ULID] = struct{}{}
			}
		}
		return gone
	}
}

// Span is the time that a block covers, in Unix milliseconds, From inclusive, To exclusive.
type Span struct {
	From, To int64
}

// Expired says for each block whether it goes. A block goes when it ended longer than the retention before now and the
// newer blocks together cover at least the retention too (less the 27 days of one block). The second condition keeps the history when the
// clock of the master is wrong: a day of data from the year after next is one day, however far away. It also
// keeps the last of a history that nothing was added to. Blocks from the future count for nothing. A retention of zero keeps all.
func Expired(blocks []Span, retention time.Duration, now time.Time) []bool {
	gone := make([]bool, len(blocks))
	if retention <= 0 {
		return gone
	}
	order := make([]int, len(blocks))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(blocks[b].To, blocks[a].To) })
	limit := now.Add(-retention).UnixMilli()
	enough := max(retention-maxBlock, retention/2).Milliseconds()
	// What lies in the future covers nothing.
	covered, reached := int64(0), now.Add(minBlock).UnixMilli()
	for _, i := range order {
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
