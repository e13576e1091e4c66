package handoff

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/internal/registry"
	"github.com/distproc/distproc/node/worker"
)

// A switchboard is two registries and a queue from each. It says who of them owns an id.
type switchboard struct {
	regs  [2]*registry.Registry
	hands [2]*Queue
	turn  atomic.Int64 // id n is of registry (n + turn) mod 2
	delay time.Duration
}

func newSwitchboard(kinds [2]worker.Kind, delay time.Duration) *switchboard {
	b := &switchboard{delay: delay}
	for i := range b.regs {
		b.hands[i] = New(b)
		b.regs[i] = registry.New(registry.Config{
			Name: worker.DefaultKind, Kind: kinds[i], Node: strconv.Itoa(i), Host: side{hands: b.hands[i]}, Clock: clock.NewProcess(nil), Admission: registry.NewAdmission(1 << 16), Values: new(registry.Values),
			Logger: slog.New(slog.DiscardHandler),
		})
	}
	return b
}

func (b *switchboard) Target(id worker.ID) (string, bool) {
	return strconv.FormatInt(b.side(id), 10), true
}

func (b *switchboard) Hurries() bool { return false }

func (b *switchboard) Send(_ context.Context, dest string, list []registry.Answer) error {
	time.Sleep(b.delay)
	i, err := strconv.Atoi(dest)
	if err == nil {
		b.regs[i].Adopt(list)
	}
	return err
}

// A side is the host of one registry.
type side struct {
	registry.Host
	hands *Queue
}

func (s side) HandOff(list []registry.Answer) { s.hands.Add(list) }

func (s side) Hurries() bool { return false }

func (s side) AwaitRoom(ctx context.Context) { s.hands.AwaitRoom(ctx) }

func (b *switchboard) side(id worker.ID) int64 { return (num(id) + b.turn.Load()) & 1 }

// request asks the registry of id.
func (b *switchboard) request(ctx context.Context, id worker.ID) (reply worker.Reply, err error) {
	r := b.of(id)
	if r.Lookup(id, r.Now(), false, &reply) {
		return reply, nil
	}
	reply, _, err = r.Await(ctx, id, worker.Value{})
	return reply, err
}

func (b *switchboard) of(id worker.ID) *registry.Registry { return b.regs[b.side(id)] }

// move gives every id to the other registry.
func (b *switchboard) move() {
	b.turn.Add(1)
	for _, r := range b.regs {
		r.Retain(func(id worker.ID) bool { return b.of(id) == r })
	}
}

func (b *switchboard) flush(t *testing.T) {
	t.Helper()
	for _, h := range b.hands {
		if err := h.Flush(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// close checks that nobody waits when all is over.
func (b *switchboard) close(t *testing.T) {
	for i, r := range b.regs {
		b.hands[i].Close()
		r.Close(t.Context())
		if st := r.Stats(); st.Waiting != 0 || st.Running != 0 || st.Queued != 0 || st.Workers != 0 {
			t.Errorf("at the end: %+v", st)
		}
		if n := r.Stuck(); n != 0 {
			t.Errorf("%d loads stuck at the end", n)
		}
	}
}

// TestSourceRunsOnce moves 100 ids of a slow source to and fro: it runs once for each,
// also for those that move while they load.
func TestSourceRunsOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var runs atomic.Int64
		slow := func(context.Context, worker.ID) (worker.Value, error) {
			time.Sleep(time.Second)
			return worker.IntValue(runs.Add(1)), nil
		}
		kind := worker.Cache{Load: slow, TTL: time.Minute}
		b := newSwitchboard([2]worker.Kind{kind, kind}, time.Millisecond)
		ask := func() {
			var wg sync.WaitGroup
			for i := range int64(100) {
				wg.Go(func() {
					if _, err := b.request(t.Context(), worker.IntID(i)); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
		}
		time.AfterFunc(time.Second/2, b.move) // while they load
		for range 10 {
			ask()
			b.flush(t)
			b.move()
			b.flush(t)
		}
		if n := runs.Load(); n != 100 {
			t.Errorf("%d runs, want 100", n)
		}
		sent := uint64(0)
		for _, h := range b.hands {
			n, lost := h.Stats()
			sent += n
			if lost != 0 {
				t.Errorf("%d lost", lost)
			}
		}
		if sent != 1100 {
			t.Errorf("%d sent, want 1100", sent)
		}
		b.close(t)
	})
}

// TestHandOffStorm calls two registries while ids move between them all the time and
// workers expire: every call is answered, the runs of one id in one registry do not
// overlap, and what a run produced is in one place at most.
func TestHandOffStorm(t *testing.T) {
	t.Parallel()
	const ids, ttl = 50, 3 * time.Millisecond
	var runs atomic.Int64
	var kinds [2]worker.Kind
	for i := range kinds {
		var running [ids]atomic.Int32
		kinds[i] = worker.Cache{TTL: ttl, Load: func(_ context.Context, id worker.ID) (worker.Value, error) {
			if running[num(id)].Add(1) > 1 {
				t.Error("two runs of one id overlap in one registry")
			}
			defer running[num(id)].Add(-1)
			if rand.N(4) == 0 {
				time.Sleep(rand.N(time.Millisecond))
			}
			return worker.BytesValue(fmt.Sprintf("%d/%d", num(id), runs.Add(1))), nil
		}}
	}
	b := newSwitchboard(kinds, 50*time.Microsecond)
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			for range 5_000 {
				id := worker.IntID(rand.Int64N(ids))
				ctx, cancel := context.WithCancel(t.Context())
				if rand.N(10) == 0 {
					cancel() // loads are abandoned, too
				}
				reply, err := b.request(ctx, id)
				gaveUp := ctx.Err() != nil && errors.Is(err, context.Canceled)
				cancel()
				switch {
				case err != nil && !gaveUp:
					t.Errorf("a call is lost: %v", err)
				case err == nil && !strings.HasPrefix(reply.Value.String(), id.String()+"/"):
					t.Errorf("request(%v) = %q", id, reply.Value)
				case reply.Cached && reply.Age >= ttl:
					t.Errorf("a cached answer is %v old", reply.Age)
				}
			}
		})
	}
	stop := make(chan struct{})
	var mover sync.WaitGroup
	moves := 0
	mover.Go(func() {
		for ; !clock.IsDone(stop); moves++ {
			b.move()
			time.Sleep(rand.N(time.Millisecond))
		}
	})
	callers.Wait()
	close(stop)
	mover.Wait()
	b.flush(t)
	checkOnePlace(t, b)
	sent, _ := b.hands[0].Stats()
	t.Logf("%d runs, %d moves, %d answers handed over one way", runs.Load(), moves, sent)
	if runs.Load() < 100 || moves < 10 || sent < 100 {
		t.Error("not much of a storm")
	}
	b.close(t)
}

// checkOnePlace looks for one run's value in both registries.
func checkOnePlace(t *testing.T, b *switchboard) {
	seen := map[string]bool{}
	for _, r := range b.regs {
		for _, w := range r.Workers(math.MaxInt) {
			var reply worker.Reply
			if !r.Lookup(w.ID, r.Now(), false, &reply) {
				continue // it loads
			}
			if seen[reply.Value.String()] {
				t.Errorf("the value %s is in two places", reply.Value)
			}
			seen[reply.Value.String()] = true
		}
	}
}

// num returns the integer of an id that is one.
func num(id worker.ID) int64 {
	n, _ := id.Int64()
	return n
}
