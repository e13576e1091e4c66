package registry

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// countRunners counts by stacks: NumGoroutine counts one that has just ended, too.
func countRunners() int {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	return bytes.Count(stacks, []byte(".(*runners).work("))
}

// TestRunners has many sources run at once, and some end their goroutines. The others are
// kept for a while, a few of them for good, and used again.
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
			if n := countRunners(); n != 90 {
				t.Errorf("%d goroutines are kept, want those of 90 sources that have returned", n)
			}
			time.Sleep(trimEvery + trimEvery/2) // all of them may have been needed in the first second
			if n := countRunners(); n != 90 {
				t.Errorf("%d goroutines are kept for a second, want 90", n)
			}
			time.Sleep(trimEvery)
			if n := countRunners(); n != fewRunners {
				t.Errorf("%d goroutines are kept for good, want %d", n, fewRunners)
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

// TestInline has sources that their first callers run: others wait for the same run, a
// panic is an error, and no goroutine is started.
func TestInline(t *testing.T) {
	t.Parallel()
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
	if n := len(r.runners.idle); n != 0 {
		t.Errorf("%d goroutines were started", n)
	}
}
