package route

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/notify"

	"corbie/alerts"
	"corbie/munin"
)

// These tests see the inside of the package: a policy that must hold for every sequence of events is tested
// without the network, the timers and the files around it.

// TestEveryReceiverHearsOfEachProblemOnceAndOfItsEndOnce drives decide with random problems, silences, wishes and
// restarts, and keeps the books of a receiver: per problem, notices and recoveries alternate, whatever happens,
// and when all is over and nothing is muted, no problem is left open in the books.
func TestEveryReceiverHearsOfEachProblemOnceAndOfItsEndOnce(t *testing.T) {
	wishes := [][]string{nil, {"critical", "recovery"}, {"warning", "critical", "recovery"}, {"unknown", "recovery"}}
	for seed := range uint64(3000) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		want := rules{on: wishes[rnd.IntN(len(wishes))]}
		muted := false
		want.muted = func(*problem, munin.Level) bool { return muted }
		fields := []string{"a", "b", "c"}
		problems := make([]*problem, len(fields))
		states := make([]munin.AlertState, len(fields))
		before := past{firing: make(map[uint64]bool)}
		books := make(map[string]munin.Level) // level that the receiver knows, by field
		now := time.Unix(1e9, 0)
		for turn := range 60 {
			now = now.Add(time.Minute)
			last := turn == 59
			muted = rnd.IntN(3) == 0 && !last
			for i, f := range fields {
				if level := munin.Level(rnd.IntN(4)); rnd.IntN(2) == 0 || last {
					if last {
						level = munin.OK
					}
					states[i] = moved(states[i], f, level, now)
				}
				problems[i] = newProblem(states[i])
			}
			if rnd.IntN(3) > 0 && !last {
				continue // no turn: the receiver was down, or the router
			}
			p := decide(problems, before, want, now)
			keepBooks(t, seed, books, &p, want.on)
			before = past{firing: make(map[uint64]bool), at: now}
			for _, hash := range p.firing {
				before.firing[hash] = true
			}
			if again := decide(problems, before, want, now); again.due() || again.forget {
				t.Fatalf("seed %d: deciding twice tells twice: %+v", seed, again)
			}
		}
		for f, level := range books {
			if level != munin.OK {
				t.Fatalf("seed %d: the receiver was never told that %s is over", seed, f)
			}
		}
	}
}

func newProblem(s munin.AlertState) *problem {
	return &problem{notice: alerts.Notice{State: s}, labels: identity(s.ID)}
}

func moved(s munin.AlertState, field string, level munin.Level, now time.Time) munin.AlertState {
	s.ID = munin.SeriesID{Host: "h", Graph: "g", Field: field}
	if s.Open == munin.OK && level != munin.OK {
		s.OpenSince = now
	}
	if s.Open != level {
		s.Open, s.Changed = level, now
	}
	return s
}

func keepBooks(t *testing.T, seed uint64, books map[string]munin.Level, p *plan, on []string) {
	t.Helper()
	firing := 0
	for _, it := range p.changed {
		field := it.notice.State.ID.Field
		switch {
		case it.from != books[field]:
			t.Fatalf("seed %d: told of %s as if it knew %s, it knows %s", seed, field, it.from, books[field])
		case it.level == books[field]:
			t.Fatalf("seed %d: told of %s twice", seed, field)
		case it.level != munin.OK && !wants(on, it.level.String()):
			t.Fatalf("seed %d: told of a %s that it did not want", seed, it.level)
		}
		books[field] = it.level
	}
	for _, it := range p.open {
		if books[it.notice.State.ID.Field] != it.level {
			t.Fatalf("seed %d: %s is shown as open", seed, it.notice.State.ID.Field)
		}
	}
	for _, level := range books {
		if level != munin.OK {
			firing++
		}
	}
	if firing != len(p.firing) {
		t.Fatalf("seed %d: the log has %d open problems, the receiver %d", seed, len(p.firing), firing)
	}
}

func TestARecoveryThatNobodyTakesIsGivenUp(t *testing.T) {
	now := time.Unix(1e9, 0)
	s := moved(munin.AlertState{}, "a", munin.Critical, now)
	p := newProblem(s)
	before := past{firing: map[uint64]bool{uint64(p.at(munin.Critical).Fingerprint()): true}, at: now}
	want := rules{muted: func(*problem, munin.Level) bool { return false }}
	over := newProblem(moved(s, "a", munin.OK, now))
	if got := decide([]*problem{over}, before, want, now.Add(giveUp)); !got.due() {
		t.Error("it is given up too early")
	}
	if got := decide([]*problem{over}, before, want, now.Add(giveUp+time.Second)); got.due() || !got.forget || len(got.firing) > 0 {
		t.Errorf("it is tried for ever: %+v", got)
	}
}

func TestALongProblemIsToldAgainOnlyOnDemand(t *testing.T) {
	now := time.Unix(1e9, 0)
	p := newProblem(moved(munin.AlertState{}, "a", munin.Critical, now))
	before := past{firing: map[uint64]bool{uint64(p.at(munin.Critical).Fingerprint()): true}, at: now}
	want := rules{muted: func(*problem, munin.Level) bool { return false }}
	if got := decide([]*problem{p}, before, want, now.Add(5*365*24*time.Hour)); got.due() {
		t.Errorf("told again after years: %v", got.reason)
	}
	want.repeat = 4 * time.Hour
	if got := decide([]*problem{p}, before, want, now.Add(4*time.Hour)); got.reason != notify.ReasonRepeatIntervalElapsed {
		t.Errorf("not repeated: %v", got.reason)
	}
	want.acked = func(*problem) bool { return true }
	if got := decide([]*problem{p}, before, want, now.Add(4*time.Hour)); got.due() {
		t.Error("an acknowledged problem is repeated")
	}
	worse := newProblem(moved(p.notice.State, "a", munin.Unknown, now.Add(time.Hour)))
	if got := decide([]*problem{worse}, before, want, now.Add(4*time.Hour)); !got.due() {
		t.Error("a change of the level of an acknowledged problem is not told")
	}
	want.acked = nil
	want.muted = func(*problem, munin.Level) bool { return true }
	if got := decide([]*problem{p}, before, want, now.Add(4*time.Hour)); got.due() {
		t.Error("a muted problem is repeated")
	}
}
