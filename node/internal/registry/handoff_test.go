package registry

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// TestAdopt hands an answer over at the age of 2 s of 5: it goes on at that age, and ends
// at 5 s.
func TestAdopt(t *testing.T) {
	t.Parallel()
	inBubble(t, worker.Cache{Load: counter(), TTL: 5 * time.Second}, func(t *testing.T, r *Registry) {
		old := testRegistry(worker.Cache{Load: worker.RandomSource, TTL: 5 * time.Second}, "2@h", 100)
		defer old.Close(t.Context())
		taken := takes(old)
		reply, err := old.request(t.Context(), worker.IntID(7))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		old.Retain(everything)
		if list := taken(); len(list) != 0 || old.live() != 1 {
			t.Fatalf("handed over %+v, though the id stays; %d live", list, old.live())
		}
		old.Retain(nothing)
		list := taken()
		want := Answer{Kind: worker.DefaultKind, ID: worker.IntID(7), Data: reply.Value.String(), IsInt: true, Age: 2 * time.Second, Left: 3 * time.Second}
		if len(list) != 1 || list[0] != want || old.live() != 0 {
			t.Fatalf("handed over %+v, want %+v; %d live", list, want, old.live())
		}
		if n := r.Adopt(list); n != 1 {
			t.Fatalf("%d adopted", n)
		}
		if _, answers, _ := r.Count(); answers != 0 {
			t.Errorf("%d answers counted before the first call", answers)
		}
		time.Sleep(time.Second)
		reply = expect(t, r, 7, want.Data, true)
		if reply.Age != 3*time.Second || reply.TTL != 2*time.Second {
			t.Errorf("age %v, TTL %v; want 3s and 2s", reply.Age, reply.TTL)
		}
		time.Sleep(2*time.Second + 2*coalesce)
		if n := r.live(); n != 0 { // nobody asked for it
			t.Errorf("%d workers live after the adopted one has expired", n)
		}
		r.Adopt([]Answer{want})
		time.Sleep(3*time.Second - 1)
		expect(t, r, 7, want.Data, true)
		time.Sleep(time.Nanosecond)
		expect(t, r, 7, "1", false)
	})
}

// TestAdoptIdleTTL hands over a worker that is older than the TTL, which counts from the
// last use.
func TestAdoptIdleTTL(t *testing.T) {
	t.Parallel()
	inBubble(t, worker.Cache{Load: counter(), IdleTTL: 5 * time.Second}, func(t *testing.T, r *Registry) {
		taken := takes(r)
		expect(t, r, 7, "1", false)
		for range 3 {
			time.Sleep(4 * time.Second)
			expect(t, r, 7, "1", true)
		}
		time.Sleep(time.Second)
		r.Retain(nothing)
		list := taken()
		if len(list) != 1 || list[0].Age != 13*time.Second || list[0].Left != 4*time.Second {
			t.Fatalf("handed over %+v", list)
		}
		r.Adopt(list)
		if reply := expect(t, r, 7, "1", true); reply.Age != 13*time.Second || reply.TTL != 5*time.Second {
			t.Errorf("age %v, TTL %v; want 13s and 5s", reply.Age, reply.TTL)
		}
	})
}

// TestRetainInSteps takes many workers out of one shard: calls may come in between.
func TestRetainInSteps(t *testing.T) {
	t.Parallel()
	inBubble(t, worker.Cache{TTL: time.Hour}, func(t *testing.T, r *Registry) {
		s, handedOvers, most := r.shard(worker.IntID(0)), 0, 0
		hostOf(r).handOff = func(moves []Answer) {
			if !s.mu.TryLock() {
				t.Error("answers are handed over with the shard's lock held")
				return
			}
			s.mu.Unlock()
			handedOvers, most = handedOvers+len(moves), max(most, len(moves))
		}
		want := 0
		for i := int64(0); want < 10*atOnce; i++ {
			id := worker.IntID(i)
			if r.shard(id) == s {
				want++
				r.request(t.Context(), id)
			}
		}
		r.Retain(nothing)
		if handedOvers != want || most > 2*atOnce {
			t.Errorf("%d of %d handed over, %d at a time, want about %d", handedOvers, want, most, atOnce)
		}
	})
}

// TestHandOffLoading has ids move while they load. The answer moves when the load ends,
// if the id has not come back.
func TestHandOffLoading(t *testing.T) {
	t.Parallel()
	source := func(_ context.Context, id worker.ID) (worker.Value, error) {
		time.Sleep(time.Second)
		if id == worker.IntID(3) {
			return worker.Value{}, errors.New("no such tenant")
		}
		return worker.IntValue(1), nil
	}
	inBubble(t, worker.Cache{Load: source, TTL: 5 * time.Second, ErrorTTL: time.Hour}, func(t *testing.T, r *Registry) {
		taken := takes(r)
		var wg sync.WaitGroup
		load := func(ids ...int64) {
			for _, id := range ids {
				wg.Go(func() { r.request(t.Context(), worker.IntID(id)) })
			}
			synctest.Wait()
		}
		load(1, 2, 3, 4)
		r.Retain(nothing)
		r.Retain(func(id worker.ID) bool { return id == worker.IntID(2) })
		r.Stop(worker.IntID(4))
		wg.Wait()
		list := taken()
		if len(list) != 1 || list[0] != (Answer{worker.DefaultKind, worker.IntID(1), "1", true, "", time.Second, 4 * time.Second}) {
			t.Errorf("handed over %+v, want the answer of 1 only: 2 came back, 3 failed, 4 was stopped", list)
		}
		if infos := r.Workers(10); len(infos) != 1 || infos[0].ID != worker.IntID(2) {
			t.Errorf("workers %+v, want that of 2", infos)
		}
		load(3)
		wg.Wait()
		if n := r.live(); n != 2 {
			t.Errorf("%d live, want a value and an error", n)
		}
		r.Retain(nothing)
		if list := taken(); len(list) != 1 || list[0].ID != worker.IntID(2) || r.live() != 0 {
			t.Errorf("handed over %+v, want the answer of 2, and not the cached error", list)
		}
	})
}

// TestStopOutlivesRetain stops a worker that loads: a change of the view does not revive
// it.
func TestStopOutlivesRetain(t *testing.T) {
	t.Parallel()
	slow := func(context.Context, worker.ID) (worker.Value, error) {
		time.Sleep(time.Second)
		return worker.IntValue(1), nil
	}
	inBubble(t, worker.Cache{Load: slow}, func(t *testing.T, r *Registry) {
		var wg sync.WaitGroup
		wg.Go(func() { expect(t, r, 1, "1", false) })
		synctest.Wait()
		r.Stop(worker.IntID(1))
		r.Retain(everything)
		wg.Wait()
		if n := r.live(); n != 0 {
			t.Errorf("%d live", n)
		}
	})
}

// TestHandOffAbandoned cancels a run whose source goes on, and moves its id: its answer
// moves nowhere, and that of the next run does.
func TestHandOffAbandoned(t *testing.T) {
	t.Parallel()
	var runs atomic.Int64
	deaf := func(context.Context, worker.ID) (worker.Value, error) {
		time.Sleep(time.Second)
		return worker.IntValue(runs.Add(1)), nil
	}
	inBubble(t, worker.Cache{Load: deaf}, func(t *testing.T, r *Registry) {
		taken := takes(r)
		for _, id := range []int64{1, 7} {
			short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			r.request(short, worker.IntID(id))
			cancel()
		}
		r.Retain(nothing)
		expect(t, r, 7, "3", false) // waits for the run that was cancelled, then for its own
		list := taken()
		if len(list) != 1 || list[0].ID != worker.IntID(7) || list[0].Data != "3" {
			t.Errorf("handed over %+v, want that of 7's second run", list)
		}
		if n := r.live(); n != 0 {
			t.Errorf("%d live", n)
		}
	})
}

// TestAdoptRefuses has answers arrive that have no place, or lie.
func TestAdoptRefuses(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	source := func(_ context.Context, id worker.ID) (worker.Value, error) {
		if id == worker.IntID(2) {
			<-release
		}
		return worker.IntValue(1), nil
	}
	r := testRegistry(worker.Cache{Load: source, TTL: time.Hour}, "1@h", 100)
	expect(t, r, 1, "1", false)
	var wg sync.WaitGroup
	wg.Go(func() { expect(t, r, 2, "1", false) })
	for r.live() < 2 {
		time.Sleep(time.Millisecond)
	}
	for i, a := range []Answer{
		{ID: worker.IntID(1), Data: "older than what lives", Left: time.Minute, Age: time.Minute},
		{ID: worker.IntID(2), Data: "loading", Left: time.Minute},
		{ID: worker.IntID(3), Data: "expired", Left: 0},
		{ID: worker.IntID(3), Data: "expired", Left: math.MinInt64},
		{ID: worker.IntID(3), Data: "too old", Left: time.Minute, Age: time.Hour},
		{ID: worker.IntID(3), Data: "too old", Left: math.MaxInt64, Age: math.MaxInt64},
		{ID: worker.IntID(3), Data: strings.Repeat("x", wire.MaxValue+1), Left: time.Minute},
	} {
		if r.Adopt([]Answer{a}) != 0 {
			t.Errorf("%d, %.9s: adopted", i, a.Data)
		}
	}
	if n := r.Adopt(make([]Answer, 1000)); n != 0 || r.Adopt(nil) != 0 {
		t.Error("empty answers adopted")
	}
	for i, a := range []Answer{
		{ID: worker.IntID(10), Left: math.MaxInt64},
		{ID: worker.IntID(11), Left: math.MaxInt64, Age: math.MinInt64},
		{ID: worker.IntID(12), Left: math.MaxInt64, Age: time.Hour - time.Minute},
	} {
		if r.Adopt([]Answer{a}) != 1 {
			t.Errorf("%d: not adopted", i)
		}
		var reply worker.Reply
		if ok := r.Lookup(a.ID, r.Now(), false, &reply); !ok || reply.TTL > time.Hour || reply.Age < 0 || reply.Age+reply.TTL > time.Hour {
			t.Errorf("%d: %+v", i, reply)
		}
	}
	r.Adopt([]Answer{{ID: worker.IntID(10), Data: "younger", Left: time.Minute}})
	var reply worker.Reply
	if ok := r.Lookup(worker.IntID(10), r.Now(), false, &reply); !ok || reply.Value.String() != "younger" {
		t.Errorf("a younger answer: %+v", reply)
	}
	close(release)
	wg.Wait()
	expect(t, r, 1, "1", true)
	expect(t, r, 2, "1", true)
	r.Close(t.Context())
	if r.Adopt([]Answer{{ID: worker.IntID(4), Left: time.Minute}}) != 0 {
		t.Error("adopted after close")
	}
}

// FuzzAdopt decodes what a peer sends, and adopts it.
func FuzzAdopt(f *testing.F) {
	text, _ := worker.ParseID("text")
	for _, list := range [][]Answer{
		nil,
		{{ID: worker.IntID(7), Data: "1", IsInt: true, Age: time.Second, Left: time.Second}},
		{{ID: text, Data: "x", Left: -1}, {Age: math.MinInt64, Left: math.MaxInt64}, {ID: text, Left: 1}},
		{{ID: worker.IntID(1), Age: math.MaxInt64, Left: time.Hour}, {ID: text, Left: 2 * time.Hour}},
	} {
		var b bytes.Buffer
		if err := gob.NewEncoder(&b).Encode(list); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes(), false)
		f.Add(b.Bytes(), true)
	}
	f.Fuzz(func(t *testing.T, b []byte, fromUse bool) {
		var list []Answer
		if gob.NewDecoder(bytes.NewReader(b)).Decode(&list) != nil {
			return
		}
		kind := worker.Cache{TTL: time.Hour}
		if fromUse {
			kind = worker.Cache{IdleTTL: time.Hour}
		}
		r := testRegistry(kind, "1@h", 100)
		taken := takes(r)
		n := r.Adopt(list)
		r.Retain(nothing)
		moved := taken()
		if len(moved) > n || n > len(list) {
			t.Errorf("%d of %d adopted, and %d handed on", n, len(list), len(moved))
		}
		for _, a := range moved {
			if id, err := worker.ParseID(a.ID.String()); err != nil || id != a.ID {
				t.Errorf("id %q is %v, %v", a.ID, id, err)
			}
			if a.Left <= 0 || a.Left > time.Hour || a.Age < 0 || !fromUse && a.Age+a.Left > time.Hour {
				t.Errorf("age %v, left %v", a.Age, a.Left)
			}
		}
		r.Close(context.Background())
	})
}

// TestLeaveRegistry has a node leave: its answers are elsewhere, and it goes on
// answering.
func TestLeaveRegistry(t *testing.T) {
	t.Parallel()
	var runs atomic.Int64
	source := func(_ context.Context, id worker.ID) (worker.Value, error) {
		if id == worker.IntID(2) {
			time.Sleep(time.Second)
		}
		return worker.IntValue(runs.Add(1)), nil
	}
	inBubble(t, worker.Cache{Load: source}, func(t *testing.T, r *Registry) {
		taken := takes(r)
		expect(t, r, 1, "1", false)
		var wg sync.WaitGroup
		wg.Go(func() { expect(t, r, 2, "2", false) })
		synctest.Wait()
		r.Leave(t.Context())
		if list := taken(); len(list) != 1 || list[0].ID != worker.IntID(1) {
			t.Errorf("handed over %+v, want the answer of 1", list)
		}
		expect(t, r, 1, "1", true)
		wg.Wait()
		expect(t, r, 3, "3", false)
		if list := taken(); len(list) != 2 || list[0].ID != worker.IntID(2) || list[1].ID != worker.IntID(3) {
			t.Errorf("handed over %+v, want what was loaded since", list)
		}
		r.Leave(t.Context())
		r.Retain(nothing)
		if list := taken(); len(list) != 0 || r.live() != 0 {
			t.Errorf("handed over again: %+v; %d live", list, r.live())
		}
		if r.Adopt([]Answer{{ID: worker.IntID(4), Left: time.Second}}) != 0 {
			t.Error("a leaving node adopts")
		}
	})
}

// TestInvalidateHandedOver has answers arrive that left another node before their ids
// were invalidated.
func TestInvalidateHandedOver(t *testing.T) {
	t.Parallel()
	inBubble(t, worker.Cache{Load: counter(), TTL: time.Hour}, func(t *testing.T, r *Registry) {
		time.Sleep(time.Minute)
		for i := range int64(maxOutdated * shardCount * 2) { // more than are known one by one
			r.Invalidate(worker.IntID(i))
		}
		old := func(id int64, age time.Duration) []Answer {
			return []Answer{{ID: worker.IntID(id), Data: "old", Age: age, Left: time.Minute}}
		}
		time.Sleep(time.Second)
		for _, id := range []int64{0, maxOutdated * shardCount * 2} {
			if r.Adopt(old(id, 2*time.Second)) != 0 || r.Adopt(old(id, 0)) != 0 {
				t.Errorf("an answer for %d that may be from before the invalidation is adopted", id)
			}
		}
		time.Sleep(AnswerTimeout)
		if r.Adopt(old(1, time.Millisecond)) != 1 || r.Adopt(old(2, time.Hour)) != 0 {
			t.Error("an answer from after the invalidation is not adopted, or one from before is")
		}
		for i := range r.shards {
			if n := len(r.shards[i].outdated.ids); n > maxOutdated {
				t.Errorf("shard %d knows %d ids", i, n)
			}
		}
	})
}

// TestRetain moves ids away, one while it loads: its callers get their answer, and the
// worker goes.
func TestRetain(t *testing.T) {
	t.Parallel()
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
