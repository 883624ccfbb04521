package rules_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"

	"corbie/munin"
	"corbie/storage/rules"
	"corbie/storage/series"
)

const held = `groups:
  - name: disks
    interval: 10s
    rules:
      - alert: Full
        expr: used > 90
        for: 1m
        keep_firing_for: 30s
        labels: {severity: '{{ if gt $value 95.0 }}page{{ else }}warning{{ end }}'}
        annotations: {summary: '{{ $labels.disk }} is {{ $value }}'}
`

// bench is a Manager whose queries are answered by hand.
type bench struct {
	*rules.Manager

	mu     sync.Mutex
	values map[string]float64 // of used, by disk
	fails  error
	told   []string
	again  int
	stored []series.Computed
}

func newBench(t *testing.T, file, text string, values map[string]float64) *bench {
	t.Helper()
	b := &bench{values: values}
	var err error
	b.Manager, err = rules.New(rules.Options{
		Query: b.query, File: file, Settle: 30 * time.Second,
		Host: func(l map[string]string) munin.HostID { return munin.HostID(l["host"]) },
		Record: func(_ context.Context, values []series.Computed) error {
			b.stored = append(b.stored, values...)
			return nil
		},
		Tell: func(_ context.Context, all []rules.Alert) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			for _, a := range all {
				if a.Again {
					b.again++
					continue
				}
				b.told = append(b.told, a.Labels["disk"]+" "+a.Level.String())
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	b.reload(t, text)
	return b
}

func (b *bench) reload(t *testing.T, text string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "rules.yml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	set, wrong := rules.Load([]string{file})
	if len(wrong) > 0 {
		t.Fatal(wrong)
	}
	if err := b.Reload(t.Context(), set); err != nil {
		t.Fatal(err)
	}
}

func (b *bench) query(_ context.Context, _ string, at time.Time) (promql.Vector, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out promql.Vector
	for disk, v := range b.values {
		out = append(out, promql.Sample{T: at.UnixMilli(), F: v, Metric: labels.FromStrings("__name__", "used", "host", "db1", "disk", disk)})
	}
	return out, b.fails
}

// answer changes what queries give.
func (b *bench) answer(values map[string]float64, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.values, b.fails = values, err
}

// during runs the Manager for a while.
func (b *bench) during(t *testing.T, steps func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- b.Run(ctx) }()
	steps()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func (b *bench) want(t *testing.T, told ...string) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if !slices.Equal(b.told, told) {
		t.Errorf("told %q, want %q", b.told, told)
	}
}

func TestAnAlertWaitsForItsTimeAndIsKeptFiring(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, filepath.Join(t.TempDir(), "rules.json"), held, map[string]float64{"sda": 92})
		b.during(t, func() {
			pass(55 * time.Second)
			b.want(t)
			pass(20 * time.Second)
			b.want(t, "sda warning")
			b.answer(nil, errors.New("the engine is away"))
			pass(5 * time.Minute)
			b.want(t, "sda warning")
			b.answer(nil, nil)
			pass(25 * time.Second)
			b.want(t, "sda warning")
			pass(25 * time.Second)
			b.want(t, "sda warning", "sda ok")
			pass(time.Hour)
			b.want(t, "sda warning", "sda ok")
		})
		last := b.stored[len(b.stored)-1]
		if last.V == last.V || last.Labels.Get("__name__") != "ALERTS" || last.Labels.Get("alertstate") != "firing" {
			t.Errorf("the series ALERTS does not end: %v", last)
		}
	})
}

func TestAPendingAlertThatIsOverIsNeverTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, filepath.Join(t.TempDir(), "rules.json"), held, map[string]float64{"sda": 99})
		b.during(t, func() {
			pass(50 * time.Second)
			b.answer(nil, nil)
			pass(time.Hour)
		})
		b.want(t)
	})
}

func TestARestartKeepsTheTimeUnderForAndWhatIsFiring(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "rules.json")
		b := newBench(t, file, held, map[string]float64{"sda": 99})
		b.during(t, func() { pass(45 * time.Second) })
		b.want(t)
		b = newBench(t, file, held, map[string]float64{"sda": 99})
		b.during(t, func() { pass(45 * time.Second) }) // the file, and with it the moments of its rules, is another
		b.want(t, "sda critical")

		// The first polls are not in yet: nothing is over.
		b = newBench(t, file, held, nil)
		b.during(t, func() {
			pass(29 * time.Second)
			b.answer(map[string]float64{"sda": 99}, nil)
			pass(5 * time.Minute)
		})
		b.want(t)
		if b.again != 1 {
			t.Errorf("told again %d times, want once", b.again)
		}

		b = newBench(t, file, held, nil)
		b.during(t, func() { pass(2 * time.Minute) })
		b.want(t, "sda ok")
		b = newBench(t, file, held, nil)
		b.during(t, func() { pass(2 * time.Minute) })
		b.want(t)
		if b.again != 1 {
			t.Errorf("a recovery of a moment ago was told again %d times, want once", b.again)
		}
	})
}

func TestAnAlertEndsWithItsRuleButNotWhenItsQueryIsChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, filepath.Join(t.TempDir(), "rules.json"), held, map[string]float64{"sda": 99})
		b.during(t, func() {
			pass(2 * time.Minute)
			b.reload(t, strings.Replace(held, "> 90", "> 80", 1))
			pass(2 * time.Minute)
			b.want(t, "sda critical")
			b.reload(t, strings.Replace(held, "alert: Full", "alert: Other", 1))
			synctest.Wait()
			b.want(t, "sda critical", "sda ok")
		})
	})
}

func TestADamagedFileOfAlertsIsSetAside(t *testing.T) {
	file := filepath.Join(t.TempDir(), "rules.json")
	if err := os.WriteFile(file, []byte(`{"version":1,"alerts":{`), 0o600); err != nil {
		t.Fatal(err)
	}
	newBench(t, file, held, nil)
	if _, err := os.Stat(file + ".damaged"); err != nil {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(held))
	f.Add([]byte("groups:\n- name: a\n  rules:\n  - record: x\n    expr: sum(\n"))
	f.Add([]byte("groups:\n- name: a\n  labels: {'': b}\n  rules: [{}]\n- name: a\n"))
	f.Add([]byte("- groups\n--- 1\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		set, wrong := rules.Parse("rules.yml", text)
		for _, err := range wrong {
			if !strings.HasPrefix(err.Error(), "rules.yml:") {
				t.Errorf("a problem without its place: %v", err)
			}
		}
		if len(wrong) > 0 {
			return
		}
		b := newBench(t, filepath.Join(t.TempDir(), "rules.json"), held, nil)
		if err := b.Reload(t.Context(), set); err != nil {
			t.Fatal(err)
		}
		if out, err := json.Marshal(b.Groups(nil, nil)); err != nil || strings.Count(string(out), `"health":`) != set.Count() {
			t.Errorf("%d rules are shown as %s (%v)", set.Count(), out, err)
		}
	})
}

func TestWhoSeesSomeGroupsIsShownTheAlertsOfTheirHostsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		text := strings.Replace(held, "labels: {", "labels: {host: '{{ $labels.disk }}', ", 1) +
			"  - name: hidden\n    rules:\n      - alert: Hidden\n        expr: hidden\n        labels: {host: 'db;hidden'}\n"
		b := newBench(t, filepath.Join(t.TempDir(), "rules.json"), text, map[string]float64{"web;www1": 92, "webshop;hidden": 93, "web;eu;www2": 91})
		b.during(t, func() { pass(3 * time.Minute) })
		shown := func(v any) string {
			out, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			return string(out)
		}
		for groups, want := range map[string][2]int{"": {3, 2}, "web": {2, 1}, "web;eu": {1, 1}, "we": {0, 0}} {
			var seen []string
			if groups != "" {
				seen = []string{groups}
			}
			alerts, all := shown(b.Alerts(seen)), shown(b.Groups(nil, seen))
			if got := strings.Count(alerts, `"state":"firing"`); got != want[0] && groups != "" {
				t.Errorf("%q: %d alerts, want %d: %s", groups, got, want[0], alerts)
			}
			if got := strings.Count(all, `"health":`); got != want[1] {
				t.Errorf("%q: %d rules, want %d: %s", groups, got, want[1], all)
			}
			if groups != "" && strings.Contains(alerts+all, "idden") || strings.Contains(all, `"used `) != (groups == "") {
				t.Errorf("%q: %s\n%s", groups, alerts, all)
			}
		}
	})
}
