// Package registry holds the workers of one kind on one node: at most one for an id.
//
// A [Registry] is a table and one of two machines over it. The table (table.go, index.go)
// finds the worker of an id in its shard, ends workers in time (expiry.go), bounds the
// calls that wait (admission.go) and the runs that go on at a time (gate.go), lists the
// workers (census.go) and counts (counters.go).
//
// The cache (cache.go) answers from values. It loads a value once for all the calls that
// wait (load.go, run.go), gives an old one meanwhile if the kind says so (stale.go), and
// keeps it until it expires, is invalidated (invalidate.go), memory is short (values.go)
// or the id moves to another node (handoff.go).
//
// The actor (actor.go, serve.go) has servers. The messages of an id wait in a mailbox
// (mailbox.go), and one goroutine at a time gives them to the server; it may be that of a
// caller (inline.go). Before the first one it claims the id, so that no other node has a
// server of it. A message has a context (messagecontext.go). quiesce.go halts the
// servers of a node that leaves. When ids have moved, held.go names the servers that have
// yet to end to other nodes, and waive.go has the others count as ended.
//
// If the kind is strict, a [Guard] permits each message before it runs, and each answer
// (strict.go).
//
// Both run code of the kind by way of source.go, which turns panics into errors, on
// goroutines that are used again (run.go, runners.go).
//
// Invariants:
//
//   - Lookup, enqueueing and expiry are each one step under the lock of the id's shard, so
//     no call is lost to a worker that is just ending: TestNoCallLostAtExpiry.
//   - A worker is removed only if it still is the worker of its id: TestCompareBeforeDelete.
//   - Runs of one id never overlap, here or by a successor of the kind (see
//     Config.PredecessorDone): TestRunsNeverOverlap, TestSharedLoad, TestKindRemovedTwice.
//   - Messages of one id run in the order in which they came: TestSerialOrder.
//   - The value of a run that began before an invalidation is not kept, and no later call
//     gets it: TestReadYourWrites, TestInvalidateAbandoned.
//   - Workers that move leave most of the processor to calls, and servers that have nothing
//     to do at their end need no goroutine for it: TestRetainRests, TestMovedServers,
//     TestHaltServers.
//   - A server that another node need not wait for does not come back: TestWaive,
//     TestWaiveNamesRunning, TestWaiveWhileRetaining, TestWaiveStress. Nobody sees it either:
//     TestWaivedIsNoServer.
//   - No lock is held while a source, a server or a method of the [Host] runs.
//   - What a server of a strict kind knows ends with the right to the id, and so does its
//     answer: TestGuard, TestFenced.
//   - Calls that wait, their messages and the values in memory are bounded: TestOverload,
//     TestSerialOverload, TestMaxMemory.
package registry

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/distproc/distproc/node/internal/chain"
	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/internal/trace"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// A Registry holds the live workers of one kind on this node, at most one for an id.
type Registry struct {
	*table
	cache   *cache    // nil if the kind is serial
	actor   *actor    // nil unless the kind is serial
	callers sync.Pool // of *caller
}

// Name returns the name of the kind.
func (r *Registry) Name() string { return r.name }

// Serial reports whether the workers are servers, which take messages, instead of having
// values.
func (r *Registry) Serial() bool { return r.actor != nil }

// SetKind changes the kind. Live workers go on as they were started. The kind must be
// serial if the registry is.
func (r *Registry) SetKind(kind worker.Kind) {
	r.machine.setKind(kind)
	r.gate.resize(r.machine.current().concurrency)
}

// TTL returns how long new workers live.
func (r *Registry) TTL() time.Duration { return r.machine.current().ttl }

// Timeout returns how long new runs may take.
func (r *Registry) Timeout() time.Duration { return r.machine.current().timeout }

// Definition returns the text that nodes compare, or "".
func (r *Registry) Definition() string { return r.machine.current().definition }

// Exclusive reports whether another node must not answer a request that may have run.
func (r *Registry) Exclusive() bool { return r.cache != nil && r.cache.policy.Load().exclusive }

// Done is closed when nothing runs any more, neither here nor of the kinds that had the
// name before.
func (r *Registry) Done() <-chan struct{} { return r.done }

// Await waits for the worker of id, or for its server's answer to a message, until ctx
// ends. Without a deadline in ctx it waits for [worker.DefaultTimeout]. It reports how long
// it took.
func (r *Registry) Await(ctx context.Context, id worker.ID, message worker.Value) (reply worker.Reply, took time.Duration, err error) {
	began := r.Look()
	reply, err = r.await(ctx, id, message, began)
	return reply, r.Now() - began.Now, err
}

func (r *Registry) await(
	ctx context.Context, id worker.ID, message worker.Value, now clock.Moment,
) (worker.Reply, error) {
	trace, links, deadline := trace.Of(ctx), chain.Of(ctx), now.Now+clock.Left(ctx)
	if err := chain.Check(links, r.name, id); err != nil {
		return worker.Reply{}, err
	}
	if reply, err, ran := r.RunInline(id, message, trace, links, deadline, now); ran {
		return reply, err
	}
	c := r.callers.Get().(*caller)
	c.Waiter.ID, c.Message, c.Trace, c.Chain, c.Deadline, c.canceled = id, message, trace, links, deadline, false
	r.Enqueue(&c.Waiter, now.Now)
	c.wait(ctx)
	reply, err := c.reply, c.err
	c.Message, c.reply, c.err = worker.Value{}, worker.Reply{}, nil // they may be large
	r.callers.Put(c)
	return reply, err
}

// Lookup answers at once if the worker of id has its value now. Own says that the request
// was made at this node, which counts it then.
func (r *Registry) Lookup(id worker.ID, now time.Duration, own bool, reply *worker.Reply) bool {
	return r.cache != nil && r.cache.lookup(id, now, own, reply)
}

// Look returns the time for RunInline.
func (r *Registry) Look() clock.Moment {
	if r.actor != nil && r.actor.policy.Load().inline {
		return r.glance()
	}
	return clock.Moment{Now: r.Now()}
}

// RunInline answers a call on the caller's goroutine, if the kind says that it never
// blocks: it loads the value of an id that has no worker, or gives the message to a server
// that does nothing else. Ran is false if it did neither. Other callers wait meanwhile. Now
// is what Look has just returned.
func (r *Registry) RunInline(
	id worker.ID, message worker.Value, trace, links string, deadline time.Duration, now clock.Moment,
) (reply worker.Reply, err error, ran bool) {
	if r.cache != nil {
		return r.cache.runInline(id, trace, links, deadline, now.Now)
	}
	return r.actor.runInline(id, message, trace, links, deadline, now)
}

// Enqueue answers a call from the worker's value, or lets it wait for the worker.
func (r *Registry) Enqueue(call *Waiter, now time.Duration) { r.machine.enqueue(call, now) }

// Withdraw answers a call with why, unless it has been answered.
func (r *Registry) Withdraw(call *Waiter, why error) {
	s := r.shard(call.ID)
	s.mu.Lock()
	w := call.worker
	if w == nil {
		call.canceled = true // in case it is not enqueued yet
		s.mu.Unlock()
		return
	}
	outcome := r.machine.withdrawLocked(s, w, call)
	s.mu.Unlock()
	r.admission.leave(call)
	call.To.Answer(worker.Reply{}, wire.Ended(why, outcome))
}

// Stop ends the worker of id, a server when it has answered the message that it has, and
// reports whether there was one.
func (r *Registry) Stop(id worker.ID) bool { return r.machine.stop(id) }

// Retain drops the workers whose ids keep refuses. A cache hands their answers off. A
// worker with a run goes when that ends. Dropping a worker and taking its answer is one
// step, so the answer has one place: a later call to this node starts anew.
//
// Keep is called under the lock of the id's shard, so that it can look at the newest
// view: no worker that starts under a view is then refused by an older one. Calls wait
// for a few workers of their shard at most. Retain takes its time: it waits for room for
// the answers, and leaves most of the processor to calls, unless the node hurries.
func (r *Registry) Retain(keep func(worker.ID) bool) {
	p := newPace(r.ctx, r.host)
	for i := range r.shards {
		s := &r.shards[i]
		r.machine.retain(s, keep, p)
		s.mu.Lock()
		s.tidyLocked()
		s.mu.Unlock()
		p.rest()
	}
}

// Close refuses new runs and messages, gives the running ones until ctx ends, then
// cancels them. It fails if a source does not heed that within a second.
func (r *Registry) Close(ctx context.Context) error {
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		s.closed = true
		s.mu.Unlock()
	}
	r.machine.drain()
	idle := make(chan struct{})
	go func() {
		r.wg.Wait()
		if r.actor != nil {
			r.actor.awaitNone(context.Background())
		}
		close(idle)
		if r.predecessorDone != nil {
			<-r.predecessorDone
		}
		close(r.done)
	}()
	select {
	case <-idle:
	case <-ctx.Done():
	}
	r.cancel()
	r.interrupt()
	r.sweeper.stop()
	r.machine.clear()
	select {
	case <-idle:
		r.runners.end()
		return nil
	case <-time.After(time.Second):
		go r.runners.end()
		return errors.New("a source runs on although its context has ended")
	}
}

// interrupt ends all that runs. What waits for its turn is refused before that, so that
// it does not begin.
func (r *Registry) interrupt() {
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		waiters := r.machine.abortLocked(s)
		s.mu.Unlock()
		r.refuse(waiters, &wire.Error{Code: wire.Closed, Outcome: wire.NotRun})
	}
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		r.machine.interruptLocked(s)
		s.mu.Unlock()
	}
}
