package members

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/distproc/distproc/node/gossip"
	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/internal/peers"
	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// Reconcile returns the member to ask for an id after p has said that the id is not its
// own, with the members that it knows. If the two nodes do not come to agree, because one
// of them takes a member for failed and the other does not, p's word counts.
func (m *Members) Reconcile(ctx context.Context, id worker.ID, p *peers.Peer, members []wire.Member) (next *peers.Peer) {
	v := m.View()
	if v.Peer(p.Name) != p {
		return v.Acting(id) // this node has left p's cluster, or p this one's
	}
	m.learn(v.gossip, members)
	if next = m.View().Acting(id); next != p {
		return next
	}
	if !p.Lost() && m.sync(ctx, v.gossip, p) == nil { // if lost, it answered by way of a relay
		if next = m.View().Acting(id); next != p {
			return next
		}
	}
	if next = m.actingAmong(members, id); next != nil {
		return next
	}
	return p
}

// actingAmong returns the member that acts for id in the view of a node that knows these
// members, or nil if this node knows no such member.
func (m *Members) actingAmong(list []wire.Member, id worker.ID) *peers.Peer {
	var slots []placement.Slot
	for _, w := range list[:min(len(list), 2*protocol.MaxMembers)] {
		name, err := placement.ParseName(w.Name)
		if err != nil || w.State == wire.Left || w.State == wire.Reaped {
			continue
		}
		slots = append(slots, placement.Slot{Name: name, Failed: w.State == wire.Failed})
	}
	if len(slots) == 0 {
		return nil
	}
	ring := placement.NewRing(m.Routing, slots)
	return m.View().Peer(ring.Slot(ring.Acting(id)).Name)
}

// An exchange with a peer that is in progress, or the last one. All callers that want one
// meanwhile, or within exchangePause after it, share its result; a singleflight.Group
// would forget that at once.
type exchange struct {
	done  chan struct{}
	ended time.Time // and err are set before done is closed
	err   error
}

// old reports whether another exchange may bring news.
func (x *exchange) old() bool { return clock.IsDone(x.done) && time.Since(x.ended) > exchangePause }

// exchangePause is how soon another exchange with a peer may bring news.
const exchangePause = 100 * time.Millisecond

// Sync compares with p which members the cluster of a view has, and tells it what it does
// not know.
func (m *Members) Sync(ctx context.Context, v *View, p *peers.Peer) error {
	return m.sync(ctx, v.gossip, p)
}

// sync is Sync for the cluster that g tells of.
func (m *Members) sync(ctx context.Context, g *gossip.Gossip, p *peers.Peer) error {
	x := m.exchangeWith(g, p)
	select {
	case <-x.done:
		return x.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// exchangeWith returns the exchange with p that counts, which it begins if need be. It
// goes on when its callers have given up, because others may wait for it, too.
func (m *Members) exchangeWith(g *gossip.Gossip, p *peers.Peer) *exchange {
	m.mu.Lock()
	defer m.mu.Unlock()
	if x := m.syncs[p]; x != nil && !x.old() {
		return x
	}
	x := &exchange{done: make(chan struct{})}
	if m.ended {
		x.err = &wire.Error{Code: wire.Closed, Outcome: wire.NotRun}
		close(x.done)
		return x
	}
	maps.DeleteFunc(m.syncs, func(_ *peers.Peer, x *exchange) bool { return x.old() })
	m.syncs[p] = x
	m.wg.Go(func() {
		x.err = m.syncNow(m.ctx, g, p)
		x.ended = time.Now()
		close(x.done)
	})
	return x
}

func (m *Members) syncNow(ctx context.Context, g *gossip.Gossip, p *peers.Peer) error {
	ctx, cancel := context.WithTimeout(ctx, m.OpTimeout())
	defer cancel()
	ws, err := m.pool.Dial(ctx, p)
	if err != nil {
		return err
	}
	var theirs protocol.Sync
	if err := ws.Do(ctx, protocol.OpSync, m.summary(g), protocol.BoundedSync(&theirs)); err != nil {
		return err
	}
	if theirs.Apart && m.hasLeft(g, p, theirs) {
		return nil // else it would be a member again
	}
	m.learn(g, theirs.List)
	agreed := g.Digest() == theirs.Digest
	if !theirs.Apart && (agreed || m.View().Peer(p.Name) == p) {
		m.reunite(g)
	}
	if agreed {
		return nil
	}
	ours := m.summary(g)
	ours.List = g.Snapshot()
	return ws.Do(ctx, protocol.OpSync, ours, nil)
}

// summary returns what this node tells of itself, and the digest of the members of g.
func (m *Members) summary(g *gossip.Gossip) protocol.Sync {
	m.mu.Lock()
	former := m.former
	m.mu.Unlock()
	return protocol.Sync{Digest: g.Digest(), Apart: m.View().Apart, Former: former}
}

// hasLeft reports whether p, which is apart, has left the slot that it has here. Its
// farewell has not come yet; hasLeft takes it in. Another process of p's name may
// have answered, which has left a slot of its own.
func (m *Members) hasLeft(g *gossip.Gossip, p *peers.Peer, t protocol.Sync) bool {
	slot := m.pool.Slot(p)
	later := slices.ContainsFunc(t.List, func(w wire.Member) bool { return w.Name == slot.Name && w.Incarnation > slot.Incarnation })
	if !later || t.Former != 0 && t.Former != slot.Incarnation || m.View().Peer(p.Name) != p {
		return false
	}
	slot.State = wire.Left
	m.learn(g, []wire.Member{slot})
	return true
}

// maxMet is how many strangers are asked at a time whether they take this node for a
// member.
const maxMet = 16

// MeetStrangers learns the members from nodes that have a session to this node and no
// slot here, but take this incarnation of it for a member. A node that was restarted and
// has joined nobody is called by the others before it knows them.
func (m *Members) MeetStrangers(ctx context.Context) {
	strangers := m.pool.ToStrangers(maxMet)
	if len(strangers) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, m.OpTimeout())
	defer cancel()
	var wg sync.WaitGroup
	for _, ws := range strangers {
		wg.Go(func() { m.meetStranger(ctx, ws) })
	}
	wg.Wait()
}

func (m *Members) meetStranger(ctx context.Context, ws *wire.Session) {
	g, self := m.View().gossip, m.Hello()
	var theirs protocol.Sync
	if ws.Do(ctx, protocol.OpSync, protocol.Sync{Digest: g.Digest()}, protocol.BoundedSync(&theirs)) != nil {
		return // as if it knew nothing
	}
	if slices.ContainsFunc(theirs.List, func(w wire.Member) bool {
		return w.Name == self.Name && w.Incarnation == self.Incarnation && w.State == wire.Alive
	}) {
		m.learn(g, theirs.List)
	}
}

// syncWith is sync for g itself, which has just reached w.
func (m *Members) syncWith(ctx context.Context, g *gossip.Gossip, w wire.Member) error {
	name, err := placement.ParseName(w.Name)
	if err != nil {
		return err
	}
	p := m.pool.Peer(name)
	m.pool.Introduce(p, w.Addr)
	if ws := p.Session(); ws != nil && w.Incarnation != 0 && ws.Peer().Incarnation != w.Incarnation {
		// It leads to a twin, which has left: by what this node would tell of itself it
		// came back.
		return wire.Errorf(wire.WrongName, wire.NotRun, "the session to %s is to another process of that name", w.Name)
	}
	return m.syncNow(ctx, g, p)
}

// ServeSync is the other side of Sync. What a stranger says counts only for itself:
// it may be of a cluster that this node has left. Nothing counts that is said to a former
// incarnation of this node.
func (m *Members) ServeSync(s *wire.Session, t protocol.Sync) (any, error) {
	v := m.View() // before its incarnation ends
	if s.Own().Incarnation != m.Hello().Incarnation {
		return nil, &wire.Error{Code: wire.Leaving, Outcome: wire.NotRun}
	}
	from, list := s.Peer(), t.List
	if !m.hasSlot(from) {
		list = slices.DeleteFunc(list, func(w wire.Member) bool { return w.Name != from.Name })
	}
	m.learn(v.gossip, list)
	answer := m.summary(v.gossip)
	if compares := t.Digest != 0; compares && !t.Apart && (answer.Digest == t.Digest || m.hasSlot(from)) {
		m.reunite(v.gossip)
	}
	if answer.Digest != t.Digest {
		answer.List = v.gossip.Snapshot()
	}
	return answer, nil
}

// learn takes in what a peer says of the members of g, unless this node is leaving. The
// caller has g from the view by which it asked the peer: when the answer comes, the node
// may have left that cluster.
func (m *Members) learn(g *gossip.Gossip, list []wire.Member) {
	if m.Detaching() {
		return
	}
	m.findConflicts(g, list)
	// News that g has heard in another way may have yet to come into the view. The peer,
	// which takes this node for told, is not to meet an older one.
	if g.Learn(list) || m.View().digest != g.Digest() {
		m.refresh()
	}
}

// Learn takes in what a peer says of the members of a view.
func (m *Members) Learn(v *View, list []wire.Member) { m.learn(v.gossip, list) }

// Snapshot returns all that this node knows of its cluster, those that have left
// included.
func (m *Members) Snapshot() []wire.Member { return m.currentGossip().Snapshot() }

// Left takes in that a peer itself says that it leaves.
func (m *Members) Left(w wire.Member) {
	w.State = wire.Left
	m.learn(m.currentGossip(), []wire.Member{w})
}
