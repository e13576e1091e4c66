package registry

import (
	"time"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// runInline gives a message to the server of id on the caller's goroutine, if there is a
// server that has nothing else to do, and the kind says that it never blocks.
func (a *actor) runInline(id worker.ID, message worker.Value, trace, links string, deadline time.Duration) (reply worker.Reply, err error, ran bool) {
	if !a.policy.Load().inline {
		return worker.Reply{}, nil, false
	}
	s, stood := a.shard(id), a.host.Standstills()
	s.mu.Lock()
	w := s.workers.get(id)
	if w == nil || !a.mayRunLocked(s, w, stood, deadline) {
		s.mu.Unlock()
		return worker.Reply{}, nil, false
	}
	m := w.mail
	m.busy, m.inTurn = true, true
	s.addRunningLocked(w)
	a.serving.begin()
	a.wg.Add(1)
	t := task{message: message, trace: trace}
	a.beginLocked(w, &t, links, deadline)
	s.mu.Unlock()
	defer a.endInline(s, w)
	a.deliver(s, w, &t, func(answer worker.Reply, failure *wire.Error) {
		if failure != nil {
			err = failure
		} else {
			reply = answer
		}
	})
	return reply, err, true
}

// mayRunLocked reports whether a message may run at once, and begins its turn if so.
func (a *actor) mayRunLocked(s *shard, w *entry, stood uint64, deadline time.Duration) bool {
	m := w.mail
	if m.busy || m.server == nil || s.closed {
		return false
	}
	m.suspect(stood)
	m.began = a.Now()
	_, ends := a.endsLocked(s, w)
	return !ends && m.claimed && deadline > m.began && a.gate.enter()
}

// endInline has a goroutine go on if more is to be done for w after a message that ran on
// its caller's.
func (a *actor) endInline(s *shard, w *entry) {
	a.leaveTurn(w.mail)
	s.mu.Lock()
	_, ends := a.endsLocked(s, w)
	rests := !ends && w.mail.queue.len == 0
	if rests {
		a.restLocked(s, w)
	}
	s.mu.Unlock()
	if rests {
		a.serving.end()
	} else {
		a.startServing(s, w)
	}
	a.wg.Done()
}
