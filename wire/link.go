package wire

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
)

// A Link is an authenticated connection to a peer that carries streams of bytes apart
// from the calls of a [Session]. Gossip uses it, because behind a batch of large answers
// it would be so late that live nodes look dead. The link ends if the peer shows no sign
// of life for 4 s while data is sent to it, or for 18 s while none is. All methods may be
// called from any number of goroutines.
type Link struct {
	mux  *mux
	peer Hello
	wg   sync.WaitGroup
}

// DialLink is [Dial] for a link. The hello must have RoleLink or RoleVoter.
func DialLink(ctx context.Context, addr string, c *Credentials, hello Hello) (*Link, error) {
	conn, theirs, _, err := c.dial(ctx, addr, hello)
	if err != nil {
		return nil, err
	}
	return newLink(conn, theirs, true)
}

// AcceptLink is [Incoming.Accept] for a peer with RoleLink or RoleVoter.
func (in *Incoming) AcceptLink(hello Hello) (*Link, error) {
	if err := in.welcome(hello); err != nil {
		return nil, err
	}
	return newLink(in.conn, in.Hello, false)
}

func newLink(conn *tls.Conn, peer Hello, dialed bool) (*Link, error) {
	mux, signs, err := multiplex(conn, dialed)
	if err != nil {
		return nil, err
	}
	l := &Link{mux: mux, peer: peer}
	l.wg.Go(func() {
		if signs.watch(mux.Session, func() bool { return false }) != nil {
			mux.Close()
		}
	})
	return l, nil
}

// Peer returns the peer's hello.
func (l *Link) Peer() Hello { return l.peer }

// Open opens a stream. It does not wait until the peer accepts it.
func (l *Link) Open() (net.Conn, error) {
	stream, err := l.mux.OpenStream()
	if err != nil {
		return nil, err
	}
	return stream, nil
}

// Accept waits for a stream that the peer opens. The link ends if the peer has more than
// 256 streams open.
func (l *Link) Accept() (net.Conn, error) {
	stream, err := l.mux.AcceptStream()
	if err == nil && l.mux.NumStreams() > maxStreams {
		l.mux.Close()
		err = fmt.Errorf("the peer has more than %d streams open", maxStreams)
	}
	if err != nil {
		return nil, err
	}
	return stream, nil
}

// Done returns a channel that is closed when the link has ended.
func (l *Link) Done() <-chan struct{} { return l.mux.CloseChan() }

// Close ends the link. It does not wait for the peer.
func (l *Link) Close() error {
	err := l.mux.Close()
	l.wg.Wait()
	return err
}
