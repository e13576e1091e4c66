package node

import (
	"context"

	"github.com/distproc/distproc/node/worker"
)

// Request asks the worker of id, wherever in the cluster it is. Without a deadline in ctx,
// and [worker.WithTimeLimit], the call has 5 s. It does not fail because some node died: a
// worker of this node answers if the owner cannot be reached, and Reply.Degraded says so.
// The error of a call that failed tells its outcome: see [OutcomeOf].
func (n *Node) Request(ctx context.Context, id worker.ID) (worker.Reply, error) {
	return n.request(ctx, "", id, false)
}

// Refresh is [Node.Invalidate] at the place of the id, and Request: its value comes from
// a load that begins after Refresh is called. Those who refresh an id at the same time
// share that load.
func (n *Node) Refresh(ctx context.Context, id worker.ID) (worker.Reply, error) {
	return n.request(ctx, "", id, true)
}

// RequestVia is Request as seen from another node: that one finds the owner and asks it.
func (n *Node) RequestVia(ctx context.Context, via string, id worker.ID) (worker.Reply, error) {
	return n.requestVia(ctx, via, "", id)
}

func (n *Node) requestVia(ctx context.Context, via, kind string, id worker.ID) (reply worker.Reply, err error) {
	p, err := n.members.Member(via)
	if err != nil {
		return worker.Reply{}, err
	}
	if p.Self {
		return n.request(ctx, kind, id, false)
	}
	return n.router.Via(ctx, p, kind, id)
}

func (n *Node) request(ctx context.Context, kind string, id worker.ID, fresh bool) (reply worker.Reply, err error) {
	err = n.router.Request(ctx, kind, id, fresh, &reply)
	return reply, err
}

func (n *Node) call(ctx context.Context, k worker.Key, message worker.Value) (worker.Reply, error) {
	return n.router.Call(ctx, k, message)
}
