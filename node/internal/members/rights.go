package members

import (
	"context"
	"slices"

	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/wire"
)

// Vouch returns an error unless the peer of ws is a member. A peer that this node does
// not know yet, but that takes this incarnation of it for a member, becomes one.
func (m *Members) Vouch(ctx context.Context, ws *wire.Session) error {
	if m.isMember(ws.Peer()) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, m.OpTimeout())
	defer cancel()
	m.meetStranger(ctx, ws)
	if m.isMember(ws.Peer()) {
		return nil
	}
	return wire.Errorf(wire.BadRequest, wire.NotRun, "%s is no member of the cluster of %s; connect it first", ws.Peer().Name, m.Addr.Name)
}

// isMember reports whether the incarnation of a node that h tells of has a slot, or has
// just left: it hands off its last values after its farewell.
func (m *Members) isMember(h wire.Hello) bool {
	if m.hasSlot(h) {
		return true
	}
	return slices.ContainsFunc(m.View().gossip.Snapshot(), func(w wire.Member) bool {
		return w.Name == h.Name && w.Incarnation == h.Incarnation && w.State == wire.Left
	})
}

// hasSlot reports whether the incarnation of a node that h tells of has a slot.
func (m *Members) hasSlot(h wire.Hello) bool {
	name, err := placement.ParseName(h.Name)
	if err != nil {
		return false
	}
	p := m.View().Peer(name)
	return p != nil && m.pool.Slot(p).Incarnation == h.Incarnation
}
