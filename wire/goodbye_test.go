package wire

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestGoodbye has a peer leave under load of small and large calls: each call is
// answered, or has certainly not run.
func TestGoodbye(t *testing.T) {
	t.Parallel()
	var ran, answered, refused atomic.Int64
	a, b := pair(t, echo{}, handler{call: func(c Call) {
		ran.Add(1)
		c.Reply(&Reply{Data: c.Request.Data})
	}})
	large := strings.Repeat("x", 2*largeValue)
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			r := Request{Num: int64(i)}
			if i%10 == 0 {
				r.Data, r.IsCall = large, true
			}
			for {
				_, err := a.ask(t.Context(), &r, long)
				if err == nil {
					answered.Add(1)
					continue
				}
				if e, ok := errors.AsType[*Error](err); !ok || e.Code != Leaving || e.Outcome != NotRun {
					t.Errorf("%v, want %v, not run", err, Leaving)
				}
				refused.Add(1)
				return
			}
		})
	}
	for answered.Load() < 1000 {
		time.Sleep(time.Millisecond)
	}
	b.Goodbye()
	<-a.Leaving()
	b.finish(long)
	wg.Wait()
	if ran.Load() != answered.Load() || refused.Load() != 50 {
		t.Errorf("%d ran, %d answered, %d refused; want as many answered as ran, and 50 refused", ran.Load(), answered.Load(), refused.Load())
	}
	if _, err := a.ask(t.Context(), &Request{}, long); !errors.Is(err, Leaving) {
		t.Errorf("a call after the end: %v", err)
	}
}

// TestGoodbyeUnread has a peer say goodbye that does not read calls any more, and vanish:
// a call that it had taken may have run, a call that it had not taken has not.
func TestGoodbyeUnread(t *testing.T) {
	t.Parallel()
	taken, release := make(chan struct{}, 1), make(chan struct{})
	a, b := pair(t, echo{}, handler{call: func(Call) {
		taken <- struct{}{}
		<-release // the reader of calls is stuck
	}})
	ask := func(n int64) chan error {
		done := make(chan error, 1)
		go func() {
			_, err := a.ask(t.Context(), &Request{Num: n}, long)
			done <- err
		}()
		return done
	}
	first := ask(1)
	<-taken
	second := ask(2)
	for a.calls.small.sent() < 2 { // it is on its way
		time.Sleep(time.Millisecond)
	}
	b.Goodbye()
	if e, ok := errors.AsType[*Error](<-second); !ok || e.Code != Leaving || e.Outcome != NotRun {
		t.Errorf("a call that was not taken: %v, want %v, not run", e, Leaving)
	}
	b.Shut()
	if e, ok := errors.AsType[*Error](<-first); !ok || e.Outcome != Unknown {
		t.Errorf("a call that was taken: %v, want an unknown outcome", e)
	}
	close(release)
}

// sent returns the number of the last call that was taken to be sent.
func (l *callLane) sent() uint64 {
	l.out.mu.Lock()
	defer l.out.mu.Unlock()
	return l.taken
}

// TestAwait has a side that leaves wait for its last answers: the wait ends with the last
// one, with the session, or with its context.
func TestAwait(t *testing.T) {
	t.Parallel()
	for what, event := range map[string]func(*answers, context.CancelFunc){
		"the last call is withdrawn": func(a *answers, _ context.CancelFunc) { a.void() },
		"the last call is answered": func(a *answers, _ context.CancelFunc) {
			a.add(2, a.small, 0, func(*replyBatch) {})
		},
		"the session ends": func(a *answers, _ context.CancelFunc) { a.end() },
		"the context ends": func(_ *answers, cancel context.CancelFunc) { cancel() },
	} {
		synctest.Test(t, func(t *testing.T) {
			a := newAnswers(new(Session), nil)
			a.open, a.left = 2, true
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done := make(chan struct{})
			go func() {
				a.await(ctx)
				close(done)
			}()
			a.void()
			synctest.Wait()
			select {
			case <-done:
				t.Errorf("%s: the wait is over while a call is open", what)
			default:
			}
			event(a, cancel)
			<-done // or the bubble is deadlocked
		})
	}
}
