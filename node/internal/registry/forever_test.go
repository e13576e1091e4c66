package registry

import (
	"context"
	"errors"
	"math"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// TestForever has kinds with the longest durations that there are: no sum of times overflows.
func TestForever(t *testing.T) {
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
	inSerialBubble(t, worker.Serial{}, func(t *testing.T, r *Registry, _ *diary) {
		time.Sleep(time.Hour)
		ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(math.MaxInt64))
		defer cancel()
		if _, err := r.await(ctx, worker.IntID(7), worker.BytesValue("x"), r.Now()); err != nil {
			t.Error(err)
		}
	})
}
