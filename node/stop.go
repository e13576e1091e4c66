package node

import (
	"context"

	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/worker"
)

// Stop ends the worker of id on its owner, or on this node if the owner is out of reach,
// and reports whether one lived. A worker that loads first answers those who wait for it;
// later callers wait for the next load. To make every member forget a value, see
// [Node.Invalidate]. For an id of a strict kind that waits for a call which does not end,
// Stop fails with [context.DeadlineExceeded] and says what that is: see [Family].ForceStop.
func (n *Node) Stop(ctx context.Context, id worker.ID) (stopped bool, err error) {
	return n.stop(ctx, worker.Key{ID: id})
}

func (n *Node) stop(ctx context.Context, k worker.Key) (stopped bool, err error) {
	return n.router.Stop(ctx, k, n.own(ctx))
}

func (n *Node) forceStop(ctx context.Context, k worker.Key) ([]worker.Stopped, error) {
	return n.router.ForceStop(ctx, k, n.own(ctx))
}

func (c *Client) forceStop(ctx context.Context, k worker.Key) (list []worker.Stopped, err error) {
	err = c.reach.Do(ctx, protocol.OpForceStop, k, protocol.BoundedStopped(&list))
	return list, err
}
