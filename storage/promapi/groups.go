package promapi

import (
	"context"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"

	"corbie/storage/series"
)

// For answers for somebody who sees the hosts of some groups only, and of the groups below them; no groups are all. Series of other hosts are not there: each
// selector of a query, and each question for series, labels or their values, gets one more matcher. It is added where samples are read and not in
// the text of the query, so that nothing in a query leads past it. Series without a group, as a rule may record them, are not there either.
func (a *API) For(groups []string) http.Handler {
	if len(groups) == 0 {
		return a
	}
	limited := *a
	limited.groups = groups
	open, only := a.opts.Open, inGroups(groups)
	limited.opts.Open = func(mint, maxt int64) (Querier, error) {
		q, err := open(mint, maxt)
		if err != nil {
			return nil, err
		}
		return &limitedQuerier{q, only}, nil
	}
	limited.handler = limited.routes()
	return &limited
}

// nothing is a pattern that nothing fits, not even the empty group of hosts without one.
const nothing = `[^\x00-\x{10FFFF}]`

// inGroups fits what munin.InGroups says is in a group or below.
func inGroups(groups []string) *labels.Matcher {
	quoted := []string{nothing}
	for _, g := range groups {
		if g != "" {
			quoted = append(quoted, regexp.QuoteMeta(strings.ToValidUTF8(g, "\uFFFD")))
		}
	}
	return labels.MustNewMatcher(labels.MatchRegexp, series.LabelGroup, "(?:"+strings.Join(quoted, "|")+")(?:;.*)?")
}

// limitedQuerier asks for one thing more in each question.
type limitedQuerier struct {
	Querier

	only *labels.Matcher
}

// Select finds what fits and may be seen.
func (q *limitedQuerier) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	return q.Querier.Select(ctx, sorted, hints, q.with(matchers)...)
}

// LabelValues lists the values that series have which may be seen.
func (q *limitedQuerier) LabelValues(ctx context.Context, name string, hints *storage.LabelHints, matchers ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return q.Querier.LabelValues(ctx, name, hints, q.with(matchers)...)
}

// LabelNames lists the names that series have which may be seen.
func (q *limitedQuerier) LabelNames(ctx context.Context, hints *storage.LabelHints, matchers ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return q.Querier.LabelNames(ctx, hints, q.with(matchers)...)
}

func (q *limitedQuerier) with(matchers []*labels.Matcher) []*labels.Matcher {
	return append(slices.Clone(matchers), q.only)
}
