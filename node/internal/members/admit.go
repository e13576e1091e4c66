package members

import (
	"context"
	"errors"

	"github.com/distproc/distproc/node/internal/peers"
	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/wire"
)

// A node is let in if it has the cookie (the handshake has seen to that), the same
// routing, and a name that no other living node has.

// Admit decides on a connection of another node, and serves it.
func (m *Members) Admit(ctx context.Context, in *wire.Incoming) {
	h, g := in.Hello, m.View().gossip // before the decision: the node may leave, and start another gossip, meanwhile
	name, addr, why := m.identify(h)
	if why == nil {
		why = m.refusal(ctx, name, addr, h)
	}
	if why != nil {
		m.host.Refused(in.RemoteAddr(), why)
		in.Refuse(why)
		return
	}
	if h.Role == wire.RoleLink {
		hello := m.Hello()
		hello.Role = wire.RoleLink
		if l, err := in.AcceptLink(hello); err == nil {
			g.Serve(h.Name, l)
		}
		return
	}
	ws, err := in.Accept(m.Hello(), m.Serve)
	if err == nil {
		m.pool.Introduce(m.pool.Peer(name), addr)
		_, err = m.pool.Register(ws, name)
	}
	if err != nil {
		m.Logger.Debug("session dropped", "node", h.Name, "err", err)
	}
}

// identify returns the name and the address that a newcomer gives.
func (m *Members) identify(h wire.Hello) (placement.Name, string, *wire.Error) {
	name, err := placement.ParseName(h.Name)
	if err != nil {
		return placement.Name{}, "", wire.Errorf(wire.BadRequest, wire.NotRun, "%v", err)
	}
	addr, err := placement.AddrOf(name, h.Addr)
	if err != nil {
		return placement.Name{}, "", wire.Errorf(wire.BadRequest, wire.NotRun, "address %.100q: %v", h.Addr, err)
	}
	return name, addr.HostPort(), nil
}

// refusal returns why a newcomer is not let in, or nil.
func (m *Members) refusal(ctx context.Context, name placement.Name, addr string, h wire.Hello) *wire.Error {
	self := m.Hello()
	if name == m.Addr.Name {
		return taken(wire.Member{Name: self.Name, Addr: self.Addr, Incarnation: self.Incarnation})
	}
	if m.Detaching() {
		return m.Leaving()
	}
	if err := m.Outranked(); err != nil {
		return err
	}
	if h.Routing != self.Routing {
		return wire.Errorf(wire.Disagreement, wire.NotRun, "this cluster routes by %s; pass --routing %s", self.Routing, self.Routing)
	}
	v := m.View()
	p := v.Peer(name)
	if p == nil && len(v.Peers) >= protocol.MaxMembers {
		return wire.Errorf(wire.Overloaded, wire.NotRun, "the cluster has %d members already", protocol.MaxMembers)
	}
	if p == nil {
		if h.Role == wire.RoleMember && m.pool.Strangers() >= MaxStrangers {
			return wire.Errorf(wire.Overloaded, wire.NotRun, "%d nodes that are no members are connected; try again", MaxStrangers)
		}
		if h.Role == wire.RoleLink {
			return m.misplaced(ctx, name, addr)
		}
		return nil
	}
	old := m.pool.Slot(p)
	if old.Addr == addr {
		if other := m.otherAnswers(ctx, p, h); other != 0 {
			return taken(wire.Member{Name: old.Name, Addr: old.Addr, Incarnation: other})
		}
		return nil // it was restarted
	}
	if old.Incarnation != h.Incarnation && m.lives(ctx, old, !v.Failed(p)) {
		return taken(old)
	}
	return m.misplaced(ctx, name, addr)
}

// otherAnswers returns the incarnation of another process of p's name than h, if one
// answers on a session to this node, or 0. Both may have the same address, as when a
// service was moved to another machine, and gossip may tell of either.
func (m *Members) otherAnswers(ctx context.Context, p *peers.Peer, h wire.Hello) uint64 {
	ws := p.Session()
	if ws == nil || ws.Err() != nil || ws.Peer().Incarnation == h.Incarnation {
		return 0
	}
	ctx, cancel := context.WithTimeout(ctx, m.OpTimeout())
	defer cancel()
	if err := ws.Ping(ctx); err != nil {
		return 0
	}
	return ws.Peer().Incarnation
}

// Leaving is the refusal of a node that leaves its cluster. It names the incarnation that
// leaves, because another process may have the same name and address.
func (m *Members) Leaving() *wire.Error {
	h := m.Hello()
	return &wire.Error{
		Code: wire.Leaving, Outcome: wire.NotRun,
		Members: []wire.Member{{Name: h.Name, Addr: h.Addr, Incarnation: h.Incarnation}},
	}
}

// Leaves reports whether a dial of p failed with err because p leaves its cluster.
// Another process may have p's name and address, and leave.
func (m *Members) Leaves(p *peers.Peer, err error) bool {
	e, ok := errors.AsType[*wire.Error](err)
	if !ok || e.Code != wire.Leaving || len(e.Members) != 1 {
		return false
	}
	w, slot := e.Members[0], m.pool.Slot(p)
	return w.Name == slot.Name && w.Incarnation == slot.Incarnation
}

// taken is the refusal of a node whose name is that of w.
func taken(w wire.Member) *wire.Error {
	e := wire.Errorf(wire.NameTaken, wire.NotRun, "%s is the node at %s; choose another --name", w.Name, w.Addr)
	e.Members = []wire.Member{w}
	return e
}

// lives reports whether the member is at its address. One that does not answer, but that
// the cluster takes for alive, may be paused.
func (m *Members) lives(ctx context.Context, w wire.Member, alive bool) bool {
	ctx, cancel := context.WithTimeout(ctx, m.OpTimeout())
	defer cancel()
	l, err := m.dialLink(ctx, w)
	if err == nil {
		l.Close()
	}
	twin := w.Name == m.Addr.Name.String() && errors.Is(err, wire.NameTaken) // it answers that it has the name
	return err == nil || twin || alive && ctx.Err() != nil
}
