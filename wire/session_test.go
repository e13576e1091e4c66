package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestCall(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("x", MaxValue)
	requests := []Request{
		{}, {Num: -1}, {Num: 1 << 62}, {IsText: true}, {IsText: true, Text: "a\x00é"},
		{Kind: "price", Num: 7}, {Forward: true}, {Fresh: true},
	}
	got := make(chan Request, len(requests))
	a, b := pair(t, echo{}, handler{call: func(c Call) {
		got <- c.Request
		c.Reply(&Reply{Data: big, Type: "text/plain", Cached: true, Degraded: true, Node: "3@h", Age: time.Second, TTL: time.Millisecond})
	}})
	for _, want := range requests {
		reply, err := a.ask(t.Context(), &want, long)
		if err != nil {
			t.Fatal(err)
		}
		if g := <-got; !reflect.DeepEqual(g, want) {
			t.Errorf("request arrived as %+v, want %+v", g, want)
		}
		if reply.Data != big || !reply.Cached || !reply.Degraded || reply.IsInt || reply.Node != "3@h" ||
			reply.Age != time.Second || reply.TTL != time.Millisecond || reply.Type != "text/plain" {
			reply.Data = fmt.Sprint(len(reply.Data), " bytes")
			t.Errorf("reply arrived as %+v", reply)
		}
	}
	// The other way, on the same session.
	if reply, err := b.ask(t.Context(), &Request{Text: "hello", IsText: true}, long); err != nil || reply.Data != "hello" || reply.Node != "dialer" {
		t.Errorf("call of the acceptor = %+v, %v", reply, err)
	}
}

func TestCallsMix(t *testing.T) {
	t.Parallel()
	a, _ := pair(t, echo{}, echo{})
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			for j := range 50 {
				text := fmt.Sprint(i, "/", j, strings.Repeat("-", i*j%3000))
				reply, err := a.ask(t.Context(), &Request{Text: text, IsText: true}, long)
				if err != nil || reply.Data != text {
					t.Errorf("call %d/%d = %.20q, %v", i, j, reply.Data, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestErrorsCross(t *testing.T) {
	t.Parallel()
	errs := []*Error{
		{Code: Overloaded, Outcome: NotRun, Text: "queue is full"},
		{Code: SourceFailed, Outcome: Ran, Text: "no such tenant", Node: "9@h"},
		{Code: NotOwner, Outcome: NotRun, Members: []Member{{Name: "1@h", Addr: "h:4371", Incarnation: 5}, {Name: "2@h", State: Left}}},
		{Code: 999, Outcome: Unknown},
	}
	for _, want := range errs {
		a, _ := pair(t, echo{}, handler{call: func(c Call) { c.Fail(want) }})
		_, err := a.ask(t.Context(), &Request{}, long)
		got, ok := errors.AsType[*Error](err)
		if !ok || !errors.Is(err, want.Code) {
			t.Errorf("error arrived as %v, want %v", err, want)
			continue
		}
		expect := *want
		if expect.Node == "" {
			expect.Node = "acceptor"
		}
		if !reflect.DeepEqual(*got, expect) {
			t.Errorf("error arrived as %+v, want %+v", *got, expect)
		}
	}
}

func TestTooLargeValue(t *testing.T) {
	t.Parallel()
	a, _ := pair(t, echo{}, handler{call: func(c Call) { c.Reply(&Reply{Data: strings.Repeat("x", MaxValue+1)}) }})
	if _, err := a.ask(t.Context(), &Request{}, long); !errors.Is(err, SourceFailed) {
		t.Errorf("call = %v, want %v", err, SourceFailed)
	}
}

// TestCancelCrosses has a caller give up, by its context and by its deadline: the peer is
// told.
func TestCancelCrosses(t *testing.T) { bubble(t, testCancelCrosses) }

func testCancelCrosses(t *testing.T) {
	canceled := make(chan struct{}, 1)
	started := make(chan struct{}, 1)
	a, _ := piped(t, echo{}, handler{call: func(c Call) {
		c.OnCancel(func() {
			canceled <- struct{}{}
			c.Fail(Canceled)
		})
		started <- struct{}{}
	}})
	check := func(err error, want Code) {
		t.Helper()
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Code != want || e.Outcome != Unknown {
			t.Errorf("call = %#v, want %v with outcome unknown", err, want)
		}
		<-canceled
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-started
		cancel()
	}()
	_, err := a.ask(ctx, &Request{}, long)
	check(err, Canceled)
	_, err = a.ask(t.Context(), &Request{}, time.Second)
	<-started
	check(err, DeadlineExceeded)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v is no context.DeadlineExceeded", err)
	}
}

// TestOutcome checks the outcome of a call that its caller gives up, or that its session
// loses, before and after it was sent.
func TestOutcome(t *testing.T) {
	t.Parallel()
	for _, sent := range []bool{false, true} {
		for _, lost := range []bool{false, true} {
			c := newCalls("peer")
			ctx, cancel := context.WithCancel(t.Context())
			result := make(chan error)
			go func() {
				_, err := c.ask(ctx, &Request{}, long)
				result <- err
			}()
			<-c.small.out.wake // it is queued
			if sent {
				c.small.out.take()
			}
			if lost {
				c.fail(&Error{Code: Unreachable})
			} else {
				cancel()
			}
			want := NotRun
			if sent {
				want = Unknown
			}
			err := <-result
			if e, ok := errors.AsType[*Error](err); !ok || e.Outcome != want {
				t.Errorf("sent %v, lost %v: outcome %v, want %v", sent, lost, e.Outcome, want)
			}
			if b, ok := c.small.out.take(); !lost && !sent && (!ok || b.Flags[0] != callVoid) {
				t.Error("a call that was withdrawn before it was sent is not void")
			}
			cancel()
		}
	}
}

// TestWithdrawnIsOver takes a batch with a call that its caller withdrew: nobody makes
// it, and it is not pending.
func TestWithdrawnIsOver(t *testing.T) {
	t.Parallel()
	made := 0
	_, s := pair(t, echo{}, handler{call: func(c Call) {
		made++
		c.Reply(&Reply{})
	}})
	batches := 1
	s.answers.receive(func(v any) error {
		if batches--; batches < 0 {
			return io.EOF
		}
		b := v.(*callBatch)
		for i := range uint64(3) {
			b.add(i+1, &Request{}, long)
		}
		b.void(1)
		pack(b.Seq)
		return nil
	}, new(uint64))
	if _, open := s.answers.served(); made != 2 || open != 0 {
		t.Errorf("%d of 3 calls were made, %d are pending; want 2, 0", made, open)
	}
}

func TestOperation(t *testing.T) {
	t.Parallel()
	a, _ := pair(t, echo{}, echo{})
	var result string
	if err := a.Do(t.Context(), 1, "hello", &result); err != nil || result != "echo hello" {
		t.Errorf("operation = %q, %v", result, err)
	}
	if err := a.Do(t.Context(), 77, nil, nil); !errors.Is(err, UnknownOperation) {
		t.Errorf("operation 77 = %v, want %v", err, UnknownOperation)
	}
	if err := a.Do(t.Context(), 1, []int{1}, &result); !errors.Is(err, BadRequest) {
		t.Errorf("operation with wrong arguments = %v, want %v", err, BadRequest)
	}
	if err := a.Do(t.Context(), 1, "still alive", &result); err != nil {
		t.Error(err)
	}
}

// TestClosedSession loses a session under calls in flight, from either side.
func TestClosedSession(t *testing.T) {
	t.Parallel()
	for _, ours := range []bool{true, false} {
		a, b := pair(t, echo{}, handler{call: func(Call) {}}) // which never answers
		result := make(chan error, 1)
		go func() {
			_, err := a.ask(t.Context(), &Request{}, long)
			result <- err
		}()
		for inFlight(a.calls) == 0 {
			time.Sleep(time.Millisecond)
		}
		want := Unreachable
		if ours {
			a.Close()
			want = Closed
		} else {
			b.Close()
		}
		if err := <-result; !errors.Is(err, want) {
			t.Errorf("ours %v: call in flight = %v, want %v", ours, err, want)
		}
		<-a.Done()
		_, err := a.ask(t.Context(), &Request{}, long)
		if e, ok := errors.AsType[*Error](err); !ok || e.Outcome != NotRun {
			t.Errorf("ours %v: call after the end = %v, want outcome not run", ours, err)
		}
	}
}

// TestStuckPeer stops the bytes between two sessions, as SIGSTOP of one does: calls fail
// within the time of the keepalive, and Close does not wait for the other.
func TestStuckPeer(t *testing.T) { bubble(t, testStuckPeer) }

func testStuckPeer(t *testing.T) {
	var w freezer
	session := func() *Session {
		near, far := w.pipe()
		s, _ := connect(t, near, far, maxVersion, echo{}, echo{})
		return s
	}
	called, unused := session(), session()
	if _, err := called.ask(t.Context(), &Request{}, long); err != nil {
		t.Fatal(err)
	}
	w.frozen.Store(true)
	start := time.Now()
	unused.Close()
	if took := time.Since(start); took > 0 {
		t.Errorf("Close waits %v for a stuck peer", took)
	}
	_, err := called.ask(t.Context(), &Request{}, long)
	if took := time.Since(start); !errors.Is(err, Unreachable) || took > keepAliveInterval+giveUp {
		t.Errorf("call to a stuck peer = %v after %v", err, took)
	}
}

func TestCancelCause(t *testing.T) {
	t.Parallel()
	a, _ := pair(t, echo{}, handler{call: func(Call) {}})
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(10*time.Millisecond, func() { cancel(errors.New("a reason of one's own")) })
	if _, err := a.ask(ctx, &Request{}, long); !errors.Is(err, context.Canceled) {
		t.Errorf("call = %v, want %v", err, context.Canceled)
	}
}

// TestMessagesCross has calls bring messages: those with none, small ones and the
// largest, many at once, some given up.
func TestMessagesCross(t *testing.T) { bubble(t, testMessagesCross) }

func testMessagesCross(t *testing.T) {
	a, _ := piped(t, echo{}, handler{call: func(c Call) {
		c.Reply(&Reply{Data: c.Request.Data, IsInt: c.Request.IsInt, Type: c.Request.Type, Node: fmt.Sprint(c.Request.IsCall, c.Request.Trace)})
	}})
	given, cancel := context.WithCancel(t.Context())
	cancel()
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			r := Request{Num: int64(i), IsCall: i%3 != 2}
			switch i % 3 {
			case 0:
				r.Data, r.IsInt = strconv.Itoa(i), true
			case 1:
				r.Data, r.Type = strings.Repeat("x", i*100), "text/plain"
			}
			if i%40 == 5 {
				r.Data, r.IsCall = strings.Repeat("y", MaxValue), true
			}
			if i%7 == 0 {
				r.Trace = "trace"
			}
			if i%10 == 1 {
				_, _ = a.ask(given, &r, long)
				return
			}
			got, err := a.ask(t.Context(), &r, long)
			if err != nil || got.Data != r.Data || got.IsInt != r.IsInt || got.Type != r.Type || got.Node != fmt.Sprint(r.IsCall, r.Trace) {
				t.Errorf("call %d came back as %d bytes, %v %q %q, %v", i, len(got.Data), got.IsInt, got.Type, got.Node, err)
			}
		})
	}
	wg.Wait()
	if _, err := a.ask(t.Context(), &Request{IsCall: true, Data: strings.Repeat("x", MaxValue+1)}, long); !errors.Is(err, BadRequest) {
		t.Errorf("too large a message: %v", err)
	}
}
