package forecast_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"corbie/alerts/forecast"
	"corbie/munin"
)

// now is in the middle of a day, so that the last day is not complete.
func now() time.Time { return time.Date(2026, 11, 21, 15, 4, 5, 0, time.UTC) }

// store is a catalogue and the daily values of its fields, the last of which is yesterday's. What it has for
// today is twice that of yesterday, for an hour.
type store struct {
	hosts  []munin.Host
	graphs map[munin.HostID][]munin.Graph
	daily  map[string][]float64 // by field
	latest map[string]float64
	broken map[string]bool
	asked  []string
	onAsk  func()
}

func (s *store) Hosts(context.Context) ([]munin.Host, error) { return s.hosts, nil }

var errUnreadable = errors.New("block is damaged")

func (s *store) Graphs(_ context.Context, host munin.HostID) ([]munin.Graph, error) {
	if s.broken[string(host)] {
		return nil, errUnreadable
	}
	return s.graphs[host], nil
}

func (s *store) Query(ctx context.Context, sources []munin.Source, r munin.Range, step time.Duration) ([]munin.Series, error) {
	if s.onAsk != nil {
		s.onAsk()
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	out := make([]munin.Series, len(sources))
	for i, source := range sources {
		name := source.ID.Field
		s.asked = append(s.asked, name)
		if s.broken[name] {
			return nil, errUnreadable
		}
		start := r.From.Truncate(step)
		n := int(r.To.Sub(start)/step) + 1
		out[i] = munin.Series{ID: source.ID, Start: start, Step: step, Buckets: make([]munin.Bucket, n), Last: munin.Point{V: math.NaN()}}
		values := s.daily[name]
		for k := range out[i].Buckets {
			out[i].Buckets[k] = munin.Gap()
			if at := k - (n - 1 - len(values)); at >= 0 && at < len(values) && !math.IsNaN(values[at]) {
				v := values[at]
				out[i].Buckets[k] = munin.Bucket{Avg: v / 2, Min: 0, Max: v, Count: 288}
			}
		}
		if len(values) == 0 {
			continue
		}
		last := values[len(values)-1]
		out[i].Buckets[n-1] = munin.Bucket{Avg: last, Min: last, Max: 2 * last, Count: 100}
		if v, ok := s.latest[name]; ok {
			last = v
		}
		out[i].Last = munin.Point{T: r.To.Add(-time.Minute).UnixMilli(), V: last}
	}
	return out, nil
}

// newStore has one host with the graphs that the config texts describe, by plugin name.
func newStore(t *testing.T, configs map[string]string) *store {
	t.Helper()
	host := munin.Host{ID: "web;www1.example.com", Interval: 5 * time.Minute}
	s := &store{
		hosts: []munin.Host{host}, graphs: make(map[munin.HostID][]munin.Graph), daily: make(map[string][]float64),
		latest: make(map[string]float64), broken: make(map[string]bool),
	}
	for plugin, text := range configs {
		reply := munin.ParseConfig(plugin, []byte(text))
		if len(reply.Faults) > 0 {
			t.Fatal(reply.Faults)
		}
		s.graphs[host.ID] = append(s.graphs[host.ID], reply.Graphs...)
	}
	return s
}

func survey(t *testing.T, s *store) munin.Report {
	t.Helper()
	r, err := forecast.Survey(t.Context(), s, s, now())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func find(t *testing.T, r munin.Report, field string) munin.Finding {
	t.Helper()
	i := slices.IndexFunc(r.Findings, func(f munin.Finding) bool { return f.ID.Field == field })
	if i < 0 {
		t.Fatalf("no finding for %s among %d", field, len(r.Findings))
	}
	return r.Findings[i]
}

const df = "graph_title Disk usage in percent\ngraph_args --upper-limit 100 -l 0\ngraph_vlabel %\n"

func TestTheReportRanksWhatIsMostUrgentFirst(t *testing.T) {
	s := newStore(t, map[string]string{
		"df": df + "full.label /full\nsoon.label /soon\nlater.label /later\nnever.label /never\nyoung.label /young\n",
	})
	s.daily["full"] = append(ramp(100, 0, .9), 100)
	s.daily["soon"] = ramp(100, 0, .9)      // 89.1; 13 days
	s.daily["later"] = ramp(400, 10, .1)    // 49.9; 501 days
	s.daily["never"] = ramp(400, 90, -.001) //
	s.daily["young"] = ramp(10, 50, 2)
	r := survey(t, s)
	var order []string
	for _, f := range r.Findings {
		order = append(order, f.ID.Field)
	}
	if want := []string{"full", "soon", "later", "never", "young"}; !slices.Equal(order, want) {
		t.Fatalf("the order is %v, want %v", order, want)
	}
	if r.Name != "capacity" || !r.At.Equal(now()) || r.Horizon != 730*24*time.Hour {
		t.Errorf("the report is %q of %s, %s ahead", r.Name, r.At, r.Horizon)
	}
	soon := r.Findings[1]
	// Yesterday was the 20th; 90 is passed on the 21st, 100 at 0.9 a day on day 13 after the 20th: 3 December.
	if got := soon.Full50.Format(time.DateOnly); got != "2026-12-03" || soon.Verdict != munin.Filling || soon.Chance30 != 1 {
		t.Errorf("/soon is %s: %s by %s, chance %g", soon.Label, soon.Verdict, got, soon.Chance30)
	}
	if math.Abs(soon.GrowthPerDay-.9) > 1e-9 || math.Abs(soon.Used-89.1) > 1e-9 || soon.Ceiling != 100 || soon.Days != 100 || soon.Unit != "%" {
		t.Errorf("/soon is %+v", soon)
	}
	if f := r.Findings[0]; f.Verdict != munin.Full || f.Chance30 != 1 {
		t.Errorf("/full is %+v", f)
	}
	if f := r.Findings[3]; f.Verdict != munin.NotInSight || !f.Full50.IsZero() {
		t.Errorf("/never is %+v", f)
	}
	young := r.Findings[4]
	if young.Verdict != munin.TooLittleData || !math.IsNaN(young.GrowthPerDay) || !strings.Contains(young.Note, "10 days with data") ||
		!strings.Contains(young.Note, "from 2026-12-02 on") {
		t.Errorf("/young is %+v", young)
	}
}

func TestAYearOfADiskWithAKnownDayIsToldRight(t *testing.T) {
	// Uneven growth of 0.2 % a day with a weekly rhythm and a clean-up in summer; at 73 % on the last day.
	random := rand.New(rand.NewPCG(3, 11))
	level := 15.0
	var values []float64
	for i := range 365 + 400 {
		level += .3 + .1*random.NormFloat64()
		if i%7 == 6 {
			level -= .7
		}
		if i == 250 {
			level -= 15
		}
		values = append(values, level)
	}
	truth := now().AddDate(0, 0, slices.IndexFunc(values[365:], func(v float64) bool { return v >= 100 }))
	s := newStore(t, map[string]string{"df": df + "srv.label /srv\n"})
	s.daily["srv"] = values[:365]
	f := find(t, survey(t, s), "srv")
	if f.Verdict != munin.Filling || truth.Before(f.Full10.AddDate(0, 0, -1)) || truth.After(f.Full90.AddDate(0, 0, 1)) {
		t.Errorf("full on %s, said %s: %s to %s", truth, f.Verdict, f.Full10, f.Full90)
	}
	if off := f.Full50.Sub(truth).Abs(); off > truth.Sub(now())/10 {
		t.Errorf("the median is %s, the truth %s", f.Full50.Format(time.DateOnly), truth.Format(time.DateOnly))
	}
	if !strings.Contains(f.Note, "the drop by 15 % of the ceiling on 2026-07-29") {
		t.Errorf("the note is %q", f.Note)
	}
}

func TestEveryFieldWithACeilingIsInTheReportAndNoOther(t *testing.T) {
	configs := map[string]string{
		"df":       df + "_dev_sda1.label /\n_dev_sdb1.label /var/cache/free\n",
		"df_inode": "graph_title Inode usage in percent\ngraph_vlabel %\n_dev_sda1_i.label /\n",
		"memory": "graph_title Memory usage\ngraph_args --base 1024 -l 0 --upper-limit 25276502016\ngraph_vlabel Bytes\n" +
			"apps.label apps\nswap.label swap\nswap.max 4000000000\ncached.label cache\nfree.label unused\nslab.label slab_cache\n" +
			"committed.label committed\ncommitted.max 99999999999\n",
		"cpu": "graph_title CPU usage\ngraph_args --base 1000 -r --lower-limit 0 --upper-limit 200\ngraph_vlabel %\n" +
			"user.label user\nuser.type DERIVE\nuser.max 5000\nidle.label idle\nidle.max 100\n",
		"if_eth0":     "graph_title eth0\ngraph_vlabel bits\nup.label up\nup.type DERIVE\nup.max 1000000000\n",
		"open_files":  "graph_title File table usage\ngraph_vlabel number of open files\nused_f.label other\nused.label open files\nused.critical 1000\n",
		"mysql_conn":  "graph_title Connections\ngraph_vlabel connections\nconns.label connections\nconns.max 150\nguard.label other\nguard.max 500000\n",
		"battery":     "graph_title Battery\ngraph_vlabel %\ncharge.label charge\n",
		"pool":        "graph_title Pool\ngraph_vlabel %\nleft.label left\nleft.critical 10:\nown.label own\n",
		"licences":    "graph_title Licences\ngraph_vlabel seats\nseats.label taken\nseats.ceiling 40\n",
		"sensors":     "graph_title Temperature\ngraph_vlabel degrees celsius\nt.label board\nt.max 100\n",
		"cpu_load":    "graph_title Load\ngraph_vlabel load\nload.label load\nload.critical 10\n",
		"hit_percent": "graph_title Cache hit rate\ngraph_vlabel %\nhits.label rate\nhits.max 100\n",
		"vmstat":      "graph_title VMstat\ngraph_vlabel processes\nwait.label running\nwait.max 500\n",
		"load_pct":    "graph_title Something in percent of a core\ngraph_args -u 400\ngraph_vlabel percent\nmulti.label busy\n",
	}
	s := newStore(t, configs)
	for _, graph := range s.graphs["web;www1.example.com"] {
		for i, f := range graph.Fields {
			s.daily[f.Name] = ramp(30, 10+float64(i), 0) // even, but not the same in one graph
		}
	}
	got := make(map[string]float64)
	for _, f := range survey(t, s).Findings {
		got[f.ID.Field] = f.Ceiling
	}
	want := map[string]float64{
		"_dev_sda1": 100, "_dev_sdb1": 100, "_dev_sda1_i": 100, "apps": 25276502016, "swap": 4000000000, "used": 1000,
		"conns": 150, "own": 100, "seats": 40,
	}
	for field, ceiling := range want {
		if got[field] != ceiling {
			t.Errorf("%s has the ceiling %g, want %g", field, got[field], ceiling)
		}
	}
	for field := range got {
		if _, ok := want[field]; !ok {
			t.Errorf("%s is in the report", field)
		}
	}
	if note := find(t, survey(t, s), "used").Note; !strings.Contains(note, "critical level") {
		t.Errorf("the note on open files is %q", note)
	}
}

func TestTheSameFilesystemIsListedOnceAndAReadOnlyImageNever(t *testing.T) {
	s := newStore(t, map[string]string{"df": df + "a.label /srv\nb.label /srv/bind\nc.label /other\nsnap.label /snap/core/1\nd.label /d\ne.label /e\n"})
	s.daily["a"], s.daily["b"], s.daily["c"] = ramp(60, 10, .5), ramp(60, 10, .5), ramp(60, 10, .4)
	s.daily["snap"] = ramp(60, 100, 0)
	s.daily["d"], s.daily["e"] = ramp(60, 0, 0), ramp(60, 0, 0) // empty both: no proof that they are one
	r := survey(t, s)
	var fields []string
	for _, f := range r.Findings {
		fields = append(fields, f.ID.Field)
	}
	slices.Sort(fields)
	if want := []string{"a", "c", "d", "e"}; !slices.Equal(fields, want) {
		t.Errorf("the report has %v, want %v", fields, want)
	}
	if f := find(t, r, "a"); f.Note != "the same as /srv/bind" {
		t.Errorf("the note is %q", f.Note)
	}
}

func TestABurstOfTodayDoesNotMoveTheDate(t *testing.T) {
	s := newStore(t, map[string]string{"df": df + "a.label /a\n"})
	s.daily["a"] = ramp(200, 10, .2)
	calm := find(t, survey(t, s), "a")
	s.latest["a"] = 99
	burst := find(t, survey(t, s), "a")
	if !burst.Full50.Equal(calm.Full50) || burst.Used != 99 {
		t.Errorf("full by %s, with a burst by %s; used %g", calm.Full50, burst.Full50, burst.Used)
	}
	s.latest["a"] = 100
	if f := find(t, survey(t, s), "a"); f.Verdict != munin.Full || !f.Full50.Equal(now()) {
		t.Errorf("at its ceiling it is %s", f.Verdict)
	}
}

func TestWhatCannotBeReadDoesNotStopTheRest(t *testing.T) {
	s := newStore(t, map[string]string{"df": df + "good.label /\nbad.label /bad\nalso.label /also\n"})
	s.hosts = append(s.hosts, munin.Host{ID: "lost", Interval: time.Minute}, munin.Host{ID: "gone", Archived: true})
	s.broken["lost"], s.broken["bad"] = true, true
	s.graphs["gone"] = s.graphs["web;www1.example.com"]
	s.daily["good"], s.daily["also"] = ramp(50, 10, .5), ramp(50, 10, .4)
	r := survey(t, s)
	if len(r.Findings) != 4 {
		t.Fatalf("%d findings: %+v", len(r.Findings), r.Findings)
	}
	if find(t, r, "good").Verdict == munin.TooLittleData || find(t, r, "also").Verdict == munin.TooLittleData {
		t.Error("a readable field was not judged")
	}
	for _, field := range []string{"bad", ""} {
		if f := find(t, r, field); f.Verdict != munin.TooLittleData || !strings.Contains(f.Note, "block is damaged") {
			t.Errorf("%q is %+v", field, f)
		}
	}
}

func TestASurveyEndsWhenItIsCancelled(t *testing.T) {
	s := newStore(t, map[string]string{"df": df + "a.label /\n"})
	for i := range 100 {
		id := munin.HostID("h" + strconv.Itoa(i))
		s.hosts = append(s.hosts, munin.Host{ID: id})
		s.graphs[id] = s.graphs["web;www1.example.com"]
	}
	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	s.onAsk = func() {
		if calls++; calls == 3 {
			cancel()
		}
	}
	_, err := forecast.Survey(ctx, s, s, now())
	if !errors.Is(err, context.Canceled) || calls > 4 {
		t.Errorf("after %d queries: %v", calls, err)
	}
}

func TestGapsAreCountedAndSaid(t *testing.T) {
	s := newStore(t, map[string]string{"df": df + "a.label /\nold.label /old\nholes.label /holes\nempty.label /empty\n"})
	a := ramp(100, 10, .1)
	for i := 40; i < 50; i++ {
		a[i] = math.NaN()
	}
	holes := ramp(100, 10, .1)
	for i := 0; i < 100; i += 2 {
		holes[i] = math.NaN()
	}
	s.daily["a"], s.daily["old"], s.daily["holes"] = a, append(ramp(100, 10, .1), nans(100)...), holes
	r := survey(t, s)
	if f := find(t, r, "a"); f.Days != 90 || f.Missing != 10 || f.Verdict == munin.TooLittleData {
		t.Errorf("with a gap: %+v", f)
	}
	if f := find(t, r, "old"); f.Verdict != munin.TooLittleData || !strings.Contains(f.Note, "no data since 2026-08-12") {
		t.Errorf("silent for long: %+v", f)
	}
	if f := find(t, r, "holes"); f.Verdict != munin.TooLittleData || !strings.Contains(f.Note, "too many gaps") {
		t.Errorf("with every second day: %+v", f)
	}
	if f := find(t, r, "empty"); f.Verdict != munin.TooLittleData || !math.IsNaN(f.Used) || !strings.Contains(f.Note, "no complete day") {
		t.Errorf("without any: %+v", f)
	}
}
