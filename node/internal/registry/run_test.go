package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// TestRunContext looks at the context of a run in the ways that sources do, before and after it has become real.
func TestRunContext(t *testing.T) {
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
	c := &runContext{deadline: time.Now()}
	first := c.Err()
	c.end()
	second := c.Err()
	<-c.Done()
	if third := c.Err(); !errors.Is(first, context.DeadlineExceeded) || second != first || third != first {
		t.Errorf("%v, then %v, then %v", first, second, third)
	}
}

// TestFailureOutcome checks what the callers of a source that fails learn, at its deadline and before.
func TestFailureOutcome(t *testing.T) {
	cause := errors.New("refused")
	over, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	for name, c := range map[string]struct {
		ctx  context.Context
		err  error
		want wire.Error
	}{
		"plain":                  {t.Context(), cause, wire.Error{Code: wire.SourceFailed, Outcome: wire.Ran, Text: "refused"}},
		"not begun":              {t.Context(), worker.NotRun(cause), wire.Error{Code: wire.SourceFailed, Outcome: wire.NotRun, Text: "refused"}},
		"may have run":           {t.Context(), worker.MayHaveRun(cause), wire.Error{Code: wire.SourceFailed, Outcome: wire.Unknown, Text: "refused"}},
		"wrapped":                {t.Context(), fmt.Errorf("x: %w", worker.NotRun(cause)), wire.Error{Code: wire.SourceFailed, Outcome: wire.NotRun, Text: "x: refused"}},
		"too long":               {over, cause, wire.Error{Code: wire.DeadlineExceeded, Outcome: wire.Ran, Text: "the source took too long: refused"}},
		"too long, may have run": {over, worker.MayHaveRun(cause), wire.Error{Code: wire.DeadlineExceeded, Outcome: wire.Unknown, Text: "the source took too long: refused"}},
		"too long, not begun":    {over, worker.NotRun(cause), wire.Error{Code: wire.DeadlineExceeded, Outcome: wire.NotRun, Text: "the source did not begin in time: refused"}},
		"message":                {over, fmt.Errorf("%w: %w", worker.ErrMessage, cause), wire.Error{Code: wire.BadRequest, Outcome: wire.NotRun, Text: "the message: refused"}},
	} {
		if got := failureOf(c.ctx, c.err); !reflect.DeepEqual(*got, c.want) {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
	if !errors.Is(worker.NotRun(cause), cause) || !errors.Is(worker.MayHaveRun(cause), cause) {
		t.Error("the marks hide their causes")
	}
}

// countRunners counts by stacks: NumGoroutine counts one that has just ended, too.
func countRunners() int {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	return bytes.Count(stacks, []byte(".(*runners).work("))
}

// TestRunners has many sources run at once, and some end their goroutines: a few goroutines are kept, and used again.
func TestRunners(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := testRegistry(worker.Cache{Load: func(_ context.Context, id worker.ID) (worker.Value, error) {
			time.Sleep(time.Second)
			if num(id)%10 == 0 {
				runtime.Goexit()
			}
			return worker.IntValue(num(id)), nil
		}, TTL: time.Minute}, "1@h", 1000)
		for round := range int64(3) {
			var wg sync.WaitGroup
			for i := range int64(100) {
				wg.Go(func() {
					_, err := r.request(t.Context(), worker.IntID(1000*round+i))
					if (err != nil) != (i%10 == 0) {
						t.Errorf("id %d: %v", i, err)
					}
				})
			}
			wg.Wait()
			synctest.Wait()
			if n := countRunners(); n == 0 || n > maxIdleRunners {
				t.Errorf("%d goroutines are kept, limit %d", n, maxIdleRunners)
			}
		}
		for i := range int64(100) { // one after the other
			if _, err := r.request(t.Context(), worker.IntID(5001+10*i)); err != nil {
				t.Error(err)
			}
		}
		if err := r.Close(t.Context()); err != nil { // and a bubble does not end with a goroutine that is left
			t.Error(err)
		}
	})
}

// TestInline has sources that their first callers run: others wait for the same run, a panic is an error, and no goroutine is started.
func TestInline(t *testing.T) {
	var r *Registry
	runs := 0
	r = testRegistry(worker.Cache{Inline: true, TTL: time.Hour, Load: func(_ context.Context, id worker.ID) (worker.Value, error) {
		runs++
		if id == worker.IntID(13) {
			panic("13")
		}
		for id == worker.IntID(7) && r.admission.waiting.Load() == 0 { // until another one waits for it
			time.Sleep(time.Millisecond)
		}
		if id == worker.IntID(8) && runs == 2 {
			for r.admission.waiting.Load() == 0 {
				time.Sleep(time.Millisecond)
			}
			for r.admission.waiting.Load() > 0 { // until it has gone again
				time.Sleep(time.Millisecond)
			}
		}
		return worker.IntValue(int64(runs)), nil
	}}, "1@h", 100)
	defer r.Close(context.Background())
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			if reply, err := r.request(t.Context(), worker.IntID(7)); err != nil || reply.Value != worker.IntValue(1) {
				t.Errorf("a run with two who wait: %v, %v", reply.Value, err)
			}
		})
	}
	wg.Wait()
	for range 2 { // the second one has come for the run of the first, and goes before it ends
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			if reply, err := r.request(ctx, worker.IntID(8)); err == nil && (reply.Cached || reply.Value != worker.IntValue(2)) {
				t.Errorf("a run that somebody else does not wait for: %+v", reply)
			} else if err != nil && !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if reply, err := r.request(t.Context(), worker.IntID(8)); err != nil || !reply.Cached || reply.Value != worker.IntValue(2) {
		t.Errorf("after a run that somebody else did not wait for: %+v, %v", reply, err)
	}
	for range 2 {
		if _, err := r.request(t.Context(), worker.IntID(13)); !errors.Is(err, wire.Panicked) {
			t.Errorf("a panic: %v, want %v", err, wire.Panicked)
		}
	}
	if runs != 4 {
		t.Errorf("%d runs, want 4", runs)
	}
	if n := r.cache.runners.idle.Load(); n != 0 {
		t.Errorf("%d goroutines were started", n)
	}
}

// TestOutcomes has those of package worker and of the wire be the same numbers and names.
func TestOutcomes(t *testing.T) {
	for o, on := range map[worker.Outcome]wire.Outcome{
		worker.OutcomeUnknown: wire.Unknown, worker.OutcomeNotRun: wire.NotRun, worker.OutcomeRan: wire.Ran,
	} {
		if wire.Outcome(o) != on || o.String() != on.String() {
			t.Errorf("%d (%s) is %d (%s) on the wire", o, o, on, on)
		}
	}
}
