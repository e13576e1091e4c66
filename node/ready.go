package node

import (
	"context"
	"errors"

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
	if n.leaving.Load() {
		return &wire.Error{Code: wire.Closed, Outcome: wire.NotRun, Text: "the node is leaving"}
	}
	if err := n.members.Outranked(); err != nil {
		return err
	}
	v := n.members.View()
	if v.Apart {
		return n.members.ApartError()
	}
	if err := strict.Ready(n.quorum, n.kinds); err != nil {
		return err
	}
	return n.ready(ctx, func() (int64, bool) { return n.members.View().OwnInt() })
}

// Alive makes a request as Ready does, and returns nil if the port of this node answers it,
// with whatever answer. A node that is apart, without a leader of the voters or busy is
// alive. One whose Alive fails again and again does nothing for anybody any more.
func (n *Node) Alive(ctx context.Context) error {
	err := n.ready(ctx, func() (int64, bool) { return n.members.View().OwnInt() })
	if e, ok := errors.AsType[*wire.Error](err); ok && (e.Lost() || e.Code == wire.DeadlineExceeded) {
		return err
	}
	return nil
}

// ready makes a request for an id of this node, as ownInt returns it.
func (n *Node) ready(ctx context.Context, ownInt func() (int64, bool)) error {
	return protocol.AskSelf(ctx, n.addr.HostPort(), n.creds, audit.ReadyName, kinds.Ready, ownInt)
}
