package alerts_test

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"corbie/alerts"
	"corbie/munin"
)

var update = flag.Bool("update", false, "write the right-hand sides of the scripts anew")

// TestScripts runs testdata/*.txt. A script sets a rule and feeds values at times; what follows "=>" is what
// comes of it:
//
//	rule warning=:80 critical=:95 unknown_limit=3
//	5m 85 => problem: ok to warning (85 is above 80)
//
// "=> (unknown)" and the like show a level that changes without anything being told.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) < 5 {
		t.Fatalf("found %d scripts: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := runScript(t, string(want))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(want) {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

func runScript(t *testing.T, script string) string {
	t.Helper()
	start := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	var rule alerts.Rule
	var state munin.AlertState
	var out strings.Builder
	for line := range strings.Lines(script) {
		input, _, _ := strings.Cut(strings.TrimRight(line, "\n"), " =>")
		out.WriteString(input)
		words := strings.Fields(input)
		switch {
		case len(words) == 0 || words[0] == "#":
		case words[0] == "rule":
			rule = parseRule(t, words[1:])
		default:
			after, err := time.ParseDuration(words[0])
			if err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			value, err := munin.ParseValue(words[1])
			if err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			out.WriteString(outcome(&state, rule, value, start.Add(after)))
		}
		out.WriteByte('\n')
	}
	return out.String()
}

func outcome(state *munin.AlertState, rule alerts.Rule, value float64, now time.Time) string {
	before := *state
	after, event := alerts.Step(before, rule, value, now)
	*state = after
	switch {
	case event != alerts.None:
		return fmt.Sprintf(" => %s: %s to %s (%s)", event, before.Open, after.Open, after.Reason)
	case before.Level != after.Level:
		return fmt.Sprintf(" => (%s)", after.Level)
	}
	return ""
}

func parseRule(t *testing.T, words []string) alerts.Rule {
	t.Helper()
	var f munin.Field
	for _, word := range words {
		name, value, _ := strings.Cut(word, "=")
		if err := f.Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
	return alerts.RuleOf(&f)
}

func TestStepRemembersSinceWhenTheProblemIsOpen(t *testing.T) {
	rule := alerts.Rule{Warning: munin.Bounds{High: 80, HasHigh: true}, Critical: munin.Bounds{High: 95, HasHigh: true}}
	at := func(minute int) time.Time { return time.Unix(0, 0).Add(time.Duration(minute) * time.Minute) }
	var s munin.AlertState
	for minute, value := range []float64{50, 85, 97, 90, math.NaN(), 70} {
		s, _ = alerts.Step(s, rule, value, at(minute))
	}
	if !s.OpenSince.Equal(at(1)) || !s.Changed.Equal(at(5)) || !s.Since.Equal(at(5)) || s.Open != munin.OK {
		t.Errorf("open since %v, changed %v, since %v, open %v", s.OpenSince, s.Changed, s.Since, s.Open)
	}
}

// TestProblemsAndRecoveriesAlternate feeds random values, rules and gaps, and forgets nothing but what a restart
// would: every problem has one recovery before the next, and changes lie between the two.
func TestProblemsAndRecoveriesAlternate(t *testing.T) {
	for seed := range uint64(2000) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		rule := alerts.Rule{Warning: munin.Bounds{High: 80, HasHigh: true}, Critical: munin.Bounds{High: 95, HasHigh: true}}
		var s munin.AlertState
		open := munin.OK
		now := time.Unix(0, 0)
		for range 60 {
			now = now.Add(time.Minute)
			if rnd.IntN(20) == 0 {
				rule.Warning.HasHigh = !rule.Warning.HasHigh
			}
			if rnd.IntN(30) == 0 {
				rule.Critical.HasHigh = !rule.Critical.HasHigh
			}
			value := float64(rnd.IntN(110))
			if rnd.IntN(3) == 0 {
				value = math.NaN()
			}
			var event alerts.Event
			before := s
			s, event = alerts.Step(s, rule, value, now)
			if fault := checkStep(before, s, event, open, value, rule); fault != "" {
				t.Fatalf("seed %d: %s: %v, value %v, from %+v to %+v", seed, fault, event, value, before, s)
			}
			open = s.Open
		}
	}
}

func checkStep(before, after munin.AlertState, event alerts.Event, open munin.Level, value float64, rule alerts.Rule) string {
	switch {
	case event == alerts.Problem && (open != munin.OK || after.Open == munin.OK):
		return "a problem while one is open, or none"
	case event == alerts.Recovery && (open == munin.OK || after.Open != munin.OK):
		return "a recovery without a problem"
	case event == alerts.Worse && after.Open <= open, event == alerts.Better && (after.Open >= open || after.Open == munin.OK):
		return "a change in the wrong direction"
	case event == alerts.None && after.Open != open:
		return "a change that is not told"
	case event != alerts.None && after.Reason == "":
		return "told without a reason"
	case math.IsNaN(value) && !rule.IsZero() && before.Open > munin.Unknown && after.Open != before.Open:
		return "an unknown value changed a problem"
	case after.Open == munin.OK && after.Level != munin.OK:
		return "a bad level without a problem"
	}
	return ""
}

func FuzzStep(f *testing.F) {
	f.Add(":80", ":95", 85.0, 3)
	f.Add("10:20", "5:", math.Inf(1), 0)
	f.Fuzz(func(t *testing.T, warning, critical string, value float64, limit int) {
		w, errW := munin.ParseBounds(warning)
		c, errC := munin.ParseBounds(critical)
		if errW != nil || errC != nil {
			return
		}
		rule := alerts.Rule{Warning: w, Critical: c, UnknownLimit: limit}
		var s munin.AlertState
		for i, v := range []float64{value, math.NaN(), -value, value + 1} {
			before := s
			var event alerts.Event
			s, event = alerts.Step(s, rule, v, time.Unix(int64(i), 0))
			if fault := checkStep(before, s, event, before.Open, v, rule); fault != "" {
				t.Fatalf("%s at %s", fault, strconv.FormatFloat(v, 'g', -1, 64))
			}
		}
	})
}
