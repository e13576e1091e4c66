package registry

import (
	"time"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// A call of a strict kind keeps its id until it ends: no node starts another one before. If
// it does not heed the end of its time, somebody may give the id up by force. From then on
// its entry is none of the id's any more. It stays among what runs in its shard until the
// goroutine that serves it has ended its server, and nothing is added to it.

// A strictServer is the server of an id of a strict kind, with the token of its last message.
type strictServer struct {
	worker.Server
	last worker.Token // written by the goroutine that serves, with the lock of the shard held
}

// terminatorOf returns the server as one that has something to do at its end, or nil.
func terminatorOf(server worker.Server) worker.Terminator {
	if s, ok := server.(*strictServer); ok {
		server = s.Server
	}
	t, _ := server.(worker.Terminator)
	return t
}

// stuckLocked reports whether the message that the server has, or the end of the server,
// goes on although its time was up a second ago.
func (m *mailbox) stuckLocked(now time.Duration) bool {
	begun := m.work != nil && (m.runs || m.ending && !m.claiming && m.entered == nil)
	return begun && now-m.began > m.policy.timeout+sourceGrace
}

// describeLocked adds to c what the server of its id does.
func (m *mailbox) describeLocked(c *worker.Custody, now time.Duration) {
	if !m.busy { // else the server is the serving goroutine's
		if server, ok := m.server.(*strictServer); ok {
			c.Token = server.last
		}
		return
	}
	if m.runs {
		c.Runs, c.Token = max(1, now-m.began), m.token
	}
	if c.Stuck = m.stuckLocked(now); c.Stuck {
		c.Waits = waitsForStuck(c.Node, m.policy.timeout)
	}
}

// waitsForStuck says what the calls of an id wait for whose run is stuck.
func waitsForStuck(node string, timeout time.Duration) string {
	return "what runs on " + node + ", which goes on although its time of " + timeout.String() + " is over"
}

// GiveUp ends the server of id, or drops its value, and gives up the id of a strict kind at
// once although a call, a load, or the end of the server, goes on: a later call starts anew,
// here or on another node, with a newer token. The context of what goes on ends, and its
// caller is told that it was fenced.
func (r *Registry) GiveUp(id worker.ID) (what worker.Stopped, had bool) {
	what.Node = r.node
	if r.guard == nil {
		return what, false
	}
	if r.cache != nil {
		return r.cache.giveUp(id)
	}
	s := r.shard(id)
	s.mu.Lock()
	w := s.workers.get(id)
	if w == nil {
		s.mu.Unlock()
		return what, false
	}
	if m := w.mail; !m.busy || !m.runs && !m.ending { // nothing goes on
		r.actor.endLocked(s, w, worker.EndStopped)
		s.mu.Unlock()
		return what, true
	}
	m, now := w.mail, r.Now()
	if what.Runs = max(1, now-m.began); m.runs {
		what.Token = m.token
	}
	caller := r.actor.giveUpLocked(s, w, now)
	s.mu.Unlock()
	if caller != nil {
		r.refuse([]*Waiter{caller}, errGivenUp)
	}
	r.guard.Ended(id, 0)
	return what, true
}

// errGivenUp is the error of a call that went on when its id was given up.
var errGivenUp = wire.Errorf(wire.Fenced, wire.Unknown, "the id was given up by force while the call ran; what it changes is lost "+
	"where its token is refused")

// giveUpLocked takes the id from w, which does something. It returns the caller who waits for
// that, or nil. The calls that wait are for the next server.
func (a *actor) giveUpLocked(s *shard, w *entry, now time.Duration) (caller *Waiter) {
	m := w.mail
	if m.runs {
		m.inTurn = false // others have it
		a.gate.leave()
	}
	if !m.ending {
		m.ending, m.why = true, worker.EndMoved
	}
	m.givenUp = true
	if caller, m.current = m.current, nil; caller != nil {
		caller.worker = nil
	}
	waiting := m.drain()
	if a.gate.withdraw(m.turn) {
		close(m.entered)
	}
	m.interrupt()
	s.workers.remove(w)
	if len(waiting) > 0 {
		next := newServed(entry{id: w.id, started: now}, mailbox{policy: a.policy.Load()})
		s.workers.put(next)
		a.beginWorkLocked(next.mail)
		for _, call := range waiting {
			next.mail.add(next, call)
		}
		a.wakeLocked(s, next, false)
	}
	return caller
}
