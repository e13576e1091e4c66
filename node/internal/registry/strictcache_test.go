package registry

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// inGuardedCache runs a test with a cache whose source counts its runs, and takes a second
// unless the cache is inline.
func inGuardedCache(t *testing.T, kind worker.Cache, test func(t *testing.T, r *Registry, g *fakeGuard)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		g := &fakeGuard{now: 1, held: 1, changed: make(chan struct{})}
		n, last := int64(0), worker.Token{}
		kind.Load = func(ctx context.Context, _ worker.ID) (worker.Value, error) {
			if token := worker.TokenOf(ctx); token.Compare(last) <= 0 {
				t.Errorf("token %v after %v", token, last)
			} else {
				last = token
			}
			if !kind.Inline {
				time.Sleep(time.Second)
			}
			n++
			return worker.IntValue(n), nil
		}
		if kind.TTL == 0 {
			kind.TTL = time.Hour
		}
		r := testRegistry(kind, "1@h", 100)
		r.guard = g
		test(t, r, g)
		r.Close(t.Context())
	})
}

// request asks for the value of 7, and checks it, and that its token rises.
func request(t *testing.T, r *Registry, last *worker.Token, want string, cached bool) (reply worker.Reply) {
	t.Helper()
	var err error
	if !r.Lookup(worker.IntID(7), r.Now(), true, &reply) {
		reply, err = r.await(t.Context(), worker.IntID(7), worker.Value{}, r.Look())
	}
	if err != nil || reply.Value.String() != want || reply.Cached != cached || reply.Token.Compare(*last) <= 0 {
		t.Errorf("%v, cached %t, token %v, %v; want %s, cached %t, and a token above %v", reply.Value, reply.Cached, reply.Token, err, want, cached, *last)
	}
	*last = reply.Token
	return reply
}

// TestGuardedCache has the lease of a node end and begin again: what it has from before is
// answered no more.
func TestGuardedCache(t *testing.T) {
	t.Parallel()
	for _, inline := range []bool{false, true} {
		inGuardedCache(t, worker.Cache{Inline: inline}, func(t *testing.T, r *Registry, g *fakeGuard) {
			var last worker.Token
			request(t, r, &last, "1", false)
			request(t, r, &last, "1", true)
			g.mu.Lock()
			g.now++ // the view has changed, and the id has not moved
			g.mu.Unlock()
			request(t, r, &last, "1", true)
			g.mu.Lock()
			g.held = g.now // what was before that view is forgotten
			g.mu.Unlock()
			request(t, r, &last, "1", true)
			g.lose()
			request(t, r, &last, "2", false)
			request(t, r, &last, "2", true)
			if g.ended != 2 {
				t.Errorf("the guard has heard of the end of %d loads, want 2", g.ended)
			}
		})
	}
}

// TestGuardedCacheWaits has requests wait while the guard permits none, also those that a value
// could answer, and invalidations.
func TestGuardedCacheWaits(t *testing.T) {
	t.Parallel()
	for _, inline := range []bool{false, true} {
		inGuardedCache(t, worker.Cache{Inline: inline, ErrorTTL: time.Hour, StaleWhileRevalidate: time.Hour}, func(t *testing.T, r *Registry, g *fakeGuard) {
			var last worker.Token
			request(t, r, &last, "1", false)
			g.refuse(true)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := r.InvalidateStrictly(ctx, worker.IntID(7)); err == nil || err.Outcome != wire.NotRun {
				t.Errorf("an invalidation: %v; want that it has not run", err)
			}
			ctx, cancel = context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if r.Lookup(worker.IntID(7), r.Now(), true, new(worker.Reply)) {
				t.Error("a value was given without a lease")
			}
			if reply, err := r.await(ctx, worker.IntID(7), worker.Value{}, r.Look()); outcomeOf(err) != worker.OutcomeNotRun {
				t.Errorf("%v, %v; want that it has not run", reply.Value, err)
			}
			if keys := r.AppendRunning(nil, 1, everything); len(keys) > 0 {
				t.Errorf("%v run, and only wait", keys)
			}
			time.Sleep(time.Minute) // the load that nobody waits for ends
			time.AfterFunc(time.Second, func() { g.refuse(false) })
			before := r.Now()
			reply := request(t, r, &last, "2", false)
			if left, want := reply.TTL, time.Hour-(r.Now()-before-time.Second); left != want {
				t.Errorf("the value has %v left, want %v: its time begins with the load", left, want)
			}
		})
	}
}

// TestGuardedErrors has the guard refuse a load for good: a cache of errors does not keep that,
// as it is not the source's.
func TestGuardedErrors(t *testing.T) {
	t.Parallel()
	inGuardedCache(t, worker.Cache{ErrorTTL: time.Hour}, func(t *testing.T, r *Registry, g *fakeGuard) {
		g.refuse(true)
		g.failure = &wire.Error{Code: wire.NotOwner, Outcome: wire.NotRun}
		if _, err := r.await(t.Context(), worker.IntID(7), worker.Value{}, r.Look()); !errors.Is(err, wire.NotOwner) {
			t.Errorf("%v; want what the guard says", err)
		}
		g.failure = nil
		g.refuse(false)
		request(t, r, new(worker.Token), "1", false)
	})
}

// TestFencedLoad has the lease end while a load runs: its value is for nobody.
func TestFencedLoad(t *testing.T) {
	t.Parallel()
	inGuardedCache(t, worker.Cache{ErrorTTL: time.Hour}, func(t *testing.T, r *Registry, g *fakeGuard) {
		time.AfterFunc(500*time.Millisecond, func() {
			if keys := r.AppendRunning(nil, 1, everything); !slices.Equal(keys, []worker.Key{{Kind: r.name, ID: worker.IntID(7)}}) {
				t.Errorf("%v run", keys)
			}
			g.lose()
		})
		_, err := r.await(t.Context(), worker.IntID(7), worker.Value{}, r.Look())
		if !errors.Is(err, wire.Fenced) || outcomeOf(err) != worker.OutcomeUnknown {
			t.Errorf("%v; want that it was fenced", err)
		}
		var last worker.Token
		request(t, r, &last, "2", false)
		if keys := r.AppendRunning(nil, 1, everything); len(keys) > 0 {
			t.Errorf("%v run", keys)
		}
	})
}

// TestGuardedStale has the lease end while a stale value is given: it is given no more.
func TestGuardedStale(t *testing.T) {
	t.Parallel()
	inGuardedCache(t, worker.Cache{TTL: 10 * time.Second, StaleWhileRevalidate: time.Hour}, func(t *testing.T, r *Registry, g *fakeGuard) {
		var last worker.Token
		request(t, r, &last, "1", false)
		time.Sleep(10 * time.Second)
		request(t, r, &last, "1", true) // and a load begins
		request(t, r, &last, "1", true)
		synctest.Wait() // until the load has begun
		g.lose()
		time.AfterFunc(100*time.Millisecond, func() {
			if keys := r.AppendRunning(nil, 1, everything); len(keys) != 1 {
				t.Errorf("%v run", keys)
			}
		})
		if reply, err := r.await(t.Context(), worker.IntID(7), worker.Value{}, r.Look()); !errors.Is(err, wire.Fenced) {
			t.Errorf("%v, %v; want that the load is fenced, for which the request has waited", reply.Value, err)
		}
		request(t, r, &last, "3", false)
	})
}

// TestGuardedMoves has the id of a value move: it goes to no other node, and comes from none.
func TestGuardedMoves(t *testing.T) {
	t.Parallel()
	inGuardedCache(t, worker.Cache{}, func(t *testing.T, r *Registry, _ *fakeGuard) {
		taken := takes(r)
		var last worker.Token
		request(t, r, &last, "1", false)
		r.Leave(t.Context())
		r.Retain(nothing)
		if list := taken(); len(list) > 0 {
			t.Errorf("%v were handed off", list)
		}
		if n := r.Adopt([]Answer{{Kind: r.name, ID: worker.IntID(7), Data: "x", Left: time.Hour}}); n > 0 {
			t.Error("an answer was adopted")
		}
		request(t, r, &last, "2", false)
	})
}

// TestInvalidateStrictly invalidates values, and one that is being loaded.
func TestInvalidateStrictly(t *testing.T) {
	t.Parallel()
	inGuardedCache(t, worker.Cache{}, func(t *testing.T, r *Registry, _ *fakeGuard) {
		invalidate := func(want bool) {
			if had, err := r.InvalidateStrictly(t.Context(), worker.IntID(7)); had != want || err != nil {
				t.Errorf("%t, %v; want %t", had, err, want)
			}
		}
		invalidate(false)
		var last worker.Token
		request(t, r, &last, "1", false)
		invalidate(true)
		time.AfterFunc(500*time.Millisecond, func() {
			invalidate(true)
			request(t, r, new(worker.Token), "3", false)
		})
		request(t, r, &last, "2", false)
		time.Sleep(time.Minute)
		request(t, r, &last, "3", true)
	})
}

// TestGiveUpLoad has a load that does not heed the end of its time: it keeps the id until that is
// given up, and then it is nobody's.
func TestGiveUpLoad(t *testing.T) {
	t.Parallel()
	for _, inline := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			g := &fakeGuard{now: 1, held: 1, changed: make(chan struct{})}
			n, first, id := int64(0), make(chan struct{}), worker.IntID(7)
			r := testRegistry(worker.Cache{Inline: inline, TTL: time.Hour, Timeout: time.Second, ErrorTTL: time.Hour, Load: func(context.Context, worker.ID) (worker.Value, error) {
				n++
				if n == 1 {
					<-first
					return worker.IntValue(1), nil
				}
				return worker.IntValue(n), nil
			}}, "1@h", 100)
			r.guard = g
			errs := make(chan error, 2)
			call := func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				_, err := r.await(ctx, id, worker.Value{}, r.Look())
				errs <- err
			}
			go call()
			time.Sleep(2500 * time.Millisecond)
			go call() // which waits for the same load
			synctest.Wait()
			keys := r.AppendRunning(nil, 1, everything)
			if c := r.Inspect(id).Custody; len(keys) != 1 || c.Runs != 2500*time.Millisecond || !c.Stuck || c.Waits == "" {
				t.Errorf("%v run; %+v; want a load that is stuck", keys, c)
			}
			what, had := r.GiveUp(id)
			if !had || what.Runs != 2500*time.Millisecond || !inline && what.Token.IsZero() {
				t.Errorf("%+v, %t", what, had)
			}
			callers := 2
			if inline {
				callers = 1 // the first one runs it
			}
			for range callers {
				if err := <-errs; !errors.Is(err, wire.Fenced) {
					t.Errorf("%v; want that the load is fenced", err)
				}
			}
			if keys := r.AppendRunning(nil, 1, everything); len(keys) > 0 {
				t.Errorf("%v run", keys)
			}
			var last worker.Token
			request(t, r, &last, "2", false)
			close(first)
			if inline {
				if err := <-errs; !errors.Is(err, wire.Fenced) {
					t.Errorf("%v; want that the load is fenced", err)
				}
			}
			synctest.Wait()
			request(t, r, &last, "2", true)
			if _, had := r.GiveUp(id); !had {
				t.Error("there is no value")
			}
			request(t, r, &last, "3", false)
			r.Close(t.Context())
		})
	}
}

// TestGuardedLoadHasItsTime has a load wait for the guard for most of its time: it has all of that
// from the moment at which it may run.
func TestGuardedLoadHasItsTime(t *testing.T) {
	t.Parallel()
	inGuardedCache(t, worker.Cache{Timeout: 10 * time.Second}, func(t *testing.T, r *Registry, g *fakeGuard) {
		load := r.cache.policy.Load().load
		r.SetKind(worker.Cache{TTL: time.Hour, Timeout: 10 * time.Second, Load: func(ctx context.Context, id worker.ID) (worker.Value, error) {
			began := time.Now()
			if <-ctx.Done(); time.Since(began) != 10*time.Second {
				t.Errorf("the context of the load has ended after %v, want 10 s", time.Since(began))
			}
			return load(ctx, id)
		}})
		g.refuse(true)
		time.AfterFunc(9*time.Second, func() { g.refuse(false) })
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := r.await(ctx, worker.IntID(7), worker.Value{}, r.Look()); err != nil {
			t.Error(err)
		}
	})
}

// TestWithdrawnLoadDoesNotRun has the only caller of a load withdraw just before the guard would
// permit it: as the caller is told that it has not run, it does not.
func TestWithdrawnLoadDoesNotRun(t *testing.T) {
	t.Parallel()
	inGuardedCache(t, worker.Cache{}, func(t *testing.T, r *Registry, _ *fakeGuard) {
		predecessor := make(chan struct{})
		r.predecessorDone = predecessor
		ran := make(chan struct{}, 1)
		r.SetKind(worker.Cache{TTL: time.Hour, Load: func(context.Context, worker.ID) (worker.Value, error) {
			ran <- struct{}{}
			return worker.Value{}, nil
		}})
		c := newCaller(r)
		c.Waiter.ID, c.Deadline = worker.IntID(7), r.Now()+time.Minute
		r.Enqueue(&c.Waiter, r.Now())
		synctest.Wait()
		s := r.shard(c.Waiter.ID)
		s.mu.Lock()
		close(predecessor) // the load goes on, and waits for the lock
		outcome := r.cache.withdrawLocked(s, c.worker, &c.Waiter)
		s.mu.Unlock()
		synctest.Wait()
		if outcome != wire.NotRun || len(ran) > 0 {
			t.Errorf("outcome %v, and it ran %d times; want that it has not run", outcome, len(ran))
		}
		r.admission.leave(&c.Waiter)
	})
}

// TestGiveUpLoadLeavesTheGate gives up the id of a load that had the only turn of its kind.
func TestGiveUpLoadLeavesTheGate(t *testing.T) {
	t.Parallel()
	inGuardedCache(t, worker.Cache{Concurrency: 1}, func(t *testing.T, r *Registry, _ *fakeGuard) {
		released, n := make(chan struct{}), int64(0)
		r.SetKind(worker.Cache{TTL: time.Hour, Concurrency: 1, Load: func(context.Context, worker.ID) (worker.Value, error) {
			if n++; n == 1 {
				<-released
			}
			return worker.IntValue(n), nil
		}})
		go func() { _, _ = r.await(t.Context(), worker.IntID(7), worker.Value{}, r.Look()) }()
		synctest.Wait()
		if _, had := r.GiveUp(worker.IntID(7)); !had {
			t.Error("no load runs")
		}
		request(t, r, new(worker.Token), "2", false)
		close(released)
		synctest.Wait()
		if running, waiting := r.gate.counts(); running != 0 || waiting != 0 {
			t.Errorf("%d have a turn and %d wait for one when nothing runs", running, waiting)
		}
	})
}

// An occupiedGuard permits no call of an id, as another node may still run one.
type occupiedGuard struct {
	*fakeGuard
	free *fakeGuard // of all other ids
	id   worker.ID
}

func (g occupiedGuard) of(k worker.Key) *fakeGuard {
	if k.ID == g.id {
		return g.fakeGuard
	}
	return g.free
}

func (g occupiedGuard) Begin(k worker.Key, since uint64, at time.Duration) (worker.Token, uint64, bool, bool) {
	return g.of(k).Begin(k, since, at)
}

func (g occupiedGuard) Await(ctx context.Context, k worker.Key) *wire.Error {
	return g.of(k).Await(ctx, k)
}

// TestGuardedLoadWaitsWithoutTurn has a load wait for the guard: it has no turn of loads that may
// run, and waits for another one when it may run, too, for as long as its time lasts.
func TestGuardedLoadWaitsWithoutTurn(t *testing.T) {
	t.Parallel()
	for _, frees := range []bool{false, true} {
		inGuardedCache(t, worker.Cache{}, func(t *testing.T, r *Registry, g *fakeGuard) {
			g.refuse(true)
			r.guard = occupiedGuard{g, &fakeGuard{now: 1, held: 1}, worker.IntID(7)}
			released := make(chan struct{})
			r.SetKind(worker.Cache{TTL: time.Hour, Concurrency: 1, Timeout: 10 * time.Second, Load: func(_ context.Context, id worker.ID) (worker.Value, error) {
				if id == worker.IntID(9) {
					<-released
				}
				return worker.IntValue(1), nil
			}})
			load := func(id int64) error {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				_, err := r.await(ctx, worker.IntID(id), worker.Value{}, r.Look())
				return err
			}
			seven := make(chan error, 1)
			go func() { seven <- load(7) }()
			synctest.Wait()
			if err := load(8); err != nil {
				t.Errorf("a load of another id: %v", err)
			}
			go func() { _ = load(9) }()
			synctest.Wait()
			g.refuse(false)
			synctest.Wait()
			if running, waiting := r.gate.counts(); running != 1 || waiting != 1 {
				t.Errorf("%d have a turn, and %d wait for one; want one each", running, waiting)
			}
			if frees {
				close(released)
			}
			if err := <-seven; frees != (err == nil) || !frees && (!errors.Is(err, wire.DeadlineExceeded) || outcomeOf(err) != worker.OutcomeNotRun) {
				t.Errorf("the load that has waited: %v", err)
			}
			if !frees {
				close(released)
			}
			synctest.Wait()
			if running, waiting := r.gate.counts(); running != 0 || waiting != 0 {
				t.Errorf("%d have a turn and %d wait for one when nothing runs", running, waiting)
			}
		})
	}
}
