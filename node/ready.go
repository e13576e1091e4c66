package node

import (
	"context"
	"errors"

	"github.com/distproc/distproc/node/internal/audit"
	"github.com/distproc/distproc/node/internal/clock"
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

// ready makes a request for an id of this node, as ownInt returns it.
func (n *Node) ready(ctx context.Context, ownInt func() (int64, bool)) error {
	ctx, cancel := clock.WithDefault(ctx)
	defer cancel()
	hello := wire.Hello{Name: audit.ReadyName, Role: wire.RoleClient}
	s, err := wire.Dial(ctx, n.Addr(), n.creds, hello, protocol.Refuser{})
	if err != nil {
		return err
	}
	defer s.Close()
	for {
		id, ok := ownInt()
		if !ok {
			return errors.New("the others take this node for failed")
		}
		err := s.Call(ctx, &wire.Request{Kind: kinds.Ready, Num: id}, clock.Left(ctx), new(wire.Reply))
		if !errors.Is(err, wire.NotOwner) { // else a node has come or gone meanwhile, and the id is another node's
			return err
		}
	}
}
