package node

import (
	"context"
	"fmt"
	"time"

	"github.com/distproc/distproc/wire"
)

// A worker is the one place for its id on this node. It is loading until its source has returned,
// then it has a value, until it expires. It is no goroutine: only a running source has one. All of
// it is guarded by the lock of its shard.
type worker struct {
	id      ID
	kind    *Kind
	started time.Duration // on the registry's clock
	expires time.Duration // when its value is given no more, or as stale only; meaningless while it loads
	value   Value
	err     *wire.Error // cached instead of a value, if the kind says so
	hits    uint64
	load    *load    // nil once it has a value
	mail    *mailbox // of a serial kind, instead of value, err and load
	moved   bool     // the id is another node's now: hand its answer over when the load ends
	stopped bool     // drop it when the load ends
}

// A load is one run of a source, and who waits for it.
type load struct {
	waiters []*waiter
	cancel  context.CancelFunc
	// Everybody who waited has gone and the run was cancelled. It may take a moment to notice. Who
	// comes meanwhile waits for the next run, because runs of one id never overlap.
	abandoned bool
	trace     string  // of the call for which it runs
	stale     *worker // whose value is given until the load ends, or it is too old; nil if there is none
}

// dies returns when its value is given no more, not even as stale.
func (w *worker) dies() time.Duration {
	if w.err != nil {
		return w.expires
	}
	return w.expires + w.kind.ServeStale
}

// usable reports whether its value may still be given as stale.
func (w *worker) usable(now time.Duration) bool { return w != nil && w.err == nil && now < w.dies() }

// A waiter is a call that waits for a worker. Its done is called exactly once, without locks held.
type waiter struct {
	id       ID
	message  Value         // to a server
	trace    string        // what it is part of, for [TraceOf]
	deadline time.Duration // on the registry's clock
	done     func(Reply, error)

	// Guarded by the lock of the id's shard:
	worker   *worker // for which it waits
	index    int     // in its waiters, or in all that its mailbox has had
	canceled bool
}

// add lets a waiter wait for the load.
func (l *load) add(w *worker, c *waiter) {
	c.worker, c.index = w, len(l.waiters)
	l.waiters = append(l.waiters, c)
}

// remove takes a waiter out. The last one to go cancels the run.
func (l *load) remove(c *waiter) {
	last := len(l.waiters) - 1
	l.waiters[c.index] = l.waiters[last]
	l.waiters[c.index].index = c.index
	l.waiters[last] = nil
	l.waiters = l.waiters[:last]
	c.worker = nil
	if last == 0 {
		l.abandoned = true
		l.cancel()
	}
}

// withdraw answers c with why, unless it has been answered.
func (r *registry) withdraw(c *waiter, why error) {
	s := r.shard(c.id)
	s.mu.Lock()
	w := c.worker
	if w == nil {
		c.canceled = true // in case it is not enqueued yet
		s.mu.Unlock()
		return
	}
	before := Unknown
	if w.mail != nil {
		before = w.mail.remove(c)
	} else {
		w.load.remove(c)
	}
	s.mu.Unlock()
	r.room.leave(c)
	c.done(Reply{}, endError(why, before))
}

// startLocked starts the worker of id for those who wait.
func (r *registry) startLocked(s *shard, id ID, now time.Duration, waiters []*waiter) *worker {
	kind := r.kind.Load()
	ctx, cancel := context.WithTimeout(r.ctx, kind.Timeout)
	w := &worker{id: id, kind: kind, started: now, load: &load{cancel: cancel}}
	if len(waiters) > 0 {
		w.load.trace = waiters[0].trace
		ctx = WithTrace(ctx, w.load.trace)
	}
	for _, c := range waiters {
		w.load.add(w, c)
	}
	s.workers[id] = w
	s.loading[w] = struct{}{}
	r.wg.Go(func() {
		defer cancel()
		run(ctx, kind.Source, id, func(v Value, err *wire.Error) { r.finish(s, w, v, err) })
	})
	return w
}

// finish ends a load: the worker has its value, or is gone.
func (r *registry) finish(s *shard, w *worker, value Value, err *wire.Error) {
	now := r.now()
	s.mu.Lock()
	l, failure := w.load, err
	w.value, w.err = value, err
	moves := r.settleLocked(s, w, now)
	waiters := l.waiters
	for _, c := range waiters {
		c.worker = nil
	}
	if l.abandoned && len(waiters) > 0 && !s.closed {
		// They came after the run was cancelled: its result is not for them.
		waiters = r.restartLocked(s, w, now, waiters)
		err = &wire.Error{Code: wire.DeadlineExceeded, Outcome: wire.NotRun}
	}
	s.answers += uint64(len(waiters))
	reply := Reply{Value: value, Node: r.node, Age: now - w.started, TTL: max(0, w.expires-now)}
	s.mu.Unlock()
	r.room.waiting.Add(-int64(len(waiters)))
	r.tally.noteRun(now-w.started, failure)
	r.logRun(w.id, l.trace, now-w.started, failure)
	if len(moves) > 0 {
		r.handOver(moves)
	}
	if err == nil {
		r.logReply("Request made for", w.id, reply)
	}
	for _, c := range waiters {
		if err != nil {
			c.done(Reply{}, err)
		} else {
			c.done(reply, nil)
		}
	}
}

// settleLocked lets w live on with what its load has produced, or drops it, and returns the answer if it is
// for another node.
func (r *registry) settleLocked(s *shard, w *worker, now time.Duration) (moves []handedOver) {
	unwanted, stale := w.stopped || w.load.abandoned, w.load.stale
	w.load = nil
	delete(s.loading, w)
	if w.err != nil && stale.usable(now) && !w.moved && !w.stopped {
		s.workers[w.id] = stale // until its time is over; the next call tries again
		s.expiry.push(stale)
		r.sweeper.wakeBy(stale.dies())
		return nil
	}
	w.expires = w.started + w.kind.life()
	if w.err != nil {
		w.expires = now + w.kind.CacheErrors
	} else if w.kind.FromUse {
		w.expires = now + w.kind.TTL
	}
	if unwanted || w.moved || w.expires <= now {
		r.dropLocked(s, w)
	} else {
		s.expiry.push(w)
		r.sweeper.wakeBy(w.dies())
	}
	if !unwanted && (w.moved || s.leaving) {
		moves = r.takeLocked(moves, w, now)
	}
	return moves
}

// restartLocked starts a successor of w for those whose deadline has not passed, and returns the others.
func (r *registry) restartLocked(s *shard, w *worker, now time.Duration, waiters []*waiter) (late []*waiter) {
	var live []*waiter
	for _, c := range waiters {
		if c.deadline > now {
			live = append(live, c)
		} else {
			late = append(late, c)
		}
	}
	if len(live) > 0 {
		r.startLocked(s, w.id, now, live).moved = w.moved
	}
	return late
}

// dropLocked removes w, but not its successor.
func (r *registry) dropLocked(s *shard, w *worker) {
	if s.workers[w.id] == w {
		delete(s.workers, w.id)
	}
}

// run calls the source and gives what it returned, or what became of it, to then. It is
// prepared for a source that panics or ends its goroutine.
func run(ctx context.Context, source Source, id ID, then func(Value, *wire.Error)) {
	var value Value
	failure := &wire.Error{Code: wire.Panicked, Outcome: wire.Ran, Text: "the source ended its goroutine"}
	defer func() {
		if r := recover(); r != nil {
			failure.Text = fmt.Sprint(r)
		}
		then(value, failure)
	}()
	v, err := source(ctx, id)
	switch {
	case err == nil && len(v.data) > wire.MaxValue:
		failure = wire.Errorf(wire.SourceFailed, wire.Ran, "value of %d bytes, limit %d", len(v.data), wire.MaxValue)
	case err == nil:
		value, failure = v, nil
	case ctx.Err() == context.DeadlineExceeded:
		failure = &wire.Error{Code: wire.DeadlineExceeded, Outcome: wire.Ran, Text: "the source took too long: " + err.Error()}
	default:
		failure = &wire.Error{Code: wire.SourceFailed, Outcome: wire.Ran, Text: err.Error()}
		if _, ok := err.(messageError); ok { //nolint:errorlint // one that is wrapped is another worker's
			failure = &wire.Error{Code: wire.BadRequest, Outcome: wire.NotRun, Text: "the message: " + err.Error()}
		}
	}
}
