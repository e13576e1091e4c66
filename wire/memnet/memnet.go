// Package memnet is a network within one process, for tests: its connections behave as
// those of TCP do, but need no sockets. In a bubble of [testing/synctest] they cost no
// time.
package memnet

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
)

// A Network connects the hosts of a test. Its methods, and those of all that it returns,
// may be called from any number of goroutines.
type Network struct {
	mu        sync.Mutex
	listeners map[string]*listener // by address; guarded by mu
	cuts      map[route]How        // guarded by mu
	port      uint16               // the last that was chosen; guarded by mu
}

// A route is from a host, by its name, to an address.
type route struct{ from, to string }

// How says what becomes of a connection that is asked for on a route that is cut.
type How int

const (
	Refused How = iota // it fails at once
	Lost               // nothing answers, so it fails when its context ends
)

// New returns a network without listeners.
func New() *Network {
	return &Network{listeners: map[string]*listener{}, cuts: map[route]How{}}
}

// Cut has a host make no new connection to an address (host:port), until Mend. The
// connections that it has go on.
func (n *Network) Cut(from, to string, how How) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cuts[route{from, to}] = how
}

// Mend undoes Cut.
func (n *Network) Mend(from, to string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.cuts, route{from, to})
}

// Host returns the network as the host of that name has it. Cut knows it by the name.
func (n *Network) Host(name string) *Host { return &Host{n, name} }

// A Host is one host on a network.
type Host struct {
	network *Network
	name    string
}

// Listen listens at addr, which is an IP address and a port; 0 means a port that nobody
// else has. The error wraps EADDRINUSE if another listener is there.
func (h *Host) Listen(addr string) (net.Listener, error) {
	at, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Err: err}
	}
	n := h.network
	n.mu.Lock()
	defer n.mu.Unlock()
	if at.Port() == 0 {
		at = netip.AddrPortFrom(at.Addr(), n.nextPortLocked())
	}
	l := &listener{network: n, addr: net.TCPAddrFromAddrPort(at), closed: make(chan struct{}), queue: make(chan net.Conn, backlog)}
	if n.listeners[at.String()] != nil {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Addr: l.addr, Err: os.NewSyscallError("bind", syscall.EADDRINUSE)}
	}
	n.listeners[at.String()] = l
	return l, nil
}

// nextPortLocked returns a port above those that tests name. It returns the same one again
// after 32,768 others.
func (n *Network) nextPortLocked() uint16 {
	n.port = max(n.port+1, 1<<15)
	return n.port
}

// Dial connects to the listener at addr. The error wraps ECONNREFUSED if none is there.
func (h *Host) Dial(ctx context.Context, addr string) (net.Conn, error) {
	n := h.network
	n.mu.Lock()
	l := n.listeners[addr]
	how, cut := n.cuts[route{h.name, addr}]
	port := n.nextPortLocked()
	n.mu.Unlock()
	fail := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	if cut && how == Lost {
		<-ctx.Done()
		return nil, fail(ctx.Err())
	}
	if l == nil || cut {
		return nil, fail(os.NewSyscallError("connect", syscall.ECONNREFUSED))
	}
	near, far := Pipe(&net.TCPAddr{IP: l.addr.IP, Port: int(port)}, l.addr)
	select {
	case l.queue <- far:
		select {
		case <-l.closed: // perhaps after Close has looked for what nobody has accepted
			far.Close()
		default:
		}
		return near, nil
	case <-l.closed:
		return nil, fail(os.NewSyscallError("connect", syscall.ECONNREFUSED))
	case <-ctx.Done():
		return nil, fail(ctx.Err())
	}
}

// backlog is how many connections wait for Accept; a dialer of a further one waits.
const backlog = 128

// A listener hands out the far ends of connections.
type listener struct {
	network *Network
	addr    *net.TCPAddr
	queue   chan net.Conn
	once    sync.Once
	closed  chan struct{}
}

func (l *listener) Addr() net.Addr { return l.addr }

func (l *listener) Accept() (net.Conn, error) {
	select {
	case <-l.closed:
	default:
		select {
		case c := <-l.queue:
			return c, nil
		case <-l.closed:
		}
	}
	return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.addr, Err: net.ErrClosed}
}

// Close closes also the connections that nobody has accepted.
func (l *listener) Close() error {
	err := fmt.Errorf("close of %s: %w", l.addr, net.ErrClosed)
	l.once.Do(func() {
		err = nil
		l.network.mu.Lock()
		delete(l.network.listeners, l.addr.String())
		l.network.mu.Unlock()
		close(l.closed)
	})
	for {
		select {
		case c := <-l.queue:
			c.Close()
		default:
			return err
		}
	}
}
