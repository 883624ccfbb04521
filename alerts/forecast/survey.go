package forecast

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"strings"
	"time"

	"corbie/munin"
)

// Catalog is what Survey needs to know of hosts and graphs. It models the reading side of the catalogue.
type Catalog interface {
	Hosts(ctx context.Context) ([]munin.Host, error)
	Graphs(ctx context.Context, host munin.HostID) ([]munin.Graph, error)
}

// Samples gives the daily history of fields. It models the range query of the store: one Series for each
// source, in the same order, in steps that may begin before the range.
type Samples interface {
	Query(ctx context.Context, sources []munin.Source, r munin.Range, step time.Duration) ([]munin.Series, error)
}

// querySources is how many series are asked for at once, which bounds the memory that an answer takes.
const querySources = 50

// candidate is a field with a ceiling, before its history is read.
type candidate struct {
	source  munin.Source
	limit   limit
	finding munin.Finding
	values  []float64 // daily, of complete days
}

// Survey forecasts every field with a ceiling of every host that is not archived, and ranks them: what is full,
// then by the chance of being full within 30 days, then by date. What cannot be read becomes a finding that
// says so. It fails when the hosts cannot be listed or when ctx ends, with what was found until then.
func Survey(ctx context.Context, catalog Catalog, samples Samples, now time.Time) (munin.Report, error) {
	report := munin.Report{Name: "capacity", At: now, Horizon: HorizonDays * day}
	hosts, err := catalog.Hosts(ctx)
	if err != nil {
		return report, fmt.Errorf("capacity: list the hosts: %w", err)
	}
	for i := range hosts {
		if hosts[i].Archived {
			continue
		}
		if err := ctx.Err(); err != nil {
			return report, fmt.Errorf("capacity: %w", err)
		}
		graphs, err := catalog.Graphs(ctx, hosts[i].ID)
		if err != nil {
			report.Findings = append(report.Findings, munin.Finding{
				ID: munin.SeriesID{Host: hosts[i].ID}, Title: "all graphs", Used: math.NaN(), Ceiling: math.NaN(),
				Verdict: munin.TooLittleData, GrowthPerDay: math.NaN(), Note: "the graphs could not be read: " + err.Error(),
			})
			continue
		}
		for j := range graphs {
			report.Findings = append(report.Findings, surveyGraph(ctx, samples, &hosts[i], &graphs[j], now)...)
		}
	}
	if err := ctx.Err(); err != nil {
		return report, fmt.Errorf("capacity: %w", err)
	}
	slices.SortStableFunc(report.Findings, compareUrgency)
	return report, nil
}

func surveyGraph(ctx context.Context, samples Samples, host *munin.Host, g *munin.Graph, now time.Time) []munin.Finding {
	var all []*candidate
	for i := range g.Fields {
		f := &g.Fields[i]
		top, ok := ceilingOf(g, f)
		if !ok {
			continue
		}
		source := g.Source(host.ID, f, host.Interval)
		all = append(all, &candidate{
			source: source, limit: top,
			finding: munin.Finding{
				ID: source.ID, Title: g.Title, Label: f.Label, Unit: g.Unit(), Base: g.Base(),
				Used: math.NaN(), Ceiling: top.ceiling, Note: top.note,
			},
		})
	}
	var kept []*candidate
	for part := range slices.Chunk(all, querySources) {
		readAll(ctx, samples, part, now)
		for _, c := range part {
			if c.uninteresting() || c.repeats(kept) {
				continue
			}
			kept = append(kept, c)
		}
	}
	findings := make([]munin.Finding, len(kept))
	for i, c := range kept {
		findings[i] = c.finding
	}
	return findings
}

// readAll reads the histories and judges them; when that fails for all at once, each one by itself.
func readAll(ctx context.Context, samples Samples, part []*candidate, now time.Time) {
	sources := make([]munin.Source, len(part))
	for i, c := range part {
		sources[i] = c.source
	}
	span := munin.Range{From: now.Add(-HistoryDays * day), To: now}
	series, err := samples.Query(ctx, sources, span, day)
	if err == nil && len(series) != len(part) {
		err = fmt.Errorf("%d series were asked for, %d came", len(part), len(series))
	}
	switch {
	case err == nil:
		for i, c := range part {
			c.judge(&series[i], now)
		}
	case len(part) > 1 && ctx.Err() == nil:
		for i := range part {
			readAll(ctx, samples, part[i:i+1], now)
		}
	default:
		for _, c := range part {
			c.finding.Verdict, c.finding.GrowthPerDay = munin.TooLittleData, math.NaN()
			c.finding.Note = "the history could not be read: " + err.Error()
		}
	}
}

// judge fills in the finding from a field's daily history.
func (c *candidate) judge(s *munin.Series, now time.Time) {
	h, end := daily(s, now)
	f := &c.finding
	c.values = h.Values
	f.Used = h.Latest
	for i := len(h.Values) - 1; i >= 0 && math.IsNaN(f.Used); i-- {
		f.Used = h.Values[i]
	}
	f.Days, f.Missing = h.Count()
	f.GrowthPerDay = math.NaN()
	if h.Enough() {
		random := fnv.New64a()
		_, _ = random.Write([]byte(f.ID.String())) // a hash takes everything
		out := Look(h, f.Ceiling, random.Sum64())
		date := func(days int) time.Time {
			if days == 0 {
				return time.Time{}
			}
			return end.Add(time.Duration(days)*day - day/2)
		}
		f.Full10, f.Full50, f.Full90 = date(out.Full10), date(out.Full50), date(out.Full90)
		f.Chance30, f.GrowthPerDay = out.Chance(30), out.GrowthPerDay
		f.Verdict = verdict(&out)
		f.Note = joinNotes(f.Note, stepNote(&out, f, end))
	} else {
		f.Verdict = munin.TooLittleData
		f.Note = joinNotes(f.Note, tooLittle(h, end, f.Days))
	}
	if f.Used >= f.Ceiling {
		f.Verdict, f.Chance30 = munin.Full, 1
		f.Full10, f.Full50, f.Full90 = now, now, now
	}
}

func verdict(o *Outlook) munin.Verdict {
	switch {
	case o.Full50 > 0:
		return munin.Filling
	case o.Full10 > 0:
		return munin.MayFill
	}
	return munin.NotInSight
}

// daily takes the complete days out of a series, by their highest values, and says when the last of them ended.
func daily(s *munin.Series, now time.Time) (h History, end time.Time) {
	h.Latest, end = math.NaN(), s.Start
	for _, b := range s.Buckets {
		if end.Add(s.Step).After(now) {
			break
		}
		end = end.Add(s.Step)
		v := b.Max
		if b.Count == 0 || math.IsInf(v, 0) {
			v = math.NaN()
		}
		h.Values = append(h.Values, v)
	}
	if !math.IsNaN(s.Last.V) && now.Sub(s.Last.Time()) < day {
		h.Latest = s.Last.V
	}
	return h, end
}

func tooLittle(h History, end time.Time, known int) string {
	values, elapsed := h.trim()
	switch {
	case known == 0:
		return "no complete day with data yet; a forecast needs " + count(MinDays, "day")
	case elapsed > maxElapsed:
		return "no data since " + end.Add(-time.Duration(elapsed)*day-day/2).Format(time.DateOnly)
	case known < MinDays:
		from := end.Add(time.Duration(MinDays-known) * day)
		return count(known, "day") + " with data; a forecast needs " + count(MinDays, "day") +
			" and can be there from " + from.Format(time.DateOnly) + " on"
	}
	return "too many gaps: only " + count(pairs(values), "day") + " of " + count(len(values), "day") +
		" have data on the day before as well; a forecast needs " + count(blockDays, "day")
}

// stepNote names the jumps that were not taken to go on, where they are worth a word.
func stepNote(o *Outlook, f *munin.Finding, end time.Time) string {
	var parts []string
	for _, s := range o.Steps {
		if math.Abs(s.By) < .02*f.Ceiling {
			continue
		}
		share := math.Abs(s.By) / f.Ceiling * 100
		direction := "rise"
		if s.By < 0 {
			direction = "drop"
		}
		parts = append(parts, fmt.Sprintf("the %s by %.0f %% of the ceiling on %s", direction, share,
			end.Add(-time.Duration(s.DaysAgo)*day-day/2).Format(time.DateOnly)))
	}
	if len(parts) == 0 {
		return ""
	}
	return "taken for single events: " + strings.Join(parts, ", ")
}

func joinNotes(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "; " + b
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// uninteresting says that a field is not in the report: a read-only image, which is full for ever, or a guard
// that nothing comes near to.
func (c *candidate) uninteresting() bool {
	low, high := math.Inf(1), math.Inf(-1)
	for _, v := range c.values {
		if !math.IsNaN(v) {
			low, high = min(low, v), max(high, v)
		}
	}
	if c.limit.guard && !(max(high, c.finding.Used) >= guardShare*c.finding.Ceiling) {
		return c.finding.Verdict != munin.TooLittleData || c.finding.Days > 0
	}
	return c.finding.Days >= MinDays && low == high && low >= c.finding.Ceiling
}

// repeats says that a field has the same history as one before it in the graph, day by day, and enough of it
// to be no chance: a filesystem that is mounted twice. The one before then mentions it.
func (c *candidate) repeats(before []*candidate) bool {
	if c.finding.Days < MinDays {
		return false
	}
	for _, other := range before {
		if other.limit == c.limit && sameHistory(other.values, c.values) {
			other.finding.Note = joinNotes(other.finding.Note, "the same as "+c.finding.Label)
			return true
		}
	}
	return false
}

// distinctValues is how many different values two equal histories must have to be the same thing.
const distinctValues = 10

func sameHistory(a, b []float64) bool {
	equal := slices.EqualFunc(a, b, func(x, y float64) bool { return x == y || math.IsNaN(x) && math.IsNaN(y) })
	if !equal {
		return false
	}
	distinct := make(map[float64]bool)
	for _, v := range a {
		if !math.IsNaN(v) {
			distinct[v] = true
		}
	}
	return len(distinct) >= distinctValues
}

// compareUrgency puts the most urgent finding first.
func compareUrgency(a, b munin.Finding) int {
	rank := func(v munin.Verdict) int {
		return slices.Index([]munin.Verdict{munin.Filling, munin.MayFill, munin.NotInSight, munin.TooLittleData}, v)
	}
	last := func(v munin.Verdict) int {
		switch v {
		case munin.Full:
			return 0
		case munin.TooLittleData:
			return 2
		default:
			return 1
		}
	}
	soonest := func(x, y time.Time) int {
		switch {
		case x.IsZero() && y.IsZero():
			return 0
		case x.IsZero():
			return 1
		case y.IsZero():
			return -1
		}
		return x.Compare(y)
	}
	share := func(f *munin.Finding) float64 { return f.Used / f.Ceiling }
	return cmp.Or(
		cmp.Compare(last(a.Verdict), last(b.Verdict)),
		-cmp.Compare(a.Chance30, b.Chance30),
		soonest(a.Full50, b.Full50),
		soonest(a.Full10, b.Full10),
		cmp.Compare(rank(a.Verdict), rank(b.Verdict)),
		-cmp.Compare(share(&a), share(&b)),
		cmp.Compare(a.ID.String(), b.ID.String()),
	)
}
