package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

// A Listener accepts connections and performs their handshakes concurrently. At most 256
// connections are in the handshake. A further one evicts another: one of the host with
// the most connections, if that has more than 16, and otherwise one without progress
// before one with progress. So a flood of connections cannot keep a peer out.
type Listener struct {
	inner    net.Listener
	creds    *Credentials
	incoming chan *Incoming
	events   Events
	lobby    *lobby

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// Events are what a Listener tells of. It calls the methods from any goroutine, and they
// must not block.
type Events interface {
	// Refused is called for each connection that fails the handshake. The error may quote
	// the peer; see [DescribeRefusal].
	Refused(from net.Addr, err error)

	// Trouble is called when no connection can be accepted, for example for lack of file
	// descriptors. It is called again only after a minute without trouble. The error says
	// what to do. Trouble is also called before Accept returns Closed although Close was
	// not called.
	Trouble(err error)
}

// noEvents are those of a Listener that tells nobody.
type noEvents struct{}

func (noEvents) Refused(net.Addr, error) {}
func (noEvents) Trouble(error)           {}

// Listen listens on addr (host:port). Events may be nil. The caller must call Close.
func Listen(addr string, c *Credentials, events Events) (*Listener, error) {
	inner, err := c.network().Listen(addr)
	if err != nil {
		return nil, err
	}
	return serve(inner, c, events), nil
}

func serve(inner net.Listener, c *Credentials, events Events) *Listener {
	if events == nil {
		events = noEvents{}
	}
	ctx, cancel := context.WithCancel(context.Background())
	l := &Listener{
		inner: inner, creds: c, events: events,
		incoming: make(chan *Incoming), lobby: newLobby(),
		ctx: ctx, cancel: cancel,
	}
	l.wg.Go(l.loop)
	return l
}

// Addr returns the address of the listener.
func (l *Listener) Addr() net.Addr { return l.inner.Addr() }

// Accept waits for the next peer that has proved the cookie. It returns Closed after
// Close, or when the system has closed the socket.
func (l *Listener) Accept() (*Incoming, error) {
	select {
	case in := <-l.incoming:
		return in, nil
	case <-l.ctx.Done():
		return nil, Closed
	}
}

// Close stops listening, closes the connections in the handshake, and waits for its
// goroutines. Sessions and links go on.
func (l *Listener) Close() error {
	l.cancel()
	err := l.inner.Close()
	l.lobby.closeAll()
	l.wg.Wait()
	return err
}

func (l *Listener) loop() {
	var trouble time.Time // time of the last error
	for {
		conn, err := l.inner.Accept()
		if l.ctx.Err() != nil {
			if err == nil {
				conn.Close()
			}
			return
		}
		if errors.Is(err, net.ErrClosed) {
			l.events.Trouble(errors.New("the listening socket is closed; restart the node"))
			l.cancel()
			return
		}
		if err != nil {
			if time.Since(trouble) > troubleEpisode {
				l.events.Trouble(acceptError(err))
			}
			trouble = time.Now()
			l.lobby.makeRoom() // frees a file descriptor
			select {
			case <-time.After(acceptPause):
			case <-l.ctx.Done():
			}
			continue
		}
		n := l.lobby.admit(l.creds.wrap(conn), time.Now().Add(handshakeTimeout))
		l.wg.Go(func() { l.handshake(n) })
	}
}

// acceptError adds to an error of accept what a user can do about it.
func acceptError(err error) error {
	switch {
	case errors.Is(err, syscall.EMFILE):
		return fmt.Errorf("the process has no file descriptors left: raise ulimit -n, or LimitNOFILE of its systemd unit: %w", err)
	case errors.Is(err, syscall.ENFILE):
		return fmt.Errorf("the system has no file descriptors left: raise fs.file-max, or stop what holds them: %w", err)
	case errors.Is(err, syscall.ENOBUFS), errors.Is(err, syscall.ENOMEM):
		return fmt.Errorf("the system has no memory left for connections: free some: %w", err)
	}
	return fmt.Errorf("look at the network and the firewall of this machine: %w", err)
}

func (l *Listener) handshake(n *newcomer) {
	ctx, cancel := context.WithDeadline(l.ctx, n.deadline)
	defer cancel()
	in, err := l.creds.receive(ctx, n)
	if err != nil {
		if !l.lobby.remove(n) {
			err = errPutOut
		}
		n.Close()
		if l.ctx.Err() == nil {
			if !errors.Is(err, io.EOF) { // EOF is a port check, not a refusal
				l.creds.Traffic.Refused.Add(1)
			}
			l.events.Refused(n.RemoteAddr(), err)
		}
		return
	}
	select {
	case l.incoming <- in:
	case <-ctx.Done():
		l.lobby.remove(n)
		n.Close()
	}
}
