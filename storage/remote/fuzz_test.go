package remote_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"math"
	"testing"

	"corbie/munin"
	"corbie/storage/remote"
)

func FuzzRecord(f *testing.F) {
	id := munin.SeriesID{Host: "web;www1", Graph: "load", Field: "load"}
	f.Add(remote.Encode([]munin.Reading{{ID: id, Point: munin.Point{T: 1, V: 2}}, {ID: id, Point: munin.Point{T: 0, V: math.NaN()}}}))
	f.Add([]byte("nonsense"))
	f.Fuzz(func(t *testing.T, body []byte) {
		list, err := remote.Decode(body)
		if err != nil || len(list) == 0 {
			return
		}
		again, err := remote.Decode(remote.Encode(list))
		if err != nil || len(again) != len(list) {
			t.Fatalf("%d readings became %d: %v", len(list), len(again), err)
		}
		for i := range list {
			if list[i].ID != again[i].ID || list[i].T != again[i].T || math.Float64bits(list[i].V) != math.Float64bits(again[i].V) {
				t.Fatalf("%v became %v", list[i], again[i])
			}
		}
	})
}

func FuzzAnswers(f *testing.F) {
	f.Add([]byte(`{"metric":{"__name__":"a"},"values":[1,null,NaN],"timestamps":[1,2,3]}`))
	f.Add([]byte(`{"data":{"resultType":"matrix","result":[{"metric":{"a":"b"},"values":[[1.5,"2"],[2,"NaN"]]}]}}`))
	f.Add([]byte{3, 0, 0, 0, 0, 1, 2, 3})
	f.Fuzz(func(_ *testing.T, body []byte) {
		remote.ReadAnswer(func() io.Reader { return bytes.NewReader(body) })
		sum := crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli))
		framed := binary.AppendUvarint(nil, uint64(len(body)))
		framed = binary.BigEndian.AppendUint32(framed, sum)
		framed = append(framed, body...)
		remote.ReadAnswer(func() io.Reader { return bytes.NewReader(framed) })
	})
}
