package registry

import (
	"context"
	"time"

	"github.com/distproc/distproc/node/internal/chain"
	"github.com/distproc/distproc/node/worker"
)

// A sharedContext is the context of many messages, one after the other. It is used again
// only if nobody has asked for the channel or the error of a message's context, which is
// so for most messages.
type sharedContext struct {
	runContext
	table  *table
	id     worker.ID        // of the server; guarded by mu
	until  time.Duration    // deadline of the message; guarded by mu
	caller time.Duration    // deadline of its caller; guarded by mu
	number uint64           // of the message; guarded by mu
	ahead  []messageContext // for later messages
}

// A messageContext is the context of one message that has a sharedContext. It ends with
// the message, whoever has the sharedContext after that. It has no values then.
type messageContext struct {
	shared *sharedContext
	number uint64
	until  time.Duration
}

// madeAhead is how many contexts are made at a time.
const madeAhead = 32

// begin returns the context of the next message.
func (c *sharedContext) begin(id worker.ID, token worker.Token, until, caller time.Duration) *messageContext {
	if len(c.ahead) == 0 {
		c.ahead = make([]messageContext, madeAhead)
	}
	m := &c.ahead[0]
	c.ahead = c.ahead[1:]
	c.mu.Lock()
	defer c.mu.Unlock()
	c.number++
	c.id, c.token, c.until, c.caller = id, token, until, caller
	*m = messageContext{c, c.number, until}
	return m
}

// prepareLocked makes what others may ask for.
func (c *sharedContext) prepareLocked() *runContext {
	if c.deadline.IsZero() {
		c.deadline = c.table.clock.When(c.until)
		c.cause = chain.Cause{Of: worker.Key{Kind: c.table.name, ID: c.id}, Deadline: c.table.clock.When(c.caller)}
	}
	return &c.runContext
}

// end ends the context of a message that goes on, unless its deadline has passed.
func (c *sharedContext) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.prepareLocked().endLocked()
}

// over ends the context of a message that has ended, if c can be used again, and reports
// whether that is so.
func (c *sharedContext) over() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.real != nil || c.err != nil {
		return false
	}
	c.number++
	c.id = worker.ID{} // it may be large
	if !c.deadline.IsZero() {
		c.deadline, c.cause = time.Time{}, chain.Cause{}
	}
	return true
}

// closed is the channel of contexts that have ended.
var closed = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

func (m *messageContext) Deadline() (time.Time, bool) {
	return m.shared.table.clock.When(m.until), true
}

func (m *messageContext) Done() <-chan struct{} {
	c := m.shared
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.number != m.number {
		return closed
	}
	return c.prepareLocked().doneLocked()
}

func (m *messageContext) Err() error {
	c := m.shared
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.number != m.number {
		return context.Canceled
	}
	return c.prepareLocked().errLocked()
}

func (m *messageContext) Value(key any) any {
	c := m.shared
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.number != m.number {
		return nil
	}
	return c.prepareLocked().valueLocked(key)
}
