package node

import (
	"context"
	"time"
)

// A caller is a waiter of this node's own program, which waits for the answer on its goroutine. It is used again.
type caller struct {
	waiter
	answer chan answer
	timer  *time.Timer // for who has no deadline
}

type answer struct {
	reply Reply
	err   error
}

func newCaller() *caller {
	c := &caller{answer: make(chan answer, 1), timer: time.NewTimer(time.Hour)}
	c.timer.Stop()
	c.done = func(reply Reply, err error) { c.answer <- answer{reply, err} }
	return c
}

// wait waits for the answer, until ctx ends, or for the default time if ctx has no deadline. Once it has returned, nobody else has c.
func (c *caller) wait(ctx context.Context, r *registry) (Reply, error) {
	select {
	case a := <-c.answer: // it came at once
		return a.reply, a.err
	default:
	}
	if _, ok := ctx.Deadline(); !ok {
		c.timer.Reset(defaultTimeout)
		defer c.timer.Stop()
	}
	select {
	case a := <-c.answer:
		return a.reply, a.err
	case <-ctx.Done():
		r.withdraw(&c.waiter, ctx.Err())
	case <-c.timer.C:
		r.withdraw(&c.waiter, context.DeadlineExceeded)
	}
	a := <-c.answer
	return a.reply, a.err
}
