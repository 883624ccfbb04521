package munin

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// SpoolState is how sampling in the background goes on a node, and what is in its spool.
type SpoolState struct {
	Samples        uint64    // kept
	Bytes          uint64    // on disk
	Oldest, Newest time.Time // zero when the spool is empty
	Fetched        time.Time // masters have everything up to then; zero: none has fetched anything yet
	Lost           uint64    // samples that went before a master had fetched them, or could not be written
	Damaged        uint64    // bytes of the spool that could not be read
	Failures       uint64    // runs that gave no sample, since the node was started
	Missed         uint64    // slots that passed while the plugin was still running or waiting for its turn, since then
}

// spoolMark begins the line that tells of the spool. It is a comment for those who do not know it.
const spoolMark = "# spool "

// numbers are the columns of the line.
func (s *SpoolState) numbers() map[string]*uint64 {
	return map[string]*uint64{
		"samples": &s.Samples, "bytes": &s.Bytes, "lost": &s.Lost, "damaged": &s.Damaged, "failures": &s.Failures, "missed": &s.Missed,
	}
}

func (s *SpoolState) times() map[string]*time.Time {
	return map[string]*time.Time{"oldest": &s.Oldest, "newest": &s.Newest, "fetched": &s.Fetched}
}

// AppendSpoolState appends the line that tells of the spool to a node's answer to status.
func AppendSpoolState(b []byte, s SpoolState) []byte {
	b = append(b, spoolMark...)
	numbers, times := s.numbers(), s.times()
	for _, key := range []string{"samples", "bytes", "lost", "damaged", "failures", "missed"} {
		b = append(strconv.AppendUint(append(append(b, key...), '='), *numbers[key], 10), ' ')
	}
	for _, key := range []string{"oldest", "newest", "fetched"} {
		if at := *times[key]; !at.IsZero() {
			b = append(strconv.AppendInt(append(append(b, key...), '='), at.Unix(), 10), ' ')
		}
	}
	return append(b[:len(b)-1], '\n')
}

// ParseSpoolState finds in a node's answer to status what it says of its spool; nil when it says nothing, as a node that
// has none does. Keys that are not known are passed over.
func ParseSpoolState(body []byte) (*SpoolState, error) {
	for line := range strings.Lines(string(body)) {
		text, ok := strings.CutPrefix(strings.TrimRight(line, "\r\n"), spoolMark)
		if !ok {
			continue
		}
		var s SpoolState
		numbers, times := s.numbers(), s.times()
		for _, word := range strings.Fields(text) {
			key, value, _ := strings.Cut(word, "=")
			var err error
			if number := numbers[key]; number != nil {
				*number, err = strconv.ParseUint(value, 10, 63)
			} else if at := times[key]; at != nil {
				*at, err = parseStateTime(value)
			}
			if err != nil {
				return nil, fmt.Errorf("state of the spool: %s %q: %w", excerpt(key), excerpt(value), err)
			}
		}
		return &s, nil
	}
	return nil, nil //nolint:nilnil // no spool is an answer
}
