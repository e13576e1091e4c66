package registry

import (
	"sync/atomic"
	"time"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// A cache is the machine whose workers keep values. A worker loads until its source has
// returned. Then it has a value until that expires.
type cache struct {
	*table
	policy atomic.Pointer[cachePolicy] // of new workers
	stands atomic.Pointer[cachePolicy] // what since has returned last
	memory memory                      // of the values of this kind
	values *Values                     // of all kinds of the node
}

// cached is what a cache keeps of a worker, in one object with its entry.
type cached struct {
	policy *cachePolicy
	value  worker.Value
	err    *wire.Error // kept instead of a value, if the kind says so
	load   *load       // nil once it has a value
}

// newCached returns an entry with what a cache keeps of it.
func newCached(e entry, c cached) *entry {
	both := &struct {
		entry
		cached
	}{e, c}
	both.entry.cached = &both.cached
	return &both.entry
}

func (c *cache) current() *policy { return &c.policy.Load().policy }

func (c *cache) setKind(kind worker.Kind) {
	k, _ := kind.(worker.Cache)
	p := cachePolicyOf(k)
	c.policy.Store(p)
	c.memory.limit.Store(p.maxBytes)
	c.evictExcess()
}

// lookup returns true, and the value of id's worker, if it has one that is fresh.
func (c *cache) lookup(id worker.ID, now time.Duration, own bool, reply *worker.Reply) bool {
	s := c.shard(id)
	s.mu.Lock()
	w := s.workers.get(id)
	if w == nil || w.load != nil || w.expires <= now || w.err != nil {
		s.mu.Unlock()
		return false
	}
	var token worker.Token
	if c.guard != nil {
		if w, token = c.permittedLocked(s, w); w == nil {
			s.mu.Unlock()
			return false
		}
	}
	*reply = c.hitLocked(s, w, now)
	reply.Token = token
	if own {
		s.hits++
	}
	s.mu.Unlock()
	c.logReply("Cached value returned", id, reply)
	return true
}

func (c *cache) hitLocked(s *shard, w *entry, now time.Duration) worker.Reply {
	s.answers++
	w.hitLocked()
	w.useLocked(now)
	if w.policy.fromUse {
		w.expires = now + w.policy.ttl
	}
	return worker.Reply{Value: w.value, Node: c.node, Cached: true, Age: max(0, now-w.started), TTL: w.expires - now}
}

// staleHitLocked is hitLocked for a value that is past its time.
func (c *cache) staleHitLocked(s *shard, w *entry, now time.Duration) worker.Reply {
	s.answers++
	w.hitLocked()
	return worker.Reply{Value: w.value, Node: c.node, Cached: true, Stale: true, Age: now - w.started}
}

// enqueue answers a call from the worker's value, or lets it wait for a load.
func (c *cache) enqueue(call *Waiter, now time.Duration) {
	s := c.shard(call.ID)
	s.mu.Lock()
	w := s.workers.get(call.ID)
	if w.due(now) {
		w = c.renewLocked(s, w, now)
	}
	var token worker.Token
	if c.guard != nil {
		w, token = c.permittedLocked(s, w)
	}
	switch {
	case call.canceled:
		s.mu.Unlock()
		call.To.Answer(worker.Reply{}, &wire.Error{Code: wire.Canceled, Outcome: wire.NotRun})
	case w.staleValue(now) != nil:
		reply := c.staleHitLocked(s, w.staleValue(now), now)
		s.mu.Unlock()
		reply.Token = token
		c.logReply("Stale value returned", call.ID, &reply)
		call.To.Answer(reply, nil)
	case w != nil && w.load == nil && w.err != nil:
		s.mu.Unlock()
		call.To.Answer(worker.Reply{}, w.err)
	case w != nil && w.load == nil:
		reply := c.hitLocked(s, w, now)
		s.mu.Unlock()
		reply.Token = token
		c.logReply("Cached value returned", call.ID, &reply)
		call.To.Answer(reply, nil)
	default:
		err := c.waitLocked(s, w, call, now)
		s.mu.Unlock()
		if err != nil {
			call.To.Answer(worker.Reply{}, err)
		}
	}
}

// waitLocked lets a call wait for w, or for a new worker if w is nil.
func (c *cache) waitLocked(s *shard, w *entry, call *Waiter, now time.Duration) *wire.Error {
	waiting, p := 0, c.current()
	if w != nil {
		waiting, p = w.load.waiting(), &w.policy.policy
	}
	if err := c.admitLocked(s, call, waiting, p, now); err != nil {
		return err
	}
	if w == nil {
		c.startLocked(s, call.ID, now, []*Waiter{call})
	} else {
		w.add(call)
	}
	return nil
}

// withdrawLocked takes a call out that waits for the load of w, and gives the load up if
// nobody else waits and it has not begun.
func (c *cache) withdrawLocked(s *shard, w *entry, call *Waiter) wire.Outcome {
	outcome := wire.Unknown
	if call.isLater || c.gate.holds(w.load.turn) || c.guard != nil && w.policy.stood == 0 {
		outcome = wire.NotRun
	}
	if w.load.remove(call); w.load.abandoned && c.gate.withdraw(w.load.turn) {
		c.giveUpLocked(s, w)
	}
	return outcome
}

// giveUpLocked drops a worker whose load has been withdrawn from the gate, and returns
// the calls that wait for it.
func (c *cache) giveUpLocked(s *shard, w *entry) (waiters []*Waiter) {
	waiters, w.load.waiters, w.load.abandoned = w.load.waiters, nil, true
	for _, call := range waiters {
		call.worker = nil
	}
	c.endLoadLocked(s, w, c.Now())
	c.wg.Done()
	return waiters
}

// dropLocked removes w, but not its successor.
func (c *cache) dropLocked(s *shard, w *entry) {
	s.workers.remove(w)
	c.releaseLocked(w)
}

func (c *cache) endOf(w *entry) time.Duration { return w.dies() }

func (c *cache) expireLocked(s *shard, w *entry) {
	c.dropLocked(s, w)
	s.expired++
}

func (c *cache) describeLocked(w *entry, info *worker.Info, now time.Duration) (live, busy bool) {
	if w.load != nil {
		info.Queue = w.load.waiting()
		return true, true
	}
	info.TTL = max(0, w.expires-now)
	return w.dies() > now, false
}

func (c *cache) waitingLocked(w *entry) int { return w.load.waiting() }

func (c *cache) runLocked(w *entry) (began, timeout time.Duration, turn *turn) {
	return w.started, w.policy.timeout, w.load.turn
}

func (c *cache) drain() {}

func (c *cache) abortLocked(s *shard) (waiters []*Waiter) {
	for _, w := range append([]*entry(nil), s.running...) {
		if c.gate.withdraw(w.load.turn) {
			waiters = append(waiters, c.giveUpLocked(s, w)...)
		}
	}
	return waiters
}

func (c *cache) interruptLocked(s *shard) {
	for _, w := range s.running {
		w.load.ctx.end()
	}
}

// clear drops the values: a caller that goes on asking would find them, and their memory
// would count for ever.
func (c *cache) clear() {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		for w := range s.workers.all() {
			if w.load == nil {
				c.dropLocked(s, w)
			} else if w.load != inlineLoad {
				c.releaseLocked(w.load.stale)
				w.load.stale = nil
			}
		}
		s.expiry = nil
		s.tidyLocked()
		s.mu.Unlock()
	}
	c.values.remove(c)
}
