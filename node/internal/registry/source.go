package registry

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

const (
	maxPanicText = 1 << 10  // bytes of a panic's value in the log
	maxStack     = 16 << 10 // bytes of its stack
)

// callSource calls the source and passes its value or its error to then. A source that
// panics, or ends its goroutine, fails with Panicked, and its stack is logged.
func (t *table) callSource(
	ctx context.Context, source worker.Source, id worker.ID, then func(worker.Value, *wire.Error),
) {
	var value worker.Value
	var failure *wire.Error
	returned := false
	defer func() {
		if !returned {
			failure = t.crashed(id, recover())
		}
		then(value, failure)
	}()
	v, err := source(ctx, id)
	switch {
	case err == nil && v.Len() > wire.MaxValue:
		failure = wire.Errorf(wire.SourceFailed, wire.Ran, "value of %d bytes, limit %d", v.Len(), wire.MaxValue)
	case err == nil:
		value = v
	default:
		failure = failureOf(ctx, err)
	}
	returned = true // the methods of err are the source's, too
}

// crashed logs the stack of a source that did not return, and returns the error for its
// callers. It runs in the deferred call, so the stack still has the source's frames.
func (t *table) crashed(id worker.ID, reason any) *wire.Error {
	e := &wire.Error{Code: wire.Panicked, Outcome: wire.Ran, Text: "the source ended its goroutine"}
	if reason != nil {
		e.Text = fmt.Sprint(reason)
	}
	if leftOut, ok := t.crashes.Allow(); ok {
		stack := debug.Stack()
		fields := []any{"kind", t.name, "id", id.String(), "panic", e.Text[:min(len(e.Text), maxPanicText)]}
		fields = append(fields, leftOut...)
		t.log.Error("worker panicked", append(fields, "stack", string(stack[:min(len(stack), maxStack)]))...)
	}
	return e
}

// failureOf returns the failure of a run whose source returned err. The outcome is Ran
// unless the source marks err: see [worker.NotRun] and [worker.MayHaveRun].
func failureOf(ctx context.Context, err error) *wire.Error {
	outcome := wire.Ran
	if marked, ok := errors.AsType[worker.Failure](err); ok {
		outcome = wire.Outcome(marked.Outcome)
	}
	code, text := wire.SourceFailed, ""
	switch {
	case errors.Is(err, worker.ErrMessage):
		code, outcome = wire.BadRequest, wire.NotRun
	case ctx.Err() == context.Canceled && outcome != wire.NotRun: // nobody waits, or the node closes
		code, outcome = wire.Closed, wire.Unknown
		text = "interrupted before the source had ended; ask again if it may run twice: "
	case ctx.Err() == context.DeadlineExceeded && outcome == wire.NotRun:
		return late(outcome, "the source did not begin in time", err)
	case ctx.Err() == context.DeadlineExceeded:
		return late(outcome, "the source took too long", err)
	}
	return &wire.Error{Code: code, Outcome: outcome, Text: text + err.Error()}
}

// late returns the failure of a source whose time is over. Of an error that says no more
// than that in other words, what follows these remains.
func late(outcome wire.Outcome, text string, err error) *wire.Error {
	more := ": " + err.Error()
	if _, after, found := strings.Cut(more, context.DeadlineExceeded.Error()); found {
		more = after
	}
	return &wire.Error{Code: wire.DeadlineExceeded, Outcome: outcome, Text: text + more}
}
