package registry

import (
	"context"
	"errors"
	"time"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// In a cache of a strict kind a load is a call: the guard permits it, and its value counts
// only if there was a lease until its end. A value is good for as long as this node is the
// place of its id. So the guard is asked again for each answer.

// since returns a policy for workers of whose ids this node is the place since then, as
// [Guard.Begin] has returned it. A worker that loads has it from the moment at which the
// guard permits that. Most workers share the last one, so this costs a value no memory.
func (c *cache) since(p *cachePolicy, stood uint64) *cachePolicy {
	if p.stood == stood {
		return p
	}
	if last := c.stands.Load(); last != nil && last.base == p.base && last.stood == stood {
		return last
	}
	next := *p
	next.stood = stood
	c.stands.Store(&next)
	return &next
}

// permit waits until the guard permits the load of w, and gives that its token.
func (c *cache) permit(s *shard, w *entry, ctx *runContext) *wire.Error {
	l := w.load
	for k := (worker.Key{Kind: c.name, ID: w.id}); ; {
		s.mu.Lock()
		if l.abandoned { // and its callers were told that it has not run
			s.mu.Unlock()
			return errAbandoned
		}
		token, stood, permitted, _ := c.guard.Begin(k, 0, c.clock.Boot())
		if permitted {
			w.policy = c.since(w.policy, stood)
			ctx.permit(token)
		}
		s.mu.Unlock()
		if permitted {
			return nil
		}
		if err := c.awaitGuard(ctx, l, k); err != nil {
			return err
		}
		if !c.begin(s, w) {
			return errAbandoned
		}
	}
}

// awaitGuard waits until the guard may permit a load. Others have its turn meanwhile.
func (c *cache) awaitGuard(ctx context.Context, l *load, k worker.Key) *wire.Error {
	l.left = true
	c.gate.leave()
	if err := c.guard.Await(ctx, k); err != nil {
		return err
	}
	if !c.gate.enter() {
		entered := make(chan struct{})
		turn := c.gate.queue(func() { close(entered) })
		select {
		case <-entered:
		case <-ctx.Done():
			if c.gate.withdraw(turn) {
				return wire.Ended(ctx.Err(), wire.NotRun)
			}
		}
	}
	l.left = false
	return nil
}

// permittedLocked asks the guard whether the value of w, which may be nil, may be given now,
// or that which is given as stale while w loads. It drops a value that may not, and returns
// nil instead of its worker.
func (c *cache) permittedLocked(s *shard, w *entry) (*entry, worker.Token) {
	switch {
	case w == nil:
		return nil, worker.Token{}
	case w.load == nil:
		token, ok := c.standsLocked(w)
		if !ok {
			c.dropLocked(s, w)
			return nil, worker.Token{}
		}
		return w, token
	case w.load.stale != nil:
		token, ok := c.standsLocked(w.load.stale)
		if !ok {
			c.releaseLocked(w.load.stale)
			w.load.stale = nil
		}
		return w, token
	}
	return w, worker.Token{}
}

// standsLocked reports whether this node has been the place of the id since w was loaded.
func (c *cache) standsLocked(w *entry) (worker.Token, bool) {
	token, stood, permitted, _ := c.guard.Begin(worker.Key{Kind: c.name, ID: w.id}, w.policy.stood, c.clock.Boot())
	if permitted {
		w.policy = c.since(w.policy, stood)
	}
	return token, permitted
}

// checkLocked returns what a load of w has produced, or the error of one that ended after its
// lease.
func (c *cache) checkLocked(w *entry, value worker.Value, err *wire.Error) (worker.Value, *wire.Error) {
	if w.policy.stood == 0 { // it has not run, and err says why
		return value, err
	}
	switch {
	case crashed(err):
	case w.load.givenUp:
		return worker.Value{}, errGivenUp
	case !c.guard.Valid(w.policy.stood, c.clock.Boot()):
		return worker.Value{}, errFenced
	}
	return value, err
}

// ofSource reports whether the error of a load is one of its source.
func ofSource(err *wire.Error, ran bool) bool { return ran && !errors.Is(err, wire.Fenced) }

// appendRunning adds the ids whose source runs, and says which of them are stuck.
func (c *cache) appendRunning(keys []worker.Key) []worker.Key {
	now := c.Now()
	for i := range c.shards {
		s := &c.shards[i]
		var stuck []overdue
		s.mu.Lock()
		for _, w := range s.running {
			if w.policy.stood == 0 || w.load.givenUp {
				continue
			}
			keys = append(keys, worker.Key{Kind: c.name, ID: w.id})
			if w.stuckLocked(now) && !w.load.warned {
				w.ownLoad().warned = true
				stuck = append(stuck, overdue{w.id, w.policy.timeout})
			}
		}
		s.mu.Unlock()
		c.warnStuck(stuck)
	}
	return keys
}

// stuckLocked reports whether a load goes on although its time was up a second ago.
func (w *entry) stuckLocked(now time.Duration) bool {
	return w.policy.stood != 0 && now-w.started > w.policy.timeout+sourceGrace
}

// describeLoadLocked adds to what is known of an id what its load does.
func (w *entry) describeLoadLocked(c *worker.Custody, now time.Duration) {
	if w.policy.stood == 0 {
		return
	}
	if c.Runs = max(1, now-w.started); w.load.ctx != nil {
		c.Token = w.load.ctx.token
	}
	if c.Stuck = w.stuckLocked(now); c.Stuck {
		c.Waits = waitsForStuck(c.Node, w.policy.timeout)
	}
}

// giveUp is [Registry.GiveUp] for a cache. A load that goes on is nobody's.
func (c *cache) giveUp(id worker.ID) (what worker.Stopped, had bool) {
	what.Node = c.node
	s := c.shard(id)
	s.mu.Lock()
	now, w := c.Now(), s.workers.get(id)
	if w == nil || w.load == nil || w.policy.stood == 0 {
		had = c.stopLocked(s, id)
		s.mu.Unlock()
		return what, had
	}
	l := w.ownLoad()
	c.outdateLocked(w)
	l.givenUp, what.Runs = true, max(1, now-w.started)
	if l.ctx != nil {
		what.Token = l.ctx.token
		l.ctx.end()
		l.left = true
		c.gate.leave()
	}
	waiters, later := l.waiters, l.later
	l.waiters, l.later = nil, nil
	for _, call := range waiters {
		call.worker = nil
	}
	s.workers.remove(w)
	refused, why := c.restartLocked(s, w, now, later)
	s.mu.Unlock()
	c.refuse(waiters, errGivenUp)
	c.refuse(refused, why)
	c.guard.Ended(id, 0)
	return what, true
}

// InvalidateStrictly is [Registry.Invalidate] for a strict kind: it waits until this node is
// the place of the id, so that no other node has a value of before either.
func (r *Registry) InvalidateStrictly(ctx context.Context, id worker.ID) (had bool, err *wire.Error) {
	for k := (worker.Key{Kind: r.name, ID: id}); ; {
		s := r.shard(id)
		s.mu.Lock()
		_, _, permitted, _ := r.guard.Begin(k, 0, r.clock.Boot())
		if permitted {
			had = r.cache.stopLocked(s, id)
		}
		s.mu.Unlock()
		if permitted {
			return had, nil
		}
		if err := r.guard.Await(ctx, k); err != nil {
			return false, err
		}
	}
}
