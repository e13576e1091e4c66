package node

import (
	"context"
	"net"
	"time"

	"github.com/distproc/distproc/node/internal/audit"
	"github.com/distproc/distproc/node/internal/handoff"
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

func (h host) Target(id worker.ID) (dest string, ok bool) { return h.n.handoffTarget(id) }

func (h host) Send(ctx context.Context, dest string, list []registry.Answer) error {
	return h.n.sendAnswers(ctx, dest, list)
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

// handoffTarget returns the node that takes the answer of id when the answer leaves this
// one, and whether it can.
func (n *Node) handoffTarget(id worker.ID) (name string, ok bool) {
	v := n.members.View()
	if n.leaving.Load() || n.members.Detaching() {
		v = v.Rest()
	}
	if len(v.Peers) == 0 {
		return "", false
	}
	p := v.Acting(id)
	return p.Text, p.Self || !p.Lost() && !p.AnyStuck()
}

// sendAnswers gives answers to the node that owns their ids now.
func (n *Node) sendAnswers(ctx context.Context, to string, list []registry.Answer) error {
	if list = n.kinds.Current(list); len(list) == 0 {
		return nil
	}
	if to == n.name { // the ids are back before their answers have gone
		n.kinds.Adopt(list)
		return nil
	}
	p, err := n.member(to)
	if err != nil {
		return err
	}
	start := time.Now()
	s, err := n.pool.Get(ctx, p)
	if err != nil {
		return err
	}
	if dialing := time.Since(start); dialing > time.Millisecond {
		for i := range list {
			list[i].Age, list[i].Left = list[i].Age+dialing, list[i].Left-dialing
		}
	}
	return handoff.Send(ctx, s, list)
}

// own returns the node itself, as the one who does something.
func (n *Node) own() audit.Actor { return audit.Actor{Name: n.name} }
