package wire

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestDeadlines has calls that nobody answers, in false time: each ends at its own
// deadline, never early and at most two ticks late.
func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCalls("peer")
		var wg sync.WaitGroup
		for i := range 500 {
			timeout := time.Duration(1+i*7919%5000) * time.Millisecond
			wg.Go(func() {
				start := time.Now()
				_, err := c.ask(t.Context(), &Request{}, timeout)
				late := time.Since(start) - timeout
				if !errors.Is(err, context.DeadlineExceeded) || late < 0 || late > 2*tickTime {
					t.Errorf("call with %v: %v, %v late", timeout, err, late)
				}
			})
		}
		wg.Wait()
		if n := inFlight(c); n != 0 {
			t.Errorf("%d calls in flight", n)
		}
		if _, err := c.ask(t.Context(), &Request{}, -1); !errors.Is(err, DeadlineExceeded) {
			t.Errorf("call whose deadline has passed: %v", err)
		}
		time.Sleep(time.Minute)
		c.fail(&Error{Code: Closed})
	})
}

// TestPausedCaller stops the ticks, as a process that is paused stops, while a call is in
// flight: one that is made afterwards has all of its time.
func TestPausedCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCalls("peer")
		var wg sync.WaitGroup
		call := func(timeout time.Duration) {
			wg.Go(func() {
				start := time.Now()
				if _, err := c.ask(t.Context(), &Request{}, timeout); time.Since(start) < timeout {
					t.Errorf("a call with %v = %v after %v", timeout, err, time.Since(start))
				}
			})
			synctest.Wait()
		}
		call(time.Minute)
		time.Sleep(tickTime / 2)
		c.timer.Stop()
		time.Sleep(10 * time.Second)
		call(5 * time.Second)
		c.onTick()
		wg.Wait()
		c.fail(&Error{Code: Closed})
	})
}

// TestRing answers calls out of order, while slow ones stay: no number is given twice,
// and each caller has its own answer.
func TestRing(t *testing.T) {
	t.Parallel()
	c := newCalls("peer")
	var wg sync.WaitGroup
	ask := func(num int64) {
		wg.Go(func() {
			reply, err := c.ask(t.Context(), &Request{Num: num}, long)
			if err != nil || int64(len(reply.Data)) != num {
				t.Errorf("call %d = %d bytes, %v", num, len(reply.Data), err)
			}
		})
	}
	// answer takes what is queued, and answers those of which keep says no.
	held := map[uint64]int64{}
	answer := func(keep func(num int64) bool) {
		for {
			b, ok := c.small.out.take()
			if !ok {
				return
			}
			for i, seq := range b.Seq {
				if _, twice := held[seq]; twice {
					t.Errorf("number %d is given twice", seq)
				}
				if num := at(b.Num, i); keep(num) {
					held[seq] = num
				} else {
					reply(c, seq, num)
				}
			}
			c.small.out.recycle(b)
		}
	}
	for round := range int64(20) {
		for i := range int64(100) {
			ask(round*100 + i)
		}
		for inFlight(c) < int(round+1)*10+90 { // those of this round, and the slow ones
			time.Sleep(100 * time.Microsecond)
		}
		answer(func(num int64) bool { return num%10 == 0 })
	}
	for seq, num := range held {
		reply(c, seq, num)
	}
	wg.Wait()
}

// TestTook takes the time of a call that shares its batch with the withdrawal of an
// earlier one, and of one that is answered.
func TestTook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCalls("peer")
		time.Sleep(time.Hour)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			_, err := c.ask(ctx, &Request{}, long)
			done <- err
		}()
		synctest.Wait()
		b, _ := c.small.out.take()
		c.small.out.recycle(b)
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		start := time.Now()
		if reply, err := c.ask(t.Context(), &Request{}, time.Second); reply.Took != time.Since(start) {
			t.Errorf("%v, after %v it says that it took %v", err, time.Since(start), reply.Took)
		}
		c.fail(&Error{Code: Closed})
	})
}

// TestTookCrosses takes the time of a call that a peer answers.
func TestTookCrosses(t *testing.T) {
	t.Parallel()
	a, _ := pair(t, echo{}, echo{})
	start := time.Now()
	if reply, err := a.ask(t.Context(), &Request{}, long); err != nil || reply.Took <= 0 || reply.Took > time.Since(start) {
		t.Errorf("%v, after %v it says that it took %v", err, time.Since(start), reply.Took)
	}
}

// TestTookOfOldBatch ends a session while a batch cannot be written: each of its calls
// has taken as long as it was there itself.
func TestTookOfOldBatch(t *testing.T) {
	for _, wait := range []time.Duration{tickTime / 4, 5 * tickTime} {
		synctest.Test(t, func(t *testing.T) {
			c := newCalls("peer")
			var wg sync.WaitGroup
			call := func(least time.Duration) {
				wg.Go(func() {
					reply, err := c.ask(t.Context(), &Request{}, long)
					if !errors.Is(err, Closed) || reply.Took < least || reply.Took > least+2*tickTime {
						t.Errorf("%v; it says that it took %v, and took %v", err, reply.Took, least)
					}
				})
				synctest.Wait()
			}
			call(time.Second + wait)
			time.Sleep(time.Second)
			call(wait)
			time.Sleep(wait)
			c.fail(&Error{Code: Closed})
			wg.Wait()
		})
	}
}
