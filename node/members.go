package node

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/distproc/distproc/node/gossip"
	"github.com/distproc/distproc/node/internal/peers"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/wire"
)

// members makes the view: gossip tells who has a seat and who of them has failed, and each change makes another
// view of it. It also decides who is let in.
type members struct {
	name    placement.Name
	routing placement.Routing
	creds   *wire.Credentials
	serve   wire.Handler // of what members ask
	log     *slog.Logger
	changed func()                // called after the view or what can be reached of it has changed
	refused func(net.Addr, error) // called with every newcomer that is turned away
	depart  func()                // leaves the cluster

	outranked atomic.Bool // an older node has this node's name; this one leaves the cluster, or is not let in
	displaced func()      // called after this node has left for that reason; may be called again

	pool   *peers.Pool
	timing gossip.Timing
	reap   time.Duration
	view   atomic.Pointer[view]
	making sync.Mutex // held while a view is made
	wg     sync.WaitGroup

	mu        sync.Mutex
	self      wire.Hello                // guarded by mu
	gossip    *gossip.Gossip            // guarded by mu
	exchanges map[*peers.Peer]*exchange // guarded by mu
	twins     time.Time                 // when one of two nodes of one name was last told of the other; guarded by mu
	parts     bool                      // this node is leaving the cluster, to be one of its own; guarded by mu
	apart     bool                      // this node has left so, and no member that it has met since is not apart; guarded by mu
	former    uint64                    // the incarnation before this node left its cluster; guarded by mu
	ended     bool                      // guarded by mu
}

const (
	maxMembers   = 1500                   // a message with all of them fits, however long their names are
	maxStrangers = 256                    // sessions to nodes that have no seat yet, or never get one
	sayGoodbye   = 400 * time.Millisecond // how long those that can be told at once have to listen
)

// start brings the members up: this node alone.
func (m *members) start() error {
	g, err := m.newGossip(m.self)
	if err != nil {
		return err
	}
	m.mu.Lock()
	m.gossip = g
	m.mu.Unlock()
	m.refresh()
	return nil
}

func (m *members) newGossip(self wire.Hello) (*gossip.Gossip, error) {
	return gossip.Start(gossip.Config{
		Self:   wire.Member{Name: self.Name, Addr: self.Addr, Incarnation: self.Incarnation},
		Timing: m.timing, ReapAfter: m.reap,
		Dial:     m.dialLink,
		Sync:     m.exchangeWith,
		Changed:  m.refresh,
		Conflict: m.conflict,
		Valid:    validMember,
		Logger:   m.log,
	})
}

func validMember(name, addr string) bool {
	n, err := placement.ParseName(name)
	if err != nil || n.String() != name {
		return false
	}
	a, err := placement.AddrOf(n, addr)
	return err == nil && a.HostPort() == addr
}

func (m *members) hello() wire.Hello {
	m.mu.Lock()
	h := m.self
	m.mu.Unlock()
	if v := m.view.Load(); v != nil {
		h.Epoch = v.ring.Epoch()
	}
	return h
}

func (m *members) swim() *gossip.Gossip {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.gossip
}

// refresh makes the view of the members as they are now.
func (m *members) refresh() {
	m.making.Lock()
	seated, failed := map[*peers.Peer]bool{}, map[*peers.Peer]bool{}
	var peers []*peers.Peer
	m.mu.Lock()
	g, apart := m.gossip, m.apart
	m.mu.Unlock()
	if g == nil {
		m.making.Unlock() // start has not come that far, and calls again
		return
	}
	for _, w := range g.Members() {
		name, err := placement.ParseName(w.Name)
		if err != nil {
			continue // it was checked when it came in
		}
		p := m.pool.Peer(name)
		m.pool.Seat(p, w.Addr, w.Incarnation, w.State == wire.Alive)
		seated[p], failed[p] = true, w.State != wire.Alive
		peers = append(peers, p)
	}
	v, old := newView(peers, failed, m.routing), m.view.Load()
	v.gossip, v.apart = g, apart
	if old != nil && old.ring.Epoch() == v.ring.Epoch() {
		v.roll = old.roll
	}
	m.view.Store(v)
	m.pool.Retain(seated)
	m.making.Unlock()
	if old != nil && !m.parting() {
		m.logGone(old, seated)
	}
	m.changed()
}

// logGone tells of those that had a seat in the old view.
func (m *members) logGone(old *view, seated map[*peers.Peer]bool) {
	var states map[string]wire.MemberState
	for _, p := range old.peers {
		if seated[p] {
			continue
		}
		if states == nil {
			states = map[string]wire.MemberState{}
			for _, w := range m.swim().Snapshot() {
				states[w.Name] = w.State
			}
		}
		if states[p.Name.String()] == wire.Reaped {
			m.log.Warn("node given up", "node", p.Name.String(), "lost_for", m.reap)
		} else {
			m.log.Info("node left", "node", p.Name.String())
		}
	}
}

// patience is how long another node may take to settle something, dialling included.
func (m *members) patience() time.Duration {
	if m.timing == gossip.WAN {
		return 5 * time.Second
	}
	return time.Second
}

// learn takes in what a peer says of the members that g tells of, unless this node is on its way out. Who asks a peer has g from
// the view by which he asks: when the answer comes the node may have left that cluster.
func (m *members) learn(g *gossip.Gossip, list []wire.Member) {
	if len(list) == 0 || m.parting() {
		return
	}
	m.findTwins(g, list)
	if g.Learn(list) {
		m.refresh()
	}
}

// left takes in that a peer itself says that it leaves.
func (m *members) left(w wire.Member) {
	w.State = wire.Left
	m.learn(m.swim(), []wire.Member{w})
}

// connect joins the cluster of the node at a.
func (m *members) connect(ctx context.Context, a placement.Addr) error {
	if a.Name == m.name {
		return nil
	}
	err := m.swim().Join(ctx, wire.Member{Name: a.Name.String(), Addr: a.HostPort()})
	if err != nil {
		if e, ok := errors.AsType[*wire.Error](err); ok {
			return e
		}
		return wire.Errorf(wire.Unreachable, wire.NotRun, "%v", err)
	}
	m.outranked.Store(false)
	m.refresh()
	return nil
}

// dialLink is how gossip reaches a node.
func (m *members) dialLink(ctx context.Context, w wire.Member) (gossip.Link, error) {
	h := m.hello()
	h.Role = wire.RoleLink
	l, err := wire.DialLink(ctx, w.Addr, m.creds, h)
	if err != nil {
		return nil, err
	}
	switch theirs := l.Peer(); {
	case theirs.Name == h.Name:
		err = wire.Errorf(wire.NameTaken, wire.NotRun, "%s is the node at %s", h.Name, theirs.Addr)
	case theirs.Name != w.Name:
		err = wire.Errorf(wire.WrongName, wire.NotRun, "%s is %s", w.Addr, theirs.Name)
	}
	if err != nil {
		l.Close()
		return nil, err
	}
	m.meet(l.Peer())
	return l, nil
}

// meet settles with a member who is one if it has started anew: it may know nobody, and answers pings
// as if it were the former start.
func (m *members) meet(h wire.Hello) {
	name, err := placement.ParseName(h.Name)
	v := m.view.Load()
	if err != nil || v == nil {
		return
	}
	p := v.peer(name)
	if p == nil || p.Self || m.pool.Seated(p).Incarnation >= h.Incarnation {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.ended && !m.parts {
		m.wg.Go(func() {
			if err := m.exchange(m.pool.Context(), v.gossip, p); err != nil {
				m.log.Debug("cannot compare members with a node that has started anew", "node", h.Name, "why", err)
			}
		})
	}
}

// close ends all that is connected.
func (m *members) close() {
	m.mu.Lock()
	m.ended = true
	g := m.gossip
	m.mu.Unlock()
	g.Close()
	m.wg.Wait()
	m.pool.Close()
}
