package main

import (
	"encoding/csv"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"corbie/internal/testenv"
	"corbie/storage/storagetest/engine"
)

// remoteConfig polls a node with one graph, a gauge of 42 and a counter that grows by 10 a second, and keeps its samples in an engine. The
// counter tells its time, so that its rate does not depend on when it is asked.
func remoteConfig(t *testing.T, kind, url, more string) (dir, conf string) {
	t.Helper()
	plugins := testenv.PublicDir(t)
	testenv.WriteFile(t, filepath.Join(plugins, "load"), `#!/bin/sh
if [ "$1" = config ]; then
	printf 'graph_title Load\nquiet.label quiet\nbusy.label busy\nbusy.type DERIVE\nbusy.min 0\n'
else
	echo quiet.value 42
	now=$(date +%s)
	echo busy.value $now:$((now * 10))
fi
`, 0o755)
	dir = t.TempDir()
	conf = filepath.Join(dir, "corbie.yml")
	testenv.WriteFile(t, conf, fmt.Sprintf("interval: 1s\nhosts: {node.test: '%s'}\nstorage: remote\nremote: {engine: %s, url: '%s'%s}\n",
		startNode(t, plugins), kind, url, more), 0o644)
	return dir, conf
}

func TestAPageIsDrawnFromVictoriaMetrics(t *testing.T) {
	t.Parallel()
	drawnFrom(t, "victoriametrics", engine.VictoriaMetrics(t))
}

func TestAPageIsDrawnFromPrometheus(t *testing.T) {
	t.Parallel()
	drawnFrom(t, "prometheus", engine.Prometheus(t))
}

func drawnFrom(t *testing.T, kind string, e *engine.Engine) {
	t.Helper()
	dir, conf := remoteConfig(t, kind, e.URL, ", labels: {site: here}")
	data := filepath.Join(dir, "data")
	master := startMaster(t, data, conf)
	testenv.Eventually(t, "the graph's values are those of the plugin, the counter's as rates", func() bool {
		e.Flush(t)
		status, text := testenv.Get(t, master.url()+"/h/node.test/load.csv?from=now-1m&to=now")
		rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
		return status == http.StatusOK && err == nil && known(rows, "quiet", 42, 42) >= 3 && known(rows, "busy", 9.9, 10.1) >= 3
	})
	for path, want := range map[string]string{
		"/h/node.test/load":                         "Load",
		"/h/node.test/load.svg?from=now-5m&to=now":  "<svg",
		"/h/node.test/load.json?from=now-5m&to=now": `"quiet"`,
		"/h/node.test":                              "Load",
		"/metrics":                                  "corbie_remote_failing 0",
	} {
		if status, text := testenv.Get(t, master.url()+path); status != http.StatusOK || !strings.Contains(text, want) {
			t.Errorf("%s: %d, without %q:\n%.500s", path, status, want, text)
		}
	}
	// What is exported comes from the engine, too: there are no samples in the data folder.
	out, talk, code := corbie(t, "export", "node.test", "load", "--config", conf, "--data", data)
	if code != exitOK || strings.Count(out, ",load,quiet,42\n") < 3 {
		t.Errorf("export: exit %d %s\n%s", code, talk, out)
	}
	if _, err := os.Stat(filepath.Join(data, "raw")); err == nil {
		t.Error("samples are kept in the data folder as well")
	}
}

// known counts the values of a column that lie within bounds; one that does not counts for less than nothing.
func known(rows [][]string, column string, low, high float64) int {
	if len(rows) == 0 {
		return 0
	}
	n := 0
	for at, name := range rows[0] {
		for _, row := range rows[1:] {
			if name != column || row[at] == "" {
				continue
			}
			if v, err := strconv.ParseFloat(row[at], 64); err != nil || v < low || v > high {
				return -1
			}
			n++
		}
	}
	return n
}

func TestWhileTheEngineIsAwayPagesSaySoAndPollsGoOn(t *testing.T) {
	t.Parallel()
	dir, conf := remoteConfig(t, "prometheus", "http://"+testenv.FreeAddress(t, "tcp"), "")
	master := startMaster(t, filepath.Join(dir, "data"), conf)
	testenv.Eventually(t, "values wait in the queue and every page says so", func() bool {
		status, text := testenv.Get(t, master.url()+"/")
		metrics := master.page(t, "/metrics")
		queued := 0
		for line := range strings.Lines(metrics) {
			if value, ok := strings.CutPrefix(line, "corbie_remote_queued_samples "); ok {
				queued, _ = strconv.Atoi(strings.TrimSpace(value))
			}
		}
		return status == http.StatusOK && strings.Contains(text, "The remote storage engine has taken no samples since") && queued >= 6
	})
	status, text := testenv.Get(t, master.url()+"/h/node.test/load.csv?from=now-10m&to=now")
	if status != http.StatusServiceUnavailable || !strings.Contains(text, "The storage engine does not answer") {
		t.Errorf("%d %s", status, text)
	}
}

func TestWhatWaitsForTheEngineSurvivesKill9(t *testing.T) {
	t.Parallel()
	e := engine.VictoriaMetrics(t)
	away := "http://" + testenv.FreeAddress(t, "tcp")
	dir, conf := remoteConfig(t, "victoriametrics", away, "")
	data := filepath.Join(dir, "data")
	master := startMaster(t, data, conf)
	const polls = 4
	testenv.Eventually(t, "values of several polls wait in the queue", func() bool {
		metrics := master.page(t, "/metrics")
		_, rest, _ := strings.Cut(metrics, "\ncorbie_remote_queued_samples ")
		value, _, _ := strings.Cut(rest, "\n")
		queued, _ := strconv.Atoi(value)
		table := master.page(t, "/metrics")
		_, rest, _ = strings.Cut(table, "\ncorbie_polls_total ")
		value, _, _ = strings.Cut(rest, "\n")
		ended, _ := strconv.Atoi(value)
		return ended > polls && queued >= 2*polls
	})
	master.Kill()
	text, err := os.ReadFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	// Nothing is polled any more: what arrives was in the queue.
	start := strings.Index(string(text), "hosts:")
	end := start + strings.Index(string(text)[start:], "\n") + 1
	testenv.WriteFile(t, conf, strings.ReplaceAll(string(text)[:start]+string(text)[end:], away, e.URL), 0o644)
	startMaster(t, data, conf)
	testenv.Eventually(t, "everything that waited is in the engine", func() bool {
		e.Flush(t)
		out, _, code := corbie(t, "export", "node.test", "load", "--config", conf, "--data", data)
		return code == exitOK && strings.Count(out, ",load,") >= 2*(polls-1)
	})
}
