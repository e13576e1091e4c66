package registry

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/distproc/distproc/node/internal/clock"
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
	Async    bool // the goroutine that enqueues the call does not wait for the answer

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
	r        *Registry
	reply    worker.Reply // and err are set before answered
	err      error
	answered chan struct{} // of capacity 1

	// For contexts that do not end at the call's deadline. The timer is not stopped when a
	// call ends, as most calls end long before it, but looks for what until says when it
	// fires.
	until atomic.Int64 // when the call is to be withdrawn, on the registry's clock; 0 if it is not
	armed atomic.Bool  // the timer will fire, or has just done so and looks
	timer *time.Timer
	fired chan struct{} // of capacity 1: the timer has withdrawn the call
}

func newCaller(r *Registry) *caller {
	c := &caller{r: r, answered: make(chan struct{}, 1), fired: make(chan struct{}, 1)}
	c.To = c
	c.timer = time.AfterFunc(time.Hour, c.expire)
	c.timer.Stop()
	return c
}

// Answer implements [Answerer].
func (c *caller) Answer(reply worker.Reply, err error) {
	c.reply, c.err = reply, err
	c.answered <- struct{}{}
}

// wait waits for the answer until ctx ends, or until the call's deadline if ctx does not
// end then.
// When it has returned, nobody else has c.
func (c *caller) wait(ctx context.Context) {
	if done := ctx.Done(); done != nil {
		c.waitUntil(ctx, done)
	} else { // a select would take longer
		c.arm()
		<-c.answered
		c.disarm()
	}
}

func (c *caller) waitUntil(ctx context.Context, done <-chan struct{}) {
	if !clock.Ends(ctx) {
		c.arm()
		defer c.disarm()
	}
	select {
	case <-c.answered:
		return
	case <-done:
		c.r.Withdraw(&c.Waiter, ctx.Err())
	}
	<-c.answered
}

// arm has the call be withdrawn at its deadline.
func (c *caller) arm() {
	c.until.Store(int64(c.Deadline))
	if c.armed.CompareAndSwap(false, true) {
		c.timer.Reset(c.Deadline - c.r.Now())
	}
}

// disarm ends what arm began.
func (c *caller) disarm() {
	if c.until.Swap(0) == 0 {
		<-c.fired
	}
}

// expire withdraws the call whose time is over. If there is another one by now, it lets
// the timer fire again.
func (c *caller) expire() {
	for {
		until := c.until.Load()
		if until == 0 {
			c.armed.Store(false)
			if c.until.Load() == 0 || !c.armed.CompareAndSwap(false, true) {
				return
			}
			continue
		}
		if left := time.Duration(until) - c.r.Now(); left > 0 {
			c.timer.Reset(left)
			return
		}
		if c.until.CompareAndSwap(until, 0) {
			c.r.Withdraw(&c.Waiter, context.DeadlineExceeded)
			c.fired <- struct{}{}
		}
	}
}
