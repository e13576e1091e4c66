package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distproc/distproc/node/worker"
)

// A database is a source whose value changes. A load reads it when it begins, and takes a second.
type database struct{ value atomic.Int64 }

func (d *database) source(ctx context.Context, _ worker.ID) (worker.Value, error) {
	v := d.value.Load()
	sleep(ctx, time.Second)
	return worker.IntValue(v), ctx.Err()
}

// TestReadYourWrites writes while a load runs, and makes the value be forgotten in each way.
func TestReadYourWrites(t *testing.T) {
	for name, forget := range map[string]func(*registry, worker.ID) bool{"Stop": (*registry).stop, "Invalidate": (*registry).invalidate} {
		t.Run(name, func(t *testing.T) {
			var db database
			inBubble(t, worker.Kind{Source: db.source, TTL: time.Hour}, func(t *testing.T, r *registry) {
				var wg sync.WaitGroup
				wg.Go(func() {
					if reply := expect(t, r, 7, "0", false); reply.TTL != 0 {
						t.Errorf("an outdated value may be kept for %v", reply.TTL)
					}
				})
				time.Sleep(500 * time.Millisecond)
				db.value.Store(1)
				if !forget(r, worker.IntID(7)) {
					t.Error("the load is not found")
				}
				for range 3 {
					wg.Go(func() { expect(t, r, 7, "1", false) })
				}
				short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
				defer cancel()
				if _, err := r.request(short, worker.IntID(7)); !errors.Is(err, context.DeadlineExceeded) || OutcomeOf(err) != worker.OutcomeNotRun {
					t.Errorf("a later caller that gives up: %v, %v", err, OutcomeOf(err))
				}
				wg.Wait()
				expect(t, r, 7, "1", true)
				db.value.Store(2)
				if !forget(r, worker.IntID(7)) || forget(r, worker.IntID(7)) {
					t.Error("a value is not found, or is found twice")
				}
				expect(t, r, 7, "2", false)
				if n := r.room.waiting.Load(); n != 0 {
					t.Errorf("%d calls wait", n)
				}
			})
		})
	}
}

// TestInvalidateInline invalidates from within a run that its caller makes.
func TestInvalidateInline(t *testing.T) {
	var runs atomic.Int64
	var r *registry
	source := func(context.Context, worker.ID) (worker.Value, error) {
		n := runs.Add(1)
		if n == 1 && !r.invalidate(worker.IntID(7)) {
			t.Error("the run is not found")
		}
		return worker.IntValue(n), nil
	}
	r = testRegistry(worker.Kind{Source: source, Inline: true, TTL: time.Hour}, "1@h", 100)
	expect(t, r, 7, "1", false)
	expect(t, r, 7, "2", false)
	expect(t, r, 7, "2", true)
	if err := r.close(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestInvalidateAbandoned has all earlier callers of an outdated load give up: the later one still gets its value.
func TestInvalidateAbandoned(t *testing.T) {
	for _, concurrency := range []int{0, 1} {
		t.Run(fmt.Sprint(concurrency), func(t *testing.T) {
			var db database
			inBubble(t, worker.Kind{Source: db.source, TTL: time.Hour, Concurrency: concurrency}, func(t *testing.T, r *registry) {
				var wg sync.WaitGroup
				wg.Go(func() { expect(t, r, 8, "0", false) }) // takes the only turn, if there is one
				synctest.Wait()
				wg.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
					defer cancel()
					if _, err := r.request(ctx, worker.IntID(7)); !errors.Is(err, context.DeadlineExceeded) {
						t.Error(err)
					}
				})
				synctest.Wait()
				db.value.Store(1)
				r.invalidate(worker.IntID(7))
				wg.Go(func() { expect(t, r, 7, "1", false) })
				wg.Wait()
				expect(t, r, 7, "1", true)
			})
		})
	}
}

// TestInvalidateHandedOver has answers arrive that left another node before their ids were invalidated.
func TestInvalidateHandedOver(t *testing.T) {
	inBubble(t, worker.Kind{Source: counter(), TTL: time.Hour}, func(t *testing.T, r *registry) {
		time.Sleep(time.Minute)
		for i := range int64(maxOutdated * shardCount * 2) { // more than are known one by one
			r.invalidate(worker.IntID(i))
		}
		old := func(id int64, age time.Duration) []handedOver {
			return []handedOver{{ID: worker.IntID(id), Data: "old", Age: age, Left: time.Minute}}
		}
		time.Sleep(time.Second)
		for _, id := range []int64{0, maxOutdated * shardCount * 2} {
			if r.adopt(old(id, 2*time.Second)) != 0 || r.adopt(old(id, 0)) != 0 {
				t.Errorf("an answer for %d that may be from before the invalidation is adopted", id)
			}
		}
		time.Sleep(handOverTimeout)
		if r.adopt(old(1, time.Millisecond)) != 1 || r.adopt(old(2, time.Hour)) != 0 {
			t.Error("an answer from after the invalidation is not adopted, or one from before is")
		}
		for i := range r.shards {
			if n := len(r.shards[i].gone.ids); n > maxOutdated {
				t.Errorf("shard %d knows %d ids", i, n)
			}
		}
	})
}

// TestInvalidateEverywhere invalidates from each member and client. Values that members other than the owner have
// go as well.
func TestInvalidateEverywhere(t *testing.T) {
	nodes := startCluster(t, 3, worker.Kind{TTL: time.Hour, Source: counter()})
	client, err := Attach(t.Context(), ClientConfig{Node: nodes[2].Self(), Cookie: testCookie})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	id := worker.IntID(1)
	for name, via := range map[string]interface {
		Invalidate(context.Context, worker.ID) (bool, error)
		Request(context.Context, worker.ID) (worker.Reply, error)
	}{"owner": nodes[1], "other": nodes[0], "client": client, "family": client.Family(DefaultKind)} {
		id = worker.IntID(num(id) + 3) // the second's
		before, err := via.Request(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range nodes {
			n.registry.adopt([]handedOver{{ID: id, Data: "degraded", Left: time.Hour}}) // as if the owner had been out of reach
			if !n.registry.inspect(id).Live {
				t.Fatal("there is no value to invalidate")
			}
		}
		if had, err := via.Invalidate(t.Context(), id); !had || err != nil {
			t.Errorf("%s: %v, %v", name, had, err)
		}
		for _, n := range nodes {
			if n.registry.inspect(id).Live {
				t.Errorf("%s: a value is left at %s", name, n.Self())
			}
		}
		if had, err := via.Invalidate(t.Context(), id); had || err != nil {
			t.Errorf("%s, again: %v, %v", name, had, err)
		}
		if after, err := via.Request(t.Context(), id); err != nil || after.Cached || after.Value == before.Value {
			t.Errorf("%s: %+v after %+v, %v", name, after, before, err)
		}
	}
	if _, err := nodes[0].Family("none").Invalidate(t.Context(), id); !errors.Is(err, ErrUnknownKind) {
		t.Error(err)
	}
}
