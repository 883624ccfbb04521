package remote

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/golang/snappy"

	"corbie/munin"
)

// A record's body is packed by snappy. Unpacked, it holds for each reading: host, graph and field, each as its length and text,
// where a length of 0 stands for "as in the reading before"; the time, less that of the reading before; the value, 8 bytes.

func encode(readings []munin.Reading) []byte {
	var b []byte
	var before munin.Reading
	for _, r := range readings {
		b = appendName(b, string(r.ID.Host), string(before.ID.Host))
		b = appendName(b, r.ID.Graph, before.ID.Graph)
		b = appendName(b, r.ID.Field, before.ID.Field)
		b = binary.AppendVarint(b, r.T-before.T)
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(r.V))
		before = r
	}
	return snappy.Encode(nil, b)
}

func appendName(b []byte, name, before string) []byte {
	if name == before {
		return append(b, 0)
	}
	b = binary.AppendUvarint(b, uint64(len(name)))
	return append(b, name...)
}

var errRecord = errors.New("the record is damaged")

// decode takes a record's body apart. It never gives more than recordSamples.
func decode(body []byte) ([]munin.Reading, error) {
	size, err := snappy.DecodedLen(body)
	if err != nil || size > maxRecord {
		return nil, errRecord
	}
	b, err := snappy.Decode(nil, body)
	if err != nil {
		return nil, errRecord
	}
	var out []munin.Reading
	d := recordReader{rest: b}
	var r munin.Reading
	for len(d.rest) > 0 && len(out) < recordSamples {
		r.ID.Host = munin.HostID(d.name(string(r.ID.Host)))
		r.ID.Graph = d.name(r.ID.Graph)
		r.ID.Field = d.name(r.ID.Field)
		step, n := binary.Varint(d.rest)
		if n <= 0 || len(d.rest) < n+8 || d.bad {
			return nil, errRecord
		}
		r.T += step
		r.V = math.Float64frombits(binary.LittleEndian.Uint64(d.rest[n:]))
		d.rest = d.rest[n+8:]
		out = append(out, r)
	}
	if len(d.rest) > 0 {
		return nil, errRecord
	}
	return out, nil
}

type recordReader struct {
	rest []byte
	bad  bool
}

func (d *recordReader) name(before string) string {
	size, n := binary.Uvarint(d.rest)
	if n <= 0 || size > uint64(len(d.rest)-n) {
		d.bad, d.rest = true, nil
		return ""
	}
	name := d.rest[n : n+int(size)] //nolint:gosec // not longer than rest
	d.rest = d.rest[n+int(size):]   //nolint:gosec // not longer than rest
	if size == 0 {
		return before
	}
	return string(name)
}
