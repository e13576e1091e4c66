package node

import (
	"context"
	"time"

	"github.com/distproc/distproc/wire"
)

// A node that leaves ends its servers before it tells the others, so that no two nodes have one of the same id.

// hold ends all servers, each when it has answered the message that it has, and keeps what else comes waiting. It returns
// when they have ended. What goes on when ctx ends is told so, and has another second.
func (r *registry) hold(ctx context.Context) {
	if !r.serial {
		return
	}
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		for w := range s.workers.all() {
			r.endLocked(s, w, Closing)
		}
		s.held = true
		s.mu.Unlock()
	}
	for r.serving() && sleep(ctx, time.Millisecond) {
	}
	if !r.serving() {
		return
	}
	r.endServing()
	late, cancel := context.WithTimeout(context.Background(), sourceGrace)
	defer cancel()
	for r.serving() && sleep(late, time.Millisecond) {
	}
}

// endServing ends the contexts of what servers do.
func (r *registry) endServing() {
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

// serving reports whether a goroutine serves any worker.
func (r *registry) serving() bool {
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		n := len(s.loading)
		s.mu.Unlock()
		if n > 0 {
			return true
		}
	}
	return false
}

// release answers what hold has kept waiting: it is for another node. Then messages run again, unless the registry is closed.
func (r *registry) release() {
	if !r.serial {
		return
	}
	for i := range r.shards {
		s := &r.shards[i]
		var refused []*waiter
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
		r.refuse(refused, &wire.Error{Code: wire.Leaving, Outcome: NotRun})
	}
}
