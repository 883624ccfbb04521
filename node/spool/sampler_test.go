package spool_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"corbie/munin"
	"corbie/node/spool"
)

// fakePlugin is a plugin that takes its time and counts.
type fakePlugin struct {
	config string
	takes  time.Duration
	fails  bool
	extra  string // lines besides its value
	rate   time.Duration

	n       int
	configs int
	starts  []time.Time
	running bool
	twice   bool // two runs at the same time were seen
}

// fakeNode is what a Sampler samples.
type fakeNode struct {
	mu      sync.Mutex
	plugins map[string]*fakePlugin
	most    int // runs at the same time
	now     int
}

func (n *fakeNode) Plugins(context.Context) []spool.Plugin {
	n.mu.Lock()
	defer n.mu.Unlock()
	var list []spool.Plugin
	for name, p := range n.plugins {
		list = append(list, spool.Plugin{Name: name, Rate: p.rate})
	}
	slices.SortFunc(list, func(a, b spool.Plugin) int { return strings.Compare(a.Name, b.Name) })
	return list
}

func (n *fakeNode) Ask(ctx context.Context, plugin string, config bool) (spool.Said, error) {
	n.mu.Lock()
	p, ok := n.plugins[plugin]
	if !ok {
		n.mu.Unlock()
		return spool.Said{}, errors.New("there is no such plugin")
	}
	if config {
		p.configs++
		defer n.mu.Unlock()
		return spool.Said{Text: []byte("graph_title T\n" + p.config + "a.label A\nb.label B\n")}, nil
	}
	p.twice = p.twice || p.running
	p.running = true
	p.starts = append(p.starts, time.Now())
	n.now++
	n.most = max(n.most, n.now)
	takes := p.takes
	n.mu.Unlock()
	if takes > 0 {
		select {
		case <-time.After(takes):
		case <-ctx.Done():
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	p.running = false
	n.now--
	if p.fails {
		return spool.Said{}, errors.New("bad exit")
	}
	p.n++
	return spool.Said{Text: fmt.Appendf(nil, "a.value %d\n%s", p.n, p.extra)}, nil
}

// get looks at a plugin while the sampler runs.
func (n *fakeNode) get(name string) fakePlugin {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := *n.plugins[name]
	p.starts = slices.Clone(p.starts)
	return p
}

// sampling runs a sampler in a bubble for as long as the test lasts.
func sampling(t *testing.T, n *fakeNode, opts spool.SamplerOptions) (*spool.Store, *spool.Sampler) {
	t.Helper()
	store := open(t, t.TempDir(), spool.Options{})
	opts.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	sampler := spool.NewSampler(n, store, opts)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- sampler.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the sampler ended with %v", err)
		}
	})
	return store, sampler
}

func TestNothingIsMissingAfterAnHourWithoutAMaster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNode{plugins: map[string]*fakePlugin{
			"second": {config: "update_rate 1\n"},
			"ten":    {rate: 10 * time.Second, takes: 40 * time.Millisecond},
			"usual":  {},
			"slow":   {takes: 45 * time.Second, config: "update_rate 1m\n"},
		}}
		store, sampler := sampling(t, n, spool.SamplerOptions{Host: "node1"})
		wait(10 * time.Minute)
		var m master
		m.poll(t, store)
		wait(time.Hour)
		m.poll(t, store)
		wait(10 * time.Second)
		m.poll(t, store)
		total := 0
		for name, least := range map[string]int{"second": 4200 - 600, "ten": 420 - 35, "usual": 13, "slow": 65} {
			got := n.get(name).n
			if got < least {
				t.Errorf("%s was sampled only %d times", name, got)
			}
			total += got
		}
		newest := 0 // of the second that is not complete yet
		for i := range 2 {
			if m.seen[fmt.Sprintf("second.a %d:%d", time.Now().Unix()-int64(i), n.get("second").n)] == 0 {
				newest = 1
			}
		}
		if len(m.seen) < total-2 || len(m.seen) > total || newest > 1 {
			t.Errorf("the master has %d of %d samples", len(m.seen), total)
		}
		m.wants(t, len(m.seen))
		if st := sampler.Status(); st.Missed != 0 || st.Failures != 0 || st.Plugins != 4 {
			t.Errorf("status %+v", st)
		}
	})
}

func TestSamplesAreOfTheirSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNode{plugins: map[string]*fakePlugin{
			"quick":   {takes: 1200 * time.Millisecond},
			"aligned": {config: "update_rate 60 aligned\n", takes: 250 * time.Millisecond},
		}}
		store, _ := sampling(t, n, spool.SamplerOptions{Host: "node1"})
		wait(time.Hour)
		text, _ := fetch(t, store, 0)
		reply := munin.ParseConfig("__root__", []byte(text))
		phases := make(map[string]map[int64]int)
		for _, one := range reply.Samples {
			step := map[string]int64{"quick": 300, "aligned": 60}[one.Graph]
			if phases[one.Graph] == nil {
				phases[one.Graph] = make(map[int64]int)
			}
			phases[one.Graph][one.At.Unix()%step]++
		}
		if len(phases["quick"]) != 1 || phases["aligned"][0] < 54 {
			t.Errorf("times within the interval: %v", phases)
		}
	})
}

func TestSlowPluginsDelayNobodyAndMissTheirOwnSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNode{plugins: map[string]*fakePlugin{"quick": {rate: time.Second, takes: 10 * time.Millisecond}}}
		for i := range 6 {
			n.plugins[fmt.Sprintf("slow%d", i)] = &fakePlugin{rate: 10 * time.Second, takes: 25 * time.Second}
		}
		_, sampler := sampling(t, n, spool.SamplerOptions{Parallel: 2})
		wait(10 * time.Minute)
		quick := n.get("quick")
		if quick.n < 560 {
			t.Errorf("the quick one was sampled %d times in 600 seconds", quick.n)
		}
		for i := range 6 {
			p := n.get(fmt.Sprintf("slow%d", i))
			if p.twice || p.n < 18 {
				t.Errorf("slow%d: %d runs, two at the same time: %v", i, p.n, p.twice)
			}
		}
		if st := sampler.Status(); st.Missed < 6*30 || st.Runs < 560+6*18 {
			t.Errorf("status %+v", st)
		}
	})
}

func TestNoMorePluginsRunAtATimeThanMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNode{plugins: make(map[string]*fakePlugin)}
		for i := range 40 {
			n.plugins[fmt.Sprintf("p%d", i)] = &fakePlugin{rate: 10 * time.Second, config: "update_rate 10 aligned\n", takes: 300 * time.Millisecond}
		}
		_, sampler := sampling(t, n, spool.SamplerOptions{Parallel: 4})
		wait(5 * time.Minute)
		n.mu.Lock()
		most := n.most
		n.mu.Unlock()
		if most != 4 {
			t.Errorf("%d ran at the same time", most)
		}
		if st := sampler.Status(); st.Missed != 0 || st.Runs < 40*28 {
			t.Errorf("status %+v", st)
		}
	})
}

func TestConfigIsReadAgainWhenAFieldIsNewAndNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNode{plugins: map[string]*fakePlugin{"df": {rate: 10 * time.Second}}}
		store, _ := sampling(t, n, spool.SamplerOptions{ConfigEvery: 10 * time.Minute})
		wait(35 * time.Minute)
		if got := n.get("df").configs; got != 4 {
			t.Errorf("config was read %d times in 35 minutes", got)
		}
		n.mu.Lock()
		n.plugins["df"].extra = "b.value 1\n"
		n.plugins["df"].config = "graph_args --base 1024\n"
		n.mu.Unlock()
		since := time.Now().Unix()
		wait(20 * time.Second)
		text, _ := fetch(t, store, since)
		if n.get("df").configs != 5 || !strings.Contains(text, "graph_args --base 1024\n") {
			t.Errorf("config was read %d times; the master is told\n%s", n.get("df").configs, text)
		}
	})
}

func TestPluginsComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNode{plugins: map[string]*fakePlugin{"old": {rate: time.Second, takes: 100 * time.Millisecond}}}
		store, sampler := sampling(t, n, spool.SamplerOptions{})
		wait(10 * time.Second)
		n.mu.Lock()
		delete(n.plugins, "old")
		n.plugins["new"] = &fakePlugin{rate: time.Second}
		n.mu.Unlock()
		sampler.Look()
		since := time.Now().Unix() + 1
		wait(10 * time.Second)
		if text, _ := fetch(t, store, since); strings.Contains(text, "old") || !strings.Contains(text, "multigraph new\n") {
			t.Errorf("after the change:\n%s", text)
		}
		if text, _ := fetch(t, store, 0); !strings.Contains(text, "multigraph old\n") {
			t.Errorf("what was kept of the old one is not served:\n%s", text)
		}
	})
}

func TestTheScheduleCanBeChangedWhileItRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNode{plugins: map[string]*fakePlugin{"load": {}, "slow": {rate: time.Hour}}}
		_, sampler := sampling(t, n, spool.SamplerOptions{Interval: time.Hour})
		wait(time.Second)
		before := n.get("load").n
		sampler.Change(10*time.Second, 8)
		wait(100 * time.Second)
		if got := n.get("load").n - before; got < 9 || got > 11 {
			t.Errorf("%d samples in 100 seconds at one in ten", got)
		}
		if got := n.get("slow").n; got > 1 {
			t.Errorf("one that has a rate of its own was sampled %d times", got)
		}
	})
}

func TestFailuresAreCountedAndNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNode{plugins: map[string]*fakePlugin{"bad": {rate: time.Second, fails: true}}}
		store, sampler := sampling(t, n, spool.SamplerOptions{})
		wait(time.Minute)
		if st := sampler.Status(); st.Failures < 58 || st.Runs != 0 || store.Status().Samples != 0 {
			t.Errorf("status %+v, %+v", st, store.Status())
		}
	})
}

func TestPluginThatSamplesItselfIsNotAskedAtItsOwnRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNode{plugins: map[string]*fakePlugin{"acquire": {config: "update_rate 1\n"}}}
		n.plugins["acquire"].extra = "" // Its value below has a time.
		timed := timedNode{n}
		store := open(t, t.TempDir(), spool.Options{})
		sampler := spool.NewSampler(timed, store, spool.SamplerOptions{Interval: time.Minute, Log: slog.New(slog.DiscardHandler)})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- sampler.Run(ctx) }()
		wait(time.Hour)
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if runs := sampler.Status().Runs; runs < 58 || runs > 62 {
			t.Errorf("it was asked %d times in an hour", runs)
		}
	})
}

// timedNode is a node whose plugins say the time of their values.
type timedNode struct{ *fakeNode }

func (n timedNode) Ask(ctx context.Context, plugin string, config bool) (spool.Said, error) {
	if config {
		return n.fakeNode.Ask(ctx, plugin, config)
	}
	now := time.Now().Unix()
	return spool.Said{Text: fmt.Appendf(nil, "a.value %d:1\na.value %d:2\n", now-2, now-1)}, nil
}
