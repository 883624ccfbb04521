package remote_test

import (
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"

	"corbie/munin"
	"corbie/storage/remote"
)

// receiver plays an engine: it keeps what it is sent by time, and answers as it is told.
type receiver struct {
	*httptest.Server

	down   atomic.Bool
	newest bool    // it takes version 2.0
	refuse float64 // a request with this value is refused altogether, as by Prometheus; 0: none

	mu  sync.Mutex
	got map[int64]float64
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{got: make(map[int64]float64)}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	packed, err := io.ReadAll(req.Body)
	if err != nil || r.down.Load() {
		http.Error(w, "not now", http.StatusServiceUnavailable)
		return
	}
	plain, err := snappy.Decode(nil, packed)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	points := make(map[int64]float64)
	if r.newest && req.Header.Get("X-Prometheus-Remote-Write-Version") == "2.0.0" {
		var body writev2.Request
		err = body.Unmarshal(plain)
		for _, s := range body.Timeseries {
			for _, p := range s.Samples {
				points[p.Timestamp] = p.Value
			}
		}
		w.Header().Set("X-Prometheus-Remote-Write-Samples-Written", "1")
	} else {
		var body prompb.WriteRequest
		err = body.Unmarshal(plain)
		for _, s := range body.Timeseries {
			for _, p := range s.Samples {
				points[p.Timestamp] = p.Value
			}
		}
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, v := range points {
		if r.refuse != 0 && v == r.refuse {
			http.Error(w, "out of bounds", http.StatusBadRequest)
			return
		}
	}
	for at, v := range points {
		r.got[at] = v
	}
	w.WriteHeader(http.StatusNoContent)
}

func (r *receiver) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.got)
}

func (r *receiver) options() remote.Options {
	return remote.Options{Target: target(remote.Prometheus, r.URL)}
}

// readings are a value each second of one series, ending now.
func readings(from, to int) []munin.Reading {
	start := time.Now().Truncate(time.Hour).Add(-24 * time.Hour)
	out := make([]munin.Reading, 0, to-from)
	for i := from; i < to; i++ {
		at := start.Add(time.Duration(i) * time.Second)
		out = append(out, munin.Reading{
			ID: munin.SeriesID{Host: "web;www1", Graph: "load", Field: "load"}, Point: munin.Point{T: at.UnixMilli(), V: float64(i + 1)},
		})
	}
	return out
}

func add(t *testing.T, s *remote.Store, list []munin.Reading) {
	t.Helper()
	if err := s.Append(t.Context(), list); err != nil {
		t.Fatal(err)
	}
}

func TestWhatWaitsIsSentAfterARestartAndAnOutage(t *testing.T) {
	engine, dir := newReceiver(t), t.TempDir()
	engine.down.Store(true)
	store, stop := open(t, dir, engine.options())
	add(t, store, readings(0, 100))
	eventually(t, "the outage is seen", func() bool { return !store.State().FailingSince.IsZero() })
	if s := store.State(); s.Queued != 100 || s.LastError == "" {
		t.Errorf("%+v", s)
	}
	stop()
	// A write that was cut off by a crash is no part of the queue.
	files, err := filepath.Glob(filepath.Join(dir, "queue", "*.queue"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	f, err := os.OpenFile(files[0], os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte{200, 1, 0, 0, 1, 2, 3, 4, 1, 0, 0, 0, 9}); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	store, _ = open(t, dir, engine.options())
	add(t, store, readings(100, 150))
	if s := store.State(); s.Queued != 150 {
		t.Errorf("after the restart %d wait", s.Queued)
	}
	engine.down.Store(false)
	eventually(t, "all is sent", func() bool { return store.State().Queued == 0 })
	if s := store.State(); engine.count() != 150 || s.Lost != 0 || !s.FailingSince.IsZero() || s.LastError != "" {
		t.Errorf("%d arrived, %+v", engine.count(), s)
	}
}

func TestAFullQueueLosesItsOldestSamplesAndCountsThem(t *testing.T) {
	engine := newReceiver(t)
	engine.down.Store(true)
	opts := engine.options()
	opts.QueueBytes = 256 << 10
	store, _ := open(t, t.TempDir(), opts)
	const total = 60_000
	for i := 0; i < total; i += 1000 {
		list := readings(i, i+1000)
		for k := range list {
			list[k].V = math.Sqrt(list[k].V) // does not pack well
		}
		add(t, store, list)
	}
	s := store.State()
	if s.Lost == 0 || s.Lost+s.Queued != total || s.QueuedBytes > opts.QueueBytes {
		t.Errorf("%+v", s)
	}
	engine.down.Store(false)
	eventually(t, "the rest is sent", func() bool { return store.State().Queued == 0 })
	newest := readings(total-1, total)[0]
	engine.mu.Lock()
	defer engine.mu.Unlock()
	if got := engine.got[newest.T]; got != math.Sqrt(newest.V) {
		t.Errorf("the newest sample is %v", got)
	}
}

func TestOneBadSampleDoesNotHoldBackTheOthers(t *testing.T) {
	engine := newReceiver(t)
	engine.refuse = 37
	store, _ := open(t, t.TempDir(), engine.options())
	add(t, store, readings(0, 100))
	eventually(t, "all that is good is sent", func() bool { return engine.count() == 99 && store.State().Queued == 0 })
	refused := store.Rejected()
	if len(refused) != 1 || refused[0].Count != 1 || refused[0].Last.V != 37 {
		t.Errorf("%+v", refused)
	}
}

func TestVersion2OfRemoteWriteIsSpokenWhereTheEngineTakesIt(t *testing.T) {
	for _, newest := range []bool{true, false} {
		engine := newReceiver(t)
		engine.newest = newest
		store, _ := open(t, t.TempDir(), engine.options())
		add(t, store, readings(0, 10))
		eventually(t, "all is sent", func() bool { return store.State().Queued == 0 })
		if engine.count() != 10 {
			t.Errorf("2.0 %v: %d of 10 samples arrived", newest, engine.count())
		}
	}
}

func TestTheNewestValueIsKnownWhileTheEngineIsAway(t *testing.T) {
	engine := newReceiver(t)
	engine.down.Store(true)
	store, _ := open(t, t.TempDir(), engine.options())
	list := readings(0, 2)
	add(t, store, list)
	source := munin.Source{ID: list[0].ID, Type: munin.Derive, Heartbeat: time.Minute}
	other := munin.Source{ID: munin.SeriesID{Host: "web;www1", Graph: "load", Field: "other"}}
	got, err := store.Latest(t.Context(), []munin.Source{source, other}, list[1].Time())
	if err != nil || got[0] != (munin.Point{T: list[1].T, V: 1}) || got[1].T != munin.CannotSay {
		t.Errorf("%v, %v", got, err)
	}
}
