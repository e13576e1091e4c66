// Package gossip keeps the list of the cluster's members: hashicorp/serf on
// hashicorp/memberlist (SWIM; Das, Gupta, Motivala, 2002), over links that the caller
// authenticates.
//
// The path of one piece of news, such as a crash: memberlist periodically probes a random
// member with a packet. The transport puts the packet into the member's queue
// (transport.go), and the queue's sender writes it to a [Link] (sender.go). If no answer
// arrives, directly or through other members, memberlist gossips that it suspects the
// member. If the member does not refute that, memberlist reports its death to serf, and
// serf sends an event. The event changes the table of slots (events.go, table.go), and
// [Host.Changed] is called.
//
// There are two layers because they have different knowledge. Serf and memberlist know
// which members are alive. The table knows which members have a slot. A failed member
// keeps its slot until it has been away for [Config.ReapAfter]. All members must agree on
// that, including those that joined after the failure, to which serf does not report it.
// So members sync their tables when a member joins or leaves, and from time to time
// ([Host.Sync]).
//
// To memberlist, every node has the same address, because it supports only IP addresses
// and does not let a live member change its address. Nodes are identified by name. Their
// true addresses and incarnations are tags.
package gossip

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/serf/serf"

	"github.com/distproc/distproc/wire"
)

// A Link is an authenticated connection to a peer that carries streams, such as a
// [wire.Link]. All methods may be called from any number of goroutines. Close makes the
// others return. Open need not wait for the peer.
type Link interface {
	Open() (net.Conn, error)
	Accept() (net.Conn, error)
	Done() <-chan struct{} // closed when the link has ended
	Close() error
}

// Config configures [Start]. Self, Dial, Sync, Changed and Logger are required. Dial and
// Sync may be called concurrently, and must return when their context ends.
type Config struct {
	Self      wire.Member   // name, address (host:port) and incarnation, which is higher for each later start
	Timing    Timing        // must be that of all members
	ReapAfter time.Duration // time after which a failed member loses its slot; 0 means 10 minutes
	Logger    *slog.Logger
}

// A Host is what a Gossip needs of its node. A Gossip calls it without a lock held.
type Host interface {
	// Valid reports whether a member may have a name and an address. Invalid members in
	// reports of peers are ignored. [Valid] is enough for most.
	Valid(name, addr string) bool

	// Dial connects to the address of m and authenticates. It fails if a node with
	// another name answers. The incarnation of m may be outdated or 0.
	Dial(ctx context.Context, m wire.Member) (Link, error)

	// Sync makes the tables of g and m equal, over a channel of the caller's: if their
	// Digests differ, each side Learns the other's Snapshot.
	Sync(ctx context.Context, g *Gossip, m wire.Member) error

	// Changed is called after the result of Members has changed. Several changes may
	// share a call. Calls never overlap. It may call all methods but Close.
	Changed()

	// Conflict is called when another process seems to have this node's name, at most
	// once a second. It must not call Close.
	Conflict(other wire.Member)
}

// A Gossip is this node's membership in a cluster. All methods may be called from any
// number of goroutines.
type Gossip struct {
	c         Config
	host      Host
	pace      pace
	transport *transport
	door      *doorkeeper
	serf      *serf.Serf

	events    chan serf.Event
	changed   chan struct{}    // capacity 1: Changed is due
	conflicts chan wire.Member // capacity 1: Conflict is due
	news      chan struct{}    // capacity 1: other members may lack the latest news
	stopped   chan struct{}    // closed after serf has stopped and sends no more events

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	leave  sync.Once
	left   chan struct{} // closed when serf has left; nil before Leave; guarded by mu
	close  sync.Once

	mu      sync.Mutex
	closed  bool              // guarded by mu; no goroutine may start
	table   *table            // guarded by mu
	joining map[string]string // guarded by mu: addresses of members that are being joined
}

const defaultReapAfter = 10 * time.Minute

// Start starts a cluster of one node. Other nodes join it, or it joins them by
// [Gossip.Join]. The caller must call Close.
func Start(c Config, h Host) (*Gossip, error) { return start(c, h, c.Timing.pace()) }

func start(c Config, h Host, p pace) (*Gossip, error) {
	if c.ReapAfter <= 0 {
		c.ReapAfter = defaultReapAfter
	}
	if !h.Valid(c.Self.Name, c.Self.Addr) {
		return nil, fmt.Errorf("gossip: a node cannot have the name %q and the address %q", c.Self.Name, c.Self.Addr)
	}
	g := &Gossip{
		c: c, host: h, pace: p,
		events:    make(chan serf.Event, 1024),
		changed:   make(chan struct{}, 1),
		conflicts: make(chan wire.Member, 1),
		news:      make(chan struct{}, 1),
		stopped:   make(chan struct{}),
		table:     newTable(c.Self, c.ReapAfter, p.unconfirmed, h.Valid),
		joining:   map[string]string{},
	}
	g.door = &doorkeeper{self: c.Self, valid: h.Valid, full: g.full, conflict: g.rival, proof: p.rival}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	g.transport = newTransport(c.Self.Name, p, g.find, h.Dial, c.Logger)
	conf := p.serf()
	conf.NodeName = c.Self.Name
	conf.Tags = toTags(c.Self)
	conf.EventCh = g.events
	conf.MemberlistConfig.Alive = g.door
	conf.Logger = newLogger(c.Logger)
	conf.MemberlistConfig.Logger = conf.Logger
	conf.MemberlistConfig.Transport = g.transport
	var err error
	if g.serf, err = serf.Create(conf); err != nil {
		g.cancel()
		_ = g.transport.Shutdown() // never fails
		return nil, fmt.Errorf("gossip: %w", err)
	}
	g.wg.Go(g.drain)
	g.wg.Go(g.notify)
	g.wg.Go(g.warn)
	g.wg.Go(g.maintain)
	g.wg.Go(g.confirm)
	g.wg.Go(g.syncNow)
	return g, nil
}

// Valid reports whether a name has at most 320 printable bytes without spaces and slashes,
// and an address is host:port. It serves as the Valid of a [Host] that has no rules of its
// own.
func Valid(name, addr string) bool {
	odd := func(r rune) bool { return !strconv.IsPrint(r) || r == ' ' || r == '/' }
	if name == "" || len(name) > 320 || strings.ContainsFunc(name, odd) {
		return false
	}
	host, port, err := net.SplitHostPort(addr)
	n, _ := strconv.ParseUint(port, 10, 16)
	return err == nil && host != "" && len(host) <= 253 && n > 0
}

// Members returns the members that have a slot, sorted by name. It includes this node,
// always as alive. Failed members have an Age. The caller may change the list.
func (g *Gossip) Members() []wire.Member {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.table.members(time.Now())
}

// Snapshot returns the report for peers: Members, and the members that have left or were
// reaped recently. It reports this node as left after Leave. The caller may change the
// list.
func (g *Gossip) Snapshot() []wire.Member {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.table.snapshot(time.Now())
}

// Standing returns for how long the member of a name has been alive or failed, as far as
// this node knows, and the time for which a failed one keeps its slot yet. All nodes agree
// on these times of a failed member. Both are 0 for this node, and for a name without a
// slot.
func (g *Gossip) Standing(name string) (in, kept time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.table.standing(name, time.Now())
}

// Digest returns a hash of the names and incarnations of the members that have a slot.
func (g *Gossip) Digest() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.table.digest()
}

// Learn merges the Snapshot of a peer, and reports whether it contained news. It reads
// the first 3,000 entries. It ignores entries that are not Valid, and farewells without
// an address.
func (g *Gossip) Learn(list []wire.Member) bool {
	g.mu.Lock()
	news, changed := g.table.learn(list, time.Now())
	g.mu.Unlock()
	if news {
		poke(g.news)
	}
	if changed {
		poke(g.changed)
	}
	return news
}

// Serve takes over a link that a peer has dialed. It returns at once.
func (g *Gossip) Serve(name string, l Link) { g.transport.add(name, "", l) }

// Traffic returns the counters of the links.
func (g *Gossip) Traffic() Traffic { return g.transport.traffic() }

// find returns a peer as it is to be dialed. The peer need not have a slot.
func (g *Gossip) find(name string) (wire.Member, bool) {
	m := wire.Member{Name: name, Addr: g.door.addr(name)}
	g.mu.Lock()
	defer g.mu.Unlock()
	if e := g.table.entries[name]; e != nil && (e.state == wire.Alive || m.Addr == "") {
		m = e.member(name, time.Now())
	}
	if addr := g.joining[name]; addr != "" {
		m.Addr = addr
	}
	return m, m.Addr != ""
}

// full reports whether no slot is left for a member without one.
func (g *Gossip) full(name string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	e := g.table.entries[name]
	return g.table.slots >= maxSlots && (e == nil || !holdsSlot(e.state))
}

// Close stops without a farewell: unless Leave was called before, peers see a crash. It
// waits for all goroutines. It may be called more than once.
func (g *Gossip) Close() {
	g.close.Do(func() {
		g.mu.Lock()
		g.closed = true
		left := g.left
		g.mu.Unlock()
		g.cancel()
		if left != nil {
			<-left // memberlist panics if it has to leave after it was shut down
		}
		if err := g.serf.Shutdown(); err != nil {
			g.c.Logger.Debug("cannot stop serf", "why", err)
		}
		close(g.stopped)
		g.wg.Wait()
	})
}

// goDo starts a goroutine that Close waits for.
func (g *Gossip) goDo(f func()) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return errClosed
	}
	g.wg.Go(f)
	return nil
}

// poke sends to c, unless a send is already pending.
func poke(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
