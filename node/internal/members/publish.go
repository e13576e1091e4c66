package members

import (
	"context"
	"slices"
	"strconv"

	"github.com/distproc/distproc/node/internal/events"
	"github.com/distproc/distproc/node/internal/peers"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/wire"
)

// nextChange returns a channel that is closed at the next change of the view, or of
// something else for which AwaitCluster waits.
func (m *Members) nextChange() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.change
}

// wake ends all waits for nextChange.
func (m *Members) wake() {
	m.mu.Lock()
	defer m.mu.Unlock()
	close(m.change)
	m.change = make(chan struct{})
}

// changed has all that wait look again, the names of members be saved, and the node look
// at its workers.
func (m *Members) changed() {
	m.wake()
	select {
	case m.known.changed <- struct{}{}:
	default:
	}
	m.host.ViewChanged()
}

// refresh makes the view of the members as they are now.
func (m *Members) refresh() {
	m.making.Lock()
	holds, failed := map[*peers.Peer]bool{}, map[*peers.Peer]bool{}
	var peers []*peers.Peer
	m.mu.Lock()
	g, apart := m.gossip, m.apart
	m.mu.Unlock()
	if g == nil {
		m.making.Unlock() // New has not come that far, and calls again
		return
	}
	digest := g.Digest() // before Members, so that a change between the two makes another view
	for _, w := range g.Members() {
		name, err := placement.ParseName(w.Name)
		if err != nil {
			continue // it was checked when it came in
		}
		p := m.pool.Peer(name)
		m.pool.SetSlot(p, w.Addr, w.Incarnation, w.State == wire.Alive)
		holds[p], failed[p] = true, w.State != wire.Alive
		peers = append(peers, p)
	}
	v, old := NewView(peers, failed, m.Routing), m.View()
	v.gossip, v.digest, v.Apart = g, digest, apart
	if old != nil {
		v.Term, v.Shed = old.Term, old.Shed
		if old.Ring.Epoch() != v.Ring.Epoch() {
			v.Term++
			if !v.keepsAll(old) {
				v.Shed++
			}
		}
	}
	m.view.Store(v)
	m.pool.Retain(holds)
	m.making.Unlock()
	if old != nil && !m.Detaching() {
		m.logGone(old, holds)
	}
	if old != nil && old.Ring.Epoch() != v.Ring.Epoch() {
		m.Logger.Log(context.Background(), events.Level, "view changed", "epoch", strconv.FormatUint(v.Ring.Epoch(), 16), "members", v.Ring.Len(),
			"failed", countTrue(failed))
	}
	m.changed()
}

// countTrue returns the number of members in a set.
func countTrue(set map[*peers.Peer]bool) (n int) {
	for _, in := range set {
		if in {
			n++
		}
	}
	return n
}

// keepsAll reports whether all ids of this node under an older view are its own under v. By
// rendezvous it has the highest score of the members that live, so no other one must have
// come, or come back.
func (v *View) keepsAll(old *View) bool {
	if v.Ring.Routing() != placement.Rendezvous {
		return false
	}
	for i, p := range v.Peers {
		was := slices.Index(old.Peers, p)
		came := was < 0 || old.Ring.Slot(was).Failed
		if failed := v.Ring.Slot(i).Failed; failed && p.Self || came && !failed {
			return false
		}
	}
	return true
}

// logGone logs the members of the old view that have no slot any more.
func (m *Members) logGone(old *View, holds map[*peers.Peer]bool) {
	var states map[string]wire.MemberState
	for _, p := range old.Peers {
		if holds[p] {
			continue
		}
		if states == nil {
			states = map[string]wire.MemberState{}
			for _, w := range m.currentGossip().Snapshot() {
				states[w.Name] = w.State
			}
		}
		if states[p.Name.String()] == wire.Reaped {
			m.Logger.Warn("node given up", "node", p.Name.String(), "lost_for", m.ReapAfter)
		} else {
			m.Logger.Info("node left", "node", p.Name.String())
		}
	}
}
