package node

import (
	"context"
	"net"
	"time"

	"github.com/distproc/distproc/node/internal/audit"
	"github.com/distproc/distproc/node/internal/peers"
	"github.com/distproc/distproc/node/internal/registry"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// A host is a node as its registries, its handoff queue and its pool of sessions know it.
type host struct{ n *Node }

func (h host) HandOff(list []registry.Answer) { h.n.handoffs.Add(list) }

func (h host) AwaitRoom(ctx context.Context) {
	if !h.n.members.Detaching() { // a node that is to leave at once hands off what there is room for
		h.n.handoffs.AwaitRoom(ctx)
	}
}

func (h host) Hurries() bool { return h.n.leaving.Load() || h.n.members.Detaching() }

func (h host) Target(id worker.ID) (dest string, ok bool) { return h.n.router.Heir(id, h.Hurries()) }

func (h host) Send(ctx context.Context, dest string, list []registry.Answer) error {
	return h.n.router.SendAnswers(ctx, dest, list)
}

func (h host) Claim(ctx context.Context, k worker.Key) *wire.Error { return h.n.claims.Claim(ctx, k) }

func (h host) ViewChanged() { h.n.viewChanged() }

func (h host) Refused(from net.Addr, why error) { h.n.refusals.Refused(from, why) }

func (h host) Outranked() {
	_ = h.n.detach(true) // it has logged why it cannot
	h.n.displace.Do(func() { close(h.n.displaced) })
}

func (h host) Met(ctx context.Context, p *peers.Peer, s *wire.Session) { h.n.compareKinds(ctx, p, s) }

func (h host) CallTimeout(kind string) time.Duration { return h.n.kinds.CallTimeout(kind) }

func (h host) NotOwner(id worker.ID) *wire.Error { return h.n.members.View().NotOwner(id) }

func (h host) StoodStill() bool { return h.n.members.StoodStill() }

func (h host) Suspended() { h.n.kinds.Sweep() }

// own returns the actor of an operation of this program: the node itself, or that of ctx.
func (n *Node) own(ctx context.Context) audit.Actor { return audit.ActorIn(ctx, n.name) }
