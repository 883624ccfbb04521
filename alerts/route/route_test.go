package route_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"corbie/alerts"
	"corbie/alerts/route"
	"corbie/munin"
)

func TestMain(m *testing.M) {
	if childMain() {
		return
	}
	goleak.VerifyTestMain(m)
}

const patience = 20 * time.Second

// hook is Alertmanager's webhook JSON, as far as the tests look at it.
type hook struct {
	Version     string            `json:"version"`
	GroupKey    string            `json:"groupKey"`
	Status      string            `json:"status"`
	Receiver    string            `json:"receiver"`
	ExternalURL string            `json:"externalURL"`
	GroupLabels map[string]string `json:"groupLabels"`
	Alerts      []struct {
		Status       string            `json:"status"`
		Labels       map[string]string `json:"labels"`
		Annotations  map[string]string `json:"annotations"`
		StartsAt     time.Time         `json:"startsAt"`
		EndsAt       time.Time         `json:"endsAt"`
		GeneratorURL string            `json:"generatorURL"`
		Fingerprint  string            `json:"fingerprint"`
	} `json:"alerts"`
}

// lines are the alerts as "status graph.field severity", sorted.
func (h hook) lines() []string {
	var out []string
	for _, a := range h.Alerts {
		out = append(out, fmt.Sprintf("%s %s:%s.%s %s", a.Status, a.Labels["host"], a.Labels["graph"], a.Labels["field"], a.Labels["severity"]))
	}
	slices.Sort(out)
	return out
}

// hooks is a webhook receiver.
type hooks struct {
	*httptest.Server
	got chan hook

	mu       sync.Mutex
	refuse   []int // statuses of the next answers, instead of 200
	attempts int
	headers  http.Header
}

func newHooks(t *testing.T) *hooks {
	t.Helper()
	h := &hooks{got: make(chan hook, 100)}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.attempts++
		h.headers = r.Header
		if len(h.refuse) > 0 {
			w.WriteHeader(h.refuse[0])
			h.refuse = h.refuse[1:]
			return
		}
		var m hook
		if err := json.Unmarshal(body, &m); err != nil {
			t.Errorf("webhook: %v", err)
		}
		h.got <- m
	}))
	t.Cleanup(h.Close)
	return h
}

func receive[T any](t *testing.T, from <-chan T, what string) T {
	t.Helper()
	select {
	case got := <-from:
		return got
	case <-time.After(patience):
		t.Fatalf("no %s came", what)
		panic("not reached")
	}
}

func (h *hooks) expect(t *testing.T, status string, lines ...string) hook {
	t.Helper()
	got := receive(t, h.got, "webhook "+strings.Join(lines, ", "))
	if got.Status != status || !slices.Equal(got.lines(), lines) {
		t.Errorf("got %s %q, want %s %q", got.Status, got.lines(), status, lines)
	}
	return got
}

// router is one that runs, on a folder that outlives it.
type router struct {
	*route.Router
	t    *testing.T
	opts route.Options
	stop func()
	log  *logText
}

func start(t *testing.T, dir string, receivers ...route.Receiver) *router {
	t.Helper()
	r := &router{t: t, log: &logText{}}
	r.opts = route.Options{
		Dir: dir, Receivers: receivers, Wait: 20 * time.Millisecond, Interval: 60 * time.Millisecond,
		ExternalURL: "http://mon.example.com:8080",
		Logger:      slog.New(slog.NewTextHandler(r.log, nil)),
	}
	r.run()
	t.Cleanup(func() { r.stop() })
	return r
}

// logText is a log that can be read while it is written.
type logText struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (r *router) run() {
	r.t.Helper()
	var err error
	if r.Router, err = route.New(r.opts); err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	running := r.Router
	go func() { done <- running.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := receive(r.t, done, "end of Run"); err != nil {
			r.t.Errorf("run: %v", err)
		}
		if err := running.Close(); err != nil {
			r.t.Errorf("close: %v", err)
		}
	})
}

// restart is a new process on the same folder: it is told all states again, as the evaluator does.
func (r *router) restart(notices ...alerts.Notice) {
	r.t.Helper()
	r.stop()
	idle, err := route.New(r.opts)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := idle.Close(); err != nil { // opening and closing changes nothing
		r.t.Fatal(err)
	}
	r.run()
	r.tell(notices...)
}

func (r *router) tell(notices ...alerts.Notice) {
	r.t.Helper()
	if err := r.Tell(context.Background(), notices); err != nil {
		r.t.Fatal(err)
	}
}

// thing is a field that has problems.
type thing struct {
	state munin.AlertState
	about alerts.About
}

func newThing(host munin.HostID, graph, field string) *thing {
	return &thing{
		state: munin.AlertState{ID: munin.SeriesID{Host: host, Graph: graph, Field: field}},
		about: alerts.About{
			Title: "Disk usage", Label: "/" + field, Unit: "%", Base: 1000, Info: "How full the disks are", ExtInfo: "ask Anna",
			Warning: munin.Bounds{High: 80, HasHigh: true}, Critical: munin.Bounds{High: 95, HasHigh: true},
		},
	}
}

func (x *thing) is(value float64) alerts.Notice {
	from := x.state.Open
	var event alerts.Event
	x.state, event = alerts.Step(x.state, alerts.Rule{Warning: x.about.Warning, Critical: x.about.Critical}, value, time.Now())
	return alerts.Notice{State: x.state, Event: event, From: from, Graph: x.about}
}

func (x *thing) again() alerts.Notice {
	return alerts.Notice{State: x.state, From: x.state.Open, Graph: x.about}
}

// witness is a receiver that says of which host the next thing is that it gets.
type witness interface {
	next(t *testing.T) string
}

func (h *hooks) next(t *testing.T) string {
	t.Helper()
	return receive(t, h.got, "webhook").GroupLabels["host"]
}

// nothingMore waits for a problem and its recovery on another host, which take at least one more turn.
func (r *router) nothingMore(receivers ...witness) {
	r.t.Helper()
	other := newThing("sentinel", "df", "x")
	for _, value := range []float64{99, 1} {
		r.tell(other.is(value))
		for _, w := range receivers {
			for host := w.next(r.t); host != "sentinel"; host = w.next(r.t) {
				r.t.Errorf("got something of %s, want nothing", host)
			}
		}
	}
}

func subject(t *testing.T, m received) string {
	t.Helper()
	text, err := new(mime.WordDecoder).DecodeHeader(m.msg.Header.Get("Subject"))
	if err != nil {
		t.Error(err)
	}
	return text
}

func webhookTo(h *hooks) route.Receiver {
	return route.Receiver{Name: "hook", Webhook: &route.Webhook{URL: route.Secret(h.URL)}}
}

func TestAProblemAndItsRecoveryReachEveryReceiverOnce(t *testing.T) {
	smtp, web := newSMTP(t), newHooks(t)
	ops := route.Receiver{
		Name:    "ops",
		Email:   &route.Email{To: []string{"Ops <ops@example.com>"}, From: "corbie@example.com", Host: "127.0.0.1", Port: smtp.port()},
		Webhook: &route.Webhook{URL: route.Secret(web.URL)},
	}
	r := start(t, t.TempDir(), ops)
	root := newThing("web;eu;www1", "df", "root")
	r.tell(root.is(97.2))
	problem := receive(t, smtp.mails, "mail")
	if got := subject(t, problem); got != "CRITICAL www1 :: Disk usage :: /root is 97.2 (over 95)" {
		t.Errorf("subject %q", got)
	}
	for _, want := range []string{"97.2 is above 95", "Disk usage (df)", "web;eu", "How full the disks are", "ask Anna", "text/html", "http://mon.example.com:8080/h/web=3Beu=3Bwww1/df"} {
		if !strings.Contains(problem.raw, want) && !strings.Contains(strings.ReplaceAll(problem.raw, "%3B", "=3B"), want) {
			t.Errorf("the mail lacks %q:\n%s", want, problem.raw)
		}
	}
	first := web.expect(t, "firing", "firing www1:df.root critical")
	if first.Version != "4" || first.Receiver != "ops" || first.GroupLabels["group"] != "web;eu" || first.Alerts[0].Labels["alertname"] != "df" ||
		first.Alerts[0].GeneratorURL != "http://mon.example.com:8080/h/web%3Beu%3Bwww1/df" || !first.Alerts[0].StartsAt.Equal(root.state.OpenSince) {
		t.Errorf("webhook %+v", first)
	}
	r.tell(root.again(), root.again())
	r.tell(root.is(42))
	recovery := receive(t, smtp.mails, "mail")
	if got := subject(t, recovery); got != "OK www1 :: Disk usage :: /root is 42" {
		t.Errorf("subject %q", got)
	}
	if id := problem.msg.Header.Get("Message-Id"); id == "" || recovery.msg.Header.Get("References") != id || recovery.msg.Header.Get("In-Reply-To") != id {
		t.Errorf("the recovery is no reply to %q: %v", id, recovery.msg.Header)
	}
	second := web.expect(t, "resolved", "resolved www1:df.root critical")
	if !second.Alerts[0].EndsAt.Equal(root.state.Changed) || second.Alerts[0].Fingerprint != first.Alerts[0].Fingerprint || second.GroupKey != first.GroupKey {
		t.Errorf("webhook %+v", second)
	}
	r.nothingMore(web, smtp)
	if !strings.Contains(r.log.String(), "queued as TEST1") {
		t.Errorf("the log does not show the server's reply:\n%s", r.log)
	}
}

func TestARestartBetweenProblemAndRecoveryDoublesNeither(t *testing.T) {
	web := newHooks(t)
	r := start(t, t.TempDir(), webhookTo(web))
	root := newThing("www1", "df", "root")
	r.tell(root.is(99))
	web.expect(t, "firing", "firing www1:df.root critical")
	r.restart(root.again())
	r.nothingMore(web)
	r.restart(root.again())
	r.tell(root.is(1))
	web.expect(t, "resolved", "resolved www1:df.root critical")
	r.restart(root.again())
	r.nothingMore(web)
}

func TestWhatChangedWhileTheRouterWasDownIsToldOnce(t *testing.T) {
	web := newHooks(t)
	r := start(t, t.TempDir(), webhookTo(web))
	root, home := newThing("www1", "df", "root"), newThing("www2", "df", "home")
	r.tell(root.is(85), home.is(99))
	receive(t, web.got, "webhook")
	receive(t, web.got, "webhook")
	root.is(99) // saved, but not told before the crash
	home.is(1)
	r.restart(root.again(), home.again())
	got := []string{}
	for range 2 {
		got = append(got, receive(t, web.got, "webhook").lines()...)
	}
	slices.Sort(got)
	if want := []string{"firing www1:df.root critical", "resolved www1:df.root warning", "resolved www2:df.home critical"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	r.nothingMore(web)
}

func TestAChangeOfLevelIsOneNotice(t *testing.T) {
	web := newHooks(t)
	r := start(t, t.TempDir(), webhookTo(web))
	root := newThing("www1", "df", "root")
	for _, round := range []struct {
		value  float64
		status string
		lines  []string
	}{
		{85, "firing", []string{"firing www1:df.root warning"}},
		{99, "firing", []string{"firing www1:df.root critical", "resolved www1:df.root warning"}},
		{85, "firing", []string{"firing www1:df.root warning", "resolved www1:df.root critical"}},
		{99, "firing", []string{"firing www1:df.root critical", "resolved www1:df.root warning"}},
		{1, "resolved", []string{"resolved www1:df.root critical"}},
	} {
		r.tell(root.is(round.value))
		web.expect(t, round.status, round.lines...)
	}
	r.nothingMore(web)
}

func TestProblemsOfOneGraphComeInOneNotice(t *testing.T) {
	web, smtp := newHooks(t), newSMTP(t)
	r := start(t, t.TempDir(), webhookTo(web), route.Receiver{Name: "mail", Email: &route.Email{
		To: []string{"ops@example.com"}, From: "corbie@example.com", Host: "127.0.0.1", Port: smtp.port(),
	}})
	var notices []alerts.Notice
	var things []*thing
	for i := range 60 {
		x := newThing("www1", "df", fmt.Sprintf("disk%d", i))
		things = append(things, x)
		notices = append(notices, x.is(99))
	}
	r.tell(notices...)
	if got := receive(t, web.got, "webhook"); len(got.Alerts) != 60 {
		t.Errorf("%d alerts", len(got.Alerts))
	}
	mail := receive(t, smtp.mails, "mail")
	if got := subject(t, mail); got != "CRITICAL www1 :: Disk usage :: 60 problems" || !strings.Contains(mail.raw, "and 10 more.") {
		t.Errorf("subject %q", got)
	}
	// One of them is over; the others stay in the message, as receivers of Alertmanager's JSON expect.
	r.tell(things[0].is(1))
	if got := receive(t, web.got, "webhook"); got.Status != "firing" || len(got.Alerts) != 60 {
		t.Errorf("%s, %d alerts", got.Status, len(got.Alerts))
	}
	if got := subject(t, receive(t, smtp.mails, "mail")); got != "OK www1 :: Disk usage :: /disk0 is 1" {
		t.Errorf("subject %q", got)
	}
}

func TestAProblemThatIsOverBeforeItIsToldIsNotTold(t *testing.T) {
	web := newHooks(t)
	r := start(t, t.TempDir(), webhookTo(web))
	root := newThing("www1", "df", "root")
	r.stop()
	r.run()
	r.tell(root.is(99), root.is(1))
	r.nothingMore(web)
}

func TestReceiversHearWhatTheyWant(t *testing.T) {
	all, urgent, silent := newHooks(t), newHooks(t), newHooks(t)
	r := start(t, t.TempDir(),
		route.Receiver{Name: "all", Webhook: &route.Webhook{URL: route.Secret(all.URL)}},
		route.Receiver{Name: "urgent", On: []string{"critical", "recovery"}, Webhook: &route.Webhook{URL: route.Secret(urgent.URL)}},
		route.Receiver{Name: "noend", On: []string{"critical"}, Webhook: &route.Webhook{URL: route.Secret(silent.URL)}})
	root, home := newThing("www1", "df", "root"), newThing("www2", "df", "home")
	r.tell(home.is(85))
	all.expect(t, "firing", "firing www2:df.home warning")
	r.tell(home.is(1)) // only a warning: its recovery is for those who heard of it
	all.expect(t, "resolved", "resolved www2:df.home warning")
	r.tell(root.is(99))
	for _, h := range []*hooks{all, urgent, silent} {
		h.expect(t, "firing", "firing www1:df.root critical")
	}
	r.tell(root.is(85)) // better, but not over
	all.expect(t, "firing", "firing www1:df.root warning", "resolved www1:df.root critical")
	r.tell(root.is(99))
	all.expect(t, "firing", "firing www1:df.root critical", "resolved www1:df.root warning")
	r.tell(root.is(1))
	all.expect(t, "resolved", "resolved www1:df.root critical")
	urgent.expect(t, "resolved", "resolved www1:df.root critical")
	r.nothingMore(all, urgent)
	r.tell(root.is(99)) // a second problem is told again to who hears no recoveries
	for got := range 2 {
		m := receive(t, silent.got, "webhook")
		if m.Status != "firing" {
			t.Errorf("notice %d: %s %q", got, m.Status, m.lines())
		}
	}
}

func TestASilenceStopsNoRecovery(t *testing.T) {
	web := newHooks(t)
	r := start(t, t.TempDir(), webhookTo(web))
	root, home := newThing("www1", "df", "root"), newThing("www1", "load", "load")
	r.tell(root.is(99))
	web.expect(t, "firing", "firing www1:df.root critical")
	ctx := context.Background()
	id, err := r.Silence(ctx, route.Silence{
		Matchers: []route.Matcher{{Name: "host", Value: "www1"}}, EndsAt: time.Now().Add(time.Hour),
		CreatedBy: "anna", Comment: "new disk",
	})
	if err != nil {
		t.Fatal(err)
	}
	r.restart(root.again()) // silences survive
	r.tell(root.is(1), home.is(99))
	web.expect(t, "resolved", "resolved www1:df.root critical")
	r.nothingMore(web)
	r.tell(home.is(1)) // neither told
	r.nothingMore(web)
	r.tell(home.is(99))
	r.nothingMore(web)
	list, err := r.Silences(ctx)
	if err != nil || len(list) != 1 || list[0].ID != id || list[0].Comment != "new disk" {
		t.Fatalf("silences %+v, %v", list, err)
	}
	if err := r.EndSilence(ctx, id); err != nil {
		t.Fatal(err)
	}
	web.expect(t, "firing", "firing www1:load.load critical")
	if _, err := r.Silence(ctx, route.Silence{EndsAt: time.Now().Add(time.Hour)}); err == nil {
		t.Error("a silence without owner and reason was taken")
	}
}

func TestAReceiverThatFailsDelaysNoOther(t *testing.T) {
	web, sick := newHooks(t), newHooks(t)
	gone := newHooks(t)
	gone.Close()
	sick.refuse = []int{500, 503}
	smtp := newSMTP(t, func(s *smtpServer) { s.refuse, s.hangup = []string{"451 try again later"}, true })
	r := start(t, t.TempDir(), webhookTo(web),
		route.Receiver{Name: "sick", Webhook: &route.Webhook{URL: route.Secret(sick.URL)}},
		route.Receiver{Name: "gone", Webhook: &route.Webhook{URL: route.Secret(gone.URL)}},
		route.Receiver{Name: "mail", Email: &route.Email{To: []string{"ops@example.com"}, From: "corbie@example.com", Host: "127.0.0.1", Port: smtp.port()}})
	root := newThing("www1", "df", "root")
	r.tell(root.is(99))
	web.expect(t, "firing", "firing www1:df.root critical")
	r.tell(root.is(1))
	web.expect(t, "resolved", "resolved www1:df.root critical")
	root.is(99)
	r.tell(root.again())
	web.expect(t, "firing", "firing www1:df.root critical")
	sick.expect(t, "firing", "firing www1:df.root critical")
	receive(t, smtp.mails, "mail")
	r.nothingMore(web, sick, smtp)
}

func TestReloadChangesReceivers(t *testing.T) {
	web, more := newHooks(t), newHooks(t)
	r := start(t, t.TempDir(), webhookTo(web))
	root := newThing("www1", "df", "root")
	r.tell(root.is(99))
	web.expect(t, "firing", "firing www1:df.root critical")
	if err := r.Reload([]route.Receiver{{Name: "bad"}}); err == nil {
		t.Error("a receiver without a way was taken")
	}
	err := r.Reload([]route.Receiver{webhookTo(web), {Name: "more", Webhook: &route.Webhook{URL: route.Secret(more.URL)}}})
	if err != nil {
		t.Fatal(err)
	}
	more.expect(t, "firing", "firing www1:df.root critical")
	r.nothingMore(web, more)
	r.tell(root.is(1))
	web.expect(t, "resolved", "resolved www1:df.root critical")
	more.expect(t, "resolved", "resolved www1:df.root critical")
}

func TestARepeatedNoticeComesAgain(t *testing.T) {
	web := newHooks(t)
	r := start(t, t.TempDir(), webhookTo(web))
	r.stop()
	r.opts.Repeat = 200 * time.Millisecond
	r.run()
	root := newThing("www1", "df", "root")
	r.tell(root.is(99))
	for range 3 {
		web.expect(t, "firing", "firing www1:df.root critical")
	}
	r.tell(root.is(1))
	for {
		if got := receive(t, web.got, "webhook"); got.Status == "resolved" {
			break
		}
	}
}

func TestASilentHostIsToldByItsName(t *testing.T) {
	smtp := newSMTP(t)
	r := start(t, t.TempDir(), route.Receiver{Name: "mail", Email: &route.Email{
		To: []string{"a@example.com", "b@example.com"}, From: "corbie@example.com", Host: "127.0.0.1", Port: smtp.port(),
	}})
	state := munin.AlertState{ID: munin.SeriesID{Host: "web;www1"}}
	state, _ = alerts.StepHost(state, true, "has not answered since noon: connection refused", time.Now())
	r.tell(alerts.Notice{State: state, Event: alerts.Problem})
	to := []string{}
	for range 2 {
		m := receive(t, smtp.mails, "mail")
		to = append(to, m.to)
		if got := subject(t, m); got != "CRITICAL www1 does not answer" || !strings.Contains(m.raw, "connection refused") {
			t.Errorf("subject %q", got)
		}
	}
	slices.Sort(to)
	if !slices.Equal(to, []string{"a@example.com", "b@example.com"}) {
		t.Errorf("sent to %q", to)
	}
	state, _ = alerts.StepHost(state, false, "", time.Now())
	r.tell(alerts.Notice{State: state, Event: alerts.Recovery, From: munin.Critical})
	if got := subject(t, receive(t, smtp.mails, "mail")); got != "OK www1 answers again" {
		t.Errorf("subject %q", got)
	}
}
