package node

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// TestWatch stands still, for as long as counts and for less, and is noticed by whoever looks first.
func TestWatch(t *testing.T) {
	t.Parallel()
	var now, suspended time.Duration
	alone := false
	var slept []time.Duration
	w := newWatch(func() time.Duration { return now + suspended }, func() time.Duration { return now },
		func(d time.Duration) { slept = append(slept, d) }, func() bool { return !alone })
	expect := func(want uint64) {
		t.Helper()
		if got := w.stood(); got != want {
			t.Errorf("at %v: %d standstills, want %d", now, got, want)
		}
	}
	for range 10 { // slow, but alive
		now += standstill
		expect(0)
		w.tick()
	}
	now += standstill + 1
	expect(1) // before the tick
	w.tick()
	expect(1)
	now += 4 * time.Second
	w.tick() // the tick is first
	expect(2)
	suspended += time.Hour
	w.tick()
	expect(3)
	alone = true
	now += time.Hour
	expect(3)
	if !slices.Equal(slept, []time.Duration{time.Hour}) {
		t.Errorf("suspended for %v, want once, for 1h", slept)
	}
}

// TestSuspended has the machine be suspended: values expire in their time all the same, and deadlines stay
// where they are.
func TestSuspended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := testRegistry(worker.Kind{Source: counter(), TTL: time.Minute}, "1@h", 10)
		defer r.close(t.Context())
		ask := func(cached bool, age time.Duration) {
			t.Helper()
			if reply, err := r.request(t.Context(), worker.IntID(7)); err != nil || reply.Cached != cached || reply.Age != age {
				t.Errorf("%+v, %v; want cached %v, age %v", reply, err, cached, age)
			}
		}
		ask(false, 0)
		r.sleep(40 * time.Second)
		ask(true, 40*time.Second)
		r.sleep(20 * time.Second)
		if s := r.stats(); s.Workers != 0 {
			t.Errorf("%d workers are left", s.Workers)
		}
		ask(false, 0)
		now := time.Now()
		if got := r.when(r.read(now)); !got.Equal(now) {
			t.Errorf("%v, want %v", got, now)
		}
	})
}

// TestBootTime compares the clock that goes on while the machine is suspended with the other one.
func TestBootTime(t *testing.T) {
	t.Parallel()
	before, start := bootTime(), time.Now()
	time.Sleep(20 * time.Millisecond)
	took, most := bootTime()-before, time.Since(start)
	if took < 20*time.Millisecond || took > most+standstill {
		t.Errorf("%v, want about %v", took, most)
	}
}

// TestSerialStandstill has the process stand still while messages wait: none of them runs before the id is claimed
// again, by a server that starts anew, nor after its caller has given up.
func TestSerialStandstill(t *testing.T) {
	inSerialBubble(t, worker.Kind{TTL: time.Hour, Timeout: time.Minute}, func(t *testing.T, r *registry, d *diary) {
		var stood atomic.Uint64
		r.stood = stood.Load
		var other *wire.Error
		r.claim = func(context.Context, worker.ID) *wire.Error {
			d.note("claim")
			return other
		}
		tell(t, r, "7", "a", "a.")
		d.expect(t, "claim; start 7")
		tell(t, r, "7", "b", "a.b.")
		d.expect(t, "")

		post := func(message string, timeout time.Duration) <-chan error {
			done := make(chan error, 1)
			r.enqueue(&waiter{id: worker.IntID(7), message: worker.BytesValue(message), deadline: r.now() + timeout, done: func(_ worker.Reply, err error) { done <- err }}, r.now())
			synctest.Wait()
			return done
		}
		running := post("sleep 10s", time.Minute)
		late, live := post("late", 5*time.Second), post("live", time.Minute)
		stood.Add(1)
		time.Sleep(10 * time.Second)
		if err := <-running; err != nil {
			t.Error(err)
		}
		if err := <-late; !errors.Is(err, context.DeadlineExceeded) || OutcomeOf(err) != worker.OutcomeNotRun {
			t.Error(err)
		}
		if err := <-live; err != nil {
			t.Error(err)
		}
		d.expect(t, "end 7 moved; claim; start 7")
		tell(t, r, "7", "c", "live.c.")

		stood.Add(1)
		other = &wire.Error{Code: wire.NotOwner, Outcome: wire.NotRun}
		if err := <-post("for another one", time.Minute); !errors.Is(err, wire.NotOwner) {
			t.Error(err)
		}
		d.expect(t, "end 7 moved; claim")
	})
}

// standStill makes it look as if the process of n had stood still.
func standStill(n *Node) {
	n.watch.mu.Lock()
	defer n.watch.mu.Unlock()
	n.watch.last -= 2 * standstill
	n.watch.seen.Add(-int64(2 * standstill))
}

// TestStandstillCallsRoll has one of two nodes stand still, and the other one has a server of its id by now: it waits for that.
func TestStandstillCallsRoll(t *testing.T) {
	t.Parallel()
	var made atomic.Int32
	why := make(chan worker.EndReason, 10)
	nodes := startCluster(t, 2, worker.Kind{TTL: time.Hour, Serial: func(context.Context, worker.ID) (worker.Server, error) {
		made.Add(1)
		return ending{why}, nil
	}})
	owner, other := nodes[0], nodes[1]
	call := func(d time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), d)
		defer cancel()
		_, err := owner.Family("").Call(ctx, worker.IntID(0), worker.Value{})
		return err
	}
	if err := call(5 * time.Second); err != nil {
		t.Fatal(err)
	}
	other.registry.claim = func(context.Context, worker.ID) *wire.Error { return nil } // as if the owner had failed
	await(t, func() error {                                                            // its view may still change, which ends the server
		if _, err := other.registry.await(t.Context(), worker.IntID(0), worker.Value{}, other.registry.now()); err != nil {
			return err
		}
		time.Sleep(50 * time.Millisecond)
		if !other.registry.has(worker.IntID(0)) {
			return errors.New("the server has ended")
		}
		return nil
	})
	for len(why) > 0 {
		<-why
	}
	before := made.Load()
	standStill(owner)
	if err := call(300 * time.Millisecond); !errors.Is(err, context.DeadlineExceeded) || OutcomeOf(err) != worker.OutcomeNotRun {
		t.Errorf("while the other node has a server: %v, %v", err, OutcomeOf(err))
	}
	ended := func(want worker.EndReason) {
		t.Helper()
		select {
		case got := <-why:
			if got != want {
				t.Errorf("the server ended: %v, want %v", got, want)
			}
		case <-time.After(5 * time.Second):
			t.Errorf("the server has not ended: %v", want)
		}
	}
	ended(worker.Moved)
	other.registry.stop(worker.IntID(0))
	ended(worker.Stopped)
	if err := call(5 * time.Second); err != nil {
		t.Error(err)
	}
	if n := made.Load() - before; n != 1 {
		t.Errorf("%d more servers were made, want 1", n)
	}
}

// TestStandstillAlone has a node without others stand still: nobody can have taken its place.
func TestStandstillAlone(t *testing.T) {
	t.Parallel()
	why := make(chan worker.EndReason, 10)
	n := startNode(t, "1@"+testHost(), worker.Kind{TTL: time.Hour, Serial: func(context.Context, worker.ID) (worker.Server, error) { return ending{why}, nil }})
	for range 3 {
		if _, err := n.Family("").Call(t.Context(), worker.IntID(0), worker.Value{}); err != nil {
			t.Fatal(err)
		}
		standStill(n)
	}
	if len(why) > 0 {
		t.Errorf("the server ended: %v", <-why)
	}
}
