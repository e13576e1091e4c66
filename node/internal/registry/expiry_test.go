package registry

import (
	"context"
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// TestForever has kinds with the longest durations that there are: no sum of times
// overflows.
func TestForever(t *testing.T) {
	t.Parallel()
	const longest = time.Duration(math.MaxInt64)
	for name, kind := range map[string]worker.Cache{
		"from start": {TTL: longest},
		"from use":   {IdleTTL: longest},
		"jitter":     {TTL: longest, Jitter: 0.01},
		"all":        {TTL: longest, StaleWhileRevalidate: longest, ErrorTTL: longest, Timeout: longest},
		"just less":  {TTL: 2562047 * time.Hour, StaleWhileRevalidate: 2562047 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			count := counter()
			kind.Load = func(ctx context.Context, id worker.ID) (worker.Value, error) {
				if ctx.Err() != nil {
					return worker.Value{}, ctx.Err()
				}
				return count(ctx, id)
			}
			inBubble(t, kind, func(t *testing.T, r *Registry) {
				time.Sleep(time.Hour)
				taken := takes(r)
				expect(t, r, 7, "1", false)
				time.Sleep(24 * time.Hour)
				if reply := expect(t, r, 7, "1", true); reply.TTL < worker.Forever/2 || reply.TTL > worker.Forever || reply.Age != 24*time.Hour {
					t.Errorf("%+v", reply)
				}
				if n := r.live(); n != 1 {
					t.Errorf("%d workers live", n)
				}
				r.Retain(nothing)
				if n := r.Adopt(taken()); n != 1 {
					t.Error("not adopted again")
				}
				expect(t, r, 7, "1", true)
			})
		})
	}
}

// TestForeverStale has a value be stale forever, and an error be cached forever.
func TestForeverStale(t *testing.T) {
	t.Parallel()
	var fail atomic.Bool
	source := func(context.Context, worker.ID) (worker.Value, error) {
		if fail.Load() {
			return worker.Value{}, errors.New("down")
		}
		return worker.IntValue(1), nil
	}
	kind := worker.Cache{Load: source, TTL: time.Second, StaleWhileRevalidate: math.MaxInt64, ErrorTTL: math.MaxInt64}
	inBubble(t, kind, func(t *testing.T, r *Registry) {
		expect(t, r, 7, "1", false)
		fail.Store(true)
		for range 3 {
			time.Sleep(24 * time.Hour)
			if reply := expect(t, r, 7, "1", true); !reply.Stale {
				t.Errorf("%+v", reply)
			}
			synctest.Wait()
		}
		for range 3 {
			if _, err := r.request(t.Context(), worker.IntID(8)); !errors.Is(err, wire.SourceFailed) {
				t.Error(err)
			}
			fail.Store(false) // the error stays
			time.Sleep(24 * time.Hour)
		}
	})
}

// TestForeverSerial has a server that lives forever keep its state.
func TestForeverSerial(t *testing.T) {
	t.Parallel()
	for _, kind := range []worker.Serial{
		{TTL: math.MaxInt64, Timeout: math.MaxInt64},
		{IdleTTL: math.MaxInt64, Timeout: math.MaxInt64},
	} {
		inSerialBubble(t, kind, func(t *testing.T, r *Registry, d *diary) {
			for _, want := range []string{"x.", "x.x.", "x.x.x."} {
				tell(t, r, "7", "x", want)
				time.Sleep(24 * time.Hour)
			}
			if n := r.live(); n != 1 {
				t.Errorf("%d servers live", n)
			}
		})
	}
}

// TestForeverDeadline calls with a deadline that is as far away as can be.
func TestForeverDeadline(t *testing.T) {
	t.Parallel()
	inSerialBubble(t, worker.Serial{}, func(t *testing.T, r *Registry, _ *diary) {
		time.Sleep(time.Hour)
		ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(math.MaxInt64))
		defer cancel()
		if _, err := r.await(ctx, worker.IntID(7), worker.BytesValue("x"), r.Look()); err != nil {
			t.Error(err)
		}
	})
}

// TestExpiredStays asks to hand over what has expired but has not been swept, and adopts
// in its place.
func TestExpiredStays(t *testing.T) {
	t.Parallel()
	inBubble(t, worker.Cache{Load: counter(), TTL: time.Second}, func(t *testing.T, r *Registry) {
		taken := takes(r)
		expect(t, r, 7, "1", false)
		expect(t, r, 8, "2", false)
		time.Sleep(time.Second)
		if n := r.live(); n != 2 {
			t.Fatalf("%d live: swept already", n)
		}
		if n := r.Adopt([]Answer{{ID: worker.IntID(7), Data: "new", Left: time.Second}}); n != 1 {
			t.Error("an expired worker is in the way")
		}
		expect(t, r, 7, "new", true)
		r.Retain(func(id worker.ID) bool { return id == worker.IntID(7) })
		if list := taken(); len(list) != 0 || r.live() != 1 {
			t.Errorf("handed over %+v; %d live, want 1", list, r.live())
		}
	})
}

func TestExpiry(t *testing.T) {
	t.Parallel()
	inBubble(t, worker.Cache{Load: counter(), TTL: 5 * time.Second}, func(t *testing.T, r *Registry) {
		expect(t, r, 7, "1", false)
		time.Sleep(4 * time.Second)
		expect(t, r, 8, "2", false)
		reply := expect(t, r, 7, "1", true)
		if reply.Age != 4*time.Second || reply.TTL != time.Second {
			t.Errorf("age %v, TTL %v; want 4s and 1s", reply.Age, reply.TTL)
		}
		time.Sleep(time.Second - 1)
		expect(t, r, 7, "1", true)
		time.Sleep(time.Nanosecond)
		expect(t, r, 7, "3", false) // to the nanosecond
		time.Sleep(4*time.Second + 2*coalesce)
		if n := r.live(); n != 1 {
			t.Errorf("%d workers live, want only that of 7: nobody asked for 8 again", n)
		}
		time.Sleep(time.Second + 2*coalesce)
		if n := r.live(); n != 0 {
			t.Errorf("%d workers live, want none", n)
		}
	})
}

func TestExpiryIdleTTL(t *testing.T) {
	t.Parallel()
	inBubble(t, worker.Cache{Load: counter(), IdleTTL: 5 * time.Second}, func(t *testing.T, r *Registry) {
		expect(t, r, 7, "1", false)
		for range 10 {
			time.Sleep(4 * time.Second)
			expect(t, r, 7, "1", true)
		}
		time.Sleep(5*time.Second + 2*coalesce)
		if n := r.live(); n != 0 {
			t.Errorf("%d workers live, want none", n)
		}
		expect(t, r, 7, "2", false)
	})
}

// TestNoCallLostAtExpiry hammers one id while its worker expires all the time: every call
// has an answer, no two runs overlap, and no answer is older than its worker may be.
func TestNoCallLostAtExpiry(t *testing.T) {
	t.Parallel()
	const ttl = 200 * time.Microsecond
	var running, runs atomic.Int32
	source := func(context.Context, worker.ID) (worker.Value, error) {
		if running.Add(1) > 1 {
			t.Error("two runs overlap")
		}
		defer running.Add(-1)
		return worker.IntValue(int64(runs.Add(1))), nil
	}
	r := testRegistry(worker.Cache{Load: source, TTL: ttl}, "1@h", 1<<16)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			last := int64(0)
			for range 20_000 {
				reply, err := r.request(t.Context(), worker.IntID(7))
				if err != nil {
					t.Errorf("a call is lost: %v", err)
					return
				}
				n, _ := reply.Value.Int()
				if n < last {
					t.Errorf("answer of run %d after that of run %d", n, last)
				}
				last = n
				if reply.Cached && reply.Age >= ttl {
					t.Errorf("a cached answer is %v old", reply.Age)
				}
			}
		})
	}
	wg.Wait()
	r.Close(t.Context())
	t.Logf("%d runs", runs.Load())
	if runs.Load() < 10 {
		t.Errorf("%d runs: the worker did not expire", runs.Load())
	}
}

// TestCompareBeforeDelete ends a load whose worker has a successor: the successor stays.
func TestCompareBeforeDelete(t *testing.T) {
	t.Parallel()
	inBubble(t, worker.Cache{Load: counter()}, func(t *testing.T, r *Registry) {
		expect(t, r, 7, "1", false)
		s := r.shard(worker.IntID(7))
		s.mu.Lock()
		old := newCached(entry{id: worker.IntID(7)}, cached{policy: r.cache.policy.Load(), load: &load{}})
		s.addRunningLocked(old)
		s.mu.Unlock()
		r.cache.finish(s, old, origin{}, worker.Value{}, &wire.Error{Code: wire.SourceFailed})
		expect(t, r, 7, "1", true)
		s.mu.Lock()
		s.expiry.push(0, newCached(entry{id: worker.IntID(7)}, cached{policy: r.cache.policy.Load()})) // expired long ago
		s.mu.Unlock()
		r.sweep()
		expect(t, r, 7, "1", true)
	})
}

func TestExpiryHeap(t *testing.T) {
	t.Parallel()
	var h expiryHeap
	for i := range 1000 {
		at := time.Duration(i * 7919 % 1000)
		h.push(at, &entry{expires: at})
	}
	for i := range 1000 {
		if w := h.pop(); w.expires != time.Duration(i) {
			t.Fatalf("worker %d expires at %d", i, w.expires)
		}
	}
	if len(h) != 0 {
		t.Errorf("%d left", len(h))
	}
}

// TestClosedRegistryIsForgotten closes a registry whose worker lives on: no timer keeps
// it in memory.
func TestClosedRegistryIsForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := testRegistry(worker.Cache{Load: func(context.Context, worker.ID) (worker.Value, error) { return worker.IntValue(1), nil }, TTL: time.Hour}, "1@h", 100)
		if _, err := r.request(t.Context(), worker.IntID(1)); err != nil {
			t.Fatal(err)
		}
		if err := r.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if r.sweeper.timer == nil || r.sweeper.timer.Stop() {
			t.Error("a timer goes on")
		}
	})
}

// TestSuspended has the machine be suspended: values expire in their time all the same,
// and deadlines stay where they are.
func TestSuspended(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := testRegistry(worker.Cache{Load: counter(), TTL: time.Minute}, "1@h", 10)
		defer r.Close(t.Context())
		ask := func(cached bool, age time.Duration) {
			t.Helper()
			if reply, err := r.request(t.Context(), worker.IntID(7)); err != nil || reply.Cached != cached || reply.Age != age {
				t.Errorf("%+v, %v; want cached %v, age %v", reply, err, cached, age)
			}
		}
		ask(false, 0)
		r.clock.Suspend(40 * time.Second)
		ask(true, 40*time.Second)
		r.clock.Suspend(20 * time.Second)
		if s := r.Stats(); s.Workers != 0 {
			t.Errorf("%d workers are left", s.Workers)
		}
		ask(false, 0)
	})
}
