package registry

import (
	"context"
	"slices"
	"time"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// A mailbox is what an actor keeps of a worker. Messages come in, and one goroutine at a
// time gives them to the server, one after the other, and ends the server when its time
// has come. There is no goroutine while there is nothing to do. The lock of the shard
// guards all of a mailbox but server, which belongs to that goroutine.
type mailbox struct {
	policy  *actorPolicy
	server  worker.Server
	queue   []*Waiter // in order; nil for one that was withdrawn
	first   int       // number of queue[0]: waiters are numbered as they come
	waiting int       // in the queue
	current *Waiter   // whose message the server has; nil if there is none, or nobody waits for it any more

	began   time.Duration      // when its current step began, on the table's clock
	cancel  context.CancelFunc // ends that step; nil if it cannot be ended
	stood   uint64             // how often the process had stood still when the id was claimed
	turn    *turn              // that it waits for; nil if it does not
	entered chan struct{}      // closed when it waits no more

	busy     bool // a goroutine serves
	claiming bool // it claims the id
	claimed  bool // no other node has a server of the id
	ending   bool // the server must end, for the reason why
	why      worker.EndReason
}

// suspect ends the server and revokes its claim if the process has stood still since that
// claim: another node may have acted for this one, and the server's state may be older.
func (m *mailbox) suspect(stood uint64) {
	if m.stood == stood {
		return
	}
	m.stood, m.claimed = stood, false
	if m.server != nil && !m.ending {
		m.ending, m.why = true, worker.EndMoved
	}
}

// add puts a call at the end of the queue.
func (m *mailbox) add(w *entry, call *Waiter) {
	call.worker, call.index = w, m.first+len(m.queue)
	m.queue = append(m.queue, call)
	m.waiting++
}

// next takes out the first call.
func (m *mailbox) next() *Waiter {
	for {
		call := m.queue[0]
		m.dropFirst()
		if call != nil {
			m.waiting--
			call.worker = nil // a call that is withdrawn now finds that an answer is on its way
			return call
		}
	}
}

// dropFirst shortens the queue by one place.
func (m *mailbox) dropFirst() {
	m.queue[0] = nil
	m.queue = m.queue[1:]
	m.first++
}

// remove takes out a call that is withdrawn, and returns the outcome of its message.
func (m *mailbox) remove(call *Waiter) wire.Outcome {
	call.worker = nil
	if call == m.current {
		m.current = nil // its message runs to the end: what the server holds must not be left half changed
		return wire.Unknown
	}
	m.queue[call.index-m.first] = nil
	m.waiting--
	if len(m.queue) > 2*m.waiting+64 {
		m.compact()
	}
	if m.waiting == 0 && m.claiming {
		m.cancel()
	}
	return wire.NotRun
}

// compact frees the places of calls that were withdrawn.
func (m *mailbox) compact() {
	m.queue = slices.DeleteFunc(m.queue, func(call *Waiter) bool { return call == nil })
	m.first = 0
	for i, call := range m.queue {
		call.index = i
	}
}

// drain empties the queue.
func (m *mailbox) drain() (all []*Waiter) {
	for m.waiting > 0 {
		all = append(all, m.next())
	}
	return all
}
