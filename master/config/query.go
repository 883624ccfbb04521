package config

import "time"

// Query limits what may be asked by PromQL; zeros take their defaults.
type Query struct {
	MaxSamples  int           // that one query may hold in memory
	Timeout     time.Duration // of one query
	Concurrency int           // queries at the same time
	MaxBody     int64         // bytes of a request
	MaxSeries   int           // that one question for series or labels may give
}

const (
	defaultQuerySamples     = 50_000_000
	defaultQueryTimeout     = 2 * time.Minute
	defaultQueryConcurrency = 20
	defaultQueryBody        = 1 << 20
	defaultQuerySeries      = 100_000
	minQueryBody            = 1 << 20
)

func defaultQuery() Query {
	return Query{
		MaxSamples: defaultQuerySamples, Timeout: defaultQueryTimeout, Concurrency: defaultQueryConcurrency,
		MaxBody: defaultQueryBody, MaxSeries: defaultQuerySeries,
	}
}

func (r *reader) query(n *node, q *Query) {
	const most = 2_000_000_000
	r.mapping(n, "query", map[string]func(*node){
		"max_samples": func(n *node) { q.MaxSamples = r.count(n, 1000, most) },
		"max_series":  func(n *node) { q.MaxSeries = r.count(n, 100, most) },
		"concurrency": func(n *node) { q.Concurrency = r.count(n, 1, 10_000) },
		"timeout":     func(n *node) { q.Timeout = r.duration(n, time.Second, time.Hour) },
		"max_body":    func(n *node) { q.MaxBody = max(r.bytes(n, minQueryBody), minQueryBody) },
	})
}
