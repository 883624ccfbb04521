package remote

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"corbie/munin"
	"corbie/storage/disk"
)

// A queue is a folder of segments, files named after their number. A segment is a row of records, one for each batch:
//
//	length of the body, 4 bytes | its CRC-32C, 4 | number of samples, 4 | time of writing in Unix milliseconds, 8 | body
//
// and the file "sent" says how far the engine has taken them. Samples that are sent twice, after a crash, are the same samples.
const (
	headerBytes   = 20
	segmentSuffix = ".queue"
	sentFile      = "sent"
	// maxSegment is how long a segment grows; a full queue drops whole ones.
	maxSegment = 8 << 20
	minSegment = 64 << 10
	// maxRecord limits what is believed of a length on disk.
	maxRecord = 64 << 20
	// recordSamples is how many samples one record holds at most.
	recordSamples = 10_000
	// longestPause is what a pause between two batches counts at most for their age: a master that was down, or whose clock jumped,
	// must not make all that waits look old.
	longestPause = time.Hour
)

var errQueueClosed = errors.New("the queue is closed")

// castagnoli is the table of CRC-32C.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// place is where in the queue a record begins.
type place struct {
	segment uint64
	offset  int64
}

type segment struct {
	number  uint64
	bytes   int64
	samples int64 // that were not sent
	newest  int64 // time of writing of the last record
	clock   int64 // of the queue after the last record, in milliseconds
}

// queue keeps batches on disk until they are sent, oldest first. One goroutine takes them out, any may put them in.
type queue struct {
	dir      string
	maxBytes int64
	maxAge   time.Duration
	roll     int64
	log      *slog.Logger
	table    *crc32.Table
	wake     chan struct{} // holds a token when there may be something to send

	mu       sync.Mutex
	segments []*segment // oldest first; the last one is written to
	out      *os.File   // of the last one; nil: the next batch begins a new segment
	dirty    bool
	closed   bool
	at       place // of the first record that was not sent
	clock    int64 // time during which batches came, in milliseconds
	lost     int64
}

// openQueue opens the queue in a folder, and creates it where there is none.
func openQueue(dir string, maxBytes int64, maxAge time.Duration, log *slog.Logger) (*queue, error) {
	q := &queue{
		dir: dir, maxBytes: maxBytes, maxAge: maxAge, log: log, table: castagnoli(), wake: make(chan struct{}, 1),
		roll: min(max(maxBytes/16, minSegment), maxSegment),
	}
	if err := os.MkdirAll(dir, 0o750); err != nil && !disk.Stuck(err) {
		return nil, fmt.Errorf("open the queue: %w", err)
	}
	q.at = q.readSent()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open the queue: %w", err)
	}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), segmentSuffix)
		number, err := strconv.ParseUint(name, 10, 64)
		if !ok || err != nil {
			continue
		}
		if number < q.at.segment {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil && !disk.Stuck(err) {
				return nil, fmt.Errorf("open the queue: %w", err)
			}
			continue
		}
		q.segments = append(q.segments, &segment{number: number})
	}
	slices.SortFunc(q.segments, func(a, b *segment) int { return cmp.Compare(a.number, b.number) })
	for _, s := range q.segments {
		if err := q.survey(s); err != nil {
			return nil, fmt.Errorf("open the queue: %w", err)
		}
	}
	q.signal()
	return q, nil
}

func (q *queue) path(number uint64) string {
	return filepath.Join(q.dir, fmt.Sprintf("%016d%s", number, segmentSuffix))
}

// readSent is how far the queue was sent. Where that cannot be read all is sent again, which changes nothing.
func (q *queue) readSent() place {
	var p place
	text, err := os.ReadFile(filepath.Join(q.dir, sentFile))
	if err == nil {
		_, err = fmt.Sscanf(string(text), "%d %d\n", &p.segment, &p.offset)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		q.log.Warn("it is not known how far the queue was sent: all of it is sent again", "err", err)
	}
	if err != nil || p.offset < 0 {
		return place{}
	}
	return p
}

// survey counts what is in a segment. What a crash cut off at its end is no part of it: nobody was told that it is stored.
func (q *queue) survey(s *segment) error {
	f, err := os.Open(q.path(s.number))
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	for {
		h, err := readHeader(f, s.bytes)
		if err != nil || s.bytes+headerBytes+h.length > info.Size() {
			break
		}
		if (place{s.number, s.bytes}).before(q.at) {
			h.samples = 0
		}
		s.bytes += headerBytes + h.length
		q.count(s, h.samples, h.written)
	}
	return nil
}

func (p place) before(o place) bool {
	return p.segment < o.segment || p.segment == o.segment && p.offset < o.offset
}

// count adds a record to what is known of its segment. The caller holds the lock, or is alone.
func (q *queue) count(s *segment, samples, written int64) {
	q.clock += q.pause(written)
	s.samples += samples
	s.newest, s.clock = written, q.clock
}

// pause is how much time a moment lies after the newest record, as age counts it.
func (q *queue) pause(now int64) int64 {
	for _, s := range slices.Backward(q.segments) {
		if s.newest != 0 {
			return min(max(now-s.newest, 0), longestPause.Milliseconds())
		}
	}
	return 0
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// add puts readings at the end. When it returns nil they survive the death of the process.
func (q *queue) add(readings []munin.Reading, now time.Time) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for batch := range slices.Chunk(readings, recordSamples) {
		if err := q.write(batch, now.UnixMilli()); err != nil {
			return fmt.Errorf("queue samples: %w", err)
		}
	}
	q.bound(now)
	q.signal()
	return nil
}

func (q *queue) write(batch []munin.Reading, now int64) error {
	if q.closed {
		return errQueueClosed
	}
	if err := q.open(); err != nil {
		return err
	}
	s := q.segments[len(q.segments)-1]
	body := encode(batch)
	record := make([]byte, headerBytes, headerBytes+len(body))
	binary.LittleEndian.PutUint32(record[0:], uint32(len(body))) //nolint:gosec // at most recordSamples
	binary.LittleEndian.PutUint32(record[4:], crc32.Checksum(body, q.table))
	binary.LittleEndian.PutUint32(record[8:], uint32(len(batch))) //nolint:gosec // at most recordSamples
	binary.LittleEndian.PutUint64(record[12:], uint64(now))       //nolint:gosec // read back as an int64
	record = append(record, body...)
	if _, err := q.out.WriteAt(record, s.bytes); err != nil {
		// What is half written lies after the end, and is written over.
		return err
	}
	q.dirty = true
	s.bytes += int64(len(record))
	q.count(s, int64(len(batch)), now)
	return nil
}

// open makes sure that there is a segment with room.
func (q *queue) open() error {
	if q.out != nil && q.segments[len(q.segments)-1].bytes < q.roll {
		return nil
	}
	if q.out != nil {
		// On a power cut the oldest must not be missing.
		if err := errors.Join(q.out.Sync(), q.out.Close()); err != nil {
			return err
		}
		q.out = nil
	}
	number := q.at.segment + 1
	if n := len(q.segments); n > 0 {
		number = q.segments[n-1].number + 1
	}
	if err := os.MkdirAll(q.dir, 0o750); err != nil { // It could not be made on a full disk.
		return err
	}
	f, err := os.OpenFile(q.path(number), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	q.out = f
	q.segments = append(q.segments, &segment{number: number})
	return nil
}

// bound drops the oldest segments while there is too much or too old a one. The caller holds the lock.
func (q *queue) bound(now time.Time) {
	for len(q.segments) > 1 {
		oldest, total := q.segments[0], int64(0)
		for _, s := range q.segments {
			total += s.bytes
		}
		age := q.clock + q.pause(now.UnixMilli()) - oldest.clock
		if total <= q.maxBytes && age <= q.maxAge.Milliseconds() {
			return
		}
		if oldest.samples > 0 {
			if q.lost == 0 {
				q.log.Error("the queue of samples is full, its oldest ones are lost; further ones are only counted",
					"samples", oldest.samples, "queue_bytes", total)
			}
			q.lost += oldest.samples
		}
		q.drop()
	}
}

// drop removes the oldest segment.
func (q *queue) drop() {
	oldest := q.segments[0]
	if err := os.Remove(q.path(oldest.number)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		q.log.Warn("cannot remove a file of the queue", "err", err)
	}
	q.segments = q.segments[1:]
	if q.at.segment <= oldest.number {
		q.at = place{segment: oldest.number + 1}
	}
}

// sent says that the engine has everything before a place.
func (q *queue) sent(samples int, end place) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.at.before(end) {
		return nil // it was dropped meanwhile
	}
	left := int64(samples)
	for _, s := range q.segments {
		part := min(left, s.samples)
		s.samples -= part
		left -= part
	}
	q.at = end
	q.tidy(end)
	temp := filepath.Join(q.dir, sentFile+".part")
	if err := os.WriteFile(temp, fmt.Appendf(nil, "%d %d\n", end.segment, end.offset), 0o640); err != nil {
		return fmt.Errorf("note how far the queue was sent: %w", err)
	}
	if err := os.Rename(temp, filepath.Join(q.dir, sentFile)); err != nil {
		return fmt.Errorf("note how far the queue was sent: %w", err)
	}
	return nil
}

// tidy removes segments that were sent, but not the one that is written to. The caller holds the lock.
func (q *queue) tidy(end place) {
	for len(q.segments) > 1 && q.segments[0].number < end.segment {
		q.drop()
	}
	q.at = end
}

// sync makes what was added survive a power cut.
func (q *queue) sync() error {
	q.mu.Lock()
	f := q.out
	dirty := q.dirty && !q.closed && f != nil
	q.dirty = false
	q.mu.Unlock()
	if !dirty {
		return nil
	}
	if err := f.Sync(); err != nil && !errors.Is(err, fs.ErrClosed) {
		return fmt.Errorf("flush the queue: %w", err)
	}
	return nil
}

// backlog is what waits.
func (q *queue) backlog() (samples, bytes, lost int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, s := range q.segments {
		samples += s.samples
		bytes += s.bytes
	}
	return samples, bytes, q.lost
}

func (q *queue) close() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil
	}
	q.closed = true
	if q.out == nil {
		return nil
	}
	return errors.Join(q.out.Sync(), q.out.Close())
}
