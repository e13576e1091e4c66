package registry

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// TestQuiesce has a node stop serving: what runs ends, what comes waits, and is not run.
func TestQuiesce(t *testing.T) {
	t.Parallel()
	inSerialBubble(t, worker.Serial{TTL: time.Hour}, func(t *testing.T, r *Registry, d *diary) {
		tell(t, r, "8", "a", "a.")
		var wg sync.WaitGroup
		wg.Go(func() { tell(t, r, "7", "sleep 1s", "sleep 1s.") })
		synctest.Wait()
		wg.Go(func() { tellFails(t, r, "7", "b", wire.Leaving, wire.NotRun) })
		synctest.Wait()
		start := time.Now()
		r.Quiesce(t.Context())
		if took := time.Since(start); took != time.Second { // when the last server has ended
			t.Errorf("quiesced after %v", took)
		}
		wg.Go(func() { tellFails(t, r, "8", "c", wire.Leaving, wire.NotRun) })
		d.expect(t, "start 8; start 7; end 8 closing; end 7 closing")
		r.Release()
		wg.Wait()
		tell(t, r, "8", "d", "d.")
		d.expect(t, "start 8")
	})
}

// TestHaltWhileClosing has a node leave while one of its kinds, which was removed, closes:
// what waits is refused.
func TestHaltWhileClosing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := testRegistry(worker.Serial{TTL: time.Hour, Timeout: time.Minute, Open: worker.Serve(new(diary).start)}, "1@h", 100)
		first := post(r, "sleep 1s", time.Minute, func() {})
		second := post(r, "b", time.Minute, func() {})
		go r.Close(context.Background())
		synctest.Wait()
		r.Quiesce(t.Context())
		if err := <-first; err != nil {
			t.Error(err)
		}
		if err := <-second; !errors.Is(err, wire.Closed) {
			t.Errorf("what waits got %v, want %v", err, wire.Closed)
		}
	})
}

// TestHaltWithdrawn has calls for new ids come while the servers are halted, and their
// callers give up: nothing is left of them.
func TestHaltWithdrawn(t *testing.T) {
	t.Parallel()
	inSerialBubble(t, worker.Serial{TTL: time.Hour, Timeout: time.Minute}, func(t *testing.T, r *Registry, _ *diary) {
		r.Halt()
		for i := range int64(10) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			if _, err := r.await(ctx, worker.IntID(i), worker.BytesValue("a"), r.Look()); err == nil {
				t.Error("a message ran while the servers were halted")
			}
			cancel()
		}
		r.Resume()
		if n := r.live(); n != 0 {
			t.Errorf("%d workers are left", n)
		}
	})
}

// TestHaltWhileClaiming halts the servers while one claims its id: that claim does not
// count.
func TestHaltWhileClaiming(t *testing.T) {
	t.Parallel()
	inSerialBubble(t, worker.Serial{TTL: time.Hour, Timeout: time.Minute}, func(t *testing.T, r *Registry, d *diary) {
		hostOf(r).claim = func(context.Context, worker.ID) *wire.Error {
			d.note("claim")
			time.Sleep(time.Second)
			return nil
		}
		done := post(r, "a", time.Minute, func() {})
		r.Halt()
		time.Sleep(2 * time.Second)
		d.expect(t, "claim")
		r.Resume()
		if err := <-done; err != nil {
			t.Error(err)
		}
		d.expect(t, "claim; start 7")
	})
}
