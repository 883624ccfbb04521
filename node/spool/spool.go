// Package spool samples plugins on schedules of the node's own and keeps what they say until masters have
// fetched it.
//
// A Store is a folder with segment files to which records are appended: a plugin's config where it changed,
// and its values with their time. It has a limit in age and in bytes; the oldest goes first, and what no
// master had fetched by then is counted as lost. A Sampler runs the plugins and fills the store. Fetch streams
// to a master what is newer than the highest time that it has seen.
//
// The rules by which nothing is lost or repeated, whatever is late, damaged, full or killed, are in DESIGN.md.
package spool

import (
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"corbie/munin"
)

// MaxTextBytes is how much text of one run of a plugin is kept.
const MaxTextBytes = 1 << 20

// clockSlack is how far a clock may step back before samples get earlier times than those before them.
const clockSlack = 2 // seconds

var (
	// ErrTooLarge says that a plugin said more than MaxTextBytes.
	ErrTooLarge = fmt.Errorf("more than %d bytes from one plugin", MaxTextBytes)
	// ErrNeedConfig says that the config of a plugin has to be given with its next sample.
	ErrNeedConfig = errors.New("the plugin's config is not in the spool")
	// ErrRepeated says that the plugin has a sample of this second already.
	ErrRepeated = errors.New("the plugin has a sample of this second already")
	// errMoved says that there is another segment to write to now.
	errMoved = errors.New("the spool goes on in another segment")
)

// Options are the limits of a Store. Zero values mean the defaults. Log is needed.
type Options struct {
	Keep time.Duration // how long samples are kept at most; 7 days
	Size int64         // bytes on disk at most; 256 MB
	// Segment is how many bytes one file has at most; a 64th of Size, 4 MB at most.
	Segment int64
	// Answer is how many bytes a master gets at once; it comes back for the rest. 16 MB.
	Answer int64
	Log    *slog.Logger
	// Fault is called before every write, for tests of disks that fail; nil: never.
	Fault func() error
}

// Store keeps samples on disk. It may be used by several goroutines.
type Store struct {
	dir  string
	opts Options
	lock *os.File

	mu       sync.Mutex
	segments []*segment // oldest first; the last one is written to
	file     *os.File   // of the last segment; nil after a failure to make one
	dirty    bool       // something was written since the last sync
	era      uint32     // counts how often the clock stepped back
	last     int64      // time of the newest record of the era, in seconds
	sealed   int64      // no record will get this time or an earlier one, unless the clock steps back
	nextID   uint64     // of the next segment
	roomAt   time.Time  // when a segment was last dropped for a full disk, with no success yet
	fetched  int64      // masters have said that they have everything up to this time
	written  uint64     // samples ever written
	lost     uint64     // samples that were dropped or could not be written before a master fetched them
	damaged  int64      // bytes that were cut off or set aside
	plugins  map[string]*pluginState
	buf      []byte
}

// pluginState is what the store knows of one plugin.
type pluginState struct {
	segment uint64 // that holds the config
	offset  int64  // of the record with it
	hash    uint64 // of its text
	node    string
	last    int64  // time of the newest sample
	era     uint32 // of that sample
	gone    bool   // the node has the plugin no more
}

// Sample is what one run of a plugin gave.
type Sample struct {
	Plugin string
	Node   string // the host that the plugin speaks for; empty for the node itself
	// At is the time to note where that is possible; it is in the past. The store takes a later one if a
	// master may have been told already that everything up to At was served.
	At time.Time
	// Config is needed with the first sample, when it changed, and after ErrNeedConfig.
	Config *Config
	Values Values
}

// Status is what there is to say about a store.
type Status struct {
	Folder         string
	Samples        uint64    // kept
	Bytes          int64     // on disk
	Oldest, Newest time.Time // zero when the spool is empty; Oldest may be a little early
	Fetched        time.Time // masters have fetched everything up to then; zero: none has yet
	Lost           uint64    // samples that no master got: too old, too many, disk full or read-only
	Damaged        int64     // bytes on disk that could not be read as samples
}

func (o *Options) fillDefaults() {
	const week, size, largest, answer, pieces = 7 * 24 * time.Hour, 256 << 20, 4 << 20, 16 << 20, 64
	setDefault(&o.Keep, week)
	setDefault(&o.Size, size)
	setDefault(&o.Segment, min(largest, o.Size/pieces))
	setDefault(&o.Answer, answer)
}

// Open opens the spool in a folder, which it makes, and cuts off what a crash left half-written. Only one
// process can have it open: munin.ErrInUse.
func Open(dir string, opts Options) (*Store, error) {
	opts.fillDefaults()
	const ownerOnly = 0o700
	if err := os.MkdirAll(dir, ownerOnly); err != nil {
		return nil, fmt.Errorf("make the spool folder: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the spool: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = lock.Close() // Nothing was written to it.
		return nil, fmt.Errorf("spool folder %s: another node writes to it: %w", dir, munin.ErrInUse)
	}
	s := &Store{dir: dir, opts: opts, lock: lock, last: -1, sealed: -1, plugins: make(map[string]*pluginState)}
	if err := s.load(); err != nil {
		_ = s.Close() // The first error says more.
		return nil, err
	}
	return s, nil
}

func setDefault[T int64 | time.Duration](v *T, value T) {
	if *v <= 0 {
		*v = value
	}
}

// SetLimits changes what is kept at most. What is too old or too much by the new limits goes with the next Maintain.
func (s *Store) SetLimits(keep time.Duration, size int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opts.Keep, s.opts.Size = keep, size
	s.opts.Segment = 0
	s.opts.fillDefaults()
}

// Close writes everything to the disk and lets others open the folder.
func (s *Store) Close() error {
	err := s.Sync()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file != nil {
		err = errors.Join(err, s.file.Close())
		s.file = nil
	}
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
		s.lock = nil
	}
	return err
}

// Append keeps a sample. After an error the sample is lost, and counted as such unless the error is
// ErrNeedConfig or ErrRepeated.
func (s *Store) Append(sample Sample) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.append(sample)
	if err != nil && !errors.Is(err, ErrNeedConfig) && !errors.Is(err, ErrRepeated) {
		s.lost++
	}
	return err
}

func (s *Store) append(sample Sample) error {
	now := time.Now().Unix()
	if max(s.last, s.sealed) > now+clockSlack {
		s.opts.Log.Warn("the clock stepped back; samples get earlier times than those before them",
			"seconds", max(s.last, s.sealed)-now)
		s.era++
		s.last, s.sealed = -1, -1
		if err := s.rotate(); err != nil {
			return err
		}
	}
	if s.file == nil || s.current().size >= s.opts.Segment || s.tooLong(now) {
		if err := s.rotate(); err != nil {
			return err
		}
	}
	err := s.appendHere(sample, now)
	if errors.Is(err, errMoved) {
		err = s.appendHere(sample, now)
	}
	return err
}

// appendHere appends a sample to the segment that is written to.
func (s *Store) appendHere(sample Sample, now int64) error {
	state := s.plugins[sample.Plugin]
	at := max(s.stamp(sample, now), s.last, s.sealed+1)
	if state != nil && state.last == at && state.era == s.era {
		return fmt.Errorf("sample of %s: %w", sample.Plugin, ErrRepeated)
	}
	buf, next, err := s.appendConfig(s.buf[:0], sample, state, at)
	if err != nil {
		return err
	}
	buf, err = appendRecord(buf, &record{kind: kindValues, time: at, plugin: sample.Plugin, node: sample.Node, text: sample.Values.Text})
	if cap(buf) <= 1<<16 {
		s.buf = buf // What is larger is not held on to.
	}
	if err != nil {
		return err
	}
	if err := s.write(buf); err != nil {
		return err
	}
	next.last, next.era = at, s.era
	s.plugins[sample.Plugin] = &next
	s.last = at
	s.written++
	return nil
}

// stamp is the second to which a sample belongs: the plugin's own where all of its values have one. No value is
// of a later time.
func (s *Store) stamp(sample Sample, now int64) int64 {
	at := sample.Values.Newest
	if sample.Values.Untimed {
		at = max(at, sample.At.Unix())
	}
	return max(0, min(at, now))
}

// appendConfig appends the config of a plugin where the segment does not have it yet.
func (s *Store) appendConfig(buf []byte, sample Sample, state *pluginState, at int64) ([]byte, pluginState, error) {
	here := s.current()
	next := pluginState{segment: here.id, offset: here.size, node: sample.Node}
	var text []byte
	switch {
	case sample.Config != nil:
		text = sample.Config.Text
	case state == nil:
		return buf, next, fmt.Errorf("sample of %s: %w", sample.Plugin, ErrNeedConfig)
	case state.segment == here.id:
		next.offset, next.hash = state.offset, state.hash
		return buf, next, nil
	default:
		var err error
		if text, err = s.readConfig(state); err != nil {
			return buf, next, fmt.Errorf("sample of %s: %w: %w", sample.Plugin, ErrNeedConfig, err)
		}
	}
	next.hash = hashOf(text)
	if state != nil && state.segment == here.id && state.hash == next.hash {
		next.offset = state.offset
		return buf, next, nil
	}
	buf, err := appendRecord(buf, &record{kind: kindConfig, time: at, plugin: sample.Plugin, node: sample.Node, text: text})
	return buf, next, err
}

// readConfig reads the config of a plugin from where it was last written. The lock is held.
func (s *Store) readConfig(state *pluginState) ([]byte, error) {
	for _, one := range s.segments {
		if one.id != state.segment {
			continue
		}
		file, err := os.Open(s.path(one.id))
		if err != nil {
			return nil, err
		}
		defer file.Close()
		text, err := configAt(file, state.offset, one.size)
		return bytes.Clone(text), err
	}
	return nil, os.ErrNotExist
}

func hashOf(text []byte) uint64 {
	h := fnv.New64a()
	_, _ = h.Write(text) // It never fails.
	return h.Sum64()
}

// Forget says that the node no longer has a plugin. What is kept of it is still served.
func (s *Store) Forget(plugin string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if state := s.plugins[plugin]; state != nil {
		state.gone = true
	}
}

// Maintain drops what is too old or too much and writes everything to the disk. It is to be called every minute or so.
func (s *Store) Maintain() error {
	s.mu.Lock()
	s.expire(time.Now())
	s.mu.Unlock()
	return s.Sync()
}

// Sync makes everything appended survive a power failure.
func (s *Store) Sync() error {
	s.mu.Lock()
	file, dirty := s.file, s.dirty
	s.dirty = false
	s.mu.Unlock()
	if file == nil || !dirty {
		return nil
	}
	// Without the lock: a slow disk holds up no sample. A segment that is closed meanwhile was synced then.
	if err := file.Sync(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("write the spool to the disk: %w", err)
	}
	return nil
}

// Status says how the spool is doing.
func (s *Store) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Status{Folder: s.dir, Lost: s.lost, Damaged: s.damaged}
	if s.fetched > 0 {
		st.Fetched = time.Unix(s.fetched, 0)
	}
	for _, one := range s.segments {
		st.Bytes += one.size
		st.Damaged += one.damaged
	}
	if len(s.segments) == 0 || s.written == s.segments[0].written {
		return st
	}
	st.Samples = s.written - s.segments[0].written
	st.Oldest = time.Unix(s.segments[0].created, 0)
	if s.last >= 0 {
		st.Newest = time.Unix(s.last, 0)
	}
	return st
}
