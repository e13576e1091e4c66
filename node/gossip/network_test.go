package gossip

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/distproc/distproc/wire"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// memberlist does not wait for a probe, which ends by itself within a probe
		// interval or three
		goleak.IgnoreAnyFunction("github.com/hashicorp/memberlist.(*Memberlist).probeNode"),
		goleak.IgnoreAnyFunction("github.com/hashicorp/memberlist.(*Memberlist).handleIndirectPing.func2"),
	)
}

// bubble runs a test in false time.
func bubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() { time.Sleep(time.Minute) }) // probes for which memberlist does not wait end, see TestMain
		test(t)
	})
}

// A network connects nodes in memory. Of each ordered pair, what the first sends to the
// second can be cut: it stands still then, and links between the two end after linkDeath,
// as if keepalive had given them up.
type network struct {
	t    *testing.T
	log  *slog.Logger
	pace pace
	conf func(*Config) // changes a node's, or nil

	cutting atomic.Bool // something was cut once
	refuse  bool        // where it is cut a dial fails at once; otherwise it waits

	mu    sync.Mutex
	nodes map[string]*node    // by address
	cuts  map[[2]string]bool  // by names
	links map[*memLink]string // all ends that live; the value is for debugging
	moved chan struct{}       // closed, and made anew, when cuts change
	born  uint64
}

const linkDeath = 500 * time.Millisecond

func newNetwork(t *testing.T, timing Timing) *network {
	n := &network{
		t: t, log: slog.New(slog.DiscardHandler), pace: timing.pace(),
		nodes: map[string]*node{}, cuts: map[[2]string]bool{}, links: map[*memLink]string{}, moved: make(chan struct{}),
		born: uint64(time.Now().UnixNano()),
	}
	if os.Getenv("GOSSIP_LOG") != "" {
		n.log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	n.pace.tick = 100 * time.Millisecond
	n.pace.sync = time.Second
	n.pace.news = 100 * time.Millisecond
	n.pace.unconfirmed = time.Second
	n.pace.rival = 500 * time.Millisecond
	t.Cleanup(func() {
		var wg sync.WaitGroup
		for _, v := range n.all() {
			wg.Go(v.g.Close)
		}
		wg.Wait()
	})
	return n
}

// A node is one start of a node.
type node struct {
	*network
	name, addr string
	self       wire.Member
	g          *Gossip
	changes    atomic.Int64
	conflicts  chan wire.Member
	mute       atomic.Bool // its syncs fail
}

// A nodeHost is what the gossip of a node needs.
type nodeHost struct{ *node }

func (h nodeHost) Valid(name, addr string) bool { return Valid(name, addr) }

func (h nodeHost) Dial(ctx context.Context, m wire.Member) (Link, error) { return h.dial(ctx, m) }

func (h nodeHost) Sync(ctx context.Context, g *Gossip, m wire.Member) error { return h.sync(ctx, g, m) }

func (h nodeHost) Changed() { h.changes.Add(1) }

func (h nodeHost) Conflict(m wire.Member) {
	select {
	case h.conflicts <- m:
	default:
	}
}

// start starts node i.
func (n *network) start(i int) *node {
	n.t.Helper()
	return n.startAt(fmt.Sprintf("%d@h", i), fmt.Sprintf("host%d.test:4371", i))
}

func (n *network) startAt(name, addr string) *node {
	n.t.Helper()
	n.mu.Lock()
	n.born++
	v := &node{network: n, name: name, addr: addr, conflicts: make(chan wire.Member, 1),
		self: wire.Member{Name: name, Addr: addr, Incarnation: n.born}}
	n.mu.Unlock()
	c := Config{Self: v.self, Logger: n.log.With("self", name)}
	if n.conf != nil {
		n.conf(&c)
	}
	g, err := start(c, nodeHost{v}, n.pace)
	if err != nil {
		n.t.Fatal(err)
	}
	v.g = g
	n.mu.Lock()
	n.nodes[addr] = v
	n.mu.Unlock()
	return v
}

// many starts nodes 1 to count, and has all join the first at once.
func (n *network) many(count int) []*node {
	n.t.Helper()
	var list []*node
	for i := range count {
		list = append(list, n.start(i+1))
	}
	var wg sync.WaitGroup
	for _, v := range list[1:] {
		wg.Go(func() { v.join(list[0]) })
	}
	wg.Wait()
	return list
}

func (v *node) join(other *node) {
	v.t.Helper()
	m := other.self
	m.Incarnation = 0
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for {
		err := v.g.Join(ctx, m)
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			v.t.Errorf("%s cannot join %s: %v", v.name, other.name, err)
			return
		}
		sleep(ctx, 50*time.Millisecond)
	}
}

// kill ends the node as kill -9 would.
func (v *node) kill() {
	v.mu.Lock()
	if v.nodes[v.addr] == v {
		delete(v.nodes, v.addr)
	}
	v.mu.Unlock()
	v.g.Close()
}

func (n *network) all() (list []*node) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, v := range n.nodes {
		list = append(list, v)
	}
	return list
}

var errRefused = errors.New("connection refused")

// at returns the node that answers at m's address. If the way is cut, it waits.
func (v *node) at(ctx context.Context, m wire.Member) (*node, error) {
	for {
		v.mu.Lock()
		other, alive := v.nodes[m.Addr], v.nodes[v.addr] == v
		cut := other != nil && (v.cuts[[2]string{v.name, other.name}] || v.cuts[[2]string{other.name, v.name}])
		moved := v.moved
		v.mu.Unlock()
		switch {
		case !alive && v.g != nil, other == nil, cut && v.refuse:
			return nil, errRefused
		case !cut && other.name != m.Name:
			return nil, fmt.Errorf("%s answers at %s", other.name, m.Addr)
		case !cut:
			return other, nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (v *node) dial(ctx context.Context, m wire.Member) (Link, error) {
	other, err := v.at(ctx, m)
	if err != nil {
		return nil, err
	}
	ours, theirs := newLinks(v.network, v.name, other.name)
	other.g.Serve(v.name, theirs)
	return ours, nil
}

func (v *node) sync(ctx context.Context, g *Gossip, m wire.Member) error {
	if v.mute.Load() {
		return errors.New("mute")
	}
	other, err := v.at(ctx, m)
	if err != nil {
		return err
	}
	if g.Digest() != other.g.Digest() {
		g.Learn(other.g.Snapshot())
		other.g.Learn(g.Snapshot())
	}
	return nil
}

// cut stops what each of as sends to each of bs.
func (n *network) cut(as, bs []*node) {
	n.setCut(as, bs, true)
	time.AfterFunc(linkDeath, func() {
		n.mu.Lock()
		var dead []*memLink
		for l := range n.links {
			if n.cuts[[2]string{l.from, l.to}] {
				dead = append(dead, l)
			}
		}
		n.mu.Unlock()
		for _, l := range dead {
			l.Close()
		}
	})
}

func (n *network) heal(as, bs []*node) { n.setCut(as, bs, false) }

func (n *network) setCut(as, bs []*node, cut bool) {
	n.cutting.Store(true)
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, a := range as {
		for _, b := range bs {
			n.cuts[[2]string{a.name, b.name}] = cut
		}
	}
	close(n.moved)
	n.moved = make(chan struct{})
}

// A memLink is one end of a link in memory.
type memLink struct {
	n        *network
	from, to string
	accept   chan net.Conn
	other    *memLink
	done     chan struct{} // shared by both ends
	once     *sync.Once

	mu    sync.Mutex
	conns []net.Conn
}

func newLinks(n *network, from, to string) (ours, theirs *memLink) {
	done, once := make(chan struct{}), new(sync.Once)
	ours = &memLink{n: n, from: from, to: to, accept: make(chan net.Conn, 64), done: done, once: once}
	theirs = &memLink{n: n, from: to, to: from, accept: make(chan net.Conn, 64), done: done, once: once, other: ours}
	ours.other = theirs
	n.mu.Lock()
	defer n.mu.Unlock()
	n.links[ours], n.links[theirs] = from, to
	return ours, theirs
}

func (l *memLink) Open() (net.Conn, error) {
	a, b := net.Pipe()
	if !l.keep(a) || !l.keep(b) {
		return nil, net.ErrClosed
	}
	select {
	case l.other.accept <- &memConn{Conn: b, l: l.other}:
		return &memConn{Conn: a, l: l}, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *memLink) keep(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.done:
		c.Close()
		return false
	default:
		l.conns = append(l.conns, c)
		return true
	}
}

func (l *memLink) Accept() (net.Conn, error) {
	select {
	case <-l.done:
		return nil, net.ErrClosed
	default:
	}
	select {
	case c := <-l.accept:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *memLink) Done() <-chan struct{} { return l.done }

func (l *memLink) Close() error {
	l.once.Do(func() {
		close(l.done)
		l.n.mu.Lock()
		delete(l.n.links, l)
		delete(l.n.links, l.other)
		l.n.mu.Unlock()
		for _, end := range []*memLink{l, l.other} {
			end.mu.Lock()
			for _, c := range end.conns {
				c.Close()
			}
			end.mu.Unlock()
		}
	})
	return nil
}

// A memConn is one end of a stream.
type memConn struct {
	net.Conn
	l        *memLink
	deadline atomic.Int64
}

func (c *memConn) Write(b []byte) (int, error) {
	for {
		if !c.l.n.cutting.Load() { // the network of a big cluster has no time for locks
			return c.Conn.Write(b)
		}
		c.l.n.mu.Lock()
		cut, moved := c.l.n.cuts[[2]string{c.l.from, c.l.to}], c.l.n.moved
		c.l.n.mu.Unlock()
		if !cut {
			return c.Conn.Write(b)
		}
		var timeout <-chan time.Time
		if d := c.deadline.Load(); d != 0 {
			timeout = time.After(time.Until(time.Unix(0, d)))
		}
		select {
		case <-moved:
		case <-c.l.done:
			return 0, net.ErrClosed
		case <-timeout:
			return 0, os.ErrDeadlineExceeded
		}
	}
}

func (c *memConn) SetDeadline(t time.Time) error {
	c.SetWriteDeadline(t)
	return c.SetReadDeadline(t)
}

func (c *memConn) SetWriteDeadline(t time.Time) error {
	if t.IsZero() {
		c.deadline.Store(0)
	} else {
		c.deadline.Store(t.UnixNano())
	}
	return c.Conn.SetWriteDeadline(t)
}

// until waits until ok, and fails the test if that takes longer than limit. It returns
// how long it took.
func (n *network) until(limit time.Duration, what string, ok func() bool) time.Duration {
	n.t.Helper()
	start := time.Now()
	for {
		asked := time.Now()
		if ok() {
			break
		}
		if time.Since(start) > limit {
			n.t.Fatalf("after %v not yet: %s\n%s", limit, what, n.dump())
		}
		time.Sleep(min(max(5*time.Millisecond, 5*time.Since(asked)), 100*time.Millisecond)) // a big cluster shall not be busy with that
	}
	return time.Since(start)
}

// dump describes what all nodes see.
func (n *network) dump() string {
	var b strings.Builder
	for i, v := range n.all() {
		if i == 8 {
			break
		}
		fmt.Fprintf(&b, "%s: %.500s\n", v.name, v.seen())
	}
	return b.String()
}

// seen writes what a node sees as "1@h 2@h! (3@h)", for alive, failed, and gone.
func (v *node) seen() string {
	var list []string
	for _, m := range v.g.Snapshot() {
		switch m.State {
		case wire.Alive:
			list = append(list, m.Name)
		case wire.Failed:
			list = append(list, m.Name+"!")
		default:
			list = append(list, "("+m.Name+")")
		}
	}
	return strings.Join(list, " ")
}

// see waits until all of list have the living alive, the failed failed, and no other
// slot.
func (n *network) see(limit time.Duration, list, living, failed []*node) time.Duration {
	n.t.Helper()
	want := map[string]wire.MemberState{}
	for _, v := range living {
		want[v.name] = wire.Alive
	}
	for _, v := range failed {
		want[v.name] = wire.Failed
	}
	return n.until(limit, fmt.Sprintf("%d alive, %d failed", len(living), len(failed)), func() bool {
		digest := list[0].g.Digest()
		for _, v := range list {
			members := v.g.Members()
			if len(members) != len(want) || v.g.Digest() != digest {
				return false
			}
			for _, m := range members {
				if state, ok := want[m.Name]; !ok || state != m.State {
					return false
				}
			}
		}
		return true
	})
}
