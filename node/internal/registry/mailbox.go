package registry

import (
	"context"
	"slices"
	"time"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// A worker of a serial kind has a mailbox instead of a value: messages come in, and one goroutine at a time gives them to
// the server, one after another, and ends the server when its time has come. While there is nothing to do there is no
// goroutine. All of a mailbox is guarded by the lock of its shard, but for server, which is that goroutine's.
type mailbox struct {
	server  worker.Server
	queue   []*Waiter // in order; nil for one that was withdrawn
	first   int       // number of queue[0]: waiters are numbered as they come
	waiting int       // in the queue
	current *Waiter   // whose message the server has; nil if there is none, or nobody waits for it any more

	busy     bool               // a goroutine serves
	began    time.Duration      // what it does, on the registry's clock
	cancel   context.CancelFunc // ends what it does; nil if it does nothing that can be ended
	claiming bool               // it finds out whether another node has a server of this id
	claimed  bool               // no other node has
	stood    uint64             // how often the process had stood still when that was so
	turn     *entrance          // that it waits for; nil if it does not
	entered  chan struct{}      // closed when it waits no more
	ending   bool               // the server shall end, for the reason why
	why      worker.EndReason
}

// doubt ends the server, and has it be found out again that no other node has one, if the process has stood still
// since that was found out: a stand-in may have had the id, and the server's state may be of before.
func (m *mailbox) doubt(stood uint64) {
	if m.stood == stood {
		return
	}
	m.stood, m.claimed = stood, false
	if m.server != nil && !m.ending {
		m.ending, m.why = true, worker.EndMoved
	}
}

// add puts a waiter at the end of the queue.
func (m *mailbox) add(w *entry, c *Waiter) {
	c.worker, c.index = w, m.first+len(m.queue)
	m.queue = append(m.queue, c)
	m.waiting++
}

// next takes out the first waiter.
func (m *mailbox) next() *Waiter {
	for c := (*Waiter)(nil); ; {
		c, m.queue[0] = m.queue[0], nil
		m.queue = m.queue[1:]
		m.first++
		if c != nil {
			m.waiting--
			c.worker = nil // who gives up now finds that an answer is on its way
			return c
		}
	}
}

// remove takes out a waiter that has given up, and returns what became of its message.
func (m *mailbox) remove(c *Waiter) (before wire.Outcome) {
	c.worker = nil
	if c == m.current {
		m.current = nil // its message runs to the end: what the server holds must not be left half changed
		return wire.Unknown
	}
	m.queue[c.index-m.first] = nil
	m.waiting--
	if len(m.queue) > 2*m.waiting+64 {
		m.compact()
	}
	if m.waiting == 0 && m.claiming {
		m.cancel()
	}
	return wire.NotRun
}

// compact frees the places of those who have given up.
func (m *mailbox) compact() {
	m.queue = slices.DeleteFunc(m.queue, func(c *Waiter) bool { return c == nil })
	m.first = 0
	for i, c := range m.queue {
		c.index = i
	}
}

// takeAll empties the queue.
func (m *mailbox) takeAll() (all []*Waiter) {
	for m.waiting > 0 {
		all = append(all, m.next())
	}
	return all
}
