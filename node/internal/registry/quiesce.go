package registry

import (
	"context"
	"sync/atomic"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// Quiesce halts the servers and returns when all have ended; the last answers may be on
// their way to the callers. When ctx ends it cancels the messages that still run, which
// have another second. A node that leaves calls it before
// the others learn of that, so that no two nodes have a server of one id. A cache has
// nothing to quiesce.
func (r *Registry) Quiesce(ctx context.Context) {
	if r.actor == nil {
		return
	}
	r.actor.halt()
	if r.actor.awaitNone(ctx) {
		return
	}
	r.actor.cancelAll()
	late, cancel := context.WithTimeout(context.Background(), sourceGrace)
	defer cancel()
	r.actor.awaitNone(late)
}

// Halt has all servers end, each when it has answered the message that it has. Later
// messages wait, and need a new claim.
func (r *Registry) Halt() {
	if r.actor != nil {
		r.actor.halt()
	}
}

// Resume lets messages run again, those that have waited first.
func (r *Registry) Resume() {
	if r.actor != nil {
		r.actor.resume()
	}
}

// Release refuses what has waited since Halt, because it is for another node. Then
// messages run again, unless the registry is closed.
func (r *Registry) Release() {
	if r.actor != nil {
		r.actor.release()
	}
}

// Serving returns the id of a worker for which something runs, if there is any.
func (r *Registry) Serving() (id worker.ID, ok bool) { return r.serving() }

func (a *actor) halt() {
	for i := range a.shards {
		s := &a.shards[i]
		s.mu.Lock()
		a.haltLocked(s)
		s.quiesced = true
		s.mu.Unlock()
	}
}

// haltLocked ends all servers of s. Calls wait until it has, so it does not go over a
// million servers that have nothing to do at their end.
func (a *actor) haltLocked(s *shard) {
	if s.mustEnd == 0 && !s.quiesced {
		a.forgetIdleLocked(s)
	}
	for w := range s.workers.all() {
		w.mail.claimed, w.mail.revoked = false, w.mail.claiming
		if endsAtOnceLocked(w) {
			w.mail.server = nil // the expiry heap has w for as long as it would have lived
			s.workers.remove(w)
		} else {
			a.endLocked(s, w, worker.EndClosing)
		}
	}
}

// forgetIdleLocked drops the workers for which nothing runs. None of them has a call that
// waits, because s is not quiesced.
func (a *actor) forgetIdleLocked(s *shard) {
	s.workers.clear()
	s.expiry = nil
	for _, w := range s.running {
		w.listed = false
		if !w.mail.givenUp {
			s.workers.put(w)
		}
	}
}

// cancelAll ends the contexts of what servers do.
func (a *actor) cancelAll() {
	for i := range a.shards {
		s := &a.shards[i]
		s.mu.Lock()
		a.interruptLocked(s)
		s.mu.Unlock()
	}
}

func (a *actor) resume() {
	for i := range a.shards {
		s := &a.shards[i]
		s.mu.Lock()
		if s.quiesced {
			s.quiesced = false
			for w := range s.workers.all() { // few are there but those that calls wait for
				if w.mail.waiting() > 0 {
					a.wakeLocked(s, w, false)
				}
			}
		}
		s.mu.Unlock()
	}
}

func (a *actor) release() {
	for i := range a.shards {
		s := &a.shards[i]
		var refused []*Waiter
		s.mu.Lock()
		if s.quiesced {
			for w := range s.workers.all() {
				refused = append(refused, w.mail.drain()...)
				if !w.mail.busy {
					s.workers.remove(w)
				}
			}
		}
		s.quiesced = false
		s.mu.Unlock()
		a.refuse(refused, &wire.Error{Code: wire.Leaving, Outcome: wire.NotRun})
	}
}

// awaitNone waits until nothing is done for any worker, and reports whether that is so. It
// reports false if ctx ends before.
func (a *actor) awaitNone(ctx context.Context) bool {
	for {
		idle := a.idle.wait() // before it looks, so that no end is missed
		if _, ok := a.serving(); !ok {
			return true
		}
		select {
		case <-idle:
		case <-ctx.Done():
			return false
		}
	}
}

// serving returns the id of a worker for which something runs, if there is any.
func (t *table) serving() (id worker.ID, ok bool) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		if ok = len(s.running) > 0; ok {
			id = s.running[0].id
		}
		s.mu.Unlock()
		if ok {
			break
		}
	}
	return id, ok
}

// An event may happen again and again.
type event struct {
	next atomic.Pointer[chan struct{}] // closed when it happens; nil if nobody waits
}

// wait returns a channel that is closed when the event happens next.
func (e *event) wait() <-chan struct{} {
	c := make(chan struct{})
	for {
		if e.next.CompareAndSwap(nil, &c) {
			return c
		}
		if other := e.next.Load(); other != nil {
			return *other
		}
	}
}

func (e *event) happen() {
	if e.next.Load() == nil {
		return
	}
	if c := e.next.Swap(nil); c != nil {
		close(*c)
	}
}
