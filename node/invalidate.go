package node

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// Invalidation makes a value unusable everywhere. The owner of the id drops what it has. If a run of the source has
// begun before, its value goes only to the callers that were waiting by then: later callers wait for the next
// run. Every other member is told, too, because it may have answered in place of the owner, or may have an
// answer on its way to the owner.

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

// has reports whether an answer whose load began then is from before the invalidation of its id.
func (o *outdated) has(id worker.ID, began time.Duration) bool {
	at, ok := o.ids[id]
	return (ok || o.base > 0) && began < max(at, o.base)
}

// invalidate drops the value of id and reports whether there was one, or a load. What loads is outdated: see
// load.outdated.
func (r *registry) invalidate(id worker.ID) (had bool) {
	s := r.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := r.now()
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

// outdateLocked keeps what w loads from being stored, or given to later callers. A run that still waits for its turn
// begins after the invalidation, so its value is good.
func (r *registry) outdateLocked(w *entry) {
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

// stop ends the worker of id, after its load if it is loading, and reports whether there was one.
func (r *registry) stop(id worker.ID) bool {
	if !r.serial {
		return r.invalidate(id)
	}
	s := r.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.workers.get(id)
	if w != nil {
		r.endLocked(s, w, worker.Stopped)
	}
	return w != nil
}

// current reports whether an answer of this node has not been invalidated since it began.
func (r *registry) current(id worker.ID, age time.Duration) bool {
	s := r.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.gone.has(id, r.now()-age)
}

// Invalidate makes the cluster forget the value of id, and reports whether a member had one or was loading one. A
// request that begins after Invalidate has returned gets a value whose load began after Invalidate was
// called. Requests that waited before may get the value of the load that they waited for. Members that cannot be reached
// keep what they have until it expires. It fails if that is the place of the id; then it can be called
// again. Values of a client's HTTP cache are out of reach.
func (n *Node) Invalidate(ctx context.Context, id worker.ID) (had bool, err error) {
	return n.invalidate(ctx, key{ID: id})
}

// Invalidate is [Node.Invalidate] as done by the node.
func (c *Client) Invalidate(ctx context.Context, id worker.ID) (had bool, err error) {
	return c.invalidate(ctx, key{ID: id})
}

func (c *Client) invalidate(ctx context.Context, k key) (had bool, err error) {
	err = c.do(ctx, opInvalidate, k, &had)
	return had, err
}

func (n *Node) invalidate(ctx context.Context, k key) (had bool, err error) {
	ctx, cancel := withDefaultTimeout(ctx)
	defer cancel()
	v := n.members.view.Load()
	place := v.place(k.ID)
	var wg sync.WaitGroup
	var mu sync.Mutex // guards had
	for i, p := range v.peers {
		if p != place && !p.self && v.seats[i].failed {
			continue
		}
		wg.Go(func() {
			here, e := n.invalidateAt(ctx, p, k, p == place)
			if p == place && e != nil {
				err = e // others know less of the kind, and may be of an older version
			}
			mu.Lock()
			defer mu.Unlock()
			had = had || here
		})
	}
	wg.Wait()
	return had, err
}

// invalidateAt invalidates on one member. Members other than the place of the id have 1 s.
func (n *Node) invalidateAt(ctx context.Context, p *peer, k key, place bool) (had bool, err error) {
	if p.self {
		return n.invalidateHere(k)
	}
	if !place {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, connectTimeout)
		defer cancel()
	}
	s, err := n.members.sessions.get(ctx, p)
	if err == nil {
		err = s.Do(ctx, opInvalidate, k, &had)
	}
	return had, err
}

func (n *Node) invalidateHere(k key) (had bool, err error) {
	if n.closing.Load() {
		return false, &wire.Error{Code: wire.Closed, Outcome: wire.NotRun}
	}
	r := n.registryOf(k.Kind)
	switch {
	case r == nil:
		return false, unknownKind(k.Kind)
	case r.serial:
		return false, wire.Errorf(wire.BadRequest, wire.NotRun, "kind %s is serial: it has no values to invalidate; stop ends a server", r.name)
	}
	return r.invalidate(k.ID), nil
}

// withoutOutdated returns the answers that have not been invalidated since they began.
func (n *Node) withoutOutdated(list []handedOver) []handedOver {
	return slices.DeleteFunc(list, func(a handedOver) bool {
		r := n.registryOf(a.Kind)
		return r != nil && !r.current(a.ID, a.Age)
	})
}
