// Package members turns what gossip tells into one ordered sequence of views, and decides
// who is let in.
//
// Gossip ([gossip.Gossip]) tells who has a slot and which of them have failed; each
// change makes another [View]. Views are published in the order in which they are made,
// by one goroutine at a time. Nodes that differ about the members compare what they know
// (sync.go). publish.go makes the views. admit.go decides on newcomers and conflict.go on
// two nodes of one name; join.go and known.go look for the cluster of a node, and
// detach.go has it leave.
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
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/distproc/distproc/node/discover"
	"github.com/distproc/distproc/node/gossip"
	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/internal/peers"
	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/node/worker"
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

	outranked  atomic.Bool  // an older node has this node's name; this one leaves the cluster, or is not let in
	unjoined   atomic.Value // string: what Join tries to reach; "" if there is nothing
	joinsBy    atomic.Int64 // until when AwaitCluster waits for a Join, on the Clock; 0 if there is none
	amongSeeds atomic.Bool  // Join was told, or has found, this node itself
	knownBy    atomic.Int64 // the same for members that are known from before a restart

	mu           sync.Mutex
	self         wire.Hello                // guarded by mu
	gossip       *gossip.Gossip            // guarded by mu
	syncs        map[*peers.Peer]*exchange // guarded by mu
	finders      []*finder                 // of nodes to join; guarded by mu, and replaced as a whole
	conflictTold time.Time                 // when one of two nodes of one name was last told of the other; guarded by mu
	detaching    bool                      // this node is leaving the cluster, to be one of its own; guarded by mu
	apart        bool                      // this node has left so, and no member that it has met since is not apart; guarded by mu
	former       uint64                    // the incarnation before this node left its cluster; guarded by mu
	change       chan struct{}             // closed, and another one made, by wake; guarded by mu
	ended        bool                      // guarded by mu
}

// Config says whose members they are. No field but Sources, Joins and StateDir may be left
// out.
type Config struct {
	Addr      placement.Addr   // of this node, as others dial it
	Listen    string           // what it has bound, host:port
	Sources   discover.Options // for sources of nodes to join, but for the port
	Routing   placement.Routing
	Creds     *wire.Credentials
	Serve     wire.Handler // of what members ask this node
	Timing    gossip.Timing
	ReapAfter time.Duration  // a member that has failed for so long loses its slot
	Joins     bool           // Join will be called at once
	StateDir  string         // folder for the names of members, to find them after a restart
	Clock     *clock.Process // of this node
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

	// CallTimeout returns how long a call of that kind may take at most.
	CallTimeout(kind string) time.Duration
}

const (
	MaxStrangers = 256                    // sessions to nodes that have no slot yet, or never get one
	sayGoodbye   = 400 * time.Millisecond // how long those that can be told at once have to listen
)

// New returns the members of a node that is alone.
func New(c Config, h Host) (*Members, error) {
	m := &Members{
		Config: c, host: h, syncs: map[*peers.Peer]*exchange{}, change: make(chan struct{}),
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
	m.pool = peers.New(peers.Config{Self: c.Addr.Name, RetireOp: protocol.OpRetire, Logger: c.Logger}, poolHost{m})
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

// Member returns the member of a name.
func (m *Members) Member(name string) (*peers.Peer, error) {
	a, err := placement.ParseAddr(name)
	if err != nil {
		return nil, wire.Errorf(wire.BadRequest, wire.NotRun, "%v", err)
	}
	if p := m.View().Peer(a.Name); p != nil {
		return p, nil
	}
	return nil, wire.Errorf(wire.Unreachable, wire.NotRun, "%s is no member; connect to it first", a.Name)
}

// Standing returns for how long the peer at an index of a view has been as it is, as far
// as this node knows, and the time for which it keeps its slot yet if it has failed there.
// Kept is [worker.Forever] if a failed member is never reaped.
func (m *Members) Standing(v *View, i int) (in, kept time.Duration) {
	p, failed := v.Peers[i], v.Ring.Slot(i).Failed
	if p.Self {
		return m.Clock.Now(), 0
	}
	in, kept = v.gossip.Standing(p.Text)
	if kept > 0 && m.ReapAfter >= worker.Forever {
		kept = worker.Forever
	}
	if turned := p.Turned(); !turned.IsZero() {
		here := time.Since(turned) // for how long this node has reached it, or has not
		switch {
		case failed && p.Lost():
			in = max(in, here)
		case failed:
		case p.Lost(), p.AnyStuck():
			in = here
		default:
			in = min(in, here)
		}
	}
	return max(in, 1), kept
}

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

func (m *Members) newGossip(self wire.Hello) (*gossip.Gossip, error) {
	return gossip.Start(gossip.Config{
		Self:   wire.Member{Name: self.Name, Addr: self.Addr, Incarnation: self.Incarnation},
		Timing: m.Timing, ReapAfter: m.ReapAfter, Logger: m.Logger,
	}, gossipHost{m})
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

// OpTimeout returns how long another node may take to answer an operation about the
// members, dialling included: 1 s, or 5 s with the timing for a WAN.
func (m *Members) OpTimeout() time.Duration {
	if m.Timing == gossip.WAN {
		return 5 * time.Second
	}
	return time.Second
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
