package node

import (
	"context"

	"github.com/distproc/distproc/node/internal/chain"
	"github.com/distproc/distproc/node/internal/peers"
	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// serveForward asks the owner for a client.
func (n *Node) serveForward(c wire.Call, id worker.ID) {
	n.forward(c, func(ctx context.Context) (worker.Reply, error) {
		ctx = chain.With(worker.WithTrace(ctx, c.Request.Trace), chain.Cause{Chain: c.Request.Chain})
		if c.Request.IsCall {
			return n.router.Call(ctx, worker.Key{Kind: c.Request.Kind, ID: id}, protocol.MessageOf(&c.Request))
		}
		return n.request(ctx, c.Request.Kind, id, c.Request.Fresh)
	})
}

// serveRelay asks the place of an id, which is p, for a member that cannot reach it.
func (n *Node) serveRelay(c wire.Call, p *peers.Peer) {
	if c.Peer().Role != wire.RoleMember {
		c.Fail(wire.Errorf(wire.BadRequest, wire.NotRun, "only members ask for a relay"))
		return
	}
	n.forward(c, func(ctx context.Context) (worker.Reply, error) { return n.router.PassOn(ctx, p, c.Request) })
}

// forward answers c with what ask returns, within the bounds of n.forwards.
func (n *Node) forward(c wire.Call, ask func(context.Context) (worker.Reply, error)) {
	if err := n.forwards.Enter(len(c.Request.Data)); err != nil {
		if n.closing.Load() {
			err = &wire.Error{Code: wire.Leaving, Outcome: wire.NotRun}
		}
		c.Fail(err)
		return
	}
	ctx, cancel := context.WithTimeout(n.ctx, protocol.ClampTimeout(c.Timeout))
	c.OnCancel(cancel)
	n.wg.Go(func() {
		defer n.forwards.Leave(len(c.Request.Data))
		defer cancel()
		reply, err := ask(ctx)
		n.answer(&c.Responder, &reply, err)
	})
}
