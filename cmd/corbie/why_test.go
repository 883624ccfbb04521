package main

import (
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"corbie/internal/testenv"
)

// TestWhyAPluginGivesNothingIsShown is a plugin that fails on the node: the master's verbs and its page say how.
func TestWhyAPluginGivesNothingIsShown(t *testing.T) {
	t.Parallel()
	plugins := testenv.PublicDir(t)
	testenv.WriteFile(t, filepath.Join(plugins, "good"), "#!/bin/sh\necho graph_title Good; echo a.label a; echo a.value 1\n", 0o755)
	testenv.WriteFile(t, filepath.Join(plugins, "broken"),
		"#!/bin/sh\n[ \"$1\" = config ] && { echo graph_title Broken; echo b.label b; exit; }\necho 'cannot reach the database' >&2\nexit 7\n", 0o755)
	conf, data := writeConfig(t, startNode(t, plugins), ""), t.TempDir()
	master := startMaster(t, data, conf)
	const why = `fetch failed on the node at `
	testenv.Eventually(t, "the plugin is known to fail", func() bool {
		out, _, code := corbie(t, "graphs", "web1", "--data", data)
		return code == exitOK && strings.Contains(out, "broken: "+why) && strings.Contains(out, `it wrote "cannot reach the database"`)
	})
	hosts := mustCorbie(t, "hosts", "--data", data)
	if !regexp.MustCompile(`(?m)^web;web1 .* ok .* broken`).MatchString(hosts) {
		t.Errorf("the host's row does not name the plugin:\n%s", hosts)
	}
	url := regexp.MustCompile(`url=(http://\S+)`).FindStringSubmatch(master.Log())[1]
	answer, err := http.Get(url + "/h/web1") //nolint:forbidigo // of a test
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	page, err := io.ReadAll(answer.Body)
	if err != nil || !strings.Contains(string(page), why) || !strings.Contains(string(page), "cannot reach the database") {
		t.Errorf("the page does not say why: %v\n%s", err, page)
	}
	t.Log("\n" + hosts + mustCorbie(t, "graphs", "web1", "--data", data))
}
