package registry

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// TestCallersHaveDeadlines has callers whose contexts do not end in time wait for a worker
// that takes long: each gives up by itself.
func TestCallersHaveDeadlines(t *testing.T) {
	t.Parallel()
	for name, kind := range blockingKinds() {
		t.Run(name, func(t *testing.T) {
			inBubble(t, kind, func(t *testing.T, r *Registry) {
				endless := context.Background()
				canceled, cancel := context.WithCancel(endless)
				defer cancel()
				later, cancel := context.WithTimeout(endless, time.Hour)
				defer cancel()
				sooner, cancel := context.WithTimeout(endless, 9*time.Second)
				defer cancel()
				for _, c := range []struct {
					ctx  context.Context
					want time.Duration // after the start of the test
				}{
					{endless, worker.DefaultTimeout},
					{worker.WithTimeLimit(endless, time.Second), 6 * time.Second},
					{worker.WithTimeLimit(canceled, time.Second), 7 * time.Second},
					{worker.WithTimeLimit(later, time.Second), 8 * time.Second},
					{worker.WithTimeLimit(sooner, 2*time.Second), 9 * time.Second},
				} {
					_, err := r.await(c.ctx, worker.IntID(1), worker.Value{}, r.Look())
					if now := r.Now(); !errors.Is(err, context.DeadlineExceeded) || now != c.want {
						t.Errorf("%v at %v, want a timeout at %v", err, now, c.want)
					}
				}
			})
		})
	}
}

// TestSharedLoad has many callers ask at once: one run, one answer.
func TestSharedLoad(t *testing.T) {
	t.Parallel()
	var runs atomic.Int32
	slow := func(context.Context, worker.ID) (worker.Value, error) {
		time.Sleep(time.Second)
		return worker.IntValue(int64(runs.Add(1))), nil
	}
	inBubble(t, worker.Cache{Load: slow}, func(t *testing.T, r *Registry) {
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() { expect(t, r, 7, "1", false) })
		}
		wg.Wait()
		if n := runs.Load(); n != 1 {
			t.Errorf("%d runs, want 1", n)
		}
	})
}

// TestCallersCancel has the callers of one load give up: the others keep it, the last one
// cancels it.
func TestCallersCancel(t *testing.T) {
	t.Parallel()
	var canceled atomic.Bool
	slow := func(ctx context.Context, _ worker.ID) (worker.Value, error) {
		select {
		case <-time.After(time.Second):
			return worker.IntValue(1), nil
		case <-ctx.Done():
			canceled.Store(true)
			return worker.Value{}, ctx.Err()
		}
	}
	inBubble(t, worker.Cache{Load: slow}, func(t *testing.T, r *Registry) {
		first, cancelFirst := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := r.request(first, worker.IntID(7)); !errors.Is(err, context.Canceled) {
				t.Errorf("first caller: %v", err)
			}
		})
		wg.Go(func() {
			synctest.Wait()
			expect(t, r, 7, "1", false)
		})
		time.Sleep(time.Millisecond)
		cancelFirst()
		wg.Wait()
		if canceled.Load() {
			t.Error("the first caller's cancellation cancelled the load of the second")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := r.request(ctx, worker.IntID(8))
		if !errors.Is(err, context.DeadlineExceeded) || outcomeOf(err) != worker.OutcomeUnknown {
			t.Errorf("last caller: %v, %v", err, outcomeOf(err))
		}
		synctest.Wait()
		if !canceled.Load() || r.live() != 1 || r.admission.waiting.Load() != 0 {
			t.Errorf("the load that nobody waits for: canceled %v, workers %d, waiting %d", canceled.Load(), r.live(), r.admission.waiting.Load())
		}
	})
}

// TestRunsNeverOverlap cancels a load whose source does not listen, and asks again: the
// next run begins when the first has ended.
func TestRunsNeverOverlap(t *testing.T) {
	t.Parallel()
	var running, runs atomic.Int32
	deaf := func(context.Context, worker.ID) (worker.Value, error) {
		if running.Add(1) > 1 {
			t.Error("two runs of one id overlap")
		}
		time.Sleep(time.Second)
		running.Add(-1)
		return worker.IntValue(int64(runs.Add(1))), nil
	}
	inBubble(t, worker.Cache{Load: deaf}, func(t *testing.T, r *Registry) {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		r.request(ctx, worker.IntID(7))
		short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := r.request(short, worker.IntID(7))
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		expect(t, r, 7, "2", false)
	})
}

func TestCachedErrors(t *testing.T) {
	t.Parallel()
	var runs atomic.Int32
	source := func(context.Context, worker.ID) (worker.Value, error) {
		return worker.Value{}, fmt.Errorf("failure %d", runs.Add(1))
	}
	inBubble(t, worker.Cache{Load: source, ErrorTTL: time.Second}, func(t *testing.T, r *Registry) {
		for range 3 {
			if _, err := r.request(t.Context(), worker.IntID(7)); err == nil || !strings.Contains(err.Error(), "failure 1") {
				t.Errorf("request = %v, want the first failure", err)
			}
		}
		time.Sleep(time.Second)
		if _, err := r.request(t.Context(), worker.IntID(7)); err == nil || !strings.Contains(err.Error(), "failure 2") {
			t.Errorf("request = %v, want the second failure", err)
		}
	})
}

func TestOverload(t *testing.T) {
	t.Parallel()
	slow := func(context.Context, worker.ID) (worker.Value, error) {
		time.Sleep(time.Second)
		return worker.IntValue(1), nil
	}
	inBubble(t, worker.Cache{Load: slow, Queue: 10}, func(t *testing.T, r *Registry) {
		var overloaded, answered atomic.Int32
		var wg sync.WaitGroup
		ask := func(id int64) {
			switch _, err := r.request(t.Context(), worker.IntID(id)); {
			case err == nil:
				answered.Add(1)
			case errors.Is(err, wire.Overloaded) && outcomeOf(err) == worker.OutcomeNotRun:
				overloaded.Add(1)
			default:
				t.Error(err)
			}
		}
		for range 12 { // 2 more than may wait for one id
			wg.Go(func() { ask(-1) })
		}
		wg.Wait()
		for i := range 103 { // 3 more than may wait on the node
			wg.Go(func() { ask(int64(i)) })
		}
		wg.Wait()
		if overloaded.Load() != 5 || answered.Load() != 110 {
			t.Errorf("%d overloaded, %d answered; want 5 and 110", overloaded.Load(), answered.Load())
		}
		if n := r.admission.waiting.Load(); n != 0 {
			t.Errorf("%d waiting at the end", n)
		}
	})
}

func TestSourceTimeout(t *testing.T) {
	t.Parallel()
	slow := func(ctx context.Context, _ worker.ID) (worker.Value, error) {
		<-ctx.Done()
		return worker.Value{}, ctx.Err()
	}
	inBubble(t, worker.Cache{Load: slow, Timeout: time.Second}, func(t *testing.T, r *Registry) {
		start := time.Now()
		_, err := r.request(t.Context(), worker.IntID(7))
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("request = %v after %v", err, time.Since(start))
		}
	})
}
