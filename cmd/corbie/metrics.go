package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"corbie/master/poll"
)

// pollCollector shows the poller's counters as metrics.
type pollCollector struct {
	poller *poll.Poller
	failed *prometheus.Desc
	plain  []plainMetric
}

type plainMetric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*poll.Stats) float64
}

func newPollCollector(p *poll.Poller) *pollCollector {
	c := &pollCollector{poller: p, failed: prometheus.NewDesc("corbie_polls_failed_total",
		"Sessions that were given up, by reason.", []string{"reason"}, nil)}
	add := func(name, help string, kind prometheus.ValueType, value func(*poll.Stats) float64) {
		c.plain = append(c.plain, plainMetric{prometheus.NewDesc(name, help, nil, nil), kind, value})
	}
	counter, gauge := prometheus.CounterValue, prometheus.GaugeValue
	add("corbie_hosts", "Hosts that are polled.", gauge, func(s *poll.Stats) float64 { return float64(s.Hosts) })
	add("corbie_sessions", "Sessions in progress.", gauge, func(s *poll.Stats) float64 { return float64(s.Running) })
	add("corbie_polls_total", "Sessions that ended.", counter, func(s *poll.Stats) float64 { return float64(s.Polls) })
	add("corbie_polls_late_total", "Slots that passed because the session before took too long.", counter,
		func(s *poll.Stats) float64 { return float64(s.Late) })
	add("corbie_received_bytes_total", "Bytes received from nodes.", counter, func(s *poll.Stats) float64 { return float64(s.Bytes) })
	add("corbie_values_total", "Values that were stored.", counter, func(s *poll.Stats) float64 { return float64(s.Values) })
	add("corbie_values_lost_total", "Values that could not be stored.", counter, func(s *poll.Stats) float64 { return float64(s.Lost) })
	add("corbie_faults_total", "Pieces of answers that could not be used.", counter, func(s *poll.Stats) float64 { return float64(s.Faults) })
	return c
}

// Describe implements prometheus.Collector.
func (c *pollCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.failed
	for _, m := range c.plain {
		ch <- m.desc
	}
}

// Collect implements prometheus.Collector.
func (c *pollCollector) Collect(ch chan<- prometheus.Metric) {
	stats := c.poller.Stats()
	for reason, n := range stats.Failed {
		ch <- prometheus.MustNewConstMetric(c.failed, prometheus.CounterValue, float64(n), reason)
	}
	for _, m := range c.plain {
		ch <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value(&stats))
	}
}

// rejectCollector shows how many samples the store refused, by reason.
type rejectCollector struct {
	samples *samples
	desc    *prometheus.Desc
	stopped *prometheus.Desc
}

func newRejectCollector(s *samples) *rejectCollector {
	return &rejectCollector{
		samples: s, desc: prometheus.NewDesc("corbie_samples_refused_total",
			"Samples that were refused, by reason; 'corbie hosts' shows whose clock is wrong.", []string{"reason"}, nil),
		stopped: prometheus.NewDesc("corbie_storing_stopped",
			"1 while samples cannot be stored, as on a full disk.", nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *rejectCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.desc
	ch <- c.stopped
}

// Collect implements prometheus.Collector.
func (c *rejectCollector) Collect(ch chan<- prometheus.Metric) {
	stopped := 0.0
	if !c.samples.StoppedSince().IsZero() {
		stopped = 1
	}
	ch <- prometheus.MustNewConstMetric(c.stopped, prometheus.GaugeValue, stopped)
	byReason := make(map[string]float64)
	for _, r := range c.samples.Rejected() {
		byReason[string(r.Reason)] += float64(r.Count)
	}
	for reason, n := range byReason {
		ch <- prometheus.MustNewConstMetric(c.desc, prometheus.CounterValue, n, reason)
	}
}
