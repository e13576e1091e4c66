package node

import (
	"context"
	"time"

	"github.com/distproc/distproc/node/internal/peers"
	"github.com/distproc/distproc/node/internal/registry"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// A host is a node as its registries, its handoff queue and its pool of sessions know it.
type host struct{ n *Node }

func (h host) HandOff(list []registry.Answer) { h.n.handover.Add(list) }

func (h host) Target(id worker.ID) (dest string, ok bool) { return h.n.handoffTarget(id) }

func (h host) Send(ctx context.Context, dest string, list []registry.Answer) error {
	return h.n.handOver(ctx, dest, list)
}

func (h host) Claim(ctx context.Context, k worker.Key) *wire.Error { return h.n.claim(ctx, k) }

func (h host) Standstills() uint64 { return h.n.watch.stood() }

func (h host) Hello() wire.Hello { return h.n.members.hello() }

func (h host) Changed() { h.n.viewChanged() }

func (h host) Met(ctx context.Context, p *peers.Peer, s *wire.Session) {
	h.n.members.meet(s.Peer())
	h.n.compareKinds(ctx, p, s)
}

func (h host) DialFailed(err error) { h.n.members.heed(err) }

func (h host) Patience(kind string) time.Duration { return h.n.callTimeout(kind) }

func (h host) NotOwner(id worker.ID) *wire.Error { return h.n.elsewhere(id) }

// handoffTarget returns the node that takes the answer of id when the answer leaves this
// one, and whether it can.
func (n *Node) handoffTarget(id worker.ID) (name string, ok bool) {
	v := n.members.view.Load()
	if n.leaving.Load() || n.members.parting() {
		v = v.rest()
	}
	if len(v.peers) == 0 {
		return "", false
	}
	p := v.acting(id)
	return p.Name.String(), p.Self || !p.Lost() && !p.AnyStuck()
}

// handOver gives answers to the node that owns their ids now.
func (n *Node) handOver(ctx context.Context, to string, list []registry.Answer) error {
	if list = n.withoutOutdated(list); len(list) == 0 {
		return nil
	}
	if to == n.name { // the ids are back before their answers have gone
		n.adopt(list)
		return nil
	}
	p, err := n.member(to)
	if err != nil {
		return err
	}
	start := time.Now()
	s, err := n.members.pool.Get(ctx, p)
	if err != nil {
		return err
	}
	if dialing := time.Since(start); dialing > time.Millisecond {
		for i := range list {
			list[i].Age, list[i].Left = list[i].Age+dialing, list[i].Left-dialing
		}
	}
	return s.Do(ctx, opHandOver, list, nil)
}
