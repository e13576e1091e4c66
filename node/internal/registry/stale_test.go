package registry

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// TestStaleWhileRevalidate lets a value expire: it is given as stale while one refresh
// runs, and again when that has failed, until it is too old.
func TestStaleWhileRevalidate(t *testing.T) {
	t.Parallel()
	var count atomic.Int64
	var fail atomic.Bool
	source := func(ctx context.Context, _ worker.ID) (worker.Value, error) {
		run, failing := count.Add(1), fail.Load()
		clock.Sleep(ctx, 300*time.Millisecond)
		if failing {
			return worker.Value{}, errors.New("down")
		}
		return worker.IntValue(run), ctx.Err()
	}
	inBubble(t, worker.Cache{Load: source, TTL: time.Second, StaleWhileRevalidate: 10 * time.Second}, func(t *testing.T, r *Registry) {
		ask := func(want string, cached, stale bool) {
			t.Helper()
			reply, err := r.request(t.Context(), worker.IntID(7))
			if err != nil || reply.Value.String() != want || reply.Cached != cached || reply.Stale != stale || stale && reply.TTL != 0 {
				t.Fatalf("%v: %+v, %v; want %s, cached %v, stale %v", r.Now(), reply, err, want, cached, stale)
			}
		}
		ask("1", false, false)
		time.Sleep(time.Second) // its TTL is over since 300 ms
		for range 3 {
			ask("1", true, true)
		}
		synctest.Wait()
		if runs := count.Load(); runs != 2 {
			t.Errorf("%d runs, want a first one and one refresh", runs)
		}
		time.Sleep(400 * time.Millisecond)
		ask("2", true, false)

		fail.Store(true)
		time.Sleep(time.Second)
		ask("2", true, true)
		time.Sleep(400 * time.Millisecond) // the refresh has failed
		for range 100 {
			ask("2", true, true)
			time.Sleep(time.Millisecond)
		}
		before := count.Load()
		time.Sleep(800 * time.Millisecond) // a second after the failure
		ask("2", true, true)
		synctest.Wait()
		if runs := count.Load(); before != 3 || runs != before+1 {
			t.Errorf("%d runs after a refresh has failed, and %d after a pause; want 3 and 4", before, runs)
		}
		if infos := r.Workers(10); len(infos) != 1 {
			t.Errorf("workers: %+v", infos)
		}
		time.Sleep(11 * time.Second)
		if _, err := r.request(t.Context(), worker.IntID(7)); !errors.Is(err, wire.SourceFailed) {
			t.Errorf("long after: %v, want %v", err, wire.SourceFailed)
		}
		time.Sleep(time.Second)
		if n := r.live(); n != 0 {
			t.Errorf("%d workers are left", n)
		}
	})
}

// TestRefreshStale asks for a fresh value while a stale one is given: it waits for the
// load.
func TestRefreshStale(t *testing.T) {
	t.Parallel()
	count := counter()
	source := func(ctx context.Context, id worker.ID) (worker.Value, error) {
		clock.Sleep(ctx, 100*time.Millisecond)
		return count(ctx, id)
	}
	inBubble(t, worker.Cache{Load: source, TTL: time.Second, StaleWhileRevalidate: time.Minute}, func(t *testing.T, r *Registry) {
		expect(t, r, 7, "1", false)
		time.Sleep(2 * time.Second)
		if reply, err := r.request(t.Context(), worker.IntID(7)); err != nil || !reply.Stale {
			t.Errorf("%+v, %v; want a stale value", reply, err)
		}
		r.Invalidate(worker.IntID(7))
		expect(t, r, 7, "3", false) // the second run began before
	})
}

// TestJitter starts many workers at once: they do not expire at once, and none later than
// its TTL.
func TestJitter(t *testing.T) {
	t.Parallel()
	inBubble(t, worker.Cache{TTL: 10 * time.Second, Jitter: 0.5}, func(t *testing.T, r *Registry) {
		least, most := time.Hour, time.Duration(0)
		for i := range int64(1000) {
			reply, err := r.request(t.Context(), worker.IntID(i))
			if err != nil {
				t.Fatal(err)
			}
			least, most = min(least, reply.TTL), max(most, reply.TTL)
		}
		if least < 5*time.Second || least > 5500*time.Millisecond || most > 10*time.Second || most < 9500*time.Millisecond {
			t.Errorf("TTLs from %v to %v, want 5 s to 10 s", least, most)
		}
	})
}

// TestRefreshPause has refreshes fail for long: they pause as cache_errors says.
func TestRefreshPause(t *testing.T) {
	t.Parallel()
	var runs atomic.Int64
	source := func(context.Context, worker.ID) (worker.Value, error) {
		if runs.Add(1) > 1 {
			return worker.Value{}, errors.New("down")
		}
		return worker.IntValue(1), nil
	}
	for _, inline := range []bool{false, true} {
		runs.Store(0)
		kind := worker.Cache{Load: source, Inline: inline, TTL: time.Second, StaleWhileRevalidate: time.Minute, ErrorTTL: 5 * time.Second}
		inBubble(t, kind, func(t *testing.T, r *Registry) {
			expect(t, r, 7, "1", false)
			time.Sleep(time.Second)
			for range 1000 { // 20 s
				if reply := expect(t, r, 7, "1", true); !reply.Stale || reply.TTL != 0 {
					t.Fatalf("%+v", reply)
				}
				time.Sleep(20 * time.Millisecond)
			}
			if n := runs.Load(); n != 5 {
				t.Errorf("inline %v: %d runs, want one and four refreshes", inline, n)
			}
		})
	}
}

// TestSlowerThanTTL has a source that takes longer than the TTL, which counts from the
// start of its run. Its value is stale when it comes: usable for StaleWhileRevalidate,
// and only for those who wait without. Either way one run goes on at a time.
func TestSlowerThanTTL(t *testing.T) {
	t.Parallel()
	var running, runs atomic.Int64
	source := func(context.Context, worker.ID) (worker.Value, error) {
		if running.Add(1) > 1 {
			t.Error("two runs at a time")
		}
		defer running.Add(-1)
		time.Sleep(2 * time.Second)
		return worker.IntValue(runs.Add(1)), nil
	}
	together := func(t *testing.T, r *Registry, want string, stale bool) {
		t.Helper()
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				reply, err := r.request(t.Context(), worker.IntID(7))
				if err != nil || reply.Value.String() != want || reply.Stale != stale || reply.TTL != 0 {
					t.Errorf("%v: %+v, %v; want %s, stale %v", r.Now(), reply, err, want, stale)
				}
			})
		}
		wg.Wait()
	}
	inBubble(t, worker.Cache{Load: source, TTL: time.Second}, func(t *testing.T, r *Registry) {
		for _, want := range []string{"1", "2", "3"} {
			together(t, r, want, false)
		}
		if n := r.live(); n != 0 {
			t.Errorf("%d workers live", n)
		}
	})
	runs.Store(0)
	inBubble(t, worker.Cache{Load: source, TTL: time.Second, StaleWhileRevalidate: 10 * time.Second}, func(t *testing.T, r *Registry) {
		together(t, r, "1", false)
		for _, want := range []string{"1", "2", "3"} {
			together(t, r, want, true)
			time.Sleep(3 * time.Second)
		}
		time.Sleep(time.Minute)
		if n := r.live(); n != 0 {
			t.Errorf("%d workers live", n)
		}
		together(t, r, "5", false)
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
