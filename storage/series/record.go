package series

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"

	"corbie/munin"
)

// Computed is a value that a rule in PromQL computed, by the labels of its series. NaN says that the series has no value any more. The labels are those of
// no reading: their name does not begin with NamePrefix.
type Computed struct {
	Labels labels.Labels
	munin.Point
}

// NamePrefix is what the names of all series begin with that were polled, so that no other may.
const NamePrefix = "munin_"

// Record stores computed values as Append stores readings, and under the same conditions. What is refused for its time is dropped: it is
// computed anew soon.
func (db *DB) Record(ctx context.Context, values []Computed) error {
	err := db.record(ctx, values)
	db.note(ctx, err, len(values))
	if err != nil {
		return fmt.Errorf("store computed values: %w", err)
	}
	return nil
}

func (db *DB) record(ctx context.Context, values []Computed) error {
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
	for len(values) > 0 {
		n := min(len(values), commitSamples)
		if err := errors.Join(ctx.Err(), db.recordBatch(ctx, values[:n], now)); err != nil {
			return err
		}
		values = values[n:]
	}
	return nil
}

func (db *DB) recordBatch(ctx context.Context, values []Computed, now time.Time) error {
	newest, oldest := now.Add(MaxAhead).UnixMilli(), now.Add(-db.window).UnixMilli()
	app := db.tsdb.AppenderV2(ctx)
	for _, c := range values {
		if c.T > newest || c.T < oldest {
			continue
		}
		v := c.V
		if math.IsNaN(v) || math.IsInf(v, 0) {
			v = math.Float64frombits(value.StaleNaN)
		}
		if _, err := app.Append(0, c.Labels, 0, c.T, v, nil, nil, storage.AOptions{}); err != nil && reasonOf(err) == "" {
			return errors.Join(fmt.Errorf("%s: %w", c.Labels, err), db.rollback(app))
		}
	}
	return db.commit(app)
}
