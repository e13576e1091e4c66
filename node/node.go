// Package node runs one node of a cluster in which every id has one place.
//
// The path of one request: [Node.Request] takes a snapshot of the view, whose
// [placement.Ring] finds the member that acts for the id: its owner, or a fallback while
// that has failed. If that is this node, its registry finds the live worker of the id or
// starts one, and the worker answers, at once if it has its value. If it is another node,
// the call crosses in a batch of the session to it ([wire.Session.Call]) and meets that
// node's registry; that node never forwards, it answers NotOwner with its view if it
// disagrees. If the acting member cannot be reached, another member may pass the request
// on, once (relay.go); otherwise a worker of this node answers instead and the reply says
// so.
//
// A call ([Family].Call) brings a message to the server of an id, of a kind that is
// serial, and takes the same way, except that nobody but the acting member answers it:
// call.go waits for that instead. Before a server starts, claim.go makes sure that no
// other node still has one.
//
// The rooms, each of which knows those above it in this list only:
//
//   - node/internal/text and trace: texts for people and JSON, and the trace of a call
//   - node/worker: ids, values, replies, what a kind of worker is, and outcomes of calls
//   - node/placement: names of nodes, and which of them owns an id
//   - node/internal/clock and chain: deadlines of calls, and calls that would wait for
//     themselves
//   - node/internal/registry: the workers of one kind on this node
//   - node/internal/handoff: cached answers on their way to the new owners of their ids
//   - node/internal/peers: the session to each peer, and what calls tell of its health
//   - node/gossip: which nodes are alive
//   - node: all that joins them, in the files below
//
// request.go is the path of a request, and settle.go what follows when two nodes differ
// about the members. view.go has the ring of a view, and members.go makes views of what
// package gossip tells; admit.go, join.go, target.go and leave.go are how nodes come and
// go, apart.go is what a node may do that was disconnected, known.go has them find each
// other again, and rights.go says what a node without a seat may ask. kinds.go has the
// registry of each kind, and host.go is what registries, the handoff queue and the pool
// of sessions know of the node; family.go tells the kinds apart for callers, and typed.go
// gives them types. standstill.go notices that the process stood still. serve.go
// answers peers, bounded.go keeps their answers short, and refusals.go logs those that
// are turned away; inspect.go and stop.go answer people, stats.go and note.go machines,
// ready.go those who watch, and audit.go logs who did what. invalidate.go has values
// forgotten. home.go keeps a client attached, client.go is the way in of a console, which
// is no member, and direct.go has such a client ask the owners itself.
//
// Around it: package source makes sources of configuration, package gateway answers HTTP,
// package metrics publishes Stats, and package boundedlog keeps the log from holding up
// any of this.
//
// Incarnations are times of start, not random numbers: a message about an earlier start
// of a node must not undo what a later one said.
package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/distproc/distproc/node/boundedlog"
	"github.com/distproc/distproc/node/gossip"
	"github.com/distproc/distproc/node/internal/handoff"
	"github.com/distproc/distproc/node/internal/peers"
	"github.com/distproc/distproc/node/internal/registry"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

const (
	drainTimeout   = 5 * time.Second        // that running calls have when the node closes, unless its program says otherwise
	flushTimeout   = 300 * time.Millisecond // that answers have to leave a node that closes, twice
	connectTimeout = time.Second            // of one name in Connect
	knownNames     = 5                      // 1@ to 5@ the own host are tried by Connect without names
	defaultReap    = 10 * time.Minute
	maxTries       = 3    // owners that one request asks before it helps itself
	maxWorkers     = 1000 // that Workers lists of one node
	maxProbes      = 100  // of Ready at a time
	maxConnect     = 100  // names in one Connect of a client
)

// Config says what a node is. The zero value of all but Name and Cookie means the default.
type Config struct {
	Name       string                 // NAME@HOST, or NAME@HOST:PORT
	Port       int                    // to listen on, instead of the one that follows from the name
	Cookie     []byte                 // the secret that all nodes of the cluster share, 16 bytes or more; see LoadCookie
	TLS        TLSFiles               // for mutual TLS in addition to the cookie
	Default    worker.Kind            // of [Node.Request]; none, if it is nil. Then Request fails, and calls must name one of Kinds
	Kinds      map[string]worker.Kind // of others, by name; see [Node.SetKinds]
	Routing    placement.Routing      // Modulo; the same on all nodes
	Timing     Timing                 // of failure detection; LAN
	ReapAfter  time.Duration          // 10 min; a member that has failed for so long loses its seat
	MaxWaiting int                    // calls that may wait for workers on this node; 65,536
	MaxClients int                    // sessions of clients; 1,024
	MaxMemory  int64                  // bytes of values, beyond which the least recently used ones go; a quarter of what the machine or cgroup has. Kind.MaxBytes is for one kind
	Joins      bool                   // Join is called as soon as the node has started: calls of serial kinds wait for what comes of it, 3 s at most
	StateDir   string                 // folder for the names of members, to find them after a restart; none
	NoBusyPoll bool                   // sleep until an answer comes, also while many come; see wire/poll.go
	Logger     *slog.Logger           // silent; the node never waits for its handler, and leaves lines out if that is slow: see boundedlog.New
	Version    string                 // of the program, for those who look

	dialer func(peers.Dialer) peers.Dialer // for tests; nil means that nothing comes between
}

// A Timing says how soon a crash is seen by all: a preset of the failure detector.
type Timing = gossip.Timing

// ParseTiming reads local, lan or wan.
func ParseTiming(s string) (Timing, error) { return gossip.ParseTiming(s) }

// TLSFiles names PEM files for mutual TLS, and whether names are verified. Either all files are
// given or none.
type TLSFiles = wire.TLSFiles

// LoadCookie returns the cookie in the file at path, for a node. If there is no such file, it is
// created with 32 random bytes in hex, for this user only.
func LoadCookie(path string) ([]byte, error) { return wire.LoadCookie(path) }

// ReadCookie returns the cookie in the file at path, for a client, which must have the cookie of
// its node. The error wraps [io/fs.ErrNotExist] if there is no such file.
func ReadCookie(path string) ([]byte, error) { return wire.ReadCookie(path) }

// ParseCookie returns the cookie in text without surrounding white space. It must have at least
// 16 bytes.
func ParseCookie(text []byte) ([]byte, error) { return wire.ParseCookie(text) }

// A Node is one running member of a cluster. All its methods may be called from any number of goroutines.
type Node struct {
	addr      placement.Addr
	name      string // addr.Name as a string
	version   string
	log       *slog.Logger // bounded
	flushLog  func()
	members   *members
	started   time.Time
	slept     atomic.Int64  // for how long the machine was suspended since; now counts it
	host      registry.Host // of the registries: this node; tests put another one before it
	admission *registry.Admission
	registry  *registry.Registry                            // of the default kind, whether there is one or not
	kinds     atomic.Pointer[map[string]*registry.Registry] // of all kinds, by name
	kindsMu   sync.Mutex                                    // held while kinds change
	removed   []*registry.Registry                          // of kinds that are no more, but still run something, in the order in which they went; guarded by kindsMu
	frozen    bool                                          // part holds all registries, new ones included; guarded by kindsMu
	parting   sync.Mutex                                    // held by part
	probed    *registry.Registry                            // what Ready asks
	values    registry.Values
	handover  *handoff.Queue
	known     *known
	listener  *wire.Listener
	refusals  *refusals
	audit     *audit

	watch     *watch
	viewed    chan struct{} // of capacity 1: the view has changed since follow last began
	retaining sync.Mutex    // held by retain

	leaving atomic.Bool   // answers go to those who own their ids without this node
	closing atomic.Bool   // no call is taken any more
	left    chan struct{} // closed after closing is set

	displaced chan struct{} // closed when the node has left the cluster to an older one of its name
	routed    routed        // calls of clients in progress
	joinsBy   atomic.Int64  // until when claims wait for a Join, on the clock of now; 0 if there is none
	knownBy   atomic.Int64  // the same for names that are known from before a restart
	differing sync.Map      // by name of a peer: the kinds about which it differs, as the log says
	clients   atomic.Int64  // sessions of clients

	maxClients int
	closeOnce  sync.Once
	closeErr   error // set by closeOnce
	wg         sync.WaitGroup
	ctx        context.Context // ends when Close has drained the registry
	cancel     context.CancelFunc
}

// Start starts a node: it listens, and is a cluster of one until it connects or is connected to.
func Start(c Config) (*Node, error) {
	addr, err := placement.ParseAddr(c.Name)
	if err != nil {
		return nil, err
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	addr.Port = cmp.Or(c.Port, addr.Port, addr.DefaultPort())
	creds, err := wire.NewCredentials(c.Cookie, c.TLS)
	if err != nil {
		return nil, err
	}
	if err := creds.CheckOwn(addr.Name.String()); err != nil {
		return nil, err
	}
	creds.NoBusyPoll = c.NoBusyPoll
	n := &Node{
		addr: addr, name: addr.Name.String(), version: c.Version, started: time.Now(),
		viewed: make(chan struct{}, 1), left: make(chan struct{}), displaced: make(chan struct{}),
		maxClients: cmp.Or(c.MaxClients, 1024),
	}
	n.log, n.flushLog = boundedlog.New(c.Logger)
	n.ctx, n.cancel = context.WithCancel(context.Background())
	n.host = host{n}
	n.watch = newWatch(bootTime, func() time.Duration { return time.Since(n.started) }, n.suspended, n.stoodStill)
	n.refusals = newRefusals(n.ctx, n.log)
	n.audit = newAudit(n.log)
	n.listener, err = wire.Listen(addr.HostPort(), creds, wire.Events{Refused: n.refusals.note, Trouble: n.refusals.trouble})
	if err != nil {
		n.cancel()
		return nil, listenError(addr, err)
	}
	if k, ok := c.Kinds[worker.DefaultKind]; ok {
		c.Default = k
	}
	n.values.SetLimit(cmp.Or(c.MaxMemory, registry.DefaultMaxMemory()))
	n.handover = handoff.New(host{n})
	n.admission = registry.NewAdmission(cmp.Or(c.MaxWaiting, 1<<16))
	n.registry = n.newRegistry(worker.DefaultKind, c.Default, n.admission, nil)
	n.probed = n.newRegistry(readyKind, worker.Cache{TTL: 1, Load: worker.RandomSource, Inline: true}, registry.NewAdmission(maxProbes), nil)
	if err := n.firstKinds(c); err != nil {
		n.listener.Close()
		n.cancel()
		return nil, err
	}
	n.members = &members{
		name: addr.Name, routing: c.Routing, creds: creds, serve: n, log: n.log, changed: n.viewChanged, refused: n.refusals.note,
		self:      wire.Hello{Name: n.name, Addr: addr.HostPort(), Incarnation: uint64(time.Now().UnixNano()), Routing: c.Routing.String()},
		depart:    func() { _ = n.part(true) }, // it has logged why it cannot
		displaced: sync.OnceFunc(func() { close(n.displaced) }),
		exchanges: map[*peers.Peer]*exchange{},
		timing:    c.Timing, reap: min(cmp.Or(c.ReapAfter, defaultReap), worker.Forever),
	}
	if n.known, err = readKnown(c.StateDir, addr); err != nil {
		n.log.Warn("members of before are ignored; remove the file if it stays broken", "file", n.known.path, "err", err)
	}
	dial := func(ctx context.Context, to string, hello wire.Hello) (*wire.Session, error) {
		return wire.Dial(ctx, to, creds, hello, n)
	}
	if c.dialer != nil {
		dial = c.dialer(dial)
	}
	n.members.pool = peers.New(peers.Config{Self: addr.Name, Dial: dial, RetireOp: opRetire, Logger: n.log}, host{n})
	if err := n.members.start(); err != nil {
		n.listener.Close()
		n.members.pool.Close()
		n.cancel()
		return nil, err
	}
	// Claims wait from before the first caller on: see awaitJoin.
	if c.Joins {
		n.putOffClaims(&n.joinsBy)
	}
	if len(n.known.missing(n.members.view.Load())) > 0 {
		n.putOffClaims(&n.knownBy)
	}
	n.wg.Go(n.accept)
	n.wg.Go(n.follow)
	n.wg.Go(func() { n.watch.run(n.ctx.Done()) })
	n.wg.Go(n.keepJoining)
	return n, nil
}

// check returns an error that names the field if one has a value that makes no sense.
func (c *Config) check() error {
	switch {
	case c.Port < 0 || c.Port > 65535:
		return fmt.Errorf("port %d: a port is a number from 1 to 65535", c.Port)
	case c.ReapAfter < 0:
		return fmt.Errorf("ReapAfter must not be %v: 0 means %v", c.ReapAfter, defaultReap)
	case c.MaxWaiting < 0:
		return fmt.Errorf("MaxWaiting must not be %d: 0 means 65,536", c.MaxWaiting)
	case c.MaxClients < 0:
		return fmt.Errorf("MaxClients must not be %d: 0 means 1,024", c.MaxClients)
	case c.MaxMemory < 0:
		return fmt.Errorf("MaxMemory must not be %d: 0 means a quarter of the machine's or cgroup's", c.MaxMemory)
	}
	return nil
}

// firstKinds gives the node the kinds of its configuration.
func (n *Node) firstKinds(c Config) error {
	n.kinds.Store(&map[string]*registry.Registry{})
	kinds := maps.Clone(c.Kinds)
	if kinds == nil {
		kinds = map[string]worker.Kind{}
	}
	if _, ok := kinds[worker.DefaultKind]; !ok && c.Default != nil {
		kinds[worker.DefaultKind] = c.Default
	}
	return n.setKinds(kinds)
}

func listenError(addr placement.Addr, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("port %d of %s is taken, perhaps by another %s; pass --port for another one", addr.Port, addr.Host, addr.Name)
	}
	if errors.Is(err, syscall.EADDRNOTAVAIL) {
		return fmt.Errorf("%s is no address of this machine; the HOST of --name is where the node listens", addr.Host)
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err
	}
	return fmt.Errorf("listen on %s: %w", addr.HostPort(), err)
}

// Self returns the node's name, NAME@HOST.
func (n *Node) Self() string { return n.name }

// Displaced returns a channel that is closed when the node has left the cluster because an older node
// has its name. It stays up, alone: Ready fails, no member is let in, and no call of a serial kind runs
// until Connect succeeds. The same holds, without a closed channel, while Join is refused for that reason.
func (n *Node) Displaced() <-chan struct{} { return n.displaced }

// Addr returns where the node listens, host:port.
func (n *Node) Addr() string { return n.addr.HostPort() }

// now returns the time since the node started, that for which the machine was suspended included.
func (n *Node) now() time.Duration { return time.Since(n.started) + time.Duration(n.slept.Load()) }

// viewChanged has follow look at all workers, and the members be remembered. It does not wait.
func (n *Node) viewChanged() {
	select {
	case n.known.changed <- struct{}{}:
	default:
	}
	select {
	case n.viewed <- struct{}{}:
	default: // follow has yet to begin for an earlier change
	}
}

// follow drops the workers whose ids other nodes own now, after every change of the view until the node closes.
// Workers of an owner that is out of reach stay: this node stands in for it.
func (n *Node) follow() {
	for {
		select {
		case <-n.viewed:
		case <-n.ctx.Done():
			return
		}
		n.retain(func(r *registry.Registry, id worker.ID) bool {
			p := n.members.view.Load().acting(id)
			return p.Self || !r.Serial() && (p.Lost() || p.Stuck(r.Name()))
		})
	}
}

// retain drops the workers of all kinds that keep refuses.
func (n *Node) retain(keep func(*registry.Registry, worker.ID) bool) {
	n.retaining.Lock()
	defer n.retaining.Unlock()
	for _, r := range n.registries() {
		r.Retain(func(id worker.ID) bool { return keep(r, id) })
	}
}

// adopt takes answers over into the workers of their kinds.
func (n *Node) adopt(list []registry.Answer) {
	list = list[:min(len(list), handoff.MaxAnswers)]
	for len(list) > 0 {
		i := slices.IndexFunc(list, func(a registry.Answer) bool { return a.Kind != list[0].Kind })
		if i < 0 {
			i = len(list)
		}
		if r := n.registryOf(list[0].Kind); r != nil {
			r.Adopt(list[:i])
		}
		list = list[i:]
	}
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
				in.Refuse(n.members.leaving())
				return
			}
			switch in.Hello.Role {
			case wire.RoleClient:
				n.admitClient(in)
			case wire.RoleMember, wire.RoleLink:
				n.members.admit(n.ctx, in)
			default:
				why := wire.Errorf(wire.BadRequest, wire.NotRun, "role %d", in.Hello.Role)
				n.refusals.note(in.RemoteAddr(), why)
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
		n.refusals.note(in.RemoteAddr(), why)
		in.Refuse(why)
		return
	}
	s, err := in.Accept(n.members.hello(), n)
	if err != nil {
		return
	}
	defer n.audit.attached(s)()
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
