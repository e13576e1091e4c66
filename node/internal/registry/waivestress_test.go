package registry

import (
	"context"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// A rival is a model of another node. It takes ids under a view when the registry of a test
// says that it has no server of them, and gives them back when the registry claims them.
type rival struct {
	t    *testing.T
	mu   sync.Mutex
	view int              // guarded by mu, as all below
	has  map[int64]bool   // it has a server of the id
	took map[int64]uint64 // how often it has had one
	sum  int              // of took
}

// own reports whether the id is the registry's under a view, and not the rival's.
func own(view int, id int64) bool {
	return uint64(view+1)*0x9E3779B97F4A7C15*uint64(id+7)>>40%2 == 0
}

func (o *rival) current() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.view
}

// keep is own under the view that there is when it is called.
func (o *rival) keep(id worker.ID) bool { return own(o.current(), num(id)) }

func (o *rival) claim(_ context.Context, id worker.ID) *wire.Error {
	if rand.IntN(4) == 0 {
		time.Sleep(time.Duration(rand.IntN(100)) * time.Microsecond)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if !own(o.view, num(id)) {
		return &wire.Error{Code: wire.NotOwner, Outcome: wire.NotRun}
	}
	o.has[num(id)] = false
	return nil
}

// check fails the test if the rival has a server of the id, or has had one since took was
// another number.
func (o *rival) check(what string, id worker.ID, took uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.has[num(id)] || o.took[num(id)] != took {
		o.t.Errorf("%s of %s: another node has a server: %t, and has had %d, %d when this one began",
			what, id, o.has[num(id)], o.took[num(id)], took)
	}
}

// open returns a server that must end before the rival has one.
func (o *rival) open(id worker.ID, ran func(worker.Value)) *rivaled {
	o.mu.Lock()
	s := &rivaled{o: o, id: id, took: o.took[num(id)], ran: ran}
	o.mu.Unlock()
	o.check("open", id, s.took)
	return s
}

// take takes ids as a node does that claims them: it asks once which of them it has to wait
// for, and for these until they are free.
func (o *rival) take(r *Registry, ids []int64) {
	view := o.current()
	held, more := r.Held(view, func(id worker.ID) bool { return own(view, num(id)) }, 1+rand.IntN(len(ids)))
	for _, n := range ids {
		id := worker.IntID(n)
		if own(view, n) || rand.IntN(4) == 0 {
			continue
		}
		free := !more && !slices.Contains(held, id)
		for i := 0; !free && i < 20; i++ {
			if free = !r.Yield(id, o.keep); !free {
				time.Sleep(50 * time.Microsecond)
			}
		}
		o.mu.Lock()
		if free && o.view == view {
			o.has[n] = true
			o.took[n]++
			o.sum++
		}
		o.mu.Unlock()
	}
}

type rivaled struct {
	o    *rival
	id   worker.ID
	took uint64
	ran  func(worker.Value)
}

func (s *rivaled) Call(_ context.Context, m worker.Value) (worker.Value, error) {
	s.o.check("start", s.id, s.took)
	defer s.o.check("end", s.id, s.took)
	s.ran(m)
	if rand.IntN(8) == 0 {
		time.Sleep(time.Duration(rand.IntN(200)) * time.Microsecond)
	}
	if rand.IntN(100) == 0 {
		runtime.Goexit()
	}
	return m, nil
}

// A terminatedRival has something to do at its end.
type terminatedRival struct{ *rivaled }

func (s terminatedRival) Terminate(context.Context, worker.EndReason) {
	s.o.check("terminate", s.id, s.took)
	time.Sleep(time.Duration(rand.IntN(100)) * time.Microsecond)
	s.o.check("terminated", s.id, s.took)
}

// TestWaiveStress has servers called, stopped, halted, expire and change their kind while ids
// move to another node and back: no two nodes have a server of one id, no server comes back
// after another node had one, and nothing is left of those that were waived.
func TestWaiveStress(t *testing.T) {
	t.Parallel()
	const calls, callers = 400, 4
	for _, inline := range []bool{false, true} {
		o := &rival{t: t, has: map[int64]bool{}, took: map[int64]uint64{}}
		var ran [callers * calls]atomic.Int32
		kind := func() worker.Kind {
			terminates := rand.IntN(4) == 0
			ttl := time.Hour
			if rand.IntN(2) == 0 {
				ttl = time.Duration(1+rand.IntN(20)) * time.Millisecond
			}
			return worker.Serial{
				TTL: ttl, Inline: inline && rand.IntN(4) > 0, Concurrency: rand.IntN(4),
				Open: func(_ context.Context, id worker.ID) (worker.Server, error) {
					s := o.open(id, func(m worker.Value) { n, _ := m.Int(); ran[n].Add(1) })
					if terminates {
						return terminatedRival{s}, nil
					}
					return s, nil
				},
			}
		}
		r := testRegistry(kind(), "1@h", 100)
		hostOf(r).claim = o.claim
		var ids []int64 // of two shards
		for n := int64(0); len(ids) < 16; n++ {
			if s := r.shard(worker.IntID(n)); s == &r.shards[0] || s == &r.shards[1] {
				ids = append(ids, n)
			}
		}
		anyID := func() worker.ID { return worker.IntID(ids[rand.IntN(len(ids))]) }
		stop := make(chan struct{})
		var disturbers, calling sync.WaitGroup
		disturb := func(pause int, f func()) {
			disturbers.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					f()
					time.Sleep(time.Duration(rand.IntN(pause)) * time.Microsecond)
				}
			})
		}
		mostWaived := 0
		disturb(2000, func() { // the view changes, back and forth
			o.mu.Lock()
			o.view++
			o.mu.Unlock()
		})
		disturb(300, func() { o.take(r, ids) })
		disturb(300, func() { o.take(r, ids) })
		disturb(2000, func() {
			before := o.current()
			if r.Retain(o.keep); o.current() == before {
				r.Settled(before)
			}
		})
		disturb(300, func() { r.Stop(anyID()) })
		disturb(3000, func() { r.SetKind(kind()) })
		disturb(5000, func() {
			switch rand.IntN(3) {
			case 0:
				r.Halt()
				time.Sleep(time.Duration(rand.IntN(200)) * time.Microsecond)
				r.Resume()
			case 1:
				ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
				r.Quiesce(ctx)
				cancel()
				r.Release()
			default:
				standStill(r)
			}
		})
		disturb(300, func() {
			r.Sweep()
			r.GiveUp(anyID())
			r.Has(anyID())
			r.Inspect(anyID())
			r.Workers(100)
			r.Stats()
			r.Count()
			s := &r.shards[rand.IntN(2)]
			s.mu.Lock()
			mostWaived = max(mostWaived, len(s.waivers))
			s.mu.Unlock()
		})
		for caller := range callers {
			calling.Go(func() {
				for n := range calls {
					call, id, now := caller*calls+n, anyID(), r.Now()
					deadline := now + time.Second
					if rand.IntN(8) == 0 {
						deadline = now // it is too late for the call
					}
					message := worker.IntValue(int64(call))
					reply, err, inlined := r.RunInline(id, message, "", "", deadline, clock.Moment{Now: now})
					if !inlined {
						c := &stressed{Waiter: Waiter{ID: id, Message: message, Deadline: deadline}}
						answered, once := c.enqueue(t, r, now)
						if !answered {
							return
						}
						defer once()
						reply, err = c.reply, c.err
					}
					got, _ := reply.Value.Int()
					switch times := ran[call].Load(); {
					case err == nil && (times != 1 || got != int64(call)):
						t.Errorf("call %d was answered with %d, and ran %d times", call, got, times)
					case err != nil && outcomeOf(err) == worker.OutcomeNotRun:
						defer func() {
							if ran[call].Load() > 0 {
								t.Errorf("call %d has run, and failed with %v", call, err)
							}
						}()
					}
				}
			})
		}
		calling.Wait()
		close(stop)
		disturbers.Wait()
		r.Resume()
		none := func() {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if !r.actor.awaitNone(ctx) {
				t.Error("a server runs on")
			}
		}
		none()
		r.Retain(o.keep)
		none()
		for i := range 2 {
			s := &r.shards[i]
			s.mu.Lock()
			mustEnd := 0
			for w := range s.workers.all() {
				if mustEnd += terminators(w.mail); w.mail.server == nil || w.mail.work != nil {
					t.Errorf("%s has no server, or work: %+v", w.id, w.mail)
				}
			}
			if s.mustEnd != mustEnd || len(s.waivers) > 0 || len(s.running) > 0 {
				t.Errorf("%d servers have something to do at their end, and %d count; %d waivers, %d run", mustEnd, s.mustEnd, len(s.waivers), len(s.running))
			}
			s.mu.Unlock()
		}
		asks := make(chan struct{})
		go func() { // others ask while the registry closes
			defer close(asks)
			for range 50 {
				o.take(r, ids)
			}
		}()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if err := r.Close(ctx); err != nil {
			t.Error(err)
		}
		cancel()
		<-asks
		if running, waiting := r.gate.counts(); running != 0 || waiting != 0 || r.admission.waiting.Load() != 0 || r.live() != 0 {
			t.Errorf("%d have a turn, %d wait for one, %d calls wait, and %d servers live, when all is over",
				running, waiting, r.admission.waiting.Load(), r.live())
		}
		served := 0
		for n := range ran {
			served += int(ran[n].Load())
			if ran[n].Load() > 1 {
				t.Errorf("message %d ran %d times", n, ran[n].Load())
			}
		}
		t.Logf("%d messages, %d times another node had an id in %d views, %d waivers at a time", served, o.sum, o.view, mostWaived)
	}
}
