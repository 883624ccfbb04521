package catalog_test

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"corbie/munin"
	"corbie/storage/catalog"
)

func open(tb testing.TB, path string) *catalog.Catalog {
	tb.Helper()
	c, err := catalog.Open(path, catalog.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { closeCatalog(tb, c) })
	return c
}

func fresh(tb testing.TB) *catalog.Catalog {
	tb.Helper()
	return open(tb, filepath.Join(tb.TempDir(), "catalog.db"))
}

func closeCatalog(tb testing.TB, c *catalog.Catalog) {
	tb.Helper()
	if err := c.Close(); err != nil {
		tb.Error(err)
	}
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func start() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC) }

// answer is a poll that went well.
func answer(host munin.HostID, at time.Time, graphs ...string) *munin.Poll {
	p := &munin.Poll{Host: host, Address: "192.0.2.1:4949", Start: at, Took: 42 * time.Millisecond, Banner: host.Name()}
	for _, name := range graphs {
		p.Graphs = append(p.Graphs, graph(name))
	}
	return p
}

// graph has something in every attribute.
func graph(name string) munin.Graph {
	return munin.Graph{
		Plugin: "df", Name: name, Title: "Disk <usage> & more", VLabel: "%", Category: "disk", Info: "größe \u2028",
		Args: "--base 1024", Order: []string{"a", "b=c.d"}, Period: "minute", NoScale: true, Printf: "%5.1lf", Total: "sum",
		Hidden: true, UpdateRate: time.Hour, NodeName: "other", Extra: map[string]string{"graph_width": "400"},
		Fields: []munin.Field{{
			Name: "a", Label: "/", Type: munin.DDerive, Draw: munin.Draw{Kind: munin.LineStack, Width: 2.5}, Colour: "ff0000",
			CDEF: "a,2,*", Negative: "b", Hidden: true, Bounds: munin.Bounds{High: 1.0 / 3, HasHigh: true},
			Warning:  munin.Bounds{Low: -1e300, HasLow: true},
			Critical: munin.Bounds{Low: 0, High: math.MaxFloat64, HasLow: true, HasHigh: true}, UnknownLimit: 7, Info: "i", ExtInfo: "e",
			Line: "10:ff0000", Extra: map[string]string{"sum": "x"}, Origin: map[string]string{"warning": "corbie.yml:14"},
		}, {Name: "b", Label: "b"}},
	}
}

func names(graphs []munin.Graph) string {
	var out []string
	for _, g := range graphs {
		out = append(out, g.Name)
	}
	return strings.Join(out, " ")
}

func TestConfigureKeepsWhatIsKnownAndArchivesTheRest(t *testing.T) {
	c := fresh(t)
	a := munin.Host{ID: "web;a", Address: "a:4949", Interval: time.Minute, Silent: 5 * time.Minute}
	b := munin.Host{ID: "web;b", Address: "b:4949", Interval: time.Minute, Silent: 5 * time.Minute}
	must(t, c.Configure(t.Context(), []munin.Host{a, b}))
	must(t, c.Record(t.Context(), answer("web;b", start(), "cpu")))
	a.Address, a.Interval = "a:4950", time.Hour
	must(t, c.Configure(t.Context(), []munin.Host{a}))
	hosts, err := c.Hosts(t.Context())
	must(t, err)
	b.Archived, b.Banner, b.FirstSeen, b.LastAnswer, b.LastTried, b.LastTook = true, "b", start(), start(), start(), 42*time.Millisecond
	if want := []munin.Host{a, b}; !reflect.DeepEqual(hosts, want) {
		t.Errorf("got  %+v\nwant %+v", hosts, want)
	}
	must(t, c.Configure(t.Context(), []munin.Host{a, {ID: "web;b", Address: "b:1"}}))
	got, err := c.Host(t.Context(), "web;b")
	must(t, err)
	if got.Archived || got.Address != "b:1" || !got.FirstSeen.Equal(start()) {
		t.Errorf("configured again it is %+v", got)
	}
	if graphs, err := c.Graphs(t.Context(), "web;b"); err != nil || names(graphs) != "cpu" {
		t.Errorf("its graphs are %v, %v", graphs, err)
	}
}

func TestConfigureWithABadHostChangesNothing(t *testing.T) {
	c := fresh(t)
	must(t, c.Configure(t.Context(), []munin.Host{{ID: "a"}}))
	if err := c.Configure(t.Context(), []munin.Host{{ID: "b"}, {ID: ""}}); err == nil {
		t.Error("no error")
	}
	hosts, err := c.Hosts(t.Context())
	if err != nil || len(hosts) != 1 || hosts[0].ID != "a" || hosts[0].Archived {
		t.Errorf("hosts are %+v, %v", hosts, err)
	}
}

func TestASilentHostKeepsItsLastAnswer(t *testing.T) {
	c := fresh(t)
	must(t, c.Record(t.Context(), answer("a", start(), "cpu")))
	silent := &munin.Poll{Host: "a", Start: start().Add(time.Minute), Took: time.Second, Err: errors.New("connection refused")}
	must(t, c.Record(t.Context(), silent))
	half := answer("a", start().Add(2*time.Minute), "cpu")
	half.Err = errors.New("timed out")
	got, err := c.Host(t.Context(), "a")
	must(t, err)
	if !got.LastAnswer.Equal(start()) || !got.LastTried.Equal(silent.Start) || got.LastError != "connection refused" ||
		got.Banner != "a" || got.LastTook != time.Second {
		t.Errorf("after silence: %+v", got)
	}
	must(t, c.Record(t.Context(), half))
	got, err = c.Host(t.Context(), "a")
	must(t, err)
	if !got.LastAnswer.Equal(start()) || got.LastError != "timed out" {
		t.Errorf("after half an answer: %+v", got)
	}
	must(t, c.Record(t.Context(), answer("a", start().Add(3*time.Minute))))
	got, err = c.Host(t.Context(), "a")
	must(t, err)
	if !got.LastAnswer.Equal(start().Add(3*time.Minute)) || got.LastError != "" || !got.FirstSeen.Equal(start()) {
		t.Errorf("after an answer: %+v", got)
	}
}

func TestAGraphComesBackAsItWasDescribed(t *testing.T) {
	c := fresh(t)
	must(t, c.Record(t.Context(), answer("a", start(), "df", "df_inode")))
	got, err := c.Graph(t.Context(), "a", "df")
	must(t, err)
	want := graph("df")
	want.LastSeen = start()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	for _, name := range []string{"", "DF", "none"} {
		if _, err := c.Graph(t.Context(), "a", name); !errors.Is(err, munin.ErrNotFound) {
			t.Errorf("graph %q: %v", name, err)
		}
	}
	if _, err := c.Graph(t.Context(), "none", "df"); !errors.Is(err, munin.ErrNotFound) {
		t.Errorf("graph of an unknown host: %v", err)
	}
}

func TestGraphsNoLongerOfferedStayKnown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.db")
	c := open(t, path)
	at := func(minute int) time.Time { return start().Add(time.Duration(minute) * time.Minute) }
	seen := func(want map[string]int) {
		t.Helper()
		graphs, err := c.Graphs(t.Context(), "a")
		must(t, err)
		if len(graphs) != len(want) {
			t.Errorf("graphs are %q, want %v", names(graphs), want)
		}
		for _, g := range graphs {
			if !g.LastSeen.Equal(at(want[g.Name])) {
				t.Errorf("%s was last seen at %s, want minute %d", g.Name, g.LastSeen, want[g.Name])
			}
		}
	}
	must(t, c.Record(t.Context(), answer("a", at(0), "cpu", "df", "load")))
	must(t, c.Record(t.Context(), answer("a", at(5), "cpu", "df", "load")))
	seen(map[string]int{"cpu": 5, "df": 5, "load": 5})
	must(t, c.Record(t.Context(), answer("a", at(10), "cpu", "load")))
	must(t, c.Record(t.Context(), answer("a", at(15), "cpu")))
	seen(map[string]int{"cpu": 15, "df": 5, "load": 10})
	// Silence moves nothing, and neither does a restart.
	must(t, c.Record(t.Context(), &munin.Poll{Host: "a", Start: at(20), Err: errors.New("silent")}))
	seen(map[string]int{"cpu": 15, "df": 5, "load": 10})
	closeCatalog(t, c)
	c = open(t, path)
	must(t, c.Record(t.Context(), answer("a", at(25), "cpu", "df")))
	seen(map[string]int{"cpu": 25, "df": 25, "load": 10})
	must(t, c.Record(t.Context(), answer("a", at(30), "new")))
	seen(map[string]int{"cpu": 25, "df": 25, "load": 10, "new": 30})
	changed := answer("a", at(35), "load", "cpu", "df")
	changed.Graphs[0].Title = "changed"
	must(t, c.Record(t.Context(), changed))
	seen(map[string]int{"cpu": 35, "df": 35, "load": 35, "new": 30})
	if g, err := c.Graph(t.Context(), "a", "load"); err != nil || g.Title != "changed" {
		t.Errorf("the changed graph is %+v, %v", g, err)
	}
}

func TestFaultsAreThoseOfTheLastPoll(t *testing.T) {
	c := fresh(t)
	p := answer("a", start())
	want := []munin.Fault{{Plugin: "z", Line: 3, Text: "x\x00y", Reason: "why"}, {Reason: "no plugin"}, {Plugin: "a"}}
	p.Faults = want
	must(t, c.Record(t.Context(), p))
	got, err := c.Faults(t.Context(), "a")
	if must(t, err); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
	must(t, c.Record(t.Context(), answer("b", start())))
	failing, err := c.Failing(t.Context())
	if must(t, err); !reflect.DeepEqual(failing, map[munin.HostID][]string{"a": {"a", "z"}}) {
		t.Errorf("the plugins that fail are %v", failing)
	}
	p.Faults = make([]munin.Fault, 10*munin.MaxFaults)
	must(t, c.Record(t.Context(), p))
	if got, err := c.Faults(t.Context(), "a"); err != nil || len(got) != munin.MaxFaults {
		t.Errorf("%d faults are kept, %v", len(got), err)
	}
	must(t, c.Record(t.Context(), answer("a", start())))
	if got, err := c.Faults(t.Context(), "a"); err != nil || len(got) != 0 {
		t.Errorf("after a good poll there are %v, %v", got, err)
	}
}

func TestHostIsFoundByPathOrUniqueName(t *testing.T) {
	c := fresh(t)
	must(t, c.Configure(t.Context(), []munin.Host{{ID: "web;old"}, {ID: "web;gone"}, {ID: "db;gone"}}))
	must(t, c.Configure(t.Context(), []munin.Host{{ID: "web;a"}, {ID: "db;a"}, {ID: "db;b"}, {ID: "c"}, {ID: "web;c"}, {ID: "db;old"}}))
	for name, want := range map[string]munin.HostID{
		"db;a": "db;a", "web;a": "web;a", "b": "db;b",
		"c":   "c",      // a full path, though another host has the name
		"old": "db;old", // the other is archived
	} {
		if got, err := c.Host(t.Context(), name); err != nil || got.ID != want {
			t.Errorf("%q gives %q, %v; want %q", name, got.ID, err, want)
		}
	}
	for name, want := range map[string]error{
		"a": munin.ErrAmbiguous, "gone": munin.ErrAmbiguous,
		"": munin.ErrNotFound, "web": munin.ErrNotFound, "web;b": munin.ErrNotFound, "%": munin.ErrNotFound,
	} {
		if got, err := c.Host(t.Context(), name); !errors.Is(err, want) {
			t.Errorf("%q gives %q, %v; want %v", name, got.ID, err, want)
		}
	}
	_, err := c.Host(t.Context(), "a")
	if want := `say one of "db;a", "web;a"`; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v does not say %s", err, want)
	}
}

func states() []munin.AlertState {
	return []munin.AlertState{
		{ID: munin.SeriesID{Host: "web;a"}, Level: munin.Critical, Open: munin.Critical, Since: start(), OpenSince: start(), Value: math.NaN(), Reason: "silent"},
		{
			ID: munin.SeriesID{Host: "web;a", Graph: "df", Field: "root"}, Level: munin.Unknown, Since: start().Add(time.Nanosecond),
			Open: munin.Warning, OpenSince: start().Add(-time.Hour), Unknowns: 3, Value: 0.1,
			Bounds: munin.Bounds{High: 92.5, HasHigh: true}, Changed: start().Add(time.Hour), Reason: "92.6 is above 92.5",
		},
		{ID: munin.SeriesID{Host: "web;b", Graph: "df", Field: "root"}, Value: math.Inf(-1)},
	}
}

// sameState compares with NaN equal to itself.
func sameState(a, b munin.AlertState) bool {
	if math.IsNaN(a.Value) && math.IsNaN(b.Value) {
		a.Value, b.Value = 0, 0
	}
	return reflect.DeepEqual(a, b)
}

func TestStatesComeBackAfterARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.db")
	c := open(t, path)
	want := states()
	must(t, c.SaveStates(t.Context(), nil))
	must(t, c.SaveStates(t.Context(), want))
	want[1].Level, want[1].Value, want[1].OpenSince = munin.OK, 5, time.Time{}
	must(t, c.SaveStates(t.Context(), want[1:2]))
	closeCatalog(t, c)
	got, err := open(t, path).States(t.Context())
	must(t, err)
	if len(got) != len(want) {
		t.Fatalf("got %d states, want %d", len(got), len(want))
	}
	for i := range want {
		if !sameState(got[i], want[i]) {
			t.Errorf("got  %+v\nwant %+v", got[i], want[i])
		}
	}
}

func TestReportsComeBackWithUnknownsAndOpenDates(t *testing.T) {
	c := fresh(t)
	if _, err := c.LastReport(t.Context(), "capacity"); !errors.Is(err, munin.ErrNotFound) {
		t.Errorf("without a report: %v", err)
	}
	want := munin.Report{
		Name: "capacity", At: start(), Horizon: 180 * 24 * time.Hour,
		Findings: []munin.Finding{
			{
				ID: munin.SeriesID{Host: "web;a", Graph: "df", Field: "root"}, Title: "Disk", Label: "/", Unit: "%", Base: 1024, Used: 80.5,
				Ceiling: 100, Verdict: munin.Filling, Full10: start().AddDate(0, 1, 0), Full50: start().AddDate(0, 2, 0),
				Chance30: 0.125, GrowthPerDay: 0.1, Days: 90, Missing: 3, Note: "a day of clean-up was left out",
			},
			{ID: munin.SeriesID{Host: "web;b"}, Used: math.Inf(1), Ceiling: math.MaxFloat64, Verdict: munin.TooLittleData},
		},
	}
	must(t, c.SaveReport(t.Context(), munin.Report{Name: "other", At: start().Add(time.Hour)}))
	for i := range 100 { // older ones, which go after a while
		must(t, c.SaveReport(t.Context(), munin.Report{Name: "capacity", At: start().Add(-time.Duration(i+1) * time.Hour)}))
	}
	must(t, c.SaveReport(t.Context(), want))
	got, err := c.LastReport(t.Context(), "capacity")
	must(t, err)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	want.At, want.Findings[0].Used, want.Findings[1].GrowthPerDay = start().Add(time.Hour), math.NaN(), math.NaN()
	must(t, c.SaveReport(t.Context(), want))
	got, err = c.LastReport(t.Context(), "capacity")
	must(t, err)
	if !math.IsNaN(got.Findings[0].Used) || !math.IsNaN(got.Findings[1].GrowthPerDay) || got.Findings[0].Ceiling != 100 {
		t.Errorf("unknowns came back as %+v", got.Findings)
	}
}

func TestReadersAndWritersDoNotWaitForEachOther(t *testing.T) {
	c := fresh(t)
	must(t, c.Record(t.Context(), answer("host0", start(), "cpu", "df")))
	var wg sync.WaitGroup
	errs := make(chan error, 1000)
	for w := range 4 {
		wg.Go(func() {
			host := munin.HostID("host" + string(rune('0'+w)))
			for i := range 50 {
				p := answer(host, start().Add(time.Duration(i)*time.Second), "cpu", "df")
				p.Graphs[0].Title = start().Add(time.Duration(i) * time.Second).String()
				errs <- c.Record(t.Context(), p)
				if i%10 == 0 {
					errs <- c.SaveStates(t.Context(), states())
				}
			}
		})
		wg.Go(func() {
			for range 50 {
				graphs, err := c.Graphs(t.Context(), "host0")
				if err == nil && (len(graphs) != 2 || !graphs[0].LastSeen.Equal(graphs[1].LastSeen)) {
					err = errors.New("half a poll is seen: " + names(graphs))
				}
				errs <- err
				_, err = c.Hosts(t.Context())
				errs <- err
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
}

func TestPollsRecordedTogetherAreAllStored(t *testing.T) {
	c := fresh(t)
	const hosts, rounds = 40, 5
	for round := range rounds {
		var wg sync.WaitGroup
		errs := make([]error, hosts)
		for i := range hosts {
			wg.Go(func() {
				p := answer(munin.HostID(fmt.Sprint("host", i)), start().Add(time.Duration(round)*time.Minute), "cpu", "df")
				p.Described = uint64(i + 1)
				if round == 3 && i%2 == 0 { // described otherwise, in the poll before the last
					p.Described, p.Graphs = uint64(1000+i), p.Graphs[:1]
				}
				errs[i] = c.Record(t.Context(), p)
			})
		}
		wg.Wait()
		must(t, errors.Join(errs...))
	}
	for i := range hosts {
		host := munin.HostID(fmt.Sprint("host", i))
		h, err := c.Host(t.Context(), string(host))
		must(t, err)
		if want := start().Add((rounds - 1) * time.Minute); !h.LastAnswer.Equal(want) || !h.FirstSeen.Equal(start()) {
			t.Errorf("%s: %+v", host, h)
		}
		graphs, err := c.Graphs(t.Context(), host)
		must(t, err)
		for _, g := range graphs {
			if !g.LastSeen.Equal(start().Add((rounds - 1) * time.Minute)) {
				t.Errorf("%s %s was last seen at %s", host, g.Name, g.LastSeen)
			}
		}
	}
}

func TestOneBadPollSpoilsNoneThatIsRecordedWithIt(t *testing.T) {
	c := fresh(t)
	bad := answer("bad", start(), "cpu")
	bad.Graphs[0].Fields[0].Draw.Width = math.NaN() // which JSON does not know
	var wg sync.WaitGroup
	errs := make([]error, 50)
	for i := range errs {
		wg.Go(func() {
			if i%5 == 0 {
				if c.Record(t.Context(), bad) == nil {
					errs[i] = errors.New("the bad poll was stored")
				}
				return
			}
			errs[i] = c.Record(t.Context(), answer(munin.HostID(fmt.Sprint("host", i)), start(), "cpu"))
		})
	}
	wg.Wait()
	must(t, errors.Join(errs...))
	hosts, err := c.Hosts(t.Context())
	must(t, err)
	if len(hosts) != 40 {
		t.Errorf("%d hosts are stored, want 40", len(hosts))
	}
}

func TestAPollThatSaysTheSameStillEndsItsFaults(t *testing.T) {
	c := fresh(t)
	p := answer("a", start(), "cpu")
	p.Described = 7
	must(t, c.Record(t.Context(), p))
	p.Faults = []munin.Fault{{Plugin: "cpu", Reason: "why"}}
	must(t, c.Record(t.Context(), p))
	if got, err := c.Faults(t.Context(), "a"); err != nil || len(got) != 1 {
		t.Errorf("%v, %v", got, err)
	}
	p.Faults = nil
	must(t, c.Record(t.Context(), p))
	if got, err := c.Faults(t.Context(), "a"); err != nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
}

func TestWhatASessionCostIsKept(t *testing.T) {
	c := fresh(t)
	p := answer("a", start(), "cpu")
	p.Described = 1
	for i := range 3 { // the first and the second are stored in different ways
		p.Lag, p.Bytes, p.Slowest, p.SlowestTook = time.Duration(i), int64(i), fmt.Sprint("plugin", i), time.Duration(2*i)
		p.Readings = make([]munin.Reading, i)
		p.Spool = []int64{300, 0, 200}[i]
		must(t, c.Record(t.Context(), p))
		h, err := c.Host(t.Context(), "a")
		must(t, err)
		if h.LastLag != p.Lag || h.LastBytes != p.Bytes || h.Slowest != p.Slowest || h.SlowestTook != p.SlowestTook || h.LastValues != i {
			t.Errorf("%+v", h)
		}
		if want := []int64{300, 300, 200}[i]; h.Spool != want { // it goes back when the node's clock does
			t.Errorf("the spool is at %d, want %d", h.Spool, want)
		}
	}
}
