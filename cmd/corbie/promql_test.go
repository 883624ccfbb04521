package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"corbie/internal/testenv"
	"corbie/munin"
	"corbie/storage/storagetest"
)

// masterWithHistory has a year of hourly temperatures, 20 degrees and one more for each month, of a host that is not polled.
func masterWithHistory(t *testing.T, more string) *process {
	t.Helper()
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	now := time.Now().Truncate(time.Hour)
	values := map[munin.SeriesID]func(time.Time) float64{
		{Host: "hall;probe.test", Graph: "temperature.inside", Field: "rack1"}: func(at time.Time) float64 { return 20 + float64(at.Month()) },
		{Host: "hall;probe.test", Graph: "visitors", Field: "door"}:            func(at time.Time) float64 { return float64(at.Unix() * 2) },
	}
	if err := os.MkdirAll(data, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := storagetest.Backfill(data, values, munin.Range{From: now.AddDate(-1, 0, 0), To: now}, time.Hour); err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(dir, "corbie.yml")
	testenv.WriteFile(t, conf, "interval: 1h\nhosts: {hall;probe.test: '"+testenv.FreeAddress(t, "tcp")+"'}\n"+more, 0o644)
	return startMaster(t, data, conf)
}

func TestPromtoolAsksTheMasterAsItWouldAskPrometheus(t *testing.T) {
	t.Parallel()
	promtool := testenv.Program(t, "promtool")
	master := masterWithHistory(t, "")
	now := time.Now().Truncate(time.Hour)
	run := func(args ...string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), promtool, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("promtool %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	stamp := func(at time.Time) string { return fmt.Sprint(at.Unix()) }
	out := run("query", "range", "--start="+stamp(now.Add(-24*time.Hour)), "--end="+stamp(now.Add(-time.Hour)), "--step=1h", master.url(),
		`munin_temperature{host="probe.test"}`)
	t.Logf("promtool query range:\n%s", out)
	if !strings.Contains(out, `munin_temperature{field="rack1", graph="temperature.inside", group="hall", host="probe.test"} =>`) || strings.Count(out, "@[") != 24 {
		t.Error("promtool query range does not print 24 temperatures")
	}
	// Eleven months in days, from the greatest values of each.
	out = run("query", "range", "--start="+stamp(now.AddDate(0, -11, 0)), "--end="+stamp(now), "--step=24h", master.url(),
		`munin_temperature{rollup="max"}`)
	if n := strings.Count(out, "@["); n < 330 || n > 340 || !strings.Contains(out, `rollup="max"`) {
		t.Errorf("%d days of eleven months have a greatest value:\n%.2000s", n, out)
	}
	if out := run("query", "instant", master.url(), `count(rate(munin_visitors[3h]))`); !strings.Contains(out, "=> 1 @") {
		t.Errorf("instant: %s", out)
	}
	if out := run("query", "series", "--match={host=\"probe.test\"}", master.url()); strings.Count(out, "munin_") != 2 {
		t.Errorf("series: %s", out)
	}
	if out := run("query", "labels", master.url(), "graph"); !strings.Contains(out, "temperature.inside") || !strings.Contains(out, "visitors") {
		t.Errorf("labels: %s", out)
	}
}

// ask posts a form, as Grafana's data source does, and gives what is in data.
func (p *process) ask(t *testing.T, method, path string, form url.Values) (int, json.RawMessage) {
	t.Helper()
	address, body := p.url()+path, ""
	if method == http.MethodPost {
		body = form.Encode()
	} else if len(form) > 0 {
		address += "?" + form.Encode()
	}
	req, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := new(http.Client).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		Status string          `json:"status"`
		Data   json.RawMessage `json:"data"`
		Error  string          `json:"error"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil && resp.StatusCode/100 == 2 {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	if answer.Status != "success" {
		return resp.StatusCode, json.RawMessage(answer.Error)
	}
	return resp.StatusCode, answer.Data
}

func TestGrafanasDataSourceFindsWhatItAsksFor(t *testing.T) {
	t.Parallel()
	master := masterWithHistory(t, "query: {max_samples: 10000, max_body: 1M}\n")
	now := time.Now().Unix()
	window := url.Values{"start": {fmt.Sprint(now - 7*86400)}, "end": {fmt.Sprint(now)}}
	with := func(pairs ...string) url.Values {
		out := url.Values{"start": window["start"], "end": window["end"]}
		for i := 0; i < len(pairs); i += 2 {
			out.Set(pairs[i], pairs[i+1])
		}
		return out
	}
	for _, c := range []struct {
		method, path string
		form         url.Values
		want         string
	}{
		{http.MethodPost, "/api/v1/query", url.Values{"query": {"1+1"}, "time": {fmt.Sprint(now)}}, `"2"`}, // "Save and test"
		{http.MethodGet, "/api/v1/status/buildinfo", nil, `"version":"3.`},
		{http.MethodGet, "/api/v1/metadata", url.Values{"limit": {"10"}}, `{}`},
		{http.MethodGet, "/api/v1/label/__name__/values", window, "munin_temperature"},
		{http.MethodPost, "/api/v1/labels", with("match[]", "munin_temperature"), `"graph","group","host"`},
		{http.MethodPost, "/api/v1/series", with("match[]", `{group="hall"}`), `"host":"probe.test"`},
		{http.MethodPost, "/api/v1/query_range", with("query", "munin_temperature", "step", "3600"), `"matrix"`},
		{http.MethodGet, "/api/v1/status/runtimeinfo", nil, `"reloadConfigSuccess":true`},
		{http.MethodGet, "/api/v1/status/flags", nil, `"query.max-samples":"10000"`},
		{http.MethodGet, "/api/v1/targets", url.Values{"state": {"active"}}, `"activeTargets":[]`},
		{http.MethodGet, "/api/v1/alertmanagers", nil, `"activeAlertmanagers":[]`},
		{http.MethodGet, "/api/v1/alerts", nil, `"alerts":[]`},
		{http.MethodGet, "/api/v1/rules", nil, `"groups":[]`},
		{http.MethodPost, "/api/v1/format_query", url.Values{"query": {"sum  by(host)(munin_load)"}}, "sum by (host) (munin_load)"},
		{http.MethodGet, "/api/v1/query_exemplars", with("query", "munin_temperature"), `[]`},
	} {
		status, data := master.ask(t, c.method, c.path, c.form)
		if status != http.StatusOK || !strings.Contains(string(data), c.want) {
			t.Errorf("%s %s: %d %.500s, want %q", c.method, c.path, status, data, c.want)
		}
	}
	for path, form := range map[string]url.Values{
		"/api/v1/query_range":              with("query", "max_over_time({host=\"probe.test\"}[300d])", "step", "60"),
		"/api/v1/query":                    {"query": {"sum("}},
		"/api/v1/admin/tsdb/delete_series": {"match[]": {"{host=~\".+\"}"}},
		"/api/v1/write":                    {},
		"/api/v1/labels":                   {"match[]": {"{host=\"" + strings.Repeat("x", 2<<20) + "\"}"}},
	} {
		if status, data := master.ask(t, http.MethodPost, path, form); status/100 != 4 {
			t.Errorf("%s is not refused: %d %.300s", path, status, data)
		}
	}
	for _, path := range []string{"/-/healthy", "/-/ready"} {
		testenv.Eventually(t, path+" is answered once a poll is over", func() bool {
			status, _ := testenv.Get(t, master.url()+path)
			return status == http.StatusOK
		})
	}
	for _, path := range []string{"parse_query?query=1", "status/config", "status/tsdb", "nothing"} {
		status, text := testenv.Get(t, master.url()+"/api/v1/"+path)
		if status != http.StatusNotFound || !strings.Contains(text, `"status":"error","errorType":"not_found"`) {
			t.Errorf("/api/v1/%s, which is not served: %d %s", path, status, text)
		}
	}
	if status, text := testenv.Get(t, master.url()+"/federate?match[]=munin_temperature"); status != http.StatusOK ||
		!strings.Contains(text, `munin_temperature{field="rack1",graph="temperature.inside",group="hall",host="probe.test"}`) {
		t.Errorf("federate: %d %s", status, text)
	}
	if status, text := testenv.Get(t, master.url()+"/federate"); status != http.StatusBadRequest || !strings.Contains(text, "match[]") {
		t.Errorf("federate of nothing: %d %s", status, text)
	}
}
