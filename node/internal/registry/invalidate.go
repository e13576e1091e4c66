package registry

import (
	"time"

	"github.com/distproc/distproc/node/worker"
)

// An outdated says which answers of a shard are too old to be adopted from another node.
type outdated struct {
	ids  map[worker.ID]time.Duration // when each was invalidated, on the table's clock
	base time.Duration               // all ids count as invalidated then; 0 if they do not
}

const maxOutdated = 256 // ids of one shard; beyond that all ids of the shard count as invalidated

func (o *outdated) add(id worker.ID, now time.Duration) {
	if len(o.ids) >= maxOutdated {
		o.base, o.ids = now, nil // which costs at most a load for each answer on its way
	}
	if o.ids == nil {
		o.ids = map[worker.ID]time.Duration{}
	}
	o.ids[id] = now
}

// has reports whether an answer whose load began then is from before the invalidation of
// its id.
func (o *outdated) has(id worker.ID, began time.Duration) bool {
	at, ok := o.ids[id]
	return (ok || o.base > 0) && began < max(at, o.base)
}

// Invalidate drops the value of id and reports whether there was one, or a load. The
// value of that load is for the calls that wait for it only: see load.outdated. A server
// has no value.
func (r *Registry) Invalidate(id worker.ID) (had bool) { return r.cache != nil && r.cache.stop(id) }

// IsCurrent reports whether an answer of this node has not been invalidated since it
// began.
func (r *Registry) IsCurrent(id worker.ID, age time.Duration) bool {
	s := r.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.outdated.has(id, r.Now()-age)
}

// stop drops the value of id.
func (c *cache) stop(id worker.ID) (had bool) {
	s := c.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	return c.stopLocked(s, id)
}

func (c *cache) stopLocked(s *shard, id worker.ID) (had bool) {
	now := c.Now()
	s.outdated.add(id, now)
	w := s.workers.get(id)
	switch {
	case w == nil:
		return false
	case w.load != nil:
		c.outdateLocked(w)
		return true
	}
	c.dropLocked(s, w)
	w.value = worker.Value{} // the expiry heap has w for as long as it would have lived
	return w.dies() > now
}

// outdateLocked keeps what w loads from being stored, or given to later calls. A run that
// still waits for its turn begins after the invalidation, so its value is good.
func (c *cache) outdateLocked(w *entry) {
	l := w.ownLoad()
	c.releaseLocked(l.stale)
	l.stale = nil
	if c.gate.holds(l.turn) {
		return
	}
	l.outdated = true
	if l.waiting() == 0 && !l.inline { // it was to replace a stale value
		l.abandoned = true
		l.ctx.end()
	}
}
