package registry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"pgregory.net/rapid"

	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// TestMaxBytes asks for more than a kind may keep: what was used last stays, and the
// count is right.
func TestMaxBytes(t *testing.T) {
	t.Parallel()
	const size, fit = 1000, 500
	kind := worker.Cache{Load: sizedSource(size), Inline: true, TTL: time.Hour, MaxBytes: fit * (size + workerBytes)}
	inBubble(t, kind, func(t *testing.T, r *Registry) {
		ask := func(id int) worker.Reply {
			reply, err := r.request(t.Context(), worker.IntID(int64(id)))
			if err != nil || len(reply.Value.String()) != size {
				t.Fatalf("id %d: %d bytes, %v", id, len(reply.Value.String()), err)
			}
			return reply
		}
		for id := range fit {
			ask(id)
			time.Sleep(time.Millisecond)
		}
		if s := r.Stats(); s.Evicted != 0 || s.Workers != fit || s.Bytes != kind.MaxBytes {
			t.Fatalf("before it is full: %d workers, %d bytes, %d evicted", s.Workers, s.Bytes, s.Evicted)
		}
		const hot = 100 // of which each is used again
		for id := fit; id < 2*fit; id++ {
			ask(id)
			ask(id % hot)
			time.Sleep(time.Millisecond)
		}
		s := r.Stats()
		if s.Bytes > kind.MaxBytes || s.Workers > fit || s.Workers < fit-1 || int(s.Evicted) < fit {
			t.Errorf("when it is full: %d workers, %d bytes, %d evicted", s.Workers, s.Bytes, s.Evicted)
		}
		kept := 0
		for id := range hot {
			if r.Inspect(worker.IntID(int64(id))).Live {
				kept++
			}
		}
		if kept < hot*9/10 {
			t.Errorf("%d of %d values in use were kept", kept, hot)
		}
		old := 0
		for id := hot; id < fit; id++ {
			if r.Inspect(worker.IntID(int64(id))).Live {
				old++
			}
		}
		if old > fit/5 {
			t.Errorf("%d of %d old values were kept", old, fit-hot)
		}
	})
}

// TestMaxMemory has two kinds share the bound of the node. Loading workers and servers
// stay.
func TestMaxMemory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shared, calls := new(Values), &Admission{size: 100}
		shared.limit.Store(20 << 20)
		start := func(name string, kind worker.Kind) *Registry {
			r := New(Config{Name: name, Kind: kind, Node: "1@h", Host: &fakeHost{}, Clock: clock.NewProcess(&fakeHost{}), Admission: calls, Values: shared, Logger: slog.New(slog.DiscardHandler)})
			t.Cleanup(func() { r.Close(context.Background()) })
			return r
		}
		small := start("small", worker.Cache{Load: sizedSource(100), TTL: time.Hour})
		big := start("big", worker.Cache{Load: sizedSource(1 << 20), TTL: time.Hour})
		serial := start("serial", worker.Serial{Open: func(context.Context, worker.ID) (worker.Server, error) { return new(meter), nil }, TTL: time.Hour})
		slow := start("slow", worker.Cache{Load: func(ctx context.Context, _ worker.ID) (worker.Value, error) {
			clock.Sleep(ctx, time.Minute)
			return worker.IntValue(1), nil
		}, TTL: time.Hour, Timeout: time.Hour})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if _, err := serial.await(ctx, worker.IntID(1), worker.Value{}, serial.Look()); err != nil {
			t.Fatal(err)
		}
		loaded := make(chan error)
		go func() { _, err := slow.request(ctx, worker.IntID(1)); loaded <- err }()
		for id := range 50 {
			if _, err := small.request(ctx, worker.IntID(int64(id))); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		for id := range 400 {
			if _, err := big.request(ctx, worker.IntID(int64(id))); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
			if used := shared.used.Load(); used > 20<<20 {
				t.Fatalf("%d bytes of values", used)
			}
		}
		if live := big.live(); live < 15 || live > 20 {
			t.Errorf("%d values of 1 MiB live", live)
		}
		if err := <-loaded; err != nil {
			t.Errorf("a load: %v", err)
		}
		if serial.live() != 1 {
			t.Error("a server was evicted")
		}
		if n := small.Stats().Evicted + big.Stats().Evicted; n < 380 {
			t.Errorf("%d evicted", n)
		}
	})
}

// TestMemoryIsCounted does at random what may be done to values, and compares what counts
// as their memory with what they are.
func TestMemoryIsCounted(t *testing.T) {
	t.Parallel()
	rapid.Check(t, doWithValues)
}

func doWithValues(t *rapid.T) {
	var fail atomic.Bool
	source := func(_ context.Context, id worker.ID) (worker.Value, error) {
		if fail.Load() {
			return worker.Value{}, fmt.Errorf("an error of some length about %s", id)
		}
		return worker.BytesValue(strings.Repeat("x", rand.IntN(100))), nil
	}
	r := testRegistry(worker.Cache{Load: source, TTL: 4 * time.Millisecond, StaleWhileRevalidate: 2 * time.Millisecond, ErrorTTL: time.Millisecond}, "1@h", 100)
	defer func() { r.Close(context.Background()) }()
	id := rapid.Custom(func(t *rapid.T) worker.ID { return worker.IntID(rapid.Int64Range(0, 3).Draw(t, "id")) })
	t.Repeat(map[string]func(*rapid.T){
		"request":    func(t *rapid.T) { _, _ = r.request(context.Background(), id.Draw(t, "id")) },
		"invalidate": func(t *rapid.T) { r.Invalidate(id.Draw(t, "id")) },
		"fail":       func(*rapid.T) { fail.Store(!fail.Load()) },
		"wait":       func(t *rapid.T) { time.Sleep(time.Duration(rapid.IntRange(1, 5).Draw(t, "ms")) * time.Millisecond) },
		"retain": func(t *rapid.T) {
			gone := id.Draw(t, "id")
			r.Retain(func(id worker.ID) bool { return id != gone })
		},
		"adopt": func(t *rapid.T) {
			r.Adopt([]Answer{{ID: id.Draw(t, "id"), Data: "adopted", Left: time.Second}})
		},
		"bound": func(t *rapid.T) {
			r.cache.memory.limit.Store(rapid.Int64Range(0, 800).Draw(t, "bound"))
			r.cache.evictExcess()
		},
		"": func(t *rapid.T) { checkMemory(t, r) },
	})
}

func checkMemory(t *rapid.T, r *Registry) {
	want, evictable := memoryOf(r)
	kind, node := r.cache.memory.used.Load(), r.cache.values.used.Load()
	for { // a value may have expired in between
		again, still := memoryOf(r)
		if again == want && still == evictable {
			break
		}
		want, evictable = again, still
		kind, node = r.cache.memory.used.Load(), r.cache.values.used.Load()
	}
	if kind != want || node != want {
		t.Fatalf("%d bytes count for the kind and %d for the node, want %d", kind, node, want)
	}
	if evictable && r.cache.memory.over() {
		r.wg.Wait() // a load that has just ended is about to evict what is too much
		if _, evictable = memoryOf(r); evictable && r.cache.memory.over() {
			t.Fatalf("%d bytes, bound %d", r.cache.memory.used.Load(), r.cache.memory.limit.Load())
		}
	}
}

// memoryOf adds up the values of r, and reports whether any of them may be evicted.
func memoryOf(r *Registry) (sum int64, evictable bool) {
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		for w := range s.workers.all() {
			if w.load != nil {
				if stale := w.load.stale; stale != nil {
					sum += stale.size()
				}
				continue
			}
			sum, evictable = sum+w.size(), true
		}
		s.mu.Unlock()
	}
	return sum, evictable
}

// TestMemoryComesBack lets many workers expire: what they took is free again.
func TestMemoryComesBack(t *testing.T) {
	r := testRegistry(worker.Cache{TTL: time.Second}, "1@h", 100)
	defer r.Close(t.Context())
	before := int64(heapInUse())
	const many = 300_000
	for id := range int64(many) {
		if _, err := r.request(t.Context(), worker.IntID(id)); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d MB with %d workers", (int64(heapInUse())-before)>>20, many)
	await(t, func() error {
		if live := r.live(); live > 0 {
			return fmt.Errorf("%d workers live", live)
		}
		return nil
	})
	if kept := int64(heapInUse()) - before; kept > 1<<20 {
		t.Errorf("%d MB are kept", kept>>20)
	}
	runtime.KeepAlive(r)
}

// TestMemoryOfKindsThatGo removes a kind again and again: the memory of its values does
// not count any more, and they are not given any more.
func TestMemoryOfKindsThatGo(t *testing.T) {
	t.Parallel()
	shared, calls := new(Values), &Admission{size: 100}
	shared.limit.Store(30 << 20)
	for range 3 {
		r := New(Config{Name: "x", Kind: worker.Cache{Load: sizedSource(1 << 20), TTL: worker.Forever}, Node: "1@h", Host: &fakeHost{}, Clock: clock.NewProcess(&fakeHost{}), Admission: calls, Values: shared, Logger: slog.New(slog.DiscardHandler)})
		for id := range int64(20) {
			if _, err := r.request(t.Context(), worker.IntID(id)); err != nil {
				t.Fatal(err)
			}
		}
		if used := shared.used.Load(); used < 20<<20 {
			t.Errorf("%d bytes count", used)
		}
		if err := r.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if used := shared.used.Load(); used != 0 {
			t.Fatalf("%d bytes count for a kind that is gone", used)
		}
		if reply, err := r.request(t.Context(), worker.IntID(1)); !errors.Is(err, wire.Closed) {
			t.Errorf("a value of a kind that is gone: %d bytes, %v", len(reply.Value.String()), err)
		}
	}
}

// TestGivenUpCallsGo has calls give up while another one waits on: a worker that goes on
// holds nothing of them, as a call of a peer refers to its session.
func TestGivenUpCallsGo(t *testing.T) {
	t.Parallel()
	for name, kind := range blockingKinds() {
		t.Run(name, func(t *testing.T) {
			inBubble(t, kind, func(t *testing.T, r *Registry) {
				wait := func() *Waiter {
					c := &Waiter{ID: worker.IntID(1), Deadline: r.Now() + time.Hour, To: answerFunc(func(_ error) {})}
					r.Enqueue(c, r.Now())
					return c
				}
				stays := wait()
				synctest.Wait()
				var gone []*Waiter
				for range 20 {
					gone = append(gone, wait())
				}
				var held []weak.Pointer[Waiter]
				for _, i := range rand.Perm(len(gone)) {
					held = append(held, weak.Make(gone[i]))
					r.Withdraw(gone[i], context.Canceled)
				}
				clear(gone)
				runtime.GC()
				held = slices.DeleteFunc(held, func(p weak.Pointer[Waiter]) bool { return p.Value() == nil })
				if len(held) > 0 {
					t.Errorf("%d of 20 calls are held", len(held))
				}
				r.Withdraw(stays, context.Canceled)
			})
		})
	}
}

// TestReplacedValuesGo replaces values in all ways while their workers would live for
// long: nothing but the last ones is held, and no worker is in the expiry heap twice.
func TestReplacedValuesGo(t *testing.T) {
	const size, ids, rounds = 256 << 10, 8, 12
	value := strings.Repeat("x", size)
	var fails atomic.Bool
	for name, replace := range map[string]func(r *Registry, id worker.ID){
		"refresh": func(r *Registry, id worker.ID) {
			r.Invalidate(id)
			_, _ = r.request(context.Background(), id)
		},
		"adopt": func(r *Registry, id worker.ID) {
			r.Adopt([]Answer{{ID: id, Data: strings.Clone(value), Left: time.Hour}})
		},
		"stale": func(r *Registry, id worker.ID) {
			_, _ = r.request(context.Background(), id)
			time.Sleep(20 * time.Millisecond)
			synctest.Wait()
		},
		"failing": func(r *Registry, id worker.ID) {
			_, _ = r.request(context.Background(), id)
			fails.Store(true)
			time.Sleep(2 * time.Second)
			synctest.Wait()
		},
	} {
		t.Run(name, func(t *testing.T) {
			fails.Store(false)
			kind := worker.Cache{TTL: 10 * time.Millisecond, StaleWhileRevalidate: time.Hour, ErrorTTL: time.Second}
			if name == "refresh" || name == "adopt" {
				kind = worker.Cache{TTL: time.Hour}
			}
			kind.Load = func(context.Context, worker.ID) (worker.Value, error) {
				if fails.Load() {
					return worker.Value{}, errors.New("down")
				}
				return worker.BytesValue(strings.Clone(value)), nil
			}
			inBubble(t, kind, func(t *testing.T, r *Registry) {
				before := int64(heapInUse())
				for range rounds {
					for id := range int64(ids) {
						replace(r, worker.IntID(id))
					}
				}
				if held := int64(heapInUse()) - before; held > (ids+4)*size {
					t.Errorf("%d values are held, want %d", held/size, ids)
				}
				listed := map[*entry]int{}
				for i := range r.shards {
					for _, e := range r.shards[i].expiry {
						if listed[e.w]++; listed[e.w] > 1 {
							t.Fatal("a worker is in the heap twice")
						}
					}
				}
			})
		})
	}
}

// TestDefaultMaxMemory is a quarter of what the process may have.
func TestDefaultMaxMemory(t *testing.T) {
	t.Parallel()
	most, err := memlimit.FromSystem()
	if limit, e := memlimit.FromCgroup(); e == nil && (err != nil || limit < most) {
		most, err = limit, nil
	}
	if err != nil {
		t.Skip("nothing tells what memory there is: ", err)
	}
	if got := DefaultMaxMemory(); got != int64(most/4) {
		t.Errorf("%d bytes of %d, want a quarter", got, most)
	}
}
