package registry

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// Quiesce halts the servers and returns when all have ended. When ctx ends it cancels the
// messages that still run, which have another second. A node that leaves calls it before
// the others learn of that, so that no two nodes have a server of one id. A cache has
// nothing to quiesce.
func (r *Registry) Quiesce(ctx context.Context) {
	if r.actor == nil {
		return
	}
	r.actor.halt()
	if r.actor.serving.awaitNone(ctx) {
		return
	}
	r.actor.cancelAll()
	late, cancel := context.WithTimeout(context.Background(), sourceGrace)
	defer cancel()
	r.actor.serving.awaitNone(late)
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
func (r *Registry) Serving() (id worker.ID, ok bool) {
	for i := range r.shards {
		s := &r.shards[i]
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

func (a *actor) halt() {
	for i := range a.shards {
		s := &a.shards[i]
		s.mu.Lock()
		for w := range s.workers.all() {
			w.mail.claimed = false
			a.endLocked(s, w, worker.EndClosing)
		}
		s.quiesced = true
		s.mu.Unlock()
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
		quiesced := s.quiesced
		s.quiesced = false
		s.mu.Unlock()
		if quiesced {
			s.scan(func(w *entry) {
				if w.mail.queue.len > 0 {
					a.wakeLocked(s, w)
				}
			}, nil)
		}
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

// A tracker counts what goes on, and tells when nothing does.
type tracker struct {
	count atomic.Int64
	mu    sync.Mutex
	none  chan struct{} // closed when count has become 0; nil if nobody waits; guarded by mu
}

func (t *tracker) begin() { t.count.Add(1) }

func (t *tracker) end() {
	if t.count.Add(-1) > 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.none != nil {
		close(t.none)
		t.none = nil
	}
}

// awaitNone waits until nothing goes on, and reports whether that is so. It reports false
// if ctx ends before.
func (t *tracker) awaitNone(ctx context.Context) bool {
	for {
		t.mu.Lock()
		if t.none == nil {
			t.none = make(chan struct{})
		}
		none := t.none
		t.mu.Unlock()
		if t.count.Load() == 0 { // looked at after none is set, so that no end is missed
			return true
		}
		select {
		case <-none:
		case <-ctx.Done():
			return false
		}
	}
}
