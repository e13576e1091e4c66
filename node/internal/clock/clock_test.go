package clock

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distproc/distproc/node/worker"
)

func TestWithDefault(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := WithDefault(t.Context())
		defer cancel()
		if left := Left(ctx); left != worker.DefaultTimeout {
			t.Errorf("%v left, want %v", left, worker.DefaultTimeout)
		}
	})
}

// TestWithTimeout gives a context a deadline, unless it has one already, even a later one.
func TestWithTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := WithTimeout(t.Context(), time.Second)
		defer cancel()
		same, cancelSame := WithTimeout(ctx, time.Millisecond)
		cancelSame()
		if same.Err() != nil {
			t.Error("the caller's own context ended")
		}
		time.Sleep(time.Second - 1)
		if same.Err() != nil {
			t.Error("it ended early")
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if same.Err() != context.DeadlineExceeded {
			t.Errorf("after its time: %v", same.Err())
		}
	})
}

// TestTimeLimit has a call with a time limit end by that, or by the deadline of its context
// if that is sooner.
func TestTimeLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		minute, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for _, c := range []struct {
			ctx  context.Context
			left time.Duration
			ends bool
		}{
			{t.Context(), worker.DefaultTimeout, false},
			{minute, time.Minute, true},
			{worker.WithTimeLimit(t.Context(), time.Second), time.Second, false},
			{worker.WithTimeLimit(minute, time.Second), time.Second, false},
			{worker.WithTimeLimit(minute, time.Hour), time.Minute, false},
			{worker.WithTimeLimit(worker.WithTimeLimit(minute, time.Second), time.Hour), time.Second, false},
			{worker.WithTimeLimit(t.Context(), 1<<63-1), worker.Forever, false},
			{worker.WithTimeLimit(t.Context(), -time.Second), -time.Second, false},
		} {
			if left, ends := Left(c.ctx), Ends(c.ctx); left != c.left || ends != c.ends {
				t.Errorf("%v: %v left, want %v; it ends by itself: %t", c.ctx, left, c.left, ends)
			}
			ctx, cancel := WithDefault(c.ctx)
			defer cancel()
			if at, ok := ctx.Deadline(); !ok || time.Until(at) != c.left {
				t.Errorf("%v: deadline in %v, want %v", c.ctx, time.Until(at), c.left)
			}
		}
		ctx, cancel := WithRest(worker.WithTimeLimit(t.Context(), time.Second), 300*time.Millisecond)
		defer cancel()
		if left := Left(ctx); left != 700*time.Millisecond {
			t.Errorf("after 0.3 s of 1 s: %v left", left)
		}
	})
}

func TestLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		if left := Left(t.Context()); left != worker.DefaultTimeout {
			t.Errorf("without a deadline: %v", left)
		}
		for timeout, want := range map[time.Duration]time.Duration{
			time.Minute: time.Minute, -time.Minute: -time.Minute, 1<<63 - 1: worker.Forever,
		} {
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			if left := Left(ctx); left != want {
				t.Errorf("of %v: %v left, want %v", timeout, left, want)
			}
		}
	})
}

func TestSleep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if !Sleep(ctx, 400*time.Millisecond) || time.Since(began) != 400*time.Millisecond {
			t.Errorf("it slept for %v", time.Since(began))
		}
		if !Sleep(ctx, 0) || !Sleep(ctx, -time.Hour) || time.Since(began) != 400*time.Millisecond {
			t.Error("it slept for a duration that is not positive")
		}
		if Sleep(ctx, time.Hour) || time.Since(began) != time.Second {
			t.Errorf("it slept until %v, beyond the end of the context", time.Since(began))
		}
		if Sleep(ctx, 0) {
			t.Error("the context goes on after its end")
		}
	})
}

func TestIsDone(t *testing.T) {
	t.Parallel()
	done := make(chan struct{})
	if IsDone(done) || IsDone(nil) {
		t.Error("an open channel is done")
	}
	close(done)
	if !IsDone(done) {
		t.Error("a closed channel is not done")
	}
}
