package remote_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"corbie/munin"
	"corbie/storage/remote"
	"corbie/storage/storagetest"
	"corbie/storage/storagetest/engine"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func target(kind remote.Engine, base string) remote.Target {
	write, read := kind.Addresses(base)
	if kind == remote.Thanos || kind == remote.Mimir {
		write, read = base+"/api/v1/write", base // they are played by Prometheus
	}
	return remote.Target{Engine: kind, Write: write, Read: read}
}

// open opens a store in a folder and runs it until the end of the test, or until the returned function is called.
func open(tb testing.TB, dir string, opts remote.Options) (*remote.Store, func()) {
	tb.Helper()
	if opts.Logger == nil {
		opts.Logger = quiet()
	}
	store, err := remote.Open(dir, opts)
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(tb.Context()))
	done := make(chan error, 1)
	go func() { done <- store.Run(ctx) }()
	stopped := false
	stop := func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			tb.Error(err)
		}
		if err := store.Close(); err != nil {
			tb.Error(err)
		}
	}
	tb.Cleanup(stop)
	return store, stop
}

func eventually(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); <-ticker.C {
		if ok() {
			return
		}
	}
	tb.Fatalf("it never happens that %s", what)
}

// settled is a store of which each Append is in the engine before it returns.
type settled struct {
	*remote.Store

	tb     testing.TB
	engine *engine.Engine
}

func (s settled) Append(ctx context.Context, readings []munin.Reading) error {
	if err := s.Store.Append(ctx, readings); err != nil {
		return err
	}
	s.tb.Helper()
	eventually(s.tb, "the queue is empty", func() bool { return s.State().Queued == 0 })
	s.engine.Flush(s.tb)
	return nil
}

// suite runs what every store must do; a label of its own gives each test an empty store.
func suite(t *testing.T, kind remote.Engine, e *engine.Engine) {
	t.Helper()
	n := 0
	storagetest.Run(t, func(t *testing.T) storagetest.Store {
		t.Helper()
		n++
		store, _ := open(t, t.TempDir(), remote.Options{
			Target: target(kind, e.URL), Labels: map[string]string{"test": fmt.Sprint(t.Name(), n)},
		})
		return settled{store, t, e}
	})
}

func TestRemoteStorageInVictoriaMetricsKeepsWhatAStoreMustKeep(t *testing.T) {
	suite(t, remote.VictoriaMetrics, engine.VictoriaMetrics(t))
}

func TestRemoteStorageInPrometheusKeepsWhatAStoreMustKeep(t *testing.T) {
	suite(t, remote.Prometheus, engine.Prometheus(t))
}

func TestRemoteStorageByPromQLAloneKeepsWhatAStoreMustKeep(t *testing.T) {
	suite(t, remote.Thanos, engine.Prometheus(t))
}
