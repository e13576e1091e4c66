package registry

import (
	"context"
	"time"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// A Guard decides when calls of strict kinds may run on this node. No method waits but
// Await. See package quorum, which has the one that there is.
type Guard interface {
	// Begin permits a call to start, and gives it its token. It is called with the lock of
	// the id's shard, which Running takes. Since is what Begin returned as now for the last
	// call, or 0 without one. Ended says that this node was not the place of the id all the
	// time since: then its server must end before Begin is called again, with 0. At is a
	// time since the id's last call, now or before, on the clock by which leases end.
	Begin(k worker.Key, since uint64, at time.Duration) (token worker.Token, now uint64, permitted, ended bool)

	// Valid reports whether a call for which Begin has returned now, and which has ended
	// before a time on that clock, may be answered.
	Valid(now uint64, at time.Duration) bool

	// Await waits until a call may start.
	Await(ctx context.Context, k worker.Key) *wire.Error

	// Ended is told of the end of a call for which Begin has returned now, without locks
	// held. It is also told of that of a server, with 0.
	Ended(id worker.ID, now uint64)

	// Explain describes who may run calls of an id.
	Explain(k worker.Key) *worker.Custody

	// NotOwner returns the error of a call for an id that another node acts for.
	NotOwner(id worker.ID) *wire.Error
}

// Strict reports whether the kind is strict.
func (r *Registry) Strict() bool { return r.guard != nil }

// AppendRunning adds the ids of the calls that run, each that the guard has permitted before.
// It also adds those of servers that other nodes must wait for: own refuses their ids, and
// they have something to do at their end. Own depends on under alone, which is compared by ==,
// so that idle servers are looked at once for that.
func (r *Registry) AppendRunning(keys []worker.Key, under any, own func(worker.ID) bool) []worker.Key {
	if r.guard == nil {
		return keys
	}
	add := func(id worker.ID) { keys = append(keys, worker.Key{Kind: r.name, ID: id}) }
	if r.cache != nil {
		return r.cache.appendRunning(keys)
	}
	now := r.Now()
	for i := range r.shards {
		s := &r.shards[i]
		var stuck []overdue
		s.mu.Lock()
		for _, w := range s.running {
			if m := w.mail; !m.givenUp && (m.runs || w.moved || m.ending) {
				add(w.id)
				if !m.warned && m.stuckLocked(now) {
					m.warned = true
					stuck = append(stuck, overdue{w.id, m.policy.timeout})
				}
			}
		}
		s.mu.Unlock()
		r.warnStuck(stuck)
	}
	if r.actor.settled.Load() == under {
		return keys
	}
	before := len(keys)
	for i := range r.shards {
		r.shards[i].scan(func(w *entry) {
			// Only the goroutine of a busy server can tell whether that has something to do at
			// its end.
			if m := w.mail; !own(w.id) && (m.busy && m.stood != 0 || !m.busy && terminators(m) > 0) {
				add(w.id)
			}
		}, nil)
	}
	if len(keys) == before {
		r.actor.settled.Store(under)
	}
	return keys
}

// An overdue call goes on although its time is over.
type overdue struct {
	id      worker.ID
	timeout time.Duration
}

func (t *table) warnStuck(list []overdue) {
	for _, call := range list {
		t.log.Warn("a call does not heed the end of its time, and keeps its id; stop with force gives the id up",
			"kind", t.name, "id", call.id.String(), "timeout", call.timeout)
	}
}

// permitLocked asks the guard for the next message of w. If it may not run, permitLocked
// returns what to do before.
func (a *actor) permitLocked(s *shard, w *entry, t *task) (next step, permitted bool) {
	m := w.mail
	permitted, ended := a.askGuardLocked(s, w)
	if ended {
		m.stood = 0
		if m.server != nil { // what it knows may be old
			m.ending, m.why = true, worker.EndMoved
			*t = task{why: m.why, own: a.ownContextLocked(m)}
			return terminate, false
		}
		permitted, _ = a.askGuardLocked(s, w)
	}
	if permitted {
		return deliver, true
	}
	m.claimed, m.claiming = false, true
	if m.inTurn {
		a.leaveTurn(m)
	}
	*t = task{own: a.claimContextLocked(m)}
	return claim, false
}

// permitInlineLocked is permitLocked for a message that runs on its caller's goroutine, and
// may as well wait.
func (a *actor) permitInlineLocked(s *shard, w *entry) bool {
	permitted, _ := a.askGuardLocked(s, w)
	return permitted
}

// askGuardLocked asks the guard whether the next message of w may run, which does if so.
func (a *actor) askGuardLocked(s *shard, w *entry) (permitted, ended bool) {
	m := w.mail
	if m.leased < s.ended { // a call has ended since the caller has looked, perhaps of this id
		m.leased = a.clock.Boot()
	}
	token, now, permitted, ended := a.guard.Begin(worker.Key{Kind: a.name, ID: w.id}, m.stood, m.leased)
	if permitted {
		m.stood, m.token, m.runs = now, token, true
	}
	return permitted, ended
}

// fencedLocked returns the error of a call that ended after the right to run it, or err. At is
// when it had ended, on the clock by which leases end. A server that has crashed ends for that,
// whenever that was.
func (a *actor) fencedLocked(s *shard, m *mailbox, err *wire.Error, at time.Duration) *wire.Error {
	if a.guard == nil {
		return err
	}
	s.ended = max(s.ended, at)
	switch {
	case crashed(err):
		return err
	case m.givenUp:
		return errGivenUp
	case a.guard.Valid(m.stood, at):
		return err
	}
	return errFenced
}

// errFenced is the error of a run that ended after the lease of the node.
var errFenced = wire.Errorf(wire.Fenced, wire.Unknown, "the node's lease ended before the call did; what it changed is lost "+
	"where its token is refused")
