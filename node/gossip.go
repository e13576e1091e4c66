package node

import (
	"context"
	"sync"
	"time"

	"github.com/distproc/distproc/wire"
)

// What members tell each other: everybody they know, after each change. The lists are merged, so
// the order in which they come does not matter.

// spread has the others told of a change, and the node.
func (m *members) spread() {
	select {
	case m.gossip <- struct{}{}:
	default:
	}
	m.moved()
}

// snapshot returns the members as messages tell them, the departed ones included.
func (m *members) snapshot() []wire.Member {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []wire.Member
	for _, p := range m.view.Load().peers {
		list = append(list, wire.Member{Name: p.name.String(), Addr: p.addr, Incarnation: p.incarnation})
	}
	for d, f := range m.gone {
		if f.left {
			list = append(list, wire.Member{Name: d.name.String(), Incarnation: d.incarnation, Left: true})
		}
	}
	return list
}

// learn takes in what a peer says of the members.
func (m *members) learn(list []wire.Member) {
	if len(list) > maxMembers {
		list = list[:maxMembers]
	}
	news := false
	m.mu.Lock()
	for _, w := range list {
		name, err := ParseName(w.Name)
		if err != nil || name == m.name || m.ended {
			continue
		}
		d := departure{name, w.Incarnation}
		p := m.peers[name]
		f, departed := m.gone[d]
		switch {
		case w.Left && f.left:
		case w.Left && p != nil && p.incarnation == w.Incarnation:
			m.log.Info("node left", "node", w.Name)
			m.removeLocked(p, true)
			news = true
		case w.Left:
			news = m.rememberLocked(d, true) || news
		case departed || p != nil || len(m.peers) >= maxMembers:
		default:
			if _, err := addrOf(name, w.Addr); err == nil {
				m.addLocked(name, w.Addr, w.Incarnation)
				news = true
			}
		}
	}
	m.mu.Unlock()
	if news {
		m.spread()
	}
}

// tell tells all peers of the members after each change.
func (m *members) tell() {
	for {
		select {
		case <-m.gossip:
		case <-m.ctx.Done():
			return
		}
		m.tellAll(m.snapshot())
	}
}

// tellAll sends a list to all peers at once, and waits for them, but not long for a slow one.
func (m *members) tellAll(list []wire.Member) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for _, p := range m.view.Load().peers {
		if s := p.session.Load(); s != nil {
			wg.Go(func() { _ = s.Do(ctx, opTell, list, nil) }) // who misses it is told on the next session
		}
	}
	wg.Wait()
}

// leave tells all peers that this node gives up its seat.
func (m *members) leave() {
	m.end()
	m.tellAll([]wire.Member{{Name: m.self.Name, Incarnation: m.self.Incarnation, Left: true}})
}
