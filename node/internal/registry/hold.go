package registry

import (
	"context"
	"time"

	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// Quiesce halts the registry and returns when all servers have ended. When ctx ends it
// cancels the messages that still run, which have another second. A node that leaves
// calls it before the others are told, so that no two nodes have a server of one id.
func (r *Registry) Quiesce(ctx context.Context) {
	if !r.serial {
		return
	}
	r.Halt()
	for r.isServing() && clock.Sleep(ctx, time.Millisecond) {
	}
	if !r.isServing() {
		return
	}
	r.endServing()
	late, cancel := context.WithTimeout(context.Background(), sourceGrace)
	defer cancel()
	for r.isServing() && clock.Sleep(late, time.Millisecond) {
	}
}

// Halt has all servers end, each when it has answered the message that it has. What else
// comes waits, and needs a new claim.
func (r *Registry) Halt() {
	if !r.serial {
		return
	}
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		for w := range s.workers.all() {
			w.mail.claimed = false
			r.endLocked(s, w, worker.EndClosing)
		}
		s.held = true
		s.mu.Unlock()
	}
}

// endServing ends the contexts of what servers do.
func (r *Registry) endServing() {
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		for _, w := range s.loading {
			if w.mail != nil && w.mail.cancel != nil {
				w.mail.cancel()
			}
		}
		s.mu.Unlock()
	}
}

// Serving returns the id of a worker that a goroutine serves, if there is any.
func (r *Registry) Serving() (id worker.ID, ok bool) {
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		if ok = len(s.loading) > 0; ok {
			id = s.loading[0].id
		}
		s.mu.Unlock()
		if ok {
			break
		}
	}
	return id, ok
}

func (r *Registry) isServing() bool {
	_, ok := r.Serving()
	return ok
}

// Resume has messages run again, those that Quiesce has kept waiting first.
func (r *Registry) Resume() {
	if !r.serial {
		return
	}
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		held := s.held
		s.held = false
		for w := range s.workers.all() {
			if held && w.mail.waiting > 0 {
				r.serveLocked(s, w)
			}
		}
		s.mu.Unlock()
	}
}

// Release refuses what Quiesce has kept waiting, because it is for another node. Then
// messages run again, unless the registry is closed.
func (r *Registry) Release() {
	if !r.serial {
		return
	}
	for i := range r.shards {
		s := &r.shards[i]
		var refused []*Waiter
		s.mu.Lock()
		if s.held {
			for w := range s.workers.all() {
				refused = append(refused, w.mail.takeAll()...)
				if !w.mail.busy {
					r.dropLocked(s, w)
				}
			}
		}
		s.held = false
		s.mu.Unlock()
		r.refuse(refused, &wire.Error{Code: wire.Leaving, Outcome: wire.NotRun})
	}
}
