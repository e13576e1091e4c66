package registry

import (
	"context"
	"errors"
	"fmt"
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
	t.Parallel()
	r := testRegistry(worker.Serial{Open: func(context.Context, worker.ID) (worker.Server, error) {
		return watched{new(atomic.Int32), new(atomic.Int32), time.Millisecond}, nil
	}}, "1@h", 10_000)
	for range 20 {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		var wg sync.WaitGroup
		for range 500 {
			wg.Go(func() { _, _ = r.await(ctx, worker.IntID(7), worker.Value{}, r.Look()) })
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
	t.Parallel()
	r := testRegistry(worker.Serial{Open: func(context.Context, worker.ID) (worker.Server, error) { return echoServer{}, nil }}, "1@h", 100)
	s := r.shard(worker.IntID(7))
	w := newServed(entry{id: worker.IntID(7)}, mailbox{policy: r.actor.policy.Load(), busy: true, work: new(work)})
	told := 0
	c := &Waiter{ID: worker.IntID(7), To: answerFunc(func(_ error) { told++ })}
	_ = r.admission.enter(c)
	w.mail.add(w, c)
	s.mu.Lock()
	refused, why := r.actor.refusedLocked(s, w) // its deadline, 0, has passed
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
			_, err := r.await(ctx, worker.IntID(id), worker.BytesValue(message), r.Look())
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
	t.Parallel()
	inSerialBubble(t, worker.Serial{TTL: time.Hour, Timeout: time.Hour}, func(t *testing.T, r *Registry, _ *diary) {
		want := "sleep 1m."
		r.Enqueue(&Waiter{ID: worker.IntID(7), Message: worker.BytesValue("sleep 1m"), Deadline: r.Now() + time.Hour, To: answerFunc(func(_ error) {})}, r.Now())
		synctest.Wait()
		for i := range 10_000 {
			c := &Waiter{ID: worker.IntID(7), Deadline: r.Now() + time.Hour, To: answerFunc(func(_ error) {})}
			r.Enqueue(c, r.Now())
			if i%1000 == 500 {
				message := strings.Repeat("x", i)
				want += message + "."
				r.Enqueue(&Waiter{ID: worker.IntID(7), Message: worker.BytesValue(message), Deadline: r.Now() + time.Hour, To: answerFunc(func(_ error) {})}, r.Now())
			}
			r.Withdraw(c, context.Canceled)
		}
		s := r.shard(worker.IntID(7))
		s.mu.Lock()
		if n := s.workers.get(worker.IntID(7)).mail.queue.len; n != 10 {
			t.Errorf("%d wait, want 10", n)
		}
		s.mu.Unlock()
		time.Sleep(2 * time.Minute)
		tell(t, r, "7", "end", want+"end.")
	})
}

// TestSerialOrder has many callers at once: messages run one after the other, in order,
// and share one server.
func TestSerialOrder(t *testing.T) {
	t.Parallel()
	inSerialBubble(t, worker.Serial{Timeout: time.Minute, TTL: time.Hour}, func(t *testing.T, r *Registry, _ *diary) {
		var wg sync.WaitGroup
		want := "sleep 10ms."
		wg.Go(func() { tell(t, r, "7", "sleep 10ms", "sleep 10ms.") })
		for i := range 50 {
			synctest.Wait()
			message := fmt.Sprintf("sleep %dus", 10+i)
			want += message + "."
			wg.Go(func() { tell(t, r, "7", message, want) })
		}
		wg.Wait()
		if n := r.admission.waiting.Load() + r.admission.bytes.Load(); n != 0 {
			t.Errorf("the room still holds %d", n)
		}
	})
}

// TestSerialGiveUp has callers give up: one whose message waits, one whose message runs.
func TestSerialGiveUp(t *testing.T) {
	t.Parallel()
	inSerialBubble(t, worker.Serial{TTL: time.Hour}, func(t *testing.T, r *Registry, d *diary) {
		call := func(message string, after time.Duration) chan error {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(after, cancel)
			done := make(chan error, 1)
			go func() {
				_, err := r.await(ctx, worker.IntID(7), worker.BytesValue(message), r.Look())
				done <- err
			}()
			synctest.Wait()
			return done
		}
		first := call("sleep 4s", 2*time.Second)
		second := call("second", time.Second)
		third := call("third", time.Hour)
		for _, c := range []struct {
			done    chan error
			outcome worker.Outcome
		}{{second, worker.OutcomeNotRun}, {first, worker.OutcomeUnknown}} {
			if err := <-c.done; !errors.Is(err, context.Canceled) || outcomeOf(err) != c.outcome {
				t.Errorf("%v (%v), want canceled (%v)", err, outcomeOf(err), c.outcome)
			}
		}
		if err := <-third; err != nil {
			t.Error(err)
		}
		d.expect(t, "start 7")
		tell(t, r, "7", "end", "sleep 4s.third.end.") // what has begun runs to its end
		if n := r.admission.waiting.Load() + r.admission.bytes.Load(); n != 0 {
			t.Errorf("the room still holds %d", n)
		}
	})
}

// TestSerialDeadlines has messages wait for longer than their callers do: they never run.
func TestSerialDeadlines(t *testing.T) {
	t.Parallel()
	inSerialBubble(t, worker.Serial{TTL: time.Hour, Timeout: time.Minute}, func(t *testing.T, r *Registry, _ *diary) {
		answers := make(chan error, 3)
		post := func(message string, deadline time.Duration) {
			r.Enqueue(&Waiter{ID: worker.IntID(7), Message: worker.BytesValue(message), Deadline: r.Now() + deadline, To: answerFunc(func(err error) { answers <- err })}, r.Now())
			synctest.Wait()
		}
		post("sleep 10s", time.Minute)
		post("late", 9*time.Second) // and nobody withdraws it, as when a peer is paused
		post("early", 11*time.Second)
		for _, want := range []error{nil, context.DeadlineExceeded, nil} {
			if err := <-answers; !errors.Is(err, want) || err != nil && outcomeOf(err) != worker.OutcomeNotRun {
				t.Errorf("%v, want %v", err, want)
			}
		}
		tell(t, r, "7", "end", "sleep 10s.early.end.")
	})
}

func TestSerialOverload(t *testing.T) {
	t.Parallel()
	inSerialBubble(t, worker.Serial{TTL: time.Hour, Queue: 2, Timeout: time.Hour}, func(t *testing.T, r *Registry, _ *diary) {
		post := func(id int64, message string) error {
			var failed error
			r.Enqueue(&Waiter{ID: worker.IntID(id), Message: worker.BytesValue(message), Deadline: r.Now() + time.Hour, To: answerFunc(func(err error) { failed = err })}, r.Now())
			synctest.Wait()
			return failed
		}
		for i, overloaded := range []bool{false, false, false, true} { // one runs, two wait
			if err := post(7, "sleep 1s"); errors.Is(err, wire.Overloaded) != overloaded {
				t.Errorf("message %d: %v", i, err)
			}
		}
		time.Sleep(10 * time.Second)
		large := "ignore " + strings.Repeat("x", wire.MaxValue-len("ignore "))
		for i := range int64(MaxMessages / wire.MaxValue) {
			r.admission.size = MaxMessages
			if err := post(10+i/2, large); err != nil {
				t.Fatalf("message %d: %v", i, err)
			}
		}
		if err := post(9999, "a"); !errors.Is(err, wire.Overloaded) {
			t.Errorf("one more: %v", err)
		}
		time.Sleep(10 * time.Second)
		if n := r.admission.waiting.Load() + r.admission.bytes.Load(); n != 0 {
			t.Errorf("the room still holds %d", n)
		}
	})
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

// TestSerialOpenEndsGoroutine has the making of a server end its goroutine while other
// messages wait: they get answers too.
func TestSerialOpenEndsGoroutine(t *testing.T) {
	t.Parallel()
	opens := 0
	inBubble(t, worker.Serial{TTL: time.Hour, Open: func(context.Context, worker.ID) (worker.Server, error) {
		if opens++; opens == 1 {
			time.Sleep(time.Second)
			runtime.Goexit()
		}
		return serverFunc(func(_ context.Context, message worker.Value) (worker.Value, error) { return message, nil }), nil
	}}, func(t *testing.T, r *Registry) {
		var wg sync.WaitGroup
		for i := range 3 {
			wg.Go(func() {
				_, err := r.await(t.Context(), worker.IntID(7), worker.IntValue(1), r.Look())
				if errors.Is(err, wire.Panicked) != (i == 0) || (err != nil) != (i == 0) {
					t.Errorf("message %d: %v", i, err)
				}
			})
			synctest.Wait()
		}
		wg.Wait()
	})
}

// TestIdleServers has servers do whatever a work is for, and then rest: none has a work, and
// nothing is left in those that they have had.
func TestIdleServers(t *testing.T) {
	t.Parallel()
	for _, inline := range []bool{false, true} {
		inSerialBubble(t, worker.Serial{Inline: inline, TTL: time.Hour, Timeout: time.Minute, Concurrency: 1}, func(t *testing.T, r *Registry, _ *diary) {
			var mu sync.Mutex
			var made []*work
			r.actor.works.New = func() any {
				mu.Lock()
				defer mu.Unlock()
				made = append(made, new(work))
				return made[len(made)-1]
			}
			hostOf(r).claim = func(_ context.Context, id worker.ID) *wire.Error {
				if id.IsInt() {
					return nil
				}
				return &wire.Error{Code: wire.Unreachable, Outcome: wire.NotRun}
			}
			tell(t, r, "7", "a", "a.")
			tell(t, r, "8", "a", "a.")
			tellFails(t, r, "9", "panic at it", wire.Panicked, wire.Ran)
			tellFails(t, r, "9", "exit", wire.Panicked, wire.Ran)
			tellFails(t, r, "no claim", "a", wire.Unreachable, wire.NotRun)
			var wg sync.WaitGroup
			wg.Go(func() { tell(t, r, "7", "sleep 4s", "a.sleep 4s.") })
			synctest.Wait()
			wg.Go(func() { tell(t, r, "7", "b", "a.sleep 4s.b.") })
			wg.Go(func() { tell(t, r, "8", "b", "a.b.") }) // which waits for its turn
			ctx, cancel := context.WithTimeout(worker.WithTrace(t.Context(), traceparent), time.Second)
			defer cancel()
			if _, err := r.await(ctx, worker.IntID(9), worker.BytesValue("too late"), r.Look()); !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
			wg.Wait()
			r.Stop(worker.IntID(8))
			synctest.Wait()
			for i := range r.shards {
				r.shards[i].scan(func(w *entry) {
					if w.mail.work != nil {
						t.Errorf("inline %v: the server of %s rests, and has a work", inline, w.id)
					}
				}, nil)
			}
			for _, k := range made {
				if *k != (work{began: k.began, shared: k.shared}) {
					t.Errorf("inline %v: a work is %+v after its end", inline, *k)
				}
			}
		})
	}
}
