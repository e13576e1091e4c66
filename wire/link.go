package wire

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"sync"

	"github.com/hashicorp/yamux"
)

// A Link is an authenticated connection to a peer that carries streams of bytes, for what has to be apart
// from the calls of a [Session]: behind a batch of large answers, gossip would be so late that nodes are
// taken for dead. A peer that shows no sign of life for 4 s while it is sent something ends it, and so does one that is sent
// nothing, after 18 s. All methods may be called from any number of goroutines.
type Link struct {
	mux  *yamux.Session
	peer Hello
	wg   sync.WaitGroup
}

// DialLink is [Dial] for a link. The hello must have RoleLink.
func DialLink(ctx context.Context, addr string, c *Credentials, hello Hello) (*Link, error) {
	conn, theirs, _, err := c.dial(ctx, addr, hello)
	if err != nil {
		return nil, err
	}
	return newLink(conn, theirs, true)
}

// AcceptLink is [Incoming.Accept] for a peer with RoleLink.
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
		if signs.watch(mux, func() bool { return false }) != nil {
			mux.Close()
		}
	})
	return l, nil
}

// Peer is what the other side said of itself.
func (l *Link) Peer() Hello { return l.peer }

// Open opens a stream. The peer need not have accepted it yet.
func (l *Link) Open() (net.Conn, error) { return l.mux.OpenStream() }

// Accept waits for a stream that the peer opens. A peer that has too many open ends the link.
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

// Done is closed when the link has ended.
func (l *Link) Done() <-chan struct{} { return l.mux.CloseChan() }

// Close ends the link. It does not wait for a stuck peer.
func (l *Link) Close() error {
	err := l.mux.Close()
	l.wg.Wait()
	return err
}

// multiplex starts yamux on an authenticated connection, which it closes at the end. Its user watches the signs of life.
func multiplex(conn *tls.Conn, dialed bool) (*yamux.Session, *signs, error) {
	config := yamux.DefaultConfig()
	config.EnableKeepAlive = false
	config.ConnectionWriteTimeout = giveUp // of pings too
	config.StreamOpenTimeout = giveUp
	config.StreamCloseTimeout = giveUp
	config.LogOutput, config.Logger = nil, log.New(io.Discard, "", 0)
	start := yamux.Server
	if dialed {
		start = yamux.Client
	}
	joined := &joinConn{Conn: conn}
	mux, err := start(joined, config)
	if err != nil {
		conn.Close()
	}
	return mux, &joined.signs, err
}
