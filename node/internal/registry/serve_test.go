package registry

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// TestSerialCloseWhileClaiming closes a registry that waits for the others.
func TestSerialCloseWhileClaiming(t *testing.T) {
	t.Parallel()
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
			_, err := r.await(t.Context(), worker.IntID(7), worker.Value{}, r.Look())
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

func TestSerialExpiry(t *testing.T) {
	t.Parallel()
	inSerialBubble(t, worker.Serial{TTL: 5 * time.Second}, func(t *testing.T, r *Registry, d *diary) {
		tell(t, r, "7", "a", "a.")
		time.Sleep(4 * time.Second)
		tell(t, r, "7", "b", "a.b.")
		tell(t, r, "8", "c", "c.")
		d.expect(t, "start 7; start 8")
		time.Sleep(time.Second + 2*coalesce)
		d.expect(t, "end 7 expired")
		tell(t, r, "7", "d", "d.")
		time.Sleep(10 * time.Second)
		d.expect(t, "start 7; end 8 expired; end 7 expired")
		if n := r.live(); n != 0 {
			t.Errorf("%d workers, want none", n)
		}
	})
}

// TestSerialExpiresWhileBusy has a server's time end while a message runs and another one
// waits: that is for the next server.
func TestSerialExpiresWhileBusy(t *testing.T) {
	t.Parallel()
	inSerialBubble(t, worker.Serial{TTL: time.Second}, func(t *testing.T, r *Registry, d *diary) {
		var wg sync.WaitGroup
		wg.Go(func() { tell(t, r, "7", "sleep 2s", "sleep 2s.") })
		synctest.Wait()
		wg.Go(func() { tell(t, r, "7", "b", "b.") })
		wg.Wait()
		d.expect(t, "start 7; end 7 expired; start 7")
	})
}

func TestSerialExpiryIdleTTL(t *testing.T) {
	t.Parallel()
	inSerialBubble(t, worker.Serial{IdleTTL: 5 * time.Second}, func(t *testing.T, r *Registry, d *diary) {
		want := ""
		for range 10 {
			want += "a."
			tell(t, r, "7", "a", want)
			time.Sleep(4 * time.Second)
		}
		for range 1000 {
			want += "a."
			tell(t, r, "7", "a", want)
		}
		s := r.shard(worker.IntID(7))
		s.mu.Lock()
		if n := len(s.expiry); n != 1 {
			t.Errorf("the worker is %d times in the heap", n)
		}
		s.mu.Unlock()
		time.Sleep(5*time.Second + 2*coalesce)
		d.expect(t, "start 7; end 7 expired")
	})
}

func TestSerialErrors(t *testing.T) {
	t.Parallel()
	inSerialBubble(t, worker.Serial{TTL: time.Hour, Timeout: 3 * time.Second}, func(t *testing.T, r *Registry, d *diary) {
		tell(t, r, "7", "a", "a.")
		tellFails(t, r, "7", "fail", wire.SourceFailed, wire.Ran)
		tell(t, r, "7", "b", "a.b.") // an error is an answer
		d.expect(t, "start 7")
		tellFails(t, r, "7", "panic oops", wire.Panicked, wire.Ran)
		d.expect(t, "end 7 crashed")
		tell(t, r, "7", "c", "c.")
		tellFails(t, r, "7", "exit", wire.Panicked, wire.Ran)
		tell(t, r, "7", "d", "d.")
		d.expect(t, "start 7; end 7 crashed; start 7")
		tellFails(t, r, "7", "sleep 4s", context.DeadlineExceeded, wire.Ran)
		tell(t, r, "7", "e", "d.e.")
		d.expect(t, "context deadline exceeded")
		tellFails(t, r, "none", "a", wire.SourceFailed, wire.NotRun)
		tellFails(t, r, "none", "a", wire.SourceFailed, wire.NotRun)
		d.expect(t, "start none; start none")
		if n := r.live(); n != 1 {
			t.Errorf("%d workers, want that of 7", n)
		}
	})
}

func TestSerialStop(t *testing.T) {
	t.Parallel()
	inSerialBubble(t, worker.Serial{TTL: time.Hour}, func(t *testing.T, r *Registry, d *diary) {
		if r.Stop(worker.IntID(7)) {
			t.Error("a worker was stopped that never lived")
		}
		tell(t, r, "7", "a", "a.")
		if !r.Stop(worker.IntID(7)) {
			t.Error("no worker was stopped")
		}
		d.expect(t, "start 7; end 7 stopped")
		var wg sync.WaitGroup
		wg.Go(func() { tell(t, r, "7", "sleep 1s", "sleep 1s.") })
		synctest.Wait()
		wg.Go(func() { tell(t, r, "7", "b", "b.") })
		r.Stop(worker.IntID(7))
		wg.Wait()
		d.expect(t, "start 7; end 7 stopped; start 7")
	})
}

// TestSerialMoves has an id go to another node while a message runs and another one
// waits.
func TestSerialMoves(t *testing.T) {
	t.Parallel()
	inSerialBubble(t, worker.Serial{TTL: time.Hour}, func(t *testing.T, r *Registry, d *diary) {
		hostOf(r).notOwner = func(id worker.ID) *wire.Error {
			if mu := &r.shard(id).mu; mu.TryLock() {
				mu.Unlock()
			} else {
				t.Error("the host is called under a lock")
			}
			return &wire.Error{Code: wire.NotOwner, Outcome: wire.NotRun}
		}
		tell(t, r, "8", "a", "a.")
		var wg sync.WaitGroup
		wg.Go(func() { tell(t, r, "7", "sleep 1s", "sleep 1s.") })
		synctest.Wait()
		wg.Go(func() { tellFails(t, r, "7", "b", wire.NotOwner, wire.NotRun) })
		synctest.Wait()
		r.Retain(func(worker.ID) bool { return false })
		d.expect(t, "start 8; start 7; end 8 moved")
		if r.Has(worker.IntID(8)) || !r.Has(worker.IntID(7)) {
			t.Error("want that of 7 only, until its call has ended")
		}
		wg.Wait()
		d.expect(t, "end 7 moved")
		if r.Has(worker.IntID(7)) {
			t.Error("7 lives on")
		}
	})
}

// TestSerialMovesBack has an id go and come back while a message runs: the server stays.
func TestSerialMovesBack(t *testing.T) {
	t.Parallel()
	inSerialBubble(t, worker.Serial{TTL: time.Hour}, func(t *testing.T, r *Registry, d *diary) {
		var wg sync.WaitGroup
		wg.Go(func() { tell(t, r, "7", "sleep 1s", "sleep 1s.") })
		synctest.Wait()
		r.Retain(func(worker.ID) bool { return false })
		r.Retain(func(worker.ID) bool { return true })
		wg.Wait()
		tell(t, r, "7", "b", "sleep 1s.b.")
		d.expect(t, "start 7")
	})
}

// TestSerialClaim has the first message wait until the other nodes agree, and fail if
// they do not.
func TestSerialClaim(t *testing.T) {
	t.Parallel()
	inSerialBubble(t, worker.Serial{TTL: time.Hour}, func(t *testing.T, r *Registry, d *diary) {
		claims := 0
		var refusal *wire.Error
		hostOf(r).claim = func(ctx context.Context, id worker.ID) *wire.Error {
			claims++
			d.note("claim %s", id)
			select {
			case <-time.After(time.Second):
				return refusal
			case <-ctx.Done():
				d.note("%v", ctx.Err())
				return wire.Ended(ctx.Err(), wire.NotRun)
			}
		}
		tell(t, r, "7", "a", "a.")
		tell(t, r, "7", "b", "a.b.")
		d.expect(t, "claim 7; start 7")
		refusal = &wire.Error{Code: wire.NotOwner, Outcome: wire.NotRun}
		tellFails(t, r, "8", "a", wire.NotOwner, wire.NotRun)
		d.expect(t, "claim 8")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		if _, err := r.await(ctx, worker.IntID(9), worker.Value{}, r.Look()); !errors.Is(err, context.DeadlineExceeded) || outcomeOf(err) != worker.OutcomeNotRun {
			t.Error(err)
		}
		d.expect(t, "claim 9; context canceled")
		if n := r.live(); n != 1 {
			t.Errorf("%d workers, want that of 7", n)
		}
	})
}

func TestSerialClose(t *testing.T) {
	t.Parallel()
	d := &diary{}
	synctest.Test(t, func(t *testing.T) {
		r := testRegistry(worker.Serial{TTL: time.Hour, Open: worker.Serve(d.start)}, "1@h", 100)
		tell(t, r, "8", "a", "a.")
		var wg sync.WaitGroup
		wg.Go(func() { tell(t, r, "7", "sleep 1s", "sleep 1s.") })
		synctest.Wait()
		wg.Go(func() { tell(t, r, "7", "b", "sleep 1s.b.") })
		synctest.Wait()
		if err := r.Close(t.Context()); err != nil {
			t.Error(err)
		}
		wg.Wait()
		tellFails(t, r, "7", "c", wire.Closed, wire.NotRun)
		d.expect(t, "start 8; start 7; end 8 closing; end 7 closing")
	})
}

// TestSerialStandstill has the process stand still while messages wait: none of them runs
// before the id is claimed again, by a server that starts anew, nor after its caller has
// given up.
func TestSerialStandstill(t *testing.T) {
	t.Parallel()
	inSerialBubble(t, worker.Serial{TTL: time.Hour, Timeout: time.Minute}, func(t *testing.T, r *Registry, d *diary) {
		var other *wire.Error
		hostOf(r).claim = func(context.Context, worker.ID) *wire.Error {
			d.note("claim")
			return other
		}
		tell(t, r, "7", "a", "a.")
		d.expect(t, "claim; start 7")
		tell(t, r, "7", "b", "a.b.")
		d.expect(t, "")

		post := func(message string, timeout time.Duration) <-chan error {
			done := make(chan error, 1)
			r.Enqueue(&Waiter{ID: worker.IntID(7), Message: worker.BytesValue(message), Deadline: r.Now() + timeout, To: answerFunc(func(err error) { done <- err })}, r.Now())
			synctest.Wait()
			return done
		}
		running := post("sleep 10s", time.Minute)
		late, live := post("late", 5*time.Second), post("live", time.Minute)
		standStill(r)
		time.Sleep(10 * time.Second)
		if err := <-running; err != nil {
			t.Error(err)
		}
		if err := <-late; !errors.Is(err, context.DeadlineExceeded) || outcomeOf(err) != worker.OutcomeNotRun {
			t.Error(err)
		}
		if err := <-live; err != nil {
			t.Error(err)
		}
		d.expect(t, "end 7 moved; claim; start 7")
		tell(t, r, "7", "c", "live.c.")

		standStill(r)
		other = &wire.Error{Code: wire.NotOwner, Outcome: wire.NotRun}
		if err := <-post("for another one", time.Minute); !errors.Is(err, wire.NotOwner) {
			t.Error(err)
		}
		d.expect(t, "end 7 moved; claim")
	})
}

// TestSerialTurnUnused has the turn of a server come when its message has been withdrawn:
// the turn is free for others.
func TestSerialTurnUnused(t *testing.T) {
	t.Parallel()
	r := testRegistry(worker.Serial{Concurrency: 1, Open: func(context.Context, worker.ID) (worker.Server, error) { return echoServer{}, nil }}, "1@h", 100)
	s := r.shard(worker.IntID(7))
	w := newServed(entry{id: worker.IntID(7)}, mailbox{policy: r.actor.policy.Load(), busy: true, work: &work{inTurn: true}})
	s.mu.Lock()
	s.workers.put(w)
	s.addRunningLocked(w)
	r.gate.enter()
	if next := r.actor.stepLocked(s, w, new(task)); next != rest {
		t.Errorf("step %d, want rest", next)
	}
	s.mu.Unlock()
	if running, _ := r.gate.counts(); running != 0 {
		t.Errorf("%d run", running)
	}
	if err := r.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestSerialTerminateLate has a server end when the time of Close is over: the context of
// its Terminate has ended already.
func TestSerialTerminateLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var got error
		r := testRegistry(worker.Serial{TTL: time.Hour, Open: func(context.Context, worker.ID) (worker.Server, error) { return slowToEnd{&got}, nil }}, "1@h", 100)
		go r.request(t.Context(), worker.IntID(7))
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := r.Close(ctx); err != nil || got != context.Canceled {
			t.Errorf("Close: %v; Terminate had a context with %v", err, got)
		}
	})
}

// A slowToEnd is a server that does not look at the context of its message.
type slowToEnd struct{ end *error }

func (slowToEnd) Call(context.Context, worker.Value) (worker.Value, error) {
	time.Sleep(500 * time.Millisecond)
	return worker.Value{}, nil
}

func (s slowToEnd) Terminate(ctx context.Context, _ worker.EndReason) { *s.end = ctx.Err() }

// TestSerialTurns has two servers and one turn: a server that has more messages lets the
// other one have its turn first.
func TestSerialTurns(t *testing.T) {
	t.Parallel()
	var order []string
	inBubble(t, worker.Serial{TTL: time.Hour, Concurrency: 1, Open: func(context.Context, worker.ID) (worker.Server, error) {
		return serverFunc(func(_ context.Context, message worker.Value) (worker.Value, error) {
			time.Sleep(time.Second)
			order = append(order, message.String())
			return message, nil
		}), nil
	}}, func(t *testing.T, r *Registry) {
		var wg sync.WaitGroup
		for _, m := range []struct {
			id      int64
			message string
		}{{7, "a"}, {7, "b"}, {7, "c"}, {8, "d"}} {
			wg.Go(func() {
				if _, err := r.await(t.Context(), worker.IntID(m.id), worker.BytesValue(m.message), r.Look()); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		wg.Wait()
		if got := strings.Join(order, ""); got != "adbc" {
			t.Errorf("messages ran in the order %s, want adbc", got)
		}
	})
}
