package promapi

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/annotations"
	"google.golang.org/protobuf/proto"

	"corbie/munin"
)

// badDataError says that what was asked cannot be.
type badDataError struct{ err error }

func (e badDataError) Error() string { return e.err.Error() }
func (e badDataError) Unwrap() error { return e.err }

func badData(format string, args ...any) error { return badDataError{fmt.Errorf(format, args...)} }

// body is an answer in the form of the API.
type body struct {
	Status    string   `json:"status"`
	Data      any      `json:"data,omitempty"`
	ErrorType string   `json:"errorType,omitempty"`
	Error     string   `json:"error,omitempty"`
	Warnings  []string `json:"warnings,omitempty"`
	Infos     []string `json:"infos,omitempty"`
}

// serve makes a handler of an answer.
func (a *API) serve(h answer) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		data, notes, err := h(r)
		if err != nil {
			a.fail(w, r, err)
			return
		}
		b := body{Status: "success", Data: data}
		b.Warnings, b.Infos = notes.AsStrings(r.FormValue("query"), 10, 10)
		writeJSON(w, http.StatusOK, b)
	}
}

// fail says what went wrong, with the words and the status that Prometheus has for it.
func (a *API) fail(w http.ResponseWriter, r *http.Request, err error) {
	var (
		bad      badDataError
		timeout  promql.ErrQueryTimeout
		canceled promql.ErrQueryCanceled
		tooMany  promql.ErrTooManySamples
		stored   promql.ErrStorage
	)
	status, kind := http.StatusUnprocessableEntity, "execution"
	switch {
	case errors.As(err, &bad):
		status, kind = http.StatusBadRequest, "bad_data"
	case errors.Is(err, munin.ErrTooMuch): // said to who asks, and worth no line in the log
	case errors.Is(err, munin.ErrAway):
		status, kind = http.StatusServiceUnavailable, "unavailable"
	case errors.As(err, &timeout), errors.Is(err, context.DeadlineExceeded):
		status, kind = http.StatusServiceUnavailable, "timeout"
	case errors.As(err, &canceled), errors.Is(err, context.Canceled):
		status, kind = 499, "canceled"
	case errors.As(err, &tooMany):
		err = fmt.Errorf("%w: ask for fewer series or a longer step, or raise max_samples of query in corbie.yml", err)
	case errors.As(err, &stored):
		status, kind = http.StatusInternalServerError, "internal"
		a.log.ErrorContext(r.Context(), "a query in PromQL failed", "err", err)
	}
	writeError(w, status, kind, err.Error())
}

// writeError answers in the form of the API.
func writeError(w http.ResponseWriter, status int, kind, text string) {
	writeJSON(w, status, body{Status: "error", ErrorType: kind, Error: text})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(text) // who has gone cannot be told
}

// buildInfo is what Grafana goes by.
func (a *API) buildInfo(*http.Request) (any, annotations.Annotations, error) {
	return map[string]string{
		"version": promVersion, "revision": "corbie " + a.opts.Version, "branch": "", "buildUser": "", "buildDate": "", "goVersion": runtime.Version(),
	}, nil, nil
}

// runtimeInfo answers /api/v1/status/runtimeinfo with what there is of it here.
func (a *API) runtimeInfo(*http.Request) (any, annotations.Annotations, error) {
	return map[string]any{
		"startTime": a.began.UTC(), "serverTime": time.Now().UTC(), "reloadConfigSuccess": true, "goroutineCount": runtime.NumGoroutine(),
		"GOMAXPROCS": runtime.GOMAXPROCS(0), "corruptionCount": 0,
	}, nil, nil
}

// flags answers /api/v1/status/flags with the limits of queries, under Prometheus' names.
func (a *API) flags(*http.Request) (any, annotations.Annotations, error) {
	return map[string]string{
		"query.lookback-delta": a.lookback().String(), "query.max-concurrency": strconv.Itoa(a.limits.Concurrency),
		"query.max-samples": strconv.Itoa(a.limits.MaxSamples), "query.timeout": a.limits.Timeout.String(),
	}, nil, nil
}

// targets answers /api/v1/targets: nothing is scraped here.
func (a *API) targets(*http.Request) (any, annotations.Annotations, error) {
	return map[string]any{"activeTargets": []string{}, "droppedTargets": []string{}, "droppedTargetCounts": map[string]int{}}, nil, nil
}

// alertmanagers answers /api/v1/alertmanagers: Corbie is its own.
func (a *API) alertmanagers(*http.Request) (any, annotations.Annotations, error) {
	return map[string]any{"activeAlertmanagers": []string{}, "droppedAlertmanagers": []string{}}, nil, nil
}

// rules answers /api/v1/rules.
func (a *API) rules(r *http.Request) (any, annotations.Annotations, error) {
	if a.opts.Rules == nil {
		return map[string]any{"groups": []string{}}, nil, nil
	}
	return a.opts.Rules(r.Form, a.groups), nil, nil
}

// alerts answers /api/v1/alerts.
func (a *API) alerts(*http.Request) (any, annotations.Annotations, error) {
	if a.opts.Alerts == nil {
		return map[string]any{"alerts": []string{}}, nil, nil
	}
	return a.opts.Alerts(a.groups), nil, nil
}

// metadata answers what is known of metrics: /api/v1/metadata?metric=&limit=.
func (a *API) metadata(r *http.Request) (any, annotations.Annotations, error) {
	known := map[string]Metadata{}
	if a.opts.Metadata != nil {
		var err error
		if known, err = a.opts.Metadata(r.Context(), a.groups); err != nil {
			return nil, nil, promql.ErrStorage{Err: err}
		}
	}
	limit := len(known)
	if n, err := strconv.Atoi(r.FormValue("limit")); err == nil && n >= 0 {
		limit = min(n, limit)
	}
	out := make(map[string][]Metadata)
	for name, m := range known {
		if metric := r.FormValue("metric"); (metric == "" || metric == name) && len(out) < limit {
			out[name] = []Metadata{m}
		}
	}
	return out, nil, nil
}

// federate gives the newest value of each series that match[] asks for, for another Prometheus to scrape.
func (a *API) federate(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	families, err := a.newest(r, now)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	format := expfmt.NegotiateAccept(r.Header, expfmt.DefaultAcceptedFormats()...)
	w.Header().Set("Content-Type", string(format))
	encoder := expfmt.NewEncoder(w, format)
	for _, f := range families {
		if err := encoder.Encode(f); err != nil {
			return // who has gone cannot be told
		}
	}
}

// newest finds the newest values that are still good.
func (a *API) newest(r *http.Request, now time.Time) ([]*dto.MetricFamily, error) {
	selectors, err := a.parser.ParseMetricSelectors(r.Form["match[]"])
	if err != nil {
		return nil, fmt.Errorf("match[]: %w", err)
	}
	if len(selectors) == 0 {
		return nil, fmt.Errorf("say what is wanted: /federate?match[]={host=%q}", "www1")
	}
	from, to := now.Add(-a.lookback()).UnixMilli(), now.UnixMilli()
	q, err := a.opts.Open(from, to)
	if err != nil {
		return nil, err
	}
	defer q.Close()
	families := make(map[string]*dto.MetricFamily)
	seen := make(map[uint64]bool)
	for _, matchers := range selectors {
		set := q.Select(r.Context(), false, &storage.SelectHints{Start: from, End: to}, matchers...)
		var it chunkenc.Iterator
		for set.Next() {
			l := set.At().Labels()
			if it = set.At().Iterator(it); seen[l.Hash()] {
				continue
			}
			seen[l.Hash()] = true
			if metric := newestOf(l, it); metric != nil {
				name := l.Get(model.MetricNameLabel)
				if families[name] == nil {
					families[name] = &dto.MetricFamily{Name: proto.String(name), Type: dto.MetricType_UNTYPED.Enum()}
				}
				families[name].Metric = append(families[name].Metric, metric)
			}
		}
		if err := set.Err(); err != nil {
			return nil, err
		}
	}
	out := make([]*dto.MetricFamily, 0, len(families))
	for _, f := range families {
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b *dto.MetricFamily) int { return cmp.Compare(a.GetName(), b.GetName()) })
	return out, nil
}

// newestOf is the last value of a series; nil when that is unknown.
func newestOf(l labels.Labels, it chunkenc.Iterator) *dto.Metric {
	at, v, found := int64(0), 0.0, false
	for it.Next() == chunkenc.ValFloat {
		at, v = it.At()
		found = true
	}
	if !found || value.IsStaleNaN(v) || it.Err() != nil {
		return nil
	}
	m := &dto.Metric{TimestampMs: proto.Int64(at), Untyped: &dto.Untyped{Value: proto.Float64(v)}}
	l.Range(func(one labels.Label) {
		if one.Name != model.MetricNameLabel {
			m.Label = append(m.Label, &dto.LabelPair{Name: proto.String(one.Name), Value: proto.String(one.Value)})
		}
	})
	return m
}
