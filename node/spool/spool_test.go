package spool_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"corbie/munin"
	"corbie/node/spool"
)

// open opens a spool that is closed with the test.
func open(t *testing.T, dir string, opts spool.Options) *spool.Store {
	t.Helper()
	if opts.Log == nil {
		opts.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	s, err := spool.Open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // Some tests close it themselves.
	return s
}

// sample is what a plugin with one field says, with its config.
func sample(plugin string, value any) spool.Sample {
	config := spool.ParseConfig(plugin, []byte("graph_title "+plugin+"\na.label A\n"), 0)
	return spool.Sample{
		Plugin: plugin, At: time.Now(), Config: &config,
		Values: spool.ParseValues(plugin, fmt.Appendf(nil, "a.value %v\n", value), time.Now()),
	}
}

func add(t *testing.T, s *spool.Store, sample spool.Sample) {
	t.Helper()
	if err := s.Append(sample); err != nil {
		t.Fatal(err)
	}
}

// fetch is the answer for the node itself.
func fetch(t *testing.T, s *spool.Store, since int64) (string, spool.Fetched) {
	t.Helper()
	var b strings.Builder
	got, err := s.Fetch(t.Context(), &b, "", since)
	if err != nil {
		t.Fatal(err)
	}
	return b.String(), got
}

// master asks as masters do: always with the highest time that it has seen.
type master struct {
	since int64
	seen  map[string]int // how often each "graph.field time:value" came
}

func (m *master) poll(t *testing.T, s *spool.Store) spool.Fetched {
	t.Helper()
	text, got := fetch(t, s, m.since)
	m.take(t, text)
	return got
}

func (m *master) take(t *testing.T, text string) {
	t.Helper()
	if m.seen == nil {
		m.seen = make(map[string]int)
	}
	reply := munin.ParseConfig("__root__", []byte(text))
	for _, fault := range reply.Faults {
		t.Errorf("the master cannot use a line: %v", fault)
	}
	for _, one := range reply.Samples {
		if one.At.IsZero() {
			t.Errorf("a value without a time: %+v", one)
		}
		m.seen[fmt.Sprintf("%s.%s %d:%v", one.Graph, one.Field, one.At.Unix(), one.Value)]++
		m.since = max(m.since, one.At.Unix())
	}
}

// wants checks that the master has got n different values, each once.
func (m *master) wants(t *testing.T, n int) {
	t.Helper()
	if len(m.seen) != n {
		t.Errorf("the master has %d different values, want %d", len(m.seen), n)
	}
	for value, times := range m.seen {
		if times != 1 {
			t.Errorf("%s came %d times", value, times)
		}
	}
}

func TestFetchGivesConfigOnceAndValuesWithTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, t.TempDir(), spool.Options{})
		start := time.Now().Unix()
		for i := range 3 {
			add(t, s, sample("load", i))
			wait(time.Second)
		}
		text, got := fetch(t, s, 0)
		want := "multigraph load\ngraph_title load\na.label A\n"
		for i := range int64(3) {
			want += fmt.Sprintf("multigraph load\na.value %d:%d\n", start+i, i)
		}
		if text != want {
			t.Errorf("got:\n%swant:\n%s", text, want)
		}
		if got.Samples != 3 || got.Newest.Unix() != start+2 || got.More {
			t.Errorf("got %+v", got)
		}
		if text, _ := fetch(t, s, start+2); text != "" {
			t.Errorf("nothing is new, but the answer is %q", text)
		}
	})
}

func TestConfigIsToldAgainWhenItChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, t.TempDir(), spool.Options{})
		for i := range 4 {
			one := sample("load", i)
			if i >= 2 {
				config := spool.ParseConfig("load", []byte("graph_title New\na.label A\n"), 10*time.Second)
				one.Config = &config
			}
			add(t, s, one)
			wait(time.Second)
		}
		text, _ := fetch(t, s, 0)
		if strings.Count(text, "graph_title load\n") != 1 || strings.Count(text, "graph_title New\n") != 1 ||
			strings.Index(text, "title New") > strings.Index(text, ":2\n") || strings.Index(text, "title New") < strings.Index(text, ":1\n") {
			t.Errorf("the config is not where it changed:\n%s", text)
		}
		if !strings.Contains(text, "update_rate 10\n") {
			t.Errorf("the rate is not told:\n%s", text)
		}
	})
}

func TestPluginsWithoutNewsAreThereWithTheirConfig(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, t.TempDir(), spool.Options{})
		add(t, s, sample("rare", 1))
		add(t, s, sample("gone", 1))
		wait(time.Minute)
		since := time.Now().Unix() - 1
		add(t, s, sample("load", 2))
		s.Forget("gone")
		wait(time.Second)
		text, _ := fetch(t, s, since)
		if !strings.Contains(text, "multigraph rare\ngraph_title rare\n") || strings.Contains(text, ":1\n") || strings.Contains(text, "gone") {
			t.Errorf("got:\n%s", text)
		}
	})
}

// TestNothingIsLostOrRepeatedForAMasterThatAsksInBetween has several samples in every second and a master that
// asks at any moment of it.
func TestNothingIsLostOrRepeatedForAMasterThatAsksInBetween(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, t.TempDir(), spool.Options{Segment: 4096})
		var m master
		n := 0
		for i := range 600 {
			for j := range 3 {
				if i%(j+1) == 0 {
					one := sample("p"+strconv.Itoa(j), i)
					one.At = one.At.Add(-time.Duration(i%3) * time.Second) // late, as of a slow plugin
					if err := s.Append(one); err == nil {
						n++
					} else if !errors.Is(err, spool.ErrRepeated) {
						t.Fatal(err)
					}
				}
				if i%7 == j {
					m.poll(t, s)
				}
			}
			wait(time.Duration(300+i%900) * time.Millisecond)
		}
		wait(2 * time.Second)
		m.poll(t, s)
		m.poll(t, s)
		if n < 600 {
			t.Fatalf("only %d samples were kept", n)
		}
		m.wants(t, n)
	})
}

func TestTimesThatAPluginGivesAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, t.TempDir(), spool.Options{})
		now := time.Now().Unix()
		text := fmt.Sprintf("multigraph m\na.value %d:1\na.value %d:-0\nmultigraph m.child\nb.value %d:U\nb.value N:1e3 trailing\na.value 1,5\n.\n# timeout\n",
			now-20, now-10, now+1000)
		config := spool.ParseConfig("m", []byte("multigraph m\na.label A\na.value 3\nmultigraph m.child\nb.label B\nmultigraph bad..name\nc.label C\n"), 0)
		add(t, s, spool.Sample{Plugin: "m", At: time.Now(), Config: &config, Values: spool.ParseValues("m", []byte(text), time.Now())})
		wait(time.Second)
		got, _ := fetch(t, s, 0)
		want := fmt.Sprintf("multigraph m\na.label A\nmultigraph m.child\nb.label B\n"+
			"multigraph m\na.value %d:1\na.value %d:-0\nmultigraph m.child\nb.value %d:U\nb.value %d:1e3\n", now-20, now-10, now, now)
		if got != want {
			t.Errorf("got:\n%swant:\n%s", got, want)
		}
	})
}

func TestAnswersOfManySamplesComeInPieces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, t.TempDir(), spool.Options{Answer: 2000, Segment: 4096})
		for i := range 500 {
			add(t, s, sample("a", i))
			add(t, s, sample("b", i))
			wait(time.Second)
		}
		var m master
		pieces := 1
		for ; m.poll(t, s).More; pieces++ {
			if pieces > 100 {
				t.Fatal("it does not come to an end")
			}
		}
		if pieces < 5 {
			t.Errorf("%d pieces", pieces)
		}
		m.wants(t, 1000)
	})
}

func TestOnlyOneProcessWritesToASpool(t *testing.T) {
	dir := t.TempDir()
	open(t, dir, spool.Options{})
	if _, err := spool.Open(dir, spool.Options{Log: slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), "another node") {
		t.Errorf("the second one: %v", err)
	}
}

func TestSamplesOfAnotherHostAreNotMixedIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, t.TempDir(), spool.Options{})
		other := sample("snmp_switch", 1)
		other.Node = "switch.example.com"
		add(t, s, other)
		add(t, s, sample("load", 2))
		wait(time.Second)
		if text, _ := fetch(t, s, 0); strings.Contains(text, "switch") || !strings.Contains(text, "load") {
			t.Errorf("the node itself:\n%s", text)
		}
		var b strings.Builder
		if _, err := s.Fetch(context.Background(), &b, "switch.example.com", 0); err != nil || strings.Contains(b.String(), "load") ||
			!strings.Contains(b.String(), "snmp_switch") {
			t.Errorf("the other host: %v\n%s", err, b.String())
		}
	})
}

// wait lets time pass; in a bubble of synctest it takes none.
func wait(d time.Duration) { <-time.After(d) }

// TestClockThatStepsBackCostsNothing writes in one bubble at two o'clock, and in the next one at midnight.
func TestClockThatStepsBackCostsNothing(t *testing.T) {
	dir := t.TempDir()
	var m master
	write := func(s *spool.Store, from int) {
		for i := range 10 {
			add(t, s, sample("load", from+i))
			wait(time.Second)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		wait(2 * time.Hour)
		s := open(t, dir, spool.Options{})
		write(s, 0)
		m.poll(t, s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s := open(t, dir, spool.Options{})
		write(s, 100)
		m.since = m.poll(t, s).Newest.Unix()
		m.wants(t, 20)
		write(s, 200)
		m.poll(t, s)
		m.wants(t, 30)
		if since := time.Now().Unix() - m.since; since > 2 {
			t.Errorf("the master is %d seconds behind", since)
		}
	})
}
