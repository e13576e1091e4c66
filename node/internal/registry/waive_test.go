package registry

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// waiving runs a test with a registry whose servers add up what they are told. It notes which
// ids the registry claims.
func waiving(t *testing.T, kind worker.Serial, test func(t *testing.T, r *Registry, add func(id int64) (sum string), claims func() []int64)) {
	t.Helper()
	inBubble(t, kind, func(t *testing.T, r *Registry) {
		var claimed []int64
		hostOf(r).claim = func(_ context.Context, id worker.ID) *wire.Error {
			claimed = append(claimed, num(id))
			return nil
		}
		add := func(id int64) string {
			t.Helper()
			reply, err := r.await(t.Context(), worker.IntID(id), worker.IntValue(1), r.Look())
			if err != nil {
				t.Error(err)
			}
			synctest.Wait()
			return reply.Value.String()
		}
		claims := func() []int64 {
			list := claimed
			claimed = nil
			return list
		}
		test(t, r, add, claims)
	})
}

func below(n int64) func(worker.ID) bool { return func(id worker.ID) bool { return num(id) < n } }

// TestWaive has other nodes ask which servers of theirs are still here. None is named, as
// all rest, and no server is looked at for that. When ids have come back, those that were
// waived are claimed anew, and their servers know nothing of before.
func TestWaive(t *testing.T) {
	t.Parallel()
	for _, inline := range []bool{false, true} {
		kind := adding
		kind.Inline = inline
		waiving(t, kind, func(t *testing.T, r *Registry, add func(int64) string, claims func() []int64) {
			const servers = 4 * shardCount
			for i := range int64(servers) {
				add(i)
			}
			claims()
			looked := 0
			keep := func(id worker.ID) bool { looked++; return num(id) < 3 }
			if ids, more := r.Held(1, keep, 10); len(ids) > 0 || more || looked > 0 {
				t.Errorf("%v, more %v, after %d looks", ids, more, looked)
			}
			for id, want := range map[int64]string{2: "2", 3: "1", servers - 1: "1", servers: "1"} {
				if sum := add(id); sum != want {
					t.Errorf("%d was told %s times, want %s", id, sum, want)
				}
			}
			if got, want := sorted(claims()), []int64{3, servers - 1, servers}; !slices.Equal(got, want) {
				t.Errorf("claimed %v, want %v", got, want)
			}
			// They are not waived again.
			if sum := add(3); sum != "2" || len(claims()) > 0 {
				t.Errorf("3 was told %s times since, want 2, and claimed again", sum)
			}
			if r.Yield(worker.IntID(4), everything) || r.Has(worker.IntID(4)) {
				t.Error("a server that was waived is held")
			}
			if !r.Yield(worker.IntID(2), everything) || !r.Yield(worker.IntID(3), everything) {
				t.Error("a server that lives is not held")
			}
			r.Retain(everything) // they all came back
			if n := r.live(); n != 6 {
				t.Errorf("%d servers live, want 0, 1, 2, 3, %d and %d", n, servers-1, servers)
			}
		})
	}
}

// TestWaiveNamesRunning has a server run while others ask: it is named, and not waived.
// Neither is one that starts later.
func TestWaiveNamesRunning(t *testing.T) {
	t.Parallel()
	var release chan struct{} // of the bubble
	kind := worker.Serial{TTL: time.Hour, Timeout: time.Hour, Open: func(context.Context, worker.ID) (worker.Server, error) {
		sum := int64(0)
		return serverFunc(func(_ context.Context, m worker.Value) (worker.Value, error) {
			if n, _ := m.Int(); n == 0 {
				<-release
			}
			sum++
			return worker.IntValue(sum), nil
		}), nil
	}}
	waiving(t, kind, func(t *testing.T, r *Registry, add func(int64) string, claims func() []int64) {
		release = make(chan struct{})
		add(1)
		add(2)
		done := make(chan struct{})
		go func() {
			defer close(done)
			if _, err := r.await(t.Context(), worker.IntID(1), worker.IntValue(0), r.Look()); err != nil {
				t.Error(err)
			}
		}()
		synctest.Wait()
		for range 2 {
			if ids, more := r.Held(1, nothing, 10); !slices.Equal(ids, []worker.ID{worker.IntID(1)}) || more {
				t.Errorf("%v, more %v; want 1", ids, more)
			}
		}
		claims()
		add(3)
		close(release)
		<-done
		synctest.Wait()
		if a, b, c := add(1), add(2), add(3); a != "3" || b != "1" || c != "2" {
			t.Errorf("told %s, %s and %s times; want 3, 1 and 2", a, b, c)
		}
		if got := claims(); !slices.Equal(got, []int64{3, 2}) {
			t.Errorf("claimed %v, want 3 and 2", got)
		}
	})
}

// TestWaiveAgain waives under one view after the other, more often than a shard can keep,
// and more often than an era can count.
func TestWaiveAgain(t *testing.T) {
	t.Parallel()
	waiving(t, adding, func(t *testing.T, r *Registry, add func(int64) string, _ func() []int64) {
		const ids = 20
		view := 0
		for round := range 300 {
			for i := range int64(ids) {
				add(i)
			}
			view++
			least := int64(round % ids)
			if named, more := r.Held(view, below(least), ids); len(named) > 0 && round%3 == 0 || more {
				t.Fatalf("round %d: %v, more %v", round, named, more)
			}
			if round%3 == 2 {
				r.Retain(everything)
			}
			for i := range int64(ids) {
				if sum := add(i); (sum == "1") != (i >= least) {
					t.Fatalf("round %d: %d was told %s times", round, i, sum)
				}
			}
		}
		for range 2 * mostWaivers { // without Retain
			view++
			r.Held(view, nothing, ids)
		}
		if named, more := r.Held(view+1, nothing, ids); len(named) != ids || more {
			t.Errorf("%d servers named, more %v: the shards cannot waive any more", len(named), more)
		}
	})
}

// TestWaiveWhileRetaining waives while Retain is going over the servers: the waiver is kept
// for those that Retain has been past.
func TestWaiveWhileRetaining(t *testing.T) {
	t.Parallel()
	waiving(t, adding, func(t *testing.T, r *Registry, add func(int64) string, _ func() []int64) {
		const servers = 2 * atOnce
		id := func(i int64) int64 { // of one shard
			for n := int64(0); ; n++ {
				if r.shard(worker.IntID(n)) == &r.shards[0] {
					if i--; i < 0 {
						return n
					}
				}
			}
		}
		for i := range int64(servers) {
			add(id(i))
		}
		r.Held(1, everything, 10)
		var looked atomic.Int32
		retain := func() {
			p := newPace(t.Context(), r.host)
			p.began = time.Now().Add(-time.Second) // it rests at once
			r.machine.retain(&r.shards[0], func(worker.ID) bool {
				looked.Add(1)
				return true
			}, p)
		}
		go func() {
			time.Sleep(time.Millisecond)
			if n := looked.Load(); n == 0 || n == servers {
				t.Errorf("Retain has looked at %d servers", n)
			}
			r.Held(2, nothing, 10)
		}()
		retain()
		if n := len(r.shards[0].waivers); n != 1 {
			t.Errorf("%d waivers, want that of the second view", n)
		}
		for i := range int64(servers) {
			if sum := add(id(i)); sum != "1" {
				t.Errorf("%d was told %s times, want 1", id(i), sum)
			}
		}
		retain()
		if n := len(r.shards[0].waivers); n != 0 {
			t.Errorf("%d waivers, want none", n)
		}
	})
}

// TestWaivedIsNoServer has somebody ask for servers that were waived, in each way: there is
// none, and nothing is left of it after that.
func TestWaivedIsNoServer(t *testing.T) {
	t.Parallel()
	kind := adding
	kind.Inline = true
	waiving(t, kind, func(t *testing.T, r *Registry, add func(int64) string, _ func() []int64) {
		for i := range int64(4) {
			add(i)
		}
		r.Held(1, below(1), 10)
		if list := r.Workers(10); len(list) != 1 || list[0].ID != worker.IntID(0) {
			t.Errorf("%+v are listed, want 0", list)
		}
		if r.Inspect(worker.IntID(1)).Live || !r.Inspect(worker.IntID(0)).Live {
			t.Error("1 lives, or 0 does not")
		}
		if r.Stop(worker.IntID(1)) || r.Has(worker.IntID(1)) {
			t.Error("1 was stopped, or is left")
		}
		now := r.Look()
		if _, _, ran := r.RunInline(worker.IntID(2), worker.IntValue(1), "", "", now.Now, now); ran || r.Has(worker.IntID(2)) {
			t.Errorf("2 ran inline: %v, or is left without a server", ran)
		}
		if sum := add(3); sum != "1" {
			t.Errorf("3 was told %s times, want 1", sum)
		}
		if list := r.Workers(10); len(list) != 2 || !r.Inspect(worker.IntID(3)).Live || !r.Stop(worker.IntID(3)) {
			t.Errorf("%+v are listed, want 0 and 3", list)
		}
	})
}

// TestServedSize checks that a server takes one object of 128 bytes.
func TestServedSize(t *testing.T) {
	t.Parallel()
	if n := unsafe.Sizeof(entry{}) + unsafe.Sizeof(mailbox{}); n != 128 {
		t.Errorf("%d bytes, want 128", n)
	}
}

func sorted(list []int64) []int64 {
	slices.Sort(list)
	return list
}
