package route

import "github.com/prometheus/client_golang/prometheus"

// metrics counts deliveries.
type metrics struct {
	attempts *prometheus.CounterVec
	failures *prometheus.CounterVec
}

func newMetrics(registerer prometheus.Registerer) *metrics {
	labels := []string{"receiver", "way"}
	m := &metrics{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "corbie_notices_attempts_total", Help: "Attempts to deliver a notice.",
		}, labels),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "corbie_notices_failures_total", Help: "Attempts to deliver a notice that failed.",
		}, labels),
	}
	registerer.MustRegister(m.attempts, m.failures)
	return m
}

func (m *metrics) attempt(t *target, err error) {
	m.attempts.WithLabelValues(t.receiver, t.way).Inc()
	if err != nil {
		m.failures.WithLabelValues(t.receiver, t.way).Inc()
	}
}
