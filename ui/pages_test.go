package ui_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"image/png"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"corbie/munin"
	"corbie/ui"
	"corbie/ui/uitest"
)

// ackForm acknowledges the full disk of the fleet.
func ackForm(f *uitest.Fleet) url.Values {
	form := url.Values{"host": {"office;files.example.com"}, "graph": {"df"}, "field": {"_dev_sdb1"}, "by": {"ann"}, "comment": {"on it"}, "back": {"/problems"}}
	_ = f
	return form
}

func TestAnAcknowledgedProblemStandsApartUntilItBecomesWorse(t *testing.T) {
	f := uitest.New(time.Now())
	s := newServer(t, f)
	for i := range f.Watched {
		if f.Watched[i].ID.Graph == "df" && f.Watched[i].ID.Host == "office;files.example.com" {
			f.Watched[i].Level, f.Watched[i].Open = munin.Warning, munin.Warning
		}
	}
	if w := post(t, s, "/problems/ack", ackForm(f)); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/problems" {
		t.Fatalf("status %d, to %q: %s", w.Code, w.Header().Get("Location"), w.Body)
	}
	d := open(t, s, "/problems", http.StatusOK)
	d.has(".acknowledged tr", "files.example.com")
	d.has(".acknowledged .do", "ann, just now:on it")
	d.has(".counts", "1 acknowledged")
	d.has(".page-problems", "1 critical")
	for i := range f.Watched {
		if f.Watched[i].ID.Graph == "df" && f.Watched[i].ID.Host == "office;files.example.com" {
			f.Watched[i].Level, f.Watched[i].Open = munin.Critical, munin.Critical
		}
	}
	if w := post(t, s, "/preferences", url.Values{}); w.Code != http.StatusSeeOther { // what was read a moment ago is forgotten
		t.Fatal(w.Code)
	}
	d = open(t, s, "/problems", http.StatusOK)
	d.has(".counts", "2 critical")
	if len(d.all(".acknowledged")) > 0 {
		t.Error("a problem that became worse still counts as acknowledged")
	}
}

func TestNothingChangesWithoutAFormOfThesePages(t *testing.T) {
	f := uitest.New(time.Now())
	s := newServer(t, f)
	send := func(path string, form url.Values, header ...string) int {
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for i := 0; i+1 < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		return w.Code
	}
	if got := send("/problems/ack", ackForm(f)); got != http.StatusForbidden {
		t.Errorf("a form without a token: status %d", got)
	}
	forged := ackForm(f)
	forged.Set("token", strings.Repeat("a", 64))
	if got := send("/problems/ack", forged, "Cookie", "corbie_form=0123456789abcdef0123456789abcdef"); got != http.StatusForbidden {
		t.Errorf("a form with a made-up token: status %d", got)
	}
	for _, path := range []string{"/api/annotations", "/changes", "/views", "/preferences"} {
		if got := send(path, url.Values{"text": {"x"}}, "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"); got != http.StatusForbidden {
			t.Errorf("%s from another site: status %d", path, got)
		}
	}
	if acks, err := f.Acks(t.Context()); err != nil || len(acks) != 0 {
		t.Errorf("acknowledged: %v, %v", acks, err)
	}
	for _, back := range []string{"//evil.example/", "https://evil.example/", "/\\evil.example", "javascript:alert(1)", ""} {
		w := post(t, s, "/preferences", url.Values{"back": {back}})
		if got := w.Header().Get("Location"); got != "/" {
			t.Errorf("back=%q leads to %q", back, got)
		}
	}
}

func TestAProgramNotesADeployByOneCall(t *testing.T) {
	s := newServer(t, uitest.New(time.Now()))
	call := func(kind, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, "/api/annotations", strings.NewReader(body))
		r.Header.Set("Content-Type", kind)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		return w
	}
	w := call("application/x-www-form-urlencoded", "kind=deploy&where=shop&text=shop+1.5")
	var a munin.Annotation
	if err := json.Unmarshal(w.Body.Bytes(), &a); w.Code != http.StatusCreated || err != nil || a.Text != "shop 1.5" || a.Where != "shop" || a.Kind != munin.Deploy {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if w := call("application/json", `{"text":"new kernel","where":"files.example.com","at":"now-10m","until":"now"}`); w.Code != http.StatusCreated {
		t.Errorf("as JSON: %d %s", w.Code, w.Body)
	}
	for body, want := range map[string]string{
		"text=":                         "needs a text",
		"text=x&where=nowhere":          `there is no host or group "nowhere"`,
		"text=x&where=web1.example.com": "say its group too",
		"text=x&kind=problem":           "want note, deploy",
		"text=x&at=soon":                "time",
	} {
		if w := call("application/x-www-form-urlencoded", body); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s, want %q", body, w.Code, w.Body, want)
		}
	}
	list := visit(t, s, "/api/annotations?from=now-1h&to=now%2B1m")
	if !strings.Contains(list.Body.String(), "new kernel") || !strings.Contains(list.Body.String(), "shop 1.5") {
		t.Errorf("the list is %s", list.Body)
	}
	if picture := visit(t, s, "/h/files.example.com/cpu.svg?from=now-1h&to=now").Body.String(); !strings.Contains(picture, "new kernel") || strings.Contains(picture, "shop 1.5") {
		t.Error("the picture shows what does not touch it, or not what does")
	}
}

func TestTheFeedIsAtomAndTellsOfOpenProblems(t *testing.T) {
	w := visit(t, newServer(t, uitest.New(time.Now())), "/feed.atom")
	var feed struct {
		XMLName xml.Name `xml:"http://www.w3.org/2005/Atom feed"`
		Entries []struct {
			ID      string    `xml:"id"`
			Title   string    `xml:"title"`
			Updated time.Time `xml:"updated"`
		} `xml:"entry"`
	}
	if err := xml.Unmarshal(w.Body.Bytes(), &feed); err != nil {
		t.Fatal(err)
	}
	ids := make(map[string]bool)
	var titles []string
	for _, e := range feed.Entries {
		if ids[e.ID] || e.Updated.IsZero() {
			t.Errorf("entry %+v", e)
		}
		ids[e.ID] = true
		titles = append(titles, e.Title)
	}
	all := strings.Join(titles, "\n")
	for _, want := range []string{"web2.example.com › load.load: warning", "db1.example.com: critical", "files.example.com › load.load: ok"} {
		if !strings.Contains(all, want) {
			t.Errorf("no entry %q in\n%s", want, all)
		}
	}
}

func TestTheInventorySaysWhoLacksAPluginAlsoAsCSV(t *testing.T) {
	f := uitest.New(time.Now())
	lab := munin.HostID("lab;web1.example.com")
	kept := f.Drawn[lab][:0:0]
	for _, g := range f.Drawn[lab] {
		if g.Plugin != "cpu" {
			kept = append(kept, g)
		}
	}
	f.Drawn[lab] = kept
	f.Known[0].Banner = "=HYPERLINK(1)"
	s := newServer(t, f)
	d := open(t, s, "/inventory", http.StatusOK)
	d.has("#plugin-cpu", "2 hosts") // and the one that never answered
	d = open(t, s, "/inventory?lacks=cpu", http.StatusOK)
	d.has("h1", "2 hosts lack the plugin cpu")
	d.has(".inventory", "web1.example.com lab")
	d = open(t, s, "/inventory?tag=office", http.StatusOK)
	d.has("h1", "2 hosts have the tag office")
	rows, err := csv.NewReader(visit(t, s, "/inventory.csv").Body).ReadAll()
	if err != nil || len(rows) != 8 || rows[0][0] != "host" {
		t.Fatalf("%v, %q", err, rows)
	}
	for _, row := range rows {
		if strings.HasPrefix(row[7], "=") {
			t.Errorf("a spreadsheet would run %q", row[7])
		}
	}
	if got := rows[0][12:]; !slices.Equal(got, []string{"rack", "ipmi", "note", "serial"}) {
		t.Errorf("the columns of facts are %q, want those of most hosts first", got)
	}
	at := slices.IndexFunc(rows, func(row []string) bool { return row[0] == "web1.example.com" && row[1] == "shop" })
	if got := rows[at][12:]; !slices.Equal(got, []string{"B7", "yes", "'=1+1", "5CG8371XQ2"}) {
		t.Errorf("the facts are %q", got)
	}
}

func TestFactsOfAHostAreOnItsPageInTheInventoryAndFound(t *testing.T) {
	f := uitest.New(time.Now())
	s := newServer(t, f)
	open(t, s, "/h/shop;web1.example.com", http.StatusOK).has(".facts", "rack B7 · serial 5CG8371XQ2")
	if got := open(t, s, "/h/files.example.com", http.StatusOK).texts(".facts"); len(got) > 0 {
		t.Errorf("a host without facts shows %q", got)
	}
	open(t, s, "/inventory", http.StatusOK).has(".inventory", "5CG8371XQ2")
	d := open(t, s, "/search?q=5cg837", http.StatusOK)
	d.has("main", "shop · warning · serial 5CG8371XQ2")
}

func TestMoreFactsThanColumnsAreAllInTheCSV(t *testing.T) {
	f := uitest.New(time.Now())
	facts := make(map[string]string)
	for i := range 25 {
		facts[fmt.Sprintf("fact%02d", i)] = "v"
	}
	s, err := ui.New(ui.Options{Catalog: f, Samples: f, Index: f, Facts: func(munin.HostID) map[string]string { return facts }})
	if err != nil {
		t.Fatal(err)
	}
	d := open(t, s, "/inventory", http.StatusOK)
	d.has(".note", "There are 5 more facts than columns")
	if got := strings.Count(d.texts(".inventory thead")[0], "fact"); got != 20 {
		t.Errorf("%d columns of facts", got)
	}
	if got := strings.Count(visit(t, s, "/inventory.csv").Body.String(), "fact"); got != 25 {
		t.Errorf("the CSV has %d facts", got)
	}
}

func TestWhatIsMissingIsNamedWithItsReason(t *testing.T) {
	s := newServer(t, uitest.New(time.Now()))
	d := open(t, s, "/missing", http.StatusOK)
	d.has("main", "look up new.example.com: no such host")
	d.has(".missing", "apache_volume")
	d.has(".missing", `"n/a" is not a number`)
	d = open(t, s, "/missing?host=files.example.com", http.StatusOK)
	d.has(".calm", "Nothing is missing.")
}

func TestSearchIsFuzzyOverHostsGraphsFieldsGroupsAndTags(t *testing.T) {
	s := newServer(t, uitest.New(time.Now()))
	for query, want := range map[string]string{
		"files":          "host files.example.com",
		"offi":           "group office",
		"production":     "tag production",
		"sensors":        "category sensors",
		"dskusg":         "graph Disk usage in percent",
		"sda1":           "field /",
		"web2 load":      "graph web2.example.com › Load average",
		"web2/load":      "graph web2.example.com › Load average",
		"192.0.2.12":     "host web2.example.com",
		"LOAD average":   "graph Load average",
		"nothing at all": "",
	} {
		var hits []struct{ Kind, Text, URL string }
		if err := json.Unmarshal(visit(t, s, "/search.json?"+url.Values{"q": {query}}.Encode()).Body.Bytes(), &hits); err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, h := range hits {
			got += h.Kind + " " + h.Text + "\n"
		}
		if want == "" && got != "" || want != "" && !strings.Contains(got, want+"\n") {
			t.Errorf("%q finds %q, want %q", query, got, want)
		}
		if d := open(t, s, "/search?"+url.Values{"q": {query}}.Encode(), http.StatusOK); want != "" && len(d.all(".hits li")) == 0 {
			t.Errorf("the page finds nothing for %q", query)
		}
	}
}

func TestAGraphAcrossHostsIsRankedAsItsPicturesAreDrawn(t *testing.T) {
	s := newServer(t, uitest.New(time.Now()))
	d := open(t, s, "/x/df?field=_dev_sdb1&sort=max", http.StatusOK)
	if rows := d.texts(".ranking tbody tr"); len(rows) != 6 || !strings.HasPrefix(rows[0], "1 files.example.com office /srv ■ critical") {
		t.Errorf("the ranking is %q", rows)
	}
	d.has("main", "1 lacks it")
	picture := visit(t, s, "/x/df.svg?field=_dev_sdb1").Body.String()
	for _, want := range []string{"files.example.com", "lab › web1.example.com", "shop › web1.example.com"} {
		if !strings.Contains(picture, want) {
			t.Errorf("the picture has no curve %q", want)
		}
	}
	open(t, s, "/x/nothing", http.StatusNotFound)
	open(t, s, "/c/nothing", http.StatusNotFound)
	d = open(t, s, "/c/disk?group=shop", http.StatusOK)
	d.has("#k-df h2", "on 3 hosts")
}

func TestTimesAreShownInTheChosenZone(t *testing.T) {
	s := newServer(t, uitest.New(time.Now()))
	utc := open(t, s, "/h/web2.example.com/load?from=1795200000&to=1795210000", http.StatusOK)
	utc.has("#range", "Fri 20 Nov 2026, 18:40 to 21:26")
	w := visit(t, s, "/h/web2.example.com/load?from=1795200000&to=1795210000", "Cookie", "corbie_zone=Asia%2FTokyo")
	body := w.Body.String()
	for _, want := range []string{"Sat 21 Nov 2026, 03:40 to 06:26", "JST", "tz=Asia%2FTokyo", `<option value="Asia/Tokyo" selected>`} {
		if !strings.Contains(body, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	w = visit(t, s, "/", "Cookie", "corbie_zone=..%2F..%2Fetc%2Fpasswd; corbie_theme=%22%3E")
	if w.Code != http.StatusOK || strings.Contains(w.Body.String(), "passwd") {
		t.Errorf("a made-up zone: status %d", w.Code)
	}
}

func TestAViewShowsItsGraphsInTheirOrderAndSaysWhatIsGone(t *testing.T) {
	f := uitest.New(time.Now())
	s := newServer(t, f)
	w := post(t, s, "/views", url.Values{"title": {"Disks"}, "items": {"files.example.com/df\r\nweb2.example.com/load\nweb2.example.com/gone\n"}, "from": {"now-7d"}})
	if w.Header().Get("Location") != "/v/disks" {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	d := open(t, s, "/v/disks", http.StatusOK)
	if got := d.texts(".card h3"); len(got) != 2 || !strings.HasPrefix(got[0], "files.example.com › Disk usage") {
		t.Errorf("graphs are %q", got)
	}
	d.has(".note", "shop;web2.example.com/gone")
	for items, want := range map[string]string{"x": "want HOST/GRAPH", "nobody/df": "no host", "web1.example.com/df": "say its group too", "": "at least one"} {
		if w := post(t, s, "/views", url.Values{"title": {"Bad"}, "items": {items}}); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%q: status %d, want %q", items, w.Code, want)
		}
	}
	if w := post(t, s, "/views", url.Values{"remove": {"disks"}}); w.Code != http.StatusSeeOther {
		t.Error(w.Code)
	}
	open(t, s, "/v/disks", http.StatusNotFound)
}

func TestAThousandHostsShowTheBrokenOnesFirst(t *testing.T) {
	s := newServer(t, uitest.Large(time.Now(), 1000))
	d := open(t, s, "/", http.StatusOK)
	wrong := d.texts(".wrong-hosts tbody tr")
	if len(wrong) == 0 || len(wrong) > 40 || !strings.HasPrefix(wrong[0], "■ critical") {
		t.Errorf("%d hosts with problems, the first is %q", len(wrong), wrong[:min(len(wrong), 1)])
	}
	if got := len(d.all(".chips li")); got != 1000 {
		t.Errorf("%d hosts are shown", got)
	}
}

func TestAPictureIsDrawnForMails(t *testing.T) {
	f := uitest.New(time.Now())
	s := newServer(t, f)
	body, err := s.Picture(t.Context(), "shop;web2.example.com", "cpu")
	if err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(bytes.NewReader(body))
	if err != nil || img.Bounds().Dx() != 640 || img.Bounds().Dy() < 260 || len(body) > 100_000 {
		t.Errorf("%d bytes, %v, %v", len(body), img.Bounds(), err)
	}
	if _, err := s.Picture(t.Context(), "shop;web2.example.com", "nothing"); !errors.Is(err, munin.ErrNotFound) {
		t.Errorf("a graph that is not there: %v", err)
	}
	if _, err := s.Picture(t.Context(), "nobody", "cpu"); !errors.Is(err, munin.ErrNotFound) {
		t.Errorf("a host that is not there: %v", err)
	}
}

func TestWhatANodeSaysOfAFailureIsReadInLines(t *testing.T) {
	f := uitest.New(time.Now())
	long := strings.Repeat("x", 190)
	f.Broken["office;print.example.com"] = []munin.Fault{{Plugin: "queue", Reason: `fetch failed on the node at noon: bad exit; it wrote "no \"table\"; ` +
		long + `"; it has not gone well since the node was started; to see more, run "corbie-node run queue" there`}}
	d := open(t, newServer(t, f), "/missing?host=print.example.com", http.StatusOK)
	want := []string{
		`it wrote "no \"table\"; ` + long + `"`, "it has not gone well since the node was started", `to see more, run "corbie-node run queue" there`,
	}
	if got := d.texts(".missing td .quiet"); !slices.Equal(got, want) {
		t.Errorf("the lines are %q", got)
	}
	d.has(".missing", "fetch failed on the node at noon: bad exit")
}
