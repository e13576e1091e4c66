package registry

import (
	"cmp"
	"time"

	"github.com/distproc/distproc/node/internal/chain"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// A load is one run of a source, and the calls that wait for it. It is no call of a
// singleflight.Group, because each waiter can withdraw, the last one ends the run, and a
// waiter must not cost a channel.
type load struct {
	waiters []*Waiter
	first   [1]*Waiter  // space for the only waiter, which is the usual case
	ctx     *runContext // nil if inline
	inline  bool        // the first caller runs it, and is not among the waiters

	// All waiters have gone and the run was cancelled. It may take a moment to notice.
	// Calls that come meanwhile wait for the next run, because runs of one id never
	// overlap.
	abandoned bool

	givenUp  bool      // others have the id, although it goes on: see [Registry.GiveUp]
	left     bool      // others have its turn
	warned   bool      // the log says that it does not heed the end of its time
	outdated bool      // it began before the id was invalidated: its value is for waiters only
	later    []*Waiter // came after it was abandoned or outdated, and wait for the next run
	turn     *turn     // that it waits for, or has waited for; nil if it began at once
	stale    *entry    // whose value is given until the load ends, or it is too old; nil if there is none
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

// inlineLoad is the load of every inline run for which nobody else waits. Most start and
// end like that.
var inlineLoad = &load{inline: true}

// ownLoad returns a load that belongs to w alone.
func (w *entry) ownLoad() *load {
	if w.load == inlineLoad {
		w.load = &load{inline: true}
	}
	return w.load
}

// add lets a call wait for the load of w.
func (w *entry) add(call *Waiter) {
	l := w.ownLoad()
	call.worker, call.isLater = w, l.abandoned || l.outdated
	if l.waiters == nil {
		l.waiters = l.first[:0]
	}
	list := l.listOf(call)
	call.index = len(*list)
	*list = append(*list, call)
}

// listOf returns the list that a call waits in.
func (l *load) listOf(call *Waiter) *[]*Waiter {
	if call.isLater {
		return &l.later
	}
	return &l.waiters
}

// waiting returns how many calls wait for the load or for the next one.
func (l *load) waiting() int { return len(l.waiters) + len(l.later) }

// remove takes a call out. When the last one that wants the value has gone, remove
// cancels the run.
func (l *load) remove(call *Waiter) {
	list := l.listOf(call)
	last := len(*list) - 1
	(*list)[call.index] = (*list)[last]
	(*list)[call.index].index = call.index
	(*list)[last] = nil
	*list = (*list)[:last]
	call.worker = nil
	if len(l.waiters) == 0 && !l.inline && !l.abandoned {
		l.abandoned = true
		l.ctx.end()
	}
}

// startLocked starts the worker of id for the calls that wait.
func (c *cache) startLocked(s *shard, id worker.ID, now time.Duration, waiters []*Waiter) *entry {
	trace, links := "", ""
	if len(waiters) > 0 {
		trace, links = waiters[0].Trace, waiters[0].Chain
	}
	p := c.policy.Load()
	l := newLoad(trace, chain.Cause{Chain: links, Of: worker.Key{Kind: c.name, ID: id}}, c.clock.When(now+p.timeout))
	l.ctx.load, l.ctx.shard = l, s
	w := c.addLoadingLocked(s, id, p, l, now)
	for _, call := range waiters {
		w.add(call)
	}
	if c.gate.enter() {
		c.runners.start(run{of: c, s: s, w: w})
	} else {
		l.turn = c.gate.queue(func() { c.runners.start(run{of: c, s: s, w: w, late: true}) })
	}
	return w
}

// addLoadingLocked adds a worker that loads, and counts its run.
func (c *cache) addLoadingLocked(s *shard, id worker.ID, p *cachePolicy, l *load, now time.Duration) *entry {
	w := newCached(entry{id: id, started: now}, cached{policy: p, load: l})
	s.workers.put(w)
	s.addRunningLocked(w)
	c.wg.Add(1)
	return w
}

// finish ends a load: the worker has its value, or is gone. It returns the answer to the
// calls that waited.
func (c *cache) finish(s *shard, w *entry, by origin, value worker.Value, err *wire.Error) (worker.Reply, error) {
	now := c.Now()
	ran := err != errAbandoned && err != errPredecessor
	s.mu.Lock()
	stood := w.policy.stood
	if c.guard != nil {
		ran = stood != 0
		if value, err = c.checkLocked(w, value, err); err != nil && !ofSource(err, ran) {
			w.ownLoad().outdated = true // it says nothing of the source, so it is not kept
		}
	}
	l := w.load
	w.value, w.err = value, err
	answers := c.endLoadLocked(s, w, now)
	waiters := l.waiters
	for _, call := range waiters {
		call.worker = nil
	}
	refused, why := c.restartLocked(s, w, now, l.later)
	s.answers += uint64(len(waiters))
	if l.inline {
		s.answers++
	}
	reply := worker.Reply{Value: value, Node: c.node, Age: now - w.started, TTL: max(0, w.expires-now), Token: by.token}
	if l.outdated {
		reply.TTL = 0 // nobody may keep it
	}
	s.mu.Unlock()
	c.evictExcess()
	c.admission.waiting.Add(-int64(len(waiters)))
	c.refuse(refused, why)
	if ran {
		c.counters.addRun(now-w.started, err)
		c.logRun(w.id, by.trace, now-w.started, err)
	}
	if stood != 0 {
		c.guard.Ended(w.id, stood)
	}
	if len(answers) > 0 {
		c.host.HandOff(answers)
	}
	if err != nil {
		for _, call := range waiters {
			call.To.Answer(worker.Reply{}, err)
		}
		return worker.Reply{}, err
	}
	c.logReply("Request made for", w.id, &reply)
	for _, call := range waiters {
		call.To.Answer(reply, nil)
	}
	return reply, nil
}

// endLoadLocked keeps w with what its load has produced, or drops it. It returns the
// answer if that is for another node.
func (c *cache) endLoadLocked(s *shard, w *entry, now time.Duration) (answers []Answer) {
	unwanted, stale := w.load.abandoned || w.load.outdated, w.load.stale
	w.load = nil
	s.removeRunningLocked(w)
	if w.err != nil && stale.usable(now) && !w.moved && !s.closed {
		if !unwanted { // else the source has not failed
			stale.pauseLocked(now, cmp.Or(w.policy.errorTTL, refreshPause))
		}
		s.workers.put(stale) // until its time is over
		c.scheduleLocked(s, stale)
		return nil
	}
	c.releaseLocked(stale)
	w.expires = w.started + w.policy.life()
	if w.err != nil {
		w.expires = now + w.policy.errorTTL
	} else if w.policy.fromUse {
		w.expires = now + w.policy.ttl
	}
	if unwanted || w.moved || s.closed || w.dies() <= now { // a value that has expired may be stale
		c.dropLocked(s, w)
	} else {
		w.useLocked(now)
		c.chargeLocked(w)
		c.scheduleLocked(s, w)
	}
	if !unwanted && (w.moved || s.leaving) {
		answers = c.appendAnswerLocked(answers, w, now)
	}
	return answers
}

// restartLocked starts a successor of w for the later calls whose deadline has not
// passed, and returns the others with the error for them.
func (c *cache) restartLocked(
	s *shard, w *entry, now time.Duration, later []*Waiter,
) (refused []*Waiter, why *wire.Error) {
	var live []*Waiter
	for _, call := range later {
		call.worker = nil
		if call.Deadline > now && !s.closed {
			live = append(live, call)
		} else {
			refused = append(refused, call)
		}
	}
	if len(live) > 0 {
		c.startLocked(s, w.id, now, live).moved = w.moved
	}
	if s.closed {
		return refused, &wire.Error{Code: wire.Closed, Outcome: wire.NotRun}
	}
	return refused, &wire.Error{Code: wire.DeadlineExceeded, Outcome: wire.NotRun}
}
