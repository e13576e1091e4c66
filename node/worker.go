package node

import (
	"context"
	"fmt"
	"time"

	"github.com/distproc/distproc/wire"
)

// A worker is the one place for its id on this node. It is loading until its source has returned,
// then it has a value, until it expires. It is no goroutine: only a running source has one. All of
// it is guarded by the lock of its shard.
type worker struct {
	id      ID
	started time.Duration // on the registry's clock
	expires time.Duration // when its value is given no more; meaningless while it loads
	value   Value
	err     *wire.Error // cached instead of a value, if the kind says so
	hits    uint64
	load    *load // nil once it has a value
	moved   bool  // the id is another node's now: drop it when the load ends
}

// A load is one run of a source, and who waits for it.
type load struct {
	waiters []*waiter
	cancel  context.CancelFunc
	// Everybody who waited has gone and the run was cancelled. It may take a moment to notice. Who
	// comes meanwhile waits for the next run, because runs of one id never overlap.
	abandoned bool
}

// A waiter is a call that waits for a load. Its done is called exactly once, without locks held.
type waiter struct {
	id       ID
	deadline time.Duration // on the registry's clock
	done     func(Reply, error)

	// Guarded by the lock of the id's shard:
	worker   *worker // whose load it waits for
	index    int     // in its waiters
	canceled bool
}

// add lets a waiter wait for the load.
func (l *load) add(w *worker, c *waiter) {
	c.worker, c.index = w, len(l.waiters)
	l.waiters = append(l.waiters, c)
}

// remove takes a waiter out. The last one to go cancels the run.
func (l *load) remove(c *waiter) {
	last := len(l.waiters) - 1
	l.waiters[c.index] = l.waiters[last]
	l.waiters[c.index].index = c.index
	l.waiters[last] = nil
	l.waiters = l.waiters[:last]
	c.worker = nil
	if last == 0 {
		l.abandoned = true
		l.cancel()
	}
}

// run calls the source and gives what it returned, or what became of it, to then. It is
// prepared for a source that panics or ends its goroutine.
func run(ctx context.Context, source Source, id ID, then func(Value, *wire.Error)) {
	var value Value
	failure := &wire.Error{Code: wire.Panicked, Outcome: wire.Ran, Text: "the source ended its goroutine"}
	defer func() {
		if r := recover(); r != nil {
			failure.Text = fmt.Sprint(r)
		}
		then(value, failure)
	}()
	v, err := source(ctx, id)
	switch {
	case err == nil && len(v.data) > wire.MaxValue:
		failure = wire.Errorf(wire.SourceFailed, wire.Ran, "value of %d bytes, limit %d", len(v.data), wire.MaxValue)
	case err == nil:
		value, failure = v, nil
	case ctx.Err() == context.DeadlineExceeded:
		failure = &wire.Error{Code: wire.DeadlineExceeded, Outcome: wire.Ran, Text: "the source took too long: " + err.Error()}
	default:
		failure = &wire.Error{Code: wire.SourceFailed, Outcome: wire.Ran, Text: err.Error()}
	}
}
