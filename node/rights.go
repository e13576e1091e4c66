package node

import (
	"context"
	"slices"

	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/wire"
)

// A node with the cluster's cookie may open a session before it has a seat, or after it has lost it.
// Its rights then:
//
//	OpSync      yes, but it counts only for the asker itself: it may know the cluster that this node has left
//	OpRetire    yes: it is about the session that it comes on
//	OpKinds     yes: so
//	OpBarrier      yes: this node reads, and settles with members alone
//	OpHolds     yes: this node reads
//	OpWorkers   yes: so
//	OpInfo      yes: so
//	OpInspect   yes: so
//	OpHandOff  no: members would be given the values
//	OpDetach      no
//	OpStop      no
//	OpInvalidate no
//
// A client has other operations (serveClient), and none of these.

// onlyMembers reports whether an operation is for members alone.
func onlyMembers(op wire.Op) bool {
	return op == protocol.OpHandOff || op == protocol.OpDetach || op == protocol.OpStop || op == protocol.OpInvalidate
}

// vouch returns an error unless the peer of ws is a member. A peer that this node does not know yet,
// but that takes this very start of it for a member, becomes one.
func (m *members) vouch(ctx context.Context, ws *wire.Session) error {
	if m.isMember(ws.Peer()) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, m.patience())
	defer cancel()
	m.meetStranger(ctx, ws)
	if m.isMember(ws.Peer()) {
		return nil
	}
	return wire.Errorf(wire.BadRequest, wire.NotRun, "%s is no member of the cluster of %s; connect it first", ws.Peer().Name, m.name)
}

// isMember reports whether the start of a node that h tells of has a seat, or has just left: it hands
// over its last values after its farewell.
func (m *members) isMember(h wire.Hello) bool {
	if m.hasSeat(h) {
		return true
	}
	return slices.ContainsFunc(m.view.Load().gossip.Snapshot(), func(w wire.Member) bool {
		return w.Name == h.Name && w.Incarnation == h.Incarnation && w.State == wire.Left
	})
}

// hasSeat reports whether the start of a node that h tells of has a seat.
func (m *members) hasSeat(h wire.Hello) bool {
	name, err := placement.ParseName(h.Name)
	if err != nil {
		return false
	}
	p := m.view.Load().peer(name)
	return p != nil && m.pool.Seated(p).Incarnation == h.Incarnation
}
