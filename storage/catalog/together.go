package catalog

import (
	"context"
	"sync"
)

// together joins the work of callers that come at about the same time: one of them does it for all that wait. To
// begin and end a transaction costs more than what is in it, above all where the disk is waited for.
type together[T any] struct {
	do   func(ctx context.Context, all []T) error // all or nothing
	turn chan struct{}                            // one token: who holds it does the work

	mu    sync.Mutex
	queue []*waiting[T]
}

type waiting[T any] struct {
	item T
	over chan struct{} // closed once it was done, or nobody else will do it
	done bool
}

func newTogether[T any](do func(ctx context.Context, all []T) error) *together[T] {
	return &together[T]{do: do, turn: make(chan struct{}, 1)}
}

// run returns when the item was done. Where it could not be done with others it is done alone, so that one's error
// is nobody else's.
func (t *together[T]) run(ctx context.Context, item T) error {
	w := &waiting[T]{item: item, over: make(chan struct{})}
	t.mu.Lock()
	t.queue = append(t.queue, w)
	t.mu.Unlock()
	select {
	case <-w.over: // Somebody else had the turn.
	case t.turn <- struct{}{}:
		t.all(ctx)
		<-t.turn
		<-w.over
	}
	if w.done {
		return nil
	}
	return t.do(ctx, []T{item})
}

// all does what is in the queue.
func (t *together[T]) all(ctx context.Context) {
	t.mu.Lock()
	batch := t.queue
	t.queue = nil
	t.mu.Unlock()
	items := make([]T, len(batch))
	for i, w := range batch {
		items[i] = w.item
	}
	done := len(items) > 0 && t.do(ctx, items) == nil
	for _, w := range batch {
		w.done = done
		close(w.over)
	}
}
