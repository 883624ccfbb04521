package series

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"

	"corbie/munin"
)

// Append stores readings, in any order. When it returns nil, every one is stored and survives the death of the process, or was
// refused for good and counted, see Rejected: a refused sample is no error, because trying again would not help. NaN and
// infinite values are stored as unknown. Storing the same again changes nothing, so after an error the whole
// batch may be tried again.
func (db *DB) Append(ctx context.Context, readings []munin.Reading) error {
	err := db.append(ctx, readings)
	db.note(ctx, err, len(readings))
	if err != nil {
		return fmt.Errorf("store samples: %w", err)
	}
	return nil
}

var errReadOnly = errors.New("the store was opened for reading only")

func (db *DB) append(ctx context.Context, readings []munin.Reading) error {
	if db.release != nil {
		return errReadOnly
	}
	now := db.now()
	if err := db.ready(); err != nil {
		return err
	}
	if err := db.checkClock(ctx, now); err != nil {
		return err
	}
	done, err := db.use()
	if err != nil {
		return err
	}
	defer done()
	for batch := range slices.Chunk(readings, commitSamples) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := db.appendBatch(ctx, batch, now); err != nil {
			return err
		}
	}
	return nil
}

func (db *DB) appendBatch(ctx context.Context, batch []munin.Reading, now time.Time) error {
	newest, oldest := now.Add(MaxAhead).UnixMilli(), now.Add(-db.window).UnixMilli()
	refs := db.lookUp(batch)
	changed := false
	app := db.tsdb.AppenderV2(ctx)
	for i, r := range batch {
		if reason := Guard(r, oldest, newest); reason != "" {
			db.rejects.Add(r, reason)
			continue
		}
		v := r.V
		if math.IsNaN(v) || math.IsInf(v, 0) {
			v = math.Float64frombits(value.StaleNaN)
		}
		got, err := app.Append(refs[i].ref, refs[i].labels, 0, r.T, v, nil, nil, storage.AOptions{})
		if err != nil {
			if reason := reasonOf(err); reason != "" {
				db.rejects.Add(r, reason)
				continue
			}
			return errors.Join(fmt.Errorf("%s: %w", r.ID, err), db.rollback(app))
		}
		if got != refs[i].ref {
			refs[i].ref, changed = got, true
		}
	}
	if err := db.commit(app); err != nil {
		return err
	}
	if changed {
		db.remember(batch, refs)
	}
	return nil
}

// Guard says why a reading is refused whose time must lie between two times in Unix milliseconds; empty when it is taken.
func Guard(r munin.Reading, oldest, newest int64) Reason {
	switch {
	case r.ID.Host.Name() == "" || r.ID.Graph == "" || r.ID.Field == "":
		return Incomplete
	case r.T > newest:
		return TooFarAhead
	case r.T < oldest:
		return TooOld
	}
	return ""
}

// reasonOf tells the errors that concern one sample from those that concern the store.
func reasonOf(err error) Reason {
	switch {
	case errors.Is(err, storage.ErrTooOldSample), errors.Is(err, storage.ErrOutOfBounds), errors.Is(err, storage.ErrOutOfOrderSample):
		return TooOld
	case errors.Is(err, storage.ErrDuplicateSampleForTimestamp):
		return Conflict
	}
	return ""
}

// lookUp finds where the series of the batch are; those seen for the first time have labels only.
func (db *DB) lookUp(batch []munin.Reading) []ref {
	refs := make([]ref, len(batch))
	db.refMu.RLock()
	for i := range batch {
		refs[i] = db.refs[batch[i].ID]
	}
	db.refMu.RUnlock()
	for i := range refs {
		if refs[i].labels.IsEmpty() {
			refs[i].labels = LabelsOf(batch[i].ID)
		}
	}
	return refs
}

// remember keeps refs for the next time. Series come and go (containers, mounts): once most of what is remembered
// is no longer in the TSDB's memory, all is forgotten and learnt again.
func (db *DB) remember(batch []munin.Reading, refs []ref) {
	db.refMu.Lock()
	defer db.refMu.Unlock()
	if len(db.refs) > 1000 && len(db.refs) > 2*int(db.tsdb.Head().NumSeries()) {
		clear(db.refs)
	}
	for i := range batch {
		if refs[i].ref != 0 {
			db.refs[batch[i].ID] = refs[i]
		}
	}
}

// Rejected lists what was refused since the store was opened, by host and reason.
func (db *DB) Rejected() []Reject { return db.rejects.List() }
