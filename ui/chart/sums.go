package chart

import (
	"strings"
	"time"
)

// periodFactor turns a rate per second into what is shown: per graph_period, or what it adds up to in Request.Sum.
func (b *builder) periodFactor() float64 {
	if b.req.Sum > 0 {
		return b.req.Sum.Seconds()
	}
	return b.req.Graph.PeriodFactor()
}

// nameSum says in title and unit that rates are shown as sums, and makes the axis as much longer as those are larger.
func (b *builder) nameSum() {
	if b.req.Sum <= 0 {
		return
	}
	g, m := b.req.Graph, b.model
	word, label := "hour", g.Extra["graph_vlabel_sum_week"]
	if b.req.Sum >= 24*time.Hour {
		word, label = "day", g.Extra["graph_vlabel_sum_year"]
	}
	m.Title += ", sums by the " + word
	switch {
	case strings.Contains(g.VLabel, "${graph_period}"):
		m.Unit = strings.ReplaceAll(g.VLabel, "${graph_period}", word)
	case label != "":
		m.Unit = label
	case m.Unit == "":
		m.Unit = "per " + word
	default:
		m.Unit += ", summed by the " + word
	}
	larger := b.req.Sum.Seconds() / g.PeriodFactor()
	m.limits.low *= larger
	m.limits.high *= larger
	m.limits.exponent, m.limits.hasExponent = 0, false
}
