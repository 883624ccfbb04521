package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A segment is one file of the spool: a header and records. Its name is its number in hexadecimal, so that
// names sort in the order in which the segments were written.
const (
	segmentSuffix = ".spool"
	headerMark    = "corbie spool 1\n\x00"
	headerBytes   = 16 + 7*8 + 4
)

// segment is what is known of a file without reading it.
type segment struct {
	id      uint64
	era     uint32
	created int64  // seconds since 1970
	before  int64  // time of the newest record of the era in the segments before it, -1 when there is none
	written uint64 // samples ever written before it
	lost    uint64 // samples lost before it
	fetched int64  // what masters had fetched before it
	size    int64  // bytes that are whole records, with the header
	damaged int64  // bytes in it that are no records, as far as it was read
}

func (g *segment) header() []byte {
	b := append(make([]byte, 0, headerBytes), headerMark...)
	for _, n := range []uint64{
		g.id, uint64(g.era), uint64(g.created), uint64(g.before), g.written, g.lost, uint64(g.fetched),
	} {
		b = binary.LittleEndian.AppendUint64(b, n)
	}
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli()))
}

func parseHeader(b []byte) (segment, bool) {
	if len(b) < headerBytes || string(b[:len(headerMark)]) != headerMark ||
		binary.LittleEndian.Uint32(b[headerBytes-4:]) != crc32.Checksum(b[:headerBytes-4], castagnoli()) {
		return segment{}, false
	}
	word := func(i int) uint64 { return binary.LittleEndian.Uint64(b[len(headerMark)+8*i:]) }
	return segment{
		id: word(0), era: uint32(word(1)), created: int64(word(2)), before: int64(word(3)),
		written: word(4), lost: word(5), fetched: int64(word(6)),
	}, true
}

func (s *Store) path(id uint64) string {
	return filepath.Join(s.dir, fmt.Sprintf("%016x%s", id, segmentSuffix))
}

// current is the segment that is written to.
func (s *Store) current() *segment { return s.segments[len(s.segments)-1] }

// load finds the segments of an earlier run and makes the last one ready for more.
func (s *Store) load() error {
	entries, err := os.ReadDir(s.dir) // It sorts by name.
	if err != nil {
		return fmt.Errorf("read the spool folder: %w", err)
	}
	for _, entry := range entries {
		hex, ok := strings.CutSuffix(entry.Name(), segmentSuffix)
		id, err := strconv.ParseUint(hex, 16, 64)
		if !ok || err != nil || s.path(id) != filepath.Join(s.dir, entry.Name()) {
			continue
		}
		one, err := readHeader(s.path(id), id)
		if err != nil {
			s.setAside(id, err)
			continue
		}
		s.segments = append(s.segments, one)
	}
	if len(s.segments) == 0 {
		return s.rotate()
	}
	s.nextID = s.current().id + 1
	return s.resume()
}

func readHeader(path string, id uint64) (*segment, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	head := make([]byte, headerBytes)
	if _, err := io.ReadFull(file, head); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	one, ok := parseHeader(head)
	if !ok || one.id != id {
		return nil, errors.New("header: it is damaged")
	}
	one.size = info.Size()
	return &one, nil
}

// setAside takes a file that cannot be used out of the way. One that a crash left without records is removed.
func (s *Store) setAside(id uint64, cause error) {
	path := s.path(id)
	info, err := os.Stat(path)
	if err == nil && info.Size() <= headerBytes {
		_ = os.Remove(path) // At worst it is found again.
		return
	}
	if err == nil {
		s.damaged += info.Size()
		err = os.Rename(path, path+".damaged")
	}
	s.opts.Log.Warn("a segment of the spool cannot be read and is set aside", "file", path, "err", errors.Join(cause, err))
}

// resume reads the last segment, cuts a torn end off and goes on writing to it.
func (s *Store) resume() error {
	one := s.current()
	s.era, s.last, s.written, s.lost, s.fetched = one.era, one.before, one.written, one.lost, one.fetched
	file, err := os.OpenFile(s.path(one.id), os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("open the spool: %w", err)
	}
	scan := newScanner(file, headerBytes, one.size)
	for {
		r, err := scan.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			_ = file.Close() // The read error says more.
			return err
		}
		s.noteRecord(one.id, scan.at, &r)
	}
	s.damaged += one.size - scan.after
	one.damaged = scan.damaged - (one.size - scan.after)
	if scan.damaged > 0 {
		s.opts.Log.Warn("the spool was not closed properly: bytes that are no samples were left out",
			"file", s.path(one.id), "bytes", scan.damaged)
	}
	if scan.after < one.size {
		if err := file.Truncate(scan.after); err != nil {
			_ = file.Close() // The other error says more.
			return fmt.Errorf("cut the torn end off the spool: %w", err)
		}
	}
	one.size = scan.after
	s.file = file
	return nil
}

// noteRecord takes up what a record of an earlier run says of its plugin.
func (s *Store) noteRecord(id uint64, at int64, r *record) {
	state := s.plugins[r.plugin]
	if state == nil {
		state = &pluginState{last: -1}
		s.plugins[r.plugin] = state
	}
	state.node = r.node
	if r.kind == kindConfig {
		state.segment, state.offset, state.hash = id, at, hashOf(r.text)
		return
	}
	state.last, state.era = r.time, s.era
	s.last = max(s.last, r.time)
	s.written++
}

// tooLong says that a segment has been written to for long enough, so that age can be told in pieces.
func (s *Store) tooLong(now int64) bool {
	const pieces = 28 // six hours of seven days
	one := s.current()
	return one.size > headerBytes && time.Duration(now-one.created)*time.Second > s.opts.Keep/pieces
}

// rotate closes the segment that is written to and begins another. The lock is held.
func (s *Store) rotate() error {
	if s.file != nil {
		err := errors.Join(s.file.Sync(), s.file.Close())
		s.file, s.dirty = nil, false
		if err != nil {
			s.opts.Log.Warn("a segment of the spool may not survive a power failure", "err", err)
		}
	}
	next := segment{
		id: max(s.nextID, 1), era: s.era, created: time.Now().Unix(), before: s.last,
		written: s.written, lost: s.lost, fetched: s.fetched, size: headerBytes,
	}
	file, err := s.create(&next)
	if err != nil {
		return err
	}
	s.file, s.nextID = file, next.id+1
	s.segments = append(s.segments, &next)
	s.expire(time.Now())
	return nil
}

// create makes the file of a segment, for which it makes room when the disk is full.
func (s *Store) create(next *segment) (*os.File, error) {
	for {
		file, err := s.tryCreate(next)
		if err == nil {
			return file, nil
		}
		if !isFull(err) || !s.makeRoom() {
			return nil, fmt.Errorf("begin a segment of the spool: %w", err)
		}
		next.lost = s.lost
	}
}

func (s *Store) tryCreate(next *segment) (*os.File, error) {
	if s.opts.Fault != nil {
		if err := s.opts.Fault(); err != nil {
			return nil, err
		}
	}
	file, err := os.OpenFile(s.path(next.id), os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if _, err := file.WriteAt(next.header(), 0); err != nil {
		_ = errors.Join(file.Close(), os.Remove(file.Name())) // The first error says more.
		return nil, err
	}
	return file, nil
}

// write appends whole records. When the disk is full, the oldest segment goes first.
func (s *Store) write(b []byte) error {
	for {
		err := s.tryWrite(b)
		if err == nil {
			s.current().size += int64(len(b))
			s.dirty, s.roomAt = true, time.Time{}
			s.expireSize()
			return nil
		}
		// What follows the last whole record is written over by the next one, should this fail.
		_ = s.file.Truncate(s.current().size)
		if !isFull(err) {
			return fmt.Errorf("write to the spool: %w", err)
		}
		if len(s.segments) == 1 && s.current().size > headerBytes {
			// All that could go is what is written to. What is new is worth more.
			if err := s.rotate(); err != nil {
				return err
			}
			return errMoved
		}
		if len(s.segments) == 1 || !s.makeRoom() {
			return fmt.Errorf("write to the spool: %w", err)
		}
	}
}

// makeRoom drops the oldest segment when the disk is full. When that did not help, somebody else takes the room:
// then the rest is kept for a while.
func (s *Store) makeRoom() bool {
	const patience = time.Minute
	now := time.Now()
	if len(s.segments) == 0 || !s.roomAt.IsZero() && now.Sub(s.roomAt) < patience {
		return false
	}
	s.roomAt = now
	s.dropOldest("the disk is full")
	return true
}

func (s *Store) tryWrite(b []byte) error {
	if s.opts.Fault != nil {
		if err := s.opts.Fault(); err != nil {
			return err
		}
	}
	_, err := s.file.WriteAt(b, s.current().size)
	return err
}

func isFull(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// expire drops segments that are too old or too many. The one that is written to stays.
func (s *Store) expire(now time.Time) {
	limit := now.Add(-s.opts.Keep).Unix()
	// A segment ends when the next one begins.
	for len(s.segments) > 1 && s.segments[1].created < limit {
		s.dropOldest("they are older than spool_keep")
	}
	s.expireSize()
}

func (s *Store) expireSize() {
	var size int64
	for _, one := range s.segments {
		size += one.size
	}
	for len(s.segments) > 1 && size > s.opts.Size {
		size -= s.segments[0].size
		s.dropOldest("the spool is larger than spool_size")
	}
}

// dropOldest removes the oldest segment and counts what no master has fetched of it.
func (s *Store) dropOldest(reason string) {
	one := s.segments[0]
	lost := s.unfetched(one)
	s.segments = s.segments[1:]
	if err := os.Remove(s.path(one.id)); err != nil && !errors.Is(err, os.ErrNotExist) {
		s.opts.Log.Warn("a segment of the spool cannot be removed", "err", err)
	}
	if lost > 0 {
		s.lost += lost
		s.opts.Log.Warn("samples that no master has fetched are dropped", "samples", lost, "reason", reason)
	}
}

// unfetched counts the samples of a segment that no master has fetched.
func (s *Store) unfetched(one *segment) uint64 {
	next := &segment{before: s.last, era: s.era, written: s.written}
	if len(s.segments) > 1 {
		next = s.segments[1]
	}
	if next.era == one.era && next.before <= s.fetched {
		return 0
	}
	all := next.written - one.written
	if one.before >= s.fetched {
		return all
	}
	file, err := os.Open(s.path(one.id))
	if err != nil {
		return all
	}
	defer file.Close()
	scan := newScanner(file, headerBytes, one.size)
	n := uint64(0)
	for {
		r, err := scan.next()
		if err != nil {
			return n
		}
		if r.kind == kindValues && r.time > s.fetched {
			n++
		}
	}
}
