package remote_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"github.com/prometheus/prometheus/promql/parser"

	"corbie/storage/remote"
)

// reply is what a fake answers to one write before it takes the next one.
type reply struct {
	status int
	header http.Header
	text   string
}

// fake plays Mimir or Thanos as their documents say they speak: paths, tenants, refusals. Samples are kept by tenant and series.
type fake struct {
	*httptest.Server

	kind   remote.Engine
	newest bool          // it takes remote write 2.0
	old415 bool          // without that it says so by 415; else it takes 2.0 for an empty 1.0
	window time.Duration // for late samples; 0: any are taken

	mu       sync.Mutex
	replies  []reply
	versions map[string]int // requests that were taken, by version
	asked    []string       // queries of reads
	tenants  map[string]map[string]map[int64]float64
}

func newFake(t *testing.T, kind remote.Engine) *fake {
	t.Helper()
	f := &fake{kind: kind, versions: make(map[string]int), tenants: make(map[string]map[string]map[int64]float64)}
	write, read := "/api/v1/push", "/prometheus/api/v1"
	if kind == remote.Thanos {
		write, read = "/api/v1/receive", "/api/v1"
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+write, f.push)
	mux.HandleFunc("POST "+read+"/read", f.read)
	mux.HandleFunc("POST "+read+"/query", f.query)
	f.Server = httptest.NewServer(mux)
	t.Cleanup(f.Close)
	return f
}

func (f *fake) tenantHeader() string {
	if f.kind == remote.Thanos {
		return "THANOS-TENANT"
	}
	return "X-Scope-OrgID"
}

func (f *fake) options(tenant string) remote.Options {
	write, read := f.kind.Addresses(f.URL)
	return remote.Options{Target: remote.Target{Engine: f.kind, Write: write, Read: read, Headers: map[string]string{f.tenantHeader(): tenant}}}
}

// tenant is whose samples a request is about. Mimir answers 401 where none is named, Thanos takes its default one.
func (f *fake) tenant(w http.ResponseWriter, r *http.Request) (string, bool) {
	name := r.Header.Get(f.tenantHeader())
	if name == "" && f.kind == remote.Thanos {
		name = "default-tenant"
	}
	if name == "" {
		http.Error(w, "no org id", http.StatusUnauthorized)
	}
	return name, name != ""
}

// sample is one that was sent.
type sample struct {
	series string
	at     int64
	v      float64
}

func (f *fake) push(w http.ResponseWriter, r *http.Request) {
	tenant, ok := f.tenant(w, r)
	if !ok {
		return
	}
	packed, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.replies) > 0 {
		next := f.replies[0]
		f.replies = f.replies[1:]
		maps.Copy(w.Header(), next.header)
		http.Error(w, next.text, next.status)
		return
	}
	two := strings.Contains(r.Header.Get("Content-Type"), "io.prometheus.write.v2.Request")
	if two && !f.newest && f.old415 {
		http.Error(w, "remote write 2.0 is not supported", http.StatusUnsupportedMediaType)
		return
	}
	samples, err := decoded(packed, two && f.newest)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	refused := f.take(tenant, samples)
	if two && f.newest {
		w.Header().Set("X-Prometheus-Remote-Write-Samples-Written", strconv.Itoa(len(samples)-refused))
	}
	switch {
	case refused > 0 && f.kind == remote.Thanos:
		http.Error(w, "add 1 samples: out of bounds", http.StatusConflict)
		return
	case refused > 0:
		http.Error(w, "the sample has been rejected because its timestamp is too old (err-mimir-sample-timestamp-too-old)", http.StatusBadRequest)
		return
	}
	f.versions[r.Header.Get("X-Prometheus-Remote-Write-Version")]++
}

// decoded takes a request apart. One of 2.0 that is taken for 1.0 has no series.
func decoded(packed []byte, two bool) ([]sample, error) {
	plain, err := snappy.Decode(nil, packed)
	if err != nil {
		return nil, err
	}
	var out []sample
	if two {
		var body writev2.Request
		if err := body.Unmarshal(plain); err != nil {
			return nil, err
		}
		b := labels.NewScratchBuilder(8)
		for _, s := range body.Timeseries {
			l, err := s.ToLabels(&b, body.Symbols)
			if err != nil {
				return nil, err
			}
			for _, p := range s.Samples {
				out = append(out, sample{l.String(), p.Timestamp, p.Value})
			}
		}
		return out, nil
	}
	var body prompb.WriteRequest
	if err := body.Unmarshal(plain); err != nil {
		return nil, err
	}
	for _, s := range body.Timeseries {
		l := labels.NewScratchBuilder(8)
		for _, one := range s.Labels {
			l.Add(one.Name, one.Value)
		}
		for _, p := range s.Samples {
			out = append(out, sample{l.Labels().String(), p.Timestamp, p.Value})
		}
	}
	return out, nil
}

// take keeps what is not too old, also where the request as a whole is refused then, as Mimir and Thanos do.
func (f *fake) take(tenant string, samples []sample) (refused int) {
	kept := f.tenants[tenant]
	if kept == nil {
		kept = make(map[string]map[int64]float64)
		f.tenants[tenant] = kept
	}
	for _, s := range samples {
		newest := int64(math.MinInt64)
		for at := range kept[s.series] {
			newest = max(newest, at)
		}
		before, there := kept[s.series][s.at]
		same := there && (before == s.v || value.IsStaleNaN(before) && value.IsStaleNaN(s.v))
		if there && !same || !there && f.window > 0 && len(kept[s.series]) > 0 && s.at < newest-f.window.Milliseconds() {
			refused++
			continue
		}
		if kept[s.series] == nil {
			kept[s.series] = make(map[int64]float64)
		}
		kept[s.series][s.at] = s.v
	}
	return refused
}

// found are the samples of the series that fit, between two times.
func (f *fake) found(tenant string, matchers []*labels.Matcher, from, to int64) []prompb.TimeSeries {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []prompb.TimeSeries
	p := parser.NewParser(parser.Options{})
	for text, points := range f.tenants[tenant] {
		l, err := p.ParseMetric(text)
		if err != nil || !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return true }) ||
			slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(l.Get(m.Name)) }) {
			continue
		}
		s := prompb.TimeSeries{Labels: prompb.FromLabels(l, nil)}
		for _, at := range slices.Sorted(maps.Keys(points)) {
			if at >= from && at <= to {
				s.Samples = append(s.Samples, prompb.Sample{Timestamp: at, Value: points[at]})
			}
		}
		if len(s.Samples) > 0 {
			out = append(out, s)
		}
	}
	return out
}

// read is remote read, answered in one piece.
func (f *fake) read(w http.ResponseWriter, r *http.Request) {
	tenant, ok := f.tenant(w, r)
	if !ok {
		return
	}
	packed, err := io.ReadAll(r.Body)
	plain, snappyErr := snappy.Decode(nil, packed)
	var body prompb.ReadRequest
	if err != nil || snappyErr != nil || body.Unmarshal(plain) != nil {
		http.Error(w, "want a read request", http.StatusBadRequest)
		return
	}
	var out prompb.ReadResponse
	for _, q := range body.Queries {
		var matchers []*labels.Matcher
		for _, m := range q.Matchers {
			kind := map[prompb.LabelMatcher_Type]labels.MatchType{
				prompb.LabelMatcher_EQ: labels.MatchEqual, prompb.LabelMatcher_NEQ: labels.MatchNotEqual,
				prompb.LabelMatcher_RE: labels.MatchRegexp, prompb.LabelMatcher_NRE: labels.MatchNotRegexp,
			}[m.Type]
			matchers = append(matchers, labels.MustNewMatcher(kind, m.Name, m.Value))
		}
		result := &prompb.QueryResult{}
		for _, s := range f.found(tenant, matchers, q.StartTimestampMs, q.EndTimestampMs) {
			result.Timeseries = append(result.Timeseries, &s)
		}
		out.Results = append(out.Results, result)
	}
	text, err := out.Marshal()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
	w.Header().Set("Content-Encoding", "snappy")
	_, _ = w.Write(snappy.Encode(nil, text))
}

// query answers a range selector, as PromQL does: without stale markers.
func (f *fake) query(w http.ResponseWriter, r *http.Request) {
	tenant, ok := f.tenant(w, r)
	if !ok {
		return
	}
	f.mu.Lock()
	f.asked = append(f.asked, r.FormValue("query")+" partial_response="+r.FormValue("partial_response")+" max_source_resolution="+r.FormValue("max_source_resolution"))
	f.mu.Unlock()
	expr, err := parser.NewParser(parser.Options{}).ParseExpr(r.FormValue("query"))
	selector, isRange := expr.(*parser.MatrixSelector)
	seconds, timeErr := strconv.ParseFloat(r.FormValue("time"), 64)
	if err != nil || timeErr != nil || !isRange {
		http.Error(w, `{"status":"error","errorType":"bad_data","error":"want a range selector"}`, http.StatusBadRequest)
		return
	}
	inner, _ := selector.VectorSelector.(*parser.VectorSelector)
	to := int64(math.Round(seconds * 1000))
	result := []map[string]any{}
	for _, s := range f.found(tenant, inner.LabelMatchers, to-selector.Range.Milliseconds()+1, to) {
		var values [][2]any
		for _, p := range s.Samples {
			if !value.IsStaleNaN(p.Value) {
				values = append(values, [2]any{float64(p.Timestamp) / 1000, fmt.Sprint(p.Value)})
			}
		}
		metric := make(map[string]string)
		for _, l := range s.Labels {
			metric[l.Name] = l.Value
		}
		result = append(result, map[string]any{"metric": metric, "values": values})
	}
	text, err := json.Marshal(map[string]any{"status": "success", "data": map[string]any{"resultType": "matrix", "result": result}})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = w.Write(text)
}

// held counts what a tenant has.
func (f *fake) held(tenant string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, points := range f.tenants[tenant] {
		n += len(points)
	}
	return n
}
