package registry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// inBubble runs a test in a bubble of false time with a registry of one kind.
func inBubble(t *testing.T, kind worker.Kind, test func(t *testing.T, r *Registry)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := testRegistry(kind, "1@h", 100)
		test(t, r)
		r.Close(t.Context())
	})
}

// TestAnswersAreCounted counts the answers that workers give: values, new and old, and
// errors.
func TestAnswersAreCounted(t *testing.T) {
	answer := func(id worker.ID) (worker.Value, error) {
		if id == worker.IntID(13) {
			return worker.Value{}, errors.New("13")
		}
		return worker.IntValue(1), nil
	}
	source := func(_ context.Context, id worker.ID) (worker.Value, error) { return answer(id) }
	for name, kind := range map[string]worker.Kind{
		"load":   worker.Cache{TTL: time.Hour, Load: source},
		"inline": worker.Cache{TTL: time.Hour, Load: source, Inline: true},
		"serial": worker.Serial{TTL: time.Hour, Open: func(_ context.Context, id worker.ID) (worker.Server, error) {
			return serverFunc(func(context.Context, worker.Value) (worker.Value, error) { return answer(id) }), nil
		}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, kind, func(t *testing.T, r *Registry) {
				for _, id := range []int64{1, 1, 13, 2, 13} {
					_, _ = r.request(t.Context(), worker.IntID(id))
				}
				if _, answers, _ := r.Count(); answers != 5 {
					t.Errorf("%d answers, want 5", answers)
				}
			})
		})
	}
}

// blockingKinds are two kinds whose runs take until their contexts end.
func blockingKinds() map[string]worker.Kind {
	block := func(ctx context.Context) (worker.Value, error) { <-ctx.Done(); return worker.Value{}, ctx.Err() }
	return map[string]worker.Kind{
		"load": worker.Cache{Timeout: time.Hour, Load: func(ctx context.Context, _ worker.ID) (worker.Value, error) { return block(ctx) }},
		"serial": worker.Serial{Timeout: time.Hour, Open: func(context.Context, worker.ID) (worker.Server, error) {
			return serverFunc(func(ctx context.Context, _ worker.Value) (worker.Value, error) { return block(ctx) }), nil
		}},
	}
}

// TestCallersHaveDeadlines has callers without a deadline wait for a worker that takes
// long: each gives up in time.
func TestCallersHaveDeadlines(t *testing.T) {
	for name, kind := range blockingKinds() {
		t.Run(name, func(t *testing.T) {
			inBubble(t, kind, func(t *testing.T, r *Registry) {
				_, err := r.await(context.Background(), worker.IntID(1), worker.Value{}, r.Now())
				if took := r.Now(); !errors.Is(err, context.DeadlineExceeded) || took != worker.DefaultTimeout {
					t.Errorf("%v after %v, want a timeout after %v", err, took, worker.DefaultTimeout)
				}
			})
		})
	}
}

// counter is a source that counts its runs: the first value is 1.
func counter() worker.Source {
	var runs atomic.Int64
	return func(context.Context, worker.ID) (worker.Value, error) { return worker.IntValue(runs.Add(1)), nil }
}

// request answers from the worker of id, which it starts if there is none.
func (r *Registry) request(ctx context.Context, id worker.ID) (worker.Reply, error) {
	now := r.Now()
	var reply worker.Reply
	if r.Lookup(id, now, false, &reply) {
		return reply, nil
	}
	return r.await(ctx, id, worker.Value{}, now)
}

func (r *Registry) live() int {
	n, _, _ := r.Count()
	return n
}

// expect asks for an id and checks value and whether it was cached.
func expect(t *testing.T, r *Registry, id int64, value string, cached bool) worker.Reply {
	t.Helper()
	reply, err := r.request(t.Context(), worker.IntID(id))
	if err != nil || reply.Value.String() != value || reply.Cached != cached || reply.Node != "1@h" {
		t.Errorf("request(%d) = %+v, %v; want %s, cached %v", id, reply, err, value, cached)
	}
	return reply
}

func TestExpiry(t *testing.T) {
	inBubble(t, worker.Cache{Load: counter(), TTL: 5 * time.Second}, func(t *testing.T, r *Registry) {
		expect(t, r, 7, "1", false)
		time.Sleep(4 * time.Second)
		expect(t, r, 8, "2", false)
		reply := expect(t, r, 7, "1", true)
		if reply.Age != 4*time.Second || reply.TTL != time.Second {
			t.Errorf("age %v, TTL %v; want 4s and 1s", reply.Age, reply.TTL)
		}
		time.Sleep(time.Second - 1)
		expect(t, r, 7, "1", true)
		time.Sleep(time.Nanosecond)
		expect(t, r, 7, "3", false) // to the nanosecond
		time.Sleep(4*time.Second + 2*coalesce)
		if n := r.live(); n != 1 {
			t.Errorf("%d workers live, want only that of 7: nobody asked for 8 again", n)
		}
		time.Sleep(time.Second + 2*coalesce)
		if n := r.live(); n != 0 {
			t.Errorf("%d workers live, want none", n)
		}
	})
}

func TestExpiryIdleTTL(t *testing.T) {
	inBubble(t, worker.Cache{Load: counter(), IdleTTL: 5 * time.Second}, func(t *testing.T, r *Registry) {
		expect(t, r, 7, "1", false)
		for range 10 {
			time.Sleep(4 * time.Second)
			expect(t, r, 7, "1", true)
		}
		time.Sleep(5*time.Second + 2*coalesce)
		if n := r.live(); n != 0 {
			t.Errorf("%d workers live, want none", n)
		}
		expect(t, r, 7, "2", false)
	})
}

// TestSharedLoad has many callers ask at once: one run, one answer.
func TestSharedLoad(t *testing.T) {
	var runs atomic.Int32
	slow := func(context.Context, worker.ID) (worker.Value, error) {
		time.Sleep(time.Second)
		return worker.IntValue(int64(runs.Add(1))), nil
	}
	inBubble(t, worker.Cache{Load: slow}, func(t *testing.T, r *Registry) {
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() { expect(t, r, 7, "1", false) })
		}
		wg.Wait()
		if n := runs.Load(); n != 1 {
			t.Errorf("%d runs, want 1", n)
		}
	})
}

// TestCallersCancel has the callers of one load give up: the others keep it, the last one
// cancels it.
func TestCallersCancel(t *testing.T) {
	var canceled atomic.Bool
	slow := func(ctx context.Context, _ worker.ID) (worker.Value, error) {
		select {
		case <-time.After(time.Second):
			return worker.IntValue(1), nil
		case <-ctx.Done():
			canceled.Store(true)
			return worker.Value{}, ctx.Err()
		}
	}
	inBubble(t, worker.Cache{Load: slow}, func(t *testing.T, r *Registry) {
		first, cancelFirst := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := r.request(first, worker.IntID(7)); !errors.Is(err, context.Canceled) {
				t.Errorf("first caller: %v", err)
			}
		})
		wg.Go(func() {
			synctest.Wait()
			expect(t, r, 7, "1", false)
		})
		time.Sleep(time.Millisecond)
		cancelFirst()
		wg.Wait()
		if canceled.Load() {
			t.Error("the first caller's cancellation cancelled the load of the second")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := r.request(ctx, worker.IntID(8))
		if !errors.Is(err, context.DeadlineExceeded) || outcomeOf(err) != worker.OutcomeUnknown {
			t.Errorf("last caller: %v, %v", err, outcomeOf(err))
		}
		synctest.Wait()
		if !canceled.Load() || r.live() != 1 || r.admission.waiting.Load() != 0 {
			t.Errorf("the load that nobody waits for: canceled %v, workers %d, waiting %d", canceled.Load(), r.live(), r.admission.waiting.Load())
		}
	})
}

// TestRunsNeverOverlap cancels a load whose source does not listen, and asks again: the
// next run begins when the first has ended.
func TestRunsNeverOverlap(t *testing.T) {
	var running, runs atomic.Int32
	deaf := func(context.Context, worker.ID) (worker.Value, error) {
		if running.Add(1) > 1 {
			t.Error("two runs of one id overlap")
		}
		time.Sleep(time.Second)
		running.Add(-1)
		return worker.IntValue(int64(runs.Add(1))), nil
	}
	inBubble(t, worker.Cache{Load: deaf}, func(t *testing.T, r *Registry) {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		r.request(ctx, worker.IntID(7))
		short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := r.request(short, worker.IntID(7))
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		expect(t, r, 7, "2", false)
	})
}

func TestErrorsAndPanics(t *testing.T) {
	fail := errors.New("no such tenant")
	source := func(_ context.Context, id worker.ID) (worker.Value, error) {
		switch id.String() {
		case "1":
			return worker.Value{}, fail
		case "2":
			panic("division by tenant")
		case "3":
			runtime.Goexit()
		case "4":
			return worker.BytesValue(strings.Repeat("x", wire.MaxValue+1)), nil
		}
		return worker.IntValue(1), nil
	}
	inBubble(t, worker.Cache{Load: source}, func(t *testing.T, r *Registry) {
		for id, want := range map[int64]struct {
			err  error
			text string
		}{1: {wire.SourceFailed, "no such tenant"}, 2: {wire.Panicked, "division by tenant"}, 3: {wire.Panicked, "goroutine"}, 4: {wire.SourceFailed, "limit"}} {
			_, err := r.request(t.Context(), worker.IntID(id))
			if !errors.Is(err, want.err) || !strings.Contains(err.Error(), want.text) || outcomeOf(err) != worker.OutcomeRan {
				t.Errorf("request(%d) = %v, outcome %v; want %v: %s", id, err, outcomeOf(err), want.err, want.text)
			}
		}
		if n := r.live(); n != 0 {
			t.Errorf("%d workers live after errors, want none", n)
		}
		expect(t, r, 5, "1", false)
	})
}

func TestCachedErrors(t *testing.T) {
	var runs atomic.Int32
	source := func(context.Context, worker.ID) (worker.Value, error) {
		return worker.Value{}, fmt.Errorf("failure %d", runs.Add(1))
	}
	inBubble(t, worker.Cache{Load: source, ErrorTTL: time.Second}, func(t *testing.T, r *Registry) {
		for range 3 {
			if _, err := r.request(t.Context(), worker.IntID(7)); err == nil || !strings.Contains(err.Error(), "failure 1") {
				t.Errorf("request = %v, want the first failure", err)
			}
		}
		time.Sleep(time.Second)
		if _, err := r.request(t.Context(), worker.IntID(7)); err == nil || !strings.Contains(err.Error(), "failure 2") {
			t.Errorf("request = %v, want the second failure", err)
		}
	})
}

func TestOverload(t *testing.T) {
	slow := func(context.Context, worker.ID) (worker.Value, error) {
		time.Sleep(time.Second)
		return worker.IntValue(1), nil
	}
	inBubble(t, worker.Cache{Load: slow, Queue: 10}, func(t *testing.T, r *Registry) {
		var overloaded, answered atomic.Int32
		var wg sync.WaitGroup
		ask := func(id int64) {
			switch _, err := r.request(t.Context(), worker.IntID(id)); {
			case err == nil:
				answered.Add(1)
			case errors.Is(err, wire.Overloaded) && outcomeOf(err) == worker.OutcomeNotRun:
				overloaded.Add(1)
			default:
				t.Error(err)
			}
		}
		for range 12 { // 2 more than may wait for one id
			wg.Go(func() { ask(-1) })
		}
		wg.Wait()
		for i := range 103 { // 3 more than may wait on the node
			wg.Go(func() { ask(int64(i)) })
		}
		wg.Wait()
		if overloaded.Load() != 5 || answered.Load() != 110 {
			t.Errorf("%d overloaded, %d answered; want 5 and 110", overloaded.Load(), answered.Load())
		}
		if n := r.admission.waiting.Load(); n != 0 {
			t.Errorf("%d waiting at the end", n)
		}
	})
}

func TestSourceTimeout(t *testing.T) {
	slow := func(ctx context.Context, _ worker.ID) (worker.Value, error) {
		<-ctx.Done()
		return worker.Value{}, ctx.Err()
	}
	inBubble(t, worker.Cache{Load: slow, Timeout: time.Second}, func(t *testing.T, r *Registry) {
		start := time.Now()
		_, err := r.request(t.Context(), worker.IntID(7))
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("request = %v after %v", err, time.Since(start))
		}
	})
}

// TestRetain moves ids away, one while it loads: its callers get their answer, and the
// worker goes.
func TestRetain(t *testing.T) {
	slow := func(context.Context, worker.ID) (worker.Value, error) {
		time.Sleep(time.Second)
		return worker.IntValue(1), nil
	}
	inBubble(t, worker.Cache{Load: slow}, func(t *testing.T, r *Registry) {
		expect(t, r, 1, "1", false)
		expect(t, r, 2, "1", false)
		var wg sync.WaitGroup
		wg.Go(func() { expect(t, r, 3, "1", false) })
		synctest.Wait()
		r.Retain(func(id worker.ID) bool { return id == worker.IntID(1) })
		wg.Wait()
		if infos := r.Workers(10); len(infos) != 1 || infos[0].ID != worker.IntID(1) {
			t.Errorf("workers %+v, want only that of 1", infos)
		}
	})
}

func TestCloseRegistry(t *testing.T) {
	slow := func(ctx context.Context, id worker.ID) (worker.Value, error) {
		if id == worker.IntID(1) {
			time.Sleep(time.Second)
			return worker.IntValue(1), nil
		}
		<-ctx.Done()
		return worker.Value{}, ctx.Err()
	}
	synctest.Test(t, func(t *testing.T) {
		r := testRegistry(worker.Cache{Load: slow, Timeout: time.Hour}, "1@h", 100)
		var wg sync.WaitGroup
		wg.Go(func() { expect(t, r, 1, "1", false) })
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			if _, err := r.request(ctx, worker.IntID(2)); err == nil {
				t.Error("a call that did not finish in time has an answer")
			}
		})
		synctest.Wait()
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		r.Close(ctx)
		wg.Wait()
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("close took %v, want 3s", took)
		}
		if _, err := r.request(t.Context(), worker.IntID(3)); !errors.Is(err, wire.Closed) || outcomeOf(err) != worker.OutcomeNotRun {
			t.Errorf("request after close = %v", err)
		}
	})
}

// TestNoCallLostAtExpiry hammers one id while its worker expires all the time: every call
// has an answer, no two runs overlap, and no answer is older than its worker may be.
func TestNoCallLostAtExpiry(t *testing.T) {
	const ttl = 200 * time.Microsecond
	var running, runs atomic.Int32
	source := func(context.Context, worker.ID) (worker.Value, error) {
		if running.Add(1) > 1 {
			t.Error("two runs overlap")
		}
		defer running.Add(-1)
		return worker.IntValue(int64(runs.Add(1))), nil
	}
	r := testRegistry(worker.Cache{Load: source, TTL: ttl}, "1@h", 1<<16)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			last := int64(0)
			for range 20_000 {
				reply, err := r.request(t.Context(), worker.IntID(7))
				if err != nil {
					t.Errorf("a call is lost: %v", err)
					return
				}
				n, _ := reply.Value.Int()
				if n < last {
					t.Errorf("answer of run %d after that of run %d", n, last)
				}
				last = n
				if reply.Cached && reply.Age >= ttl {
					t.Errorf("a cached answer is %v old", reply.Age)
				}
			}
		})
	}
	wg.Wait()
	r.Close(t.Context())
	t.Logf("%d runs", runs.Load())
	if runs.Load() < 10 {
		t.Errorf("%d runs: the worker did not expire", runs.Load())
	}
}

// TestCompareBeforeDelete ends a load whose worker has a successor: the successor stays.
func TestCompareBeforeDelete(t *testing.T) {
	inBubble(t, worker.Cache{Load: counter()}, func(t *testing.T, r *Registry) {
		expect(t, r, 7, "1", false)
		s := r.shard(worker.IntID(7))
		s.mu.Lock()
		old := &entry{id: worker.IntID(7), cached: cached{policy: r.cache.policy.Load(), load: &load{}}}
		s.addRunningLocked(old)
		s.mu.Unlock()
		r.cache.finish(s, old, "", worker.Value{}, &wire.Error{Code: wire.SourceFailed})
		expect(t, r, 7, "1", true)
		s.mu.Lock()
		s.expiry.push(0, &entry{id: worker.IntID(7), cached: cached{policy: r.cache.policy.Load()}}) // expired long ago
		s.mu.Unlock()
		r.sweep()
		expect(t, r, 7, "1", true)
	})
}

func TestExpiryHeap(t *testing.T) {
	var h expiryHeap
	for i := range 1000 {
		at := time.Duration(i * 7919 % 1000)
		h.push(at, &entry{expires: at})
	}
	for i := range 1000 {
		if w := h.pop(); w.expires != time.Duration(i) {
			t.Fatalf("worker %d expires at %d", i, w.expires)
		}
	}
	if len(h) != 0 {
		t.Errorf("%d left", len(h))
	}
}

// orRandom returns a kind that answers, if only with random numbers.
func orRandom(kind worker.Kind) worker.Kind {
	if c, ok := kind.(worker.Cache); ok && c.Load == nil {
		c.Load, c.Inline = worker.RandomSource, true
		return c
	}
	return kind
}

// testRegistry returns a registry of the default kind, in which so many calls may wait.
func testRegistry(kind worker.Kind, node string, waiting int64) *Registry {
	return New(Config{
		Name: worker.DefaultKind, Kind: orRandom(kind), Node: node, Host: &fakeHost{}, Admission: &Admission{size: waiting}, Values: new(Values),
		Logger: slog.New(slog.DiscardHandler),
	})
}

// A fakeHost does what its functions say, and nothing if they are nil.
type fakeHost struct {
	handOff  func([]Answer)
	claim    func(context.Context, worker.ID) *wire.Error
	stood    func() uint64
	notOwner func(worker.ID) *wire.Error
}

// hostOf returns the host of a registry of [testRegistry].
func hostOf(r *Registry) *fakeHost { return r.host.(*fakeHost) }

func (h *fakeHost) HandOff(list []Answer) {
	if h.handOff != nil {
		h.handOff(list)
	}
}

func (h *fakeHost) Claim(ctx context.Context, k worker.Key) *wire.Error {
	if h.claim == nil {
		return nil
	}
	return h.claim(ctx, k.ID)
}

func (h *fakeHost) Standstills() uint64 {
	if h.stood == nil {
		return 0
	}
	return h.stood()
}

func (h *fakeHost) NotOwner(id worker.ID) *wire.Error {
	if h.notOwner == nil {
		return &wire.Error{Code: wire.NotOwner, Outcome: wire.NotRun}
	}
	return h.notOwner(id)
}

// TestClosedRegistryIsForgotten closes a registry whose worker lives on: no timer keeps
// it in memory.
func TestClosedRegistryIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := testRegistry(worker.Cache{Load: func(context.Context, worker.ID) (worker.Value, error) { return worker.IntValue(1), nil }, TTL: time.Hour}, "1@h", 100)
		if _, err := r.request(t.Context(), worker.IntID(1)); err != nil {
			t.Fatal(err)
		}
		if err := r.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if r.sweeper.timer == nil || r.sweeper.timer.Stop() {
			t.Error("a timer goes on")
		}
	})
}
