package remote_test

import (
	"fmt"
	"maps"
	"math"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"corbie/munin"
	"corbie/storage/remote"
	"corbie/storage/storagetest"
	"corbie/storage/storagetest/engine"
)

func TestRemoteStorageAsMimirAndThanosSpeakKeepsWhatAStoreMustKeep(t *testing.T) {
	for _, kind := range []remote.Engine{remote.Mimir, remote.Thanos} {
		t.Run(string(kind), func(t *testing.T) {
			f := newFake(t, kind)
			f.newest = kind == remote.Mimir
			n := 0
			storagetest.Run(t, func(t *testing.T) storagetest.Store {
				t.Helper()
				n++
				store, _ := open(t, t.TempDir(), f.options(fmt.Sprint("tenant", n)))
				return settled{store, t, new(engine.Engine)}
			})
		})
	}
}

func TestThanosIsAskedForAllOrNothing(t *testing.T) {
	f := newFake(t, remote.Thanos)
	store, _ := open(t, t.TempDir(), f.options("ops"))
	list := readings(0, 3)
	if _, err := store.Raw(t.Context(), list[0].ID, munin.Range{From: list[0].Time(), To: list[2].Time()}); err != nil {
		t.Fatal(err)
	}
	if len(f.asked) != 1 || !strings.HasSuffix(f.asked[0], "partial_response=false max_source_resolution=0s") {
		t.Errorf("asked %q", f.asked)
	}
}

func TestATenantIsNamedInEachRequest(t *testing.T) {
	for _, kind := range []remote.Engine{remote.Mimir, remote.Thanos} {
		f := newFake(t, kind)
		ops, _ := open(t, t.TempDir(), f.options("ops"))
		dev, _ := open(t, t.TempDir(), f.options("dev"))
		list := readings(0, 5)
		add(t, ops, list)
		eventually(t, "all is sent", func() bool { return ops.State().Queued == 0 })
		span := munin.Range{From: list[0].Time(), To: list[4].Time().Add(time.Second)}
		got, err := ops.Raw(t.Context(), list[0].ID, span)
		if err != nil || len(got) != 5 || f.held("ops") != 5 {
			t.Errorf("%s: %v, %v", kind, got, err)
		}
		if got, err := dev.Raw(t.Context(), list[0].ID, span); err != nil || len(got) != 0 {
			t.Errorf("%s: another tenant has %v, %v", kind, got, err)
		}
	}
	// Mimir refuses who names none; that is mended in the configuration, and nothing is lost until then.
	f := newFake(t, remote.Mimir)
	opts := f.options("")
	opts.Target.Headers = nil
	store, _ := open(t, t.TempDir(), opts)
	add(t, store, readings(0, 5))
	eventually(t, "the refusal is seen", func() bool { return strings.Contains(store.State().LastError, "no org id") })
	s := store.State()
	if s.Queued != 5 || !strings.Contains(s.LastError, "check username, password, token and headers of remote") || len(store.Rejected()) != 0 {
		t.Errorf("%+v", s)
	}
}

func TestAnEngineThatIsBusyIsAskedAgain(t *testing.T) {
	for kind, replies := range map[remote.Engine][]reply{
		remote.Mimir: {
			{http.StatusTooManyRequests, http.Header{"Retry-After": {"1"}}, "the request has been rejected because the tenant exceeded the request rate limit (err-mimir-tenant-max-request-rate)"},
			{529, nil, "service overload"},
			{http.StatusInternalServerError, nil, "at least 2 live replicas required, could only find 1"},
		},
		remote.Thanos: {
			{http.StatusServiceUnavailable, http.Header{"Retry-After": {time.Now().Add(time.Second).UTC().Format(http.TimeFormat)}}, "store write: target not available"},
			{http.StatusBadGateway, nil, ""},
			{http.StatusTooManyRequests, nil, "too many concurrent requests"},
		},
	} {
		f := newFake(t, kind)
		f.replies = replies
		store, _ := open(t, t.TempDir(), f.options("ops"))
		add(t, store, readings(0, 20))
		eventually(t, "all is sent", func() bool { return store.State().Queued == 0 })
		if s := store.State(); f.held("ops") != 20 || s.Lost != 0 || len(store.Rejected()) != 0 || s.Sent != 20 || !s.FailingSince.IsZero() {
			t.Errorf("%s: %d samples, %+v, refused %v", kind, f.held("ops"), s, store.Rejected())
		}
	}
}

func TestWhatARetryAfterSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		for text, want := range map[string]time.Duration{
			"": 0, "2": 2 * time.Second, "-1": 0, "3600": time.Hour, "3601": 0, "999999999999999999999": 0, "soon": 0,
			now.Add(30 * time.Second).UTC().Format(http.TimeFormat): 30 * time.Second, now.Add(-time.Minute).UTC().Format(http.TimeFormat): 0,
			now.AddDate(1, 0, 0).UTC().Format(http.TimeFormat): 0,
		} {
			if got := remote.RetryAfter(text, now); got != want {
				t.Errorf("%q: %s, want %s", text, got, want)
			}
		}
	})
}

func TestSamplesThatAreTooLateForTheEngineAreCountedAndTheOthersKept(t *testing.T) {
	for _, kind := range []remote.Engine{remote.Mimir, remote.Thanos} {
		for _, newest := range []bool{true, false} {
			f := newFake(t, kind)
			f.window, f.newest = 10*time.Second, newest
			store, _ := open(t, t.TempDir(), f.options("ops"))
			add(t, store, readings(50, 100))
			eventually(t, "the newer ones are sent", func() bool { return store.State().Queued == 0 })
			late := append(readings(30, 33), readings(95, 96)...)
			late = append(late, readings(100, 120)...)
			other := readings(0, 5)
			for i := range other {
				other[i].ID.Field = "other"
			}
			add(t, store, append(late, other...))
			eventually(t, "the rest is sent", func() bool { return store.State().Queued == 0 })
			refused := store.Rejected()
			if len(refused) != 1 || refused[0].Count != 3 || !strings.HasPrefix(string(refused[0].Reason), string(remote.Refused)) {
				t.Errorf("%s, 2.0 %v: refused %+v, want the three late ones", kind, newest, refused)
			}
			if got := f.held("ops"); got != 50+20+5 {
				t.Errorf("%s, 2.0 %v: %d samples in the engine, want 75", kind, newest, got)
			}
		}
	}
}

func TestTheVersionOfRemoteWriteFollowsTheEngine(t *testing.T) {
	for name, c := range map[string]struct {
		newest, says415 bool
		forced          int
		want            string // version of what is taken
	}{
		"2.0": {newest: true, want: "2.0.0"}, "1.0 that says so": {says415: true, want: "0.1.0"}, "1.0 that takes it for nothing": {want: "0.1.0"},
		"1.0 asked for": {newest: true, forced: 1, want: "0.1.0"}, "2.0 asked for, and not there": {says415: true, forced: 2, want: "0.1.0"},
	} {
		f := newFake(t, remote.Mimir)
		f.newest, f.old415 = c.newest, c.says415
		opts := f.options("ops")
		opts.Version = c.forced
		store, _ := open(t, t.TempDir(), opts)
		for i := range 3 {
			add(t, store, readings(10*i, 10*i+10))
			eventually(t, "all is sent", func() bool { return store.State().Queued == 0 })
		}
		f.mu.Lock()
		taken := maps.Clone(f.versions)
		f.mu.Unlock()
		// What an old engine takes for nothing was sent before it was known.
		if f.held("ops") != 30 || taken[c.want] != 3 || taken["2.0.0"]+taken["0.1.0"] > 4 || len(store.Rejected()) != 0 {
			t.Errorf("%s: %d samples in requests %v, refused %v", name, f.held("ops"), taken, store.Rejected())
		}
	}
	// An engine that is replaced by an older one gets 1.0 from then on; one whose first answer is a refusal is known by what it counts.
	f := newFake(t, remote.Mimir)
	f.newest, f.window = true, 10*time.Second
	store, _ := open(t, t.TempDir(), f.options("ops"))
	f.take("ops", []sample{{`{__name__="munin_load", field="load", graph="load", group="web", host="www1"}`, readings(90, 91)[0].T, 1}})
	add(t, store, readings(60, 100))
	eventually(t, "all is sent", func() bool { return store.State().Queued == 0 })
	f.mu.Lock()
	if f.versions["0.1.0"] != 0 || f.versions["2.0.0"] == 0 {
		t.Errorf("after a refusal: requests %v, want 2.0 alone", f.versions)
	}
	f.newest, f.old415 = false, true
	f.mu.Unlock()
	add(t, store, readings(100, 110))
	eventually(t, "all is sent to the older one", func() bool { return store.State().Queued == 0 })
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.versions["0.1.0"] != 1 {
		t.Errorf("requests %v, want one of 1.0", f.versions)
	}
}

func TestDebiansEnginesGetVersion1(t *testing.T) {
	for kind, start := range map[remote.Engine]func(testing.TB) *engine.Engine{remote.Prometheus: engine.Prometheus, remote.VictoriaMetrics: engine.VictoriaMetrics} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			e := start(t)
			store, _ := open(t, t.TempDir(), remote.Options{Target: target(kind, e.URL)})
			list := readings(0, 10)
			list[4].V = math.NaN()
			add(t, store, list)
			eventually(t, "all is sent", func() bool { return store.State().Queued == 0 })
			e.Flush(t)
			if v := store.Version(); v != 1 {
				t.Errorf("it is spoken to in version %d, and takes 1.0 alone", v)
			}
			got, err := store.Raw(t.Context(), list[0].ID, munin.Range{From: list[0].Time(), To: list[9].Time().Add(time.Second)})
			if err != nil || len(got) != 10 || !math.IsNaN(got[4].V) || got[9].V != 10 {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
}
