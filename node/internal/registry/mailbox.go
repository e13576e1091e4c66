package registry

import (
	"time"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// A mailbox is what an actor keeps of a worker, in one object with its entry. Messages
// come in, and one goroutine at a time gives them to the server, one after the other, and
// ends the server when its time has come. There is no goroutine while there is nothing to
// do, and no work. The lock of the shard guards all of a mailbox but server and inTurn,
// which belong to that goroutine.
type mailbox struct {
	policy *actorPolicy
	server worker.Server
	stood  uint64 // how often the process had stood still when the id was claimed; what the guard said, if the kind is strict
	*work         // nil unless messages wait or a goroutine serves

	busy     bool // a goroutine serves
	claiming bool // it claims the id
	revoked  bool // the claim that is being made does not count
	claimed  bool // no other node has a server of the id
	ending   bool // the server must end, for the reason why
	givenUp  bool // the entry is not that of its id any more, although the server has yet to end
	why      worker.EndReason
	era      uint8 // the last one of the shard in which something ran, or waivedLocked looked; none older than its waivers
}

// A work is the part of a mailbox that an idle server does without. It is used again for
// other ones, so at its end all of it is zero but began, leased and shared.
type work struct {
	queue   queue              // of the messages that wait
	current *Waiter            // whose message the server has; nil if there is none, or nobody waits for it any more
	ctx     interface{ end() } // of the current step; nil if it has none
	shared  *sharedContext     // for the next message; nil if it needs a new one
	began   time.Duration      // when its current step began, on the table's clock
	leased  time.Duration      // the same on the clock by which leases end, if the kind is strict, or later
	turn    *turn              // that it waits for; nil if it does not
	entered chan struct{}      // closed when it waits no more
	token   worker.Token       // of the message that the server has, if the kind is strict
	inTurn  bool               // a message of the server may run
	runs    bool               // the server has a message, if the kind is strict
	warned  bool               // the log says that the message, or the end of the server, takes too long
}

// newServed returns an entry with its mailbox.
func newServed(e entry, m mailbox) *entry {
	both := &struct {
		entry
		mailbox
	}{e, m}
	both.mail = &both.mailbox
	return &both.entry
}

// waiting returns how many messages wait.
func (m *mailbox) waiting() int {
	if m.work == nil {
		return 0
	}
	return m.queue.len
}

// suspect ends the server and revokes its claim if the process has stood still since that
// claim: another node may have acted for this one, and the server's state may be older.
func (m *mailbox) suspect(stood uint64) {
	if stood <= m.stood { // it is less if somebody has looked later, and been here first
		return
	}
	m.stood, m.claimed = stood, false
	if m.server != nil && !m.ending {
		m.ending, m.why = true, worker.EndMoved
	}
}

// add puts a call at the end of the queue.
func (m *mailbox) add(w *entry, call *Waiter) {
	call.worker = w
	m.queue.add(call)
}

// next takes out the first call.
func (m *mailbox) next() *Waiter {
	call := m.queue.first
	m.queue.remove(call)
	call.worker = nil // a call that is withdrawn now finds that an answer is on its way
	return call
}

// remove takes out a call that is withdrawn, and returns the outcome of its message.
func (m *mailbox) remove(call *Waiter) wire.Outcome {
	call.worker = nil
	if call == m.current {
		m.current = nil // its message runs to the end: what the server holds must not be left half changed
		return wire.Unknown
	}
	m.queue.remove(call)
	if m.queue.len == 0 && m.claiming {
		m.ctx.end()
	}
	return wire.NotRun
}

// drain empties the queue.
func (m *mailbox) drain() (all []*Waiter) {
	for m.waiting() > 0 {
		all = append(all, m.next())
	}
	return all
}

// interrupt ends the context of what runs.
func (m *mailbox) interrupt() {
	if m.ctx != nil {
		m.ctx.end()
	}
}

// A queue is a list of calls in the order in which they came.
type queue struct {
	first, last *Waiter
	len         int
}

func (q *queue) add(call *Waiter) {
	call.prev = q.last
	if q.last != nil {
		q.last.next = call
	} else {
		q.first = call
	}
	q.last = call
	q.len++
}

func (q *queue) remove(call *Waiter) {
	if call.prev != nil {
		call.prev.next = call.next
	} else {
		q.first = call.next
	}
	if call.next != nil {
		call.next.prev = call.prev
	} else {
		q.last = call.prev
	}
	call.prev, call.next = nil, nil
	q.len--
}
