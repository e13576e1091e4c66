package gossip

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/distproc/distproc/wire"
)

const (
	maxQueue      = 256 // packets in the queue of one peer
	streamBacklog = 16
)

var errClosed = errors.New("gossip is closed")

// A transport carries memberlist's packets and streams over [Link]s, which it dials on
// demand. A peer is addressed by its name only.
//
// A packet goes into the queue of its peer, and the peer's sender writes it (sender.go).
// So sending never waits for a dial or for a slow peer. If the queue is full, the packet
// is dropped, as memberlist expects of packets. The other side's reader (stream.go)
// passes the packet to memberlist.
type transport struct {
	self  string
	pace  pace
	find  func(name string) (wire.Member, bool) // returns a peer as it is to be dialed
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
	peers  map[string]*peer // guarded by mu: peers with a link, a dial or a sender
	links  int              // guarded by mu
}

var _ memberlist.NodeAwareTransport = (*transport)(nil)

func newTransport(self string, p pace, find func(string) (wire.Member, bool),
	dial func(context.Context, wire.Member) (Link, error), log *slog.Logger,
) *transport {
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

// FinalAdvertiseAddr returns the address that all nodes have.
func (t *transport) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return constantIP, constantPort, nil
}

// PacketCh returns the channel of packets from peers.
func (t *transport) PacketCh() <-chan *memberlist.Packet { return t.packets }

// StreamCh returns the channel of streams from peers.
func (t *transport) StreamCh() <-chan net.Conn { return t.streams }

// WriteTo sends nothing, because an address without a name identifies no peer.
func (t *transport) WriteTo(b []byte, addr string) (time.Time, error) {
	return t.WriteToAddress(b, memberlist.Address{Addr: addr})
}

// WriteToAddress sends a packet or drops it. It neither blocks nor fails, because after
// an error memberlist would not suspect the peer.
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

// DialTimeout fails, because an address without a name identifies no peer.
func (t *transport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return t.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

// DialAddressTimeout opens a stream on which two memberlists exchange their states.
func (t *transport) DialAddressTimeout(addr memberlist.Address, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(t.ctx, timeout)
	defer cancel()
	l, err := t.connect(ctx, addr.Name, "")
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
