package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"corbie/internal/testenv"
	"corbie/storage/storagetest/engine"
)

// writeGate stands before an engine and lets writes through while it is open; questions always.
type writeGate struct {
	*httptest.Server

	shut atomic.Bool
}

func newWriteGate(t *testing.T, e *engine.Engine) *writeGate {
	t.Helper()
	to, err := url.Parse(e.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy, g := httputil.NewSingleHostReverseProxy(to), &writeGate{}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if g.shut.Load() && r.URL.Path == "/api/v1/write" {
			http.Error(w, "not now", http.StatusServiceUnavailable)
			return
		}
		body, err := io.ReadAll(r.Body) // else the answer may come before the end of the question, which ReverseProxy does not bear
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(g.Close)
	return g
}

// metric is the value of a metric of a master.
func (p *process) metric(t *testing.T, name string) float64 {
	t.Helper()
	text := p.page(t, "/metrics")
	_, rest, _ := strings.Cut(text, "\n"+name+" ")
	value, _, _ := strings.Cut(rest, "\n")
	var v float64
	if _, err := fmt.Sscan(value, &v); err != nil {
		t.Fatalf("%s is %q: %v", name, value, err)
	}
	return v
}

func TestToolsReadFromTheEngineAndABackupBringsTheQueueBack(t *testing.T) {
	t.Parallel()
	for kind, start := range map[string]func(testing.TB) *engine.Engine{"prometheus": engine.Prometheus, "victoriametrics": engine.VictoriaMetrics} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			e := start(t)
			backedUp(t, kind, e, newWriteGate(t, e))
		})
	}
}

func backedUp(t *testing.T, kind string, e *engine.Engine, g *writeGate) {
	t.Helper()
	dir, conf := remoteConfig(t, kind, g.URL, "")
	data, place := filepath.Join(dir, "data"), filepath.Join(dir, "restored")
	master := startMaster(t, data, conf)
	rows := func(folder string) []string {
		t.Helper()
		e.Flush(t)
		out, _, _ := corbie(t, "export", "--config", conf, "--data", folder, "node.test", "load") // before the first poll there is no such graph
		return strings.Split(strings.TrimSpace(out), "\n")
	}
	testenv.Eventually(t, "some values are in the engine", func() bool { return len(rows(data)) > 6 })
	for _, c := range []struct {
		want string
		args []string
	}{
		{"node.test", []string{"hosts"}},
		{"load", []string{"graphs", "node.test"}},
		{"", []string{"problems"}},
		{`"findings"`, []string{"report", "capacity", "--format", "json"}},
		{`"field":"quiet"`, []string{"export", "node.test", "--format", "jsonl"}},
		{`field="quiet"`, []string{"export", "--all", "--format", "openmetrics"}},
		{",load,quiet,", []string{"export", "node.test", "--step", "1s", "--from", "now-1m"}},
		{"files", []string{"export", "site", filepath.Join(dir, "site")}},
	} {
		out, talk, code := corbie(t, append(c.args, "--config", conf, "--data", data)...)
		if code != exitOK || !strings.Contains(out, c.want) {
			t.Errorf("corbie %v: exit %d %s\n%.1000s", c.args, code, talk, out)
		}
	}
	if _, talk, code := corbie(t, "import", "munin", "--config", conf, "--data", data); code != exitFailed || !strings.Contains(talk, "storage: embedded") {
		t.Errorf("import: exit %d %s", code, talk)
	}

	g.shut.Store(true)
	shut := master.metric(t, "corbie_polls_total")
	testenv.Eventually(t, "values of several polls wait in the queue", func() bool { return master.metric(t, "corbie_polls_total") >= shut+4 })
	waiting := master.metric(t, "corbie_remote_queued_samples")
	copied := filepath.Join(dir, "backup")
	for _, args := range [][]string{{"backup", copied}, {"backup", "--check", copied}} {
		out := mustCorbie(t, append(args, "--config", conf, "--data", data)...)
		if !strings.Contains(out, "Samples are not in it: "+kind+" at "+g.URL+" keeps them") || !strings.Contains(out, "snapshot") {
			t.Errorf("corbie %v does not say where samples are: %s", args, out)
		}
	}
	before := rows(data)
	master.Kill()
	if out := mustCorbie(t, "restore", copied, "--config", conf, "--data", place); !strings.Contains(out, "Samples are in the remote engine") {
		t.Errorf("restore says %q", out)
	}
	// Nothing is polled any more: what arrives was in the queue.
	text := string(mustRead(t, conf))
	from := strings.Index(text, "hosts:")
	testenv.WriteFile(t, conf, text[:from]+text[from+strings.Index(text[from:], "\n")+1:], 0o644)
	master = startMaster(t, place, conf)
	if got := master.metric(t, "corbie_remote_queued_samples"); got < waiting {
		t.Errorf("%v samples wait in the restored queue, want %v", got, waiting)
	}
	g.shut.Store(false)
	testenv.Eventually(t, "what waited is sent", func() bool { return master.metric(t, "corbie_remote_sent_samples_total") >= waiting })
	// Of the four polls the first may have been on its way when the gate was shut; each has two values.
	testenv.Eventually(t, "what waited can be exported", func() bool { return len(rows(place)) >= len(before)+6 })
	after := strings.Join(rows(place), "\n")
	for _, row := range before {
		if !strings.Contains(after, row) {
			t.Errorf("the export lacks %s, which was in the engine before", row)
		}
	}
	if out := mustCorbie(t, "hosts", "--config", conf, "--data", place, "--format", "json"); !json.Valid([]byte(out)) || !strings.Contains(out, "node.test") {
		t.Errorf("hosts: %s", out)
	}
}
