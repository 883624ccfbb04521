package remote

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"time"

	"corbie/munin"
)

type header struct {
	length  int64
	sum     uint32
	samples int64
	written int64
}

func readHeader(r io.ReaderAt, at int64) (header, error) {
	var b [headerBytes]byte
	if _, err := r.ReadAt(b[:], at); err != nil {
		return header{}, err
	}
	h := header{
		length: int64(binary.LittleEndian.Uint32(b[0:])), sum: binary.LittleEndian.Uint32(b[4:]),
		samples: int64(binary.LittleEndian.Uint32(b[8:])),
		written: int64(binary.LittleEndian.Uint64(b[12:])), //nolint:gosec // written as an int64
	}
	if h.length == 0 || h.length > maxRecord || h.samples > recordSamples {
		return h, errors.New("the queue is damaged")
	}
	return h, nil
}

// next waits until there is something to send and gives up to about so many samples, with the place where the next ones begin.
func (q *queue) next(ctx context.Context, most int) ([]munin.Reading, place, error) {
	for {
		batch, end, err := q.peek(most)
		if len(batch) > 0 || err != nil {
			return batch, end, err
		}
		select {
		case <-ctx.Done():
			return nil, place{}, ctx.Err()
		case <-q.wake:
		}
	}
}

// peek reads the oldest records that were not sent. It is empty when there is nothing.
func (q *queue) peek(most int) (batch []munin.Reading, end place, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil, place{}, errQueueClosed
	}
	end = q.at
	for i := 0; i < len(q.segments) && len(batch) < most; i++ {
		s := q.segments[i]
		if s.number > end.segment {
			end = place{segment: s.number}
		}
		more, at, err := q.read(s, end.offset, most-len(batch))
		if err != nil {
			if len(more) > 0 || len(batch) > 0 {
				return append(batch, more...), place{segment: s.number, offset: at}, nil // the damage is met again
			}
			q.damaged(s, at, err)
			end, i = q.at, -1
			continue
		}
		batch, end.offset = append(batch, more...), at
	}
	if len(batch) == 0 {
		q.tidy(end)
	}
	return batch, end, nil
}

// read takes records of one segment from a place on.
func (q *queue) read(s *segment, at int64, most int) (batch []munin.Reading, end int64, err error) {
	if at >= s.bytes {
		return nil, at, nil
	}
	f, err := os.Open(q.path(s.number))
	if err != nil {
		return nil, at, err
	}
	defer f.Close()
	for at < s.bytes && len(batch) < most {
		h, err := readHeader(f, at)
		if err != nil {
			return batch, at, err
		}
		body := make([]byte, h.length)
		if _, err := f.ReadAt(body, at+headerBytes); err != nil {
			return batch, at, err
		}
		if crc32.Checksum(body, q.table) != h.sum {
			return batch, at, errors.New("the checksum does not fit")
		}
		readings, err := decode(body)
		if err != nil {
			return batch, at, err
		}
		batch, at = append(batch, readings...), at+headerBytes+h.length
	}
	return batch, at, nil
}

// damaged gives up what cannot be read of a segment. The caller holds the lock.
func (q *queue) damaged(s *segment, at int64, err error) {
	q.log.Error("a part of the queue is damaged, its samples are lost", "file", q.path(s.number), "offset", at, "samples", s.samples, "err", err)
	q.lost += s.samples
	s.samples = 0
	if n := len(q.segments); s == q.segments[n-1] && q.out != nil {
		_ = q.out.Close() // it is given up
		q.out = nil
	}
	for len(q.segments) > 0 && q.segments[0].number <= s.number {
		q.drop()
	}
}

// waiting is when the oldest record that was not sent was written; zero when there is none.
func (q *queue) waiting() time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, s := range q.segments {
		at := int64(0)
		if s.number == q.at.segment {
			at = q.at.offset
		}
		if s.number < q.at.segment || at >= s.bytes {
			continue
		}
		f, err := os.Open(q.path(s.number))
		if err != nil {
			return time.UnixMilli(s.newest)
		}
		h, err := readHeader(f, at)
		if err = errors.Join(err, f.Close()); err != nil {
			return time.UnixMilli(s.newest) // the damage is met when it is sent
		}
		return time.UnixMilli(h.written)
	}
	return time.Time{}
}
