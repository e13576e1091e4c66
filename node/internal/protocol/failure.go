package protocol

import (
	"errors"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// A Failure is what the error of a call tells of the node that was asked: whether the call
// may succeed at another node, or later. Whether it may be made again depends on the
// outcome, too.
type Failure int

// The failures.
const (
	Final     Failure = iota // another node would answer the same
	Elsewhere                // the id is another node's: the one that was asked is well
	Gone                     // the node leaves, and takes no more calls
	Apart                    // the node was disconnected from its cluster, and starts no servers
	Lost                     // the node cannot be reached, or its connection broke
)

// Classify returns the error of a call and the failure that it is. The error is nil if err
// does not come from a node: it is Final then.
func Classify(err error) (*wire.Error, Failure) {
	e, ok := errors.AsType[*wire.Error](err)
	switch {
	case !ok:
		return nil, Final
	case e.Code == wire.NotOwner:
		return e, Elsewhere
	case e.Code == wire.Leaving:
		return e, Gone
	case e.Code == wire.Apart:
		return e, Apart
	case e.Lost():
		return e, Lost
	}
	return e, Final
}

// Late returns the error of a call whose time was up, as why says, when it had failed with
// e and was to be made again.
func Late(why error, e *wire.Error) *wire.Error {
	late := wire.Ended(why, e.Outcome)
	late.Text = e.Error()
	return late
}

// WithOutcome returns e as the error of a call that was made before: if e did not run, the
// outcome is what became of it then.
func WithOutcome(e *wire.Error, before wire.Outcome) *wire.Error {
	if e.Outcome != wire.NotRun || before == wire.NotRun {
		return e
	}
	again := *e
	again.Outcome = before
	return &again
}

// OutcomeOf returns the outcome that err carries, or [worker.OutcomeUnknown].
func OutcomeOf(err error) worker.Outcome {
	if e, ok := errors.AsType[*wire.Error](err); ok {
		return worker.Outcome(e.Outcome)
	}
	return worker.OutcomeUnknown
}
