package worker

import (
	"context"

	"github.com/distproc/distproc/wire/text"
)

// A Factory makes the server of an id, when the first message for it comes. It should
// return soon after ctx ends, as a [Source] should. Its error is the answer to the
// messages that wait by then, and the next one calls it again.
type Factory func(ctx context.Context, id ID) (Server, error)

// A Server is the worker of an id that takes messages, in the manner of Erlang's
// GenServer: what it holds lives as long as the worker does. Its methods are never called
// while another one of it runs, nor while another server of that id lives: see
// node.Family.Call for what that means across nodes. So it needs no locks.
//
// Call answers a message. Its context ends when Call returns, at the kind's Timeout, or when
// the node closes, and may have no values after that. It does not end when the caller gives
// up, because what the server holds would be left half changed; node.DeadlineOf tells when
// that is. A message that has not begun by then never does. A call that a server makes
// under this context to its own id, or to a server that waits for it, fails at once with
// node.ErrCallCycle. An error is the caller's, and the server lives on. A panic is the
// caller's, too, as node.ErrPanic, and ends the server, as what it holds may be half
// changed.
type Server interface {
	Call(ctx context.Context, message Value) (Value, error)
}

// A Terminator is a [Server] that wants to know of its end. The next server of the id
// starts after Terminate has returned, which has the kind's Timeout to do so. It is not
// called if the process is killed.
type Terminator interface {
	Terminate(ctx context.Context, why EndReason)
}

// An EndReason is why a server ends.
type EndReason uint8

const (
	EndExpired EndReason = iota // its kind's TTL or IdleTTL is over
	EndMoved                    // the id belongs to another node now
	EndStopped                  // somebody stopped it
	EndClosing                  // the node closes, or its kind was removed
	EndCrashed                  // it panicked
)

var endReasons = [...]string{
	EndExpired: "expired", EndMoved: "moved", EndStopped: "stopped", EndClosing: "closing", EndCrashed: "crashed",
}

func (r EndReason) String() string {
	if int(r) < len(endReasons) {
		return endReasons[r]
	}
	return "unknown"
}

// MarshalText returns the name of the reason.
func (r EndReason) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads expired, moved, stopped, closing or crashed.
func (r *EndReason) UnmarshalText(name []byte) error {
	return text.Parse(r, "reason", endReasons[:], name)
}
