package registry

import (
	"context"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/worker"
)

// A stressed call notes how often it was answered, and what became of it.
type stressed struct {
	Waiter
	answers atomic.Int32
	err     error
	reply   worker.Reply
	done    chan struct{}
}

func (c *stressed) Answer(reply worker.Reply, err error) {
	if c.answers.Add(1) == 1 {
		c.reply, c.err = reply, err
		close(c.done)
	}
}

// enqueue makes a call, which may be withdrawn soon, and waits for its answer. Once checks
// that it had no other one; it is to be called when all is over. Answered is false if there
// was none within 20 s.
func (c *stressed) enqueue(t *testing.T, r *Registry, now time.Duration) (answered bool, once func()) {
	c.done, c.To, c.Async = make(chan struct{}), c, rand.IntN(2) == 0
	if rand.IntN(2) == 0 {
		withdrawn := make(chan struct{})
		go func() {
			defer close(withdrawn)
			time.Sleep(time.Duration(rand.IntN(200)) * time.Microsecond)
			r.Withdraw(&c.Waiter, context.Canceled)
		}()
		defer func() { <-withdrawn }()
	}
	r.Enqueue(&c.Waiter, now)
	select {
	case <-c.done:
	case <-time.After(20 * time.Second):
		t.Errorf("call %s for %s was not answered", c.Message, c.ID)
		return false, nil
	}
	return true, func() {
		if n := c.answers.Load(); n != 1 {
			t.Errorf("call %s was answered %d times", c.Message, n)
		}
	}
}

// TestStrictStress has calls of strict kinds begin, withdraw and be given up while the lease ends
// and begins, the kind changes and ids move: each call is answered once, what was not run did not
// run, no value is older than an invalidation or a lease, and nothing is left of a turn.
func TestStrictStress(t *testing.T) {
	t.Parallel()
	const ids, calls = 8, 400
	for _, name := range []string{"cache", "inline cache", "server", "inline server"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inline := name[0] == 'i'
			serial := name[len(name)-1] == 'r'
			g := &fakeGuard{now: 1, held: 1, changed: make(chan struct{})}
			var versions, floors [ids]atomic.Int64
			var ran [4 * calls]atomic.Int32
			kind := func() worker.Kind {
				concurrency := rand.IntN(4)
				if serial {
					return worker.Serial{TTL: time.Duration(1+rand.IntN(20)) * time.Millisecond, Inline: inline, Concurrency: concurrency, Open: func(context.Context, worker.ID) (worker.Server, error) {
						return serverFunc(func(ctx context.Context, m worker.Value) (worker.Value, error) {
							n, _ := m.Int()
							ran[n].Add(1)
							if rand.IntN(8) == 0 {
								time.Sleep(time.Duration(rand.IntN(200)) * time.Microsecond)
							}
							if rand.IntN(50) == 0 {
								runtime.Goexit()
							}
							return m, nil
						}), nil
					}}
				}
				return worker.Cache{TTL: time.Duration(1+rand.IntN(20)) * time.Millisecond, StaleWhileRevalidate: time.Duration(rand.IntN(5)) * time.Millisecond,
					ErrorTTL: time.Millisecond, Inline: inline, Concurrency: concurrency, Load: func(ctx context.Context, id worker.ID) (worker.Value, error) {
						i, _ := id.Int64()
						v := versions[i].Load()
						if rand.IntN(4) == 0 {
							time.Sleep(time.Duration(rand.IntN(300)) * time.Microsecond)
						}
						if ctx.Err() != nil || rand.IntN(20) == 0 {
							return worker.Value{}, context.Canceled
						}
						return worker.IntValue(v), nil
					}}
			}
			r := testRegistry(kind(), "1@h", 100)
			r.guard = g
			stop := make(chan struct{})
			var disturbers, callers sync.WaitGroup
			disturb := func(f func(i int, id worker.ID)) {
				disturbers.Go(func() {
					for {
						select {
						case <-stop:
							return
						default:
						}
						i := rand.IntN(ids)
						f(i, worker.IntID(int64(i)))
						time.Sleep(time.Duration(rand.IntN(100)) * time.Microsecond)
					}
				})
			}
			disturb(func(i int, id worker.ID) { // others change what all values are of, and this node has another lease
				if rand.IntN(4) > 0 {
					return
				}
				g.refuse(true)
				var changed [ids]int64
				for i := range versions {
					changed[i] = versions[i].Add(1)
				}
				g.lose()
				for i, v := range changed {
					lift(&floors[i], v)
				}
				time.Sleep(time.Duration(rand.IntN(500)) * time.Microsecond)
				g.refuse(false)
			})
			disturb(func(i int, id worker.ID) {
				v := versions[i].Add(1)
				ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
				defer cancel()
				if serial {
					r.Stop(id)
				} else if _, err := r.InvalidateStrictly(ctx, id); err == nil {
					lift(&floors[i], v)
				}
			})
			disturb(func(_ int, id worker.ID) { r.GiveUp(id) })
			disturb(func(_ int, id worker.ID) {
				r.AppendRunning(nil, rand.IntN(3), func(id worker.ID) bool { return id.Hash()%2 == 0 })
				r.Inspect(id)
				r.Workers(100)
				r.Stats()
				r.Count()
			})
			disturb(func(i int, _ worker.ID) {
				r.SetKind(kind())
				r.Retain(func(id worker.ID) bool { n, _ := id.Int64(); return int(n) != i })
				r.Retain(everything)
				r.Sweep()
			})
			for caller := range 4 {
				callers.Go(func() {
					for n := range calls {
						call, i := caller*calls+n, rand.IntN(ids)
						id, message := worker.IntID(int64(i)), worker.IntValue(int64(call))
						floor, now := floors[i].Load(), r.Now()
						var reply worker.Reply
						var err error
						if r.Lookup(id, now, true, &reply) {
							// it is the answer
						} else if reply1, err1, inlined := r.RunInline(id, message, "", "", now+time.Second, clock.Moment{Now: now}); inlined {
							reply, err = reply1, err1
						} else {
							c := &stressed{Waiter: Waiter{ID: id, Message: message, Deadline: now + time.Second}}
							answered, once := c.enqueue(t, r, now)
							if !answered {
								return
							}
							defer once()
							reply, err = c.reply, c.err
						}
						got, _ := reply.Value.Int()
						switch {
						case serial && err == nil && (ran[call].Load() != 1 || got != int64(call)):
							t.Errorf("call %d was answered with %d, and ran %d times", call, got, ran[call].Load())
						case !serial && err == nil && (got < floor || reply.Token.IsZero()):
							t.Errorf("version %d of %s, want at least %d: %+v", got, id, floor, reply)
						}
						if serial && outcomeOf(err) == worker.OutcomeNotRun && err != nil {
							defer func() {
								if ran[call].Load() > 0 {
									t.Errorf("call %d has run, and failed with %v", call, err)
								}
							}()
						}
					}
				})
			}
			callers.Wait()
			close(stop)
			disturbers.Wait()
			g.refuse(false)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if err := r.Close(ctx); err != nil {
				t.Error(err)
			}
			if running, waiting := r.gate.counts(); running != 0 || waiting != 0 || r.admission.waiting.Load() != 0 {
				t.Errorf("%d have a turn, %d wait for one, and %d calls wait, when all is over", running, waiting, r.admission.waiting.Load())
			}
			if !serial && r.cache.memory.used.Load() != 0 {
				t.Errorf("%d bytes are in use", r.cache.memory.used.Load())
			}
			for n := range ran {
				if ran[n].Load() > 1 {
					t.Errorf("message %d ran %d times", n, ran[n].Load())
				}
			}
		})
	}
}

// lift raises a number to at least v.
func lift(n *atomic.Int64, v int64) {
	for old := n.Load(); old < v && !n.CompareAndSwap(old, v); old = n.Load() {
	}
}
