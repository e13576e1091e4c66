package registry

import (
	"slices"
	"sync"

	"github.com/distproc/distproc/node/worker"
)

// After a change of the view, every member asks this node which servers it still has of
// ids that it does not own any more. One answer serves them all. It names what runs. Of
// the servers that rest this node waives those that are another node's, in one step for a
// million of them: see waive.go.

// heldServers are the servers that an actor had to name under a view, because their ids
// belong to another node under that view.
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
// have the same answer, but for servers that have ended. That is right because a server
// that starts after the first call needs a claim, which the node refuses for an id that it
// does not own.
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
		if ids, more = r.actor.waive(keep, limit); more {
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

// runningNotKept returns at most limit ids of servers that keep refuses and for which
// something runs, and reports whether there are more.
func (a *actor) runningNotKept(keep func(worker.ID) bool, limit int) ([]worker.ID, bool) {
	l := idList{keep: keep, limit: limit}
	for i := range a.shards {
		s := &a.shards[i]
		s.mu.Lock()
		l.addRunningLocked(s)
		s.mu.Unlock()
	}
	return l.ids, l.more
}

// An idList collects ids that keep refuses, as many as limit.
type idList struct {
	keep  func(worker.ID) bool
	limit int
	ids   []worker.ID
	more  bool // there were others
}

func (l *idList) add(w *entry) {
	switch {
	case l.more || l.keep(w.id):
	case len(l.ids) == l.limit:
		l.more = true
	default:
		l.ids = append(l.ids, w.id)
	}
}

func (l *idList) addRunningLocked(s *shard) {
	for _, w := range s.running {
		l.add(w)
	}
}
