package registry

import (
	"context"
	"time"

	"github.com/distproc/distproc/node/worker"
)

// A Waiter is a call that waits for a worker.
type Waiter struct {
	ID       worker.ID
	Message  worker.Value  // to a server
	Trace    string        // of which the call is part, for [worker.TraceOf]
	Chain    string        // of workers that wait for the call: see package chain
	Deadline time.Duration // on the registry's clock
	To       Answerer

	// Guarded by the lock of the id's shard:
	worker     *entry  // for which it waits
	index      int     // in its list of a load
	isLater    bool    // it is among its load's later
	next, prev *Waiter // in its mailbox
	canceled   bool
}

// An Answerer is who gets the answer to a call.
type Answerer interface {
	// Answer is called exactly once for a call, without locks held. It must not block,
	// because others wait for the same run. The reply is zero if there is an error.
	Answer(reply worker.Reply, err error)
}

// A caller is a waiter for a goroutine of this node. It is used again for later calls.
type caller struct {
	Waiter
	reply    worker.Reply // and err are set before answered
	err      error
	answered chan struct{} // of capacity 1
	timer    *time.Timer   // for contexts without a deadline: it withdraws the call
	fired    chan struct{} // of capacity 1: the timer has done that
}

func newCaller(r *Registry) *caller {
	c := &caller{answered: make(chan struct{}, 1), fired: make(chan struct{}, 1)}
	c.To = c
	c.timer = time.AfterFunc(time.Hour, func() {
		r.Withdraw(&c.Waiter, context.DeadlineExceeded)
		c.fired <- struct{}{}
	})
	c.timer.Stop()
	return c
}

// Answer implements [Answerer].
func (c *caller) Answer(reply worker.Reply, err error) {
	c.reply, c.err = reply, err
	c.answered <- struct{}{}
}

// wait waits for the answer until ctx ends, or for the default time if ctx has no
// deadline. When it has returned, nobody else has c.
func (c *caller) wait(ctx context.Context, r *Registry) {
	if _, ok := ctx.Deadline(); !ok {
		c.timer.Reset(worker.DefaultTimeout)
		defer c.stopTimer()
	}
	done := ctx.Done()
	if done == nil { // a select would take longer
		<-c.answered
		return
	}
	select {
	case <-c.answered:
		return
	case <-done:
		r.Withdraw(&c.Waiter, ctx.Err())
	}
	<-c.answered
}

func (c *caller) stopTimer() {
	if !c.timer.Stop() {
		<-c.fired
	}
}
