package registry

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distproc/distproc/node/worker"
)

// manyServers has a registry with many servers that rest. It returns a function that
// reports whether a goroutine has served any of them since.
func manyServers(t *testing.T, r *Registry) (served func() bool) {
	t.Helper()
	const servers = 10 * shardCount
	for i := range int64(servers) {
		if _, err := r.await(t.Context(), worker.IntID(i), worker.IntValue(1), r.Look()); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Wait()
	p := &r.runners
	p.mu.Lock()
	defer p.mu.Unlock()
	idle := p.idle
	p.idle = nil // a new goroutine that has served becomes an idle one
	return func() bool {
		synctest.Wait()
		p.mu.Lock()
		defer p.mu.Unlock()
		n := len(p.idle)
		p.idle = append(p.idle, idle...)
		return n > 0
	}
}

// kept counts the servers that the expiry heaps keep.
func kept(r *Registry) (n int) {
	for i := range r.shards {
		for _, e := range r.shards[i].expiry {
			if e.w.mail.server != nil {
				n++
			}
		}
	}
	return n
}

var adding = worker.Serial{TTL: time.Hour, Open: worker.Serve(func(context.Context, worker.ID) (*adder, error) { return new(adder), nil })}

// An adder is a server of types of Go without Terminate.
type adder struct{ sum int }

func (a *adder) Call(_ context.Context, n int) (int, error) {
	a.sum += n
	return a.sum, nil
}

// TestMovedServers has all ids move: servers that rest, and have no Terminate, are gone
// when Retain is, without a goroutine for each.
func TestMovedServers(t *testing.T) {
	checkServersEnd(t, func(r *Registry) { r.Retain(nothing) })
}

// TestHaltServers is TestMovedServers for a node that leaves.
func TestHaltServers(t *testing.T) {
	checkServersEnd(t, func(r *Registry) { r.Quiesce(context.Background()) })
}

func checkServersEnd(t *testing.T, end func(*Registry)) {
	t.Parallel()
	inBubble(t, adding, func(t *testing.T, r *Registry) {
		served := manyServers(t, r)
		end(r)
		if n := r.live(); n != 0 || served() {
			t.Errorf("%d servers live, or a goroutine has ended some that have nothing to do then", n)
		}
		if n := kept(r); n != 0 {
			t.Errorf("%d servers are kept until their time would have come", n)
		}
	})
}

// TestHaltSome has servers that have nothing to do at their end beside one that has a
// Terminate.
func TestHaltSome(t *testing.T) {
	t.Parallel()
	inSerialBubble(t, worker.Serial{TTL: time.Hour}, func(t *testing.T, r *Registry, d *diary) {
		tell(t, r, "1", "x", "x.")
		r.SetKind(adding)
		for i := range int64(10 * shardCount) {
			if _, err := r.await(t.Context(), worker.IntID(2+i), worker.IntValue(1), r.Look()); err != nil {
				t.Fatal(err)
			}
		}
		r.Quiesce(t.Context())
		d.expect(t, "start 1; end 1 closing")
		if n := r.live(); n != 0 {
			t.Errorf("%d servers live", n)
		}
	})
}

// TestYield asks for servers whose ids have moved, before Retain comes to them.
func TestYield(t *testing.T) {
	t.Parallel()
	inSerialBubble(t, worker.Serial{TTL: time.Hour}, func(t *testing.T, r *Registry, d *diary) {
		id := worker.IntID(7)
		if r.Yield(id, nothing) {
			t.Error("a server that never was is held")
		}
		if _, err := r.await(t.Context(), id, worker.BytesValue("x"), r.Look()); err != nil {
			t.Fatal(err)
		}
		if !r.Yield(id, everything) {
			t.Error("the server of an id that stays is not held")
		}
		synctest.Wait()
		if n := r.live(); n != 1 {
			t.Errorf("%d servers live, want the one that stays", n)
		}
		if !r.Yield(id, nothing) {
			t.Error("a server that has yet to end is not held")
		}
		synctest.Wait()
		if r.Yield(id, nothing) || r.live() != 0 {
			t.Error("a server that has ended is held")
		}
		d.expect(t, "start 7; end 7 moved")
	})
	inBubble(t, adding, func(t *testing.T, r *Registry) {
		served := manyServers(t, r)
		if r.Yield(worker.IntID(7), nothing) || r.Has(worker.IntID(7)) || served() {
			t.Error("a server that rests is held")
		}
	})
	inBubble(t, worker.Cache{}, func(t *testing.T, r *Registry) {
		r.request(t.Context(), worker.IntID(7))
		if r.Yield(worker.IntID(7), nothing) || r.live() != 1 {
			t.Error("a value is a server")
		}
	})
}

// TestRetainRests has a look at each worker take a while: Retain rests for three times as
// long.
func TestRetainRests(t *testing.T) {
	t.Parallel()
	for _, kind := range []worker.Kind{worker.Cache{TTL: time.Hour}, adding} {
		inBubble(t, kind, func(t *testing.T, r *Registry) {
			const workers = 4 * shardCount * atOnce
			for i := range int64(workers) {
				if _, err := r.await(t.Context(), worker.IntID(i), worker.IntValue(1), r.Look()); err != nil {
					t.Fatal(err)
				}
			}
			began, looks := time.Now(), 0
			r.Retain(func(worker.ID) bool {
				looks++
				time.Sleep(time.Microsecond)
				return true
			})
			worked, took := time.Duration(looks)*time.Microsecond, time.Since(began)
			if rested := took - worked; looks < workers || rested < resting*(worked-stint) || rested > resting*worked {
				t.Errorf("rested for %v, and looked at workers %d times for %v in all", rested, looks, worked)
			}
		})
	}
}

// TestRetainHurries has the node leave: Retain does not rest.
func TestRetainHurries(t *testing.T) {
	t.Parallel()
	inBubble(t, adding, func(t *testing.T, r *Registry) {
		hostOf(r).hurries = true
		for i := range int64(1000) {
			if _, err := r.await(t.Context(), worker.IntID(i), worker.IntValue(1), r.Look()); err != nil {
				t.Fatal(err)
			}
		}
		began, looks := time.Now(), 0
		r.Retain(func(worker.ID) bool {
			looks++
			time.Sleep(time.Microsecond)
			return true
		})
		if took := time.Since(began); took != time.Duration(looks)*time.Microsecond {
			t.Errorf("%d looks of 1 µs took %v", looks, took)
		}
	})
}

// TestRetainAwaitsRoom has no room for answers: Retain takes no others meanwhile.
func TestRetainAwaitsRoom(t *testing.T) {
	t.Parallel()
	inBubble(t, worker.Cache{TTL: time.Hour}, func(t *testing.T, r *Registry) {
		const workers = 10 * shardCount * atOnce
		for i := range int64(workers) {
			r.request(t.Context(), worker.IntID(i))
		}
		taken, room := takes(r), make(chan struct{})
		hostOf(r).room = func(ctx context.Context) {
			select {
			case <-room:
			case <-ctx.Done():
			}
		}
		done := make(chan struct{})
		go func() { r.Retain(nothing); close(done) }()
		synctest.Wait()
		first := len(taken())
		if first == 0 || first > 2*atOnce || r.live() != workers-first {
			t.Errorf("%d of %d answers taken, and %d left", first, workers, r.live())
		}
		close(room)
		<-done
		if rest := len(taken()); rest != workers-first {
			t.Errorf("%d answers taken then, want %d", rest, workers-first)
		}
	})
}

// TestHaltAgain halts servers of which one runs, while a call waits for it, has them
// resume, and halts them again: no call is lost, and servers end in their time. It also
// checks how many servers are known to have something to do at their end.
func TestHaltAgain(t *testing.T) {
	t.Parallel()
	inSerialBubble(t, worker.Serial{TTL: time.Hour, Timeout: time.Minute}, func(t *testing.T, r *Registry, d *diary) {
		mustEnd := func() (n int) {
			for i := range r.shards {
				s := &r.shards[i]
				s.mu.Lock()
				n += s.mustEnd
				s.mu.Unlock()
			}
			return n
		}
		tell(t, r, "1", "x", "x.")
		tell(t, r, "7", "x", "x.")
		if n := mustEnd(); n != 2 {
			t.Errorf("%d servers have something to do at their end, want 2", n)
		}
		running := post(r, "sleep 1s", time.Minute, func() {})
		r.Halt()
		waiting := post(r, "a", time.Minute, func() {}) // behind the one that runs
		if err := <-running; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if n := mustEnd(); n != 0 {
			t.Errorf("%d servers have something to do at their end after all have ended", n)
		}
		r.Halt()
		r.Resume()
		r.Halt()
		r.Resume()
		if err := <-waiting; err != nil {
			t.Error(err)
		}
		// The message may have run between two halts, which has its server end after it.
		if _, err := r.await(t.Context(), worker.IntID(7), worker.BytesValue("b"), r.Look()); err != nil {
			t.Error(err)
		}
		if n := mustEnd(); n != 1 {
			t.Errorf("%d servers have something to do at their end, want 1", n)
		}
		time.Sleep(time.Hour + time.Second)
		if n := mustEnd(); n != 0 {
			t.Errorf("%d servers have not ended when their time was over", n)
		}
		r.SetKind(adding)
		for i := range int64(10 * shardCount) {
			if _, err := r.await(t.Context(), worker.IntID(100+i), worker.IntValue(1), r.Look()); err != nil {
				t.Fatal(err)
			}
		}
		r.Quiesce(t.Context())
		if n := r.live(); n != 0 {
			t.Errorf("%d servers live", n)
		}
	})
}
