package main

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"corbie/internal/testenv"
	"corbie/munin"
	"corbie/storage/remote"
	"corbie/storage/storagetest/engine"
)

const queueRules = `groups:
  - name: queue
    interval: 1s
    rules:
      - record: host:queue:double
        expr: munin_queue * 2
      - alert: QueueLong
        expr: host:queue:double > 40
        for: 2s
        labels: {severity: warning, team: mail}
        annotations: {summary: "{{ $value }} halves of mails wait on {{ $labels.host }}"}
`

// rulesWatch is a watch whose only notices are those of rules: its values stay below the plugin's own levels.
func rulesWatch(t *testing.T) *watch {
	t.Helper()
	w := newWatch(t)
	file := filepath.Join(t.TempDir(), "queue.yml")
	testenv.WriteFile(t, file, queueRules, 0o644)
	appendFile(t, w.conf, "rules: "+file+"\n")
	return w
}

func appendFile(t *testing.T, path, text string) {
	t.Helper()
	testenv.WriteFile(t, path, string(mustRead(t, path))+text, 0o644)
}

func TestARuleTellsOneNoticeAndOneRecoveryThoughTheMasterIsKilledInBetween(t *testing.T) {
	t.Parallel()
	w := rulesWatch(t)
	master := w.ruleFires(t)
	w.settled(t, 1)
	w.ruleEnds(t, master)
	w.settled(t, 2)
}

func TestARuleTellsOnceWithSamplesInAnEngine(t *testing.T) {
	t.Parallel()
	for kind, start := range map[string]func(testing.TB) *engine.Engine{"prometheus": engine.Prometheus, "victoriametrics": engine.VictoriaMetrics} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			e, w := start(t), rulesWatch(t)
			appendFile(t, w.conf, fmt.Sprintf("storage: remote\nremote: {engine: %s, url: '%s', labels: {site: north}}\n", kind, e.URL))
			w.ruleEnds(t, w.ruleFires(t))
			e.Flush(t)
			if found := e.Query(t, `count by (site, host) (host:queue:double)`); !strings.Contains(found, `"host":"web1","site":"north"`) {
				t.Errorf("the engine does not have what the rule recorded: %s", found)
			}
			if found := e.Query(t, `max_over_time(ALERTS{alertstate="firing"}[10m])`); !strings.Contains(found, `"QueueLong"`) {
				t.Errorf("the engine does not have the series ALERTS: %s", found)
			}
		})
	}
}

// ruleFires lets the alert of the rule begin, and restarts the master with kill -9.
func (w *watch) ruleFires(t *testing.T) *process {
	t.Helper()
	master := startMaster(t, w.data, w.conf)
	w.set(t, "30")
	w.told(t, 1)
	_, data := master.ask(t, http.MethodGet, "/api/v1/alerts", nil)
	for _, want := range []string{`"state":"firing"`, `"alertname":"QueueLong"`, `"host":"web1"`, `"summary":"60 halves of mails wait on web1"`, `"value":"6e+01"`} {
		if !strings.Contains(string(data), want) {
			t.Errorf("/api/v1/alerts lacks %s: %s", want, data)
		}
	}
	if page := master.page(t, "/problems"); !strings.Contains(page, "QueueLong") {
		t.Errorf("the page of problems does not show the alert:\n%s", page)
	}
	w.noted(t, 1)
	master.Kill()
	return startMaster(t, w.data, w.conf)
}

// ruleEnds lets the alert end that ruleFires began, while the master is away, and looks at both notices.
func (w *watch) ruleEnds(t *testing.T, master *process) {
	t.Helper()
	master.Kill()
	w.set(t, "10")
	startMaster(t, w.data, w.conf)
	w.told(t, 2)
	mails, hooks := w.mail.received(), w.hook.received()
	if hooks[0] != "firing" || hooks[1] != "resolved" {
		t.Errorf("webhook statuses %v, want firing and resolved", hooks)
	}
	w.hook.mu.Lock()
	defer w.hook.mu.Unlock()
	for _, l := range w.hook.labels {
		if l["alertname"] != "QueueLong" || l["team"] != "mail" || l["host"] != "web1" || l["group"] != "web" || l["severity"] != "warning" {
			t.Errorf("the webhook gets the labels %v", l)
		}
	}
	if got := subject(mails[0]); !strings.Contains(got, "WARNING web1 :: 60 halves of mails wait on web1") {
		t.Errorf("the first mail's subject is %q", got)
	}
	if got := subject(mails[1]); !strings.Contains(got, "OK web1") || !strings.Contains(got, "is over") {
		t.Errorf("the second mail's subject is %q", got)
	}
}

// noted waits until the log of notices has n entries of both ways: a kill before that may tell again.
func (w *watch) noted(t *testing.T, n int) {
	t.Helper()
	testenv.Eventually(t, "the log of notices has both", func() bool {
		text, err := os.ReadFile(filepath.Join(w.data, alertsFolder, "nflog"))
		return err == nil && strings.Count(string(text), "rule:QueueLong") >= 2*n
	})
}

func TestWhatARuleRecordsIsThereForQueriesAndNotForGraphs(t *testing.T) {
	t.Parallel()
	w := rulesWatch(t)
	master := startMaster(t, w.data, w.conf)
	w.set(t, "12")
	ask := func(query string) string {
		_, data := master.ask(t, http.MethodPost, "/api/v1/query", url.Values{"query": {query}})
		return string(data)
	}
	testenv.Eventually(t, "the recorded value", func() bool { return strings.Contains(ask("host:queue:double"), `"24"`) })
	if got := ask("host:queue:double"); !strings.Contains(got, `"host":"web1"`) || !strings.Contains(got, `"group":"web"`) {
		t.Errorf("the recorded series has not the labels of its query: %s", got)
	}
	if out := mustCorbie(t, "export", "--config", w.conf, "--data", w.data, "web1"); strings.Contains(out, "double") || strings.Contains(out, ",24") || !strings.Contains(out, "12") {
		t.Errorf("the export mixes what was polled with what was recorded:\n%s", out)
	}
	var answer struct {
		Groups []struct {
			Name     string
			Interval float64
			Rules    []struct{ Name, Type, Health, State, LastError string }
		}
	}
	testenv.Eventually(t, "both rules are evaluated", func() bool {
		_, data := master.ask(t, http.MethodGet, "/api/v1/rules", nil)
		if err := json.Unmarshal(data, &answer); err != nil || len(answer.Groups) != 1 || len(answer.Groups[0].Rules) != 2 {
			t.Fatalf("/api/v1/rules: %v: %s", err, data)
		}
		return answer.Groups[0].Rules[1].Health == "ok"
	})
	g := answer.Groups[0]
	if g.Name != "queue" || g.Interval != 1 || g.Rules[0].Type != "recording" || g.Rules[0].Health != "ok" || g.Rules[1].Type != "alerting" || g.Rules[1].State != "inactive" {
		t.Errorf("/api/v1/rules: %+v", answer)
	}
	if _, data := master.ask(t, http.MethodGet, "/api/v1/rules", url.Values{"type": {"alert"}}); strings.Contains(string(data), "recording") {
		t.Errorf("/api/v1/rules?type=alert has recording rules: %s", data)
	}
}

func TestRulesWaitWhileTheEngineLacksSamples(t *testing.T) {
	t.Parallel()
	w := rulesWatch(t)
	e := engine.Prometheus(t)
	// It can be asked, and takes nothing.
	appendFile(t, w.conf, fmt.Sprintf("storage: remote\nremote: {engine: prometheus, write_url: 'http://%s', read_url: '%s'}\n", testenv.FreeAddress(t, "tcp"), e.URL))
	queued := func(at time.Time) {
		t.Helper()
		store, err := remote.Open(w.data, remote.Options{Target: remote.Target{Engine: remote.Prometheus, Write: e.URL, Read: e.URL}})
		if err != nil {
			t.Fatal(err)
		}
		reading := munin.Reading{ID: munin.SeriesID{Host: "web;web1", Graph: "queue", Field: "queue"}, Point: munin.Point{T: at.UnixMilli(), V: 30}}
		if err := errors.Join(store.Append(t.Context(), []munin.Reading{reading}), store.Close()); err != nil {
			t.Fatal(err)
		}
	}
	queued(time.Now())
	backdate(t, w.data, time.Now().Add(-2*time.Minute))
	master := startMaster(t, w.data, w.conf)
	if line := master.WaitFor(t, "a rule cannot be evaluated; what it said before stays"); !strings.Contains(line, "samples of more than 1m0s wait for it") {
		t.Errorf("the log says: %s", line)
	}
	_, data := master.ask(t, http.MethodGet, "/api/v1/rules", nil)
	if !strings.Contains(string(data), "rules are evaluated again when it has them") {
		t.Errorf("/api/v1/rules does not say why nothing is judged: %s", data)
	}
}

// backdate changes the time of writing of the only record in the queue of a data folder.
func backdate(t *testing.T, data string, at time.Time) {
	t.Helper()
	const written = 12 // where the time is in a record
	files, err := filepath.Glob(filepath.Join(data, "queue", "*.queue"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	text := mustRead(t, files[0])
	binary.LittleEndian.PutUint64(text[written:], uint64(at.UnixMilli()))
	testenv.WriteFile(t, files[0], string(text), 0o600)
}

func TestABadFileOfRulesChangesNothingUntilItIsMended(t *testing.T) {
	t.Parallel()
	w := rulesWatch(t)
	master := startMaster(t, w.data, w.conf)
	file := filepath.Join(t.TempDir(), "more.yml")
	testenv.WriteFile(t, file, "groups:\n  - name: more\n    interval: 1s\n    rules:\n      - record: one\n        expr: sum(\n", 0o644)
	testenv.WriteFile(t, w.conf, strings.Replace(string(mustRead(t, w.conf)), "rules: ", "rules:\n  - "+file+"\n  - ", 1), 0o644)
	master.Signal(t, syscall.SIGHUP)
	if line := master.WaitFor(t, "not reloaded"); !strings.Contains(line, "more.yml:6") {
		t.Errorf("the log does not name the line: %s", line)
	}
	if _, data := master.ask(t, http.MethodGet, "/api/v1/rules", nil); !strings.Contains(string(data), "QueueLong") || strings.Contains(string(data), "more") {
		t.Errorf("a bad file changed the rules: %s", data)
	}
	testenv.WriteFile(t, file, "groups:\n  - name: more\n    interval: 1s\n    rules:\n      - record: one\n        expr: 1 + 1\n", 0o644)
	master.Signal(t, syscall.SIGHUP)
	master.WaitFor(t, "configuration reloaded")
	testenv.Eventually(t, "the new rule records", func() bool {
		_, data := master.ask(t, http.MethodPost, "/api/v1/query", url.Values{"query": {"one"}})
		return strings.Contains(string(data), `"2"`)
	})
}

func TestCheckNamesFileAndLineOfWhatIsWrongWithRules(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	conf, file := filepath.Join(dir, "corbie.yml"), filepath.Join(dir, "rules.yml")
	testenv.WriteFile(t, conf, "rules: rules*.yml\n", 0o644)
	for text, want := range map[string]string{
		"groups:\n- name: a\n  rules:\n  - record: x\n    expr: sum(\n":                                    "rules.yml:5: ",
		"groups:\n- name: a\n  rules:\n  - record: munin_load\n    expr: vector(1)\n":                      "another one, such as",
		"groups:\n- name: a\n  rules:\n  - alert: x\n    expr: vector(1)\n    form: 5m\n":                  "rules.yml:6: field form is no key of a rule: want record or alert",
		"groups:\n- name: a\n  rules:\n  - alert: x\n    expr: vector(1)\n    labels: {a: '{{ nope }}'}\n": "rules.yml:5: ",
		"groups:\n- name: a\n  interval: 10ms\n  rules:\n  - alert: x\n    expr: vector(1)\n":              "too short",
		"groups:\n- name: a\n  rules: []\n- name: a\n  rules: []\n":                                        "rules.yml:4: ",
		"group:\n- name: a\n": "rules.yml:1: ",
		"":                    "there are no groups in it",
	} {
		testenv.WriteFile(t, file, text, 0o644)
		if _, talk, code := corbie(t, "check", conf); code != exitFailed || !strings.Contains(talk, want) || !strings.Contains(talk, "rules.yml") {
			t.Errorf("exit %d for\n%s\n%s\nwant %q", code, text, talk, want)
		}
	}
	testenv.WriteFile(t, file, queueRules, 0o644)
	if out := mustCorbie(t, "check", conf); !strings.Contains(out, ", 2 rules") {
		t.Errorf("check says %q", out)
	}
	testenv.WriteFile(t, conf, "rules: rules.yml\nstorage: remote\nremote: {engine: prometheus, url: 'http://127.0.0.1:1'}\n", 0o644)
	if out := mustCorbie(t, "check", conf); !strings.Contains(out, ", 2 rules") {
		t.Errorf("with an engine check says %q", out)
	}
	testenv.WriteFile(t, conf, "rules: nowhere.yml\n", 0o644)
	if _, talk, code := corbie(t, "check", conf); code != exitFailed || !strings.Contains(talk, "corbie.yml:1: rules: there is no file") {
		t.Errorf("exit %d: %s", code, talk)
	}
}

func TestPromtoolAcceptsTheRulesThatWeAccept(t *testing.T) {
	t.Parallel()
	promtool := testenv.Program(t, "promtool")
	dir := t.TempDir()
	texts := []string{queueRules}
	_, yaml := blocks(t, "../../docs/master.md", "yml")
	for i, text := range append(texts, yaml...) {
		file := filepath.Join(dir, "rules.yml")
		testenv.WriteFile(t, file, text, 0o644)
		conf := filepath.Join(dir, "corbie.yml")
		testenv.WriteFile(t, conf, "rules: rules.yml\n", 0o644)
		mustCorbie(t, "check", conf)
		if out, err := exec.CommandContext(t.Context(), promtool, "check", "rules", file).CombinedOutput(); err != nil {
			t.Errorf("promtool refuses file %d: %v\n%s", i, err, out)
		}
	}
}

func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestAnAlertOfARuleIsShownAcknowledgedAndSilencedLikeAnyOther looks at its mail, its row on the page of problems and at what a shell can do about it.
func TestAnAlertOfARuleIsShownAcknowledgedAndSilencedLikeAnyOther(t *testing.T) {
	t.Parallel()
	w := newWatch(t)
	file := filepath.Join(t.TempDir(), "queue.yml")
	rule := func(name, team string) string {
		return "      - alert: " + name + "\n        expr: munin_queue > 40\n        labels: {severity: warning, team: " + team + "}\n"
	}
	testenv.WriteFile(t, file, "groups:\n  - name: queue\n    interval: 1s\n    rules:\n"+rule("QueueLong", "mail")+rule("QueueKnown", "night"), 0o644)
	appendFile(t, w.conf, "rules: "+file+"\n")
	master := startMaster(t, w.data, w.conf)
	shell := func(args ...string) string {
		return mustCorbie(t, append(args, "--config", w.conf, "--data", w.data)...)
	}
	shell("silence", "--match", "team=night", "--for", "1h", "-m", "known")
	w.set(t, "45")
	w.told(t, 1)
	mail := w.mail.received()[0]
	for _, want := range []string{"Content-Type: image/png", "/h/web;web1/queue"} {
		if !strings.Contains(strings.NewReplacer("=\r\n", "", "%3B", ";", "=3B", ";").Replace(mail), want) {
			t.Errorf("the mail does not hold %q:\n%.3000s", want, mail)
		}
	}
	testenv.Eventually(t, "both alerts are problems", func() bool {
		out := shell("problems")
		return strings.Contains(out, "QueueLong") && strings.Contains(out, "QueueKnown") && strings.Contains(out, "munin_queue > 40 gives 45")
	})
	page := master.page(t, "/problems")
	for _, want := range []string{`href="/h/web1/queue"`, `src="/h/web1/queue.svg?`, `QueueLong`, `munin_queue &gt; 40 gives 45`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page of problems does not hold %q:\n%s", want, page)
		}
	}
	if out := shell("ack", "QueueLong", "-m", "on it", "--by", "ann"); !strings.Contains(out, "acknowledged until it is over") {
		t.Errorf("ack says %q", out)
	}
	shell("ack", "QueueKnown", "--by", "bob")
	everybody := func() bool {
		return strings.Contains(master.page(t, "/problems"), "Somebody takes care of every problem")
	}
	testenv.Eventually(t, "the page says who takes care", everybody)
	master.Kill()
	master = startMaster(t, w.data, w.conf)
	testenv.Eventually(t, "it is so after a restart", everybody)
	w.set(t, "10")
	w.told(t, 2)
	w.settled(t, 2)
	for _, l := range w.hook.labels {
		if l["alertname"] != "QueueLong" {
			t.Errorf("the silenced alert was told: %v", l)
		}
	}
}
