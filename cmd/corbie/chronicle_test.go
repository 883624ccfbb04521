package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"corbie/alerts"
	"corbie/internal/testenv"
	"corbie/master/config"
	"corbie/munin"
)

// listening tells what a chronicle hands on.
type listening struct{ heard int }

func (l *listening) Tell(_ context.Context, notices []alerts.Notice) error {
	l.heard += len(notices)
	return nil
}

// newTestApp is a master that polls nobody, and is not run.
func newTestApp(t *testing.T, text string) *app {
	t.Helper()
	dir := t.TempDir()
	conf, err := config.Parse("corbie.yml", []byte("listen: 127.0.0.1:0\n"+text), config.Flags{})
	if err != nil {
		t.Fatal(err)
	}
	a, err := newApp(t.Context(), conf, filepath.Join(dir, "data"), newLogger(os.Stderr, false))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

func (a *app) noted(t *testing.T) []string {
	t.Helper()
	all, err := a.catalog.Annotations(t.Context(), munin.Range{From: time.Now().Add(-100 * 24 * time.Hour), To: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	texts := make([]string, 0, len(all))
	for i := range all {
		texts = append(texts, strings.Trim(fmt.Sprintf("%s %s %s %s: %s", all[i].Kind, all[i].Where, all[i].Graph, all[i].Level, all[i].Text), " "))
	}
	return texts
}

func TestTheMasterNotesStartsOfMachinesChangedLevelsAndProblems(t *testing.T) {
	a := newTestApp(t, "hosts:\n  web1:\n    address: 192.0.2.1:4949\n")
	told := &listening{}
	a.chronicle.next = told
	begin := time.Now().Add(-time.Hour).Truncate(time.Second)
	poll := func(minute int, uptime float64, critical string) {
		at := begin.Add(time.Duration(minute) * time.Minute)
		graphs := munin.ParseConfig("load", []byte("graph_title Load\nload.label load\nload.critical "+critical+"\n")).Graphs
		p := &munin.Poll{
			Host: "web1", Banner: "web1", Start: at, Slot: at, Graphs: graphs,
			Readings: []munin.Reading{{ID: uptimeID("web1"), Point: munin.Point{T: at.UnixMilli(), V: uptime}}},
		}
		if err := a.samples.Append(t.Context(), p.Readings); err != nil {
			t.Fatal(err)
		}
		a.chronicle.look(t.Context(), p)
	}
	poll(0, 41.13, ":8")
	poll(5, 41.13, ":8")
	poll(10, 0.0, ":8") // it was started anew
	poll(15, 0.0, ":4")
	// A master that begins now finds the uptime before in the store.
	a.chronicle.known = make(map[munin.HostID]*lately)
	poll(20, 0.01, ":4")
	state := munin.AlertState{
		ID: munin.SeriesID{Host: "web1", Graph: "load", Field: "load"}, Open: munin.Critical, Changed: begin.Add(25 * time.Minute), Reason: "5 is above 4",
	}
	notice := alerts.Notice{State: state, Event: alerts.Problem, Graph: alerts.About{Title: "Load", Label: "load"}}
	again := notice
	again.Event = alerts.None
	for _, n := range []alerts.Notice{notice, notice, again} { // told again after a crash: noted once
		if err := a.chronicle.Tell(t.Context(), []alerts.Notice{n}); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{
		"reboot web1  ok: the machine was started anew, after 41 d 3 h",
		"levels web1 load ok: load: critical :4 instead of :8",
		"problem web1 load critical: Load · load: 5 is above 4",
	}
	if got := a.noted(t); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("noted is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if told.heard != 3 {
		t.Errorf("%d notices were handed on, want 3", told.heard)
	}
}

func TestAReloadIsNotedWithTheHostsThatCameAndWent(t *testing.T) {
	a := newTestApp(t, "hosts:\n  web1:\n    address: 192.0.2.1:4949\n")
	fresh, err := config.Parse("corbie.yml", []byte("listen: 127.0.0.1:0\nhosts:\n  web2:\n    address: 192.0.2.2:4949\n"), config.Flags{})
	if err != nil {
		t.Fatal(err)
	}
	if !a.reload(t.Context(), func() (*config.Config, error) { return fresh, nil }) {
		t.Fatal("not reloaded")
	}
	if got := a.noted(t); len(got) != 1 || got[0] != "config   ok: the configuration was read anew; new: web2; gone: web1" {
		t.Errorf("noted is %q", got)
	}
}

func TestAnAcknowledgementIsKnownToTheRouterAtOnceAndAfterARestart(t *testing.T) {
	a := newTestApp(t, "")
	state := munin.AlertState{ID: munin.SeriesID{Host: "web1"}, Open: munin.Critical, OpenSince: time.Now().Add(-time.Hour)}
	ack := munin.Ack{ID: state.ID, Since: state.OpenSince, Level: munin.Critical, At: time.Now(), By: "ann"}
	if a.acks.covered(state) {
		t.Error("acknowledged before anybody did")
	}
	if err := a.acks.Acknowledge(t.Context(), ack); err != nil {
		t.Fatal(err)
	}
	book, err := newAckBook(t.Context(), a.catalog)
	if err != nil {
		t.Fatal(err)
	}
	if !a.acks.covered(state) || !book.covered(state) {
		t.Error("not acknowledged")
	}
	if err := a.acks.Unacknowledge(t.Context(), state.ID); err != nil || a.acks.covered(state) {
		t.Errorf("still acknowledged, %v", err)
	}
}

func TestAnnotateTellsTheRunningMaster(t *testing.T) {
	a := newTestApp(t, "hosts:\n  web1:\n    address: 192.0.2.1:4949\n")
	server := &http.Server{Handler: a.server.Handler, ReadHeaderTimeout: time.Second}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	base := (&url.URL{Scheme: "http", Host: listener.Addr().String()}).String()
	call := func(args ...string) (int, string, string) {
		var out, errs bytes.Buffer
		code := run(t.Context(), append([]string{"annotate", "--url", base}, args...), &out, &errs)
		return code, out.String(), errs.String()
	}
	if code, out, errs := call("--kind", "deploy", "--where", "web1", "--by", "ann", "shop", "1.4"); code != exitOK || !strings.HasPrefix(out, "deploy on web1 at ") || !strings.HasSuffix(out, ": shop 1.4\n") {
		t.Fatalf("exit %d, %q, %q", code, out, errs)
	}
	if got := a.noted(t); len(got) != 1 || got[0] != "deploy web1  ok: shop 1.4" {
		t.Errorf("noted is %q", got)
	}
	if code, _, errs := call("--where", "nowhere", "x"); code != exitFailed || !strings.Contains(errs, `there is no host or group "nowhere"`) {
		t.Errorf("exit %d, %q", code, errs)
	}
	if code, _, errs := call("--url", "http://127.0.0.1:1", "x"); code != exitFailed || !strings.Contains(errs, "is the master running?") {
		t.Errorf("exit %d, %q", code, errs)
	}
}

// TestLevelsThatChangedWhileTheMasterWasAwayAreNotedAndEndTheirProblems changes the configuration between two runs: what was a problem by the
// old levels is over, with one recovery, and what is one by the new levels begins, with one notice.
func TestLevelsThatChangedWhileTheMasterWasAwayAreNotedAndEndTheirProblems(t *testing.T) {
	t.Parallel()
	plugins := testenv.PublicDir(t)
	for _, name := range []string{"room", "hall", "attic"} {
		testenv.WriteFile(t, filepath.Join(plugins, name), `#!/bin/sh
[ "$1" = config ] && { echo graph_title Temperature; echo temp.label temp; echo temp.critical 30; } || echo temp.value 42
`, 0o755)
	}
	told, address := filepath.Join(t.TempDir(), "told"), startNode(t, plugins)
	conf := func(levels string) string {
		return "interval: 1s\nnotify: {interval: 1s}\nhosts: {web1: '" + address + "'}\n" +
			"receivers: [{name: me, command: [/usr/bin/tee, -a, " + told + "]}]\nlevels:\n" + levels
	}
	s := newSite(t, conf("  - {match: attic.temp, critical: 50}\n"))
	testenv.Eventually(t, "two problems are told", func() bool {
		text, err := os.ReadFile(told)
		return err == nil && strings.Count(string(text), `"status":"firing"`) >= 2*2 // of a message, and of its alert
	})
	s.stop()
	testenv.WriteFile(t, s.conf, conf("  - {match: room.temp, critical: 60}\n  - {match: hall.temp, critical: none}\n  - {match: attic.temp, critical: 20}\n"), 0o644)
	s.master = startMaster(t, s.dir, s.conf)
	count := func() string {
		text, err := os.ReadFile(told)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, graph := range []string{"room", "hall", "attic"} {
			for _, status := range []string{"firing", "resolved"} {
				alert := regexp.MustCompile(`\{"status":"` + status + `","labels":\{[^}]*"graph":"` + graph + `"`)
				out = append(out, fmt.Sprintf("%s %s %d", graph, status, len(alert.FindAll(text, -1))))
			}
		}
		return strings.Join(out, ", ")
	}
	const want = "room firing 1, room resolved 1, hall firing 1, hall resolved 1, attic firing 1, attic resolved 0"
	testenv.Eventually(t, "the old problems are over and the new one is told", func() bool { return count() == want })
	s.restart() // nothing is told or noted again
	before := len(s.values("web1", "attic"))
	testenv.Eventually(t, "the host was polled again", func() bool { return len(s.values("web1", "attic")) > before+1 })
	list, _ := s.page("/api/annotations?from=now-1d")
	s.stop()
	if got := count(); got != want {
		t.Errorf("told were %s, want %s", got, want)
	}
	for _, line := range []string{"critical :60 instead of :30", "critical none instead of :30", "critical :20 instead of :50"} {
		if n := strings.Count(list, line); n != 1 {
			t.Errorf("%q is noted %d times:\n%s", line, n, list)
		}
	}
}
