package demo_test

import (
	"context"
	"math"
	"net"
	"testing"
	"time"

	"corbie/munin"
	"corbie/munin/wire"
	"corbie/munin/wire/demo"
)

func now() time.Time { return time.Date(2026, 11, 18, 16, 30, 0, 0, time.UTC) }

func newFleet(seed uint64) *demo.Fleet { return demo.New(demo.Options{Seed: seed, Now: now()}) }

func find(t *testing.T, f *demo.Fleet, name string) *demo.Host {
	t.Helper()
	for _, h := range f.Hosts {
		if h.ID.Name() == name+".example.com" {
			return h
		}
	}
	t.Fatalf("no host %s", name)
	return nil
}

func TestThereAreThirtyHostsInFourGroups(t *testing.T) {
	groups := make(map[string]int)
	ids := make(map[munin.HostID]bool)
	for _, h := range newFleet(1).Hosts {
		groups[h.ID.Group()]++
		ids[h.ID] = true
		if len(h.Roles) == 0 || len(h.Tags) == 0 {
			t.Errorf("%s has no roles or no tags", h.ID)
		}
	}
	if len(ids) != 30 || len(groups) != 4 {
		t.Errorf("%d hosts in %d groups: %v", len(ids), len(groups), groups)
	}
}

func TestTheSameSeedTellsTheSameStory(t *testing.T) {
	sum := func(seed uint64) (n int, total float64) {
		for r := range newFleet(seed).Readings(now().Add(-time.Hour), now()) {
			if !math.IsNaN(r.V) {
				total += r.V
			}
			n++
		}
		return n, total
	}
	n1, a := sum(1)
	n2, b := sum(1)
	_, c := sum(2)
	if n1 != n2 || a != b || a == c {
		t.Errorf("%d and %d readings with sums %v and %v; with another seed %v", n1, n2, a, b, c)
	}
}

func TestReadingsAreInTheOrderOfTimeAndCountersGrow(t *testing.T) {
	last := make(map[munin.SeriesID]munin.Point)
	for r := range newFleet(1).Readings(now().Add(-26*time.Hour), now()) {
		before, ok := last[r.ID]
		if ok && r.T != before.T+demo.Step.Milliseconds() {
			t.Fatalf("%s: %s after %s", r.ID, r.Time(), before.Time())
		}
		if ok && r.ID.Graph == "cpu" && r.V < before.V {
			t.Fatalf("%s fell from %v to %v", r.ID, before.V, r.V)
		}
		last[r.ID] = r.Point
	}
	if len(last) < 1500 {
		t.Errorf("only %d series", len(last))
	}
}

func TestTheStoryIsThere(t *testing.T) {
	f := newFleet(1)
	at := func(host, graph, field string, ago time.Duration) float64 {
		h := find(t, f, host)
		from := now().Add(-ago)
		for _, v := range h.Values(munin.SeriesID{Host: h.ID, Graph: graph, Field: field}, from, from) {
			return v
		}
		t.Errorf("%s has no %s.%s", host, graph, field)
		return 0
	}
	const oneDay = 24 * time.Hour
	if v := at("db2", "df", "_dev_md0", 0); v < 93 || v > 96 {
		t.Errorf("the filling disk of db2 is at %v", v)
	}
	if was, is := at("nas1", "df", "_dev_md0", 101*oneDay), at("nas1", "df", "_dev_md0", 99*oneDay); was < is+30 {
		t.Errorf("the clean-up of nas1: from %v to %v", was, is)
	}
	if v := at("nas1", "raid", "md0", 0); v != 75 {
		t.Errorf("the RAID with a failed disk is at %v", v)
	}
	if v := at("nas1", "diskstats_iops.sdc", "rdio", 0); !math.IsNaN(v) {
		t.Errorf("the failed disk still reads: %v", v)
	}
	if f.Deploy().Format("15:04") != "14:05" {
		t.Errorf("the deploy was at %s", f.Deploy())
	}
	since := now().Sub(f.Deploy())
	if was, is := at("www1", "http_responses", "c5xx", since+30*time.Minute), at("www1", "http_responses", "c5xx", since-30*time.Minute); is < 4*was {
		t.Errorf("errors before and after the deploy: %v and %v", was, is)
	}
	if noon, night := at("lb1", "haproxy_requests", "www1", 5*time.Hour), at("lb1", "haproxy_requests", "www1", 13*time.Hour); noon < 2*night {
		t.Errorf("no rhythm: %v at noon, %v at night", noon, night)
	}
	if is, was := at("cache1", "if_eth0", "up", 0), at("cache1", "if_eth0", "up", 52*7*oneDay); is < 1.2*was {
		t.Errorf("no growth: from %v to %v", was, is)
	}
	if h := find(t, f, "www6"); h.SilentSince.IsZero() {
		t.Error("www6 is not silent")
	}
}

func TestHoursSayTheSameAsSamples(t *testing.T) {
	f := newFleet(1)
	h := find(t, f, "pg1")
	from := now().Add(-30 * 24 * time.Hour).Truncate(time.Hour)
	n := 0
	for id, hours := range h.Hours(from, from.Add(24*time.Hour)) {
		n++
		if len(hours) != 24 || hours[0].Start != from.UnixMilli() || hours[0].Min > hours[0].Avg || hours[0].Max < hours[0].Avg {
			t.Fatalf("%s: %d hours, the first is %+v", id, len(hours), hours[0])
		}
		for at, v := range h.Values(id, from.Add(10*time.Minute), from.Add(10*time.Minute)) {
			if v < hours[0].Min || v > hours[0].Max {
				t.Errorf("%s at %s: %v is not in %+v", id, at, v, hours[0])
			}
		}
	}
	if n < 50 {
		t.Errorf("only %d series", n)
	}
}

// ask has a session with the node of a host and returns the answer to one command.
func ask(t *testing.T, address, plugin string) (config, values munin.Reply) {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	client := wire.NewClient(conn, wire.ClientOptions{})
	defer client.Close()
	if _, err := client.Greet(); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Cap(); err != nil {
		t.Fatal(err)
	}
	body, err := client.Config(plugin)
	if err != nil {
		t.Fatal(err)
	}
	config = munin.ParseConfig(plugin, body)
	if body, err = client.Fetch(plugin); err != nil {
		t.Fatal(err)
	}
	return config, munin.ParseFetch(plugin, body)
}

func TestNodesAnswerAndTheSilentOneDoesNot(t *testing.T) {
	f := newFleet(1)
	ctx, cancel := context.WithCancel(t.Context())
	listeners, err := f.Listen(ctx)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- f.Serve(ctx, listeners) }()
	for _, h := range f.Hosts {
		config, values := ask(t, h.Address(), "cpu")
		if len(config.Faults)+len(values.Faults) > 0 || len(config.Graphs) != 1 || len(values.Samples) != len(config.Graphs[0].Fields) {
			t.Fatalf("%s: %+v %+v", h.ID, config, values)
		}
	}
	if _, values := ask(t, find(t, f, "print1").Address(), "cups_jobs"); len(values.Faults) == 0 {
		t.Error("the broken plugin works")
	}
	f.Hush()
	silent := find(t, f, "www6").Address()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", silent)
		if err != nil {
			break
		}
		conn.Close()
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
