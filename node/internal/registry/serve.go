package registry

import (
	"context"

	"github.com/distproc/distproc/node/internal/chain"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// serve does what there is to do for w until it can rest.
func (a *actor) serve(s *shard, w *entry) {
	rests, inTurn := false, false // inTurn: it is the turn of w to run a message
	defer func() {
		if inTurn {
			a.gate.leave()
		}
		if !rests { // the code of the kind has ended the goroutine
			a.wg.Go(func() { a.serve(s, w) })
		}
	}()
	for !rests {
		stood := a.host.Standstills()
		s.mu.Lock()
		w.mail.suspect(stood)
		w.mail.began = a.Now()
		refused, why := a.refusedLocked(w)
		step := a.stepLocked(s, w, &inTurn)
		rests = step == nil
		s.mu.Unlock()
		if len(refused) > 0 && why == nil {
			why = a.host.NotOwner(w.id)
		}
		a.refuse(refused, why)
		if step != nil {
			step()
		}
	}
}

// refusedLocked takes out the messages that must not run. It returns why not, or nil if
// the id belongs to another node.
func (a *actor) refusedLocked(w *entry) (refused []*Waiter, why *wire.Error) {
	m := w.mail
	if w.moved {
		return m.drain(), nil
	}
	if a.ctx.Err() != nil { // Close has waited for long enough
		return m.drain(), &wire.Error{Code: wire.Closed, Outcome: wire.NotRun}
	}
	for len(m.queue) > 0 && (m.queue[0] == nil || m.queue[0].Deadline <= m.began) {
		if m.queue[0] != nil {
			refused = append(refused, m.next())
			continue
		}
		m.dropFirst()
	}
	return refused, &wire.Error{Code: wire.DeadlineExceeded, Outcome: wire.NotRun}
}

// stepLocked returns the next step for w, or nil if it rests.
func (a *actor) stepLocked(s *shard, w *entry, inTurn *bool) func() {
	m := w.mail
	m.turn = nil
	if m.server != nil {
		if why, ends := a.endsLocked(s, w); ends {
			return func() { a.terminate(s, w, why) }
		}
	}
	m.ending = false
	switch {
	case m.waiting == 0 || s.quiesced:
		a.restLocked(s, w)
		return nil
	case !m.claimed:
		return func() { a.claim(s, w) }
	case !*inTurn && a.gate.enter():
		*inTurn = true
	case !*inTurn:
		m.entered = make(chan struct{})
		m.turn = a.gate.queue(func() {
			*inTurn = true
			close(m.entered)
		})
		return func() { <-m.entered } // and see whether there is still a message to run
	}
	call := m.next()
	m.current, call.worker = call, w
	message, trace := call.Message, call.Trace // call is the server's only for as long as it is m.current
	why := chain.Cause{Chain: call.Chain, Of: worker.Key{Kind: a.name, ID: w.id}, Deadline: a.when(call.Deadline)}
	ctx, cancel := context.WithTimeout(chain.With(worker.WithTrace(a.ctx, call.Trace), why), m.policy.timeout)
	m.cancel = cancel
	return func() {
		defer func() {
			cancel()
			a.gate.leave()
			*inTurn = false // as servers of other ids wait for theirs
		}()
		a.deliver(ctx, s, w, call, message, trace)
	}
}

// endsLocked reports whether the server of w must end now, and why.
func (a *actor) endsLocked(s *shard, w *entry) (why worker.EndReason, ends bool) {
	switch m := w.mail; {
	case m.ending:
		return m.why, true
	case w.moved:
		return worker.EndMoved, true
	case s.quiesced || s.closed && m.waiting == 0:
		return worker.EndClosing, true
	case w.expires <= m.began:
		return worker.EndExpired, true
	}
	return 0, false
}

// restLocked leaves w without a goroutine: it waits for its time to end or for the node
// to resume, or is gone.
func (a *actor) restLocked(s *shard, w *entry) {
	m := w.mail
	m.busy = false
	s.removeRunningLocked(w)
	a.serving.end()
	switch {
	case m.server != nil:
		a.scheduleLocked(s, w)
	case m.waiting == 0:
		s.workers.remove(w)
	}
}

// claim makes sure that no other node has a server of w's id. If that fails, the calls
// that wait fail too.
func (a *actor) claim(s *shard, w *entry) {
	m := w.mail
	ctx, cancel := context.WithTimeout(a.ctx, m.policy.timeout)
	defer cancel()
	s.mu.Lock()
	m.cancel, m.claiming = cancel, true
	s.mu.Unlock()
	err := a.awaitPredecessor(ctx)
	if err == nil {
		err = a.host.Claim(ctx, worker.Key{Kind: a.name, ID: w.id})
	}
	s.mu.Lock()
	m.cancel, m.claiming = nil, false
	m.claimed = err == nil
	var refused []*Waiter
	if err != nil && (ctx.Err() != context.Canceled || a.ctx.Err() != nil) { // else the calls that wait have come since
		refused = m.drain()
	}
	s.mu.Unlock()
	a.refuse(refused, err)
}

// deliver gives the server of w a message. It opens the server if there is none.
func (a *actor) deliver(ctx context.Context, s *shard, w *entry, call *Waiter, message worker.Value, trace string) {
	m := w.mail
	first := m.server == nil
	a.callSource(ctx, func(ctx context.Context, id worker.ID) (v worker.Value, err error) {
		if first {
			if m.server, err = m.policy.open(ctx, id); err != nil || m.server == nil {
				m.server = nil
				return v, err
			}
		}
		return m.server.Call(ctx, message)
	}, w.id, func(v worker.Value, err *wire.Error) {
		if m.server == nil {
			err = notOpened(err)
		}
		a.answer(s, w, call, trace, v, err, first)
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

// answer ends the run of a message, the first one of a server or a later one.
func (a *actor) answer(s *shard, w *entry, call *Waiter, trace string, v worker.Value, err *wire.Error, first bool) {
	m := w.mail
	s.mu.Lock()
	now := a.Now()
	took := now - m.began
	if first {
		w.started, w.expires = m.began, m.began+m.policy.ttl
	}
	if m.policy.fromUse {
		w.expires = now + m.policy.ttl
	}
	w.hitLocked()
	s.answers++
	if err != nil && err.Code == wire.Panicked && m.server != nil {
		m.ending, m.why = true, worker.EndCrashed
	}
	waits := m.current == call
	m.current, m.cancel = nil, nil
	if waits {
		call.worker = nil
	}
	reply := worker.Reply{Value: v, Node: a.node, Age: now - w.started, TTL: max(0, w.expires-now)}
	s.mu.Unlock()
	a.counters.addRun(took, err)
	a.logRun(w.id, trace, took, err)
	if !waits {
		return
	}
	a.admission.leave(call)
	if err != nil {
		call.Done(worker.Reply{}, err)
	} else {
		call.Done(reply, nil)
	}
}

// terminate ends the server of w. The messages that wait are for the next one.
func (a *actor) terminate(s *shard, w *entry, why worker.EndReason) {
	m := w.mail
	server, ok := m.server.(worker.Terminator)
	if !ok {
		a.terminated(s, w, why)
		return
	}
	ctx, cancel := context.WithTimeout(a.ctx, m.policy.timeout)
	defer cancel()
	s.mu.Lock()
	m.cancel = cancel
	s.mu.Unlock()
	a.callSource(ctx, func(ctx context.Context, _ worker.ID) (worker.Value, error) {
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
	s.mu.Lock()
	defer s.mu.Unlock()
	m := w.mail
	m.server, m.cancel, m.ending, w.hits = nil, nil, false, 0
	m.policy = a.policy.Load()
	if why == worker.EndExpired {
		s.expired++
	}
}
