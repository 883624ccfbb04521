package remote

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/url"
	"strconv"
	"strings"

	"github.com/prometheus/prometheus/model/labels"

	"corbie/munin"
)

// visitor is given one series with its samples, oldest first; NaN is U.
type visitor func(l labels.Labels, points []munin.Point) error

// read finds the series that fit and reads their raw samples between two times in Unix milliseconds, both inclusive.
func (c *client) read(ctx context.Context, matchers []*labels.Matcher, from, to int64, visit visitor) error {
	ctx, cancel := context.WithTimeout(ctx, c.target.Timeout)
	defer cancel()
	in := func(l labels.Labels, points []munin.Point) error {
		if points = within(inOrder(points), from, to); len(points) == 0 {
			return nil
		}
		return visit(l, points)
	}
	var err error
	switch c.target.Engine {
	case VictoriaMetrics:
		err = c.export(ctx, matchers, from, to, in)
	case Prometheus, Mimir:
		err = c.remoteRead(ctx, matchers, from, to, in)
	case Thanos:
		err = c.rangeSelector(ctx, matchers, from, to, in)
	}
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%w: %s at %s: no whole answer within %s: raise timeout of remote in corbie.yml, or ask for less", munin.ErrAway, c.target.Engine, c.target.Read, c.target.Timeout)
	}
	return err
}

// within cuts samples to a range of times, both inclusive.
func within(points []munin.Point, from, to int64) []munin.Point {
	for len(points) > 0 && points[0].T < from {
		points = points[1:]
	}
	for len(points) > 0 && points[len(points)-1].T > to {
		points = points[:len(points)-1]
	}
	return points
}

// selector writes matchers as PromQL does: {host="www1"}.
func selector(matchers []*labels.Matcher) string {
	parts := make([]string, len(matchers))
	for i, m := range matchers {
		parts[i] = m.String()
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func seconds(ms int64) string { return strconv.FormatFloat(float64(ms)/1000, 'f', 3, 64) }

// exported takes one line of an export of VictoriaMetrics apart: {"metric":{…},"values":[1,NaN],"timestamps":[…]}. It is JSON but for
// the NaN, which other versions write as null.
func exported(line []byte) (l labels.Labels, points []munin.Point, err error) {
	const inner, last = `"values":[`, `],"timestamps":[`
	metric, rest, ok := strings.Cut(string(line), ","+inner)
	values, times, more := strings.Cut(rest, last)
	if !ok || !more {
		return l, nil, errors.New("a line of the export is not as expected")
	}
	var head struct {
		Metric map[string]string `json:"metric"`
	}
	if err := json.Unmarshal([]byte(metric+"}"), &head); err != nil {
		return l, nil, err
	}
	times = strings.TrimRight(times, "]} \r\n")
	points = make([]munin.Point, 0, len(times)/14+1)
	for word := range strings.SplitSeq(values, ",") {
		when, following, _ := strings.Cut(times, ",")
		times = following
		var p munin.Point
		if p.T, err = strconv.ParseInt(when, 10, 64); err != nil {
			return l, nil, fmt.Errorf("%q is no time", when)
		}
		if p.V, err = exportedValue(word); err != nil {
			return l, nil, err
		}
		points = append(points, p)
	}
	return labels.FromMap(head.Metric), points, nil
}

func exportedValue(word string) (float64, error) {
	if word == "null" {
		return math.NaN(), nil
	}
	v, err := strconv.ParseFloat(strings.Trim(word, `"`), 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, fmt.Errorf("%q is no number", word)
	}
	return v, nil
}

// export reads by the export of VictoriaMetrics, which gives every sample as it was sent, stale markers too.
func (c *client) export(ctx context.Context, matchers []*labels.Matcher, from, to int64, visit visitor) error {
	body, err := c.ask(ctx, "/api/v1/export", url.Values{"match[]": {selector(matchers)}, "start": {seconds(from)}, "end": {seconds(to)}})
	if err != nil {
		return err
	}
	defer body.Close()
	return readExport(body, visit)
}

func readExport(body io.Reader, visit visitor) error {
	r := bufio.NewReaderSize(body, 64<<10)
	for {
		line, err := r.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) == 0 && errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return cutOff(err)
		}
		l, points, err := exported(line)
		if err != nil {
			return cutOff(err)
		}
		if err := visit(l, points); err != nil {
			return err
		}
	}
}

// cutOff words an answer that cannot be read to its end.
func cutOff(err error) error {
	return fmt.Errorf("%w: its answer broke off or is no answer to the question: %w", munin.ErrAway, err)
}

// matrix is what PromQL answers to a range selector.
type matrix struct {
	Metric map[string]string `json:"metric"`
	Values jsonPoints        `json:"values"`
}

// jsonPoints are samples in the form of PromQL: [[1435781430.781,"1"],…].
type jsonPoints []munin.Point

// UnmarshalJSON takes an array of pairs.
func (p *jsonPoints) UnmarshalJSON(b []byte) error {
	text := strings.Trim(string(b), " \n\t\r[]")
	out := make([]munin.Point, 0, len(text)/20)
	if text == "" || text == "null" {
		return nil
	}
	for pair := range strings.SplitSeq(text, "],") {
		when, value, ok := strings.Cut(strings.TrimLeft(pair, " \n\t\r["), ",")
		at, err := strconv.ParseFloat(when, 64)
		if err != nil || !ok || math.Abs(at) > 1e12 {
			return fmt.Errorf("%q is no sample", pair)
		}
		v, err := strconv.ParseFloat(strings.Trim(value, " \n\t\r\""), 64)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			return fmt.Errorf("%q is no sample", pair)
		}
		out = append(out, munin.Point{T: int64(math.Round(at * 1000)), V: v})
	}
	*p = out
	return nil
}

// rangeSelector reads by PromQL alone: x[1h] gives every sample but stale markers.
func (c *client) rangeSelector(ctx context.Context, matchers []*labels.Matcher, from, to int64, visit visitor) error {
	query := selector(matchers) + "[" + strconv.FormatInt(to-from+1, 10) + "ms]"
	body, err := c.ask(ctx, "/api/v1/query", url.Values{"query": {query}, "time": {seconds(to)}})
	if err != nil {
		return err
	}
	defer body.Close()
	return readMatrix(body, visit)
}

func readMatrix(body io.Reader, visit visitor) error {
	var answer struct {
		Data struct {
			ResultType string   `json:"resultType"`
			Result     []matrix `json:"result"`
		} `json:"data"`
	}
	if err := json.NewDecoder(body).Decode(&answer); err != nil {
		return cutOff(err)
	}
	if answer.Data.ResultType != "matrix" {
		return fmt.Errorf("the engine answers with %q to a question for a matrix", answer.Data.ResultType)
	}
	for _, m := range answer.Data.Result {
		if err := visit(labels.FromMap(m.Metric), m.Values); err != nil {
			return err
		}
	}
	return nil
}
