package remote

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"golang.org/x/sync/errgroup"

	"corbie/munin"
	"corbie/storage/series"
)

const (
	// requestSamples is how many samples one request holds at most.
	requestSamples = 5_000
	firstRetry     = 100 * time.Millisecond
	lastRetry      = 30 * time.Second
	syncEvery      = time.Second
	// writtenHeader is how a receiver of 2.0 says that it is one.
	writtenHeader = "X-Prometheus-Remote-Write-Samples-Written"
)

// Refused is the reason of samples that the engine would not take.
const Refused series.Reason = "the remote engine refused it"

// writer takes batches out of the queue and sends them.
type writer struct {
	client      *client
	queue       *queue
	external    labels.Labels
	connections int
	log         *slog.Logger
	rejects     *series.Rejects
	seed        maphash.Seed

	mu      sync.Mutex
	version int // of remote write: 0 not yet known
	state   State
}

// run sends until ctx ends.
func (w *writer) run(ctx context.Context) error {
	for {
		batch, end, err := w.queue.next(ctx, w.connections*requestSamples)
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, errQueueClosed) {
				return nil
			}
			return err
		}
		group, sending := errgroup.WithContext(ctx)
		for _, part := range w.split(batch) {
			group.Go(func() error { return w.deliver(sending, part) })
		}
		if err := group.Wait(); err != nil {
			return nil //nolint:nilerr // it ends only because ctx does
		}
		if err := w.queue.sent(len(batch), end); err != nil {
			w.log.Error("samples will be sent again after a restart", "err", err)
		}
	}
}

// split divides a batch among connections, all samples of a series to the same.
func (w *writer) split(batch []munin.Reading) [][]munin.Reading {
	if len(batch) <= requestSamples {
		return [][]munin.Reading{batch}
	}
	parts := make([][]munin.Reading, w.connections)
	for _, r := range batch {
		i := maphash.Comparable(w.seed, r.ID) % uint64(len(parts))
		parts[i] = append(parts[i], r)
	}
	return slices.DeleteFunc(parts, func(p []munin.Reading) bool { return len(p) == 0 })
}

// deliver sends until the engine has taken or refused each sample. Only the end of ctx is an error.
func (w *writer) deliver(ctx context.Context, batch []munin.Reading) error {
	for chunk := range slices.Chunk(batch, requestSamples) {
		wait := firstRetry
		for {
			err := w.send(ctx, chunk)
			if err == nil {
				break
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			w.failed(err)
			pause := wait/2 + rand.N(wait/2+1) //nolint:gosec // only spreads retries
			var status *statusError
			if errors.As(err, &status) && status.after > pause {
				pause = status.after
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(pause):
			}
			wait = min(2*wait, lastRetry)
		}
	}
	return nil
}

// send sends a chunk once. What the engine will never take is found by halving, since one bad sample makes Prometheus refuse the
// whole request; it is counted and left out.
func (w *writer) send(ctx context.Context, chunk []munin.Reading) error {
	err := w.request(ctx, chunk)
	var status *statusError
	if err == nil {
		w.succeeded(len(chunk))
		return nil
	}
	if !errors.As(err, &status) || !status.final() {
		return err
	}
	if len(chunk) == 1 {
		w.rejects.Add(told(chunk[0]), Refused+": "+series.Reason(cmp.Or(status.text, http.StatusText(status.status))))
		w.succeeded(0)
		return nil
	}
	half := len(chunk) / 2
	if err := w.send(ctx, chunk[:half]); err != nil {
		return err
	}
	return w.send(ctx, chunk[half:])
}

// final says whether the same request would always be refused. That somebody must sign in, or that the address is wrong, is
// not final: it is mended in the configuration, and what waits is sent then.
func (e *statusError) final() bool {
	switch e.status {
	case http.StatusBadRequest, http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return true
	}
	return false
}

// request sends one request, of version 2.0 where the engine takes it.
func (w *writer) request(ctx context.Context, chunk []munin.Reading) error {
	ctx, cancel := context.WithTimeout(ctx, w.client.target.Timeout)
	defer cancel()
	rows := w.rows(chunk)
	version := w.protocol()
	if version != 1 {
		took, err := w.request2(ctx, rows)
		if took {
			return err
		}
		w.settle(1)
	}
	body, header, err := encode1(rows, w.client.target.Engine.unknown())
	if err != nil {
		return err
	}
	resp, err := w.client.post(ctx, w.client.target.Write, header, body)
	if err != nil {
		return err
	}
	return drain(resp)
}

// request2 tries version 2.0. It is not taken where the engine knows only 1.0: it then says so, or shows it by not counting what it has written.
func (w *writer) request2(ctx context.Context, rows []row) (took bool, err error) {
	body, header, err := encode2(rows, w.client.target.Engine.unknown())
	if err != nil {
		return true, err
	}
	resp, err := w.client.post(ctx, w.client.target.Write, header, body)
	var status *statusError
	switch {
	case errors.As(err, &status):
		if status.status == http.StatusUnsupportedMediaType {
			return false, err // also after a downgrade
		}
		if status.counts {
			w.settle(2)
		}
		// An engine that knew 2.0 a moment ago means what it says.
		return w.protocol() == 2 || !status.final(), err
	case err != nil:
		return true, err
	}
	if resp.Header.Get(writtenHeader) == "" {
		return false, drain(resp)
	}
	w.settle(2)
	return true, drain(resp)
}

func drain(resp *http.Response) error {
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection can be used again
	return resp.Body.Close()
}

func (w *writer) protocol() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.version
}

func (w *writer) settle(version int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.version = version
}

// labels are what a series is called in the engine.
func (w *writer) labels(id munin.SeriesID) labels.Labels {
	return withExternal(labelsOf(id), w.external)
}

func withExternal(own, external labels.Labels) labels.Labels {
	if external.IsEmpty() {
		return own
	}
	b := labels.NewBuilder(own)
	external.Range(func(l labels.Label) { b.Set(l.Name, l.Value) })
	return b.Labels()
}

func (w *writer) failed(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state.FailingSince.IsZero() {
		w.state.FailingSince = time.Now()
		w.log.Error("the remote engine does not take samples; they are queued", "url", w.client.target.Write, "err", err)
	}
	w.state.LastError = fmt.Sprintf("%s at %s: %v", w.client.target.Engine, w.client.target.Write, err)
}

func (w *writer) succeeded(samples int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.state.FailingSince.IsZero() {
		w.log.Info("the remote engine takes samples again", "url", w.client.target.Write, "after", time.Since(w.state.FailingSince).Round(time.Second))
		w.state.FailingSince, w.state.LastError = time.Time{}, ""
	}
	w.state.Sent += int64(samples)
}
