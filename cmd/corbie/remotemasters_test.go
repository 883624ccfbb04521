package main

import (
	"encoding/csv"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"corbie/internal/testenv"
	"corbie/storage/storagetest/engine"
)

// siteMaster is a master that polls one host of its own into an engine that others share.
func siteMaster(t *testing.T, name string, value int, e *engine.Engine) *process {
	t.Helper()
	plugins, dir := testenv.PublicDir(t), t.TempDir()
	testenv.WriteFile(t, filepath.Join(plugins, "queue"), fmt.Sprintf(`#!/bin/sh
if [ "$1" = config ]; then
	printf 'graph_title Queue of %s\nmails.label mails\n'
else
	echo mails.value %d
fi
`, name, value), 0o755)
	conf := filepath.Join(dir, "corbie.yml")
	// Both have a host of the same name, in the same group: the label keeps them apart.
	testenv.WriteFile(t, conf, fmt.Sprintf("interval: 1s\nhosts: {'mail;mx.test': '%s', 'mail;%s.test': '%s'}\nstorage: remote\nremote: {engine: victoriametrics, url: '%s', labels: {site: %s}}\n",
		startNode(t, plugins), name, startNode(t, plugins), e.URL, name), 0o644)
	return startMaster(t, filepath.Join(dir, "data"), conf)
}

func TestTwoMastersShareAnEngineAndAThirdReadsBoth(t *testing.T) {
	t.Parallel()
	e := engine.VictoriaMetrics(t)
	values := map[string]int{"north": 7, "south": 70}
	masters := make(map[string]*process)
	for name, value := range values {
		masters[name] = siteMaster(t, name, value, e)
	}
	dir := t.TempDir()
	conf := filepath.Join(dir, "corbie.yml")
	testenv.WriteFile(t, conf, fmt.Sprintf("interval: 1h\nstorage: remote\nremote: {engine: victoriametrics, url: '%s'}\n", e.URL), 0o644)
	third := startMaster(t, filepath.Join(dir, "data"), conf)
	for name, value := range values {
		for _, host := range []string{"mx.test", name + ".test"} {
			testenv.Eventually(t, "the master in the "+name+" draws its "+host+" from its own samples", func() bool {
				e.Flush(t)
				status, text := testenv.Get(t, masters[name].url()+"/h/mail;"+host+"/queue.csv?from=now-1m&to=now")
				rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
				return status == http.StatusOK && err == nil && known(rows, "mails", float64(value), float64(value)) >= 3
			})
		}
	}
	count := func(p *process, query string) string {
		t.Helper()
		_, data := p.ask(t, http.MethodPost, "/api/v1/query", url.Values{"query": {query}})
		return string(data)
	}
	for name, value := range values {
		got := count(masters[name], `sum by (site, host) (munin_queue)`)
		other := map[string]string{"north": "south", "south": "north"}[name]
		if strings.Contains(got, other) || strings.Count(got, fmt.Sprintf(`"%d"`, value)) != 2 {
			t.Errorf("the master in the %s sees %s", name, got)
		}
	}
	got := count(third, `sum by (site, host) (last_over_time(munin_queue[10m]))`)
	for _, want := range []string{
		`{"host":"mx.test","site":"north"}`, `{"host":"mx.test","site":"south"}`, `{"host":"north.test","site":"north"}`, `{"host":"south.test","site":"south"}`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("a third master does not see %s: %s", want, got)
		}
	}
	if found := e.Query(t, `count by (site) (last_over_time(munin_queue[10m]))`); !strings.Contains(found, `"site":"north"`) || !strings.Contains(found, `"site":"south"`) {
		t.Errorf("the engine itself says %s", found)
	}
}
