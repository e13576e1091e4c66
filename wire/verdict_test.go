package wire

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestVerdict has a caller give up, by its deadline and by its context, before and while
// the peer says what became of the call. The caller is told why it gave up and the peer's
// outcome, so that nothing asks again.
func TestVerdict(t *testing.T) {
	answer := func(e *Error) func(*calls, *pending) {
		return func(c *calls, p *pending) {
			var b replyBatch
			b.addError(p.seq, e)
			it := b.replies(c.peer)
			c.removeAll([]uint64{p.seq}, new([wakeTogether]*pending))
			p.err = p.verdict(it.next(&p.reply))
			p.done <- struct{}{}
		}
	}
	gaveUp := func(o Outcome, text string) func(Code) *Error {
		return func(why Code) *Error { return &Error{Code: why, Outcome: o, Node: "peer", Text: text, GaveUp: true} }
	}
	for what, test := range map[string]struct {
		peer func(*calls, *pending) // what it does 100 ms after the caller has given up
		want func(why Code) *Error
	}{
		"it waited":     {answer(&Error{Code: Canceled, Outcome: NotRun}), gaveUp(NotRun, "")},
		"it had begun":  {answer(&Error{Code: Canceled}), gaveUp(Unknown, "")},
		"the owner":     {answer(&Error{Code: NotOwner, Outcome: NotRun, Text: "3@h is"}), gaveUp(NotRun, "")},
		"no place":      {answer(&Error{Code: Overloaded, Outcome: NotRun, Text: "full"}), gaveUp(NotRun, "full")},
		"the session":   {func(c *calls, _ *pending) { c.fail(&Error{Code: Unreachable, Text: "lost"}) }, gaveUp(Unknown, "lost")},
		"goodbye":       {func(c *calls, _ *pending) { c.leave(0, 0) }, gaveUp(NotRun, "")},
		"the peer hung": {func(*calls, *pending) {}, gaveUp(Unknown, "")},
		"it failed": {answer(&Error{Code: SourceFailed, Outcome: Ran, Text: "oops"}), func(Code) *Error {
			return &Error{Code: SourceFailed, Outcome: Ran, Node: "peer", Text: "oops"}
		}},
		"the answer": {func(c *calls, p *pending) { reply(c, p.seq, 3) }, func(Code) *Error { return nil }},
	} {
		for _, why := range []Code{DeadlineExceeded, Canceled} {
			t.Run(fmt.Sprint(what, ", ", why), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := newCalls("peer")
					ctx, cancel := context.WithCancel(t.Context())
					timeout := time.Second
					if why == Canceled {
						time.AfterFunc(time.Second, cancel)
						timeout = time.Hour
					}
					start := time.Now()
					done := make(chan error, 1)
					go func() {
						_, err := c.ask(ctx, &Request{}, timeout)
						done <- err
					}()
					synctest.Wait()
					p := c.slot(1)
					b, _ := c.small.out.take()
					c.small.out.recycle(b)
					time.Sleep(time.Second + 2*tickTime + 100*time.Millisecond)
					synctest.Wait()
					c.mu.Lock()
					canceled := slices.Clone(c.small.out.fill.Cancel)
					c.mu.Unlock()
					if !reflect.DeepEqual(canceled, []uint64{1}) {
						t.Errorf("the peer is told to cancel %v", canceled)
					}
					test.peer(c, p)
					err, want := <-done, test.want(why)
					if e, _ := err.(*Error); !reflect.DeepEqual(e, want) {
						t.Errorf("%#v, want %#v", err, want)
					}
					if took := time.Since(start); took > time.Second+verdictTime+5*tickTime {
						t.Errorf("the caller waits %v for a verdict", took-time.Second)
					}
					if n := inFlight(c); n != 0 {
						t.Errorf("%d calls in flight", n)
					}
					cancel()
					c.fail(&Error{Code: Closed})
				})
			})
		}
	}
}

// TestEndedContext calls with a context that has ended: nothing is sent.
func TestEndedContext(t *testing.T) {
	t.Parallel()
	a, _ := pair(t, echo{}, handler{call: func(c Call) {
		t.Error("a call of a context that has ended is sent")
		c.Reply(&Reply{})
	}})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, call := a.ask(ctx, &Request{}, long)
	for what, err := range map[string]error{"call": call, "operation": a.Do(ctx, 1, "x", nil)} {
		if e, ok := errors.AsType[*Error](err); !ok || e.Code != Canceled || e.Outcome != NotRun {
			t.Errorf("%s: %#v", what, err)
		}
	}
}

// A parked handler has an operation, too.
type parked struct {
	handler
	do func(context.Context) error
}

func (s parked) ServeOperation(ctx context.Context, _ *Session, _ Op, _ func(any) error) (any, error) {
	return nil, s.do(ctx)
}

// An ending is a context that ends with err when over is closed.
type ending struct {
	context.Context
	over chan struct{}
	err  error
}

func (e ending) Done() <-chan struct{} { return e.over }

func (e ending) Err() error {
	select {
	case <-e.over:
		return e.err
	default:
		return nil
	}
}

// giveUpBoth makes a call and an operation, which the peer signals in began, and gives
// each up.
func giveUpBoth(t *testing.T, a *Session, began <-chan struct{}, check func(what string, why error, e *Error)) {
	t.Helper()
	for what, do := range map[string]func(context.Context) error{
		"call":      func(ctx context.Context) error { _, err := a.ask(ctx, &Request{}, long); return err },
		"operation": func(ctx context.Context) error { return a.Do(ctx, 1, "x", nil) },
	} {
		for _, why := range []error{context.Canceled, context.DeadlineExceeded} {
			ctx := ending{t.Context(), make(chan struct{}), why}
			go func() {
				<-began
				close(ctx.over)
			}()
			e, ok := errors.AsType[*Error](do(ctx))
			if !ok || !errors.Is(e, why) {
				t.Fatalf("%s: %#v, want %v", what, e, why)
			}
			check(what, why, e)
		}
	}
}

// TestVerdictCrosses has the peer say that what was given up has not run.
func TestVerdictCrosses(t *testing.T) { bubble(t, testVerdictCrosses) }

func testVerdictCrosses(t *testing.T) {
	began := make(chan struct{}, 1)
	a, _ := piped(t, echo{}, parked{handler{call: func(c Call) {
		c.OnCancel(func() { c.Fail(&Error{Code: Canceled, Outcome: NotRun}) })
		began <- struct{}{}
	}}, func(ctx context.Context) error {
		began <- struct{}{}
		<-ctx.Done()
		return &Error{Code: Canceled, Outcome: NotRun}
	}})
	giveUpBoth(t, a, began, func(what string, why error, e *Error) {
		if e.Outcome != NotRun {
			t.Errorf("%s, %v: outcome %v", what, why, e.Outcome)
		}
	})
}

// TestHungPeer has the peer answer neither a call nor an operation that was given up: the
// caller does not wait for long.
func TestHungPeer(t *testing.T) { bubble(t, testHungPeer) }

func testHungPeer(t *testing.T) {
	began, release := make(chan struct{}, 1), make(chan struct{})
	var answered sync.WaitGroup
	a, _ := piped(t, echo{}, parked{handler{call: func(c Call) {
		answered.Go(func() {
			<-release
			c.Fail(Canceled)
		})
		began <- struct{}{}
	}}, func(context.Context) error {
		began <- struct{}{}
		<-release
		return Canceled
	}})
	start := time.Now()
	giveUpBoth(t, a, began, func(what string, why error, e *Error) {
		if took := time.Since(start); e.Outcome != Unknown || took > verdictTime+5*tickTime {
			t.Errorf("%s, %v: outcome %v after %v", what, why, e.Outcome, took)
		}
		start = time.Now()
	})
	close(release)
	answered.Wait()
}
