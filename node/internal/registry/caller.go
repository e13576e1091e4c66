package registry

import (
	"context"
	"time"

	"github.com/distproc/distproc/node/worker"
)

// A caller is a waiter of this node's own program, which waits for the answer on its goroutine. It is used again.
type caller struct {
	Waiter
	reply    worker.Reply // and err are set before answered
	err      error
	answered chan struct{} // of capacity 1
	timer    *time.Timer   // for who has no deadline
}

func newCaller() *caller {
	c := &caller{answered: make(chan struct{}, 1), timer: time.NewTimer(time.Hour)}
	c.timer.Stop()
	c.Done = func(reply worker.Reply, err error) {
		c.reply, c.err = reply, err
		c.answered <- struct{}{}
	}
	return c
}

// wait waits for the answer, until ctx ends, or for the default time if ctx has no deadline. Once it has returned, nobody else has c.
func (c *caller) wait(ctx context.Context, r *Registry) {
	select {
	case <-c.answered: // at once
		return
	default:
	}
	if _, ok := ctx.Deadline(); !ok {
		c.timer.Reset(worker.DefaultTimeout)
		defer c.timer.Stop()
	}
	select {
	case <-c.answered:
		return
	case <-ctx.Done():
		r.Withdraw(&c.Waiter, ctx.Err())
	case <-c.timer.C:
		r.Withdraw(&c.Waiter, context.DeadlineExceeded)
	}
	<-c.answered
}
