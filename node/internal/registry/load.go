package registry

import (
	"cmp"
	"time"

	"github.com/distproc/distproc/node/internal/chain"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// A load is one run of a source, and who waits for it.
type load struct {
	waiters []*Waiter
	first   [1]*Waiter  // room for the only one, as most often
	ctx     *runContext // nil if inline
	inline  bool        // who came first runs it, and is not among the waiters
	// Everybody who waited has gone and the run was cancelled. It may take a moment to
	// notice. Who comes meanwhile waits for the next run, because runs of one id never
	// overlap.
	abandoned bool
	outdated  bool      // it began before the id was invalidated: its value is for waiters only
	later     []*Waiter // came after it was abandoned or outdated, and wait for the next run
	turn      *entrance // that it waits for, or has waited for; nil if it began at once
	stale     *entry    // whose value is given until the load ends, or it is too old; nil if there is none
}

// newLoad returns a load whose run has a context.
func newLoad(trace string, why chain.Cause, deadline time.Time) *load {
	both := &struct {
		load
		ctx runContext
	}{ctx: runContext{deadline: deadline, trace: trace, cause: why}}
	both.load.ctx = &both.ctx
	return &both.load
}

// A Waiter is a call that waits for a worker. Its done is called exactly once, without
// locks held, and must not block: others wait for the same run.
type Waiter struct {
	ID       worker.ID
	Message  worker.Value  // to a server
	Trace    string        // what it is part of, for [worker.TraceOf]
	Chain    string        // of workers that wait for it: see chain.go
	Deadline time.Duration // on the registry's clock
	Done     func(worker.Reply, error)

	// Guarded by the lock of the id's shard:
	worker   *entry // for which it waits
	index    int    // in its waiters or later, or in all that its mailbox has had
	isLater  bool   // it is among its load's later
	canceled bool
}

// inlineLoad is the load of every run that is inline and that nobody else waits for: most
// start and end without.
var inlineLoad = &load{inline: true}

// add lets a waiter wait for the load of w.
func (w *entry) add(c *Waiter) {
	if w.load == inlineLoad {
		w.load = &load{inline: true}
	}
	l := w.load
	c.worker, c.isLater = w, l.abandoned || l.outdated
	if l.waiters == nil {
		l.waiters = l.first[:0]
	}
	list := l.listOf(c)
	c.index = len(*list)
	*list = append(*list, c)
}

// listOf returns the list that c waits in.
func (l *load) listOf(c *Waiter) *[]*Waiter {
	if c.isLater {
		return &l.later
	}
	return &l.waiters
}

// waiting returns how many calls wait for the load or for the next one.
func (l *load) waiting() int { return len(l.waiters) + len(l.later) }

// remove takes a waiter out. When the last one that wants the value has gone, remove
// cancels the run.
func (l *load) remove(c *Waiter) {
	list := l.listOf(c)
	last := len(*list) - 1
	(*list)[c.index] = (*list)[last]
	(*list)[c.index].index = c.index
	(*list)[last] = nil
	*list = (*list)[:last]
	c.worker = nil
	if len(l.waiters) == 0 && !l.inline && !l.abandoned {
		l.abandoned = true
		l.ctx.end()
	}
}

// Withdraw answers c with why, unless it has been answered.
func (r *Registry) Withdraw(c *Waiter, why error) {
	s := r.shard(c.ID)
	s.mu.Lock()
	w := c.worker
	if w == nil {
		c.canceled = true // in case it is not enqueued yet
		s.mu.Unlock()
		return
	}
	before := wire.Unknown
	if w.mail != nil {
		if before = w.mail.remove(c); w.mail.waiting == 0 && r.gate.withdraw(w.mail.turn) {
			close(w.mail.entered) // without its turn
		}
	} else {
		if c.isLater || r.gate.holds(w.load.turn) {
			before = wire.NotRun
		}
		if w.load.remove(c); w.load.abandoned && r.gate.withdraw(w.load.turn) {
			r.giveUpLocked(s, w)
		}
	}
	s.mu.Unlock()
	r.admission.leave(c)
	c.Done(worker.Reply{}, wire.Ended(why, before))
}

// startLocked starts the worker of id for those who wait.
func (r *Registry) startLocked(s *shard, id worker.ID, now time.Duration, waiters []*Waiter) *entry {
	trace, links := "", ""
	if len(waiters) > 0 {
		trace, links = waiters[0].Trace, waiters[0].Chain
	}
	kind := r.kind.Load()
	l := newLoad(trace, chain.Cause{Chain: links, Of: worker.Key{Kind: r.name, ID: id}}, r.when(now+kind.timeout))
	w := r.loadLocked(s, id, kind, l, now)
	for _, c := range waiters {
		w.add(c)
	}
	if r.gate.enter() {
		r.runners.run(run{r: r, s: s, w: w})
	} else {
		l.turn = r.gate.queue(func() { r.runners.run(run{r: r, s: s, w: w, late: true}) })
	}
	return w
}

// RunInline starts the worker of id, if there is none, and runs its source on the
// caller's goroutine, if the kind says that it never blocks. Ran is false if it did
// neither. Other callers that come meanwhile wait for the worker.
func (r *Registry) RunInline(id worker.ID, trace, links string, deadline, now time.Duration) (reply worker.Reply, err error, ran bool) {
	kind := r.kind.Load()
	if !kind.inline || r.serial || !r.first() {
		return worker.Reply{}, nil, false
	}
	s := r.shard(id)
	s.mu.Lock()
	w := s.workers.get(id)
	if w.due(now) {
		w = r.renewLocked(s, w, now)
	}
	if w != nil || s.closed || deadline <= now {
		s.mu.Unlock()
		return worker.Reply{}, nil, false
	}
	w = r.loadLocked(s, id, kind, inlineLoad, now)
	s.mu.Unlock()
	defer r.wg.Done()
	ctx := r.ctx
	if trace != "" {
		ctx = worker.WithTrace(ctx, trace)
	}
	if links != "" {
		ctx = chain.With(ctx, chain.Cause{Chain: links, Of: worker.Key{Kind: r.name, ID: id}})
	}
	r.protect(ctx, kind.load, id, func(v worker.Value, e *wire.Error) { reply, err = r.finish(s, w, trace, v, e) })
	return reply, err, true
}

// loadLocked adds a worker that loads, and counts its run.
func (r *Registry) loadLocked(s *shard, id worker.ID, kind *policy, l *load, now time.Duration) *entry {
	w := &entry{id: id, kind: kind, started: now, load: l}
	s.workers.put(w)
	s.beginLocked(w)
	r.wg.Add(1)
	return w
}

// finish ends a load: the worker has its value, or is gone. It returns what it answers
// those who wait.
func (r *Registry) finish(s *shard, w *entry, trace string, value worker.Value, err *wire.Error) (worker.Reply, error) {
	now := r.Now()
	s.mu.Lock()
	l, failure := w.load, err
	w.value, w.err = value, err
	moves := r.settleLocked(s, w, now)
	waiters := l.waiters
	for _, c := range waiters {
		c.worker = nil
	}
	refused, why := r.restartLocked(s, w, now, l.later)
	s.answers += uint64(len(waiters))
	if l.inline {
		s.answers++
	}
	reply := worker.Reply{Value: value, Node: r.node, Age: now - w.started, TTL: max(0, w.expires-now)}
	if l.outdated {
		reply.TTL = 0 // nobody may keep it
	}
	s.mu.Unlock()
	r.makeRoom()
	r.admission.waiting.Add(-int64(len(waiters)))
	r.refuse(refused, why)
	if failure != errAbandoned && failure != errHeldUp { // else nothing has run
		r.tally.noteRun(now-w.started, failure)
		r.logRun(w.id, trace, now-w.started, failure)
	}
	if len(moves) > 0 {
		r.host.HandOver(moves)
	}
	if err == nil {
		r.logReply("Request made for", w.id, &reply)
	}
	answerAll(waiters, reply, err)
	if err != nil {
		return worker.Reply{}, err
	}
	return reply, nil
}

func answerAll(waiters []*Waiter, reply worker.Reply, err *wire.Error) {
	for _, c := range waiters {
		if err != nil {
			c.Done(worker.Reply{}, err)
		} else {
			c.Done(reply, nil)
		}
	}
}

// refreshPause is how long the next refresh waits after one has failed, if the kind does
// not say so.
const refreshPause = time.Second

// settleLocked lets w live on with what its load has produced, or drops it, and returns
// the answer if it is for another node.
func (r *Registry) settleLocked(s *shard, w *entry, now time.Duration) (moves []Answer) {
	unwanted, stale := w.load.abandoned || w.load.outdated, w.load.stale
	w.load = nil
	s.endRunLocked(w)
	if w.err != nil && stale.usable(now) && !w.moved && !s.closed {
		if !unwanted { // else the source has not failed
			stale.pauseLocked(now, cmp.Or(w.kind.errorTTL, refreshPause))
		}
		s.workers.put(stale) // until its time is over
		r.expireLocked(s, stale)
		return nil
	}
	r.releaseLocked(stale)
	w.expires = w.started + w.kind.life()
	if w.err != nil {
		w.expires = now + w.kind.errorTTL
	} else if w.kind.fromUse {
		w.expires = now + w.kind.ttl
	}
	if unwanted || w.moved || s.closed || w.dies() <= now { // a value that has expired may be stale
		r.dropLocked(s, w)
	} else {
		w.useLocked(now)
		r.chargeLocked(w)
		r.expireLocked(s, w)
	}
	if !unwanted && (w.moved || s.leaving) {
		moves = r.takeLocked(moves, w, now)
	}
	return moves
}

// restartLocked starts a successor of w for the later callers whose deadline has not
// passed, and returns the others with the error for them.
func (r *Registry) restartLocked(s *shard, w *entry, now time.Duration, later []*Waiter) (refused []*Waiter, why *wire.Error) {
	var live []*Waiter
	for _, c := range later {
		c.worker = nil
		if c.Deadline > now && !s.closed {
			live = append(live, c)
		} else {
			refused = append(refused, c)
		}
	}
	if len(live) > 0 {
		r.startLocked(s, w.id, now, live).moved = w.moved
	}
	if s.closed {
		return refused, &wire.Error{Code: wire.Closed, Outcome: wire.NotRun}
	}
	return refused, &wire.Error{Code: wire.DeadlineExceeded, Outcome: wire.NotRun}
}
