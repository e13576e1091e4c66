package registry

import (
	"context"
	"errors"
	"time"

	"github.com/distproc/distproc/node/internal/chain"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// A step is what a goroutine that serves does next.
type step uint8

const (
	rest      step = iota // nothing
	decide                // it decides what is to be done
	terminate             // it ends the server
	claim                 // it claims the id
	enter                 // it waits for its turn
	deliver               // it gives the server a message
)

// run does what there is to do for a worker until it can rest.
func (a *actor) run(r run) {
	s, w, m := r.s, r.w, r.w.mail
	next := decide
	var t task
	defer func() {
		if next != rest { // the code of the kind has ended the goroutine
			if m.inTurn {
				a.leaveTurn(m)
			}
			a.startServing(s, w, false)
		}
	}()
	for {
		switch next {
		case decide:
			next = a.decide(s, w, &t)
		case terminate:
			a.terminate(s, w, &t)
			next = decide
		case claim:
			a.claim(s, w, t.own)
			next = decide
		case enter:
			<-m.entered // and see whether there is still a message to run
			next = decide
		case deliver:
			next = a.deliver(s, w, &t)
		default:
			return
		}
	}
}

// decide returns what to do next for w, and refuses the messages that must not run.
func (a *actor) decide(s *shard, w *entry, t *task) step {
	now := a.glance()
	stood := a.clock.Standstills(now.Now)
	s.mu.Lock()
	if a.guard == nil { // which knows by itself
		w.mail.suspect(stood)
	}
	w.mail.began, w.mail.leased = now.Now, now.Boot
	refused, why := a.refusedLocked(s, w)
	next := a.stepLocked(s, w, t)
	s.mu.Unlock()
	if len(refused) > 0 {
		if why == nil {
			why = a.notOwner(w.id)
		}
		a.refuse(refused, why)
	}
	return next
}

func (a *actor) leaveTurn(m *mailbox) {
	m.inTurn = false
	a.gate.leave()
}

// refusedLocked takes out the messages that must not run. It returns why not, or nil if
// the id belongs to another node.
func (a *actor) refusedLocked(s *shard, w *entry) (refused []*Waiter, why *wire.Error) {
	m := w.mail
	if m.queue.len == 0 {
		return nil, nil
	}
	if w.moved {
		return m.drain(), nil
	}
	if a.ctx.Err() != nil || s.closed && s.quiesced { // Close has waited for long enough, or no message runs any more
		return m.drain(), &wire.Error{Code: wire.Closed, Outcome: wire.NotRun}
	}
	for m.queue.len > 0 && m.queue.first.Deadline <= m.began {
		refused = append(refused, m.next())
	}
	if len(refused) > 0 {
		why = &wire.Error{Code: wire.DeadlineExceeded, Outcome: wire.NotRun}
	}
	return refused, why
}

// stepLocked returns what to do next for w. If that is nothing, w rests from now on.
func (a *actor) stepLocked(s *shard, w *entry, t *task) step {
	m := w.mail
	m.turn, m.entered = nil, nil
	if m.server != nil {
		if why, ends := a.endsLocked(s, w, m.began); ends {
			m.ending, m.why = true, why
			*t = task{why: why, own: a.ownContextLocked(m)}
			return terminate
		}
	}
	m.ending = false
	switch {
	case m.queue.len == 0 || s.quiesced:
		a.restLocked(s, w)
		return rest
	case !m.claimed:
		m.claiming = true
		*t = task{own: a.claimContextLocked(m)}
		return claim
	case !m.inTurn && a.gate.enter():
		m.inTurn = true
	case !m.inTurn:
		m.entered = make(chan struct{})
		m.turn = a.gate.queue(func() {
			m.inTurn = true
			close(m.entered)
		})
		return enter
	}
	if a.guard != nil {
		if next, ok := a.permitLocked(s, w, t); !ok {
			return next
		}
	}
	a.takeLocked(w, t)
	return deliver
}

// A task is what a step needs.
type task struct {
	began uint64 // what the guard said when it permitted the message, if the kind is strict

	why worker.EndReason // a server is to end

	// Of a message that is delivered:
	call    *Waiter // the server's only for as long as it is the mailbox's current; nil if inline
	message worker.Value
	trace   string
	ctx     context.Context
	own     *runContext    // that is to be released at the end; nil if there is none
	shared  *sharedContext // that ctx has, or nil
}

// takeLocked takes out the first message, for the server to have it.
func (a *actor) takeLocked(w *entry, t *task) {
	call := w.mail.next()
	w.mail.current, call.worker = call, w
	*t = task{began: w.mail.stood, call: call, message: call.Message, trace: call.Trace}
	a.beginLocked(w, t, call.Chain, call.Deadline)
}

// beginLocked makes the context of a message whose caller waits until a deadline.
func (a *actor) beginLocked(w *entry, t *task, links string, caller time.Duration) {
	m := w.mail
	until := m.began + m.policy.timeout
	if t.trace == "" && links == "" {
		if m.shared == nil {
			m.shared = &sharedContext{table: a.table}
		}
		t.shared = m.shared
		m.ctx, t.ctx = t.shared, t.shared.begin(w.id, m.token, until, caller)
		return
	}
	why := chain.Cause{Chain: links, Of: worker.Key{Kind: a.name, ID: w.id}, Deadline: a.clock.When(caller)}
	t.own = &runContext{deadline: a.clock.When(until), trace: t.trace, cause: why, token: m.token}
	m.ctx, t.ctx = t.own, t.own
}

// ownContextLocked returns the context of a step that gives the server no message.
func (a *actor) ownContextLocked(m *mailbox) *runContext {
	return a.contextUntilLocked(m, m.began+m.policy.timeout)
}

// claimContextLocked returns the context of a claim. That of a strict kind may take as long as
// the last of the calls has that wait: longer than a message may run, if a node was lost.
func (a *actor) claimContextLocked(m *mailbox) *runContext {
	until := m.began + m.policy.timeout
	if a.guard != nil && m.queue.last != nil {
		until = max(until, m.queue.last.Deadline)
	}
	return a.contextUntilLocked(m, until)
}

func (a *actor) contextUntilLocked(m *mailbox, until time.Duration) *runContext {
	c := &runContext{deadline: a.clock.When(until)}
	if m.ctx = c; a.ctx.Err() != nil { // the contexts of all steps have been ended
		c.end()
	}
	return c
}

// endsLocked reports whether the server of w must end now, and why.
func (a *actor) endsLocked(s *shard, w *entry, now time.Duration) (why worker.EndReason, ends bool) {
	switch m := w.mail; {
	case m.ending:
		return m.why, true
	case w.moved:
		return worker.EndMoved, true
	case s.quiesced || s.closed && m.waiting() == 0:
		return worker.EndClosing, true
	case w.expires <= now:
		return worker.EndExpired, true
	}
	return 0, false
}

// restLocked leaves w without a goroutine: it waits for its time to end or for the node
// to resume, or is gone.
func (a *actor) restLocked(s *shard, w *entry) {
	m := w.mail
	if m.inTurn { // the message that was to run has been withdrawn
		a.leaveTurn(m)
	}
	if m.busy = false; m.queue.len == 0 {
		a.works.Put(m.work)
		m.work = nil
	}
	s.removeRunningLocked(w)
	if len(s.running) == 0 {
		a.idle.happen()
	}
	switch {
	case m.server != nil:
		a.scheduleLocked(s, w)
	case m.work == nil:
		s.workers.remove(w)
	}
}

// claim makes sure that no other node has a server of w's id. If that fails, the calls
// that wait fail too.
func (a *actor) claim(s *shard, w *entry, ctx *runContext) {
	m := w.mail
	err := a.awaitPredecessor(ctx)
	if err == nil {
		err = a.claimID(ctx, worker.Key{Kind: a.name, ID: w.id})
	}
	s.mu.Lock()
	m.ctx, m.claiming = nil, false
	m.claimed, m.revoked = err == nil && !m.revoked, false
	var refused []*Waiter
	if err != nil && (!errors.Is(ctx.Err(), context.Canceled) || a.ctx.Err() != nil) { // else the calls that wait have come since
		refused = m.drain()
	}
	s.mu.Unlock()
	ctx.release()
	a.refuse(refused, err)
}

// claimID makes sure that no other node has a server of an id, nor begins to have one.
func (a *actor) claimID(ctx context.Context, k worker.Key) *wire.Error {
	if a.guard != nil {
		return a.guard.Await(ctx, k)
	}
	return a.host.Claim(ctx, k)
}

func (a *actor) notOwner(id worker.ID) *wire.Error {
	if a.guard != nil {
		return a.guard.NotOwner(id)
	}
	return a.host.NotOwner(id)
}

// deliver gives the server of w its message and answers the call that waits. It returns
// what to do next for w.
func (a *actor) deliver(s *shard, w *entry, t *task) (next step) {
	a.callServer(w, t, func(v worker.Value, err *wire.Error, first bool) {
		next = a.answer(s, w, t, v, err, first)
	})
	return next
}

// callServer gives the server of w a message. It opens the server if this is the first
// one. Then is called with the answer, also if the code of the kind ends the goroutine.
func (a *actor) callServer(w *entry, t *task, then func(answer worker.Value, err *wire.Error, first bool)) {
	m := w.mail
	first := m.server == nil
	a.callSource(t.ctx, func(ctx context.Context, id worker.ID) (v worker.Value, err error) {
		if first {
			if m.server, err = m.policy.open(ctx, id); err != nil || m.server == nil {
				m.server = nil
				return v, err
			}
			if a.guard != nil {
				m.server = &strictServer{Server: m.server}
			}
		}
		return m.server.Call(ctx, t.message)
	}, w.id, func(v worker.Value, err *wire.Error) {
		if m.server == nil {
			err = notOpened(err)
		}
		then(v, err, first)
	})
}

// notOpened is the error of a message for which no server could be made.
func notOpened(err *wire.Error) *wire.Error {
	if err == nil {
		return wire.Errorf(wire.SourceFailed, wire.NotRun, "the factory made no server")
	}
	e := *err
	e.Outcome = wire.NotRun
	return &e
}

// answer ends a message, and sends its answer. It returns what to do next for w: if nothing
// waits, it decides that in the same step, so that a server with nothing left to do is free
// for the next call while the answer is on its way. What waits is looked at when the answer
// is sent, because time passes meanwhile, and the process may stand still.
func (a *actor) answer(s *shard, w *entry, t *task, v worker.Value, err *wire.Error, first bool) (next step) {
	was, now := *t, a.look()
	*t = task{} // what it has may be large
	s.mu.Lock()
	err = a.fencedLocked(s, w.mail, err, now.Boot)
	took := now.Now - w.mail.began
	s.noteQuickLocked(took)
	reply, waits := a.answeredLocked(s, w, &was, v, err, first, now.Now)
	next = decide
	if w.mail.queue.len == 0 && !crashed(err) { // else this goroutine may be about to end
		w.mail.began, w.mail.leased = now.Now, now.Boot
		next = a.stepLocked(s, w, t)
	}
	s.mu.Unlock()
	a.endMessage(s, w, &was, took, err)
	if waits {
		a.admission.leave(was.call)
		if err != nil {
			was.call.To.Answer(worker.Reply{}, err)
		} else {
			was.call.To.Answer(reply, nil)
		}
	}
	return next
}

// answeredLocked ends the run of a message, the first one of a server or a later one. It
// reports whether its call still waits.
func (a *actor) answeredLocked(
	s *shard, w *entry, t *task, v worker.Value, err *wire.Error, first bool, now time.Duration,
) (reply worker.Reply, waits bool) {
	m := w.mail
	if first {
		s.mustEnd += terminators(m)
		w.started, w.expires = m.began, m.began+m.policy.ttl
	}
	if m.policy.fromUse {
		w.expires = now + m.policy.ttl
	}
	w.hitLocked()
	s.answers++
	if crashed(err) && m.server != nil {
		m.ending, m.why = true, worker.EndCrashed
	}
	if waits = t.call != nil && m.current == t.call; waits {
		t.call.worker = nil
	}
	if s, ok := m.server.(*strictServer); ok {
		s.last = m.token
	}
	m.current, m.ctx, m.runs, m.warned = nil, nil, false, false
	if t.shared != nil && !t.shared.over() {
		m.shared, t.own = nil, &t.shared.runContext
	}
	if m.inTurn {
		a.leaveTurn(m) // as servers of other ids wait for theirs
	}
	return worker.Reply{Value: v, Node: a.node, Age: now - w.started, TTL: max(0, w.expires-now), Token: m.token}, waits
}

// noteQuickLocked notes whether a message was quick.
func (s *shard) noteQuickLocked(took time.Duration) {
	if took > durationBounds[0] {
		s.streak = 0
	} else if s.streak < quickStreak {
		s.streak++
	}
}

// crashed reports whether the code of a kind has panicked or ended its goroutine.
func crashed(err *wire.Error) bool { return err != nil && err.Code == wire.Panicked }

// endMessage notes the end of a message that took some time.
func (a *actor) endMessage(s *shard, w *entry, t *task, took time.Duration, err *wire.Error) {
	if err != nil || !s.runs.observe(took) {
		a.counters.addRun(took, err)
	}
	a.logRun(w.id, t.trace, took, err)
	if a.guard != nil {
		a.guard.Ended(w.id, t.began)
	}
	if t.own != nil {
		t.own.release()
	}
}

// terminate ends the server of w. The messages that wait are for the next one.
func (a *actor) terminate(s *shard, w *entry, t *task) {
	m := w.mail
	if m.inTurn { // for the message that comes after that
		a.leaveTurn(m)
	}
	server := terminatorOf(m.server)
	if server == nil {
		a.terminated(s, w, t.why)
		return
	}
	defer t.own.release()
	why := t.why
	a.callSource(t.own, func(ctx context.Context, _ worker.ID) (worker.Value, error) {
		server.Terminate(ctx, why)
		return worker.Value{}, nil
	}, w.id, func(_ worker.Value, err *wire.Error) {
		if err != nil {
			a.log.Warn("a server did not end well", "kind", a.name, "id", w.id.String(), "why", err.Text)
		}
		a.terminated(s, w, why)
	})
}

func (a *actor) terminated(s *shard, w *entry, why worker.EndReason) {
	if a.guard != nil {
		defer a.guard.Ended(w.id, 0) // when the lock is free again
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m := w.mail
	s.mustEnd -= terminators(m)
	m.server, m.ctx, m.ending, m.warned, w.hits = nil, nil, false, false, 0
	m.policy = a.policy.Load()
	if why == worker.EndExpired {
		s.expired++
	}
}
