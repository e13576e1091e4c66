package route

import (
	"context"

	"golang.org/x/sync/semaphore"

	"github.com/distproc/distproc/node/internal/registry"
	"github.com/distproc/distproc/wire"
)

const maxForwards = 1 << 14 // calls of others in progress on one node

// Forwards bounds the calls in progress that this node makes for clients and for members
// without a way to the owner, and the bytes of their messages.
type Forwards struct{ calls, bytes *semaphore.Weighted }

// NewForwards returns bounds of no call yet.
func NewForwards() Forwards {
	return Forwards{semaphore.NewWeighted(maxForwards), semaphore.NewWeighted(registry.MaxMessages)}
}

// Enter adds a call with a message of so many bytes, unless there are too many.
func (f Forwards) Enter(bytes int) error {
	if !f.calls.TryAcquire(1) {
		return wire.Errorf(wire.Overloaded, wire.NotRun, "%d calls of clients in progress", maxForwards)
	}
	if !f.bytes.TryAcquire(int64(bytes)) {
		f.calls.Release(1)
		return wire.Errorf(wire.Overloaded, wire.NotRun, "%d bytes of messages of clients in progress", int64(registry.MaxMessages))
	}
	return nil
}

// Leave ends a call that Enter has added, with a message of so many bytes.
func (f Forwards) Leave(bytes int) {
	f.bytes.Release(int64(bytes))
	f.calls.Release(1)
}

// Drain waits until no call is in progress, or ctx ends. No call enters while it waits, and
// none after it has seen the last one leave.
func (f Forwards) Drain(ctx context.Context) { _ = f.calls.Acquire(ctx, maxForwards) }
