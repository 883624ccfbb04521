// Package promapi answers Prometheus' HTTP API, with Prometheus' own engine, from the samples that Corbie keeps: Grafana and promtool take it
// for a Prometheus. Nothing can be written or administered through it.
package promapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

// Limits of queries, so that nobody's dashboard ends the master. A zero takes its default.
type Limits struct {
	MaxSamples  int           // that one query may hold in memory, 16 bytes each; default 50 million
	Timeout     time.Duration // of one query; default 2 minutes
	Concurrency int           // queries at the same time; others wait up to Timeout; default 20
	MaxBody     int64         // of a request; default 1 MB
	MaxSeries   int           // that one question for series or labels may give; default 100,000
}

func (l Limits) withDefaults() Limits {
	set := func(v *int, to int) {
		if *v <= 0 {
			*v = to
		}
	}
	set(&l.MaxSamples, 50_000_000)
	set(&l.Concurrency, 20)
	set(&l.MaxSeries, 100_000)
	if l.Timeout <= 0 {
		l.Timeout = 2 * time.Minute
	}
	if l.MaxBody <= 0 {
		l.MaxBody = 1 << 20
	}
	return l
}

// Querier reads samples by labels. It is Prometheus' own interface.
type Querier = storage.Querier

// Open opens a Querier over a range of times in Unix milliseconds, both inclusive. It is a consumer contract: it models storage.Samples and remote.Store.
type Open func(mint, maxt int64) (Querier, error)

// Metadata is what is known of a metric.
type Metadata struct {
	Type string `json:"type"` // gauge or counter; unknown where fields differ
	Help string `json:"help"`
	Unit string `json:"unit"`
}

// Options of an API. Open is needed.
type Options struct {
	Open   Open
	Limits Limits
	// Interval is the usual time between two samples: a value is good for two and a half of them.
	Interval time.Duration
	// Metadata lists what is known of metrics, by name; may be nil. As in Rules and Alerts, groups are those whose hosts may be seen; none are all.
	Metadata func(ctx context.Context, groups []string) (map[string]Metadata, error)
	// Rules answers /rules and Alerts /alerts, with what is there in Prometheus' form; nil: there are no rules.
	Rules      func(asked url.Values, groups []string) any
	Alerts     func(groups []string) any
	Version    string
	Logger     *slog.Logger          // nil drops it
	Registerer prometheus.Registerer // may be nil
}

// API answers for /api/v1/ and /federate.
type API struct {
	opts    Options
	limits  Limits
	log     *slog.Logger
	engine  *promql.Engine
	parser  parser.Parser
	handler http.Handler
	slots   chan struct{}
	began   time.Time
	groups  []string // whose hosts may be seen; empty: all
}

// queryable is what Open opens, in the form that Prometheus wants it.
type queryable struct{ open Open }

func (q queryable) Querier(mint, maxt int64) (storage.Querier, error) { return q.open(mint, maxt) }

func (q queryable) ChunkQuerier(int64, int64) (storage.ChunkQuerier, error) {
	return nil, errors.New("chunks are not served")
}

const (
	leastLookback = 5 * time.Minute
	prefix        = "/api/v1"
)

// New makes the engine and the routes; it starts nothing.
func New(opts Options) (*API, error) {
	if opts.Open == nil {
		return nil, errors.New("promapi: samples are needed")
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Registerer == nil {
		opts.Registerer = prometheus.NewRegistry()
	}
	a := &API{opts: opts, limits: opts.Limits.withDefaults(), log: opts.Logger, parser: parser.NewParser(parser.Options{}), began: time.Now()}
	a.slots = make(chan struct{}, a.limits.Concurrency)
	a.engine = promql.NewEngine(promql.EngineOpts{
		Logger: a.log, Reg: opts.Registerer, MaxSamples: a.limits.MaxSamples, Timeout: a.limits.Timeout,
		LookbackDelta: a.lookback(), EnableAtModifier: true, EnableNegativeOffset: true, Parser: a.parser,
		NoStepSubqueryIntervalFn: func(int64) int64 { return max(opts.Interval, time.Minute).Milliseconds() },
	})
	a.handler = a.routes()
	return a, nil
}

// lookback is how long a value is good for.
func (a *API) lookback() time.Duration { return max(leastLookback, a.opts.Interval*5/2) }

// promVersion is the version of Prometheus whose API this is: Grafana goes by it.
const promVersion = "3.15.0"

// answer is a handler that gives the data of an answer.
type answer func(r *http.Request) (data any, notes annotations.Annotations, err error)

func (a *API) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/federate", a.limited(a.federate))
	for path, h := range map[string]answer{
		"/query": a.query, "/query_range": a.queryRange, "/format_query": a.formatQuery, "/query_exemplars": a.exemplars,
		"/labels": a.labelNames, "/series": a.series,
	} {
		mux.HandleFunc("GET "+prefix+path, a.limited(a.serve(h)))
		mux.HandleFunc("POST "+prefix+path, a.limited(a.serve(h)))
	}
	for path, h := range map[string]answer{
		"/label/{name}/values": a.labelValues, "/metadata": a.metadata, "/status/buildinfo": a.buildInfo, "/rules": a.rules, "/alerts": a.alerts,
		"/status/runtimeinfo": a.runtimeInfo, "/status/flags": a.flags, "/targets": a.targets, "/alertmanagers": a.alertmanagers,
	} {
		mux.HandleFunc("GET "+prefix+path, a.limited(a.serve(h)))
	}
	mux.HandleFunc(prefix+"/", func(w http.ResponseWriter, r *http.Request) {
		writeError(w, http.StatusNotFound, "not_found", fmt.Sprintf("%s %s is not served: samples, labels, rules and alerts can be asked for, nothing else; pages show the rest", r.Method, r.URL.Path))
	})
	return mux
}

// limited bounds the body of a request and how many are answered at the same time.
func (a *API) limited(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, a.limits.MaxBody)
		if err := r.ParseForm(); err != nil {
			writeError(w, http.StatusBadRequest, "bad_data", "the request cannot be read: "+err.Error())
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), a.limits.Timeout)
		defer cancel()
		select {
		case a.slots <- struct{}{}:
			defer func() { <-a.slots }()
		case <-ctx.Done():
			writeError(w, http.StatusServiceUnavailable, "timeout",
				fmt.Sprintf("%d queries are under way, and none has ended within %s: ask for less, or raise query.concurrency", a.limits.Concurrency, a.limits.Timeout))
			return
		}
		next(w, r.WithContext(ctx))
	}
}

// ServeHTTP answers one request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.handler.ServeHTTP(w, r) }
