package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"corbie/internal/testenv"
)

// TestAProblemIsSilencedAndAcknowledgedAtAShell does what somebody does by ssh at night.
func TestAProblemIsSilencedAndAcknowledgedAtAShell(t *testing.T) {
	t.Parallel()
	plugins, told := testenv.PublicDir(t), filepath.Join(t.TempDir(), "told")
	degrees := filepath.Join(plugins, "degrees.txt")
	set := func(value string) {
		t.Helper()
		testenv.WriteFile(t, degrees+".new", value, 0o644)
		if err := os.Rename(degrees+".new", degrees); err != nil {
			t.Fatal(err)
		}
	}
	set("10")
	testenv.WriteFile(t, filepath.Join(plugins, "room"), `#!/bin/sh
[ "$1" = config ] && { echo graph_title Room; echo temp.label temp; echo temp.critical 30; } || echo temp.value $(cat `+degrees+`)
`, 0o755)
	address := startNode(t, plugins)
	s := newSite(t, "interval: 1s\nnotify: {interval: 1s}\ngroups: {g: {}}\nhosts:\n  web1: {address: '"+address+"', group: g, use_node_name: yes}\n"+
		"  lab;web1: {address: '"+address+"', use_node_name: yes}\nreceivers: [{name: me, command: [/usr/bin/tee, -a, "+told+"]}]\n"+
		"levels: [{match: \"lab;*:room.temp\", critical: none}]\n")
	notices := func(status string) int {
		text, err := os.ReadFile(told)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		return strings.Count(string(text), `{"status":"`+status+`","labels"`)
	}
	testenv.Eventually(t, "a graph is there", func() bool { return strings.Contains(s.corbie("graphs", "g;web1"), "room") })

	for text, args := range map[string][]string{
		`say how long`:                {"silence", "g;web1", "-m", "x"},
		`say why`:                     {"silence", "g;web1", "--for", "1h"},
		`say what`:                    {"silence", "--for", "1h", "-m", "x"},
		`it would silence everything`: {"silence", "--match", "host=~.*", "--for", "1h", "-m", "x"},
		`missing closing )`:           {"silence", "--match", "host=~(", "--for", "1h", "-m", "x"},
		`--for "soon"`:                {"silence", "g;web1", "--for", "soon", "-m", "x"},
		`do not go together`:          {"silence", "g;web1", "--for", "1h", "--until", "08:00", "-m", "x"},
		`2001-01-01 00:00:00 is over`: {"silence", "g;web1", "--until", "2001-01-01", "-m", "x"},
		`want LABEL=VALUE`:            {"silence", "--match", "host", "--for", "1h", "-m", "x"},
	} {
		if _, talk, code := corbie(t, append(args, "--data", s.dir)...); code != exitUsage || !strings.Contains(talk, text) {
			t.Errorf("%v: exit %d: %s", args, code, talk)
		}
	}
	for text, args := range map[string][]string{
		`no open problem of "g;web1"`: {"ack", "g;web1"},
		`'corbie hosts' lists those`:  {"silence", "nosuch", "--for", "1h", "-m", "x"},
		`no host is in a group "x"`:   {"silence", "--group", "x", "--for", "1h", "-m", "x"},
		`no silence "abc"`:            {"silence", "--end", "abc"},
	} {
		if talk := s.refused(args...); !strings.Contains(talk, text) {
			t.Errorf("%v: %s", args, talk)
		}
	}
	if out := s.corbie("silence", "--list"); out != "nothing is silenced\n" {
		t.Errorf("list: %s", out)
	}

	if out := s.corbie("silence", "g;web1/room", "--for", "1h", "-m", "new heating", "--by", "ann"); !strings.HasPrefix(out, "graph=room, group=g, host=web1: silent until ") {
		t.Errorf("silence says %q", out)
	}
	var silences []silenceRow
	if err := json.Unmarshal([]byte(s.corbie("silence", "--list", "--format", "json")), &silences); err != nil || len(silences) != 1 ||
		silences[0].ID == "" || silences[0].By != "ann" || silences[0].Comment != "new heating" || time.Until(silences[0].Until) < 59*time.Minute {
		t.Fatalf("silences are %+v, %v", silences, err)
	}
	set("42")
	testenv.Eventually(t, "the problem is there", func() bool { return !s.problem("g;web1:room.temp").IsZero() })
	before := len(s.values("g;web1", "room"))
	testenv.Eventually(t, "some polls went by", func() bool { return len(s.values("g;web1", "room")) > before+3 })
	if n := notices("firing"); n != 0 {
		t.Errorf("a silenced problem was told %d times", n)
	}
	s.corbie("silence", "--end", silences[0].ID[:8])
	testenv.Eventually(t, "it is told once the silence is over", func() bool { return notices("firing") == 1 })

	if out := s.corbie("ack", "web1", "-m", "ordered", "--by", "bob", "--for", "2h"); !strings.Contains(out, "g;web1:room.temp: acknowledged until") {
		t.Errorf("ack says %q", out)
	}
	testenv.Eventually(t, "the pages say who takes care", func() bool {
		page, _ := s.page("/problems")
		return strings.Contains(page, "Somebody takes care of every problem") && strings.Contains(page, "bob") && strings.Contains(page, "ordered")
	})
	if out := s.corbie("problems"); !strings.Contains(out, "(acknowledged by bob until ") || !strings.Contains(out, ": ordered)") {
		t.Errorf("problems:\n%s", out)
	}
	s.corbie("ack", "--undo", "g;web1:room.temp")
	if out := s.corbie("problems"); strings.Contains(out, "bob") {
		t.Errorf("problems:\n%s", out)
	}
	if talk := s.refused("ack", "--undo", "web1/room"); !strings.Contains(talk, "nobody has acknowledged it") {
		t.Errorf("undo says %q", talk)
	}

	s.stop()
	s.corbie("ack", "web1/room.temp")
	s.corbie("silence", "--group", "g", "--until", "23:59", "-m", "night")
	if out := s.corbie("silence", "--list"); !strings.Contains(out, "at the master's start  group=~g(;.*)?") {
		t.Errorf("list:\n%s", out)
	}
	s.master = startMaster(t, s.dir, s.conf)
	if err := json.Unmarshal([]byte(s.corbie("silence", "--list", "--format", "json")), &silences); err != nil || len(silences) != 1 || silences[0].ID == "" {
		t.Errorf("silences are %+v, %v", silences, err)
	}
	if page, _ := s.page("/problems"); !strings.Contains(page, "Somebody takes care of every problem") {
		t.Error("what was acknowledged without a master is not")
	}
	set("5")
	testenv.Eventually(t, "a problem that was told is told to be over, silenced or not", func() bool { return notices("resolved") == 1 })
	if n := notices("firing"); n != 1 {
		t.Errorf("told %d times", n)
	}
}
