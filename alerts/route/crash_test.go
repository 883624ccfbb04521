package route_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"corbie/alerts"
	"corbie/alerts/route"
	"corbie/munin"
)

const childVariable = "CORBIE_TEST_ROUTER"

type childOrders struct {
	Dir, URL string
	Notices  []alerts.Notice
}

// childMain runs a router in a process of its own, which the test kills.
func childMain() bool {
	text := os.Getenv(childVariable)
	if text == "" {
		return false
	}
	var orders childOrders
	if err := json.Unmarshal([]byte(text), &orders); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return true
	}
	r, err := route.New(route.Options{
		Dir: orders.Dir, Wait: 20 * time.Millisecond, Interval: 60 * time.Millisecond,
		Receivers: []route.Receiver{{Name: "hook", Webhook: &route.Webhook{URL: munin.Secret(orders.URL)}}},
	})
	if err == nil {
		err = r.Tell(context.Background(), orders.Notices)
	}
	if err == nil {
		err = r.Run(context.Background())
	}
	fmt.Fprintln(os.Stderr, err)
	return true
}

// runAndKill starts a router that is told the notices, waits for the webhook and for the notification log to have
// grown, and kills the process without any warning.
func runAndKill(t *testing.T, orders childOrders, web *hooks, status string, lines ...string) {
	t.Helper()
	text, err := json.Marshal(orders)
	if err != nil {
		t.Fatal(err)
	}
	// Opening the log leaves out what is outdated: from then on it only grows.
	r, err := route.New(route.Options{Dir: orders.Dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(orders.Dir, "nflog")
	before := size(log)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+string(text))
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	web.expect(t, status, lines...)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); size(log) <= before; <-tick.C {
		if time.Now().After(deadline) {
			t.Fatal("nothing was written to the notification log")
		}
	}
}

func size(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

func TestAKilledRouterDoublesNothing(t *testing.T) {
	web := newHooks(t)
	dir := t.TempDir()
	root := newThing("www1", "df", "root")
	problem := root.is(99)
	problem.State.Value = 99
	runAndKill(t, childOrders{Dir: dir, URL: web.URL, Notices: []alerts.Notice{problem}}, web, "firing", "firing www1:df.root critical")
	// A second life tells nothing of it, and the recovery once.
	r := start(t, dir, webhookTo(web))
	r.tell(root.again())
	r.nothingMore(web)
	r.stop()
	recovery := root.is(1)
	runAndKill(t, childOrders{Dir: dir, URL: web.URL, Notices: []alerts.Notice{recovery}}, web, "resolved", "resolved www1:df.root critical")
	r.run()
	r.tell(root.again())
	r.nothingMore(web)
}
