package registry

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// quickServers returns a registry of servers that do what serve does, the ids of some of
// them that share a shard, and a function that sends messages there. All have been quick
// so far.
func quickServers(
	t *testing.T, serve func(message string) error,
) (r *Registry, ids []worker.ID, send func(worker.ID, string) <-chan error) {
	r = testRegistry(worker.Serial{TTL: worker.Forever, Timeout: time.Minute, Open: func(context.Context, worker.ID) (worker.Server, error) {
		return serverFunc(func(_ context.Context, message worker.Value) (worker.Value, error) {
			return message, serve(message.String())
		}), nil
	}}, "1@h", 1000)
	send = func(id worker.ID, message string) <-chan error {
		done := make(chan error, 1)
		r.Enqueue(&Waiter{
			ID: id, Message: worker.BytesValue(message), Deadline: r.Now() + time.Minute,
			To: answerFunc(func(err error) { done <- err }), Async: message != "block alone",
		}, r.Now())
		return done
	}
	for i := int64(0); len(ids) < 20; i++ {
		if id := worker.IntID(i); r.shard(id) == r.shard(worker.IntID(0)) {
			ids = append(ids, id)
			for range 2 {
				if err := <-send(id, "quick"); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	synctest.Wait()
	return r, ids, send
}

// TestQuickRunsShareRunners has more messages come than there are processors: while they
// are quick there is a goroutine for each processor. When they block, all run after a
// moment, and for some time the next ones do at once.
func TestQuickRunsShareRunners(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var begun atomic.Int64
		release := make(chan struct{})
		r, ids, send := quickServers(t, func(message string) error {
			if message != "quick" {
				begun.Add(1)
				<-release
			}
			return nil
		})
		var answers []<-chan error
		unblock := func() {
			close(release)
			synctest.Wait()
			release = make(chan struct{})
			for _, done := range answers {
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
			begun.Store(0)
			answers = nil
		}
		expect := func(want int) {
			t.Helper()
			synctest.Wait()
			if n := begun.Load(); n != int64(want) {
				t.Errorf("%d messages have begun, want %d", n, want)
			}
		}
		few := runtime.GOMAXPROCS(0)
		for _, id := range ids[:10] {
			answers = append(answers, send(id, "block"))
		}
		expect(min(few, 10))
		time.Sleep(watchEvery + 1)
		expect(min(few, 10))
		time.Sleep(watchEvery)
		expect(10)
		for _, id := range ids[10:15] {
			answers = append(answers, send(id, "block"))
		}
		expect(15)
		time.Sleep(directTime + 1)
		for _, id := range ids[15:] {
			answers = append(answers, send(id, "block"))
		}
		expect(15 + min(few, 5))
		unblock()
		r.runners.mu.Lock()
		if n := r.runners.quick; n != 0 {
			t.Errorf("%d runners of quick runs are left", n)
		}
		r.runners.mu.Unlock()

		for _, id := range ids { // their shard has had messages that were not quick
			answers = append(answers, send(id, "block"))
		}
		expect(20)
		unblock()

		for range quickStreak {
			if err := <-send(ids[0], "quick"); err != nil {
				t.Error(err)
			}
		}
		for _, id := range ids[:10] { // whose senders wait, and have nothing else to do
			answers = append(answers, send(id, "block alone"))
		}
		expect(10)
		unblock()
		if err := r.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestQuickRunsOfNewServers has messages come for servers that have yet to be made, which
// may take long.
func TestQuickRunsOfNewServers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, ids, send := quickServers(t, func(string) error { return nil })
		release := make(chan struct{})
		var open atomic.Int64
		kind := worker.Serial{TTL: worker.Forever, Open: func(context.Context, worker.ID) (worker.Server, error) {
			open.Add(1)
			<-release
			return serverFunc(func(_ context.Context, message worker.Value) (worker.Value, error) { return message, nil }), nil
		}}
		r.SetKind(kind)
		for _, id := range ids {
			r.Stop(id)
		}
		synctest.Wait()
		var answers []<-chan error
		for _, id := range ids {
			answers = append(answers, send(id, "quick"))
		}
		synctest.Wait()
		if n := open.Load(); n != int64(len(ids)) {
			t.Errorf("%d servers are being made, want %d", n, len(ids))
		}
		close(release)
		for _, done := range answers {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if err := r.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestQuickRunEndsGoroutine has servers end the goroutines that serve others, too.
func TestQuickRunEndsGoroutine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		r, ids, send := quickServers(t, func(message string) error {
			switch message {
			case "exit":
				<-release
				runtime.Goexit()
			case "fail":
				return errors.New("failed")
			}
			return nil
		})
		var exits, answers []<-chan error
		for range 2 { // all runners end
			for _, id := range ids[:min(runtime.GOMAXPROCS(0), 10)] {
				exits = append(exits, send(id, "exit"))
			}
		}
		for _, id := range ids[10:] {
			answers = append(answers, send(id, "quick"), send(id, "fail"))
		}
		start := time.Now()
		close(release)
		for _, done := range exits {
			if err := <-done; !errors.Is(err, wire.Panicked) {
				t.Errorf("the answer is %v, want %v", err, wire.Panicked)
			}
		}
		for i, done := range answers {
			if err := <-done; (err != nil) != (i%2 == 1) {
				t.Errorf("answer %d: %v", i, err)
			}
		}
		if time.Since(start) != 0 {
			t.Error("what waited had to wait")
		}
		if err := r.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestQuickRunsKeepServersSerial has many callers use few servers: no two messages of one
// run at a time, and none is lost.
func TestQuickRunsKeepServersSerial(t *testing.T) {
	t.Parallel()
	const servers, calls = 20, 200
	var running [servers]atomic.Int64
	var total atomic.Int64
	r := testRegistry(worker.Serial{TTL: worker.Forever, Open: func(_ context.Context, id worker.ID) (worker.Server, error) {
		return serverFunc(func(context.Context, worker.Value) (worker.Value, error) {
			if running[num(id)].Add(1) != 1 {
				t.Errorf("two messages of %s run at a time", id)
			}
			if total.Add(1)%100 == 0 {
				time.Sleep(time.Millisecond) // not all are quick
			}
			running[num(id)].Add(-1)
			return worker.Value{}, nil
		}), nil
	}}, "1@h", servers*calls)
	var wg sync.WaitGroup
	for range calls {
		for id := range int64(servers) {
			wg.Add(1)
			r.Enqueue(&Waiter{ID: worker.IntID(id), Deadline: r.Now() + time.Minute, Async: true, To: answerFunc(func(err error) {
				if err != nil {
					t.Error(err)
				}
				wg.Done()
			})}, r.Now())
		}
		runtime.Gosched()
	}
	wg.Wait()
	if total.Load() != servers*calls {
		t.Errorf("%d messages have run, want %d", total.Load(), servers*calls)
	}
	if err := r.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestSlowQueue has many messages wait that take 0.9 ms each, which is neither quick nor
// long: they get goroutines of their own all the same.
func TestSlowQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var slow atomic.Bool
		r := testRegistry(worker.Serial{TTL: worker.Forever, Timeout: time.Minute, Open: func(context.Context, worker.ID) (worker.Server, error) {
			return serverFunc(func(_ context.Context, m worker.Value) (worker.Value, error) {
				if slow.Load() {
					time.Sleep(900 * time.Microsecond)
				}
				return m, nil
			}), nil
		}}, "1@h", 10_000)
		const calls = 2000
		done := make(chan error, calls)
		burst := func() {
			for i := range int64(calls) {
				r.Enqueue(&Waiter{
					ID: worker.IntID(i), Async: true, Deadline: r.Now() + time.Minute, To: answerFunc(func(err error) { done <- err }),
				}, r.Now())
			}
			for range calls {
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
		}
		burst() // which makes the servers
		burst()
		slow.Store(true)
		start := time.Now()
		burst()
		if took := time.Since(start); took > 3*time.Millisecond {
			t.Errorf("the last one was answered after %v", took)
		}
		if err := r.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestIdleRunnersKeepNothing drops the worker that a goroutine has loaded: the goroutine,
// which waits for its next run, does not keep it in memory.
func TestIdleRunnersKeepNothing(t *testing.T) {
	r := testRegistry(worker.Cache{TTL: time.Hour, Load: func(context.Context, worker.ID) (worker.Value, error) {
		time.Sleep(time.Millisecond)
		return worker.IntValue(1), nil
	}}, "1@h", 10)
	defer r.Close(t.Context())
	if _, err := r.request(t.Context(), worker.IntID(7)); err != nil {
		t.Fatal(err)
	}
	s := r.shard(worker.IntID(7))
	s.mu.Lock()
	w := weak.Make(s.workers.get(worker.IntID(7)))
	s.mu.Unlock()
	r.Retain(nothing)
	s.mu.Lock()
	s.expiry = nil // which has it until its time would have come
	s.mu.Unlock()
	r.wg.Wait()
	for range 100 { // until the goroutine has come to rest
		if runtime.GC(); w.Value() == nil {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Error("an idle goroutine keeps the worker of its last run")
}
