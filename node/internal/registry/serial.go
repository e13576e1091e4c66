package registry

import (
	"context"
	"time"

	"github.com/distproc/distproc/node/internal/chain"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// MaxMessages is how many bytes of messages may wait on a node, and as many may be on
// their way to other nodes for its clients.
const MaxMessages = 128 << 20

// post lets c wait for the server of its id, which is started if there is none.
func (r *Registry) post(c *Waiter, now time.Duration) {
	s := r.shard(c.ID)
	s.mu.Lock()
	err := r.postLocked(s, c, now)
	s.mu.Unlock()
	if err != nil {
		c.Done(worker.Reply{}, err)
	}
}

func (r *Registry) postLocked(s *shard, c *Waiter, now time.Duration) *wire.Error {
	w := s.workers.get(c.ID)
	switch {
	case c.canceled:
		return &wire.Error{Code: wire.Canceled, Outcome: wire.NotRun}
	case s.closed:
		return &wire.Error{Code: wire.Closed, Outcome: wire.NotRun}
	case c.Deadline <= now:
		return &wire.Error{Code: wire.DeadlineExceeded, Outcome: wire.NotRun}
	case w != nil && w.mail.waiting >= w.kind.queue:
		return wire.Errorf(wire.Overloaded, wire.NotRun, "%d calls wait for id %s", w.mail.waiting, c.ID)
	case r.admission.waiting.Load() >= r.admission.size:
		return wire.Errorf(wire.Overloaded, wire.NotRun, "%d calls wait on this node", r.admission.size)
	case r.admission.bytes.Load()+int64(c.Message.Len()) > MaxMessages:
		return wire.Errorf(wire.Overloaded, wire.NotRun, "%d bytes of messages wait on this node", int64(MaxMessages))
	}
	r.admission.enter(c)
	if w == nil {
		w = &entry{id: c.ID, kind: r.kind.Load(), started: now, mail: &mailbox{}}
		s.workers.put(w)
	}
	w.mail.add(w, c)
	r.serveLocked(s, w)
	return nil
}

// serveLocked sees to it that a goroutine serves w.
func (r *Registry) serveLocked(s *shard, w *entry) {
	if w.mail.busy || s.held {
		return
	}
	w.mail.busy = true
	s.beginLocked(w)
	r.wg.Go(func() { r.serve(s, w) })
}

// endLocked has the server of w end as soon as it does nothing else.
func (r *Registry) endLocked(s *shard, w *entry, why worker.EndReason) {
	if m := w.mail; !m.ending {
		m.ending, m.why = true, why
	}
	r.serveLocked(s, w)
}

// serve does what there is to do for w, until it can rest.
func (r *Registry) serve(s *shard, w *entry) {
	rests, turn := false, false // turn: it is this one's turn to run a message
	defer func() {
		if turn {
			r.gate.leave()
		}
		if !rests { // the code of the kind has ended the goroutine
			r.wg.Go(func() { r.serve(s, w) })
		}
	}()
	for !rests {
		var do func()
		var refused []*Waiter
		var why *wire.Error
		stood := r.host.Standstills()
		s.mu.Lock()
		w.mail.doubt(stood)
		w.mail.began = r.Now()
		refused, why = r.refuseLocked(s, w)
		if do = r.stepLocked(s, w, &turn); do == nil {
			rests = true
		}
		s.mu.Unlock()
		if len(refused) > 0 && why == nil {
			why = r.host.NotOwner(w.id)
		}
		r.refuse(refused, why)
		if do != nil {
			do()
		}
	}
}

// refuseLocked takes out the messages that must not run and returns why not: nil if the
// id is another node's.
func (r *Registry) refuseLocked(s *shard, w *entry) (refused []*Waiter, why *wire.Error) {
	m := w.mail
	if w.moved {
		return m.takeAll(), nil
	}
	if r.ctx.Err() != nil { // the registry has waited for long enough
		return m.takeAll(), &wire.Error{Code: wire.Closed, Outcome: wire.NotRun}
	}
	for len(m.queue) > 0 && (m.queue[0] == nil || m.queue[0].Deadline <= m.began) {
		if m.queue[0] != nil {
			refused = append(refused, m.next())
			continue
		}
		m.queue = m.queue[1:]
		m.first++
	}
	return refused, &wire.Error{Code: wire.DeadlineExceeded, Outcome: wire.NotRun}
}

// refuse answers waiters that have been taken out, with why.
func (r *Registry) refuse(list []*Waiter, why *wire.Error) {
	for _, c := range list {
		r.admission.leave(c)
		c.Done(worker.Reply{}, why)
	}
}

// stepLocked returns what to do next for w, or nil if it rests.
func (r *Registry) stepLocked(s *shard, w *entry, turn *bool) func() {
	m := w.mail
	m.turn = nil
	if m.server != nil {
		if why, ends := r.endsLocked(s, w); ends {
			return func() { r.terminate(s, w, why) }
		}
	}
	m.ending = false
	switch {
	case m.waiting == 0 || s.held:
		r.restLocked(s, w)
		return nil
	case !m.claimed:
		return func() { r.claimFor(s, w) }
	case !*turn && r.gate.enter():
		*turn = true
	case !*turn:
		m.entered = make(chan struct{})
		m.turn = r.gate.queue(func() {
			*turn = true
			close(m.entered)
		})
		return func() { <-m.entered } // and see whether there is still a message to run
	}
	c := m.next()
	m.current, c.worker = c, w
	message, trace := c.Message, c.Trace // c is the server's only for as long as it is m.current
	why := chain.Cause{Chain: c.Chain, Of: worker.Key{Kind: r.name, ID: w.id}, Deadline: r.when(c.Deadline)}
	ctx, cancel := context.WithTimeout(chain.With(worker.WithTrace(r.ctx, c.Trace), why), w.kind.timeout)
	m.cancel = cancel
	return func() {
		defer func() {
			cancel()
			r.gate.leave()
			*turn = false // as servers of other ids wait for theirs
		}()
		r.deliver(ctx, s, w, c, message, trace)
	}
}

// endsLocked reports whether the server of w shall end now, and why.
func (r *Registry) endsLocked(s *shard, w *entry) (why worker.EndReason, ends bool) {
	switch m := w.mail; {
	case m.ending:
		return m.why, true
	case w.moved:
		return worker.EndMoved, true
	case s.held || s.closed && m.waiting == 0:
		return worker.EndClosing, true
	case w.expires <= m.began:
		return worker.EndExpired, true
	}
	return 0, false
}

// restLocked leaves w without a goroutine: waiting for its time to end, or for its place
// to be settled, or gone.
func (r *Registry) restLocked(s *shard, w *entry) {
	m := w.mail
	m.busy = false
	s.endRunLocked(w)
	switch {
	case m.server != nil:
		r.expireLocked(s, w)
	case m.waiting == 0:
		r.dropLocked(s, w)
	}
}

// claimFor makes sure that no other node has a server of w's id. Those who wait learn if
// that fails.
func (r *Registry) claimFor(s *shard, w *entry) {
	ctx, cancel := context.WithTimeout(r.ctx, w.kind.timeout)
	defer cancel()
	s.mu.Lock()
	w.mail.cancel, w.mail.claiming = cancel, true
	s.mu.Unlock()
	err := r.awaitBefore(ctx)
	if err == nil {
		err = r.host.Claim(ctx, worker.Key{Kind: r.name, ID: w.id})
	}
	s.mu.Lock()
	w.mail.cancel, w.mail.claiming = nil, false
	w.mail.claimed = err == nil
	var refused []*Waiter
	if err != nil && (ctx.Err() != context.Canceled || r.ctx.Err() != nil) { // else who waits now has come since
		refused = w.mail.takeAll()
	}
	s.mu.Unlock()
	r.refuse(refused, err)
}

// deliver gives the server of w a message. It makes the server if there is none.
func (r *Registry) deliver(ctx context.Context, s *shard, w *entry, c *Waiter, message worker.Value, trace string) {
	m := w.mail
	had := m.server != nil
	made := had
	r.protect(ctx, func(ctx context.Context, id worker.ID) (v worker.Value, err error) {
		if !made {
			m.server, err = w.kind.open(ctx, id)
			if made = err == nil && m.server != nil; !made {
				return v, err
			}
		}
		return m.server.Call(ctx, message)
	}, w.id, func(v worker.Value, err *wire.Error) {
		if !made {
			m.server = nil
			err = notMade(err)
		}
		r.answered(s, w, c, trace, v, err, !had)
	})
}

// notMade is the error of a message for which no server could be made.
func notMade(err *wire.Error) *wire.Error {
	if err == nil {
		return wire.Errorf(wire.SourceFailed, wire.NotRun, "the factory made no server")
	}
	e := *err
	e.Outcome = wire.NotRun
	return &e
}

// answered ends the run of a message, the first one of a server or another one.
func (r *Registry) answered(s *shard, w *entry, c *Waiter, trace string, v worker.Value, err *wire.Error, first bool) {
	m := w.mail
	s.mu.Lock()
	now := r.Now()
	took := now - m.began
	if first {
		w.started, w.expires = m.began, m.began+w.kind.ttl
	}
	if w.kind.fromUse {
		w.expires = now + w.kind.ttl
	}
	w.hitLocked()
	s.answers++
	if err != nil && err.Code == wire.Panicked && m.server != nil {
		m.ending, m.why = true, worker.EndCrashed
	}
	waits := m.current == c
	m.current, m.cancel = nil, nil
	if waits {
		c.worker = nil
	}
	reply := worker.Reply{Value: v, Node: r.node, Age: now - w.started, TTL: max(0, w.expires-now)}
	s.mu.Unlock()
	r.tally.noteRun(took, err)
	r.logRun(w.id, trace, took, err)
	if !waits {
		return
	}
	r.admission.leave(c)
	if err != nil {
		c.Done(worker.Reply{}, err)
	} else {
		c.Done(reply, nil)
	}
}

// terminate ends the server of w. What waits is for the next one.
func (r *Registry) terminate(s *shard, w *entry, why worker.EndReason) {
	if t, ok := w.mail.server.(worker.Terminator); ok {
		ctx, cancel := context.WithTimeout(r.ctx, w.kind.timeout)
		defer cancel()
		s.mu.Lock()
		w.mail.cancel = cancel
		s.mu.Unlock()
		r.protect(ctx, func(ctx context.Context, _ worker.ID) (worker.Value, error) {
			t.Terminate(ctx, why)
			return worker.Value{}, nil
		}, w.id, func(_ worker.Value, err *wire.Error) {
			if err != nil {
				r.log.Warn("a server did not end well", "kind", r.name, "id", w.id.String(), "why", err.Text)
			}
			r.terminated(s, w, why)
		})
		return
	}
	r.terminated(s, w, why)
}

func (r *Registry) terminated(s *shard, w *entry, why worker.EndReason) {
	s.mu.Lock()
	w.mail.server, w.mail.cancel, w.mail.ending, w.hits = nil, nil, false, 0
	w.kind = r.kind.Load()
	if why == worker.EndExpired {
		s.expired++
	}
	s.mu.Unlock()
}

// Has reports whether a server of id lives here, or is about to.
func (r *Registry) Has(id worker.ID) bool {
	s := r.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.workers.get(id) != nil
}
