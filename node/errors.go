package node

import (
	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// Sentinels for errors.Is. An error of a request that another node answered is the same
// sentinel as a local one. context.DeadlineExceeded and context.Canceled are found as
// well.
var (
	ErrOverloaded  error = wire.Overloaded   // a bounded queue is full; never retried automatically
	ErrWorker      error = wire.SourceFailed // the source or the server of the worker returned an error
	ErrPanic       error = wire.Panicked     // the source or the server of the worker panicked
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
	ErrUnsupported error = wire.UnknownOperation // that node is older, or newer, and does not know the operation

	ErrDisagreement error = wire.Disagreement // that node is set up in a way that does not go with this one's

	ErrNoQuorum error = wire.NoQuorum // too few voters can be reached for a call of a strict kind to start
	ErrFenced   error = wire.Fenced   // the node's lease ended before the call of a strict kind did: it is unknown what of it counts

	// ErrApart is the error of a call to a node that was disconnected: see
	// [Node.GoAlone].
	ErrApart error = wire.Apart
)

// OutcomeOf returns the outcome that err carries, or [worker.OutcomeUnknown].
func OutcomeOf(err error) worker.Outcome { return protocol.OutcomeOf(err) }
