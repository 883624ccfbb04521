package remote

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"net/http"
	"strings"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"corbie/munin"
)

const (
	streamedType = "application/x-streamed-protobuf"
	// maxFrame limits one frame of a streamed answer; servers send about a megabyte.
	maxFrame = 64 << 20
)

// remoteRead reads by Prometheus' remote read: chunks as they are on the engine's disk, or samples where it cannot stream.
func (c *client) remoteRead(ctx context.Context, matchers []*labels.Matcher, from, to int64, visit visitor) error {
	query := &prompb.Query{StartTimestampMs: from, EndTimestampMs: to}
	for _, m := range matchers {
		query.Matchers = append(query.Matchers, &prompb.LabelMatcher{Type: matcherType(m.Type), Name: m.Name, Value: m.Value})
	}
	req := prompb.ReadRequest{
		Queries: []*prompb.Query{query},
		AcceptedResponseTypes: []prompb.ReadRequest_ResponseType{
			prompb.ReadRequest_STREAMED_XOR_CHUNKS, prompb.ReadRequest_SAMPLES,
		},
	}
	body, err := req.Marshal()
	if err != nil {
		return err
	}
	header := http.Header{
		"Content-Type": {"application/x-protobuf"}, "Content-Encoding": {"snappy"}, "Accept-Encoding": {"snappy"},
		"X-Prometheus-Remote-Read-Version": {"0.1.0"},
	}
	resp, err := c.post(ctx, c.target.Read+"/api/v1/read", header, snappy.Encode(nil, body))
	if err != nil {
		return c.readError(err)
	}
	defer resp.Body.Close()
	answer := io.LimitReader(resp.Body, maxAnswer)
	if strings.HasPrefix(resp.Header.Get("Content-Type"), streamedType) {
		return readStream(answer, visit)
	}
	return readSamples(answer, visit)
}

func matcherType(t labels.MatchType) prompb.LabelMatcher_Type {
	switch t {
	case labels.MatchNotEqual:
		return prompb.LabelMatcher_NEQ
	case labels.MatchRegexp:
		return prompb.LabelMatcher_RE
	case labels.MatchNotRegexp:
		return prompb.LabelMatcher_NRE
	case labels.MatchEqual:
	}
	return prompb.LabelMatcher_EQ
}

// readSamples takes an answer in one piece.
func readSamples(body io.Reader, visit visitor) error {
	packed, err := io.ReadAll(body)
	if err != nil {
		return cutOff(err)
	}
	size, err := snappy.DecodedLen(packed)
	if err != nil || size > maxAnswer {
		return cutOff(errors.New("it is not packed by snappy, or too long"))
	}
	plain, err := snappy.Decode(nil, packed)
	if err != nil {
		return cutOff(err)
	}
	var answer prompb.ReadResponse
	if err := answer.Unmarshal(plain); err != nil {
		return cutOff(err)
	}
	for _, result := range answer.Results {
		for _, s := range result.Timeseries {
			points := make([]munin.Point, len(s.Samples))
			for i, sample := range s.Samples {
				points[i] = munin.Point{T: sample.Timestamp, V: sample.Value}
			}
			if err := visit(labelsFrom(s.Labels), points); err != nil {
				return err
			}
		}
	}
	return nil
}

func labelsFrom(list []prompb.Label) labels.Labels {
	b := labels.NewScratchBuilder(len(list))
	for _, l := range list {
		b.Add(l.Name, l.Value)
	}
	b.Sort()
	return b.Labels()
}

// readStream takes a stream of frames: their length as a varint, CRC-32C, and a ChunkedReadResponse. A series may go on in the
// next frame.
func readStream(body io.Reader, visit visitor) error {
	r := bufio.NewReaderSize(body, 64<<10)
	table := crc32.MakeTable(crc32.Castagnoli)
	var (
		now    labels.Labels
		points []munin.Point
		it     chunkenc.Iterator
	)
	flush := func() error {
		if len(points) == 0 {
			return nil
		}
		defer func() { points = nil }()
		return visit(now, points)
	}
	for {
		frame, err := readFrame(r, table)
		if errors.Is(err, io.EOF) {
			return flush()
		}
		if err != nil {
			return cutOff(err)
		}
		var answer prompb.ChunkedReadResponse
		if err := answer.Unmarshal(frame); err != nil {
			return cutOff(err)
		}
		for _, s := range answer.ChunkedSeries {
			if l := labelsFrom(s.Labels); !labels.Equal(l, now) {
				if err := flush(); err != nil {
					return err
				}
				now = l
			}
			if points, it, err = appendChunks(points, s.Chunks, it); err != nil {
				return cutOff(err)
			}
		}
	}
}

// readFrame is one frame; io.EOF is the end between two.
func readFrame(r *bufio.Reader, table *crc32.Table) ([]byte, error) {
	size, err := binary.ReadUvarint(r)
	if err != nil {
		return nil, err
	}
	if size > maxFrame {
		return nil, fmt.Errorf("a frame of %d bytes is too long", size)
	}
	frame := make([]byte, 4+size)
	if _, err := io.ReadFull(r, frame); err != nil {
		return nil, io.ErrUnexpectedEOF
	}
	if binary.BigEndian.Uint32(frame) != crc32.Checksum(frame[4:], table) {
		return nil, errors.New("the checksum does not fit")
	}
	return frame[4:], nil
}

func appendChunks(points []munin.Point, list []prompb.Chunk, it chunkenc.Iterator) ([]munin.Point, chunkenc.Iterator, error) {
	for _, c := range list {
		if c.Type != prompb.Chunk_XOR {
			continue // histograms are not Corbie's
		}
		if len(c.Data) < 2 {
			return points, it, errors.New("a chunk is empty")
		}
		chunk, err := chunkenc.FromData(chunkenc.EncXOR, c.Data)
		if err != nil {
			return points, it, err
		}
		it = chunk.Iterator(it)
		for it.Next() == chunkenc.ValFloat {
			var p munin.Point
			if p.T, p.V = it.At(); math.IsNaN(p.V) {
				p.V = math.NaN()
			}
			points = append(points, p)
		}
		if err := it.Err(); err != nil {
			return points, it, err
		}
	}
	return points, it, nil
}
