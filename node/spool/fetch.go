package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// foreign is how far ahead of the node's clock a master's time has to be to be none that it got from here.
const foreign = 600 // seconds

// Fetched is what a master was given.
type Fetched struct {
	Samples int
	Newest  time.Time // the latest time of a value; zero when there is none
	More    bool      // the answer is cut: the master gets the rest when it asks again
}

// query is one spoolfetch, with all that it needs of the store.
type query struct {
	node     string
	since    int64 // records of a later time are wanted
	horizon  int64 // records of a later time are not complete yet
	limit    int64 // bytes
	segments []segment
	rest     []configRef // of plugins that are there, whether they have something new or not
}

// configRef is where a config is.
type configRef struct {
	plugin  string
	segment uint64
	offset  int64
	hash    uint64
}

// Fetch writes to w what a master has not got yet, oldest first: for every plugin its config before its first
// values, and again where it changed, and every value with its time. Since is the highest time that the master
// has seen, in seconds since 1970. The node is the host that is asked for, empty for the node itself. Plugins
// without anything new are there with their config alone, as Munin's master forgets graphs that are not in an
// answer; it is empty when nothing is new at all. It does not end with a dot.
func (s *Store) Fetch(ctx context.Context, w io.Writer, node string, since int64) (Fetched, error) {
	q := s.plan(node, since, time.Now().Unix())
	a := answer{query: q, w: w, configs: make(map[string]uint64)}
	for i := range q.segments {
		if q.done(i) {
			continue
		}
		more, err := a.segment(ctx, s.path(q.segments[i].id), i)
		s.noteDamage(q.segments[i].id, a.damaged)
		if err != nil {
			return a.fetched(), err
		}
		if more {
			a.more = true
			break
		}
	}
	return a.fetched(), a.finish(s.path)
}

// noteDamage keeps in mind how much of a segment could not be read.
func (s *Store) noteDamage(id uint64, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.segments {
		if one.id == id {
			one.damaged = max(one.damaged, bytes)
		}
	}
}

// plan takes what a query needs of the store, and promises that no record with a time up to the horizon will
// be added.
func (s *Store) plan(node string, since, now int64) *query {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := &query{node: node, since: since, horizon: now - 1, limit: s.opts.Answer}
	for _, one := range s.segments {
		q.segments = append(q.segments, *one)
	}
	if since <= q.horizon {
		s.fetched = max(s.fetched, since)
	} else if first, stepped := s.newEra(since); stepped || since > now+foreign {
		// The time is from before the clock stepped back, or from another machine's clock.
		q.since = math.MinInt64
		q.segments = q.segments[first:]
	}
	s.sealed = max(s.sealed, q.horizon)
	for name, state := range s.plugins {
		if state.node == node && !state.gone && state.segment != 0 {
			q.rest = append(q.rest, configRef{name, state.segment, state.offset, state.hash})
		}
	}
	slices.SortFunc(q.rest, func(a, b configRef) int { return strings.Compare(a.plugin, b.plugin) })
	return q
}

// newEra finds the first segment since the clock stepped back, and says whether a time can be from before.
func (s *Store) newEra(since int64) (first int, stepped bool) {
	for i, one := range s.segments {
		if i > 0 && one.era != s.segments[i-1].era {
			first = i
		}
	}
	if first == 0 {
		return 0, false
	}
	// What a segment of another era holds at the latest is not in the header of the next.
	return first, s.segments[first-1].latest(s) >= since
}

// latest is the time of the newest record of a segment.
func (g *segment) latest(s *Store) int64 {
	latest := g.before
	file, err := os.Open(s.path(g.id))
	if err != nil {
		return latest
	}
	defer file.Close()
	scan := newScanner(file, headerBytes, g.size)
	for {
		r, err := scan.next()
		if err != nil {
			return latest
		}
		latest = max(latest, r.time)
	}
}

// done says that a segment holds nothing that is wanted.
func (q *query) done(i int) bool {
	return i+1 < len(q.segments) && q.segments[i+1].era == q.segments[i].era && q.segments[i+1].before <= q.since
}

// answer is a query that is being answered.
type answer struct {
	*query
	w       io.Writer
	configs map[string]uint64 // hash of the config that the master has been told, by plugin
	buf     []byte
	bytes   int64
	samples int
	newest  int64 // latest time of a value
	last    int64 // time of the last record that was told
	more    bool
	damaged int64 // bytes of the segment that are no records
}

func (a *answer) fetched() Fetched {
	f := Fetched{Samples: a.samples, More: a.more}
	if a.samples > 0 {
		f.Newest = time.Unix(a.newest, 0)
	}
	return f
}

// segment tells what is wanted of one segment. It is true when the answer is to end before its end.
func (a *answer) segment(ctx context.Context, path string, i int) (more bool, err error) {
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil // It was dropped a moment ago, and counted.
	}
	if err != nil {
		return false, fmt.Errorf("open the spool: %w", err)
	}
	defer file.Close()
	size := a.segments[i].size
	scan := newScanner(file, headerBytes, size)
	defer func() { a.damaged = scan.damaged }()
	here := make(map[string]configRef)
	for ctx.Err() == nil {
		r, err := scan.next()
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if r.node != a.node {
			continue
		}
		if r.kind == kindConfig {
			here[r.plugin] = configRef{plugin: r.plugin, offset: scan.at, hash: hashOf(r.text)}
			continue
		}
		if r.time <= a.since || r.time > a.horizon {
			continue
		}
		if a.full(i, r.time) {
			return true, nil
		}
		if err := a.record(file, size, here[r.plugin], &r); err != nil {
			return false, err
		}
	}
	return false, context.Cause(ctx)
}

// full says that the answer is long enough to end before a record. It ends only where all that was told is
// older than all that was not, and when it brings the master on.
func (a *answer) full(i int, next int64) bool {
	return a.bytes >= a.limit && next > a.last && a.newest > a.since &&
		a.segments[i].era == a.segments[len(a.segments)-1].era
}

// record tells the values of a record, after the config if the master does not know it yet. Values without a
// config, whose record was damaged, are left out: a master could not use them.
func (a *answer) record(src io.ReaderAt, size int64, config configRef, r *record) error {
	a.buf = appendValues(a.buf[:0], r)
	newest := newestOf(a.buf)
	known, told := a.configs[r.plugin]
	switch {
	case config.plugin == "" && !told:
		return nil
	case config.plugin != "" && (!told || known != config.hash):
		text, err := configAt(src, config.offset, size)
		if err != nil {
			return err
		}
		if err := a.write(text); err != nil {
			return err
		}
		a.configs[r.plugin] = config.hash
	}
	a.samples++
	a.last = r.time
	a.newest = max(a.newest, newest)
	return a.write(a.buf)
}

func (a *answer) write(b []byte) error {
	n, err := a.w.Write(b)
	a.bytes += int64(n)
	return err
}

// finish tells the config of plugins that had nothing new.
func (a *answer) finish(path func(uint64) string) error {
	if a.samples == 0 {
		return nil
	}
	for _, ref := range a.rest {
		if _, told := a.configs[ref.plugin]; told {
			continue
		}
		text, err := a.readRest(path(ref.segment), ref)
		if err != nil {
			continue // Its segment is gone; the plugin comes again with its next sample.
		}
		if err := a.write(text); err != nil {
			return err
		}
	}
	return nil
}

func (a *answer) readRest(path string, ref configRef) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	return configAt(file, ref.offset, info.Size())
}

// configAt reads the text of the config record at an offset.
func configAt(src io.ReaderAt, offset, size int64) ([]byte, error) {
	r, n, err := (&scanner{src: src, pos: offset, end: size}).frame()
	if err != nil {
		return nil, err
	}
	if n == 0 || r.kind != kindConfig {
		return nil, errors.New("read the spool: the config is damaged")
	}
	return r.text, nil
}

// newestOf is the latest time in the text of values.
func newestOf(text []byte) int64 {
	newest := int64(0)
	for line := range bytes.Lines(text) {
		key, value, _ := bytes.Cut(line, []byte{' '})
		stamp, _, timed := bytes.Cut(value, []byte{':'})
		if !timed || !bytes.HasSuffix(key, []byte(".value")) {
			continue
		}
		if at, err := strconv.ParseInt(string(stamp), 10, 64); err == nil {
			newest = max(newest, at)
		}
	}
	return newest
}
