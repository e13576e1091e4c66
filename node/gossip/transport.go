package gossip

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/distproc/distproc/wire"
)

const (
	maxLinks      = 256 // in all
	maxPeerLinks  = 4   // to one peer
	maxQueue      = 256 // packets to one peer that wait
	streamBacklog = 16
)

var errClosed = errors.New("gossip is closed")

// A transport carries memberlist's packets and streams over [Link]s, one or more per peer, which it dials
// when it needs them. A peer is addressed by its name alone.
//
// A packet goes into its peer's queue, from which the peer's sender takes it (sender.go): so sending never waits for a dial or
// for a slow peer, and what does not fit is lost, as memberlist expects of packets. The other side's reader
// (stream.go) hands it to memberlist.
type transport struct {
	self  string
	pace  pace
	find  func(name string) (wire.Member, bool) // where a peer is
	dial  func(context.Context, wire.Member) (Link, error)
	log   *slog.Logger
	count counters
	sieve *sieve

	packets chan *memberlist.Packet
	streams chan net.Conn

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex
	closed bool             // guarded by mu: no goroutine starts any more
	peers  map[string]*peer // guarded by mu: who has a link, a dial or a sender
	links  int              // guarded by mu
}

var _ memberlist.NodeAwareTransport = (*transport)(nil)

// A peer is what the transport keeps of a name.
type peer struct {
	name  string
	queue chan []byte

	// Guarded by transport.mu:
	links   []*link // the newest is last
	dialing *dialing
	tried   time.Time // when the last dial failed
	sending bool      // its sender runs
}

// A dialing is a dial in progress, for which all who want it wait.
type dialing struct {
	done chan struct{}
	link *link // set before done is closed, as is err
	err  error
}

func newTransport(self string, p pace, find func(string) (wire.Member, bool), dial func(context.Context, wire.Member) (Link, error), log *slog.Logger) *transport {
	t := &transport{
		self: self, pace: p, find: find, dial: dial, log: log, sieve: newSieve(),
		packets: make(chan *memberlist.Packet, maxQueue),
		streams: make(chan net.Conn, streamBacklog),
		peers:   map[string]*peer{},
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.wg.Go(t.sweep)
	return t
}

// FinalAdvertiseAddr returns what all nodes have as their address.
func (t *transport) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return constantIP, constantPort, nil
}

// PacketCh returns where packets of peers come out.
func (t *transport) PacketCh() <-chan *memberlist.Packet { return t.packets }

// StreamCh returns where streams of peers come out.
func (t *transport) StreamCh() <-chan net.Conn { return t.streams }

// WriteTo sends nothing: an address without a name means nobody.
func (t *transport) WriteTo(b []byte, addr string) (time.Time, error) {
	return t.WriteToAddress(b, memberlist.Address{Addr: addr})
}

// WriteToAddress sends a packet or loses it. It neither waits nor fails: after an error memberlist would not suspect the peer.
func (t *transport) WriteToAddress(b []byte, addr memberlist.Address) (time.Time, error) {
	if !t.enqueue(addr.Name, b) {
		t.count.lost.Add(1)
	}
	return time.Now(), nil
}

// enqueue gives a packet to the sender of its peer.
func (t *transport) enqueue(name string, b []byte) bool {
	if name == "" || name == t.self || len(b) > maxPacket {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	p := t.peerLocked(name)
	select {
	case p.queue <- slices.Clone(b):
	default:
		return false
	}
	if !p.sending {
		p.sending = true
		t.wg.Go(func() { t.send(p) })
	}
	return true
}

// DialTimeout fails: an address without a name means nobody.
func (t *transport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return t.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

// DialAddressTimeout opens a stream on which two memberlists compare what they know.
func (t *transport) DialAddressTimeout(addr memberlist.Address, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(t.ctx, timeout)
	defer cancel()
	l, err := t.connect(ctx, addr.Name)
	if err != nil {
		return nil, err
	}
	conn, err := t.open(ctx, l, kindState)
	if err != nil {
		return nil, err
	}
	return newStateConn(conn, &t.count), nil
}

// Shutdown closes the links and waits for all goroutines.
func (t *transport) Shutdown() error {
	t.mu.Lock()
	t.closed = true
	var links []*link
	for _, p := range t.peers {
		links = append(links, p.links...)
	}
	t.mu.Unlock()
	t.cancel()
	for _, l := range links {
		l.close()
	}
	t.wg.Wait()
	for {
		select {
		case conn := <-t.streams: // that memberlist has not taken
			conn.Close()
		default:
			return nil
		}
	}
}

func (t *transport) peerLocked(name string) *peer {
	p := t.peers[name]
	if p == nil {
		p = &peer{name: name, queue: make(chan []byte, maxQueue)}
		t.peers[name] = p
	}
	return p
}

// forgetLocked drops a peer that nothing needs any more.
func (t *transport) forgetLocked(p *peer) {
	if len(p.links) == 0 && p.dialing == nil && !p.sending && t.peers[p.name] == p {
		delete(t.peers, p.name)
	}
}

// liveLocked returns the newest link that has not ended, or nil. It is the newest because a peer that has started
// again dials, while the link to its former life may not have ended yet.
func (p *peer) liveLocked() *link {
	for _, l := range slices.Backward(p.links) {
		select {
		case <-l.Done():
		default:
			return l
		}
	}
	return nil
}

// connect returns a link to a peer, which it dials if there is none.
func (t *transport) connect(ctx context.Context, name string) (*link, error) {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return nil, errClosed
	}
	p := t.peerLocked(name)
	if l := p.liveLocked(); l != nil {
		t.mu.Unlock()
		return l, nil
	}
	d := p.dialing
	if d == nil {
		d = &dialing{done: make(chan struct{})}
		p.dialing = d
		t.wg.Go(func() { t.dialPeer(p, d) })
	}
	t.mu.Unlock()
	select {
	case <-d.done:
		return d.link, d.err
	case <-ctx.Done():
		return nil, fmt.Errorf("dial %s: %w", name, ctx.Err())
	}
}

// dialPeer is the goroutine of a dial.
func (t *transport) dialPeer(p *peer, d *dialing) {
	ctx, cancel := context.WithTimeout(t.ctx, t.pace.stream)
	defer cancel()
	t.count.dials.Add(1)
	m, ok := t.find(p.name)
	if !ok {
		d.err = fmt.Errorf("dial %s: its address is unknown", p.name)
	} else if raw, err := t.dial(ctx, m); err != nil {
		d.err = fmt.Errorf("dial %s: %w", p.name, err)
	} else if d.link = t.add(p.name, raw); d.link == nil {
		d.err = errClosed
	}
	t.mu.Lock()
	p.dialing = nil
	if d.err != nil {
		p.tried = time.Now()
	}
	t.forgetLocked(p)
	t.mu.Unlock()
	close(d.done)
}

// add takes over a link, or closes it and returns nil if the transport is closed.
func (t *transport) add(name string, raw Link) *link {
	l := &link{Link: raw, name: name}
	l.touch()
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		raw.Close()
		return nil
	}
	var extra *link
	if p := t.peers[name]; p != nil && len(p.links) >= maxPeerLinks {
		extra = p.links[0]
	} else if t.links >= maxLinks {
		extra = t.idlestLocked()
	}
	if extra != nil {
		t.dropLocked(extra)
	}
	p := t.peerLocked(name)
	p.links = append(p.links, l)
	t.links++
	t.wg.Go(func() { t.accept(l) })
	t.mu.Unlock()
	if extra != nil {
		extra.close()
	}
	return l
}

// drop forgets a link that has ended.
func (t *transport) drop(l *link) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.dropLocked(l)
}

func (t *transport) dropLocked(l *link) {
	p := t.peers[l.name]
	if p == nil {
		return
	}
	if i := slices.Index(p.links, l); i >= 0 {
		p.links = slices.Delete(p.links, i, i+1)
		t.links--
		t.forgetLocked(p)
	}
}

func (t *transport) idlestLocked() (idlest *link) {
	for _, p := range t.peers {
		for _, l := range p.links {
			if idlest == nil || l.used.Load() < idlest.used.Load() {
				idlest = l
			}
		}
	}
	return idlest
}

// sweep closes links that have been idle for long.
func (t *transport) sweep() {
	ticker := time.NewTicker(t.pace.idle / 4)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-t.ctx.Done():
			return
		}
		var idle []*link
		t.mu.Lock()
		for _, p := range t.peers {
			for _, l := range p.links {
				if time.Since(time.Unix(0, l.used.Load())) > t.pace.idle {
					idle = append(idle, l)
				}
			}
		}
		t.mu.Unlock()
		for _, l := range idle {
			l.close()
		}
	}
}
