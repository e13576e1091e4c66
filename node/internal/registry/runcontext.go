package registry

import (
	"context"
	"sync"
	"time"

	"github.com/distproc/distproc/node/internal/chain"
	"github.com/distproc/distproc/node/internal/trace"
	"github.com/distproc/distproc/node/observe"
	"github.com/distproc/distproc/node/worker"
)

// A runContext is the context of one run of a source. Most sources return before they
// look at it. So the channel and the timer that end it at its deadline are made when
// somebody asks for the channel.
type runContext struct {
	deadline time.Time
	trace    string
	cause    chain.Cause
	token    worker.Token // of a message, or a load, of a strict kind; else zero
	load     *load        // of which it is, and the shard of its worker; nil for a message
	shard    *shard

	mu     sync.Mutex
	real   context.Context    // guarded by mu; nil until it is needed
	cancel context.CancelFunc // of real; guarded by mu
	err    error              // guarded by mu; once it is set it stays
}

func (c *runContext) Deadline() (time.Time, bool) { return c.deadline, true }

// postpone changes the deadline of a context that only its load has seen, and that may have
// waited for its channel. A context that was ended stays so.
func (c *runContext) postpone(deadline time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = deadline
	if c.real != nil && c.real.Err() != context.Canceled {
		c.cancel()
		c.real, c.cancel, c.err = nil, nil, nil
	}
}

// permit gives a context that only its load has seen its token.
func (c *runContext) permit(t worker.Token) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.token = t
}

func (c *runContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.doneLocked()
}

func (c *runContext) doneLocked() <-chan struct{} {
	if c.real == nil {
		c.real, c.cancel = context.WithDeadline(context.Background(), c.deadline)
		if c.err != nil {
			c.cancel()
		}
	}
	return c.real.Done()
}

func (c *runContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.errLocked()
}

func (c *runContext) errLocked() error {
	if c.err == nil && c.real != nil {
		c.err = c.real.Err()
	} else if c.err == nil && !time.Now().Before(c.deadline) {
		c.err = context.DeadlineExceeded
	}
	return c.err
}

func (c *runContext) Value(key any) any {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.valueLocked(key)
}

// valueLocked finds the trace, the cause, and what package context asks for when a context
// is derived from this one.
func (c *runContext) valueLocked(key any) any {
	switch {
	case key == trace.Key{} && c.trace != "":
		return c.trace
	case key == chain.Key{}:
		return c.cause
	case key == trace.TokenKey{} && c.token != worker.Token{}:
		return c.token
	case key == trace.WaitersKey{} && c.load != nil:
		return c.waiting
	case c.real != nil:
		return c.real.Value(key)
	}
	return nil
}

// waiting returns the traces of the calls that wait for the load.
func (c *runContext) waiting() (traces []string) {
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	for _, call := range c.load.waiters {
		if parent, _, _ := trace.Split(call.Trace); parent != "" && len(traces) < observe.MaxWaited {
			traces = append(traces, parent)
		}
	}
	return traces
}

// end ends the context, which may be nil, unless its deadline has passed.
func (c *runContext) end() {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endLocked()
}

func (c *runContext) endLocked() {
	switch {
	case c.real != nil:
		c.cancel()
	case c.err == nil && !time.Now().Before(c.deadline):
		c.err = context.DeadlineExceeded
	case c.err == nil:
		c.err = context.Canceled
	}
}

// release ends the context of a run that is over, without a look at the clock.
func (c *runContext) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.releaseLocked()
}

func (c *runContext) releaseLocked() {
	if c.real != nil {
		c.cancel()
	} else if c.err == nil {
		c.err = context.Canceled
	}
}
