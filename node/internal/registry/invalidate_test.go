package registry

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/worker"
)

// A database is a source whose value changes. A load reads it when it begins, and takes a
// second.
type database struct{ value atomic.Int64 }

func (d *database) source(ctx context.Context, _ worker.ID) (worker.Value, error) {
	v := d.value.Load()
	clock.Sleep(ctx, time.Second)
	return worker.IntValue(v), ctx.Err()
}

// TestReadYourWrites writes while a load runs, and makes the value be forgotten in each
// way.
func TestReadYourWrites(t *testing.T) {
	t.Parallel()
	for name, forget := range map[string]func(*Registry, worker.ID) bool{"Stop": (*Registry).Stop, "Invalidate": (*Registry).Invalidate} {
		t.Run(name, func(t *testing.T) {
			var db database
			inBubble(t, worker.Cache{Load: db.source, TTL: time.Hour}, func(t *testing.T, r *Registry) {
				var wg sync.WaitGroup
				wg.Go(func() {
					if reply := expect(t, r, 7, "0", false); reply.TTL != 0 {
						t.Errorf("an outdated value may be kept for %v", reply.TTL)
					}
				})
				time.Sleep(500 * time.Millisecond)
				db.value.Store(1)
				if !forget(r, worker.IntID(7)) {
					t.Error("the load is not found")
				}
				for range 3 {
					wg.Go(func() { expect(t, r, 7, "1", false) })
				}
				short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
				defer cancel()
				if _, err := r.request(short, worker.IntID(7)); !errors.Is(err, context.DeadlineExceeded) || outcomeOf(err) != worker.OutcomeNotRun {
					t.Errorf("a later caller that gives up: %v, %v", err, outcomeOf(err))
				}
				wg.Wait()
				expect(t, r, 7, "1", true)
				db.value.Store(2)
				if !forget(r, worker.IntID(7)) || forget(r, worker.IntID(7)) {
					t.Error("a value is not found, or is found twice")
				}
				expect(t, r, 7, "2", false)
				if n := r.admission.waiting.Load(); n != 0 {
					t.Errorf("%d calls wait", n)
				}
			})
		})
	}
}

// TestInvalidateInline invalidates from within a run that its caller makes.
func TestInvalidateInline(t *testing.T) {
	t.Parallel()
	var runs atomic.Int64
	var r *Registry
	source := func(context.Context, worker.ID) (worker.Value, error) {
		n := runs.Add(1)
		if n == 1 && !r.Invalidate(worker.IntID(7)) {
			t.Error("the run is not found")
		}
		return worker.IntValue(n), nil
	}
	r = testRegistry(worker.Cache{Load: source, Inline: true, TTL: time.Hour}, "1@h", 100)
	expect(t, r, 7, "1", false)
	expect(t, r, 7, "2", false)
	expect(t, r, 7, "2", true)
	if err := r.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestInvalidateAbandoned has all earlier callers of an outdated load give up: the later
// one still gets its value.
func TestInvalidateAbandoned(t *testing.T) {
	t.Parallel()
	for _, concurrency := range []int{0, 1} {
		t.Run(fmt.Sprint(concurrency), func(t *testing.T) {
			var db database
			inBubble(t, worker.Cache{Load: db.source, TTL: time.Hour, Concurrency: concurrency}, func(t *testing.T, r *Registry) {
				var wg sync.WaitGroup
				wg.Go(func() { expect(t, r, 8, "0", false) }) // takes the only turn, if there is one
				synctest.Wait()
				wg.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
					defer cancel()
					if _, err := r.request(ctx, worker.IntID(7)); !errors.Is(err, context.DeadlineExceeded) {
						t.Error(err)
					}
				})
				synctest.Wait()
				db.value.Store(1)
				r.Invalidate(worker.IntID(7))
				wg.Go(func() { expect(t, r, 7, "1", false) })
				wg.Wait()
				expect(t, r, 7, "1", true)
			})
		})
	}
}
