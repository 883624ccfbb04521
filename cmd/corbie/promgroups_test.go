package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"corbie/internal/testenv"
)

func TestWhoSeesAGroupAsksPrometheusInterfaceOfItsHostsAlone(t *testing.T) {
	t.Parallel()
	w := rulesWatch(t)
	appendFile(t, w.conf, "access: {anonymous: {role: viewer, see: [web]}}\n")
	master := startMaster(t, w.data, w.conf)
	token := strings.TrimSpace(mustCorbie(t, "token", "add", "none", "--see", "we", "--config", w.conf, "--data", w.data))
	all := strings.TrimSpace(mustCorbie(t, "token", "add", "all", "--config", w.conf, "--data", w.data))
	ask := func(token, path string, form url.Values) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, master.url()+path+"?"+form.Encode(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := new(http.Client).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, readBody(t, resp)
	}
	everything := url.Values{"query": {`{__name__=~".+"}`}, "match[]": {`{__name__=~".+"}`}}
	testenv.Eventually(t, "the group's and the master's own values are there for who sees all", func() bool {
		_, text := ask(all, "/api/v1/query", everything)
		return strings.Contains(text, `"host":"corbie"`) && strings.Contains(text, "host:queue:double") && strings.Contains(text, "munin_queue")
	})
	for _, path := range []string{"/api/v1/query", "/api/v1/series", "/federate", "/api/v1/label/__name__/values", "/api/v1/metadata"} {
		status, text := ask("", path, everything)
		if status != http.StatusOK || strings.Contains(text, "corbie_") || !strings.Contains(text, "munin_queue") {
			t.Errorf("%s for who sees web: %d %s", path, status, text)
		}
		if status, text := ask(token, path, everything); status != http.StatusOK || strings.Contains(text, "munin_") {
			t.Errorf("%s for who sees a group that is not there: %d %s", path, status, text)
		}
	}
	if _, text := ask("", "/api/v1/rules", nil); strings.Contains(text, "munin_queue") || !strings.Contains(text, `"status":"success"`) {
		t.Errorf("/api/v1/rules for who sees web: %s", text)
	}
	if status, _ := ask("", "/metrics", nil); status != http.StatusForbidden {
		t.Errorf("/metrics for who sees web: %d", status)
	}
}

func readBody(t *testing.T, resp *http.Response) string {
	t.Helper()
	defer resp.Body.Close()
	var text strings.Builder
	if err := resp.Write(&text); err != nil {
		t.Fatal(err)
	}
	return text.String()
}
