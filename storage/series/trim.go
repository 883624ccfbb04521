package series

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"

	"corbie/munin"
	"corbie/storage/rollup"
)

// maxHostsInMatcher is how many hosts are named by one matcher, which is a regular expression.
const maxHostsInMatcher = 1000

// Cutoff is the time in Unix milliseconds before which what is kept for so long goes; math.MinInt64 is never, and so is a length of zero. The spans are
// all that is stored. As with Expired, what is newer must cover about that much time, so that a clock that is years ahead deletes nothing, and
// what lies in the future covers nothing. It moves on in steps of some days, so that not all is written anew each day.
func Cutoff(stored []rollup.Span, keep time.Duration, now time.Time) int64 {
	if keep <= 0 {
		return math.MinInt64
	}
	limit, reached := now.Add(-keep).UnixMilli(), now.Add(minBlock).UnixMilli()
	covered := int64(0)
	for _, s := range rollup.Union(stored) {
		covered += max(0, min(s.To, reached)-max(s.From, limit))
	}
	if covered < max(keep-maxBlock, keep/2).Milliseconds() {
		return math.MinInt64
	}
	step := 24 * time.Hour
	for step < maxBlock && step*12 <= keep {
		step *= 3
	}
	return rollup.Floor(limit, step.Milliseconds())
}

// Hosts lists the hosts that have finished or other samples before a time in Unix milliseconds.
func (db *DB) Hosts(ctx context.Context, before int64) ([]munin.HostID, error) {
	done, err := db.use()
	if err != nil {
		return nil, fmt.Errorf("list the hosts with samples: %w", err)
	}
	defer done()
	q, err := db.tsdb.ChunkQuerier(math.MinInt64, before-1)
	if err != nil {
		return nil, fmt.Errorf("list the hosts with samples: %w", err)
	}
	hosts, err := hostsOf(ctx, q)
	if err = errors.Join(err, q.Close()); err != nil {
		return nil, fmt.Errorf("list the hosts with samples: %w", err)
	}
	return hosts, nil
}

// hostsOf lists the hosts that an index knows.
func hostsOf(ctx context.Context, q storage.LabelQuerier) ([]munin.HostID, error) {
	groups, _, err := q.LabelValues(ctx, LabelGroup, nil)
	if err != nil {
		return nil, err
	}
	var out []munin.HostID
	for _, group := range append([]string{""}, groups...) {
		names, _, err := q.LabelValues(ctx, labelHost, nil, labels.MustNewMatcher(labels.MatchEqual, LabelGroup, group))
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			out = append(out, munin.NewHostID(strings.Clone(group), strings.Clone(name)))
		}
	}
	return out, nil
}

// Hosts lists the hosts that have buckets.
func (s *Side) Hosts(ctx context.Context) ([]munin.HostID, error) {
	q, err := tsdb.NewBlockChunkQuerier(s.block, s.From, s.To-1)
	if err != nil {
		return nil, fmt.Errorf("list the hosts of rollup %s: %w", s.Name, err)
	}
	hosts, err := hostsOf(ctx, q)
	if err = errors.Join(err, q.Close()); err != nil {
		return nil, fmt.Errorf("list the hosts of rollup %s: %w", s.Name, err)
	}
	return hosts, nil
}

// Trim deletes the samples of hosts that are older than a time for each, in Unix milliseconds, and writes the blocks anew that held them. What is still
// in memory must not be asked for. It fails where the disk has no room for a copy of those blocks, before anything is deleted. A call that was
// interrupted is to be repeated. It says how many samples went, and by how many bytes
// the blocks are smaller.
func (db *DB) Trim(ctx context.Context, before map[munin.HostID]int64) (samples, freed int64, err error) {
	done, err := db.use()
	if err != nil {
		return 0, 0, fmt.Errorf("delete old samples: %w", err)
	}
	defer done()
	if db.standIn != nil {
		return 0, 0, fmt.Errorf("delete old samples: %w", db.Stopped())
	}
	if db.release != nil {
		return 0, 0, errReadOnly
	}
	room := int64(0)
	newest := slices.Max(append(slices.Collect(maps.Values(before)), math.MinInt64))
	for _, b := range db.tsdb.Blocks() {
		if b.Meta().MinTime < newest {
			room = max(room, b.Size())
		}
	}
	if err := db.checkFree(room + segmentBytes); err != nil {
		return 0, 0, fmt.Errorf("delete old samples: a block is written anew before the old one goes: %w", err)
	}
	samples, freed = held(db.tsdb.Blocks())
	// Asked which blocks go, the TSDB must not wait for room now: it would keep all others waiting.
	db.trimming.Store(true)
	defer db.trimming.Store(false)
	if err := db.bury(ctx, before); err != nil {
		return 0, 0, fmt.Errorf("delete old samples: %w", err)
	}
	if err := db.tsdb.CleanTombstones(); err != nil {
		return 0, 0, fmt.Errorf("delete old samples: %w", err)
	}
	samplesLeft, bytesLeft := held(db.tsdb.Blocks())
	return max(0, samples-samplesLeft), max(0, freed-bytesLeft), nil
}

// bury marks what goes in each block. It is not left to the Delete of the TSDB, which gives the same list of matchers to one goroutine a block, and each
// of them sorts it in place: one that reads it meanwhile can miss a matcher and delete the samples of others. While compactions are off, and the one under
// way has ended, nobody else writes blocks.
func (db *DB) bury(ctx context.Context, before map[munin.HostID]int64) error {
	db.tsdb.DisableCompactions()
	defer db.tsdb.EnableCompactions()
	for _, d := range deletions(before) {
		for _, b := range db.tsdb.Blocks() {
			if b.Meta().MinTime >= d.before {
				continue
			}
			if err := errors.Join(ctx.Err(), b.Delete(ctx, math.MinInt64, d.before-1, slices.Clone(d.matchers)...)); err != nil {
				return err
			}
		}
	}
	return nil
}

// held is how much blocks hold.
func held(blocks []*tsdb.Block) (samples, bytes int64) {
	for _, b := range blocks {
		meta := b.Meta()
		samples, bytes = samples+int64(meta.Stats.NumSamples), bytes+b.Size() //nolint:gosec // it fits
	}
	return samples, bytes
}

type deletion struct {
	before   int64
	matchers []*labels.Matcher
}

// deletions are as few as can be: one for the hosts of each group and time.
func deletions(before map[munin.HostID]int64) []deletion {
	type key struct {
		group  string
		before int64
	}
	names := make(map[key][]string)
	for host, t := range before {
		k := key{host.Group(), t}
		names[k] = append(names[k], regexp.QuoteMeta(host.Name()))
	}
	var out []deletion
	for k, all := range names {
		slices.Sort(all)
		for part := range slices.Chunk(all, maxHostsInMatcher) {
			out = append(out, deletion{k.before, []*labels.Matcher{
				labels.MustNewMatcher(labels.MatchEqual, LabelGroup, k.group),
				labels.MustNewMatcher(labels.MatchRegexp, labelHost, strings.Join(part, "|")),
			}})
		}
	}
	return out
}

// CompareIDs is the order in which a SideWriter takes series.
func CompareIDs(a, b munin.SeriesID) int { return labels.Compare(LabelsOf(a), LabelsOf(b)) }

// old says whether one of the series has buckets that begin before the time for its host.
func (s *Side) old(ctx context.Context, ids []munin.SeriesID, before func(munin.HostID) int64) (bool, error) {
	for _, id := range ids {
		until := before(id.Host)
		if until <= s.From {
			continue
		}
		found := false
		err := s.Scan(ctx, []munin.SeriesID{id}, rollup.Span{From: s.From, To: until}, func(_ int, _ string, buckets *Buckets) error {
			_, ok := buckets.Next()
			found = found || ok
			return nil
		})
		if found || err != nil {
			return found, err
		}
	}
	return false, nil
}

// Without writes the block anew without the buckets of hosts that begin before a time for each, in Unix milliseconds; it is in force as soon as it has its
// name, since it says that it replaces this one. written is false where there are no such buckets.
func (s *Side) Without(ctx context.Context, dir string, before func(munin.HostID) int64) (written bool, err error) {
	hosts, err := s.Hosts(ctx)
	if err != nil || !slices.ContainsFunc(hosts, func(id munin.HostID) bool { return before(id) > s.From }) {
		return false, err
	}
	recipes := make(map[munin.SeriesID]string)
	symbols := NewSymbols()
	err = s.Recipes(ctx, func(id munin.SeriesID, recipe string) error {
		recipes[id] = recipe
		symbols.Add(id, recipe)
		return nil
	})
	if err != nil {
		return false, err
	}
	ids := slices.Collect(maps.Keys(recipes))
	SortIDs(ids)
	if has, err := s.old(ctx, ids, before); err != nil || !has {
		return false, err
	}
	meta := s.SideMeta
	meta.Replaces = s.Name
	w, err := CreateSide(ctx, dir, meta, symbols)
	if err != nil {
		return false, err
	}
	for _, id := range ids {
		span := rollup.Span{From: max(s.From, before(id.Host)), To: s.To}
		if span.From >= span.To {
			continue
		}
		all, err := s.Read(ctx, id, span)
		if err == nil && len(all) == 0 && span.From == s.From {
			err = w.AddEmpty(id, recipes[id])
		}
		if err = errors.Join(err, w.Add(id, recipes[id], all)); err != nil {
			return false, errors.Join(err, w.Discard())
		}
	}
	return true, w.Commit()
}

// Read is the buckets of one series that begin in a span, oldest first.
func (s *Side) Read(ctx context.Context, id munin.SeriesID, span rollup.Span) (all []rollup.Bucket, err error) {
	err = s.Scan(ctx, []munin.SeriesID{id}, span, func(_ int, _ string, buckets *Buckets) error {
		for b, ok := buckets.Next(); ok; b, ok = buckets.Next() {
			all = append(all, b)
		}
		return nil
	})
	return all, err
}
