package route

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distproc/distproc/node/internal/registry"
	"github.com/distproc/distproc/wire"
)

// TestForwardsDrain drains while calls are in progress: that takes until the last one has
// left, or the context ends, and no call enters after that.
func TestForwardsDrain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := NewForwards()
		for range 2 {
			if err := f.Enter(1); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		f.Drain(ctx)
		if ctx.Err() == nil {
			t.Error("drained while two calls are in progress")
		}
		f.Leave(1)
		var drained atomic.Bool
		go func() { f.Drain(t.Context()); drained.Store(true) }()
		synctest.Wait()
		if drained.Load() {
			t.Error("drained while a call is in progress")
		}
		f.Leave(1)
		synctest.Wait()
		if err := f.Enter(0); !drained.Load() || !errors.Is(err, wire.Overloaded) {
			t.Errorf("drained %v, then another call: %v", drained.Load(), err)
		}
	})
}

// TestForwardsBytes has messages of clients wait for other nodes: their bytes are bounded.
func TestForwardsBytes(t *testing.T) {
	t.Parallel()
	f := NewForwards()
	for range registry.MaxMessages / wire.MaxValue {
		if err := f.Enter(wire.MaxValue); err != nil {
			t.Fatal(err)
		}
	}
	e, ok := errors.AsType[*wire.Error](f.Enter(1))
	if !ok || e.Code != wire.Overloaded || e.Outcome != wire.NotRun {
		t.Errorf("one byte too many: %v", e)
	}
	if err := f.Enter(0); err != nil {
		t.Errorf("a request: %v", err)
	}
	f.Leave(wire.MaxValue)
	if err := f.Enter(1); err != nil {
		t.Errorf("with room again: %v", err)
	}
}
