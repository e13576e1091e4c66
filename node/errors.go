package node

import (
	"context"
	"errors"

	"github.com/distproc/distproc/wire"
)

// Sentinels for errors.Is. An error of a request that another node answered is the same sentinel
// as a local one. context.DeadlineExceeded and context.Canceled are found as well.
var (
	ErrOverloaded  error = wire.Overloaded   // a bounded queue is full; never retried automatically
	ErrSource      error = wire.SourceFailed // the worker's source returned an error
	ErrPanic       error = wire.Panicked     // the worker's source panicked
	ErrUnreachable error = wire.Unreachable  // no way to that node
	ErrClosed      error = wire.Closed       // this node is closed
	ErrNameTaken   error = wire.NameTaken    // another live node has this node's name
	ErrCookie      error = wire.WrongCookie  // that node has another cookie

	ErrUnknownKind error = wire.UnknownKind // the node of that id has no such kind

	ErrCallCycle   error = wire.CallCycle        // the worker that was called waits for this call
	ErrWrongType   error = wire.WrongType        // the value is not of the type of Go that [Get] or [Call] was asked for
	ErrLeaving     error = wire.Leaving          // that node is leaving the cluster and takes no more calls
	ErrBadRequest  error = wire.BadRequest       // the request makes no sense
	ErrNotOwner    error = wire.NotOwner         // the id is another node's, as that node sees it
	ErrInternal    error = wire.Internal         // a bug, or a broken peer
	ErrWrongName   error = wire.WrongName        // another node answers there
	ErrVersion     error = wire.WrongVersion     // the two nodes have no protocol version in common
	ErrConnected   error = wire.AlreadyConnected // the two nodes have a session already
	ErrUnsupported error = wire.UnknownOperation // that node is older, or newer, and does not know the operation

	ErrDisagreement error = wire.Disagreement // that node is set up in a way that does not go with this one's

	// ErrApart is the error of a call to a node that was disconnected: see [Node.GoAlone].
	ErrApart error = wire.Apart
)

// An Outcome tells what became of a call that failed.
type Outcome = wire.Outcome

const (
	Unknown = wire.Unknown // it may have run
	NotRun  = wire.NotRun  // it did not run; it is safe to ask again
	Ran     = wire.Ran     // it ran, and the error is its result
)

// NotBegun marks an error of a [Source], or of a [Server]'s Call, that came before anything
// was done. The outcome of the call is [NotRun] instead of [Ran].
func NotBegun(err error) error { return outcomeError{err, NotRun} }

// MayHaveRun marks an error of a [Source], or of a [Server]'s Call, that leaves open whether
// anything was done: a connection broke before the answer came, say. The outcome of the call
// is [Unknown] instead of [Ran].
func MayHaveRun(err error) error { return outcomeError{err, Unknown} }

// An outcomeError is an error of a source that says what became of the run.
type outcomeError struct {
	error
	outcome Outcome
}

func (e outcomeError) Unwrap() error { return e.error }

// OutcomeOf returns the outcome that err carries, or Unknown.
func OutcomeOf(err error) Outcome {
	if e, ok := errors.AsType[*wire.Error](err); ok {
		return e.Outcome
	}
	return Unknown
}

// endError is the error of a call whose context has ended, and why.
func endError(why error, o Outcome) *wire.Error {
	code := wire.Canceled
	if errors.Is(why, context.DeadlineExceeded) {
		code = wire.DeadlineExceeded
	}
	return &wire.Error{Code: code, Outcome: o}
}
