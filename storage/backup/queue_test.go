package backup_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/prompb"

	"corbie/munin"
	"corbie/storage/backup"
	"corbie/storage/catalog"
	"corbie/storage/remote"
)

// taker is an engine that takes samples while it is not down.
type taker struct {
	*httptest.Server

	mu   sync.Mutex
	down bool
	got  map[int64]float64
}

func (k *taker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	k.mu.Lock()
	defer k.mu.Unlock()
	packed, err := io.ReadAll(r.Body)
	if err != nil || k.down {
		http.Error(w, "not now", http.StatusServiceUnavailable)
		return
	}
	plain, err := snappy.Decode(nil, packed)
	var body prompb.WriteRequest
	if err != nil || body.Unmarshal(plain) != nil {
		http.Error(w, "want remote write 1.0", http.StatusUnsupportedMediaType)
		return
	}
	for _, s := range body.Timeseries {
		for _, p := range s.Samples {
			k.got[p.Timestamp] = p.Value
		}
	}
}

func (k *taker) set(down bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.down = down
}

// sending opens a store in a folder and lets it send until the end of the test, or until it is told to stop.
func (k *taker) sending(t *testing.T, dir string) (store *remote.Store, stop func()) {
	t.Helper()
	s, err := remote.Open(dir, remote.Options{Target: remote.Target{Engine: remote.Prometheus, Write: k.URL, Read: k.URL}, Version: 1})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := errors.Join(<-done, s.Close()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return s, stop
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); <-ticker.C {
		if ok() {
			return
		}
	}
	t.Fatalf("it never happens that %s", what)
}

// queued adds minutes of one series.
func queued(t *testing.T, s *remote.Store, base time.Time, from, to int) {
	t.Helper()
	var list []munin.Reading
	for n := from; n < to; n++ {
		list = append(list, munin.Reading{ID: ids()[0], Point: munin.Point{T: base.Add(time.Duration(n) * time.Minute).UnixMilli(), V: float64(n)}})
	}
	if err := s.Append(t.Context(), list); err != nil {
		t.Fatal(err)
	}
}

func TestTheQueueOfARestoredMasterGoesOnWhereItWas(t *testing.T) {
	engine := &taker{got: make(map[int64]float64)}
	engine.Server = httptest.NewServer(engine)
	t.Cleanup(engine.Close)
	data, dir, place := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "backup"), filepath.Join(t.TempDir(), "new")
	if err := os.Mkdir(data, 0o750); err != nil {
		t.Fatal(err)
	}
	cat, err := catalog.Open(filepath.Join(data, "catalog.db"), catalog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := backup.Make(t.Context(), data, dir, nil); err == nil || !strings.Contains(err.Error(), "raw") {
		t.Errorf("a folder without samples and without a queue: %v", err)
	}
	store, stop := engine.sending(t, data)
	base := time.Now().Add(-24 * time.Hour).Truncate(time.Hour)
	queued(t, store, base, 0, 300)
	eventually(t, "the first samples are sent", func() bool { return store.State().Queued == 0 })
	engine.set(true)
	for n := 300; n < 400; n += 10 {
		queued(t, store, base, n, n+10)
	}
	made, err := backup.Make(t.Context(), data, dir, nil)
	if err != nil || made.Samples || made.Queued == 0 {
		t.Fatalf("%+v, %v", made, err)
	}
	queued(t, store, base, 400, 500) // too late for the backup, and lost with the master
	if err := cat.Close(); err != nil {
		t.Fatal(err)
	}
	restored, err := backup.Restore(t.Context(), dir, place, nil)
	if err != nil || restored.Samples || restored.Queued != made.Queued {
		t.Fatalf("%+v, %v", restored, err)
	}
	again, err := remote.Open(place, remote.Options{Target: remote.Target{Engine: remote.Prometheus, Write: engine.URL, Read: engine.URL}})
	if err != nil {
		t.Fatal(err)
	}
	if s := again.State(); s.Queued != 100 || s.Lost != 0 {
		t.Errorf("restored: %+v, want the 100 samples that waited", s)
	}
	queued(t, again, base, 500, 600)
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	engine.mu.Lock()
	if len(engine.got) != 300 {
		t.Errorf("%d samples were sent before the outage, want 300", len(engine.got))
	}
	clear(engine.got)
	engine.mu.Unlock()
	// The old master is gone: only the restored one sends.
	after, _ := engine.sending(t, place)
	queued(t, after, base, 600, 700)
	if s := after.State(); s.Queued != 300 {
		t.Errorf("%+v, want 300 waiting", s)
	}
	stop()
	engine.set(false)
	eventually(t, "all that waited is sent", func() bool { return after.State().Queued == 0 })
	engine.mu.Lock()
	defer engine.mu.Unlock()
	for n := 300; n < 700; n++ {
		v, there := engine.got[base.Add(time.Duration(n)*time.Minute).UnixMilli()]
		if lost := n >= 400 && n < 500; there == lost || there && v != float64(n) {
			t.Errorf("minute %d: %v %v", n, v, there)
		}
	}
	if len(engine.got) != 300 {
		t.Errorf("%d samples arrived, want the 300 that waited and nothing twice", len(engine.got))
	}
}
