package ui_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"corbie/munin"
	"corbie/ui/uitest"
)

// fleetWith is the made-up fleet with attributes added to a graph of files.example.com.
func fleetWith(graph string, attributes map[string]string) *uitest.Fleet {
	f := uitest.New(time.Now())
	graphs := f.Drawn["office;files.example.com"]
	for i := range graphs {
		if graphs[i].Name == graph {
			graphs[i].Extra = attributes
		}
	}
	return f
}

func TestGraphSumsShowsWhatRatesAddUpTo(t *testing.T) {
	s := newServer(t, fleetWith("if_eth0", map[string]string{"graph_sums": "yes"}))
	const url = "/h/files.example.com/if_eth0"
	page := visit(t, s, url).Body.String()
	for _, want := range []string{
		`week, sums by the hour</span>`, `year, sums by the day</span>`, `from=now-8d&amp;to=now&amp;sum=hour"`,
		`if_eth0.svg?bare=1&amp;from=now-400d`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not hold %q", want)
		}
	}
	if strings.Contains(visit(t, s, "/h/files.example.com/cpu").Body.String(), "sums by") {
		t.Error("a graph without graph_sums shows them")
	}
	summed := visit(t, s, url+"?sum=hour&compare=week").Body.String()
	for _, want := range []string{
		`a value stands for 1 h`, `&amp;sum=hour&amp;compare=year"`, `name="sum" value="hour"`, `.json?from=now-8d&amp;to=now&amp;sum=hour&amp;compare=week&amp;live=1`,
		`aria-current="true"><bdi>by the hour</bdi>`,
	} {
		if !strings.Contains(summed, want) {
			t.Errorf("the page of sums does not hold %q", want)
		}
	}
	var doc struct {
		Unit    string
		Step    float64
		Columns map[string][]*float64
	}
	read := func(query string) float64 {
		t.Helper()
		if err := json.Unmarshal(visit(t, s, url+".json"+query).Body.Bytes(), &doc); err != nil {
			t.Fatal(err)
		}
		for _, v := range doc.Columns["up"] {
			if v != nil {
				return *v
			}
		}
		t.Fatalf("%s has no values", query)
		return 0
	}
	rate := read("?from=now-8d&to=now&step=1h")
	if sum := read("?from=now-8d&to=now&sum=hour"); doc.Step != 3600 || !strings.HasSuffix(doc.Unit, "per hour") || sum < rate*3599 || sum > rate*3601 {
		t.Errorf("the first sum is %v %s in steps of %v s, the rate %v", sum, doc.Unit, doc.Step, rate)
	}
	open(t, s, url+"?sum=week", http.StatusBadRequest)
	open(t, s, url+".svg?sum=day", http.StatusOK)
}

func TestAPictureIsAsLargeAsItsGraphWantsIt(t *testing.T) {
	s := newServer(t, fleetWith("cpu", map[string]string{"graph_width": "800", "graph_height": "350"}))
	f := func(url, want string) {
		t.Helper()
		if body := visit(t, s, url).Body.String(); !strings.Contains(body, want) {
			t.Errorf("%s does not hold %q: %.400s", url, want, body)
		}
	}
	f("/h/files.example.com/cpu.svg", `width="1280"`)
	f("/h/files.example.com/cpu.svg?w=300", `width="300"`)
	f("/h/files.example.com/cpu.svg?bare=1&h=100&w=300", `height="100"`)
	f("/h/files.example.com/cpu", `data-height="680"`)
	f("/h/files.example.com/load", `data-height="340"`)
	w := visit(t, s, "/office/files.example.com/cpu-day.png")
	if got := w.Header().Get("Location"); got != "/h/files.example.com/cpu.png?from=now-30h&to=now&w=897&h=408" {
		t.Errorf("Munin's picture is at %s", got)
	}
}

func TestAnAlertOfARuleShowsTheGraphThatItIsAbout(t *testing.T) {
	f := uitest.New(time.Now())
	for _, labels := range []string{`graph="load", severity="warning"`, `graph="nosuch"`, `severity="page"`} {
		f.Watched = append(f.Watched, munin.AlertState{
			ID:    munin.SeriesID{Host: "office;files.example.com", Graph: munin.RuleGraph("Busy"), Field: labels},
			Level: munin.Warning, Open: munin.Warning, Since: f.Now.Add(-time.Hour), OpenSince: f.Now.Add(-time.Hour), Value: 9, Reason: "munin_load > 8 gives 9",
		})
	}
	d := open(t, newServer(t, f), "/problems", http.StatusOK)
	rows := map[string]string{}
	for _, row := range d.all(".problems tr") {
		var b strings.Builder
		if err := html.Render(&b, row); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"graph=&#34;load&#34;", "graph=&#34;nosuch&#34;", "{severity=&#34;page&#34;}"} {
			if strings.Contains(b.String(), name) {
				rows[name] = b.String()
			}
		}
	}
	for name, want := range map[string]string{
		"graph=&#34;load&#34;": `href="/h/files.example.com/load"`, "graph=&#34;nosuch&#34;": `href="/h/office;files.example.com"`,
		"{severity=&#34;page&#34;}": `href="/h/files.example.com"`,
	} {
		if picture := strings.Contains(rows[name], "<img"); !strings.Contains(rows[name], want) || picture != strings.Contains(name, "load") {
			t.Errorf("%s: the row is %s", name, rows[name])
		}
	}
}
