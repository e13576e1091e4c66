package node

import (
	"context"

	"github.com/distproc/distproc/node/worker"
)

// A Family is the workers of one kind, wherever in the cluster they are. Its methods do
// what those of [Node] with the same names do for the default kind, and may be called
// from any number of goroutines. A call for a kind that the node of its id does not have
// fails with [ErrUnknownKind].
//
// Call sends a message, of at most 1 MiB, to the server of an id, of a kind that is a
// [worker.Serial], and returns its answer. Without a deadline in ctx it has 5 s. Messages
// for one id run one after another, in the order in which they came to its node, and
// there is one server of an id at a time: while nodes join and leave, are killed and
// restarted, a server starts only after every member that can be reached has said that it
// has none of that id. While the node of an id cannot be reached, calls for it wait for
// it, or for the fallback that all choose; no other node answers. Nodes that cannot reach
// each other, as a network that is split has them, can have a server each, and one that
// was paused goes on with its message when it wakes. A message is delivered at most once:
// if the error is not [worker.OutcomeNotRun], it is for the caller to know whether to
// send it again.
//
// ForceStop is for an id of a strict kind whose call does not end, and does not heed the
// end of its context: it gives the id up at once, on all members that have a server of it.
// The next call starts a new server, while the old call may go on: what that changes is
// protected by its token alone. ForceStop returns what went on where. For other kinds it
// fails.
type Family interface {
	Request(ctx context.Context, id worker.ID) (worker.Reply, error)
	RequestVia(ctx context.Context, via string, id worker.ID) (worker.Reply, error)
	Refresh(ctx context.Context, id worker.ID) (worker.Reply, error)
	Call(ctx context.Context, id worker.ID, message worker.Value) (worker.Reply, error)
	Stop(ctx context.Context, id worker.ID) (stopped bool, err error)
	ForceStop(ctx context.Context, id worker.ID) ([]worker.Stopped, error)
	Invalidate(ctx context.Context, id worker.ID) (had bool, err error)
	Why(ctx context.Context, id worker.ID) (Explanation, error)
}

// Family returns the workers of a kind.
func (n *Node) Family(kind string) Family { return family{n, kind} }

// Family returns the workers of a kind, as the node reaches them, or the client itself if
// it is Direct: see [Client].
func (c *Client) Family(kind string) Family { return family{c, kind} }

// A family asks by way of a node or a client.
type family struct {
	via interface {
		request(ctx context.Context, kind string, id worker.ID, fresh bool) (worker.Reply, error)
		requestVia(ctx context.Context, via, kind string, id worker.ID) (worker.Reply, error)
		call(ctx context.Context, k worker.Key, message worker.Value) (worker.Reply, error)
		stop(ctx context.Context, k worker.Key) (bool, error)
		forceStop(ctx context.Context, k worker.Key) ([]worker.Stopped, error)
		invalidate(ctx context.Context, k worker.Key) (bool, error)
		why(ctx context.Context, k worker.Key) (Explanation, error)
	}
	kind string
}

func (f family) Request(ctx context.Context, id worker.ID) (worker.Reply, error) {
	return f.via.request(ctx, f.kind, id, false)
}

func (f family) RequestVia(ctx context.Context, via string, id worker.ID) (worker.Reply, error) {
	return f.via.requestVia(ctx, via, f.kind, id)
}

func (f family) Refresh(ctx context.Context, id worker.ID) (worker.Reply, error) {
	return f.via.request(ctx, f.kind, id, true)
}

func (f family) Call(ctx context.Context, id worker.ID, message worker.Value) (worker.Reply, error) {
	return f.via.call(ctx, worker.Key{Kind: f.kind, ID: id}, message)
}

func (f family) Stop(ctx context.Context, id worker.ID) (bool, error) {
	return f.via.stop(ctx, worker.Key{Kind: f.kind, ID: id})
}

func (f family) ForceStop(ctx context.Context, id worker.ID) ([]worker.Stopped, error) {
	return f.via.forceStop(ctx, worker.Key{Kind: f.kind, ID: id})
}

func (f family) Invalidate(ctx context.Context, id worker.ID) (bool, error) {
	return f.via.invalidate(ctx, worker.Key{Kind: f.kind, ID: id})
}

func (f family) Why(ctx context.Context, id worker.ID) (Explanation, error) {
	return f.via.why(ctx, worker.Key{Kind: f.kind, ID: id})
}
