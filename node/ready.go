package node

import (
	"context"

	"github.com/distproc/distproc/node/internal/audit"
	"github.com/distproc/distproc/node/internal/kinds"
	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/internal/strict"
	"github.com/distproc/distproc/wire"
)

// Ready makes a request as another program would, through the port of this node, and
// returns nil if it is answered: the node listens, admits a client with the cookie, finds
// the place of an id, starts a worker, and takes its answer back. It asks no source, and
// no other node. A node that is apart is not ready, because it is not in the cluster that
// its callers mean: see [Node.GoAlone]. Nor is a node that has strict kinds, while no
// leader of the voters has answered it for the time of a lease: it is cut off from the
// majority that others still may reach, or has none.
func (n *Node) Ready(ctx context.Context) error {
	if err := n.unready(); err != nil {
		return err
	}
	return n.ready(ctx, func() (int64, bool) { return n.members.View().OwnInt() })
}

// unready returns what the node knows to be in the way of requests, or nil.
func (n *Node) unready() error {
	switch err := n.members.Outranked(); {
	case n.leaving.Load():
		return &wire.Error{Code: wire.Closed, Outcome: wire.NotRun, Text: "the node is leaving"}
	case err != nil:
		return err
	case n.members.View().Apart:
		return n.members.ApartError()
	}
	return strict.Ready(n.quorum, n.kinds)
}

// inTheWay returns unready as a text, or that the node has yet to join others.
func (n *Node) inTheWay() string {
	if err := n.unready(); err != nil {
		return err.Error()
	}
	return n.members.Unjoined()
}

// Alive makes a request as Ready does, and returns nil if the port of this node answers it,
// with whatever answer. A node that is apart, without a leader of the voters or busy is
// alive. One whose Alive fails again and again does nothing for anybody any more.
func (n *Node) Alive(ctx context.Context) error {
	return protocol.Unanswered(n.ready(ctx, func() (int64, bool) { return n.members.View().OwnInt() }))
}

// ready makes a request for an id of this node, as ownInt returns it.
func (n *Node) ready(ctx context.Context, ownInt func() (int64, bool)) error {
	return protocol.AskSelf(ctx, n.Addr(), n.creds, audit.ReadyName, kinds.Ready, ownInt)
}
