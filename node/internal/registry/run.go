package registry

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/distproc/distproc/node/internal/chain"
	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/internal/trace"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

const (
	maxPanicText = 1 << 10  // bytes of a panic's value in the log
	maxStack     = 16 << 10 // bytes of its stack
)

// A run is a load that is to run its source.
type run struct {
	r    *Registry
	s    *shard
	w    *entry
	late bool // it has waited for its turn
}

// errAbandoned is the error of a run that has not begun, as nobody waits for it any more.
var errAbandoned = &wire.Error{Code: wire.Canceled, Outcome: wire.NotRun}

// errHeldUp is the error of a run that has not begun, because one of the kind that had the name before goes on.
var errHeldUp = &wire.Error{
	Code: wire.DeadlineExceeded, Outcome: wire.NotRun,
	Text: "the kind was removed and added again, and a run from before still goes on; try again when it has ended",
}

// do runs the source, and ends the load with what comes of it.
func (j run) do() {
	defer j.r.wg.Done()
	defer j.r.gate.leave()
	ctx := j.w.load.ctx
	defer ctx.release()
	if j.late && !j.begin() {
		_, _ = j.r.finish(j.s, j.w, ctx.trace, worker.Value{}, errAbandoned)
		return
	}
	if err := j.r.awaitBefore(ctx); err != nil {
		_, _ = j.r.finish(j.s, j.w, ctx.trace, worker.Value{}, err)
		return
	}
	j.r.protect(ctx, j.w.kind.load, j.w.id, func(v worker.Value, err *wire.Error) { _, _ = j.r.finish(j.s, j.w, ctx.trace, v, err) })
}

// begin has the time of a run that has waited begin now. It reports whether anybody waits for it.
func (j run) begin() bool {
	j.s.mu.Lock()
	defer j.s.mu.Unlock()
	if j.w.load.abandoned {
		return false
	}
	j.w.started = j.r.Now()
	j.w.load.ctx.postpone(j.r.when(j.w.started + j.w.kind.timeout))
	return true
}

// awaitBefore waits until nothing runs any more of the kinds that had the name before: runs of one id never
// overlap, also if a kind was removed and added again, or became another one. It fails if ctx ends before.
func (r *Registry) awaitBefore(ctx context.Context) *wire.Error {
	if r.first() {
		return nil
	}
	select {
	case <-r.before:
		return nil
	case <-ctx.Done():
	}
	if ctx.Err() == context.DeadlineExceeded {
		return errHeldUp
	}
	return errAbandoned
}

// first reports whether nothing runs of a kind that had the name before.
func (r *Registry) first() bool { return r.before == nil || clock.IsDone(r.before) }

// runners are goroutines for runs. A few that have nothing to do are kept: to start one, and to let its stack grow, takes
// several times as long as to wake it.
type runners struct {
	wg    sync.WaitGroup
	next  chan run
	ended chan struct{} // closed when there will be no more
	idle  atomic.Int32
}

const maxIdleRunners = 16

func newRunners() *runners { return &runners{next: make(chan run), ended: make(chan struct{})} }

// run has a goroutine do j. It does not wait.
func (p *runners) run(j run) {
	select {
	case p.next <- j:
	default:
		p.wg.Go(func() { p.work(j) })
	}
}

func (p *runners) work(j run) {
	for {
		j.do()
		if p.idle.Add(1) > maxIdleRunners {
			p.idle.Add(-1)
			return
		}
		select {
		case j = <-p.next:
			p.idle.Add(-1)
		case <-p.ended:
			return
		}
	}
}

// A runContext is the context of one run of a source. Most sources have returned before they look at it, so what it takes
// to end it at its deadline, a channel and a timer, is made when somebody asks for the channel.
type runContext struct {
	deadline time.Time
	trace    string
	cause    chain.Cause

	mu     sync.Mutex
	real   context.Context    // guarded by mu; nil until it is needed
	cancel context.CancelFunc // of real; guarded by mu
	err    error              // guarded by mu; once it is set it stays
}

func (c *runContext) Deadline() (time.Time, bool) { return c.deadline, true }

// postpone changes the deadline of a context that nobody has seen yet but its load.
func (c *runContext) postpone(deadline time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = deadline
}

func (c *runContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
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
	if c.err == nil && c.real != nil {
		c.err = c.real.Err()
	} else if c.err == nil && !time.Now().Before(c.deadline) {
		c.err = context.DeadlineExceeded
	}
	return c.err
}

// Value finds the trace, and what package context asks for when a context is derived from this one.
func (c *runContext) Value(key any) any {
	if key == (trace.Key{}) && c.trace != "" {
		return c.trace
	}
	if key == (chain.Key{}) {
		return c.cause
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.real == nil {
		return nil
	}
	return c.real.Value(key)
}

// end ends the context, unless its deadline has passed. There may be none.
func (c *runContext) end() {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.real != nil:
		c.cancel()
	case c.err == nil && !time.Now().Before(c.deadline):
		c.err = context.DeadlineExceeded
	case c.err == nil:
		c.err = context.Canceled
	}
}

// release ends the context of a run that is over. It does not look at the clock.
func (c *runContext) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.real != nil {
		c.cancel()
	} else if c.err == nil {
		c.err = context.Canceled
	}
}

// protect calls the source and passes its value or its error to then. A source that panics,
// or ends its goroutine, fails with Panicked, and its stack is logged.
func (r *Registry) protect(ctx context.Context, source worker.Source, id worker.ID, then func(worker.Value, *wire.Error)) {
	var value worker.Value
	var failure *wire.Error
	returned := false
	defer func() {
		if !returned {
			failure = r.crashed(id, recover())
		}
		then(value, failure)
	}()
	v, err := source(ctx, id)
	returned = true
	switch {
	case err == nil && v.Len() > wire.MaxValue:
		failure = wire.Errorf(wire.SourceFailed, wire.Ran, "value of %d bytes, limit %d", v.Len(), wire.MaxValue)
	case err == nil:
		value = v
	default:
		failure = failureOf(ctx, err)
	}
}

// crashed logs the stack of a source that did not return, and returns the error for its
// callers. It runs in the deferred call, so the stack still has the source's frames.
func (r *Registry) crashed(id worker.ID, reason any) *wire.Error {
	e := &wire.Error{Code: wire.Panicked, Outcome: wire.Ran, Text: "the source ended its goroutine"}
	if reason != nil {
		e.Text = fmt.Sprint(reason)
	}
	if leftOut, ok := r.crashes.Allow(); ok {
		stack := debug.Stack()
		fields := []any{"kind", r.name, "id", id.String(), "panic", e.Text[:min(len(e.Text), maxPanicText)]}
		fields = append(fields, leftOut...)
		r.log.Error("worker panicked", append(fields, "stack", string(stack[:min(len(stack), maxStack)]))...)
	}
	return e
}

// failureOf returns the failure of a run whose source returned err. The outcome is Ran unless
// the source marks err: see [worker.NotRun] and [worker.MayHaveRun].
func failureOf(ctx context.Context, err error) *wire.Error {
	outcome := wire.Ran
	if marked, ok := errors.AsType[worker.Failure](err); ok {
		outcome = wire.Outcome(marked.Outcome)
	}
	switch {
	case errors.Is(err, worker.ErrMessage):
		return &wire.Error{Code: wire.BadRequest, Outcome: wire.NotRun, Text: err.Error()}
	case ctx.Err() == context.Canceled && outcome != wire.NotRun: // nobody waits, or the node closes
		return &wire.Error{Code: wire.Closed, Outcome: wire.Unknown, Text: "interrupted before the source had ended; ask again if it may run twice: " + err.Error()}
	case ctx.Err() == context.DeadlineExceeded && outcome == wire.NotRun:
		return &wire.Error{Code: wire.DeadlineExceeded, Outcome: outcome, Text: "the source did not begin in time: " + err.Error()}
	case ctx.Err() == context.DeadlineExceeded:
		return &wire.Error{Code: wire.DeadlineExceeded, Outcome: outcome, Text: "the source took too long: " + err.Error()}
	}
	return &wire.Error{Code: wire.SourceFailed, Outcome: outcome, Text: err.Error()}
}
