package registry

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// A diary notes what becomes of the servers of a test.
type diary struct {
	mu    sync.Mutex
	lines []string // guarded by mu
}

func (d *diary) note(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
}

// take returns what was noted since it was last called.
func (d *diary) take() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	text := strings.Join(d.lines, "; ")
	d.lines = nil
	return text
}

// A scribe is a server that appends its messages to what it holds. Some have it do something else.
type scribe struct {
	diary *diary
	id    worker.ID
	held  string
}

func (d *diary) start(_ context.Context, id worker.ID) (*scribe, error) {
	d.note("start %s", id)
	if id.String() == "none" {
		return nil, errors.New("no such tenant")
	}
	return &scribe{diary: d, id: id}, nil
}

func (s *scribe) Call(ctx context.Context, message string) (string, error) {
	what, arg, _ := strings.Cut(message, " ")
	switch what {
	case "sleep":
		d, _ := time.ParseDuration(arg)
		select {
		case <-time.After(d):
		case <-ctx.Done():
			s.diary.note("%v", ctx.Err())
			return "", ctx.Err()
		}
	case "ignore":
		time.Sleep(time.Second)
		return "", nil
	case "fail":
		return "", errors.New("failed")
	case "panic":
		panic(arg)
	case "exit":
		runtime.Goexit()
	}
	s.held += message + "."
	return s.held, nil
}

func (s *scribe) Terminate(_ context.Context, why worker.EndReason) {
	s.diary.note("end %s %s", s.id, why)
}

// inSerialBubble is inBubble for a serial kind, whose servers are scribes.
func inSerialBubble(t *testing.T, kind worker.Serial, test func(t *testing.T, r *Registry, d *diary)) {
	t.Helper()
	d := &diary{}
	kind.Open = worker.Serve(d.start)
	inBubble(t, kind, func(t *testing.T, r *Registry) { test(t, r, d) })
}

// tell sends a message and checks the answer.
func tell(t *testing.T, r *Registry, id, message, want string) {
	t.Helper()
	reply, err := r.await(t.Context(), mustID(id), worker.BytesValue(message), r.Now())
	if err != nil || reply.Value.String() != want || reply.Node != "1@h" || reply.Cached {
		t.Errorf("call(%s, %q) = %+v, %v; want %q", id, message, reply, err, want)
	}
}

// tellFails sends a message that fails.
func tellFails(t *testing.T, r *Registry, id, message string, want error, outcome wire.Outcome) {
	t.Helper()
	reply, err := r.await(t.Context(), mustID(id), worker.BytesValue(message), r.Now())
	if !errors.Is(err, want) || outcomeOf(err) != worker.Outcome(outcome) {
		t.Errorf("call(%s, %q) = %+v, %v (%v); want %v (%v)", id, message, reply, err, outcomeOf(err), want, outcome)
	}
}

func mustID(s string) worker.ID {
	id, err := worker.ParseID(s)
	if err != nil {
		panic(err)
	}
	return id
}

func (d *diary) expect(t *testing.T, want string) {
	t.Helper()
	synctest.Wait()
	if got := d.take(); got != want {
		t.Errorf("noted %q, want %q", got, want)
	}
}

func TestSerialExpiry(t *testing.T) {
	inSerialBubble(t, worker.Serial{TTL: 5 * time.Second}, func(t *testing.T, r *Registry, d *diary) {
		tell(t, r, "7", "a", "a.")
		time.Sleep(4 * time.Second)
		tell(t, r, "7", "b", "a.b.")
		tell(t, r, "8", "c", "c.")
		d.expect(t, "start 7; start 8")
		time.Sleep(time.Second + 2*coalesce)
		d.expect(t, "end 7 expired")
		tell(t, r, "7", "d", "d.")
		time.Sleep(10 * time.Second)
		d.expect(t, "start 7; end 8 expired; end 7 expired")
		if n := r.live(); n != 0 {
			t.Errorf("%d workers, want none", n)
		}
	})
}

// TestSerialExpiresWhileBusy has a server's time end while a message runs and another one waits: that is for the next server.
func TestSerialExpiresWhileBusy(t *testing.T) {
	inSerialBubble(t, worker.Serial{TTL: time.Second}, func(t *testing.T, r *Registry, d *diary) {
		var wg sync.WaitGroup
		wg.Go(func() { tell(t, r, "7", "sleep 2s", "sleep 2s.") })
		synctest.Wait()
		wg.Go(func() { tell(t, r, "7", "b", "b.") })
		wg.Wait()
		d.expect(t, "start 7; end 7 expired; start 7")
	})
}

func TestSerialExpiryIdleTTL(t *testing.T) {
	inSerialBubble(t, worker.Serial{IdleTTL: 5 * time.Second}, func(t *testing.T, r *Registry, d *diary) {
		want := ""
		for range 10 {
			want += "a."
			tell(t, r, "7", "a", want)
			time.Sleep(4 * time.Second)
		}
		for range 1000 {
			want += "a."
			tell(t, r, "7", "a", want)
		}
		s := r.shard(worker.IntID(7))
		s.mu.Lock()
		if n := len(s.expiry); n != 1 {
			t.Errorf("the worker is %d times in the heap", n)
		}
		s.mu.Unlock()
		time.Sleep(5*time.Second + 2*coalesce)
		d.expect(t, "start 7; end 7 expired")
	})
}

// TestSerialOrder has many callers at once: messages run one after the other, in order, and share one server.
func TestSerialOrder(t *testing.T) {
	inSerialBubble(t, worker.Serial{Timeout: time.Minute, TTL: time.Hour}, func(t *testing.T, r *Registry, _ *diary) {
		var wg sync.WaitGroup
		want := "sleep 10ms."
		wg.Go(func() { tell(t, r, "7", "sleep 10ms", "sleep 10ms.") })
		for i := range 50 {
			synctest.Wait()
			message := fmt.Sprintf("sleep %dus", 10+i)
			want += message + "."
			wg.Go(func() { tell(t, r, "7", message, want) })
		}
		wg.Wait()
		if n := r.admission.waiting.Load() + r.admission.bytes.Load(); n != 0 {
			t.Errorf("the room still holds %d", n)
		}
	})
}

func TestSerialErrors(t *testing.T) {
	inSerialBubble(t, worker.Serial{TTL: time.Hour, Timeout: 3 * time.Second}, func(t *testing.T, r *Registry, d *diary) {
		tell(t, r, "7", "a", "a.")
		tellFails(t, r, "7", "fail", wire.SourceFailed, wire.Ran)
		tell(t, r, "7", "b", "a.b.") // an error is an answer
		d.expect(t, "start 7")
		tellFails(t, r, "7", "panic oops", wire.Panicked, wire.Ran)
		d.expect(t, "end 7 crashed")
		tell(t, r, "7", "c", "c.")
		tellFails(t, r, "7", "exit", wire.Panicked, wire.Ran)
		tell(t, r, "7", "d", "d.")
		d.expect(t, "start 7; end 7 crashed; start 7")
		tellFails(t, r, "7", "sleep 4s", context.DeadlineExceeded, wire.Ran)
		tell(t, r, "7", "e", "d.e.")
		d.expect(t, "context deadline exceeded")
		tellFails(t, r, "none", "a", wire.SourceFailed, wire.NotRun)
		tellFails(t, r, "none", "a", wire.SourceFailed, wire.NotRun)
		d.expect(t, "start none; start none")
		if n := r.live(); n != 1 {
			t.Errorf("%d workers, want that of 7", n)
		}
	})
}

// TestSerialGiveUp has callers give up: one whose message waits, one whose message runs.
func TestSerialGiveUp(t *testing.T) {
	inSerialBubble(t, worker.Serial{TTL: time.Hour}, func(t *testing.T, r *Registry, d *diary) {
		call := func(message string, after time.Duration) chan error {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(after, cancel)
			done := make(chan error, 1)
			go func() {
				_, err := r.await(ctx, worker.IntID(7), worker.BytesValue(message), r.Now())
				done <- err
			}()
			synctest.Wait()
			return done
		}
		first := call("sleep 4s", 2*time.Second)
		second := call("second", time.Second)
		third := call("third", time.Hour)
		for _, c := range []struct {
			done    chan error
			outcome worker.Outcome
		}{{second, worker.OutcomeNotRun}, {first, worker.OutcomeUnknown}} {
			if err := <-c.done; !errors.Is(err, context.Canceled) || outcomeOf(err) != c.outcome {
				t.Errorf("%v (%v), want canceled (%v)", err, outcomeOf(err), c.outcome)
			}
		}
		if err := <-third; err != nil {
			t.Error(err)
		}
		d.expect(t, "start 7")
		tell(t, r, "7", "end", "sleep 4s.third.end.") // what has begun runs to its end
		if n := r.admission.waiting.Load() + r.admission.bytes.Load(); n != 0 {
			t.Errorf("the room still holds %d", n)
		}
	})
}

// TestSerialDeadlines has messages wait for longer than their callers do: they never run.
func TestSerialDeadlines(t *testing.T) {
	inSerialBubble(t, worker.Serial{TTL: time.Hour, Timeout: time.Minute}, func(t *testing.T, r *Registry, _ *diary) {
		answers := make(chan error, 3)
		post := func(message string, deadline time.Duration) {
			r.Enqueue(&Waiter{ID: worker.IntID(7), Message: worker.BytesValue(message), Deadline: r.Now() + deadline, Done: func(_ worker.Reply, err error) { answers <- err }}, r.Now())
			synctest.Wait()
		}
		post("sleep 10s", time.Minute)
		post("late", 9*time.Second) // and nobody withdraws it, as when a peer is paused
		post("early", 11*time.Second)
		for _, want := range []error{nil, context.DeadlineExceeded, nil} {
			if err := <-answers; !errors.Is(err, want) || err != nil && outcomeOf(err) != worker.OutcomeNotRun {
				t.Errorf("%v, want %v", err, want)
			}
		}
		tell(t, r, "7", "end", "sleep 10s.early.end.")
	})
}

func TestSerialOverload(t *testing.T) {
	inSerialBubble(t, worker.Serial{TTL: time.Hour, Queue: 2, Timeout: time.Hour}, func(t *testing.T, r *Registry, _ *diary) {
		post := func(id int64, message string) error {
			var failed error
			r.Enqueue(&Waiter{ID: worker.IntID(id), Message: worker.BytesValue(message), Deadline: r.Now() + time.Hour, Done: func(_ worker.Reply, err error) { failed = err }}, r.Now())
			synctest.Wait()
			return failed
		}
		for i, overloaded := range []bool{false, false, false, true} { // one runs, two wait
			if err := post(7, "sleep 1s"); errors.Is(err, wire.Overloaded) != overloaded {
				t.Errorf("message %d: %v", i, err)
			}
		}
		time.Sleep(10 * time.Second)
		large := "ignore " + strings.Repeat("x", wire.MaxValue-len("ignore "))
		for i := range int64(MaxMessages / wire.MaxValue) {
			r.admission.size = MaxMessages
			if err := post(10+i/2, large); err != nil {
				t.Fatalf("message %d: %v", i, err)
			}
		}
		if err := post(9999, "a"); !errors.Is(err, wire.Overloaded) {
			t.Errorf("one more: %v", err)
		}
		time.Sleep(10 * time.Second)
		if n := r.admission.waiting.Load() + r.admission.bytes.Load(); n != 0 {
			t.Errorf("the room still holds %d", n)
		}
	})
}

func TestSerialStop(t *testing.T) {
	inSerialBubble(t, worker.Serial{TTL: time.Hour}, func(t *testing.T, r *Registry, d *diary) {
		if r.Stop(worker.IntID(7)) {
			t.Error("a worker was stopped that never lived")
		}
		tell(t, r, "7", "a", "a.")
		if !r.Stop(worker.IntID(7)) {
			t.Error("no worker was stopped")
		}
		d.expect(t, "start 7; end 7 stopped")
		var wg sync.WaitGroup
		wg.Go(func() { tell(t, r, "7", "sleep 1s", "sleep 1s.") })
		synctest.Wait()
		wg.Go(func() { tell(t, r, "7", "b", "b.") })
		r.Stop(worker.IntID(7))
		wg.Wait()
		d.expect(t, "start 7; end 7 stopped; start 7")
	})
}

// TestSerialMoves has an id go to another node while a message runs and another one waits.
func TestSerialMoves(t *testing.T) {
	inSerialBubble(t, worker.Serial{TTL: time.Hour}, func(t *testing.T, r *Registry, d *diary) {
		hostOf(r).notOwner = func(id worker.ID) *wire.Error {
			if mu := &r.shard(id).mu; mu.TryLock() {
				mu.Unlock()
			} else {
				t.Error("the host is called under a lock")
			}
			return &wire.Error{Code: wire.NotOwner, Outcome: wire.NotRun}
		}
		tell(t, r, "8", "a", "a.")
		var wg sync.WaitGroup
		wg.Go(func() { tell(t, r, "7", "sleep 1s", "sleep 1s.") })
		synctest.Wait()
		wg.Go(func() { tellFails(t, r, "7", "b", wire.NotOwner, wire.NotRun) })
		synctest.Wait()
		r.Retain(func(worker.ID) bool { return false })
		d.expect(t, "start 8; start 7; end 8 moved")
		if r.Has(worker.IntID(8)) || !r.Has(worker.IntID(7)) {
			t.Error("want that of 7 only, until its call has ended")
		}
		wg.Wait()
		d.expect(t, "end 7 moved")
		if r.Has(worker.IntID(7)) {
			t.Error("7 lives on")
		}
	})
}

// TestSerialMovesBack has an id go and come back while a message runs: the server stays.
func TestSerialMovesBack(t *testing.T) {
	inSerialBubble(t, worker.Serial{TTL: time.Hour}, func(t *testing.T, r *Registry, d *diary) {
		var wg sync.WaitGroup
		wg.Go(func() { tell(t, r, "7", "sleep 1s", "sleep 1s.") })
		synctest.Wait()
		r.Retain(func(worker.ID) bool { return false })
		r.Retain(func(worker.ID) bool { return true })
		wg.Wait()
		tell(t, r, "7", "b", "sleep 1s.b.")
		d.expect(t, "start 7")
	})
}

// TestSerialClaim has the first message wait until the other nodes agree, and fail if they do not.
func TestSerialClaim(t *testing.T) {
	inSerialBubble(t, worker.Serial{TTL: time.Hour}, func(t *testing.T, r *Registry, d *diary) {
		claims := 0
		var refusal *wire.Error
		hostOf(r).claim = func(ctx context.Context, id worker.ID) *wire.Error {
			claims++
			d.note("claim %s", id)
			select {
			case <-time.After(time.Second):
				return refusal
			case <-ctx.Done():
				d.note("%v", ctx.Err())
				return wire.Ended(ctx.Err(), wire.NotRun)
			}
		}
		tell(t, r, "7", "a", "a.")
		tell(t, r, "7", "b", "a.b.")
		d.expect(t, "claim 7; start 7")
		refusal = &wire.Error{Code: wire.NotOwner, Outcome: wire.NotRun}
		tellFails(t, r, "8", "a", wire.NotOwner, wire.NotRun)
		d.expect(t, "claim 8")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		if _, err := r.await(ctx, worker.IntID(9), worker.Value{}, r.Now()); !errors.Is(err, context.DeadlineExceeded) || outcomeOf(err) != worker.OutcomeNotRun {
			t.Error(err)
		}
		d.expect(t, "claim 9; context canceled")
		if n := r.live(); n != 1 {
			t.Errorf("%d workers, want that of 7", n)
		}
	})
}

// TestSerialHold has a node stop serving: what runs ends, what comes waits, and is not run.
func TestSerialHold(t *testing.T) {
	inSerialBubble(t, worker.Serial{TTL: time.Hour}, func(t *testing.T, r *Registry, d *diary) {
		tell(t, r, "8", "a", "a.")
		var wg sync.WaitGroup
		wg.Go(func() { tell(t, r, "7", "sleep 1s", "sleep 1s.") })
		synctest.Wait()
		wg.Go(func() { tellFails(t, r, "7", "b", wire.Leaving, wire.NotRun) })
		synctest.Wait()
		start := time.Now()
		r.Quiesce(t.Context())
		if took := time.Since(start); took < time.Second || took > 1100*time.Millisecond {
			t.Errorf("held after %v", took)
		}
		wg.Go(func() { tellFails(t, r, "8", "c", wire.Leaving, wire.NotRun) })
		d.expect(t, "start 8; start 7; end 8 closing; end 7 closing")
		r.Release()
		wg.Wait()
		tell(t, r, "8", "d", "d.")
		d.expect(t, "start 8")
	})
}

func TestSerialClose(t *testing.T) {
	d := &diary{}
	synctest.Test(t, func(t *testing.T) {
		r := testRegistry(worker.Serial{TTL: time.Hour, Open: worker.Serve(d.start)}, "1@h", 100)
		tell(t, r, "8", "a", "a.")
		var wg sync.WaitGroup
		wg.Go(func() { tell(t, r, "7", "sleep 1s", "sleep 1s.") })
		synctest.Wait()
		wg.Go(func() { tell(t, r, "7", "b", "sleep 1s.b.") })
		synctest.Wait()
		if err := r.Close(t.Context()); err != nil {
			t.Error(err)
		}
		wg.Wait()
		tellFails(t, r, "7", "c", wire.Closed, wire.NotRun)
		d.expect(t, "start 8; start 7; end 8 closing; end 7 closing")
	})
}

// TestSerialCensus looks at a server that runs, and at one that rests.
func TestSerialCensus(t *testing.T) {
	inSerialBubble(t, worker.Serial{TTL: time.Minute}, func(t *testing.T, r *Registry, _ *diary) {
		tell(t, r, "8", "a", "a.")
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() { _, _ = r.await(t.Context(), worker.IntID(7), worker.BytesValue("sleep 2s"), r.Now()) })
		}
		time.Sleep(time.Second)
		list := r.Workers(10)
		slices.SortFunc(list, func(a, b worker.Info) int { return a.ID.Compare(b.ID) })
		want := []worker.Info{
			{Kind: "default", ID: worker.IntID(7), Node: "1@h", Age: time.Second, Queue: 2},
			{Kind: "default", ID: worker.IntID(8), Node: "1@h", Age: time.Second, TTL: 59 * time.Second, Hits: 1},
		}
		if !slices.Equal(list, want) {
			t.Errorf("workers = %+v, want %+v", list, want)
		}
		if st := r.Inspect(worker.IntID(7)); !st.Live || !st.Loading {
			t.Errorf("inspect(7) = %+v", st)
		}
		wg.Wait()
	})
}
