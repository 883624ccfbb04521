package promapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"corbie/munin"
	"corbie/storage"
	"corbie/storage/promapi"
	"corbie/storage/series"
	"corbie/storage/storagetest"
)

// Groups that somebody sees, and hosts that are in them or look as if they were.
var (
	seen  = []string{"web", "db;eu", "a.b"}
	hosts = []munin.HostID{
		"web;www1", "webshop;hidden1", "web;eu;www2", "lab;web;hidden2", "db;hidden3", "db;eu;sql1", "db;eu;west;sql2", "db;eu2;hidden4", "hidden5", "a.b;dots", "axb;hidden6",
	}
)

// bench is the same history twice: of all hosts, asked by somebody who sees some groups, and of these groups alone.
type bench struct {
	limited, alone http.Handler
	full           http.Handler // all hosts, asked by somebody who sees all
	from, to, now  time.Time
}

func newBench(tb testing.TB) *bench {
	tb.Helper()
	now := time.Now()
	b := &bench{to: now.Truncate(time.Hour), now: now}
	b.from = b.to.AddDate(0, 0, -60)
	all := b.open(tb, func(munin.HostID) bool { return true })
	b.full, b.limited = all, all.For(seen)
	b.alone = b.open(tb, func(h munin.HostID) bool { return munin.InGroups(h, seen) })
	return b
}

// open makes a store with two months of hours, rolled up, some samples of the last hours, and what rules recorded.
func (b *bench) open(tb testing.TB, which func(munin.HostID) bool) *promapi.API {
	tb.Helper()
	dir := tb.TempDir()
	values := make(map[munin.SeriesID]func(time.Time) float64)
	var sources []munin.SeriesID
	for _, host := range hosts {
		for _, name := range []string{"load.load", "df._root", "df._home"} {
			graph, field, _ := strings.Cut(name, ".")
			id := munin.SeriesID{Host: host, Graph: graph, Field: field}
			if strings.Contains(host.Name(), "hidden") {
				id.Graph += ".hidden"
			}
			sources = append(sources, id)
			if !which(host) {
				continue
			}
			h := fnv.New32a()
			h.Write([]byte(host))
			h.Write([]byte(name))
			base := float64(h.Sum32() % 1000)
			values[id] = func(at time.Time) float64 { return base + float64(at.Unix()/3600%50)/7 }
		}
	}
	if err := storagetest.Backfill(dir, values, munin.Range{From: b.from, To: b.to}, time.Hour); err != nil {
		tb.Fatal(err)
	}
	s, err := storage.Open(dir, storage.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	sourceOf := func(_ context.Context, id munin.SeriesID) (munin.Source, error) {
		return munin.Source{ID: id, Heartbeat: 2 * time.Hour}, nil
	}
	if _, err := s.RollUp(tb.Context(), sourceOf); err != nil {
		tb.Fatal(err)
	}
	if err := errors.Join(b.append(tb, s, sources, values), b.record(tb, s, which)); err != nil {
		tb.Fatal(err)
	}
	api, err := promapi.New(promapi.Options{Interval: 5 * time.Minute, Open: func(mint, maxt int64) (promapi.Querier, error) {
		return s.Querier(mint, maxt, sourceOf)
	}})
	if err != nil {
		tb.Fatal(err)
	}
	return api
}

// append adds samples of the last hours.
func (b *bench) append(tb testing.TB, s *storage.Samples, ids []munin.SeriesID, values map[munin.SeriesID]func(time.Time) float64) error {
	tb.Helper()
	var list []munin.Reading
	for at := b.to.Add(-2 * time.Hour); at.Before(b.now); at = at.Add(5 * time.Minute) {
		for _, id := range ids {
			if v := values[id]; v != nil {
				list = append(list, munin.Reading{ID: id, Point: munin.Point{T: at.Add(time.Second).UnixMilli(), V: v(at)}})
			}
		}
	}
	return s.Append(tb.Context(), list)
}

// record adds what rules might record: by host, by group, and of everything.
func (b *bench) record(tb testing.TB, s *storage.Samples, which func(munin.HostID) bool) error {
	tb.Helper()
	var list []series.Computed
	for at := b.to.Add(-time.Hour); at.Before(b.now); at = at.Add(5 * time.Minute) {
		add := func(v float64, pairs ...string) {
			list = append(list, series.Computed{Labels: labels.FromStrings(pairs...), Point: munin.Point{T: at.UnixMilli(), V: v}})
		}
		for i, host := range hosts {
			if which(host) && host.Group() != "" {
				add(float64(i), "__name__", "host:load", "group", host.Group(), "host", host.Name())
				add(float64(i), "__name__", "group:load", "group", host.Group())
			}
		}
		if which("hidden") {
			add(4711, "__name__", "hidden:load")
			add(4712, "__name__", "hidden:load", "group", "lab;hidden")
		}
	}
	return s.Record(tb.Context(), list)
}

// answer asks and gives status and body.
func answer(tb testing.TB, h http.Handler, path string, form url.Values) (int, string) {
	tb.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(tb.Context(), http.MethodGet, path+"?"+form.Encode(), nil))
	return w.Code, inOrder(w.Body.String())
}

// inOrder sorts the series of an answer, whose order means nothing.
func inOrder(text string) string {
	var body struct {
		Data struct {
			Result []json.RawMessage `json:"result"`
		} `json:"data"`
	}
	if json.Unmarshal([]byte(text), &body) != nil || len(body.Data.Result) == 0 {
		return text
	}
	slices.SortFunc(body.Data.Result, func(a, b json.RawMessage) int { return strings.Compare(string(a), string(b)) })
	return fmt.Sprintf("%s", body.Data.Result)
}

// same says that what is not seen makes no difference: the answers are those of a store that has nothing else.
func (b *bench) same(tb testing.TB, path string, form url.Values) (differsFromAll bool) {
	tb.Helper()
	status, got := answer(tb, b.limited, path, form)
	wantStatus, want := answer(tb, b.alone, path, form)
	if status != wantStatus || got != want {
		tb.Errorf("%s %v: %d\n%.2000s\nwant %d\n%.2000s", path, form, status, got, wantStatus, want)
	}
	_, all := answer(tb, b.full, path, form)
	return all != got
}

func (b *bench) forms(query string) (instant, ranged url.Values) {
	stamp := func(at time.Time) string { return fmt.Sprint(at.Unix()) }
	return url.Values{"query": {query}, "time": {stamp(b.to)}},
		url.Values{"query": {query}, "start": {stamp(b.from.AddDate(0, 0, 5))}, "end": {stamp(b.to)}, "step": {"86000"}}
}

// expression is a random one, of at most so many levels.
func expression(rng *rand.Rand, depth int) string {
	pick := func(all ...string) string { return all[rng.IntN(len(all))] }
	selector := func() string {
		s := pick("munin_load", "munin_df", "host:load", "group:load", "hidden:load", `{__name__=~".+"}`, `{__name__=~"munin_.*"}`, `{host!=""}`, `{group=""}`,
			`{group=~"",__name__!=""}`, `{group=~".*",host=~".*",__name__=~".*load"}`, `{group!~"web.*",graph!=""}`, `{host="hidden1"}`, `{group="webshop"}`,
			`{group=~"db;.*|lab.*"}`, `munin_df{group!="web"}`, `munin_load{rollup="max"}`, `{rollup=~".+",group=~"web.*|lab.*"}`, `{graph=~".*hidden"}`)
		return s
	}
	when := func() string {
		return pick("", "", "", " offset 30m", " offset -10m", " @ end()", " @ start()", " offset 1w")
	}
	if depth == 0 {
		return selector() + when()
	}
	inner := func() string { return "(" + expression(rng, depth-1) + ")" }
	switch rng.IntN(14) {
	case 0, 1:
		return pick("sum", "avg", "min", "max", "count", "stddev", "group") + pick("", " by (group)", " by (host)", " without (field)") + inner()
	case 2:
		return pick("topk", "bottomk", "quantile") + pick("(1,", "(0.5,") + inner() + ")"
	case 3:
		return inner() + pick(" or ", " and ", " unless ", " or on(field) ", " and on() ", " unless on(graph) ") + inner()
	case 4:
		return inner() + pick("+", "*", ">", "== bool ") + pick(" on(group,host) group_left() ", " ignoring(host,group,field,graph) group_right() ", " ") + inner()
	case 5:
		return "absent" + inner()
	case 6:
		return pick("absent_over_time", "present_over_time", "count_over_time", "last_over_time", "rate", "changes", "max_over_time") + "(" + selector() + "[3h]" + when() + ")"
	case 7:
		return pick("max_over_time", "count_over_time", "absent_over_time", "avg_over_time") + "(" + inner() + "[2h:20m]" + when() + ")"
	case 8:
		return "label_replace(" + expression(rng, depth-1) + `,"group","web","host",".*")`
	case 9:
		return "label_join(" + expression(rng, depth-1) + `,"joined","-","group","host")`
	case 10:
		return `count_values("value",` + inner() + ")"
	case 11:
		return pick("sort", "sort_desc", "abs", "timestamp", "-", "scalar", "ceil") + inner()
	case 12:
		return "vector(scalar" + inner() + ") or " + selector()
	}
	return selector() + when()
}

func TestNoExpressionShowsSeriesOfOtherGroups(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	rng := rand.New(rand.NewPCG(7, 11)) //nolint:gosec // the same expressions each time
	differ := 0
	const expressions = 160
	for n := range expressions {
		instant, ranged := b.forms(expression(rng, n%4))
		if b.same(t, "/api/v1/query", instant) {
			differ++
		}
		b.same(t, "/api/v1/query_range", ranged)
	}
	if differ < expressions/3 {
		t.Errorf("only %d of %d expressions give something else to who sees all: the test shows little", differ, expressions)
	}
}

func TestNoListShowsSeriesOfOtherGroups(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, c := range []struct {
		path  string
		match []string
	}{
		{"/api/v1/labels", nil},
		{"/api/v1/labels", []string{`{__name__=~".+"}`}},
		{"/api/v1/label/__name__/values", nil},
		{"/api/v1/label/host/values", nil},
		{"/api/v1/label/host/values", []string{`{host=~".+"}`, "munin_load"}},
		{"/api/v1/label/group/values", nil},
		{"/api/v1/label/group/values", []string{`{group!=""}`}},
		{"/api/v1/label/graph/values", []string{`{rollup="avg"}`}},
		{"/api/v1/series", []string{`{__name__=~".+"}`}},
		{"/api/v1/series", []string{`{group="webshop"}`, `{host="hidden5"}`, `{group=""}`, "munin_df"}},
		{"/federate", []string{`{__name__=~".+"}`}},
		{"/federate", []string{`{group=~"lab.*|db.*"}`, "hidden:load"}},
	} {
		form := url.Values{}
		for _, m := range c.match {
			form.Add("match[]", m)
		}
		if !b.same(t, c.path, form) && !strings.Contains(c.path, "labels") {
			t.Errorf("%s %v is the same for who sees all: it shows nothing", c.path, c.match)
		}
		if _, got := answer(t, b.limited, c.path, form); strings.Contains(got, "hidden") {
			t.Errorf("%s %v: %s", c.path, c.match, got)
		}
	}
}

func TestWhoSeesNoGroupThatExistsSeesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	api, ok := b.full.(*promapi.API)
	if !ok {
		t.Fatal("not an API")
	}
	for _, group := range []string{"we", "eb", "web;", "WEB", ".*", "web|.*", "hidden5", "db;eu;sql1", "", "\xff", ")|(.*"} {
		_, got := answer(t, api.For([]string{group}), "/api/v1/query", url.Values{"query": {`{__name__=~".+"}`}})
		if !strings.Contains(got, `"result":[]`) {
			t.Errorf("group %q shows %.300s", group, got)
		}
	}
}

func FuzzNoQueryShowsSeriesOfOtherGroups(f *testing.F) {
	b := newBench(f)
	for _, query := range []string{
		`{__name__=~".+"}`, `munin_load or {group=""}`, `absent(munin_load{host="hidden1"})`, `max_over_time(munin_df{group!~"web"}[1h:5m] @ end() offset 5m)`,
		`sum by (host) (rate({group=~"web.*"}[3h]))`, `label_replace(munin_load,"group","lab","","")`, `count({host!="",rollup="max"})`, `scalar({host="hidden5"})+1`,
		`{"munin_load", group="a"} or {"hidden:load"}`, `munin_load * on() group_left hidden:load`, `quantile_over_time(0.5, {group="webshop"}[1d])`, `{group="web",group="webshop"}`,
	} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		if strings.Contains(query, "time") && !strings.Contains(query, "_over_time") {
			t.Skip("it asks for the clock")
		}
		instant, ranged := b.forms(query)
		b.same(t, "/api/v1/query", instant)
		b.same(t, "/api/v1/query_range", ranged)
	})
}
