// Package registry holds the workers of one kind on one node: at most one for an id.
//
// A table of shards (index.go) finds the worker of an id: [Registry.Lookup] returns a
// value that is there, [Registry.Enqueue] lets a call wait for one, and [Registry.Await]
// does so for a goroutine of this node. Two machines use that table. The cache (load.go,
// run.go) runs a source once for all the calls that wait, and keeps the value until it
// expires (expiry.go), is invalidated (invalidate.go) or memory is short (memory.go). The
// actor (serial.go, mailbox.go) runs a server instead, which takes messages one after the
// other; hold.go quiesces the servers of a node that leaves. gate.go bounds the runs that
// go on at a time, and admission.go the calls that wait. moving.go gives away the answers
// of ids that have another owner, and adopts those of other nodes. census.go lists the
// workers, and tally.go counts.
//
// Invariants:
//
//   - Lookup, enqueueing and expiry are each one step under the lock of the id's shard, so no call is
//     lost to a worker that is just ending.
//   - A worker is removed only if it still is the worker of its id.
//   - Runs of one id never overlap, here or by a successor of the kind: see Config.Before.
//   - The value of a run that began before an invalidation is not kept, and no later call gets it.
//   - No lock is held while a source, a server or a method of the [Host] runs.
//   - Calls that wait, their messages and the values in memory are bounded.
package registry

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/distproc/distproc/internal/text"
	"github.com/distproc/distproc/node/boundedlog"
	"github.com/distproc/distproc/node/internal/chain"
	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// A Registry holds the live workers of one kind on this node, at most one for an id.
// Looking one up, waiting for it, and its expiry are each one step under the lock of its
// shard, so no call is lost to a worker that is just dying.
type Registry struct {
	name      string                      // of the kind
	kind      atomic.Pointer[worker.Kind] // that new workers have
	node      string
	admission *Admission // for calls that wait
	values    *Values    // of all kinds of the node
	memory    memory     // of this kind's values
	gate      gate       // for runs
	log       *slog.Logger
	crashes   *boundedlog.Limit // of lines with stacks
	base      time.Time         // of the registry's clock
	slept     atomic.Int64      // for how long the machine was suspended since, which counts
	serial    bool              // its workers have mailboxes instead of values
	tally     tally
	shards    [shardCount]shard

	before <-chan struct{} // over of the last kind that had the name; nil if there was none
	host   Host

	callers sync.Pool // of *caller
	runners *runners
	over    chan struct{}   // closed when nothing runs any more, neither here nor of the kinds that had the name before
	ctx     context.Context // ends with the registry
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	sweeper sweeper
}

const shardCount = 64

type shard struct {
	mu      sync.Mutex
	workers index      // guarded by mu
	loading []*entry   // whose source runs; guarded by mu
	expiry  expiryHeap // guarded by mu
	leaving bool       // answers go to other nodes, though they stay; guarded by mu
	closed  bool       // no load starts any more; guarded by mu
	held    bool       // no message runs any more; guarded by mu
	gone    outdated   // invalidated ids; guarded by mu
	answers uint64     // given since the start; guarded by mu
	hits    uint64     // of these, to requests made at this node from a worker's value; guarded by mu
	expired uint64     // workers, since the start; guarded by mu
	evicted uint64     // workers that went before their time to free memory; guarded by mu
	_       [64]byte   // keeps shards apart in the cache
}

// SetKind changes the kind. Workers that live go on as they were started.
func (r *Registry) SetKind(kind worker.Kind) {
	kind = withDefaults(kind)
	r.kind.Store(&kind)
	r.gate.resize(kind.Concurrency)
	r.memory.limit.Store(kind.MaxBytes)
	r.makeRoom()
}

// Name returns the name of the kind.
func (r *Registry) Name() string { return r.name }

// Kind returns the kind that new workers have.
func (r *Registry) Kind() *worker.Kind { return r.kind.Load() }

// Serial reports whether the workers are servers, which take messages, instead of having
// values.
func (r *Registry) Serial() bool { return r.serial }

// Over is closed when nothing runs any more, neither here nor of the kinds that had the
// name before.
func (r *Registry) Over() <-chan struct{} { return r.over }

// Now returns the time on the registry's clock.
func (r *Registry) Now() time.Duration { return time.Since(r.base) + time.Duration(r.slept.Load()) }

// At returns what the registry's clock says at a time since the machine was last
// suspended.
func (r *Registry) At(t time.Time) time.Duration {
	return t.Sub(r.base) + time.Duration(r.slept.Load())
}

// when is the inverse of At.
func (r *Registry) when(at time.Duration) time.Time {
	return r.base.Add(at - time.Duration(r.slept.Load()))
}

// Suspended has the clock go on by the time for which the machine was suspended, which
// that of package time does not count, and drops what has expired.
func (r *Registry) Suspended(d time.Duration) {
	r.slept.Add(int64(d))
	r.sweep()
}

// shard returns the shard of id, by Fibonacci hashing (Knuth, The Art of Computer
// Programming, 6.4).
func (r *Registry) shard(id worker.ID) *shard {
	return &r.shards[id.Hash()*0x9E3779B97F4A7C15>>32%shardCount]
}

// Await waits for the worker of id, or for its server's answer to a message, until ctx
// ends. Without a deadline in ctx it waits for [worker.DefaultTimeout].
func (r *Registry) Await(ctx context.Context, id worker.ID, message worker.Value) (worker.Reply, error) {
	return r.await(ctx, id, message, r.Now())
}

// await waits for the worker of id, or for its server's answer to a message.
func (r *Registry) await(ctx context.Context, id worker.ID, message worker.Value, now time.Duration) (worker.Reply, error) {
	trace, chain, deadline := worker.TraceOf(ctx), chain.Of(ctx), now+clock.Left(ctx)
	if reply, err, ran := r.RunInline(id, trace, chain, deadline, now); ran {
		return reply, err
	}
	c := r.callers.Get().(*caller)
	c.Waiter.ID, c.Message, c.Trace, c.Chain, c.Deadline, c.canceled = id, message, trace, chain, deadline, false
	r.Enqueue(&c.Waiter, now)
	c.wait(ctx, r)
	reply, err := c.reply, c.err
	c.Message, c.reply, c.err = worker.Value{}, worker.Reply{}, nil // they may be large
	r.callers.Put(c)
	return reply, err
}

// Lookup answers at once, if the worker of id has its value now. Own requests are
// counted.
func (r *Registry) Lookup(id worker.ID, now time.Duration, own bool, reply *worker.Reply) bool {
	s := r.shard(id)
	s.mu.Lock()
	w := s.workers.get(id)
	if w == nil || w.load != nil || w.expires <= now || w.err != nil || w.mail != nil {
		s.mu.Unlock()
		return false
	}
	*reply = r.hitLocked(s, w, now)
	if own {
		s.hits++
	}
	s.mu.Unlock()
	r.logReply("Cached value returned", id, reply)
	return true
}

func (r *Registry) hitLocked(s *shard, w *entry, now time.Duration) worker.Reply {
	s.answers++
	w.hitLocked()
	w.useLocked(now)
	if w.kind.FromUse {
		w.expires = now + w.kind.TTL
	}
	return worker.Reply{Value: w.value, Node: r.node, Cached: true, Age: max(0, now-w.started), TTL: w.expires - now}
}

// staleLocked is hitLocked for a value that is past its time.
func (r *Registry) staleLocked(s *shard, w *entry, now time.Duration) worker.Reply {
	s.answers++
	w.hitLocked()
	return worker.Reply{Value: w.value, Node: r.node, Cached: true, Stale: true, Age: now - w.started}
}

// renewLocked removes a worker that has expired and was not swept yet. If its value may
// be given as stale, a successor loads.
func (r *Registry) renewLocked(s *shard, w *entry, now time.Duration) (successor *entry) {
	s.workers.remove(w)
	s.expired++
	if !w.usable(now) || s.closed {
		r.releaseLocked(w)
		return nil
	}
	successor = r.startLocked(s, w.id, now, nil)
	successor.load.stale = w
	return successor
}

// Enqueue answers c from the worker's value, or lets it wait for the worker.
func (r *Registry) Enqueue(c *Waiter, now time.Duration) {
	if r.serial {
		r.post(c, now)
		return
	}
	s := r.shard(c.ID)
	s.mu.Lock()
	w := s.workers.get(c.ID)
	if w.due(now) {
		w = r.renewLocked(s, w, now)
	}
	switch {
	case c.canceled:
		s.mu.Unlock()
		c.Done(worker.Reply{}, &wire.Error{Code: wire.Canceled, Outcome: wire.NotRun})
	case w.staleValue(now) != nil:
		reply := r.staleLocked(s, w.staleValue(now), now)
		s.mu.Unlock()
		r.logReply("Stale value returned", c.ID, &reply)
		c.Done(reply, nil)
	case w != nil && w.load == nil && w.err != nil:
		s.mu.Unlock()
		c.Done(worker.Reply{}, w.err)
	case w != nil && w.load == nil:
		reply := r.hitLocked(s, w, now)
		s.mu.Unlock()
		r.logReply("Cached value returned", c.ID, &reply)
		c.Done(reply, nil)
	default:
		err := r.waitLocked(s, w, c, now)
		s.mu.Unlock()
		if err != nil {
			c.Done(worker.Reply{}, err)
		}
	}
}

// waitLocked lets c wait for w, or for a new worker if w is nil.
func (r *Registry) waitLocked(s *shard, w *entry, c *Waiter, now time.Duration) error {
	switch {
	case s.closed:
		return &wire.Error{Code: wire.Closed, Outcome: wire.NotRun}
	case c.Deadline <= now:
		return &wire.Error{Code: wire.DeadlineExceeded, Outcome: wire.NotRun}
	case w != nil && w.load.waiting() >= w.kind.Queue:
		return wire.Errorf(wire.Overloaded, wire.NotRun, "%d calls wait for id %s", w.load.waiting(), c.ID)
	case r.admission.waiting.Load() >= r.admission.size:
		return wire.Errorf(wire.Overloaded, wire.NotRun, "%d calls wait on this node", r.admission.size)
	}
	r.admission.enter(c)
	if w == nil {
		r.startLocked(s, c.ID, now, []*Waiter{c})
	} else {
		w.add(c)
	}
	return nil
}

// logRun logs what became of a run of the kind's source, or of its server.
func (r *Registry) logRun(id worker.ID, trace string, took time.Duration, err *wire.Error) {
	if !r.log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	fields := []any{"kind", r.name, "id", id.String(), "took", took}
	if trace != "" {
		fields = append(fields, "trace", trace)
	}
	if err != nil {
		fields = append(fields, "err", err.Error())
	}
	r.log.Debug("run", fields...)
}

func (r *Registry) logReply(what string, id worker.ID, reply *worker.Reply) {
	if r.log.Enabled(context.Background(), slog.LevelDebug) {
		//nolint:sloglint // the words are the original's, and a line of this log shows what the shell does
		r.log.Debug(what+" {"+text.Clip(reply.Value.String())+", "+reply.Node+"}", "id", id.String())
	}
}

// Close refuses new loads and messages, gives the running ones until ctx ends, then
// cancels them. It fails if a source does not heed that within a second.
func (r *Registry) Close(ctx context.Context) error {
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		s.closed = true
		for w := range s.workers.all() {
			if w.mail != nil {
				r.serveLocked(s, w) // which ends it when nobody waits
			}
		}
		s.mu.Unlock()
	}
	r.Release()
	idle := make(chan struct{})
	go func() {
		r.wg.Wait()
		close(idle)
		if r.before != nil {
			<-r.before
		}
		close(r.over)
	}()
	select {
	case <-idle:
	case <-ctx.Done():
	}
	r.cancel()
	r.endLoads()
	r.sweeper.stop()
	r.empty()
	r.values.remove(r)
	close(r.runners.ended)
	select {
	case <-idle:
		r.runners.wg.Wait()
		return nil
	case <-time.After(time.Second):
		return errors.New("a source runs on although its context has ended")
	}
}

// endLoads ends the contexts of all that load. What waits for its turn is refused before
// that, so that it does not begin.
func (r *Registry) endLoads() {
	for i := range r.shards {
		r.refuse(r.giveUpTurns(&r.shards[i]), &wire.Error{Code: wire.Closed, Outcome: wire.NotRun})
	}
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		for _, w := range s.loading {
			if w.load != nil {
				w.load.ctx.end()
			}
		}
		s.mu.Unlock()
	}
}

// giveUpTurns takes what waits for its turn out of the gate, and returns the callers of
// loads.
func (r *Registry) giveUpTurns(s *shard) (waiters []*Waiter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range slices.Clone(s.loading) {
		switch {
		case w.mail != nil:
			if r.gate.withdraw(w.mail.turn) {
				close(w.mail.entered)
			}
		case r.gate.withdraw(w.load.turn):
			waiters = append(waiters, r.giveUpLocked(s, w)...)
		}
	}
	return waiters
}

// giveUpLocked drops a worker whose load has been withdrawn from the gate, and returns
// those who wait.
func (r *Registry) giveUpLocked(s *shard, w *entry) (waiters []*Waiter) {
	waiters, w.load.waiters, w.load.abandoned = w.load.waiters, nil, true
	for _, c := range waiters {
		c.worker = nil
	}
	r.settleLocked(s, w, r.Now())
	r.wg.Done()
	return waiters
}

// empty drops the values of a registry that is closed: who kept asking would find them,
// and their memory would count for ever.
func (r *Registry) empty() {
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		for w := range s.workers.all() {
			if w.load == nil && w.mail == nil {
				r.dropLocked(s, w)
			} else if w.load != nil && w.load != inlineLoad {
				r.releaseLocked(w.load.stale)
				w.load.stale = nil
			}
		}
		s.expiry = nil
		s.tidyLocked()
		s.mu.Unlock()
	}
}
