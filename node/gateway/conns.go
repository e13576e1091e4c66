package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/distproc/distproc/wire"
)

const (
	maxConns   = 1024 // connections, spare ones included
	spareConns = 16   // of these, for health checks while all others are busy
	minPlaces  = 16   // besides the spare ones, even if few files may be open

	minPause = 5 * time.Millisecond // after a failed accept
	maxPause = time.Second
	recovery = 10 * time.Second // without failed accepts, before the next one is logged
)

// A conns is a listener that bounds the connections of a server. A connection above the
// bound replaces one that waits for its client. If all connections are busy, the new one
// is spare and may ask for health only.
type conns struct {
	net.Listener
	places int // besides the spare ones
	log    *slog.Logger
	failed time.Time // last failed accept; only Accept uses it
	close  func() error
	closed chan struct{}
	over   chan struct{} // closed when Accept has failed after Close, so no other connection comes
	end    func()        // closes over
	freed  chan struct{} // has an element if a place may have become free, or a first request has come

	mu    sync.Mutex // guards what follows, and the same of each conn
	all   map[*conn]bool
	from  map[netip.Prefix]int // connections by address
	spare int                  // spare connections
}

func newConns(l net.Listener, places int, log *slog.Logger) *conns {
	closed, over := make(chan struct{}), make(chan struct{})
	return &conns{
		Listener: l, places: places, log: log, closed: closed, over: over, freed: make(chan struct{}, 1),
		end:   sync.OnceFunc(func() { close(over) }),
		close: sync.OnceValue(func() error { close(closed); return l.Close() }),
		all:   make(map[*conn]bool), from: make(map[netip.Prefix]int),
	}
}

// placesFor returns the number of places in a process that may open so many files. The
// gateway uses at most half of the files.
func placesFor(files int) int {
	return max(minPlaces, min(maxConns, files/2)-spareConns)
}

// Accept returns the next connection once there is a place for it. If all spare
// connections are busy, that takes a moment.
func (l *conns) Accept() (net.Conn, error) {
	nc, err := l.accept()
	if err != nil {
		select {
		case <-l.closed:
			l.end()
		default: // the server may try again
		}
		return nil, err
	}
	for {
		if c := l.admit(nc); c != nil {
			return c, nil
		}
		select {
		case <-l.freed:
		case <-time.After(shortWait): // another connection may have waited long enough
		case <-l.closed:
			nc.Close()
			l.end()
			return nil, net.ErrClosed
		}
	}
}

// accept returns the next connection. It fails if the listener fails, but it waits while
// the system is short of descriptors or memory.
func (l *conns) accept() (net.Conn, error) {
	for pause := minPause; ; pause = min(2*pause, maxPause) {
		nc, err := l.Listener.Accept()
		short := isOneOf(err, syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM)
		network := isOneOf(err, syscall.EPROTO, syscall.EPERM, syscall.ENETDOWN, syscall.ENETUNREACH, syscall.EHOSTDOWN, syscall.EHOSTUNREACH)
		if !short && !network {
			return nc, err
		}
		if short {
			l.makeRoom()
		}
		if time.Since(l.failed) > recovery {
			l.log.Warn("HTTP connections wait because the system cannot open them; "+
				"if too many files are open, raise their limit (ulimit -n)", "err", err)
		}
		l.failed = time.Now()
		select {
		case <-time.After(pause):
		case <-l.closed:
			return nil, net.ErrClosed
		}
	}
}

func isOneOf(err error, targets ...error) bool {
	return slices.ContainsFunc(targets, func(target error) bool { return errors.Is(err, target) })
}

// Close closes the listener. The server closes the connections.
func (l *conns) Close() error { return l.close() }

// quiesce accepts the connections that are pending, closes the listener, and waits for
// the first request of each connection. It takes at most timeout. Otherwise the system
// would reset pending connections when the listener closes, and the server would drop
// first requests when it shuts down.
func (l *conns) quiesce(timeout time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	for pending(l.Listener) && ctx.Err() == nil {
		runtime.Gosched()
	}
	_ = l.Close() // Shutdown closes it again, and returns its error
	select {
	case <-l.over: // the last connection that was accepted is known, and Accept takes nothing from freed
	case <-ctx.Done():
	}
	for l.anyNew() && ctx.Err() == nil {
		select {
		case <-l.freed:
		case <-ctx.Done():
		}
	}
}

// anyNew reports whether some connection has yet to make its first request.
func (l *conns) anyNew() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.all {
		if !c.begun {
			return true
		}
	}
	return false
}

// admit gives a connection a place. It returns nil if there is none.
func (l *conns) admit(nc net.Conn) *conn {
	c := &conn{Conn: nc, of: l, from: wire.HostOf(nc.RemoteAddr()), wait: forFirst, since: time.Now()}
	l.mu.Lock()
	var out *conn
	if len(l.all)-l.spare >= l.places {
		out = l.idlestLocked(false, 0)
		c.spare = out == nil
	}
	if c.spare && l.spare >= spareConns {
		if out = l.idlestLocked(true, 0); out == nil {
			l.mu.Unlock()
			return nil
		}
	}
	l.removeLocked(out)
	l.all[c] = true
	l.from[c.from]++
	if c.spare {
		l.spare++
	}
	l.mu.Unlock()
	if out != nil {
		out.Conn.Close()
	}
	return c
}

// makeRoom closes a waiting connection to free its descriptor.
func (l *conns) makeRoom() {
	l.mu.Lock()
	out := l.idlestLocked(false, shortWait)
	l.removeLocked(out)
	l.mu.Unlock()
	if out != nil {
		out.Conn.Close()
	}
}

// idlestLocked returns the connection that has used up the largest part of its waiting
// time, multiplied by the number of connections from its address. So the address with the
// most connections loses one first, and a single address, such as a proxy, can have all
// places if no other address needs them. It returns nil if no connection has waited long
// enough.
func (l *conns) idlestLocked(spare bool, enough time.Duration) (idlest *conn) {
	now, most := time.Now(), -1.0
	for c := range l.all {
		waited := now.Sub(c.since)
		if c.spare != spare || c.wait == forNothing || waited < max(enough, c.wait.grace) {
			continue
		}
		if part := float64(waited) / float64(c.wait.limit) * float64(l.from[c.from]); part > most {
			idlest, most = c, part
		}
	}
	return idlest
}

func (l *conns) removeLocked(c *conn) {
	if c == nil || !l.all[c] {
		return
	}
	delete(l.all, c)
	if l.from[c.from]--; l.from[c.from] == 0 {
		delete(l.from, c.from)
	}
	if c.spare {
		l.spare--
	}
	l.wake()
}

// wake has Accept or quiesce look again.
func (l *conns) wake() {
	select {
	case l.freed <- struct{}{}:
	default:
	}
}

// state is the server's ConnState.
func (l *conns) state(nc net.Conn, s http.ConnState) {
	c := nc.(*conn)
	switch s {
	case http.StateActive:
		c.waits(forNothing)
	case http.StateIdle:
		c.waits(forNext)
	}
}

// connKey is the context key of a request's connection.
type connKey struct{}

func withConn(ctx context.Context, nc net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, nc)
}
