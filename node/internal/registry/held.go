package registry

import (
	"slices"
	"sync"

	"github.com/distproc/distproc/node/worker"
)

// After a change of the view, every member asks this node which servers it still has of
// ids that it does not own any more. One scan of the servers answers them all.

// heldServers are the servers that an actor had when it was scanned under a view, and
// whose ids belong to another node under that view.
type heldServers struct {
	mu      sync.Mutex
	view    any         // guarded by mu
	ids     []worker.ID // guarded by mu
	settled any         // the view of the last Settled; guarded by mu
}

// Held returns at most limit ids of servers that are there although keep refuses them,
// and reports whether there are more. A cache has none.
//
// Keep must depend on view alone, which is compared by ==: later calls with the same view
// answer from the same scan. That is right because a server that starts after the scan
// needs a claim, which the node refuses for an id that it does not own. Once the servers
// are [Registry.Settled] under the view there is no scan.
func (r *Registry) Held(view any, keep func(worker.ID) bool, limit int) (ids []worker.ID, more bool) {
	if r.actor == nil {
		return nil, false
	}
	h := &r.actor.held
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.settled == view {
		return r.actor.runningNotKept(keep, limit)
	}
	if h.view != view {
		if ids, more = r.actor.notKept(keep, limit); more {
			return ids, true
		}
		h.view, h.ids = view, ids
	}
	h.ids = slices.DeleteFunc(h.ids, func(id worker.ID) bool { return !r.Has(id) })
	n := min(len(h.ids), limit)
	return slices.Clone(h.ids[:n]), len(h.ids) > n
}

// Settled notes that Retain has gone over all servers under a view. Of those that it does
// not keep only such are left for which something runs.
func (r *Registry) Settled(view any) {
	if r.actor != nil {
		h := &r.actor.held
		h.mu.Lock()
		defer h.mu.Unlock()
		h.settled = view
	}
}

// runningNotKept is notKept of the workers for which something runs.
func (a *actor) runningNotKept(keep func(worker.ID) bool, limit int) (ids []worker.ID, more bool) {
	for i := range a.shards {
		s := &a.shards[i]
		s.mu.Lock()
		for _, w := range s.running {
			switch {
			case keep(w.id):
			case len(ids) == limit:
				more = true
			default:
				ids = append(ids, w.id)
			}
		}
		s.mu.Unlock()
	}
	return ids, more
}

// notKept returns at most limit ids of servers that keep refuses, and reports whether
// there are more.
func (a *actor) notKept(keep func(worker.ID) bool, limit int) (ids []worker.ID, more bool) {
	seen := map[worker.ID]bool{} // a scan may visit a server twice
	for i := range a.shards {
		a.shards[i].scan(func(w *entry) {
			switch {
			case more || keep(w.id) || seen[w.id]:
			case len(ids) == limit:
				more = true
			default:
				seen[w.id] = true
				ids = append(ids, w.id)
			}
		}, nil)
		if more {
			break
		}
	}
	return ids, more
}
