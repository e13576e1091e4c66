package node

import (
	"context"
	"errors"
	"time"

	"github.com/distproc/distproc/node/gossip"
	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/internal/peers"
	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/wire"
)

// Who is let in: a node with the same cookie (the handshake has seen to that), the same routing, and a name that no
// other living node has.

// admit decides on a member's connection that came in, and serves it.
func (m *members) admit(ctx context.Context, in *wire.Incoming) {
	h, g := in.Hello, m.view.Load().gossip // a link that is let in just before this node leaves is none of the cluster that it starts then
	name, addr, why := m.identify(h)
	if why == nil {
		why = m.refusal(ctx, name, addr, h)
	}
	if why != nil {
		m.refused(in.RemoteAddr(), why)
		in.Refuse(why)
		return
	}
	if h.Role == wire.RoleLink {
		hello := m.hello()
		hello.Role = wire.RoleLink
		if l, err := in.AcceptLink(hello); err == nil {
			g.Serve(h.Name, l)
		}
		return
	}
	ws, err := in.Accept(m.hello(), m.serve)
	if err == nil {
		m.pool.Introduce(m.pool.Peer(name), addr)
		_, err = m.pool.Register(ws, name)
	}
	if err != nil {
		m.log.Debug("session dropped", "node", h.Name, "err", err)
	}
}

// identify reads who a newcomer says that it is.
func (m *members) identify(h wire.Hello) (placement.Name, string, *wire.Error) {
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
func (m *members) refusal(ctx context.Context, name placement.Name, addr string, h wire.Hello) *wire.Error {
	self := m.hello()
	if name == m.name {
		return taken(wire.Member{Name: self.Name, Addr: self.Addr, Incarnation: self.Incarnation})
	}
	if m.parting() {
		return m.leaving()
	}
	if m.outranked.Load() {
		return m.rank()
	}
	if h.Routing != self.Routing {
		return wire.Errorf(wire.Disagreement, wire.NotRun, "this cluster routes by %s; pass --routing %s", self.Routing, self.Routing)
	}
	v := m.view.Load()
	p := v.peer(name)
	if p == nil && len(v.peers) >= protocol.MaxMembers {
		return wire.Errorf(wire.Overloaded, wire.NotRun, "the cluster has %d members already", protocol.MaxMembers)
	}
	if p == nil {
		if h.Role == wire.RoleMember && m.pool.Strangers() >= maxStrangers {
			return wire.Errorf(wire.Overloaded, wire.NotRun, "%d nodes that are no members are connected; try again", maxStrangers)
		}
		return nil
	}
	old := m.pool.Seated(p)
	if old.Addr == addr {
		if other := m.otherAnswers(ctx, p, h); other != 0 {
			return taken(wire.Member{Name: old.Name, Addr: old.Addr, Incarnation: other})
		}
		return nil // it was restarted
	}
	if old.Incarnation != h.Incarnation && m.lives(ctx, old, !v.failed(p)) {
		return taken(old)
	}
	return nil
}

// otherAnswers returns the incarnation of another start of p than that of h that answers on a session to this node,
// or 0. The address may lead to either, as that of a service does that was moved to another machine, and gossip may
// tell of either.
func (m *members) otherAnswers(ctx context.Context, p *peers.Peer, h wire.Hello) uint64 {
	ws := p.Session()
	if ws == nil || ws.Err() != nil || ws.Peer().Incarnation == h.Incarnation {
		return 0
	}
	ctx, cancel := context.WithTimeout(ctx, m.patience())
	defer cancel()
	if _, err := ws.Ping(ctx); err != nil {
		return 0
	}
	return ws.Peer().Incarnation
}

// leaving is the refusal of a node that leaves its cluster. It names the incarnation that
// leaves, because another process may have the same name and address.
func (m *members) leaving() *wire.Error {
	h := m.hello()
	return &wire.Error{
		Code: wire.Leaving, Outcome: wire.NotRun,
		Members: []wire.Member{{Name: h.Name, Addr: h.Addr, Incarnation: h.Incarnation}},
	}
}

// leaves reports whether a dial of p failed with err because p leaves its cluster. Another
// process may have p's name and address, and leave.
func (m *members) leaves(p *peers.Peer, err error) bool {
	e, ok := errors.AsType[*wire.Error](err)
	if !ok || e.Code != wire.Leaving || len(e.Members) != 1 {
		return false
	}
	w, seat := e.Members[0], m.pool.Seated(p)
	return w.Name == seat.Name && w.Incarnation == seat.Incarnation
}

// taken is the refusal of a node whose name is that of w.
func taken(w wire.Member) *wire.Error {
	e := wire.Errorf(wire.NameTaken, wire.NotRun, "%s is the node at %s; choose another --name", w.Name, w.Addr)
	e.Members = []wire.Member{w}
	return e
}

// lives reports whether the member is to be found at its address. One that does not answer, but that the cluster
// thinks alive, may be paused.
func (m *members) lives(ctx context.Context, w wire.Member, alive bool) bool {
	ctx, cancel := context.WithTimeout(ctx, m.patience())
	defer cancel()
	l, err := m.dialLink(ctx, w)
	if err == nil {
		l.Close()
	}
	twin := w.Name == m.name.String() && errors.Is(err, wire.NameTaken) // it answers that it has the name
	return err == nil || twin || alive && ctx.Err() != nil
}

// When a split ends, each half may have a node of one name. They do not let each other in, so the other members, each of which
// knows one of the two, tell theirs of the other; and the one that started later leaves.

// findTwins looks for such names in what a peer tells.
func (m *members) findTwins(g *gossip.Gossip, list []wire.Member) {
	v := m.view.Load()
	for _, w := range list {
		name, err := placement.ParseName(w.Name)
		if err != nil || w.State != wire.Alive || !validMember(w.Name, w.Addr) {
			continue
		}
		p := v.peer(name)
		if p == nil || v.failed(p) {
			continue
		}
		known := m.pool.Seated(p)
		if known.Incarnation == w.Incarnation || known.Addr == w.Addr && known.Incarnation < w.Incarnation {
			continue // of two at one address, it is the later one that is told
		}
		m.mu.Lock()
		if now := time.Now(); !m.ended && now.Sub(m.twins) > time.Second {
			m.twins = now
			m.wg.Go(func() { m.tellTwin(g, p, w) })
		}
		m.mu.Unlock()
	}
}

// tellTwin tells p of another node with its name. If p is this node itself it may have to give way.
func (m *members) tellTwin(g *gossip.Gossip, p *peers.Peer, other wire.Member) {
	if p.Self {
		m.giveWay(other, false)
		return
	}
	ctx, cancel := context.WithTimeout(m.pool.Context(), 10*time.Second)
	defer cancel()
	ws, err := m.pool.Get(ctx, p)
	if err != nil {
		return // the next one that hears of it tells it
	}
	_ = ws.Do(ctx, protocol.OpSync, protocol.Sync{List: []wire.Member{other}}, nil) // as above
	if m.pool.Seated(p).Incarnation < other.Incarnation {
		return
	}
	// The other one stays. Its twin's farewell was for the same name, so it has to be met anew.
	for m.view.Load().peer(p.Name) == p && m.pool.Seated(p).Incarnation != other.Incarnation {
		if !clock.Sleep(ctx, 200*time.Millisecond) {
			return
		}
	}
	if err := g.Join(ctx, other); err != nil {
		m.log.Debug("cannot meet the node that keeps its name", "node", other.Name, "err", err)
	}
}

// conflict is called when gossip tells of another process with this node's name.
func (m *members) conflict(other wire.Member) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.ended {
		m.wg.Go(func() { m.giveWay(other, false) })
	}
}

// giveWay leaves the cluster if the other one has the older right to this node's name, and lives. Refused
// is whether a member has said so by refusing this node.
func (m *members) giveWay(other wire.Member, refused bool) {
	self := m.hello()
	switch {
	case other.Incarnation >= self.Incarnation:
		return
	case refused:
	case other.Addr == self.Addr && !m.isRefused():
		return
	case other.Addr != self.Addr && !m.lives(context.Background(), other, false):
		return
	}
	if m.outranked.Swap(true) {
		return // it is leaving, or has left, for that reason
	}
	m.log.Error("leaving the cluster: another node has this node's name; choose another --name", "node", self.Name, "other", other.Addr)
	m.depart()
	m.displaced()
}

// heed takes in that a node refuses this one, perhaps because another node has this one's name. If this one is
// alone it starts no servers; if it is a member, of one half of a split that has ended, the later start leaves.
func (m *members) heed(err error) {
	e, ok := errors.AsType[*wire.Error](err)
	if !ok || e.Code != wire.NameTaken || len(e.Members) != 1 || e.Members[0].Name != m.name.String() {
		return
	}
	if len(m.view.Load().peers) == 1 {
		m.outranked.Store(true)
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.ended && !m.parts && e.Members[0].Incarnation != 0 {
		m.wg.Go(func() { m.giveWay(e.Members[0], true) })
	}
}

// rank is the error of what this node refuses because an older node has its name. Members that find
// this node at the address of the other one would bring it back into their cluster.
func (m *members) rank() *wire.Error {
	return wire.Errorf(wire.NameTaken, wire.NotRun, "an older node has the name %s; restart the one at %s with another --name", m.name, m.hello().Addr)
}

// maxAsked is how many members are asked at a time whether they refuse this node.
const maxAsked = 8

// isRefused reports whether a member refuses this node because its name is taken. The member has a
// session to another process of that name then; this node cannot look for it at an address that is its own.
//
// It asks again for a while, as the node may not know that member yet.
func (m *members) isRefused() bool { return soon(m.pool.Context(), m.isRefusedNow) }

// soon reports whether found returns true within about two seconds. It gives up when ctx ends.
func soon(ctx context.Context, found func() bool) bool {
	for pause := 250 * time.Millisecond; pause <= time.Second; pause *= 2 {
		if found() {
			return true
		}
		if !clock.Sleep(ctx, pause) {
			return false
		}
	}
	return found()
}

func (m *members) isRefusedNow() bool {
	ctx, cancel := context.WithTimeout(m.pool.Context(), 2*m.patience()) // the member waits for an answer, too
	defer cancel()
	asked, refused := 0, make(chan bool, maxAsked)
	for _, w := range m.swim().Members() {
		if w.Name == m.name.String() || w.State != wire.Alive || asked == maxAsked {
			continue
		}
		asked++
		m.wg.Go(func() {
			l, err := m.dialLink(ctx, w)
			if err == nil {
				l.Close()
			}
			refused <- errors.Is(err, wire.NameTaken)
		})
	}
	for range asked {
		if <-refused {
			return true
		}
	}
	return false
}
