package remote

import (
	"math"
	"net/http"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"

	"corbie/munin"
)

// unknown is how Munin's U is sent: as a stale marker, which ends the line at once in PromQL. An engine that is read by PromQL alone
// never gives stale markers back; it gets a plain NaN.
func (e Engine) unknown() float64 {
	if e == Thanos {
		return math.Float64frombits(value.NormalNaN)
	}
	return math.Float64frombits(value.StaleNaN)
}

// row is the samples of one series in one request.
type row struct {
	labels labels.Labels
	points []munin.Point
}

// rows puts the samples of a batch together by series; each series in the order of time, as engines want it.
func (w *writer) rows(batch []munin.Reading) []row {
	var out []row
	index := make(map[munin.SeriesID]int, len(batch))
	for _, r := range batch {
		i, ok := index[r.ID]
		if !ok {
			i = len(out)
			index[r.ID] = i
			out = append(out, row{labels: w.labels(r.ID)})
		}
		out[i].points = append(out[i].points, r.Point)
	}
	for i := range out {
		out[i].points = inOrder(out[i].points)
	}
	return out
}

// encode1 is a remote write request of version 1.0.
func encode1(rows []row, unknown float64) ([]byte, http.Header, error) {
	req := prompb.WriteRequest{Timeseries: make([]prompb.TimeSeries, len(rows))}
	for i, r := range rows {
		samples := make([]prompb.Sample, len(r.points))
		for k, p := range r.points {
			samples[k] = prompb.Sample{Timestamp: p.T, Value: sent(p.V, unknown)}
		}
		req.Timeseries[i] = prompb.TimeSeries{Labels: prompb.FromLabels(r.labels, nil), Samples: samples}
	}
	body, err := req.Marshal()
	return snappy.Encode(nil, body), writeHeader("application/x-protobuf", "0.1.0"), err
}

// encode2 is one of version 2.0: each text is in it once.
func encode2(rows []row, unknown float64) ([]byte, http.Header, error) {
	symbols := writev2.NewSymbolTable()
	req := writev2.Request{Timeseries: make([]writev2.TimeSeries, len(rows))}
	for i, r := range rows {
		samples := make([]writev2.Sample, len(r.points))
		for k, p := range r.points {
			samples[k] = writev2.Sample{Timestamp: p.T, Value: sent(p.V, unknown)}
		}
		req.Timeseries[i] = writev2.TimeSeries{LabelsRefs: symbols.SymbolizeLabels(r.labels, nil), Samples: samples}
	}
	req.Symbols = symbols.Symbols()
	body, err := req.Marshal()
	return snappy.Encode(nil, body), writeHeader("application/x-protobuf;proto=io.prometheus.write.v2.Request", "2.0.0"), err
}

func writeHeader(content, version string) http.Header {
	return http.Header{
		"Content-Type": {content}, "Content-Encoding": {"snappy"}, "X-Prometheus-Remote-Write-Version": {version},
	}
}

func sent(v, unknown float64) float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return unknown
	}
	return v
}
