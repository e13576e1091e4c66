package registry

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// TestSerialRefusedCallersGiveUp has many callers whose time is up just as the server
// comes to them.
func TestSerialRefusedCallersGiveUp(t *testing.T) {
	r := testRegistry(worker.Serial{Open: func(context.Context, worker.ID) (worker.Server, error) {
		return watched{new(atomic.Int32), new(atomic.Int32), time.Millisecond}, nil
	}}, "1@h", 10_000)
	for range 20 {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		var wg sync.WaitGroup
		for range 500 {
			wg.Go(func() { _, _ = r.await(ctx, worker.IntID(7), worker.Value{}, r.Now()) })
		}
		wg.Wait()
		cancel()
	}
	if err := r.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if n := r.admission.waiting.Load(); n != 0 {
		t.Errorf("%d wait", n)
	}
}

// TestSerialRefusedThenWithdrawn is the same without luck: a caller gives up after it was
// taken out, and before it is told.
func TestSerialRefusedThenWithdrawn(t *testing.T) {
	r := testRegistry(worker.Serial{Open: func(context.Context, worker.ID) (worker.Server, error) { return echoServer{}, nil }}, "1@h", 100)
	s := r.shard(worker.IntID(7))
	w := &entry{id: worker.IntID(7), mail: &mailbox{policy: r.actor.policy.Load(), busy: true}}
	told := 0
	c := &Waiter{ID: worker.IntID(7), Done: func(worker.Reply, error) { told++ }}
	_ = r.admission.enter(c)
	w.mail.add(w, c)
	s.mu.Lock()
	refused, why := r.actor.refusedLocked(w) // its deadline, 0, has passed
	s.mu.Unlock()
	r.Withdraw(c, context.DeadlineExceeded)
	r.refuse(refused, why)
	if told != 1 || r.admission.waiting.Load() != 0 {
		t.Errorf("told %d times, %d wait", told, r.admission.waiting.Load())
	}
}

// TestSerialCallerUsedAgain has a caller give up while the server of its id is made, and
// call for another id, with the same waiter.
func TestSerialCallerUsedAgain(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // the pool gives back what it was given last
	free := map[worker.ID]chan struct{}{worker.IntID(1): make(chan struct{}), worker.IntID(2): make(chan struct{})}
	making, got := make(chan worker.ID, 2), make(chan string, 10)
	r := testRegistry(worker.Serial{TTL: time.Hour, Open: func(_ context.Context, id worker.ID) (worker.Server, error) {
		making <- id
		<-free[id]
		return noting{id, got}, nil
	}}, "1@h", 100)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 2)
	call := func(ctx context.Context, id int64, message string) {
		go func() {
			_, err := r.await(ctx, worker.IntID(id), worker.BytesValue(message), r.Now())
			done <- err
		}()
		<-making
	}
	call(ctx, 1, "pay 1 from account 1")
	cancel()
	if err := <-done; outcomeOf(err) != worker.OutcomeUnknown {
		t.Error(err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	call(ctx, 2, "pay 1000 from account 2")
	close(free[worker.IntID(1)])
	if s := <-got; s != "1 got pay 1 from account 1" {
		t.Errorf("server %s", s)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	close(free[worker.IntID(2)])
	if s := <-got; s != "2 got pay 1000 from account 2" {
		t.Errorf("server %s", s)
	}
	if err := r.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestSerialQueueOfThoseWhoGaveUp has a great many callers give up while a message runs:
// they leave nothing behind, and those who stay are answered in their order.
func TestSerialQueueOfThoseWhoGaveUp(t *testing.T) {
	inSerialBubble(t, worker.Serial{TTL: time.Hour, Timeout: time.Hour}, func(t *testing.T, r *Registry, _ *diary) {
		want := "sleep 1m."
		r.Enqueue(&Waiter{ID: worker.IntID(7), Message: worker.BytesValue("sleep 1m"), Deadline: r.Now() + time.Hour, Done: func(worker.Reply, error) {}}, r.Now())
		synctest.Wait()
		for i := range 10_000 {
			c := &Waiter{ID: worker.IntID(7), Deadline: r.Now() + time.Hour, Done: func(worker.Reply, error) {}}
			r.Enqueue(c, r.Now())
			if i%1000 == 500 {
				message := strings.Repeat("x", i)
				want += message + "."
				r.Enqueue(&Waiter{ID: worker.IntID(7), Message: worker.BytesValue(message), Deadline: r.Now() + time.Hour, Done: func(worker.Reply, error) {}}, r.Now())
			}
			r.Withdraw(c, context.Canceled)
		}
		s := r.shard(worker.IntID(7))
		s.mu.Lock()
		if n := len(s.workers.get(worker.IntID(7)).mail.queue); n > 100 {
			t.Errorf("the queue has %d places for 10 who wait", n)
		}
		s.mu.Unlock()
		time.Sleep(2 * time.Minute)
		tell(t, r, "7", "end", want+"end.")
	})
}

// TestSerialCloseWhileClaiming closes a registry that waits for the others.
func TestSerialCloseWhileClaiming(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := testRegistry(worker.Serial{Open: func(context.Context, worker.ID) (worker.Server, error) { return echoServer{}, nil }, Timeout: time.Hour}, "1@h", 100)
		claims := 0
		hostOf(r).claim = func(ctx context.Context, _ worker.ID) *wire.Error {
			claims++
			<-ctx.Done()
			return wire.Ended(ctx.Err(), wire.NotRun)
		}
		done := make(chan error, 1)
		go func() {
			_, err := r.await(t.Context(), worker.IntID(7), worker.Value{}, r.Now())
			done <- err
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := r.Close(ctx); err != nil || claims != 1 {
			t.Errorf("close: %v, after %d claims", err, claims)
		}
		if err := <-done; outcomeOf(err) != worker.OutcomeNotRun {
			t.Error(err)
		}
	})
}

// TestRefreshLeavesNothing loads a large value again and again, which lives for long.
func TestRefreshLeavesNothing(t *testing.T) {
	large := func(context.Context, worker.ID) (worker.Value, error) {
		return worker.BytesValue(strings.Repeat("x", 1<<20)), nil
	}
	r := testRegistry(worker.Cache{Load: large, TTL: 24 * time.Hour}, "1@h", 100)
	before := heapInUse()
	for range 500 {
		r.Invalidate(worker.IntID(7))
		if _, err := r.request(t.Context(), worker.IntID(7)); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(r.shard(worker.IntID(7)).expiry); n > 100 {
		t.Errorf("the heap has %d entries for one worker", n)
	}
	if grown := int64(heapInUse()) - int64(before); grown > 20<<20 {
		t.Errorf("%d MiB are kept", grown>>20)
	}
	if err := r.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// A noting server sends what it gets on a channel.
type noting struct {
	id  worker.ID
	got chan string
}

func (s noting) Call(_ context.Context, m worker.Value) (worker.Value, error) {
	s.got <- s.id.String() + " got " + m.String()
	return m, nil
}
