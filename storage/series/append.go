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
	"github.com/prometheus/prometheus/tsdb"

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
	refs := db.refs.lookUp(batch)
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
		got, err := app.Append(refs[i], labelsFor(r.ID, refs[i]), 0, r.T, v, nil, nil, storage.AOptions{})
		if refs[i] != 0 && errors.Is(err, tsdb.ErrInvalidSample) { // The TSDB has forgotten it.
			got, err = app.Append(0, LabelsOf(r.ID), 0, r.T, v, nil, nil, storage.AOptions{})
		}
		if err != nil {
			if reason := reasonOf(err); reason != "" {
				db.rejects.Add(r, reason)
				continue
			}
			return errors.Join(fmt.Errorf("%s: %w", r.ID, err), db.rollback(app))
		}
		if got != refs[i] {
			refs[i], changed = got, true
		}
	}
	if err := db.commit(app); err != nil {
		return err
	}
	if changed {
		db.refs.remember(batch, refs, int(db.tsdb.Head().NumSeries())) //nolint:gosec // it fits
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

// Rejected lists what was refused since the store was opened, by host and reason.
func (db *DB) Rejected() []Reject { return db.rejects.List() }
