package registry

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/worker"
)

// TestGate compares a gate with a list: no more runs go on than its size, and they begin
// in order.
func TestGate(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var g gate
		size := rapid.IntRange(0, 3).Draw(t, "size")
		g.resize(size)
		running := 0
		var queue []*turn // of the model
		begun := map[*turn]bool{}
		check := func() {
			for len(queue) > 0 && (size == 0 || running < size) {
				if !begun[queue[0]] {
					t.Fatal("a run waits although there is room")
				}
				queue = queue[1:]
				running++
			}
			if r, w := g.counts(); r != running || w != len(queue) {
				t.Fatalf("%d run and %d wait, want %d and %d", r, w, running, len(queue))
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"enter": func(t *rapid.T) {
				if want := len(queue) == 0 && (size == 0 || running < size); g.enter() != want {
					t.Fatalf("enter is %v, want %v", !want, want)
				} else if want {
					running++
				}
			},
			"queue": func(t *rapid.T) {
				var e *turn
				began := false
				e = g.queue(func() { began = true; begun[e] = true })
				begun[e] = began
				queue = append(queue, e)
			},
			"leave": func(t *rapid.T) {
				if running == 0 {
					t.Skip("nothing runs")
				}
				running--
				g.leave()
			},
			"withdraw": func(t *rapid.T) {
				if len(queue) == 0 {
					t.Skip("nothing waits")
				}
				i := rapid.IntRange(0, len(queue)-1).Draw(t, "index")
				e := queue[i]
				if !g.holds(e) || !g.withdraw(e) || g.withdraw(e) || g.holds(e) {
					t.Fatal("a run that waits is withdrawn once")
				}
				queue = append(queue[:i:i], queue[i+1:]...)
			},
			"resize": func(t *rapid.T) {
				size = rapid.IntRange(0, 3).Draw(t, "size")
				g.resize(size)
			},
			"": func(*rapid.T) { check() },
		})
	})
}

// A meter counts what runs at a time.
type meter struct{ now, most, all atomic.Int64 }

func (m *meter) run(ctx context.Context) error {
	m.all.Add(1)
	now := m.now.Add(1)
	defer m.now.Add(-1)
	for most := m.most.Load(); now > most && !m.most.CompareAndSwap(most, now); most = m.most.Load() {
	}
	if !clock.Sleep(ctx, time.Second) {
		return ctx.Err()
	}
	return nil
}

func (m *meter) Call(ctx context.Context, message worker.Value) (worker.Value, error) {
	return message, m.run(ctx)
}

// A limitedKind lets 3 runs go on at a time.
type limitedKind struct {
	worker.Kind
	ask func(*Registry, context.Context, worker.ID) (worker.Reply, error)
}

// limited returns the two sorts of kinds, whose runs are those of m.
func limited(m *meter) map[string]limitedKind {
	return map[string]limitedKind{
		"values": {
			worker.Cache{Load: func(ctx context.Context, _ worker.ID) (worker.Value, error) { return worker.Value{}, m.run(ctx) }, TTL: time.Minute, Timeout: 2 * time.Second, Concurrency: 3},
			func(r *Registry, ctx context.Context, id worker.ID) (worker.Reply, error) { return r.request(ctx, id) },
		},
		"servers": {
			worker.Serial{Open: func(context.Context, worker.ID) (worker.Server, error) { return m, nil }, TTL: time.Minute, Timeout: 2 * time.Second, Concurrency: 3},
			func(r *Registry, ctx context.Context, id worker.ID) (worker.Reply, error) {
				return r.await(ctx, id, worker.Value{}, r.Look())
			},
		},
	}
}

// TestConcurrency asks for more ids than may run at a time: the others wait, each with
// the whole of its time to come.
func TestConcurrency(t *testing.T) {
	t.Parallel()
	for name := range limited(nil) {
		t.Run(name, func(t *testing.T) {
			m := new(meter)
			k := limited(m)[name]
			inBubble(t, k.Kind, func(t *testing.T, r *Registry) {
				began := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				var wg sync.WaitGroup
				for id := range 30 {
					wg.Go(func() {
						if _, err := k.ask(r, ctx, worker.IntID(int64(id))); err != nil {
							t.Error(err)
						}
					})
				}
				time.Sleep(1500 * time.Millisecond)
				if s := r.Stats(); s.Running != 3 || s.Queued != 24 {
					t.Errorf("%d run and %d wait, want 3 and 24", s.Running, s.Queued)
				}
				time.Sleep(6 * time.Second)
				if n := r.Stuck(); n != 0 {
					t.Errorf("%d that wait for their turn count as stuck", n)
				}
				wg.Wait()
				if most := m.most.Load(); most != 3 {
					t.Errorf("%d at a time, want 3", most)
				}
				if took := time.Since(began); took != 10*time.Second {
					t.Errorf("all took %v, want 10s", took)
				}
			})
		})
	}
}

// TestConcurrencyGivenUp has callers give up while their ids wait for their turn: these
// never run, and nothing of them stays.
func TestConcurrencyGivenUp(t *testing.T) {
	t.Parallel()
	for name := range limited(nil) {
		t.Run(name, func(t *testing.T) {
			m := new(meter)
			k := limited(m)[name]
			inBubble(t, k.Kind, func(t *testing.T, r *Registry) {
				var wg sync.WaitGroup
				for id := range 30 {
					timeout := time.Minute
					if id >= 3 {
						timeout = 100 * time.Millisecond
					}
					wg.Go(func() {
						ctx, cancel := context.WithTimeout(t.Context(), timeout)
						defer cancel()
						_, err := k.ask(r, ctx, worker.IntID(int64(id)))
						if timeout < time.Minute && (!errors.Is(err, context.DeadlineExceeded) || outcomeOf(err) != worker.OutcomeNotRun) {
							t.Errorf("id %d: %v, %v", id, err, outcomeOf(err))
						}
					})
					synctest.Wait()
				}
				time.Sleep(200 * time.Millisecond)
				synctest.Wait()
				if s := r.Stats(); s.Running != 3 || s.Queued != 0 || s.Workers != 3 || s.Waiting > 3 {
					t.Errorf("after they have gone: %+v", s)
				}
				wg.Wait()
				if all := m.all.Load(); all != 3 {
					t.Errorf("%d runs, want 3", all)
				}
				if _, err := k.ask(r, t.Context(), worker.IntID(7)); err != nil {
					t.Errorf("one of them again: %v", err)
				}
			})
		})
	}
}

// TestConcurrencyChanges has the bound change while runs wait.
func TestConcurrencyChanges(t *testing.T) {
	t.Parallel()
	m := new(meter)
	k := limited(m)["values"]
	inBubble(t, k.Kind, func(t *testing.T, r *Registry) {
		var wg sync.WaitGroup
		for id := range 10 {
			wg.Go(func() { _, _ = k.ask(r, t.Context(), worker.IntID(int64(id))) })
		}
		synctest.Wait()
		more := k.Kind.(worker.Cache)
		more.Concurrency = 8
		r.SetKind(more)
		synctest.Wait()
		if now := m.now.Load(); now != 8 {
			t.Errorf("%d run, want 8", now)
		}
		more.Concurrency = 0
		r.SetKind(more)
		synctest.Wait()
		if now := m.now.Load(); now != 10 {
			t.Errorf("%d run, want all 10", now)
		}
		wg.Wait()
	})
}

// TestConcurrencyCloses closes a registry while runs wait for their turn.
func TestConcurrencyCloses(t *testing.T) {
	t.Parallel()
	for name := range limited(nil) {
		t.Run(name, func(t *testing.T) {
			m := new(meter)
			k := limited(m)[name]
			synctest.Test(t, func(t *testing.T) {
				r := testRegistry(k.Kind, "1@h", 100)
				outcomes := make(chan string, 30)
				for id := range cap(outcomes) {
					go func() {
						_, err := k.ask(r, t.Context(), worker.IntID(int64(id)))
						if err == nil {
							outcomes <- "ok"
						} else {
							outcomes <- fmt.Sprint(outcomeOf(err))
						}
					}()
				}
				synctest.Wait()
				ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
				defer cancel()
				if err := r.Close(ctx); err != nil {
					t.Error(err)
				}
				got := map[string]int{}
				for range cap(outcomes) {
					got[<-outcomes]++
				}
				if got["ok"] != 3 || got["unknown"] > 3 || got["ok"]+got["unknown"]+got["not run"] != cap(outcomes) {
					t.Errorf("outcomes %v; %d runs", got, m.all.Load())
				}
			})
		})
	}
}
