package route_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"corbie/alerts/route"
	"corbie/munin"
)

// waitFor polls for the condition with a deadline: a command has no channel.
func waitFor(t *testing.T, what string, met func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !met(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not happen", what)
		}
	}
}

func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700); err != nil { //nolint:gosec // it has to be run
		t.Fatal(err)
	}
	return path
}

func TestACommandGetsHostileTextsAsData(t *testing.T) {
	out := t.TempDir()
	// The body moves into place whole, so that the test never reads half of it.
	path := script(t, `
printf '%s|' "$#" "$1" "$2" "$CORBIE_STATUS" "$CORBIE_LEVEL" "$CORBIE_HOST" "$CORBIE_FIELD" "$CORBIE_LABEL" "$SECRET" >"$OUT/env.$CORBIE_STATUS"
cat >"$OUT/tmp" && mv "$OUT/tmp" "$OUT/body.$CORBIE_STATUS"
echo "said something to $CORBIE_HOST"
`)
	r := start(t, t.TempDir(), route.Receiver{Name: "cmd", Command: &route.Command{
		Argv: []string{path, "--to=a b", "$(touch " + out + "/pwned)"}, Env: map[string]munin.Secret{"OUT": munin.Secret(out), "SECRET": "hunter2"},
	}})
	hostile := "--help '\"`; touch " + out + "/pwned; $(touch " + out + "/pwned)\n\nEND\x00 |&<>"
	x := newThing("-rf;--version", "df", "root")
	x.about.Label = hostile
	r.tell(x.is(99))
	body := filepath.Join(out, "body.firing")
	waitFor(t, "the command", func() bool { return size(body) > 0 })
	env, err := os.ReadFile(filepath.Join(out, "env.firing"))
	if err != nil {
		t.Fatal(err)
	}
	want := "2|--to=a b|$(touch " + out + "/pwned)|firing|critical|--version|root|" + strings.ReplaceAll(hostile, "\x00", "") + "|hunter2|"
	if string(env) != want {
		t.Errorf("got %q\nwant %q", env, want)
	}
	text, err := os.ReadFile(body)
	if err != nil {
		t.Fatal(err)
	}
	var m hook
	if err := json.Unmarshal(text, &m); err != nil || m.Version != "4" || m.Receiver != "cmd" || m.Alerts[0].Annotations["label"] != hostile {
		t.Errorf("%v: %s", err, text)
	}
	if _, err := os.Stat(filepath.Join(out, "pwned")); err == nil {
		t.Error("a text was run as a command")
	}
	r.tell(x.is(1))
	waitFor(t, "the recovery", func() bool { return size(filepath.Join(out, "body.resolved")) > 0 })
	r.stop()
	if log := r.log.String(); !strings.Contains(log, "said something to --version") || strings.Contains(log, "hunter2") {
		t.Errorf("log:\n%s", log)
	}
}

func TestACommandThatFailsIsRunAgain(t *testing.T) {
	out := t.TempDir()
	path := script(t, `
echo x >>"$OUT/count"
if [ "$(wc -l <"$OUT/count")" -lt 3 ]; then echo "the modem is busy" >&2; exit 3; fi
touch "$OUT/done"
`)
	r := start(t, t.TempDir(), route.Receiver{Name: "cmd", Command: &route.Command{Argv: []string{path}, Env: map[string]munin.Secret{"OUT": munin.Secret(out)}}})
	r.tell(newThing("www1", "df", "root").is(99))
	waitFor(t, "the third attempt", func() bool {
		_, err := os.Stat(filepath.Join(out, "done"))
		return err == nil
	})
	r.stop()
	if log := r.log.String(); !strings.Contains(log, "exit status 3") || !strings.Contains(log, "the modem is busy") {
		t.Errorf("log:\n%s", log)
	}
	count, err := os.ReadFile(filepath.Join(out, "count"))
	if err != nil || string(count) != "x\nx\nx\n" {
		t.Errorf("%q attempts, %v", count, err)
	}
}

func TestACommandThatHangsIsEndedWithItsChildren(t *testing.T) {
	out := t.TempDir()
	path := script(t, `
trap '' TERM HUP
sleep 1000 &
echo $! >"$OUT/child.tmp" && mv "$OUT/child.tmp" "$OUT/child"
sleep 1000
`)
	r := start(t, t.TempDir(), route.Receiver{Name: "cmd", Command: &route.Command{
		Argv: []string{path}, Timeout: 200 * time.Millisecond, Env: map[string]munin.Secret{"OUT": munin.Secret(out)},
	}})
	r.tell(newThing("www1", "df", "root").is(99))
	child := filepath.Join(out, "child")
	waitFor(t, "the child", func() bool { return size(child) > 0 })
	pid, err := os.ReadFile(child)
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the end of the child", func() bool {
		status, err := os.ReadFile("/proc/" + strings.TrimSpace(string(pid)) + "/stat")
		return err != nil || strings.Contains(string(status), ") Z ")
	})
	r.stop()
	if log := r.log.String(); !strings.Contains(log, "did not end within 200ms") {
		t.Errorf("log:\n%s", log)
	}
}
