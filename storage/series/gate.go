package series

import (
	"runtime"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/tsdb"

	"corbie/storage/disk"
)

// gate stands before the work that the TSDB does by itself. Every few minutes it looks for blocks, asks which of them go, and then
// writes the chunks that are in memory to a file. Where that fails it panics, in its own goroutine, and the whole master would die of a full
// disk. So while there is no room, or the disk is read-only, it is kept waiting where it asks.
type gate struct {
	leave chan struct{} // closed when the TSDB is about to be closed
}

const (
	// pendingPerSeries is how many bytes of chunks a series may have in memory that are written at once: all are cut at the same time.
	pendingPerSeries = 512
	// leastRoom is what the TSDB needs for its own work whatever the number of series: it allocates files ahead.
	leastRoom = 2 << 20
	gateEvery = time.Second
	// gateBytes are written to see whether the disk takes anything.
	gateBytes = 4 << 10
)

// pendingBytes is how much the TSDB may write at once by itself.
func (db *DB) pendingBytes() int64 {
	db.mu.RLock()
	defer db.mu.RUnlock()
	if db.closed || db.down != nil {
		return 0
	}
	return int64(db.tsdb.Head().NumSeries()) * pendingPerSeries //nolint:gosec // it fits
}

// gated makes the TSDB wait for room where it asks which blocks go. Those that go make room, so it never waits with them.
func (db *DB) gated(which tsdb.BlocksToDeleteFunc) tsdb.BlocksToDeleteFunc {
	return func(blocks []*tsdb.Block) map[ulid.ULID]struct{} {
		gone := which(blocks)
		if g := db.gate.Load(); g != nil && len(gone) == 0 && !db.trimming.Load() {
			db.hold(g)
		}
		return gone
	}
}

// hold returns when there is room for the TSDB's own work. When the TSDB is to be closed while there is none, it ends the TSDB's goroutine, whose
// next step would be to write.
func (db *DB) hold(g *gate) {
	for {
		need := leastRoom + int64(db.tsdb.Head().NumSeries())*pendingPerSeries //nolint:gosec // it fits
		free, err := db.free(db.dir)
		if (err != nil || free >= uint64(need)) && disk.Try(db.dir, gateBytes) == nil { //nolint:gosec // not negative
			return
		}
		timer := time.NewTimer(gateEvery)
		select {
		case <-g.leave:
			timer.Stop()
			runtime.Goexit()
		case <-timer.C:
		}
	}
}

// openGate lets the TSDB end: nobody waits at its gate any more.
func (db *DB) openGate() {
	if g := db.gate.Swap(nil); g != nil {
		close(g.leave)
	}
}
