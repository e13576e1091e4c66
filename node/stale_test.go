package node

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestServeStale lets a value expire: it is given as stale while one refresh runs, and again when that has failed, until it is too
// old.
func TestServeStale(t *testing.T) {
	var count atomic.Int64
	var fail atomic.Bool
	source := func(ctx context.Context, _ ID) (Value, error) {
		run, failing := count.Add(1), fail.Load()
		sleep(ctx, 300*time.Millisecond)
		if failing {
			return Value{}, errors.New("down")
		}
		return IntValue(run), ctx.Err()
	}
	inBubble(t, Kind{Source: source, TTL: time.Second, ServeStale: 10 * time.Second}, func(t *testing.T, r *registry) {
		ask := func(want string, cached, stale bool) {
			t.Helper()
			reply, err := r.request(t.Context(), IntID(7))
			if err != nil || reply.Value.String() != want || reply.Cached != cached || reply.Stale != stale || stale && reply.TTL != 0 {
				t.Fatalf("%v: %+v, %v; want %s, cached %v, stale %v", r.now(), reply, err, want, cached, stale)
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
		before := count.Load()
		ask("2", true, true)
		synctest.Wait()
		if runs := count.Load(); runs != before+1 {
			t.Errorf("%d refreshes after one has failed, want 1", runs-before)
		}
		if infos := r.workers(10); len(infos) != 1 {
			t.Errorf("workers: %+v", infos)
		}
		time.Sleep(11 * time.Second)
		if _, err := r.request(t.Context(), IntID(7)); !errors.Is(err, ErrSource) {
			t.Errorf("long after: %v, want %v", err, ErrSource)
		}
		time.Sleep(time.Second)
		if n := r.live(); n != 0 {
			t.Errorf("%d workers are left", n)
		}
	})
}

// TestRefreshStale asks for a fresh value while a stale one is given: it waits for the load.
func TestRefreshStale(t *testing.T) {
	count := counter()
	source := func(ctx context.Context, id ID) (Value, error) {
		sleep(ctx, 100*time.Millisecond)
		return count(ctx, id)
	}
	inBubble(t, Kind{Source: source, TTL: time.Second, ServeStale: time.Minute}, func(t *testing.T, r *registry) {
		expect(t, r, 7, "1", false)
		time.Sleep(2 * time.Second)
		if reply, err := r.request(t.Context(), IntID(7)); err != nil || !reply.Stale {
			t.Errorf("%+v, %v; want a stale value", reply, err)
		}
		r.invalidate(IntID(7))
		expect(t, r, 7, "3", false) // the second run began before
	})
}

// TestTTLJitter starts many workers at once: they do not expire at once, and none later than its TTL.
func TestTTLJitter(t *testing.T) {
	inBubble(t, Kind{TTL: 10 * time.Second, TTLJitter: 0.5}, func(t *testing.T, r *registry) {
		least, most := time.Hour, time.Duration(0)
		for i := range int64(1000) {
			reply, err := r.request(t.Context(), IntID(i))
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
