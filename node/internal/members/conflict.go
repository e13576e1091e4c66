package members

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

// When a split ends, each half may have a node of one name. They do not let each other
// in, so the other members, each of which knows one of the two, tell theirs of the other;
// and the one that started later leaves.

// findConflicts looks for such names in what a peer tells.
func (m *Members) findConflicts(g *gossip.Gossip, list []wire.Member) {
	v := m.View()
	for _, w := range list {
		name, err := placement.ParseName(w.Name)
		if err != nil || w.State != wire.Alive || !validMember(w.Name, w.Addr) {
			continue
		}
		p := v.Peer(name)
		if p == nil || v.Failed(p) {
			continue
		}
		known := m.pool.Slot(p)
		if known.Incarnation == w.Incarnation || known.Addr == w.Addr && known.Incarnation < w.Incarnation {
			continue // of two at one address, the later one is told
		}
		m.mu.Lock()
		if now := time.Now(); !m.ended && now.Sub(m.conflictTold) > time.Second {
			m.conflictTold = now
			m.wg.Go(func() { m.tellConflict(g, p, w) })
		}
		m.mu.Unlock()
	}
}

// tellConflict tells p of another node with its name. If p is this node itself, it may
// have to give way.
func (m *Members) tellConflict(g *gossip.Gossip, p *peers.Peer, other wire.Member) {
	if p.Self {
		m.giveWay(other, false)
		return
	}
	ctx, cancel := context.WithTimeout(m.ctx, 10*time.Second)
	defer cancel()
	ws, err := m.pool.Get(ctx, p)
	if err != nil {
		return // the next member that hears of it tells it
	}
	_ = ws.Do(ctx, protocol.OpSync, protocol.Sync{List: []wire.Member{other}}, nil) // as above
	if m.pool.Slot(p).Incarnation < other.Incarnation {
		return
	}
	// The other one stays. The farewell of the one that leaves was for the same name, so
	// the one that stays has to be joined anew.
	for {
		changed := m.nextChange() // before the look, so that no change is missed
		if m.View().Peer(p.Name) != p || m.pool.Slot(p).Incarnation == other.Incarnation {
			break
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
	if err := g.Join(ctx, other); err != nil {
		m.Logger.Debug("cannot meet the node that keeps its name", "node", other.Name, "err", err)
	}
}

// conflict is called when gossip tells of another process with this node's name.
func (m *Members) conflict(other wire.Member) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.ended {
		m.wg.Go(func() { m.giveWay(other, false) })
	}
}

// giveWay has this node leave the cluster if the other one is older and lives. Refused
// says that a member has refused this node for that reason.
func (m *Members) giveWay(other wire.Member, refused bool) {
	self := m.Hello()
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
	m.wake()
	m.Logger.Error("leaving the cluster: another node has this node's name; choose another --name", "node", self.Name, "other", other.Addr)
	m.host.Outranked()
}

// noteRefusal notes that a node refuses this one. If the reason is that another node has
// this one's name, this one starts no servers while it is alone; if it is a member, as in
// one half of a split that has ended, the one of the two that started later leaves.
func (m *Members) noteRefusal(err error) {
	e, ok := errors.AsType[*wire.Error](err)
	if !ok || e.Code != wire.NameTaken || len(e.Members) != 1 || e.Members[0].Name != m.Addr.Name.String() {
		return
	}
	if len(m.View().Peers) == 1 {
		m.outranked.Store(true)
		m.wake()
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.ended && !m.detaching && e.Members[0].Incarnation != 0 {
		m.wg.Go(func() { m.giveWay(e.Members[0], true) })
	}
}

// maxAsked is how many members are asked at a time whether they refuse this node.
const maxAsked = 8

// isRefused reports whether a member refuses this node because its name is taken. That
// member has a session to another process of the name then, which this node cannot find
// at an address that is its own. isRefused asks again for a while, because this node may
// not know that member yet.
func (m *Members) isRefused() bool { return soon(m.ctx, m.isRefusedNow) }

// soon reports whether found returns true within about two seconds. It gives up when ctx
// ends.
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

func (m *Members) isRefusedNow() bool {
	ctx, cancel := context.WithTimeout(m.ctx, 2*m.OpTimeout()) // the member waits for an answer, too
	defer cancel()
	asked, refused := 0, make(chan bool, maxAsked)
	for _, w := range m.currentGossip().Members() {
		if w.Name == m.Addr.Name.String() || w.State != wire.Alive || asked == maxAsked {
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
