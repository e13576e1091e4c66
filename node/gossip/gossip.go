// Package gossip knows who is in the cluster: hashicorp/serf on hashicorp/memberlist (SWIM, Das, Gupta,
// Motivala, 2002), over links that its user authenticates.
//
// The path of one piece of news, such as that a member has crashed: memberlist probes a random member every
// now and then, with a packet that the transport puts into that member's queue (transport.go), and whose
// sender writes it to a [Link] (sender.go). If no answer comes back, and none through others, memberlist
// gossips that it suspects the member; if that does not say that it lives, memberlist tells serf, and serf
// sends an event. The event changes the table of seats (events.go, table.go), and [Config.Changed] is called.
//
// There are two layers because they know different things. serf and memberlist know who is alive. The table
// knows who has a seat: a failed member keeps it until it has been away for [Config.ReapAfter], and all
// members must agree on that, those too that have come after the failure, of which serf tells them nothing.
// So members compare their tables, when one joins, when one leaves, and now and then ([Config.Exchange]).
//
// Every node has the same address as far as memberlist knows, because it holds IP addresses only and refuses
// to change those of the living; names tell nodes apart, and the true address and incarnation are tags.
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

// A Link is an authenticated connection to a peer that carries streams; a [wire.Link] is one. All methods may
// be called from any number of goroutines, and Close makes the others return. Open need not wait for the
// peer.
type Link interface {
	Open() (net.Conn, error)
	Accept() (net.Conn, error)
	Done() <-chan struct{} // closed when the link has ended
	Close() error
}

// Config is what [Start] needs: Self, Dial, Exchange, Changed and Logger, and the rest if wanted. Dial and
// Exchange may be called by several goroutines at a time, and return when their context is done.
type Config struct {
	Self      wire.Member   // name, address (host:port), and incarnation: a later start has a higher one
	Timing    Timing        // of all members
	ReapAfter time.Duration // a member that has been out of reach for so long loses its seat; 0 means 10 minutes

	// Valid reports whether a member may have that name and address; those of peers that may not are ignored.
	// If it is nil, names of at most 320 printable bytes without spaces and slashes and addresses host:port
	// are.
	Valid func(name, addr string) bool

	// Dial dials the address of m and authenticates. It fails if another name answers there. The incarnation
	// of m may be out of date, or 0.
	Dial func(ctx context.Context, m wire.Member) (Link, error)

	// Exchange compares the table of g, which calls it, with that of m, over another channel: if their Digests differ, each
	// side Learns the other's Snapshot.
	Exchange func(ctx context.Context, g *Gossip, m wire.Member) error

	// Changed is called after Members would answer differently; several changes may share a call. It may call
	// everything but Close. Calls never overlap.
	Changed func()

	// Conflict is called when another process seems to live under this node's name, at most once a second. It
	// may be nil. It must not call Close.
	Conflict func(other wire.Member)

	Logger *slog.Logger
}

// A Gossip is this node's part in the membership. All methods may be called from any number of goroutines.
type Gossip struct {
	c         Config
	pace      pace
	transport *transport
	door      *doorkeeper
	serf      *serf.Serf

	events    chan serf.Event
	changed   chan struct{}    // of capacity 1: Changed is to be called
	conflicts chan wire.Member // of capacity 1: Conflict is to be called
	news      chan struct{}    // of capacity 1: others may have news to hear as well
	stopped   chan struct{}    // closed after serf has stopped: no event comes any more

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	leave  sync.Once
	left   chan struct{} // closed when serf has left, nil if it was not asked to; guarded by mu
	close  sync.Once

	mu      sync.Mutex
	closed  bool              // guarded by mu: no goroutine starts any more
	table   *table            // guarded by mu
	joining map[string]string // guarded by mu: addresses of those that are being joined
}

const defaultReapAfter = 10 * time.Minute

// Start starts a cluster of one node. Others are joined by [Gossip.Join], or join it.
func Start(c Config) (*Gossip, error) { return start(c, c.Timing.pace()) }

func start(c Config, p pace) (*Gossip, error) {
	if c.ReapAfter <= 0 {
		c.ReapAfter = defaultReapAfter
	}
	if c.Valid == nil {
		c.Valid = validMember
	}
	if !c.Valid(c.Self.Name, c.Self.Addr) {
		return nil, fmt.Errorf("gossip: a node cannot have the name %q and the address %q", c.Self.Name, c.Self.Addr)
	}
	g := &Gossip{
		c: c, pace: p,
		events:    make(chan serf.Event, 1024),
		changed:   make(chan struct{}, 1),
		conflicts: make(chan wire.Member, 1),
		news:      make(chan struct{}, 1),
		stopped:   make(chan struct{}),
		table:     newTable(c.Self, c.ReapAfter, p.rumour, c.Valid),
		joining:   map[string]string{},
	}
	g.door = &doorkeeper{self: c.Self, valid: c.Valid, full: g.full, conflict: g.rival, proof: p.rival}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	g.transport = newTransport(c.Self.Name, p, g.find, c.Dial, c.Logger)
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
		_ = g.transport.Shutdown() // it never fails
		return nil, fmt.Errorf("gossip: %w", err)
	}
	g.wg.Go(g.drain)
	g.wg.Go(g.notify)
	g.wg.Go(g.warn)
	g.wg.Go(g.maintain)
	g.wg.Go(g.confirm)
	g.wg.Go(g.exchangeNow)
	return g, nil
}

// validMember is the default of [Config.Valid].
func validMember(name, addr string) bool {
	odd := func(r rune) bool { return !strconv.IsPrint(r) || r == ' ' || r == '/' }
	if name == "" || len(name) > 320 || strings.ContainsFunc(name, odd) {
		return false
	}
	host, port, err := net.SplitHostPort(addr)
	n, _ := strconv.ParseUint(port, 10, 16)
	return err == nil && host != "" && len(host) <= 253 && n > 0
}

// Members returns who has a seat, sorted by name, this node always included, which is alive as long as it can
// be asked. Those who have failed have an Age. The list is the caller's.
func (g *Gossip) Members() []wire.Member {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.table.members(time.Now())
}

// Snapshot returns what peers are told: Members, and who has left or was reaped lately. This node has left
// when it says so. The list is the caller's.
func (g *Gossip) Snapshot() []wire.Member {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.table.snapshot(time.Now())
}

// Digest returns a hash of the names and incarnations of those with a seat.
func (g *Gossip) Digest() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.table.digest()
}

// Learn merges the Snapshot of a peer, and reports whether it held news. It reads the first 3,000 entries, and
// ignores what is not Valid, a farewell without an address too.
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

// Serve takes over a link that a peer has dialled, and returns at once.
func (g *Gossip) Serve(name string, l Link) { g.transport.add(name, "", l) }

// Traffic returns the counters.
func (g *Gossip) Traffic() Traffic { return g.transport.traffic() }

// find returns where a peer is, for a dial. It may have no seat, or none yet.
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

// full reports whether there is no seat left for a member that has none.
func (g *Gossip) full(name string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	e := g.table.entries[name]
	return g.table.seats >= maxSeats && (e == nil || !seated(e.state))
}

// Close stops, without a farewell: peers see a crash, unless Leave came before. It waits for all goroutines,
// and may be called more than once.
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

// poke marks that something is to be done.
func poke(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
