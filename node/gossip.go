package node

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/distproc/distproc/wire"
)

// What members tell each other: everybody they know, after each change. The lists are merged, so
// the order in which they come does not matter.

// spread has the others told of a change, and the node.
func (m *members) spread() {
	m.poke()
	m.moved()
}

// poke has the others told of the members.
func (m *members) poke() {
	select {
	case m.gossip <- struct{}{}:
	default:
	}
}

// snapshot returns the members as messages tell them, the departed ones included. It is not to be changed.
func (m *members) snapshot() []wire.Member {
	if list := m.told.Load(); list != nil {
		return *list
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []wire.Member
	for _, p := range m.view.Load().peers {
		list = append(list, wire.Member{Name: p.name.String(), Addr: p.addr, Incarnation: p.incarnation})
	}
	for name, f := range m.gone {
		if f.left {
			list = append(list, wire.Member{Name: name.String(), Incarnation: f.incarnation, State: wire.Left})
		}
	}
	m.told.Store(&list)
	return list
}

// learn takes in what a peer says of the members.
func (m *members) learn(list []wire.Member) {
	if len(list) > 2*maxMembers {
		list = list[:2*maxMembers]
	}
	news := false
	var left []string
	m.mu.Lock()
	for _, w := range list {
		name, err := ParseName(w.Name)
		if err != nil || name == m.name || m.ended {
			continue
		}
		if w.State != wire.Left {
			news = m.learnMemberLocked(name, w) || news
			continue
		}
		fresh, lost := m.learnLeftLocked(name, w.Incarnation)
		if news = fresh || news; lost {
			left = append(left, w.Name)
		}
	}
	m.mu.Unlock()
	for _, name := range left {
		m.log.Info("node left", "node", name)
	}
	if news {
		m.spread()
	}
}

// learnMemberLocked takes in that there is a member, and reports whether that is news. A later
// incarnation takes the place of one that is out of reach.
func (m *members) learnMemberLocked(name Name, w wire.Member) bool {
	addr, err := addrOf(name, w.Addr)
	if f, gone := m.gone[name]; err != nil || gone && w.Incarnation <= f.incarnation {
		return false
	}
	p := m.peers[name]
	switch {
	case p == nil:
		return m.addLocked(name, addr.HostPort(), w.Incarnation) != nil
	case !p.reachable() && w.Incarnation > p.incarnation:
		p.incarnation, p.addr = w.Incarnation, addr.HostPort()
		m.told.Store(nil)
		return true
	}
	return false
}

// learnLeftLocked takes in that an incarnation has left, and with it every earlier one. It reports whether that is news, and
// whether it costs a seat.
func (m *members) learnLeftLocked(name Name, incarnation uint64) (news, lost bool) {
	if f := m.gone[name]; f.left && f.incarnation >= incarnation {
		return false, false
	}
	p := m.peers[name]
	switch {
	case p == nil:
		m.rememberLocked(name, incarnation, true)
		return true, false
	case p.incarnation == incarnation, p.incarnation < incarnation && !p.reachable():
		p.incarnation = incarnation
		m.removeLocked(p, true)
		return true, true
	}
	return false, false // of an earlier incarnation than the one that is here
}

// tell tells all peers of the members after each change, and now and then, as a message may be lost.
func (m *members) tell() {
	for {
		select {
		case <-m.gossip:
		case <-time.After(tellAgain/2 + rand.N(tellAgain)):
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

// leave tells all peers that this node gives up its seat. Dials that run may give it one on another
// node, so they end first.
func (m *members) leave() {
	timeout := time.After(time.Second)
	for _, d := range m.end() {
		select {
		case <-d.done:
		case <-timeout:
		}
	}
	m.tellAll(m.farewell())
}

// farewell is the message that this node leaves.
func (m *members) farewell() []wire.Member {
	return []wire.Member{{Name: m.self.Name, Incarnation: m.self.Incarnation, State: wire.Left}}
}
