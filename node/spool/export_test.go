package spool

import (
	"bytes"
	"errors"
	"io"
)

// Segment makes the bytes of a segment's records out of pairs of a plugin and its text, for the tests.
func Segment(pairs ...string) []byte {
	var b []byte
	for i := 0; i < len(pairs); i += 2 {
		r := record{kind: kindValues, time: int64(i), plugin: pairs[i], text: []byte(pairs[i+1])}
		var err error
		if b, err = appendRecord(b, &r); err != nil {
			panic(err)
		}
	}
	return b
}

// Scan reads records out of bytes. The results are the records written anew, the bytes that belong to none, and
// what is left after the last one.
func Scan(data []byte) (records []byte, damaged, rest int, err error) {
	s := newScanner(bytes.NewReader(data), 0, int64(len(data)))
	for {
		r, err := s.next()
		if errors.Is(err, io.EOF) {
			return records, int(s.damaged), len(data) - int(s.after), nil
		}
		if err != nil {
			return nil, 0, 0, err
		}
		if records, err = appendRecord(records, &r); err != nil {
			return nil, 0, 0, err
		}
	}
}
