package registry

import (
	"context"
	"errors"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// TestSerialInline looks at whose goroutine messages run on: the caller's if the server is
// there and does nothing else.
func TestSerialInline(t *testing.T) {
	t.Parallel()
	for _, inline := range []bool{false, true} {
		on := ""
		r := testRegistry(worker.Serial{Inline: inline, TTL: worker.Forever, Open: func(context.Context, worker.ID) (worker.Server, error) {
			return serverFunc(func(context.Context, worker.Value) (worker.Value, error) {
				on = "another"
				if strings.Contains(string(debug.Stack()), "testing.tRunner") {
					on = "its caller's"
				}
				return worker.Value{}, nil
			}), nil
		}}, "1@h", 100)
		for i, want := range []bool{false, inline, inline} {
			if _, err := r.request(t.Context(), worker.IntID(7)); err != nil || (on == "its caller's") != want {
				t.Errorf("inline %v: message %d ran on %s goroutine, %v", inline, i, on, err)
			}
		}
		if err := r.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// TestSerialInlineOnce has many callers add to sums without a lock, some of which come
// while a message runs on another caller's goroutine. The race detector sees an overlap.
func TestSerialInlineOnce(t *testing.T) {
	t.Parallel()
	const callers, calls, ids = 8, 500, 3
	r := testRegistry(worker.Serial{Inline: true, TTL: worker.Forever, Open: worker.Serve(func(context.Context, worker.ID) (*sum, error) { return new(sum), nil })}, "1@h", 100)
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for i := range calls {
				if _, err := r.await(t.Context(), worker.IntID(int64(i%ids)), worker.IntValue(1), r.Look()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got := int64(0)
	for i := range int64(ids) {
		reply, err := r.await(t.Context(), worker.IntID(i), worker.IntValue(0), r.Look())
		n, _ := worker.As[int64](reply.Value)
		if got += n; err != nil {
			t.Error(err)
		}
	}
	if got != callers*calls {
		t.Errorf("%d messages have counted, want %d", got, callers*calls)
	}
	if err := r.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if n := r.admission.waiting.Load(); n != 0 {
		t.Errorf("%d wait", n)
	}
}

// A sum adds its messages up.
type sum struct{ n int64 }

func (s *sum) Call(_ context.Context, n int64) (int64, error) {
	s.n += n
	return s.n, nil
}

// TestSerialInlineBusy has things happen while a message runs on its caller's goroutine,
// although an inline kind should not take so long. What waits is for a goroutine then.
func TestSerialInlineBusy(t *testing.T) {
	t.Parallel()
	busy := func(name string, meanwhile func(t *testing.T, r *Registry, d *diary), want string) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inSerialBubble(t, worker.Serial{Inline: true, TTL: time.Hour, Timeout: 10 * time.Second}, func(t *testing.T, r *Registry, d *diary) {
				tell(t, r, "7", "a", "a.")
				var wg sync.WaitGroup
				wg.Go(func() { tell(t, r, "7", "sleep 1s", "a.sleep 1s.") })
				synctest.Wait()
				meanwhile(t, r, d)
				wg.Wait()
				synctest.Wait()
				if got := d.take(); got != want {
					t.Errorf("what happened: %q, want %q", got, want)
				}
			})
		})
	}
	busy("another message", func(t *testing.T, r *Registry, _ *diary) { tell(t, r, "7", "b", "a.sleep 1s.b.") }, "start 7")
	busy("stop", func(_ *testing.T, r *Registry, _ *diary) { r.Stop(worker.IntID(7)) }, "start 7; end 7 stopped")
	busy("the id moves", func(_ *testing.T, r *Registry, _ *diary) { r.Retain(func(worker.ID) bool { return false }) }, "start 7; end 7 moved")
	busy("quiesce", func(t *testing.T, r *Registry, d *diary) {
		r.Quiesce(t.Context())
		if got := d.take(); got != "start 7; end 7 closing" {
			t.Errorf("after Quiesce: %q", got)
		}
	}, "")
	busy("a caller that gives up", func(t *testing.T, r *Registry, _ *diary) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := r.await(ctx, worker.IntID(7), worker.BytesValue("c"), r.Look()); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	}, "start 7")
}

// TestSerialInlineClose closes a registry while a message runs on its caller's goroutine.
func TestSerialInlineClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &diary{}
		r := testRegistry(worker.Serial{Inline: true, TTL: time.Hour, Open: worker.Serve(d.start)}, "1@h", 100)
		tell(t, r, "7", "a", "a.")
		var wg sync.WaitGroup
		wg.Go(func() { tell(t, r, "7", "sleep 1s", "a.sleep 1s.") })
		synctest.Wait()
		began := time.Now()
		if err := r.Close(t.Context()); err != nil || time.Since(began) != time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		wg.Wait()
		if got := d.take(); got != "start 7; end 7 closing" {
			t.Errorf("what happened: %q", got)
		}
	})
}

// TestSerialInlineFails has servers fail in ways of which a later message must know nothing.
func TestSerialInlineFails(t *testing.T) {
	t.Parallel()
	inSerialBubble(t, worker.Serial{Inline: true, TTL: time.Hour}, func(t *testing.T, r *Registry, d *diary) {
		tell(t, r, "7", "a", "a.")
		for message, want := range map[string]wire.Code{"fail": wire.SourceFailed, "panic x": wire.Panicked} {
			if _, err := r.await(t.Context(), worker.IntID(7), worker.BytesValue(message), r.Look()); !errors.Is(err, want) {
				t.Errorf("%s: %v", message, err)
			}
		}
		synctest.Wait()
		tell(t, r, "7", "b", "b.")
		over, cancel := context.WithTimeout(t.Context(), -1)
		defer cancel()
		if _, err := r.await(over, worker.IntID(7), worker.BytesValue("c"), r.Look()); !errors.Is(err, wire.DeadlineExceeded) {
			t.Errorf("after its deadline: %v", err)
		}
		tell(t, r, "7", "d", "b.d.")
	})
}

// TestSerialInlineExpiry has a message come just after the time of the server, before
// anything has ended that.
func TestSerialInlineExpiry(t *testing.T) {
	t.Parallel()
	inSerialBubble(t, worker.Serial{Inline: true, TTL: time.Second}, func(t *testing.T, r *Registry, d *diary) {
		tell(t, r, "7", "a", "a.")
		tell(t, r, "7", "b", "a.b.")
		time.Sleep(time.Second + coalesce/2)
		tell(t, r, "7", "c", "c.")
		if got := d.take(); got != "start 7; end 7 expired; start 7" {
			t.Errorf("what happened: %q", got)
		}
	})
}

// TestSerialInlineTurn has a kind that runs one message at a time: a message waits for
// that of another id, on whichever goroutine it runs.
func TestSerialInlineTurn(t *testing.T) {
	t.Parallel()
	inSerialBubble(t, worker.Serial{Inline: true, TTL: time.Hour, Concurrency: 1}, func(t *testing.T, r *Registry, _ *diary) {
		tell(t, r, "7", "a", "a.")
		tell(t, r, "8", "a", "a.")
		var wg sync.WaitGroup
		wg.Go(func() { tell(t, r, "7", "sleep 1s", "a.sleep 1s.") })
		synctest.Wait()
		began := time.Now()
		tell(t, r, "8", "b", "a.b.")
		if took := time.Since(began); took != time.Second {
			t.Errorf("the other id's message waited for %v", took)
		}
		wg.Wait()
	})
}
