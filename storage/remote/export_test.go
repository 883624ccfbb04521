package remote

import (
	"io"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"corbie/munin"
)

// Encode and Decode are a record of the queue and back, for tests.
func Encode(readings []munin.Reading) []byte { return encode(readings) }

// Decode is the way back.
func Decode(body []byte) ([]munin.Reading, error) { return decode(body) }

// ReadAnswer tries each of the ways in which engines answer.
func ReadAnswer(open func() io.Reader) {
	visit := func(labels.Labels, []munin.Point) error { return nil }
	for _, read := range []func(io.Reader, visitor) error{readExport, readMatrix, readSamples, readStream} {
		_ = read(open(), visit) // an error is as good as an answer here
	}
}

// ComputedLabels are the labels that are left of those of a computed value after the way through the queue.
func ComputedLabels(l labels.Labels) labels.Labels { return labelsOf(computedID(l)) }

// QueuedLabels are those of whatever a field of the queue holds.
func QueuedLabels(field string) labels.Labels {
	return labelsOf(munin.SeriesID{Host: computedHost, Field: field})
}

// RetryAfter reads a header.
func RetryAfter(text string, now time.Time) time.Duration { return retryAfter(text, now) }

// Version is that of remote write in which the engine is spoken to now.
func (s *Store) Version() int { return s.writer.protocol() }
