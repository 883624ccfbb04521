package remote

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"corbie/munin"
	"corbie/storage/series"
)

// What a rule computed goes the way of what was polled: through the queue and the memory, as a reading of a host that no configuration can name. Its
// graph is the name of the metric, and its field is all of its labels: of each its name and its value, as length and text.
const computedHost = munin.HostID("\x00rules")

// Record queues what rules in PromQL computed, under the conditions of Append; see series.Computed. What is refused for its time, or contradicts what was
// computed for the same one, is dropped: it is computed anew soon.
func (s *Store) Record(ctx context.Context, values []series.Computed) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("store computed values: %w", err)
	}
	if s.queue == nil {
		return fmt.Errorf("store computed values: %w", errReadOnly)
	}
	now := time.Now()
	newest, oldest := now.Add(series.MaxAhead).UnixMilli(), now.Add(-s.opts.Window).UnixMilli()
	good := make([]munin.Reading, 0, len(values))
	for _, c := range values {
		if c.T > newest || c.T < oldest {
			continue
		}
		if math.IsInf(c.V, 0) {
			c.V = math.NaN()
		}
		good = append(good, munin.Reading{ID: computedID(s.own(c.Labels)), Point: c.Point})
	}
	conflicts, kept := s.recent.conflicts(good), good[:0]
	for i, r := range good {
		if !conflicts[i] {
			kept = append(kept, r)
		}
	}
	if err := s.keep(kept, now); err != nil {
		return fmt.Errorf("store computed values: %w", err)
	}
	return nil
}

// computedID is the series of computed values under which they are queued and remembered.
func computedID(l labels.Labels) munin.SeriesID {
	var b []byte
	l.Range(func(one labels.Label) {
		for _, text := range []string{one.Name, one.Value} {
			b = binary.AppendUvarint(b, uint64(len(text)))
			b = append(b, text...)
		}
	})
	return munin.SeriesID{Host: computedHost, Graph: l.Get(model.MetricNameLabel), Field: string(b)}
}

// labelsOf are the labels of what is queued; those of a series that is damaged are few or none.
func labelsOf(id munin.SeriesID) labels.Labels {
	if id.Host != computedHost {
		return series.LabelsOf(id)
	}
	b := labels.NewScratchBuilder(8)
	for rest := id.Field; rest != ""; {
		var name, value string
		var ok bool
		if name, rest, ok = cutText(rest); ok {
			value, rest, ok = cutText(rest)
		}
		if !ok {
			break
		}
		b.Add(name, value)
	}
	b.Sort()
	return b.Labels()
}

func cutText(from string) (text, rest string, ok bool) {
	size, n := binary.Uvarint([]byte(from[:min(len(from), binary.MaxVarintLen64)]))
	if n <= 0 || size > uint64(len(from)-n) {
		return "", "", false
	}
	end := n + int(size) //nolint:gosec // not longer than from
	return from[n:end], from[end:], true
}

// idOf is the series that labels in the engine stand for.
func (s *Store) idOf(l labels.Labels) munin.SeriesID {
	own := s.own(l)
	if id, ok := series.IDOf(own); ok {
		return id
	}
	return computedID(own)
}

// told is a reading as people are told of it.
func told(r munin.Reading) munin.Reading {
	if r.ID.Host != computedHost {
		return r
	}
	l := labelsOf(r.ID)
	r.ID.Host, r.ID.Field = munin.NewHostID(l.Get("group"), cmp.Or(l.Get("host"), "rules")), l.String()
	return r
}

// asked is what series have to fit, divided into what the name of their metric decides and the rest.
type asked struct{ name, rest []*labels.Matcher }

func askedBy(matchers []*labels.Matcher) asked {
	var a asked
	for _, m := range matchers {
		if m.Name == model.MetricNameLabel {
			a.name = append(a.name, m)
		} else {
			a.rest = append(a.rest, m)
		}
	}
	return a
}

func all(matchers []*labels.Matcher, value func(name string) string) bool {
	for _, m := range matchers {
		if !m.Matches(value(m.Name)) {
			return false
		}
	}
	return true
}

// metric says whether the name of a metric fits.
func (a asked) metric(name string) bool {
	return all(a.name, func(string) string { return name })
}

// others says whether all labels of a series fit but its name; external labels are those that it gets when it is sent.
func (a asked) others(id munin.SeriesID, external labels.Labels) bool {
	value := func(name string) string { return series.LabelOf(id, name) }
	if id.Host == computedHost {
		value = labelsOf(id).Get
	}
	return all(a.rest, func(name string) string {
		if external.Has(name) {
			return external.Get(name)
		}
		return value(name)
	})
}
