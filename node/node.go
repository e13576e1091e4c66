package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/distproc/distproc/node/boundedlog"
	"github.com/distproc/distproc/node/gossip"
	"github.com/distproc/distproc/node/internal/audit"
	"github.com/distproc/distproc/node/internal/claim"
	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/internal/events"
	"github.com/distproc/distproc/node/internal/handoff"
	"github.com/distproc/distproc/node/internal/kinds"
	"github.com/distproc/distproc/node/internal/members"
	"github.com/distproc/distproc/node/internal/observer"
	"github.com/distproc/distproc/node/internal/peers"
	"github.com/distproc/distproc/node/internal/quorum"
	"github.com/distproc/distproc/node/internal/registry"
	"github.com/distproc/distproc/node/internal/route"
	"github.com/distproc/distproc/node/internal/strict"
	"github.com/distproc/distproc/node/internal/tap"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

const (
	drainTimeout   = 5 * time.Second        // that running calls have when the node closes, unless its program says otherwise
	flushTimeout   = 300 * time.Millisecond // in which some answers must leave a node that closes, lest it gives up the rest
	connectTimeout = time.Second            // of one name in Connect
	knownNames     = 5                      // 1@ to 5@ the own host are tried by Connect without names
	defaultReap    = 10 * time.Minute
)

// A Node is one running member of a cluster. All its methods may be called from any
// number of goroutines.
type Node struct {
	addr      placement.Addr
	name      string // addr.Name as a string
	version   string
	log       *slog.Logger // bounded; its lines are events
	flushLog  func()
	creds     *wire.Credentials
	members   *members.Members
	pool      *peers.Pool // the members'
	claims    *claim.Claims
	router    *route.Router
	kinds     *kinds.Set
	quorum    *quorum.Quorum // of strict kinds; nil if there are no voters
	detaching chan struct{}  // of capacity 1: full while detach runs
	handoffs  *handoff.Queue
	listener  *wire.Listener
	refusals  *audit.Refusals
	audit     *audit.Log
	observer  *observer.Observer
	taps      tap.Board

	clock     *clock.Process
	viewed    chan struct{} // of capacity 1: the view has changed since follow last began
	retaining sync.Mutex    // held by retain

	leaving atomic.Bool   // answers go to those who own their ids without this node
	closing atomic.Bool   // no call is taken any more
	left    chan struct{} // closed after closing is set

	displace  sync.Once      // guards the closing of displaced
	displaced chan struct{}  // closed when the node has left the cluster to an older one of its name
	forwards  route.Forwards // calls of others in progress
	differing sync.Map       // by name of a peer: the kinds about which it differs, as the log says
	clients   atomic.Int64   // sessions of clients

	maxClients int
	closeOnce  sync.Once
	closeErr   error // set by closeOnce
	wg         sync.WaitGroup
	ctx        context.Context // ends when Close has drained the registry
	cancel     context.CancelFunc
}

// Start starts a node: it listens, and is a cluster of one until it connects or is
// connected to.
func Start(c Config) (*Node, error) {
	addr, err := placement.ParseAddr(c.Name)
	if err != nil {
		return nil, err
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	addr.Port = cmp.Or(c.Port, addr.Port, addr.DefaultPort())
	creds, err := wire.NewCredentials(c.Cookie, wire.TLSFiles(c.TLS))
	if err != nil {
		return nil, err
	}
	if err := creds.CheckOwn(addr.Name.String()); err != nil {
		return nil, err
	}
	creds.NoBusyPoll, creds.Network = c.NoBusyPoll, c.network
	n := &Node{
		addr: addr, name: addr.Name.String(), version: c.Version, creds: creds,
		viewed: make(chan struct{}, 1), detaching: make(chan struct{}, 1), left: make(chan struct{}), displaced: make(chan struct{}),
		forwards:   route.NewForwards(),
		maxClients: cmp.Or(c.MaxClients, 1024),
	}
	n.log, n.flushLog = boundedlog.New(c.Logger)
	ring := events.New()
	n.log = slog.New(ring.Tee(n.log.Handler()))
	n.ctx, n.cancel = context.WithCancel(context.Background())
	n.clock = clock.NewProcess(host{n})
	if c.network != nil {
		n.clock.StayAwake()
	}
	n.refusals = audit.NewRefusals(n.ctx, n.log)
	n.audit = audit.New(n.log)
	n.listener, err = wire.Listen(addr.HostPort(), creds, n.refusals)
	if err != nil {
		n.cancel()
		return nil, listenError(addr, err)
	}
	n.handoffs = handoff.New(host{n})
	n.quorum = strict.New(c.Voters, c.DataDir, c.Routing, c.Timing.String(), n.clock.Boot, n.log)
	n.kinds, err = kinds.New(kinds.Config{
		Node: n.name, Host: host{n}, Guard: strict.Guard(n.quorum), Clock: n.clock, MaxWaiting: cmp.Or(c.MaxWaiting, 1<<16),
		MaxMemory: cmp.Or(c.MaxMemory, registry.DefaultMaxMemory()), Logger: n.log,
	}, c.Default, c.Kinds)
	if err != nil {
		n.listener.Close()
		n.cancel()
		return nil, err
	}
	n.members, err = members.New(members.Config{
		Addr: *cmp.Or(c.advertise, &addr), Routing: c.Routing, Creds: creds, Serve: server{n}, Timing: gossip.Timing(c.Timing),
		ReapAfter: min(cmp.Or(c.ReapAfter, defaultReap), worker.Forever),
		Joins:     c.Joins, StateDir: c.StateDir, Clock: n.clock, Logger: n.log,
	}, host{n})
	if err != nil {
		n.listener.Close()
		n.cancel()
		return nil, err
	}
	n.pool = n.members.Pool()
	n.claims = claim.New(n.members, n.kinds)
	n.router = route.New(route.Config{
		Node: n.name, Members: n.members, Kinds: n.kinds, Places: strict.Places(n.quorum), Clock: n.clock, Closing: &n.closing, Audit: n.audit,
		Taps: &n.taps, Logger: n.log,
	})
	n.observer = observer.New(observer.Config{
		Node: n.name, Ring: ring, Taps: &n.taps, Members: n.members, Kinds: n.kinds, Router: n.router, Handoffs: n.handoffs, Audit: n.audit,
	})
	if err := strict.Open(n.quorum, strict.Host{Cluster: n.members, Kinds: n.kinds, Changed: n.viewChanged}); err != nil {
		n.listener.Close()
		n.members.Close()
		n.cancel()
		return nil, err
	}
	n.members.Start()
	n.wg.Go(n.accept)
	n.wg.Go(n.follow)
	n.wg.Go(func() { n.clock.Run(n.ctx.Done()) })
	n.wg.Go(func() { n.observer.Run(n.ctx.Done()) })
	return n, nil
}

func listenError(addr placement.Addr, err error) error {
	if errors.Is(err, wire.ErrAddrInUse) {
		return fmt.Errorf("port %d of %s is taken, perhaps by another %s; pass --port for another one", addr.Port, addr.Host, addr.Name)
	}
	if errors.Is(err, wire.ErrAddrNotAvail) {
		return fmt.Errorf("%s is no address of this machine; the HOST of --name is where the node listens", addr.Host)
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err
	}
	return fmt.Errorf("listen on %s: %w", addr.HostPort(), err)
}

// Self returns the node's name, NAME@HOST.
func (n *Node) Self() string { return n.name }

// Displaced returns a channel that is closed when the node has left the cluster because
// an older node has its name. It stays up, alone: Ready fails, no member is let in, and
// no call of a serial kind runs until Connect succeeds. The same holds, without a closed
// channel, while Join is refused for that reason.
func (n *Node) Displaced() <-chan struct{} { return n.displaced }

// Addr returns where the node listens, host:port.
func (n *Node) Addr() string { return n.addr.HostPort() }

// viewChanged has follow look at all workers. It does not wait.
func (n *Node) viewChanged() {
	select {
	case n.viewed <- struct{}{}:
	default: // follow has yet to begin for an earlier change
	}
}

// follow drops the workers whose ids other nodes own now, after every change of the view
// until the node closes. Workers of an owner that is out of reach stay: this node acts for
// it.
func (n *Node) follow() {
	for {
		select {
		case <-n.viewed:
		case <-n.ctx.Done():
			return
		}
		n.retain(func(r *registry.Registry, id worker.ID) bool {
			if r.Strict() {
				return n.quorum.Owns(id)
			}
			p := n.members.View().Acting(id)
			return p.Self || !r.Serial() && (p.Lost() || p.Stuck(r.Name()))
		})
	}
}

// retain drops the workers of all kinds that keep refuses.
func (n *Node) retain(keep func(*registry.Registry, worker.ID) bool) {
	n.retaining.Lock()
	defer n.retaining.Unlock()
	n.kinds.Retain(func() uint64 { return n.members.View().Shed }, keep)
}

// accept admits peers until the node closes.
func (n *Node) accept() {
	for {
		in, err := n.listener.Accept()
		if err != nil {
			return
		}
		n.wg.Go(func() {
			if n.closing.Load() && in.Hello.Role != wire.RoleLink {
				in.Refuse(n.members.Leaving())
				return
			}
			switch in.Hello.Role {
			case wire.RoleClient:
				n.admitClient(in)
			case wire.RoleMember, wire.RoleLink:
				n.members.Admit(n.ctx, in)
			case wire.RoleVoter:
				strict.ServeLink(n.ctx, n.quorum, in, n.members.Hello())
			default:
				why := wire.Errorf(wire.BadRequest, wire.NotRun, "role %d", in.Hello.Role)
				n.refusals.Refused(in.RemoteAddr(), why)
				in.Refuse(why)
			}
		})
	}
}

func (n *Node) admitClient(in *wire.Incoming) {
	defer n.clients.Add(-1)
	if n.clients.Add(1) > int64(n.maxClients) {
		why := wire.Errorf(wire.Overloaded, wire.NotRun, "the node has %d clients already; attach to another one, or raise --max-clients",
			n.maxClients)
		n.refusals.Refused(in.RemoteAddr(), why)
		in.Refuse(why)
		return
	}
	s, err := in.Accept(n.members.Hello(), server{n})
	if err != nil {
		return
	}
	defer n.audit.Attached(s)()
	select {
	case <-s.Done():
	case <-n.ctx.Done():
	case <-n.left:
		s.Goodbye()
		select {
		case <-s.Done():
		case <-n.ctx.Done():
		}
	}
	s.Finish()
}
