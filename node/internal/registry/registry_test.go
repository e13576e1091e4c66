package registry

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

func TestCloseRegistry(t *testing.T) {
	t.Parallel()
	slow := func(ctx context.Context, id worker.ID) (worker.Value, error) {
		if id == worker.IntID(1) {
			time.Sleep(time.Second)
			return worker.IntValue(1), nil
		}
		<-ctx.Done()
		return worker.Value{}, ctx.Err()
	}
	synctest.Test(t, func(t *testing.T) {
		r := testRegistry(worker.Cache{Load: slow, Timeout: time.Hour}, "1@h", 100)
		var wg sync.WaitGroup
		wg.Go(func() { expect(t, r, 1, "1", false) })
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			if _, err := r.request(ctx, worker.IntID(2)); err == nil {
				t.Error("a call that did not finish in time has an answer")
			}
		})
		synctest.Wait()
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		r.Close(ctx)
		wg.Wait()
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("close took %v, want 3s", took)
		}
		if _, err := r.request(t.Context(), worker.IntID(3)); !errors.Is(err, wire.Closed) || outcomeOf(err) != worker.OutcomeNotRun {
			t.Errorf("request after close = %v", err)
		}
	})
}

// TestWithdrawnBeforeEnqueued has calls given up before they are enqueued: nothing runs
// for them, whichever the machine.
func TestWithdrawnBeforeEnqueued(t *testing.T) {
	t.Parallel()
	for name, kind := range blockingKinds() {
		inBubble(t, kind, func(t *testing.T, r *Registry) {
			var answers []error
			call := &Waiter{ID: worker.IntID(7), Deadline: time.Hour, To: answerFunc(func(err error) { answers = append(answers, err) })}
			r.Withdraw(call, context.Canceled)
			r.Enqueue(call, r.Now())
			synctest.Wait()
			if len(answers) != 1 || !errors.Is(answers[0], context.Canceled) || outcomeOf(answers[0]) != worker.OutcomeNotRun || r.Has(call.ID) {
				t.Errorf("%s: %v, worker %v; want one that says canceled, and no worker", name, answers, r.Has(call.ID))
			}
		})
	}
}

// TestEntrySize checks that an entry and what either machine keeps of it is an object of
// 128 bytes, which is a size class of Go: the next one is 144.
func TestEntrySize(t *testing.T) {
	t.Parallel()
	if of, cache, actor := unsafe.Sizeof(entry{}), unsafe.Sizeof(cached{}), unsafe.Sizeof(mailbox{}); of+cache != 128 || of+actor != 128 {
		t.Errorf("an entry takes %d bytes, and %d of a cache or %d of an actor", of, cache, actor)
	}
}
