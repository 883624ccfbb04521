package ui_test

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"image/png"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jba/templatecheck"

	"corbie/munin"
	"corbie/ui"
	"corbie/ui/uitest"
)

var monday = time.Date(2026, 11, 16, 10, 30, 0, 0, time.UTC)

func TestEveryTemplateFitsItsPage(t *testing.T) {
	s := newServer(t, uitest.New(time.Now()))
	checked := s.Templates()
	for _, name := range s.Pages() {
		page, ok := checked[name]
		if !ok {
			t.Errorf("the page %s is not checked: add its model", name)
			continue
		}
		if err := templatecheck.CheckHTML(page.Template, page.Model); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAHostThatWasNotAskedYetIsNotWrong(t *testing.T) {
	f := uitest.New(time.Now())
	f.Known = append(f.Known, munin.Host{ID: "fresh.example.com", Address: "203.0.113.78:4949", Interval: uitest.Interval})
	s := newServer(t, f)
	d := open(t, s, "/", http.StatusOK)
	d.has(".hosts tr", "○ no values yet fresh.example.com The first come within "+munin.FormatDuration(uitest.Interval)+".")
	d.has(".head", "2 do not answer") // db1 and new, as before
	open(t, s, "/h/fresh.example.com", http.StatusOK).has(".empty h2", "No values yet")
}

func TestTheOverviewShowsGroupsHostsAndWhatIsWrong(t *testing.T) {
	d := open(t, newServer(t, uitest.New(time.Now())), "/", http.StatusOK)
	d.has("h2", "office")
	d.has(".counts", "2 critical")
	d.has(".counts", "2 warning")
	d.has(".counts", "1 unknown")
	d.has(".hosts tr", "■ critical files.example.com ■ df._dev_sdb1 98.4 is above 98")
	d.has(".hosts tr", "● ok web1.example.com")
	d.has(".hosts tr", "■ silent db1.example.com")
	d.has(".hosts tr", "3 h 20 min ago")
	d.has(".hosts tr", "◆ never answered new.example.com Not one answer yet: look up new.example.com: no such host")
	d.has(".archived", "fax.example.com")
	d.hasAttribute("a", "href", "/h/files.example.com")
	d.hasAttribute("a", "href", "/h/shop;web1.example.com")
	d.hasAttribute("a", "href", "/h/lab;web1.example.com")
	d.hasAttribute("a", "href", "/g/office")
	d.hasAttribute("a", "href", "/h/files.example.com#c-disk")
}

func TestAnEmptyOverviewTeachesHowToAddAHost(t *testing.T) {
	d := open(t, newServer(t, &uitest.Fleet{Now: time.Now()}), "/", http.StatusOK)
	d.has(".empty", "hosts: web1.example.com: address: web1.example.com:4949")
	d.has(".counts", "● no problems")
}

func TestAGroupPageShowsItsHostsAndProblemsOnly(t *testing.T) {
	d := open(t, newServer(t, uitest.New(time.Now())), "/g/shop", http.StatusOK)
	if got := len(d.all(".hosts tbody tr")); got != 3 {
		t.Errorf("%d hosts, want 3", got)
	}
	if got := d.texts(".problem-list li"); len(got) != 3 || !strings.HasPrefix(got[0], "■ critical") {
		t.Errorf("problems are %q", got)
	}
}

func TestProblemsAreListedWorstAndNewestFirst(t *testing.T) {
	d := open(t, newServer(t, uitest.New(time.Now())), "/problems", http.StatusOK)
	rows := d.texts(".problems tbody tr")
	want := []string{"db1.example.com", "files.example.com", "web2.example.com", "web1.example.com", "print.example.com"}
	if len(rows) != len(want) {
		t.Fatalf("rows are %q", rows)
	}
	for i := range want {
		if !strings.Contains(rows[i], want[i]) {
			t.Errorf("row %d is %q, want %s", i, rows[i], want[i])
		}
	}
	d.has("tr.critical", "(3 h 20 min)")
	d = open(t, newServer(t, &uitest.Fleet{Now: time.Now()}), "/problems", http.StatusOK)
	d.has(".calm", "No problems.")
}

func TestAnOpenProblemWithoutANewValueStaysOne(t *testing.T) {
	f := uitest.New(time.Now())
	f.Watched = []munin.AlertState{{
		ID: munin.SeriesID{Host: "shop;web2.example.com", Graph: "load", Field: "load"}, Level: munin.Unknown, Open: munin.Critical,
		OpenSince: f.Now.Add(-2 * time.Hour), Since: f.Now.Add(-time.Minute), Value: math.NaN(), Reason: "9 is above 8",
	}}
	d := open(t, newServer(t, f), "/problems", http.StatusOK)
	d.has("tr.critical", "■ critical")
	d.has("tr.critical", "9 is above 8 (there is no new value)")
	d.has("tr.critical", "(2 h)")
}

func TestTheHostPageShowsGraphsByCategoryProblemsAndFailingPlugins(t *testing.T) {
	s := newServer(t, uitest.New(time.Now()))
	d := open(t, s, "/h/print.example.com", http.StatusOK)
	d.has("h1", "print.example.com")
	d.has(".problem-list", "sensors_temp.temp2")
	d.has(".faults li", "apache_volume: the plugin failed on the node")
	d.has(".faults li", "sensors_temp line 2")
	d.has(".category h2", "disk")
	d.has(".crumbs", "Corbie › office › print.example.com")
	d.has(".card h3", "Disk IOs per device + 2 inside")
	d.has(".card h3", "Temperatures ◆ unknown")
	if got := len(d.all(".card")); got != 12 {
		t.Errorf("%d graphs, want 12: children of a multigraph are on its own page", got)
	}
	if got := len(d.all(".card img[loading=lazy][width][height][alt]")); got != 24 {
		t.Errorf("%d pictures of fixed size with a description, want a day and a week of each", got)
	}
	for _, src := range d.attribute("#g-cpu img", "src") {
		if w := visit(t, s, src); w.Code != http.StatusOK || w.Header().Get("Content-Type") != "image/svg+xml" {
			t.Errorf("the picture %s: status %d, type %s", src, w.Code, w.Header().Get("Content-Type"))
		}
	}
}

func TestASilentHostSaysSinceWhenAndWhy(t *testing.T) {
	s := newServer(t, uitest.New(time.Now()))
	for _, path := range []string{"/h/db1.example.com", "/h/db1.example.com/cpu"} {
		d := open(t, s, path, http.StatusOK)
		d.has(".banner", "(3 h 20 min ago): connect to 192.0.2.21:4949: connection refused. Its last values are shown.")
	}
	d := open(t, s, "/h/new.example.com", http.StatusOK)
	d.has(".empty", "corbie poll new.example.com")
}

func TestShortNamesLeadToHostsAndAmbiguousOnesToAChoice(t *testing.T) {
	s := newServer(t, uitest.New(time.Now()))
	open(t, s, "/h/office;files.example.com", http.StatusOK).has("h1", "files.example.com")
	open(t, s, "/h/office%3Bfiles.example.com/df", http.StatusOK).has("h1", "Disk usage")
	d := open(t, s, "/h/web1.example.com/cpu", http.StatusMultipleChoices)
	d.has("h1", "Several hosts are called web1.example.com")
	d.hasAttribute("main a", "href", "/h/shop;web1.example.com/cpu")
	d.hasAttribute("main a", "href", "/h/lab;web1.example.com/cpu")
	open(t, s, "/h/lab;web1.example.com/cpu", http.StatusOK)
}

func TestTheGraphPageHasPicturesFiguresAndLinksForEveryMove(t *testing.T) {
	d := open(t, newServer(t, uitest.New(time.Now())), "/h/files.example.com/df?from=now-8d&to=now", http.StatusOK)
	d.has("h1", "Disk usage in percent")
	d.has(".periods [aria-current]", "week")
	d.has(".moves a", "earlier")
	d.has(".moves a", "zoom out")
	if got := len(d.all(".four img")); got != 4 {
		t.Errorf("%d small pictures, want day, week, month and year", got)
	}
	d.has("#fields tr", "/srv ■ critical")
	d.has("#fields tr", "above 92 above 98 _dev_sdb1 GAUGE")
	alt := d.attribute("#chart img", "alt")
	if len(alt) != 1 || !strings.Contains(alt[0], "/srv: now 98.") {
		t.Errorf("the picture is described as %q", alt)
	}
	d.hasAttribute(".files a", "href", "/h/files.example.com/df.csv?from=now-8d&to=now")
}

func TestTheGraphPageShowsWhatIsInsideAMultigraph(t *testing.T) {
	s := newServer(t, uitest.New(time.Now()))
	d := open(t, s, "/h/files.example.com/diskstats_iops", http.StatusOK)
	d.has("#inside .card", "IOs for /dev/sda")
	d.hasAttribute("#inside a", "href", "/h/files.example.com/diskstats_iops.sda")
	d = open(t, s, "/h/files.example.com/diskstats_iops.sda", http.StatusOK)
	d.has(".crumbs", "files.example.com › diskstats_iops › IOs for /dev/sda")
	if w := visit(t, s, "/h/files.example.com/diskstats_iops.sda.svg"); w.Header().Get("Content-Type") != "image/svg+xml" {
		t.Errorf("the picture of a name with dots is %s", w.Header().Get("Content-Type"))
	}
}

func TestTheFirstMinutesOfAHostAreShownLarge(t *testing.T) {
	f := uitest.New(time.Now())
	for i := range f.Known {
		f.Known[i].FirstSeen = f.Now.Add(-4 * time.Minute)
	}
	s := newServer(t, f)
	d := open(t, s, "/h/files.example.com", http.StatusOK)
	d.has("#g-cpu .period", "10 minutes")
	d.has("#g-cpu .period", "hour")
	d = open(t, s, "/h/files.example.com/cpu", http.StatusOK)
	d.has(".periods [aria-current]", "10 minutes")
	d.has(".periods a", "year")
}

func TestHTMLInAPluginsWordsIsShownAsText(t *testing.T) {
	d := open(t, newServer(t, uitest.New(time.Now())), "/h/files.example.com/if_eth0", http.StatusOK)
	d.has(".graph-info", "This graph shows the traffic of the eth0 network interface.")
}

func TestPicturesAreKeptUntilTheyChange(t *testing.T) {
	s := newServer(t, uitest.New(monday))
	first := visit(t, s, "/h/files.example.com/cpu.svg?from=2026-11-10&to=2026-11-12")
	tag := first.Header().Get("ETag")
	if tag == "" || first.Header().Get("Cache-Control") != "private, max-age=3600" && first.Header().Get("Cache-Control") != "private, max-age=150" {
		t.Fatalf("ETag %q, Cache-Control %q", tag, first.Header().Get("Cache-Control"))
	}
	again := visit(t, s, "/h/files.example.com/cpu.svg?from=2026-11-10&to=2026-11-12", "If-None-Match", `"other", W/`+tag)
	if again.Code != http.StatusNotModified || again.Body.Len() != 0 {
		t.Errorf("asked again: status %d with %d bytes", again.Code, again.Body.Len())
	}
}

func TestCSVHasARowForEveryStepAndNothingForUnknown(t *testing.T) {
	s := newServer(t, uitest.New(monday))
	w := visit(t, s, "/h/files.example.com/if_eth0.csv?from=2026-11-16T09:00&to=2026-11-16T12:00&step=30m")
	rows, err := csv.NewReader(w.Body).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 7 || strings.Join(rows[0], ",") != "time,down,up" {
		t.Fatalf("rows are %q", rows)
	}
	if rows[1][0] != "2026-11-16T09:00:00Z" || rows[1][1] == "" || rows[6][1] != "" {
		t.Errorf("the first row is %q, the last, in the future, %q", rows[1], rows[6])
	}
}

func TestJSONHasStepColumnsAndFields(t *testing.T) {
	w := visit(t, newServer(t, uitest.New(monday)), "/h/files.example.com/df.json?from=2026-11-16T09:00&to=2026-11-16T12:00&step=30m")
	var got struct {
		Host    string
		Start   time.Time
		Step    float64
		Columns map[string][]*float64
		Fields  []struct {
			Name, Label, Type, Warning string
			Now                        *float64
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	column := got.Columns["_dev_sdb1"]
	if got.Host != "office;files.example.com" || got.Step != 1800 || len(column) != 6 || column[0] == nil || column[5] != nil {
		t.Errorf("got %+v", got)
	}
	if f := got.Fields[1]; f.Name != "_dev_sdb1" || f.Label != "/srv" || f.Type != "GAUGE" || f.Warning != ":92" || f.Now == nil {
		t.Errorf("the field is %+v", f)
	}
}

func TestTheCapacityReportIsATable(t *testing.T) {
	f := uitest.New(time.Now())
	d := open(t, newServer(t, f), "/capacity", http.StatusOK)
	d.has("tr.critical", "■ filling files.example.com › /srv")
	d.has("tr.warning", "34 %")
	d.has(".waiting tr", "9 days of values; a forecast from 3 December on")
	f.Capacity = nil
	open(t, newServer(t, f), "/capacity", http.StatusOK).has(".empty", "corbie report capacity")
}

func TestTheCapacityReportOfALargeFleetShowsWhatMatters(t *testing.T) {
	f := uitest.New(time.Now())
	first := f.Capacity.Findings[0]
	for i := range 5000 {
		one := first
		one.ID.Field, one.Label, one.Verdict = fmt.Sprintf("f%d", i), fmt.Sprintf("disk %d", i), munin.NotInSight
		f.Capacity.Findings = append(f.Capacity.Findings, one)
	}
	s := newServer(t, f)
	d := open(t, s, "/capacity", http.StatusOK)
	d.has("tr.critical", "■ filling files.example.com › /srv")
	d.has(".note", "more do not fill up in that time")
	if n := visit(t, s, "/capacity").Body.Len(); n > 400_000 {
		t.Errorf("the page has %d bytes", n)
	}
	open(t, s, "/capacity?all=yes", http.StatusOK).has("table.capacity", "disk 4999")
	w := visit(t, s, "/capacity.csv")
	if n := strings.Count(w.Body.String(), "\n"); w.Code != http.StatusOK || n < 5000 || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/csv") {
		t.Errorf("as CSV: status %d, %d lines, %s", w.Code, n, w.Header().Get("Content-Type"))
	}
	f.Capacity = nil
	if w := visit(t, newServer(t, f), "/capacity.csv"); w.Code != http.StatusNotFound {
		t.Errorf("without a report: status %d", w.Code)
	}
}

func TestWhatIsNotThereSaysWhatToDo(t *testing.T) {
	s := newServer(t, uitest.New(time.Now()))
	d := open(t, s, "/h/file.example.org", http.StatusNotFound)
	d.has(".trouble", "There is no host file.example.org")
	d.hasAttribute(".trouble a", "href", "/h/files.example.com")
	open(t, s, "/h/files.example.com/nosuch", http.StatusNotFound).has(".trouble", "files.example.com has no graph nosuch")
	open(t, s, "/g/nosuch", http.StatusNotFound).has(".trouble", "There is no such page")
	open(t, s, "/nosuch/thing", http.StatusNotFound).hasAttribute(".trouble a", "href", "/")
	if w := visit(t, s, "/h/files.example.com/nosuch.svg"); w.Code != http.StatusNotFound || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") {
		t.Errorf("a missing picture: status %d, %s", w.Code, w.Header().Get("Content-Type"))
	}
}

func TestRequestsBeyondTheLimitsAreRefusedInWords(t *testing.T) {
	s := newServer(t, uitest.New(time.Now()))
	f := func(query, want string) {
		t.Helper()
		w := visit(t, s, "/h/files.example.com/cpu.svg?"+query)
		if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: status %d, %q, want %q", query, w.Code, w.Body, want)
		}
	}
	f("w=4001", "want 160 to 4000 pixels")
	f("h=1e9", "want 60 to 4000 pixels")
	f("from=now&to=now-1h", "empty or backwards")
	f("from=yesterday", "want now-24h")
	f("from=0&to=60000000000", "century")
	f("step=1s&from=now-30d", "more than 20000 rows")
	f("step=x", "want a duration")
	f("theme=pink", "want auto, light or dark")
	open(t, s, "/h/files.example.com/cpu?from=later", http.StatusBadRequest).has(".trouble", "later")
}

func TestAGraphIsAPictureForMailToo(t *testing.T) {
	s := newServer(t, uitest.New(time.Now()))
	for address, width := range map[string]int{
		"/h/files.example.com/cpu.png?from=now-30h&to=now":                  640,
		"/h/files.example.com/cpu.pngx2?w=300&h=120&theme=dark":             600,
		"/h/files.example.com/cpu.png?w=160&h=60&bare=1&from=now-8d&to=now": 160,
	} {
		w := visit(t, s, address)
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "image/png" || w.Header().Get("ETag") == "" {
			t.Fatalf("%s: status %d, %v", address, w.Code, w.Header())
		}
		img, err := png.DecodeConfig(w.Body)
		if err != nil || img.Width != width {
			t.Errorf("%s: %d pixels wide, %v, want %d", address, img.Width, err, width)
		}
	}
}

func TestAPictureLooksAheadWhereThePluginAsksForIt(t *testing.T) {
	f := uitest.New(time.Now())
	for id := range f.Drawn {
		for i := range f.Drawn[id] {
			f.Drawn[id][i].Extra = map[string]string{"graph_future": "24"}
		}
	}
	s := newServer(t, f)
	for address, want := range map[string]bool{
		"/h/files.example.com/load.svg?from=now-30h&to=now":           true,
		"/h/files.example.com/load.svg?from=now-30h&to=now-10h":       false,
		"/h/files.example.com/load.svg?from=1700000000&to=1700086400": false,
	} {
		if got := strings.Contains(visit(t, s, address+"&bare=1").Body.String(), ">now</text>"); got != want {
			t.Errorf("%s looks ahead: %v, want %v", address, got, want)
		}
	}
}

func TestMuninsAddressesLeadHere(t *testing.T) {
	s := newServer(t, uitest.New(time.Now()))
	f := func(old, want string) {
		t.Helper()
		w := visit(t, s, old)
		if got := w.Header().Get("Location"); w.Code != http.StatusFound || got != want {
			t.Errorf("%s: status %d to %q, want %q", old, w.Code, got, want)
		}
	}
	f("/office/files.example.com/cpu-week.png", "/h/files.example.com/cpu.png?from=now-8d&to=now&w=497&h=233")
	f("/office/files.example.com/diskstats_iops/sda-day.png", "/h/files.example.com/diskstats_iops.sda.png?from=now-30h&to=now&w=497&h=233")
	f("/office/files.example.com/cpu-hour.svg", "/h/files.example.com/cpu.svg?from=now-75m&to=now&w=497&h=233")
	f("/office/files.example.com/cpu-day.csv", "/h/files.example.com/cpu.csv?from=now-30h&to=now")
	f("/munin-cgi/munin-cgi-graph/office/files.example.com/cpu-pinpoint=1700000000,1700100000.png?size_x=800&size_y=400",
		"/h/files.example.com/cpu.png?from=1700000000&to=1700100000&w=897&h=458")
	f("/munin-cgi/munin-cgi-graph/office/files.example.com/cpu-day.png?size_x=99999&size_y=-1", "/h/files.example.com/cpu.png?from=now-30h&to=now&w=4000&h=233")
	f("/office/files.example.com/if_eth0-week-sum.png", "/h/files.example.com/if_eth0.png?from=now-8d&to=now&sum=hour&w=497&h=233")
	f("/office/files.example.com/if_eth0-year-sum.png", "/h/files.example.com/if_eth0.png?from=now-400d&to=now&sum=day&w=497&h=233")
	open(t, s, "/office/files.example.com/cpu-day-sum.png", http.StatusNotFound)
	f("/office/files.example.com/cpu.html", "/h/files.example.com/cpu")
	f("/shop/web1.example.com/index.html", "/h/shop;web1.example.com")
	open(t, s, "/office/nosuch/cpu-week.png", http.StatusNotFound)
	open(t, s, "/x.png", http.StatusNotFound)
}

// broken fails at what it is asked for.
type broken struct{ *uitest.Fleet }

func (broken) Query(context.Context, []munin.Source, munin.Range, time.Duration) ([]munin.Series, error) {
	return nil, errors.New("secret path /var/lib/corbie/raw is gone")
}

func TestAFailureBehindThePagesIsToldWithoutItsInsides(t *testing.T) {
	f := uitest.New(time.Now())
	s, err := ui.New(ui.Options{Catalog: f, Samples: broken{f}, States: f})
	if err != nil {
		t.Fatal(err)
	}
	w := visit(t, s, "/h/files.example.com/cpu")
	if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "secret") || !strings.Contains(w.Body.String(), "log says why") {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
	if _, err := ui.New(ui.Options{}); err == nil {
		t.Error("a server without a catalogue was made")
	}
}
