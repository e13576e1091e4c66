package registry

import (
	"time"

	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// runInline gives a message to the server of id on the caller's goroutine, if there is a
// server that has nothing else to do, and the kind says that it never blocks.
func (a *actor) runInline(
	id worker.ID, message worker.Value, trace, links string, deadline time.Duration, now clock.Moment,
) (reply worker.Reply, err error, ran bool) {
	if !a.policy.Load().inline {
		return worker.Reply{}, nil, false
	}
	s, stood := a.shard(id), a.clock.Standstills(now.Now)
	s.mu.Lock()
	w := s.workers.get(id)
	if w == nil || !a.mayRunLocked(s, w, deadline, now.Now, stood) {
		s.mu.Unlock()
		return worker.Reply{}, nil, false
	}
	a.occupyLocked(s, w)
	w.mail.began, w.mail.leased, w.mail.inTurn = now.Now, now.Boot, true
	if a.guard != nil && !a.permitInlineLocked(s, w) {
		a.startServing(s, w, false) // which finds out why, or rests
		s.mu.Unlock()
		return worker.Reply{}, nil, false
	}
	t := task{began: w.mail.stood, message: message, trace: trace}
	a.beginLocked(w, &t, links, deadline)
	s.mu.Unlock()
	rests := false
	defer func() { // also if the code of the kind ends the goroutine
		if !rests {
			a.startServing(s, w, false)
		}
	}()
	a.callServer(w, &t, func(answer worker.Value, failure *wire.Error, first bool) {
		if reply, failure, rests = a.answerInline(s, w, &t, answer, failure, first); failure != nil {
			reply, err = worker.Reply{}, failure
		}
	})
	return reply, err, true
}

// mayRunLocked reports whether a message may run at once, and begins its turn if so.
func (a *actor) mayRunLocked(s *shard, w *entry, deadline, now time.Duration, stood uint64) bool {
	m := w.mail
	if m.busy || m.server == nil || s.closed || a.dropWaivedLocked(s, w) {
		return false
	}
	if a.guard == nil {
		m.suspect(stood)
	}
	_, ends := a.endsLocked(s, w, now)
	return !ends && m.claimed && deadline > now && a.gate.enter()
}

// answerInline ends a message that ran on its caller's goroutine. It returns its error, and
// reports whether w rests; otherwise another goroutine is to go on.
func (a *actor) answerInline(
	s *shard, w *entry, t *task, v worker.Value, err *wire.Error, first bool,
) (reply worker.Reply, failure *wire.Error, rests bool) {
	m, now := w.mail, a.look()
	s.mu.Lock()
	err = a.fencedLocked(s, m, err, now.Boot)
	took := now.Now - m.began
	reply, _ = a.answeredLocked(s, w, t, v, err, first, now.Now)
	m.began = now.Now
	if _, ends := a.endsLocked(s, w, now.Now); !ends && m.queue.len == 0 {
		a.restLocked(s, w)
		rests = true
	}
	s.mu.Unlock()
	a.endMessage(s, w, t, took, err)
	return reply, err, rests
}
