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
	"slices"
	"sync"
	"syscall"
)

// A Network connects the hosts of a test. Its methods, and those of all that it returns,
// may be called from any number of goroutines.
type Network struct {
	mu        sync.Mutex
	listeners map[string]*listener // by address; guarded by mu
	cuts      map[route]How        // guarded by mu
	held      map[way]bool         // guarded by mu
	flows     map[way][]*flow      // those that are open; guarded by mu
	port      uint16               // the last that was chosen; guarded by mu
}

// A route is from a host, by its name, to an address.
type route struct{ from, to string }

// A way is from a host to another one, by their names.
type way struct{ from, to string }

// How says what becomes of a connection that is asked for on a route that is cut.
type How int

const (
	Refused How = iota // it fails at once
	Lost               // nothing answers, so it fails when its context ends
)

// New returns a network without listeners.
func New() *Network {
	return &Network{listeners: map[string]*listener{}, cuts: map[route]How{}, held: map[way]bool{}, flows: map[way][]*flow{}}
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

// Hold has nothing arrive that one host sends to another, until Release: not on the
// connections that there are either, and so no new ones are made between the two.
func (n *Network) Hold(from, to string) { n.hold(way{from, to}, true) }

// Release undoes Hold. What was held arrives.
func (n *Network) Release(from, to string) { n.hold(way{from, to}, false) }

func (n *Network) hold(w way, held bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.held[w] = held; !held {
		delete(n.held, w)
	}
	for _, f := range n.openLocked(w) {
		f.hold(held)
	}
}

// openLocked returns the open flows of a way.
func (n *Network) openLocked(w way) []*flow {
	n.flows[w] = slices.DeleteFunc(n.flows[w], (*flow).over)
	if len(n.flows[w]) == 0 {
		delete(n.flows, w)
	}
	return n.flows[w]
}

// connectLocked returns the two ends of a connection of one host to another.
func (n *Network) connectLocked(a, b way, near, far net.Addr) (atNear, atFar net.Conn) {
	atNear, atFar = Pipe(near, far)
	for w, f := range map[way]*flow{a: atNear.(*conn).out, b: atNear.(*conn).in} {
		n.flows[w] = append(n.openLocked(w), f)
	}
	return atNear, atFar
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
	l := &listener{network: n, host: h.name, addr: net.TCPAddrFromAddrPort(at), closed: make(chan struct{}), queue: make(chan net.Conn, backlog)}
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
	var near, far net.Conn
	if l != nil && !cut {
		there, back := way{h.name, l.host}, way{l.host, h.name}
		if n.held[there] || n.held[back] {
			how, cut = Lost, true
		} else {
			near, far = n.connectLocked(there, back, &net.TCPAddr{IP: l.addr.IP, Port: int(port)}, l.addr)
		}
	}
	n.mu.Unlock()
	fail := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	if cut && how == Lost {
		<-ctx.Done()
		return nil, fail(ctx.Err())
	}
	if l == nil || cut {
		return nil, fail(os.NewSyscallError("connect", syscall.ECONNREFUSED))
	}
	select {
	case l.queue <- far:
		select {
		case <-l.closed: // perhaps after Close has looked for what nobody has accepted
			far.Close()
		default:
		}
		return near, nil
	case <-l.closed:
		near.Close()
		return nil, fail(os.NewSyscallError("connect", syscall.ECONNREFUSED))
	case <-ctx.Done():
		near.Close()
		return nil, fail(ctx.Err())
	}
}

// backlog is how many connections wait for Accept; a dialer of a further one waits.
const backlog = 128

// A listener hands out the far ends of connections.
type listener struct {
	network *Network
	host    string
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
