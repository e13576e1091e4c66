package node

import (
	"context"
	"sync"
	"time"

	"github.com/distproc/distproc/wire"
)

// remove has a member lose its seat: one that lives leaves the cluster, and stays up alone.
func (m *members) remove(ctx context.Context, p *peer) error {
	ws, err := m.sessions.get(ctx, p)
	if err == nil {
		return ws.Do(ctx, opPart, nil, nil)
	}
	if v := m.view.Load(); !v.failed(p) {
		return err
	}
	return m.swim().Remove(p.name.String())
}

// part leaves the cluster as Close does, but the node goes on, as a cluster of its own.
func (n *Node) part() {
	if !n.members.beginParting() {
		return
	}
	registries := n.registries()
	ctx, cancel := context.WithTimeout(n.ctx, drainTimeout)
	defer cancel()
	n.hold(ctx, append(n.retiring(), registries...))
	n.retain(func(*registry, ID) bool { return false })
	n.flush(n.ctx)
	n.known.clear()
	n.members.part()
	for _, r := range registries {
		r.release()
	}
}

// beginParting has nothing be learned and nobody be let in any more, and reports whether this node is not leaving already.
func (m *members) beginParting() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	begin := !m.ended && !m.apart
	m.apart = m.apart || begin
	return begin
}

// part leaves the cluster and starts another one.
func (m *members) part() {
	m.leave()
	old := m.swim()
	old.Close()
	m.sessions.retireAll()
	m.mu.Lock()
	m.self.Incarnation = uint64(time.Now().UnixNano())
	self := m.self
	m.mu.Unlock()
	g, err := m.newGossip(self)
	if err != nil {
		m.log.Error("cannot be a member any more", "err", err)
		return
	}
	m.mu.Lock()
	ended := m.ended
	if !ended {
		m.gossip = g
	}
	m.mu.Unlock()
	if ended {
		g.Close()
		return
	}
	m.refresh()
	m.mu.Lock()
	m.apart, m.alone = false, true
	m.mu.Unlock()
	m.log.Info("left the cluster")
}

// staysApart reports whether this node was disconnected, and has no other member since.
func (m *members) staysApart() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.staysApartLocked()
	return m.alone
}

func (m *members) staysApartLocked() {
	if m.alone && len(m.view.Load().peers) > 1 {
		m.alone, m.yields = false, false
	}
}

// hasYielded reports whether this node has left its name to another node, and has no other member since.
func (m *members) hasYielded() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.staysApartLocked()
	return m.alone && m.yields
}

func (m *members) parting() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.apart
}

// leave tells the cluster that this node gives up its seat: those it has a session to, and by gossip everybody.
func (m *members) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), sayGoodbye)
	defer cancel()
	h := m.hello()
	farewell := tellMessage{List: []wire.Member{{Name: h.Name, Addr: h.Addr, Incarnation: h.Incarnation, State: wire.Left}}}
	var telling sync.WaitGroup
	for _, ws := range m.sessions.live() {
		telling.Go(func() { _ = ws.Do(ctx, opTell, farewell, nil) }) // who misses it hears it by gossip
	}
	m.swim().Leave(ctx)
	telling.Wait()
}
