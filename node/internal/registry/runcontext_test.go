package registry

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/worker"
)

// TestRunContext looks at the context of a run in the ways that sources do, before and
// after it has become real.
func TestRunContext(t *testing.T) {
	t.Parallel()
	for name, look := range map[string]func(context.Context){
		"not at all":     func(context.Context) {},
		"at its channel": func(ctx context.Context) { ctx.Done() },
		"by a child":     func(ctx context.Context) { context.WithValue(ctx, look{}, 1).Done() },
	} {
		synctest.Test(t, func(t *testing.T) {
			c := &runContext{deadline: time.Now().Add(time.Second), trace: traceparent}
			look(c)
			if d, ok := c.Deadline(); !ok || time.Until(d) != time.Second || c.Err() != nil || worker.TraceOf(c) != traceparent || c.Value("another key") != nil {
				t.Errorf("%s: deadline %v, err %v, trace %q", name, d, c.Err(), worker.TraceOf(c))
			}
			time.Sleep(time.Second)
			synctest.Wait()
			if !errors.Is(c.Err(), context.DeadlineExceeded) || !clock.IsDone(c.Done()) {
				t.Errorf("%s, after its deadline: %v", name, c.Err())
			}
			c.end()
			if !errors.Is(c.Err(), context.DeadlineExceeded) {
				t.Errorf("%s, ended after its deadline: %v", name, c.Err())
			}
		})
		synctest.Test(t, func(t *testing.T) {
			c := &runContext{deadline: time.Now().Add(time.Second)}
			look(c)
			child, cancel := context.WithCancel(c)
			defer cancel()
			told := false
			context.AfterFunc(child, func() { told = true })
			c.end()
			c.end()
			synctest.Wait()
			if !errors.Is(c.Err(), context.Canceled) || !clock.IsDone(c.Done()) || !errors.Is(child.Err(), context.Canceled) || !told {
				t.Errorf("%s, ended: %v, its child %v", name, c.Err(), child.Err())
			}
		})
		synctest.Test(t, func(t *testing.T) {
			c := &runContext{deadline: time.Now().Add(time.Second)}
			look(c)
			c.end()
			child, cancel := context.WithTimeout(c, time.Hour)
			defer cancel()
			if child.Err() == nil || context.Cause(child) == nil || !clock.IsDone(c.Done()) {
				t.Errorf("%s: a child of an ended context lives", name)
			}
		})
	}
}

type look struct{}

// TestRunContextStaysEnded has a context's deadline pass before it is ended.
func TestRunContextStaysEnded(t *testing.T) {
	t.Parallel()
	c := &runContext{deadline: time.Now()}
	first := c.Err()
	c.end()
	second := c.Err()
	<-c.Done()
	if third := c.Err(); !errors.Is(first, context.DeadlineExceeded) || second != first || third != first {
		t.Errorf("%v, then %v, then %v", first, second, third)
	}
}
