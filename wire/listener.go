package wire

import (
	"container/list"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// A Listener accepts connections and brings each through the handshake, all at the same time.
// At most 256 are in the handshake; one more pushes out the oldest, so a crowd of
// silent connections cannot keep a peer out.
type Listener struct {
	inner    net.Listener
	creds    *Credentials
	incoming chan *Incoming
	refused  func(net.Addr, error)

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	pending *list.List // of net.Conn, the oldest first; guarded by mu
}

// Listen listens on addr (host:port). Refused is called, if not nil, with every connection that
// fails the handshake, from any goroutine.
func Listen(addr string, c *Credentials, refused func(net.Addr, error)) (*Listener, error) {
	inner, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	if refused == nil {
		refused = func(net.Addr, error) {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	l := &Listener{
		inner: inner, creds: c, refused: refused,
		incoming: make(chan *Incoming),
		ctx:      ctx, cancel: cancel,
		pending: list.New(),
	}
	l.wg.Go(l.loop)
	return l, nil
}

// Addr is the address listened on.
func (l *Listener) Addr() net.Addr { return l.inner.Addr() }

// Accept waits for the next peer that has proved the cookie. It returns Closed after Close.
func (l *Listener) Accept() (*Incoming, error) {
	select {
	case in := <-l.incoming:
		return in, nil
	case <-l.ctx.Done():
		return nil, Closed
	}
}

// Close stops listening, drops the connections in the handshake, and waits.
func (l *Listener) Close() error {
	l.cancel()
	err := l.inner.Close()
	l.mu.Lock()
	for e := l.pending.Front(); e != nil; e = e.Next() {
		e.Value.(net.Conn).Close()
	}
	l.mu.Unlock()
	l.wg.Wait()
	return err
}

func (l *Listener) loop() {
	for {
		conn, err := l.inner.Accept()
		if l.ctx.Err() != nil {
			if err == nil {
				conn.Close()
			}
			return
		}
		if err != nil {
			// Out of file descriptors, most likely: wait until some are free again.
			select {
			case <-time.After(50 * time.Millisecond):
			case <-l.ctx.Done():
			}
			continue
		}
		done := l.admit(conn)
		l.wg.Go(func() { l.handshake(conn, done) })
	}
}

// admit counts conn as pending until done is called.
func (l *Listener) admit(conn net.Conn) (done func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.pending.Len() >= maxPending {
		l.pending.Front().Value.(net.Conn).Close()
		l.pending.Remove(l.pending.Front())
	}
	e := l.pending.PushBack(conn)
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.pending.Remove(e) // does nothing if it was pushed out
	}
}

func (l *Listener) handshake(conn net.Conn, done func()) {
	deadline := time.Now().Add(handshakeTimeout)
	ctx, cancel := context.WithDeadline(l.ctx, deadline)
	defer cancel()
	conn.SetDeadline(deadline)
	in, err := l.creds.receive(ctx, conn)
	if err != nil {
		done()
		conn.Close()
		if l.ctx.Err() == nil {
			if !errors.Is(err, io.EOF) { // it went by itself: somebody checks whether the port is open
				l.creds.Traffic.Refused.Add(1)
			}
			l.refused(conn.RemoteAddr(), err)
		}
		return
	}
	in.done = done
	select {
	case l.incoming <- in:
	case <-ctx.Done():
		done()
		conn.Close()
	}
}
