package bench

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// taking returns an Ask that takes some time.
func taking(d time.Duration) Ask {
	return func(context.Context, worker.ID) (worker.Reply, error) {
		time.Sleep(d)
		return worker.Reply{}, nil
	}
}

// stalling returns an Ask that takes 100 µs, but answers nobody from a second after now
// until another one later.
func stalling() Ask {
	stall := time.Now().Add(time.Second)
	return func(context.Context, worker.ID) (worker.Reply, error) {
		if now := time.Now(); !now.Before(stall) {
			time.Sleep(stall.Add(time.Second).Sub(now))
		}
		time.Sleep(100 * time.Microsecond)
		return worker.Reply{}, nil
	}
}

// config returns that of a small load by one caller.
func config(ask ...Ask) Config {
	return Config{Asks: ask, Concurrency: 1, Batch: 1, IDs: 1000, Timeout: 5 * time.Second, timers: true}
}

// slower returns how many requests took longer than d.
func (r *Result) slower(d time.Duration) (n int64) {
	for _, b := range r.Latency.Distribution() {
		if b.From > int64(d) {
			n += b.Count
		}
	}
	return n
}

func near(got, want time.Duration) bool {
	return max(got, want)-min(got, want) <= want/100
}

// TestOpenLoopShowsAStall stalls for a second under 1000 requests per second: all the
// requests of that second are late, the first one by a second.
func TestOpenLoopShowsAStall(t *testing.T) {
	for _, callers := range []int{50, 1} {
		synctest.Test(t, func(t *testing.T) {
			c := config(stalling())
			c.Concurrency, c.Rate, c.Duration = callers, 1000, 5*time.Second
			r := Run(t.Context(), c)
			if late := r.slower(5 * time.Millisecond); r.Requests != 5000 || r.Unsent != 0 || late < 990 || late > 1200 {
				t.Errorf("%d callers: %d of %d requests late, %d unsent", callers, late, r.Requests, r.Unsent)
			}
			if p99, most := r.Quantile(99), r.Quantile(100); p99 < 940*time.Millisecond || p99 > 965*time.Millisecond || !near(most, time.Second) {
				t.Errorf("%d callers: p99 %v, max %v", callers, p99, most)
			}
		})
	}
}

// TestClosedLoopHidesAStall has the same stall in the closed loop: one request is late.
func TestClosedLoopHidesAStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := config(stalling())
		c.Duration = 5 * time.Second
		r := Run(t.Context(), c)
		if late := r.slower(5 * time.Millisecond); late != 1 || r.Requests < 39_000 {
			t.Errorf("%d of %d requests late, want 1", late, r.Requests)
		}
		if p99, most := r.Quantile(99), r.Quantile(100); !near(p99, 100*time.Microsecond) || !near(most, time.Second) {
			t.Errorf("p99 %v, max %v", p99, most)
		}
	})
}

// TestOpenLoopWaitsForRoom has 1000 requests due per second while 10 can be in flight,
// for 100 ms each: what is over waits, and is late or, a timeout after the end, unsent.
func TestOpenLoopWaitsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := config(taking(100 * time.Millisecond))
		c.Concurrency, c.Rate, c.Duration, c.Timeout = 10, 1000, 2*time.Second, time.Second
		r := Run(t.Context(), c)
		if r.Requests < 290 || r.Requests > 310 || r.Requests+r.Unsent != 2000 || r.Elapsed < 3*time.Second || r.Elapsed > 3200*time.Millisecond {
			t.Errorf("%d requests, %d unsent, in %v", r.Requests, r.Unsent, r.Elapsed)
		}
		if most := r.Quantile(100); most < 2600*time.Millisecond || most > 3*time.Second {
			t.Errorf("the last request was late by %v", most)
		}
	})
}

// TestOpenLoopIsDueInTime looks when requests are made if nothing holds them up.
func TestOpenLoopIsDueInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var made []time.Duration
		began := time.Now()
		c := config(func(context.Context, worker.ID) (worker.Reply, error) {
			mu.Lock()
			defer mu.Unlock()
			made = append(made, time.Since(began))
			return worker.Reply{}, nil
		})
		c.Concurrency, c.Batch, c.Rate, c.Requests = 3, 2, 10, 7
		r := Run(t.Context(), c)
		want := []time.Duration{0, 0, 200e6, 200e6, 400e6, 400e6, 600e6}
		slices.Sort(made)
		if !slices.Equal(made, want) || r.Quantile(100) != 0 {
			t.Errorf("made at %v, want %v; the latest by %v", made, want, r.Quantile(100))
		}
	})
}

// TestRequestsAreExact makes no more and no fewer than asked for, spread over the nodes,
// and never more at once than there may be.
func TestRequestsAreExact(t *testing.T) {
	for _, c := range []Config{
		{Requests: 1000, Concurrency: 1, Batch: 1},
		{Requests: 1000, Concurrency: 7, Batch: 3},
		{Requests: 3, Concurrency: 50, Batch: 10},
		{Requests: 1001, Concurrency: 4, Batch: 5, Rate: 1e6},
		{Requests: 9_999, Concurrency: 8, Batch: 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			var asked [2]atomic.Int64
			var now, most atomic.Int64
			for i := range asked {
				c.Asks = append(c.Asks, func(context.Context, worker.ID) (worker.Reply, error) {
					asked[i].Add(1)
					if n := now.Add(1); n > most.Load() {
						most.Store(n)
					}
					time.Sleep(time.Millisecond)
					now.Add(-1)
					return worker.Reply{Cached: true, Degraded: i == 0}, nil
				})
			}
			c.IDs, c.Timeout, c.timers = 10, time.Second, true
			r := Run(t.Context(), c)
			a, b := asked[0].Load(), asked[1].Load()
			if a+b != c.Requests || r.Requests != c.Requests || r.Cached != c.Requests || r.Degraded != a || r.Unsent != 0 || r.Latency.TotalCount() != c.Requests {
				t.Errorf("%d of %d requests made, counted %+v", a+b, c.Requests, r)
			}
			if c.Requests > 100 && c.Concurrency > 1 && (a < c.Requests/3 || b < c.Requests/3) {
				t.Errorf("%d requests to one node, %d to the other", a, b)
			}
			if limit := int64(c.Concurrency * c.Batch); most.Load() > limit || c.Requests >= 2*limit && c.Rate == 0 && most.Load() != limit {
				t.Errorf("%d requests were in flight, want %d", most.Load(), limit)
			}
		})
	}
}

// TestBatchEndsWithItsLastAnswer has turns of two requests, of which one takes longer:
// the next turn begins when both are answered, and each has its own latency.
func TestBatchEndsWithItsLastAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int64
		c := config(func(context.Context, worker.ID) (worker.Reply, error) {
			time.Sleep(time.Duration(1+3*(n.Add(1)%2)) * time.Second)
			return worker.Reply{}, nil
		})
		c.Batch, c.Requests = 2, 60
		r := Run(t.Context(), c)
		if r.Elapsed != 120*time.Second || !near(r.Quantile(50), time.Second) || !near(r.Quantile(55), 4*time.Second) {
			t.Errorf("it took %v; half of the requests took up to %v, the others up to %v", r.Elapsed, r.Quantile(50), r.Quantile(100))
		}
	})
}

func TestDurationEndsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := config(taking(300 * time.Millisecond))
		c.Concurrency, c.Duration, c.Requests = 5, time.Second, 1_000_000
		if r := Run(t.Context(), c); r.Requests != 20 || r.Elapsed != 1200*time.Millisecond || r.Interrupted {
			t.Errorf("%d requests in %v, want 20 in 1.2 s: those in flight are waited for", r.Requests, r.Elapsed)
		}
	})
}

// TestInterrupt ends the context of a run: what is in flight is given up, and told apart
// from what failed.
func TestInterrupt(t *testing.T) {
	for _, rate := range []float64{0, 100} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
			defer cancel()
			givenUp := make(chan struct{})
			c := config(func(context.Context, worker.ID) (worker.Reply, error) {
				select {
				case <-time.After(time.Second):
					return worker.Reply{}, nil
				case <-givenUp:
					return worker.Reply{}, &wire.Error{Code: wire.Closed}
				}
			})
			c.Concurrency, c.Duration, c.Rate, c.GiveUp = 5, time.Minute, rate, func() { close(givenUp) }
			r := Run(ctx, c)
			want := Result{Requests: 10, Unanswered: 5}
			if rate > 0 {
				want.Unsent = 250 - 15
			}
			if r.Requests != want.Requests || r.Unanswered != want.Unanswered || r.Unsent != want.Unsent || r.Errors() != 0 || !r.Interrupted || r.Elapsed != 2500*time.Millisecond {
				t.Errorf("rate %g: %d requests, %d unanswered, %d unsent, %d errors in %v", rate, r.Requests, r.Unanswered, r.Unsent, r.Errors(), r.Elapsed)
			}
		})
	}
}

// TestRefusedCallerPauses has a node that refuses: a caller of the closed loop does not
// ask it without a pause.
func TestRefusedCallerPauses(t *testing.T) {
	for outcome, want := range map[worker.Outcome]int64{worker.OutcomeNotRun: 100, worker.OutcomeRan: 1000} {
		synctest.Test(t, func(t *testing.T) {
			c := config(func(context.Context, worker.ID) (worker.Reply, error) {
				if outcome == worker.OutcomeRan {
					time.Sleep(time.Millisecond)
				}
				return worker.Reply{}, &wire.Error{Code: wire.Overloaded, Outcome: wire.Outcome(outcome)}
			})
			c.Duration = time.Second
			if r := Run(t.Context(), c); r.Requests != want || r.Errors() != want {
				t.Errorf("%v: %d requests, %d errors in a second, want %d", outcome, r.Requests, r.Errors(), want)
			}
		})
	}
}

// TestEachRequestHasItsTimeLimit looks at what Ask gets: in the open loop, too, a request
// has its time from when it is made.
func TestEachRequestHasItsTimeLimit(t *testing.T) {
	for _, rate := range []float64{0, 1000} {
		synctest.Test(t, func(t *testing.T) {
			c := config(func(ctx context.Context, _ worker.ID) (worker.Reply, error) {
				if limit, ok := worker.TimeLimitOf(ctx); !ok || limit != 700*time.Millisecond {
					t.Errorf("rate %g: time limit %v, %v", rate, limit, ok)
				}
				time.Sleep(10 * time.Millisecond)
				return worker.Reply{}, ctx.Err()
			})
			c.Timeout, c.Requests, c.Batch, c.Rate = 700*time.Millisecond, 10, 2, rate
			if r := Run(t.Context(), c); r.Errors() != 0 || r.Requests != 10 {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen []string
		c := config(taking(10 * time.Millisecond))
		c.Duration = 900 * time.Millisecond
		c.Watch = func(p Progress) { seen = append(seen, fmt.Sprint(p.Elapsed, p.Requests/10, p.Errors)) }
		Run(t.Context(), c)
		if want := []string{"200ms 1 0", "400ms 3 0", "600ms 5 0", "800ms 7 0"}; !slices.Equal(seen, want) {
			t.Errorf("progress %q, want %q", seen, want)
		}
	})
}

// TestOpenLoopIsPunctual uses the real clock: the callers themselves are late by far less
// than a timer of Go may be, 1 ms. The machine may be busy, so the best of some runs
// counts.
func TestOpenLoopIsPunctual(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere a timer of Go is what there is")
	}
	best := time.Hour
	for began := time.Now(); time.Since(began) < 20*time.Second; {
		c := config(noop)
		c.Concurrency, c.Rate, c.Requests, c.timers = 10, 250, 25, false
		r := Run(t.Context(), c)
		if r.Requests != 25 || r.Elapsed < 96*time.Millisecond {
			t.Errorf("%d requests in %v", r.Requests, r.Elapsed)
		}
		if best = min(best, r.Quantile(50)); best < 250*time.Microsecond {
			return
		}
	}
	t.Errorf("half of the requests are made more than %v late", best)
}

// TestOpenLoopEndsWhileItWaits ends the context while the next turn is far away, with the
// real clock.
func TestOpenLoopEndsWhileItWaits(t *testing.T) {
	for _, timers := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		c := config(func(context.Context, worker.ID) (worker.Reply, error) {
			time.AfterFunc(20*time.Millisecond, cancel)
			return worker.Reply{}, nil
		})
		c.Concurrency, c.Rate, c.timers = 10, 1e-3, timers
		if r := Run(ctx, c); r.Requests != 1 || r.Unsent != 0 || r.Elapsed > 10*time.Second {
			t.Errorf("%d requests, %d unsent, in %v", r.Requests, r.Unsent, r.Elapsed)
		}
	}
}

func noop(context.Context, worker.ID) (worker.Reply, error) { return worker.Reply{}, nil }

func TestTurnAllocatesNothing(t *testing.T) {
	c := config(noop)
	r := newRun(t.Context(), c)
	defer r.pacer.alarm.close()
	caller := newCaller(r, 0)
	if n := testing.AllocsPerRun(1000, func() { caller.turn(t.Context()) }); n != 0 {
		t.Errorf("a turn allocates %g times", n)
	}
}

// BenchmarkRun measures what the generator costs per request, by asking nobody.
func BenchmarkRun(b *testing.B) {
	for _, c := range []struct {
		name string
		Config
	}{
		{"callers=1", Config{Concurrency: 1, Batch: 1}},
		{"callers=50", Config{Concurrency: 50, Batch: 1}},
		{"callers=1024", Config{Concurrency: 1024, Batch: 1}},
		{"callers=50/zipf", Config{Concurrency: 50, Batch: 1, Zipf: 1.1}},
		{"callers=50/batch=16", Config{Concurrency: 50, Batch: 16}},
		{"callers=50/open", Config{Concurrency: 50, Batch: 1, Rate: 1e9}}, // all are late
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			c.Asks, c.IDs, c.Timeout, c.Requests = []Ask{noop}, 1000, time.Second, int64(b.N)
			if r := Run(b.Context(), c.Config); r.Requests != int64(b.N) {
				b.Fatalf("%d requests, want %d", r.Requests, b.N)
			}
		})
	}
}
