package remote_test

import (
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"corbie/munin"
	"corbie/storage/promapi"
	"corbie/storage/remote"
	"corbie/storage/series"
	"corbie/storage/storagetest/engine"
)

// selected reads what fits {name="value",…}, each series as its labels and values.
func selected(t *testing.T, s *remote.Store, from, to time.Time, pairs ...string) map[string]string {
	t.Helper()
	q, err := s.Querier(from.UnixMilli(), to.UnixMilli())
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	var matchers []*labels.Matcher
	for i := 0; i < len(pairs); i += 2 {
		matchers = append(matchers, labels.MustNewMatcher(labels.MatchEqual, pairs[i], pairs[i+1]))
	}
	set, out := q.Select(t.Context(), true, nil, matchers...), make(map[string]string)
	for set.Next() {
		var values []string
		it := set.At().Iterator(nil)
		for it.Next() == chunkenc.ValFloat {
			_, v := it.At()
			values = append(values, fmt.Sprint(v))
		}
		if _, twice := out[set.At().Labels().String()]; twice {
			t.Errorf("%s is there twice", set.At().Labels())
		}
		out[set.At().Labels().String()] = strings.Join(values, " ")
	}
	if err := set.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestWhatRulesComputeIsSentLikeWhatIsPolled(t *testing.T) {
	for kind, start := range map[remote.Engine]func(testing.TB) *engine.Engine{
		remote.VictoriaMetrics: engine.VictoriaMetrics, remote.Prometheus: engine.Prometheus, remote.Thanos: engine.Prometheus,
	} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			e, dir := start(t), t.TempDir()
			opts := remote.Options{Target: target(kind, e.URL), Labels: map[string]string{"site": "north"}}
			store, stop := open(t, dir, opts)
			at := time.Now().Add(-10 * time.Minute).Truncate(time.Minute)
			odd := labels.FromStrings("__name__", "group:load:avg", "group", "web;eu", "note", "a \"b\"\n{c}, ü")
			plain := labels.FromStrings("__name__", "group:load:avg", "group", "db", "site", "north") // as a query gives it
			record := func(minute int, v float64, l labels.Labels) {
				t.Helper()
				point := munin.Point{T: at.Add(time.Duration(minute) * time.Minute).UnixMilli(), V: v}
				if err := store.Record(t.Context(), []series.Computed{{Labels: l, Point: point}}); err != nil {
					t.Fatal(err)
				}
			}
			for minute := range 4 {
				record(minute, float64(minute), odd)
				record(minute, float64(10*minute), plain)
			}
			record(4, math.NaN(), odd)
			record(4, 40, plain)
			record(4, 41, plain) // contradicts it
			add(t, store, readings(0, 2))
			wanted := map[string]string{
				labels.NewBuilder(odd).Set("site", "north").Labels().String(): "0 1 2 3 NaN",
				plain.String(): "0 10 20 30 40",
			}
			check := func(when string) {
				t.Helper()
				eventually(t, "all is sent", func() bool { return store.State().Queued == 0 })
				e.Flush(t)
				got := selected(t, store, at, at.Add(time.Hour), "__name__", "group:load:avg")
				if fmt.Sprint(got) != fmt.Sprint(wanted) {
					t.Errorf("%s:\n%v\nwant\n%v", when, got, wanted)
				}
			}
			check("as it was sent")
			stop()
			store, _ = open(t, dir, opts)
			check("after a restart, from the engine alone")
			if refused := store.Rejected(); len(refused) != 0 {
				t.Errorf("refused: %+v", refused)
			}
		})
	}
}

func TestQueriesSeeWhatTheEngineDoesNotHaveYet(t *testing.T) {
	e := engine.Prometheus(t)
	away := newReceiver(t)
	away.down.Store(true)
	to := target(remote.Prometheus, e.URL)
	to.Write = away.URL // it can be asked, and takes nothing
	store, _ := open(t, t.TempDir(), remote.Options{Target: to, Labels: map[string]string{"site": "north"}})
	list := readings(0, 3)
	add(t, store, list)
	computed := labels.FromStrings("__name__", "load:max", "group", "web")
	if err := store.Record(t.Context(), []series.Computed{{Labels: computed, Point: list[2].Point}}); err != nil {
		t.Fatal(err)
	}
	from, to2 := list[0].Time(), list[2].Time()
	polled := `{__name__="munin_load", field="load", graph="load", group="web", host="www1", site="north"}`
	recorded := `{__name__="load:max", group="web", site="north"}`
	for _, c := range []struct{ ask, want []string }{
		{[]string{"__name__", "munin_load"}, []string{polled, "2 3"}},
		{[]string{"host", "www1", "site", "north"}, []string{polled, "2 3"}},
		{[]string{"group", "web"}, []string{polled, "2 3", recorded, "3"}},
		{[]string{"__name__", "load:max"}, []string{recorded, "3"}},
		{[]string{"__name__", "load"}, nil},
		{[]string{"host", "www2"}, nil},
		{[]string{"host", "www1", "site", "south"}, nil},
		{[]string{"host", "www1", "nothing", "like it"}, nil},
	} {
		want := make(map[string]string)
		for i := 0; i < len(c.want); i += 2 {
			want[c.want[i]] = c.want[i+1]
		}
		if got := selected(t, store, from, to2, c.ask...); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%v: %v, want %v", c.ask, got, want)
		}
	}
	if got := selected(t, store, from, list[1].Time(), "__name__", "munin_load"); got[polled] != "2" {
		t.Errorf("up to the second sample: %v", got)
	}
	if waiting := store.State().Waiting; time.Since(waiting) > time.Hour {
		t.Errorf("the oldest waits since %s", waiting)
	}
}

func FuzzComputed(f *testing.F) {
	f.Add("job:load:sum", "group", "a;b", "\x08__name__\x01a")
	f.Add("a", "x", "", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")
	f.Add("a", "b", "\xff", "\x80")
	f.Fuzz(func(t *testing.T, metric, name, value, queued string) {
		if l := labels.FromMap(map[string]string{"__name__": metric, name: value}); !labels.Equal(l, remote.ComputedLabels(l)) {
			t.Errorf("%s became %s", l, remote.ComputedLabels(l))
		}
		_ = remote.QueuedLabels(queued)
	})
}

func FuzzLabelOf(f *testing.F) {
	f.Add("a;b;www1", "diskstats_iops.sda", "rd")
	f.Fuzz(func(t *testing.T, host, graph, field string) {
		id := munin.SeriesID{Host: munin.HostID(host), Graph: graph, Field: field}
		for _, name := range []string{"__name__", "group", "host", "graph", "field", "rollup", ""} {
			if got, want := series.LabelOf(id, name), series.LabelsOf(id).Get(name); got != want {
				t.Errorf("%s of %v is %q, want %q", name, id, got, want)
			}
		}
	})
}

func TestWhoSeesSomeGroupsIsAnsweredFromTheEngineWithTheseAlone(t *testing.T) {
	t.Parallel()
	for kind, start := range map[remote.Engine]func(testing.TB) *engine.Engine{
		remote.VictoriaMetrics: engine.VictoriaMetrics, remote.Prometheus: engine.Prometheus, remote.Thanos: engine.Prometheus,
	} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			e := start(t)
			store, _ := open(t, t.TempDir(), remote.Options{Target: target(kind, e.URL), Labels: map[string]string{"site": "north"}})
			now := time.Now()
			for minute := range 10 {
				var list []munin.Reading
				for _, host := range []munin.HostID{"web;www1", "web;eu;www2", "webshop;hidden1", "lab;web;hidden2", "hidden3"} {
					at := now.Add(time.Duration(minute-10) * time.Minute)
					list = append(list, munin.Reading{ID: munin.SeriesID{Host: host, Graph: "load", Field: "load"}, Point: munin.Point{T: at.UnixMilli(), V: 1}})
				}
				add(t, store, list)
			}
			api, err := promapi.New(promapi.Options{Open: func(mint, maxt int64) (promapi.Querier, error) { return store.Querier(mint, maxt) }})
			if err != nil {
				t.Fatal(err)
			}
			eventually(t, "all is sent", func() bool { return store.State().Queued == 0 })
			e.Flush(t)
			for path, want := range map[string]int{
				`/api/v1/query?query={__name__=~".%2b"}`: 2, `/api/v1/query?query={group="",__name__!=""}+or+munin_load`: 2, `/api/v1/query?query=max_over_time({host!=""}[5m:1m])`: 2,
				`/api/v1/series?match[]={host=~".%2b"}`: 2, `/api/v1/label/host/values`: 2, `/federate?match[]={host=~".*"}`: 2, `/api/v1/query?query={group="webshop"}`: 0,
			} {
				w := httptest.NewRecorder()
				api.For([]string{"web"}).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
				text := w.Body.String()
				if w.Code != http.StatusOK || strings.Contains(text, "hidden") || strings.Count(text, "www") != want {
					t.Errorf("%s: %d %s", path, w.Code, text)
				}
			}
		})
	}
}
