// Package members turns what gossip tells into one ordered sequence of views, and decides
// who is let in.
//
// Gossip ([gossip.Gossip]) tells who has a slot and which of them have failed; each
// change makes another [View]. Views are published in the order in which they are made,
// by one goroutine at a time. Nodes that differ about the members compare what they know
// (sync.go). admit.go decides on newcomers and conflict.go on two nodes of one name;
// join.go and known.go look for the cluster of a node, and detach.go has it leave.
//
// Incarnations are times of start, not random numbers: a message about an earlier start
// of a node must not undo what a later one said.
//
// Invariants, with their tests here and in package node:
//
//   - All nodes compute the same owner from the same members: TestOwnersAgree.
//   - Views are published in order, and nobody acts on an older one than the newest that it
//     has seen: TestFollowNewest.
//   - A farewell ends the slot of the incarnation that says it, and of no other:
//     TestTwinsFarewell, TestTwinIsApart, TestLateIncarnationLeaves.
//   - Of two nodes of one name the older one keeps it: TestTwins, TestTwinsAtOneAddress.
//   - A node that was disconnected comes back only when it is told to: TestAnswerAfterLeaving,
//     TestDisconnectUnderLoad, TestRestartFindsMembers, TestFormerPeers.
//   - A node without a slot changes nothing but what is known of itself: TestRights,
//     TestHostileGossip.
package members

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/distproc/distproc/node/gossip"
	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/internal/peers"
	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/wire"
)

// Members are the members of a node's cluster as that node sees them. All methods may be
// called from any number of goroutines.
type Members struct {
	Config
	host Host

	pool   *peers.Pool
	known  *known
	view   atomic.Pointer[View]
	making sync.Mutex // held while a view is made
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	outranked atomic.Bool  // an older node has this node's name; this one leaves the cluster, or is not let in
	joinsBy   atomic.Int64 // until when AwaitCluster waits for a Join, on the Clock; 0 if there is none
	knownBy   atomic.Int64 // the same for members that are known from before a restart

	mu           sync.Mutex
	self         wire.Hello                // guarded by mu
	gossip       *gossip.Gossip            // guarded by mu
	syncs        map[*peers.Peer]*exchange // guarded by mu
	conflictTold time.Time                 // when one of two nodes of one name was last told of the other; guarded by mu
	detaching    bool                      // this node is leaving the cluster, to be one of its own; guarded by mu
	apart        bool                      // this node has left so, and no member that it has met since is not apart; guarded by mu
	former       uint64                    // the incarnation before this node left its cluster; guarded by mu
	ended        bool                      // guarded by mu
}

// Config says whose members they are. No field may be left out, but for Joins, StateDir
// and Dialer.
type Config struct {
	Addr      placement.Addr // of this node
	Routing   placement.Routing
	Creds     *wire.Credentials
	Serve     wire.Handler // of what members ask this node
	Timing    gossip.Timing
	ReapAfter time.Duration                   // a member that has failed for so long loses its slot
	Joins     bool                            // Join will be called at once
	StateDir  string                          // folder for the names of members, to find them after a restart
	Clock     *clock.Process                  // of this node
	Dialer    func(peers.Dialer) peers.Dialer // comes between in tests
	Logger    *slog.Logger
}

// A Host is what Members need of their node. They call it without a lock held.
type Host interface {
	// ViewChanged is called after the view, or what can be reached of it, has changed.
	ViewChanged()

	// Refused is called with every newcomer that is turned away.
	Refused(net.Addr, error)

	// Outranked is called when an older node has the name of this one: the node has to
	// leave the cluster. It may be called again.
	Outranked()

	// Met is called with each new session to a node, on a goroutine of its own.
	Met(context.Context, *peers.Peer, *wire.Session)

	// Patience returns the time that a call of that kind needs at most.
	Patience(kind string) time.Duration
}

const (
	MaxStrangers = 256                    // sessions to nodes that have no slot yet, or never get one
	sayGoodbye   = 400 * time.Millisecond // how long those that can be told at once have to listen
)

// New returns the members of a node that is alone.
func New(c Config, h Host) (*Members, error) {
	m := &Members{
		Config: c, host: h, syncs: map[*peers.Peer]*exchange{},
		self: wire.Hello{
			Name: c.Addr.Name.String(), Addr: c.Addr.HostPort(),
			Incarnation: uint64(time.Now().UnixNano()), Routing: c.Routing.String(),
		},
	}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	var err error
	if m.known, err = readKnown(c.StateDir, c.Addr); err != nil {
		c.Logger.Warn("members of before are ignored; remove the file if it stays broken", "file", m.known.path, "err", err)
	}
	dial := func(ctx context.Context, to string, hello wire.Hello) (*wire.Session, error) {
		return wire.Dial(ctx, to, c.Creds, hello, c.Serve)
	}
	if c.Dialer != nil {
		dial = c.Dialer(dial)
	}
	m.pool = peers.New(peers.Config{Self: c.Addr.Name, Dial: dial, RetireOp: protocol.OpRetire, Logger: c.Logger}, poolHost{m})
	g, err := m.newGossip(m.self)
	if err != nil {
		m.cancel()
		m.pool.Close()
		return nil, err
	}
	m.mu.Lock()
	m.gossip = g
	m.mu.Unlock()
	m.refresh()
	if c.Joins {
		m.seek(&m.joinsBy)
	}
	if len(m.known.missing(m.View())) > 0 {
		m.seek(&m.knownBy)
	}
	return m, nil
}

// Start begins to look for members that the node knew before a restart, and goes on until
// Close is called.
func (m *Members) Start() { m.wg.Go(m.keepJoining) }

// View returns the newest view.
func (m *Members) View() *View { return m.view.Load() }

// Pool returns the sessions to the members, and to nodes that are none yet.
func (m *Members) Pool() *peers.Pool { return m.pool }

// Detaching reports whether this node is leaving its cluster, to be one of its own.
func (m *Members) Detaching() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.detaching
}

// Outranked returns an error if an older node has this node's name, so that this one is
// not let in, or has left. Members that find this node at the address of the other one
// would bring it back into their cluster, so it lets nobody in.
func (m *Members) Outranked() *wire.Error {
	if !m.outranked.Load() {
		return nil
	}
	return wire.Errorf(wire.NameTaken, wire.NotRun, "an older node has the name %s; restart the one at %s with another --name",
		m.Addr.Name, m.Hello().Addr)
}

// A poolHost is what the pool of sessions knows of the members.
type poolHost struct{ m *Members }

func (h poolHost) Hello() wire.Hello                  { return h.m.Hello() }
func (h poolHost) Changed()                           { h.m.changed() }
func (h poolHost) DialFailed(err error)               { h.m.noteRefusal(err) }
func (h poolHost) Patience(kind string) time.Duration { return h.m.host.Patience(kind) }

func (h poolHost) Met(ctx context.Context, p *peers.Peer, s *wire.Session) {
	h.m.met(s.Peer())
	h.m.host.Met(ctx, p, s)
}

// changed has the names of members be saved, and the node look at its workers.
func (m *Members) changed() {
	select {
	case m.known.changed <- struct{}{}:
	default:
	}
	m.host.ViewChanged()
}

func (m *Members) newGossip(self wire.Hello) (*gossip.Gossip, error) {
	return gossip.Start(gossip.Config{
		Self:   wire.Member{Name: self.Name, Addr: self.Addr, Incarnation: self.Incarnation},
		Timing: m.Timing, ReapAfter: m.ReapAfter, Logger: m.Logger,
	}, gossipHost{m})
}

// A gossipHost is what gossip knows of the members.
type gossipHost struct{ m *Members }

func (h gossipHost) Valid(name, addr string) bool { return validMember(name, addr) }
func (h gossipHost) Changed()                     { h.m.refresh() }
func (h gossipHost) Conflict(other wire.Member)   { h.m.conflict(other) }

func (h gossipHost) Dial(ctx context.Context, w wire.Member) (gossip.Link, error) {
	return h.m.dialLink(ctx, w)
}

func (h gossipHost) Sync(ctx context.Context, g *gossip.Gossip, w wire.Member) error {
	return h.m.syncWith(ctx, g, w)
}

func validMember(name, addr string) bool {
	n, err := placement.ParseName(name)
	if err != nil || n.String() != name {
		return false
	}
	a, err := placement.AddrOf(n, addr)
	return err == nil && a.HostPort() == addr
}

// Hello returns what this node says of itself at the start of a session.
func (m *Members) Hello() wire.Hello {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.self
}

func (m *Members) currentGossip() *gossip.Gossip {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.gossip
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
		v.Term = old.Term
		if old.Ring.Epoch() != v.Ring.Epoch() {
			v.Term++
		}
	}
	m.view.Store(v)
	m.pool.Retain(holds)
	m.making.Unlock()
	if old != nil && !m.Detaching() {
		m.logGone(old, holds)
	}
	m.changed()
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

// SettleTime returns how long another node may take to answer an operation about the
// members, dialling included: 1 s, or 5 s with the timing for a WAN.
func (m *Members) SettleTime() time.Duration {
	if m.Timing == gossip.WAN {
		return 5 * time.Second
	}
	return time.Second
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

// connect joins the cluster of the node at a.
func (m *Members) connect(ctx context.Context, a placement.Addr) error {
	if a.Name == m.Addr.Name {
		return nil
	}
	err := m.currentGossip().Join(ctx, wire.Member{Name: a.Name.String(), Addr: a.HostPort()})
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
func (m *Members) dialLink(ctx context.Context, w wire.Member) (gossip.Link, error) {
	h := m.Hello()
	h.Role = wire.RoleLink
	l, err := wire.DialLink(ctx, w.Addr, m.Creds, h)
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
	m.met(l.Peer())
	return l, nil
}

// met compares members with a member that has started anew: it may know nobody, and
// answers pings as if it were the former process.
func (m *Members) met(h wire.Hello) {
	name, err := placement.ParseName(h.Name)
	v := m.View()
	if err != nil || v == nil {
		return
	}
	p := v.Peer(name)
	if p == nil || p.Self || m.pool.Slot(p).Incarnation >= h.Incarnation {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.ended && !m.detaching {
		m.wg.Go(func() {
			if err := m.sync(m.ctx, v.gossip, p); err != nil {
				m.Logger.Debug("cannot compare members with a node that has started anew", "node", h.Name, "why", err)
			}
		})
	}
}

// Close ends all that is connected.
func (m *Members) Close() {
	m.mu.Lock()
	m.ended = true
	g := m.gossip
	m.mu.Unlock()
	m.cancel()
	g.Close()
	m.wg.Wait()
	m.pool.Close()
}
