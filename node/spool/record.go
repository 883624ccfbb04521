package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"corbie/munin"
)

// A record on disk is a frame (mark, length, checksum; little-endian) and a payload:
//
//	mark      4 bytes, always frameMark
//	length    4 bytes, of the payload
//	checksum  4 bytes, CRC-32C of the length and the payload
//	kind      1 byte
//	time      8 bytes, seconds since 1970
//	plugin    1 byte of length and the name
//	node      1 byte of length and the name of the host it speaks for, none for the node itself
//	text      the rest
const (
	frameMark    = "\xc3Sp\x1a" // no text holds it: it is not valid UTF-8
	frameBytes   = 12
	fixedBytes   = 1 + 8 + 1 + 1
	maxNodeBytes = 255
	maxPayload   = MaxTextBytes + fixedBytes + munin.MaxNameBytes + maxNodeBytes
)

// kind says what the text of a record is.
type kind byte

const (
	kindConfig kind = 1 // a plugin's config; it holds for the records of that plugin that follow in the segment
	kindValues kind = 2 // a plugin's values; those without a time of their own are of the record's time
)

// record is one piece of a segment. The text is only valid until the next one is read.
type record struct {
	kind   kind
	time   int64 // seconds since 1970
	plugin string
	node   string
	text   []byte
}

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) } // The table is made once.

// appendRecord appends the frame and the payload of a record.
func appendRecord(b []byte, r *record) ([]byte, error) {
	if len(r.plugin) == 0 || len(r.plugin) > munin.MaxNameBytes || len(r.node) > maxNodeBytes || len(r.text) > MaxTextBytes {
		return b, fmt.Errorf("record of plugin %q with %d bytes: %w", r.plugin, len(r.text), ErrTooLarge)
	}
	start := len(b)
	b = append(b, frameMark...)
	b = binary.LittleEndian.AppendUint32(b, uint32(fixedBytes+len(r.plugin)+len(r.node)+len(r.text)))
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = append(b, byte(r.kind))
	b = binary.LittleEndian.AppendUint64(b, uint64(r.time))
	b = append(append(b, byte(len(r.plugin))), r.plugin...)
	b = append(append(b, byte(len(r.node))), r.node...)
	b = append(b, r.text...)
	binary.LittleEndian.PutUint32(b[start+8:], frameSum(b[start:]))
	return b, nil
}

// frameSum is the checksum of a whole frame.
func frameSum(frame []byte) uint32 {
	sum := crc32.Update(0, castagnoli(), frame[4:8])
	return crc32.Update(sum, castagnoli(), frame[frameBytes:])
}

// decodePayload takes a payload apart whose checksum is right. It fails on what no writer of this version wrote.
func decodePayload(b []byte) (record, bool) {
	if len(b) < fixedBytes {
		return record{}, false
	}
	r := record{kind: kind(b[0]), time: int64(binary.LittleEndian.Uint64(b[1:]))}
	b = b[9:]
	for _, name := range []*string{&r.plugin, &r.node} {
		if len(b) == 0 || len(b) < 1+int(b[0]) {
			return record{}, false
		}
		*name = string(b[1 : 1+int(b[0])])
		b = b[1+int(b[0]):]
	}
	r.text = b
	return r, (r.kind == kindConfig || r.kind == kindValues) && r.plugin != "" &&
		len(r.plugin) <= munin.MaxNameBytes && len(r.text) <= MaxTextBytes && r.time >= 0
}

// scanner reads records one after the other and passes over what is damaged.
type scanner struct {
	src  io.ReaderAt
	pos  int64 // of the next byte to look at
	end  int64
	base int64 // position of buf[0]
	buf  []byte

	// The last record: where its frame begins, and where it ends.
	at, after int64
	damaged   int64 // bytes that were passed over, once a record or the end came after them
}

const scanWindow = 32 << 10

func newScanner(src io.ReaderAt, from, to int64) *scanner {
	return &scanner{src: src, pos: from, end: to, after: from}
}

// peek returns n bytes from a position, or fewer at the end. They are valid until the next peek.
func (s *scanner) peek(pos int64, n int) ([]byte, error) {
	if pos >= s.base && pos+int64(n) <= s.base+int64(len(s.buf)) {
		return s.buf[pos-s.base:][:n], nil
	}
	want := int(min(int64(max(n, scanWindow)), s.end-pos))
	if want <= 0 {
		return nil, nil
	}
	if cap(s.buf) < want || cap(s.buf) > 4*scanWindow && want <= scanWindow {
		s.buf = make([]byte, want)
	}
	s.buf = s.buf[:want]
	s.base = pos
	got, err := s.src.ReadAt(s.buf, pos)
	s.buf = s.buf[:got]
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read the spool: %w", err)
	}
	return s.buf[:min(n, got)], nil
}

// next returns the next whole record, or io.EOF after the last one. Any other error is the disk's.
func (s *scanner) next() (record, error) {
	from := s.pos
	for s.pos+frameBytes <= s.end {
		r, size, err := s.frame()
		if err != nil {
			return record{}, err
		}
		if size > 0 {
			s.damaged += s.pos - from
			s.at = s.pos
			s.pos += size
			s.after = s.pos
			return r, nil
		}
		if err := s.skip(); err != nil {
			return record{}, err
		}
	}
	s.damaged += s.end - from
	s.pos = s.end
	return record{}, io.EOF
}

// frame reads the record at the position; its size is 0 when there is none.
func (s *scanner) frame() (record, int64, error) {
	head, err := s.peek(s.pos, frameBytes)
	if err != nil || len(head) < frameBytes || string(head[:4]) != frameMark {
		return record{}, 0, err
	}
	length := binary.LittleEndian.Uint32(head[4:])
	if length < fixedBytes || length > maxPayload || s.pos+frameBytes+int64(length) > s.end {
		return record{}, 0, nil
	}
	whole, err := s.peek(s.pos, frameBytes+int(length))
	if err != nil || len(whole) < frameBytes+int(length) || binary.LittleEndian.Uint32(whole[8:]) != frameSum(whole) {
		return record{}, 0, err
	}
	r, ok := decodePayload(whole[frameBytes:])
	if !ok {
		return record{}, 0, nil
	}
	return r, int64(len(whole)), nil
}

// skip goes on to the next place where a frame may begin.
func (s *scanner) skip() error {
	s.pos++
	for s.pos < s.end {
		window, err := s.peek(s.pos, int(min(scanWindow, s.end-s.pos)))
		if err != nil {
			return err
		}
		if i := bytes.Index(window, []byte(frameMark)); i >= 0 {
			s.pos += int64(i)
			return nil
		}
		// A mark may begin in the last bytes of the window.
		s.pos += int64(max(1, len(window)-len(frameMark)+1))
		if len(window) == 0 {
			s.pos = s.end
		}
	}
	return nil
}
