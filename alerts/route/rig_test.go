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
	return route.Receiver{Name: "hook", Webhook: &route.Webhook{URL: munin.Secret(h.URL)}}
}
