package node

import (
	"context"

	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/worker"
)

// Invalidate makes the cluster forget the value of id, and reports whether a member had
// one or was loading one. A request that begins after Invalidate has returned gets a
// value whose load began after Invalidate was called. Requests that waited before may get
// the value of the load that they waited for.
//
// Members that cannot be reached keep their values until these expire, but for those of a
// strict kind, of which they give none any more. Invalidate fails if the place of the id
// cannot be reached; call it again then. It does not reach the HTTP caches of clients.
func (n *Node) Invalidate(ctx context.Context, id worker.ID) (had bool, err error) {
	return n.invalidate(ctx, worker.Key{ID: id})
}

// Invalidate is [Node.Invalidate] as done by the node.
func (c *Client) Invalidate(ctx context.Context, id worker.ID) (had bool, err error) {
	return c.invalidate(ctx, worker.Key{ID: id})
}

func (c *Client) invalidate(ctx context.Context, k worker.Key) (had bool, err error) {
	err = c.reach.Do(ctx, protocol.OpInvalidate, k, &had)
	return had, err
}

func (n *Node) invalidate(ctx context.Context, k worker.Key) (had bool, err error) {
	return n.router.Invalidate(ctx, k)
}
