package node

import (
	"context"
	"errors"
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

// A watched server notes when two of them run at once. It runs for a while, or until its context ends.
type watched struct {
	running, overlap *atomic.Int32
	d                time.Duration
}

func (s watched) Call(ctx context.Context, m worker.Value) (worker.Value, error) {
	if s.running.Add(1) > 1 {
		s.overlap.Add(1)
	}
	defer s.running.Add(-1)
	sleep(ctx, s.d)
	return m, nil
}

// TestSerialRefusedCallersGiveUp has many callers whose time is up just as the server comes to them.
func TestSerialRefusedCallersGiveUp(t *testing.T) {
	r := testRegistry(worker.Kind{Serial: func(context.Context, worker.ID) (worker.Server, error) {
		return watched{new(atomic.Int32), new(atomic.Int32), time.Millisecond}, nil
	}}, "1@h", 10_000)
	for range 20 {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		var wg sync.WaitGroup
		for range 500 {
			wg.Go(func() { _, _ = r.await(ctx, worker.IntID(7), worker.Value{}, r.now()) })
		}
		wg.Wait()
		cancel()
	}
	if err := r.close(t.Context()); err != nil {
		t.Error(err)
	}
	if n := r.room.waiting.Load(); n != 0 {
		t.Errorf("%d wait", n)
	}
}

// TestSerialRefusedThenWithdrawn is the same without luck: a caller gives up after it was taken out, and before it is told.
func TestSerialRefusedThenWithdrawn(t *testing.T) {
	r := testRegistry(worker.Kind{Serial: func(context.Context, worker.ID) (worker.Server, error) { return echoServer{}, nil }}, "1@h", 100)
	s := r.shard(worker.IntID(7))
	w := &entry{id: worker.IntID(7), kind: r.kind.Load(), mail: &mailbox{busy: true}}
	told := 0
	c := &waiter{id: worker.IntID(7), done: func(worker.Reply, error) { told++ }}
	r.room.enter(c)
	w.mail.add(w, c)
	s.mu.Lock()
	refused, why := r.refuseLocked(s, w) // its deadline, 0, has passed
	s.mu.Unlock()
	r.withdraw(c, context.DeadlineExceeded)
	r.refuse(refused, why)
	if told != 1 || r.room.waiting.Load() != 0 {
		t.Errorf("told %d times, %d wait", told, r.room.waiting.Load())
	}
}

// TestSerialCallerUsedAgain has a caller give up while the server of its id is made, and call for another id, with the same waiter.
func TestSerialCallerUsedAgain(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // the pool gives back what it was given last
	free := map[worker.ID]chan struct{}{worker.IntID(1): make(chan struct{}), worker.IntID(2): make(chan struct{})}
	making, got := make(chan worker.ID, 2), make(chan string, 10)
	r := testRegistry(worker.Kind{TTL: time.Hour, Serial: func(_ context.Context, id worker.ID) (worker.Server, error) {
		making <- id
		<-free[id]
		return noting{id, got}, nil
	}}, "1@h", 100)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 2)
	call := func(ctx context.Context, id int64, message string) {
		go func() {
			_, err := r.await(ctx, worker.IntID(id), worker.BytesValue(message), r.now())
			done <- err
		}()
		<-making
	}
	call(ctx, 1, "pay 1 from account 1")
	cancel()
	if err := <-done; OutcomeOf(err) != worker.OutcomeUnknown {
		t.Error(err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	call(ctx, 2, "pay 1000 from account 2")
	close(free[worker.IntID(1)])
	if s := <-got; s != "1 got pay 1 from account 1" {
		t.Errorf("server %s", s)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	close(free[worker.IntID(2)])
	if s := <-got; s != "2 got pay 1000 from account 2" {
		t.Errorf("server %s", s)
	}
	if err := r.close(t.Context()); err != nil {
		t.Error(err)
	}
}

type noting struct {
	id  worker.ID
	got chan string
}

func (s noting) Call(_ context.Context, m worker.Value) (worker.Value, error) {
	s.got <- s.id.String() + " got " + m.String()
	return m, nil
}

// TestSerialQueueOfThoseWhoGaveUp has a great many callers give up while a message runs: they leave nothing behind, and those who
// stay are answered in their order.
func TestSerialQueueOfThoseWhoGaveUp(t *testing.T) {
	inSerialBubble(t, worker.Kind{TTL: time.Hour, Timeout: time.Hour}, func(t *testing.T, r *registry, _ *diary) {
		want := "sleep 1m."
		r.enqueue(&waiter{id: worker.IntID(7), message: worker.BytesValue("sleep 1m"), deadline: r.now() + time.Hour, done: func(worker.Reply, error) {}}, r.now())
		synctest.Wait()
		for i := range 10_000 {
			c := &waiter{id: worker.IntID(7), deadline: r.now() + time.Hour, done: func(worker.Reply, error) {}}
			r.enqueue(c, r.now())
			if i%1000 == 500 {
				message := strings.Repeat("x", i)
				want += message + "."
				r.enqueue(&waiter{id: worker.IntID(7), message: worker.BytesValue(message), deadline: r.now() + time.Hour, done: func(worker.Reply, error) {}}, r.now())
			}
			r.withdraw(c, context.Canceled)
		}
		s := r.shard(worker.IntID(7))
		s.mu.Lock()
		if n := len(s.workers.get(worker.IntID(7)).mail.queue); n > 100 {
			t.Errorf("the queue has %d places for 10 who wait", n)
		}
		s.mu.Unlock()
		time.Sleep(2 * time.Minute)
		tell(t, r, "7", "end", want+"end.")
	})
}

// TestSerialCloseWhileClaiming closes a registry that waits for the others.
func TestSerialCloseWhileClaiming(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := testRegistry(worker.Kind{Serial: func(context.Context, worker.ID) (worker.Server, error) { return echoServer{}, nil }, Timeout: time.Hour}, "1@h", 100)
		claims := 0
		r.claim = func(ctx context.Context, _ worker.ID) *wire.Error {
			claims++
			<-ctx.Done()
			return endError(ctx.Err(), wire.NotRun)
		}
		done := make(chan error, 1)
		go func() {
			_, err := r.await(t.Context(), worker.IntID(7), worker.Value{}, r.now())
			done <- err
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := r.close(ctx); err != nil || claims != 1 {
			t.Errorf("close: %v, after %d claims", err, claims)
		}
		if err := <-done; OutcomeOf(err) != worker.OutcomeNotRun {
			t.Error(err)
		}
	})
}

// TestSerialLeavesInTime closes a node while a call takes longer than that may: it is cancelled before the others are told.
func TestSerialLeavesInTime(t *testing.T) {
	var running, overlap atomic.Int32
	nodes := startCluster(t, 2, worker.Kind{Timeout: time.Minute, Serial: func(context.Context, worker.ID) (worker.Server, error) {
		return watched{&running, &overlap, 3 * time.Second}, nil
	}})
	done := make(chan error, 2)
	for range 2 { // the second one waits, and goes to the other node
		go func() {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			_, err := nodes[0].Family("").Call(ctx, worker.IntID(1), worker.Value{})
			done <- err
		}()
		await(t, func() error {
			if running.Load() == 0 {
				return errors.New("nothing runs")
			}
			return nil
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := nodes[1].Close(ctx); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if n := overlap.Load(); n > 0 {
		t.Errorf("%d times two ran at once", n)
	}
}

// TestKindComesBack takes a kind away and brings it back while something of it runs: what runs then waits for that.
func TestKindComesBack(t *testing.T) {
	var running, overlap atomic.Int32
	w := watched{&running, &overlap, 300 * time.Millisecond}
	serial := worker.Kind{Serial: func(context.Context, worker.ID) (worker.Server, error) { return w, nil }}
	values := worker.Kind{Source: func(ctx context.Context, _ worker.ID) (worker.Value, error) { return w.Call(ctx, worker.Value{}) }}
	for name, kinds := range map[string][]worker.Kind{
		"serial": {serial, serial}, "values": {values, values}, "values, then serial": {values, serial}, "serial, then values": {serial, values},
	} {
		n := startNode(t, "1@"+testHost(), worker.Kind{})
		var wg sync.WaitGroup
		for i, k := range kinds {
			if i > 0 && (k.Serial == nil) == (kinds[i-1].Serial == nil) {
				if err := n.SetKinds(nil); err != nil {
					t.Fatal(err)
				}
			}
			if err := n.SetKinds(map[string]worker.Kind{"a": k}); err != nil {
				t.Fatal(err)
			}
			wg.Go(func() {
				var err error
				if k.Serial != nil {
					_, err = n.Family("a").Call(t.Context(), worker.IntID(7), worker.Value{})
				} else {
					_, err = n.Family("a").Request(t.Context(), worker.IntID(7))
				}
				if err != nil {
					t.Errorf("%s: %v", name, err)
				}
			})
			time.Sleep(50 * time.Millisecond)
			if running.Load() != 1 {
				t.Errorf("%s: %d run", name, running.Load())
			}
		}
		wg.Wait()
		await(t, func() error {
			if n := len(n.retiring()); n > 0 {
				return errors.New("a registry is kept")
			}
			return nil
		})
	}
	if n := overlap.Load(); n > 0 {
		t.Errorf("%d times two ran at once", n)
	}
}

// TestRefreshLeavesNothing loads a large value again and again, which lives for long.
func TestRefreshLeavesNothing(t *testing.T) {
	large := func(context.Context, worker.ID) (worker.Value, error) {
		return worker.BytesValue(strings.Repeat("x", 1<<20)), nil
	}
	r := testRegistry(worker.Kind{Source: large, TTL: 24 * time.Hour}, "1@h", 100)
	before := heapInUse()
	for range 500 {
		r.invalidate(worker.IntID(7))
		if _, err := r.request(t.Context(), worker.IntID(7)); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(r.shard(worker.IntID(7)).expiry); n > 100 {
		t.Errorf("the heap has %d entries for one worker", n)
	}
	if grown := int64(heapInUse()) - int64(before); grown > 20<<20 {
		t.Errorf("%d MiB are kept", grown>>20)
	}
	if err := r.close(t.Context()); err != nil {
		t.Error(err)
	}
}
