package registry

import (
	"time"

	"github.com/distproc/distproc/node/worker"
)

// An outdated says which answers of a shard are too old to be adopted from another node.
type outdated struct {
	ids  map[worker.ID]time.Duration // when each was invalidated, on the registry's clock
	base time.Duration               // all ids are taken for invalidated then; 0 if they are not
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

// Invalidate drops the value of id and reports whether there was one, or a load. What
// loads is outdated: see load.outdated.
func (r *Registry) Invalidate(id worker.ID) (had bool) {
	s := r.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := r.Now()
	s.gone.add(id, now)
	w := s.workers.get(id)
	switch {
	case w == nil:
		return false
	case w.load != nil:
		r.outdateLocked(w)
		return true
	}
	r.dropLocked(s, w)
	w.value = worker.Value{} // as the expiry heap has w for as long as it would have lived
	return w.dies() > now
}

// outdateLocked keeps what w loads from being stored, or given to later callers. A run
// that still waits for its turn begins after the invalidation, so its value is good.
func (r *Registry) outdateLocked(w *entry) {
	if w.load == inlineLoad { // which is not this worker's alone
		w.load = &load{inline: true}
	}
	r.releaseLocked(w.load.stale)
	w.load.stale = nil
	if r.gate.holds(w.load.turn) {
		return
	}
	w.load.outdated = true
	if w.load.waiting() == 0 && !w.load.inline { // it was to replace a stale value
		w.load.abandoned = true
		w.load.ctx.end()
	}
}

// Stop ends the worker of id, after its load if it is loading, and reports whether there
// was one.
func (r *Registry) Stop(id worker.ID) bool {
	if !r.serial {
		return r.Invalidate(id)
	}
	s := r.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.workers.get(id)
	if w != nil {
		r.endLocked(s, w, worker.EndStopped)
	}
	return w != nil
}

// IsCurrent reports whether an answer of this node has not been invalidated since it
// began.
func (r *Registry) IsCurrent(id worker.ID, age time.Duration) bool {
	s := r.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.gone.has(id, r.Now()-age)
}
