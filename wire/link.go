package wire

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"

	"github.com/hashicorp/yamux"
)

// A Link is an authenticated connection to a peer that carries streams of bytes, for what has to be apart
// from the calls of a [Session]: behind a batch of large answers, gossip would be so late that nodes are
// taken for dead. A peer that shows no sign of life for 3 s ends it. All methods may be called from any number of
// goroutines.
type Link struct {
	mux  *yamux.Session
	peer Hello
}

// DialLink is [Dial] for a link. The hello must have RoleLink.
func DialLink(ctx context.Context, addr string, c *Credentials, hello Hello) (*Link, error) {
	conn, theirs, _, err := c.dial(ctx, addr, hello)
	if err != nil {
		return nil, err
	}
	mux, err := multiplex(conn, true)
	if err != nil {
		return nil, err
	}
	return &Link{mux, theirs}, nil
}

// AcceptLink is [Incoming.Accept] for a peer with RoleLink.
func (in *Incoming) AcceptLink(hello Hello) (*Link, error) {
	if err := in.welcome(hello); err != nil {
		return nil, err
	}
	mux, err := multiplex(in.conn, false)
	if err != nil {
		return nil, err
	}
	return &Link{mux, in.Hello}, nil
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
func (l *Link) Close() error { return l.mux.Close() }

// multiplex starts yamux on an authenticated connection, which it closes at the end.
func multiplex(conn *tls.Conn, dialed bool) (*yamux.Session, error) {
	config := yamux.DefaultConfig()
	config.EnableKeepAlive = true
	config.KeepAliveInterval = keepAliveInterval
	config.ConnectionWriteTimeout = giveUp // of pings too
	config.StreamOpenTimeout = giveUp
	config.StreamCloseTimeout = giveUp
	config.LogOutput, config.Logger = nil, log.New(io.Discard, "", 0)
	start := yamux.Server
	if dialed {
		start = yamux.Client
	}
	mux, err := start(&joinConn{Conn: conn}, config)
	if err != nil {
		conn.Close()
	}
	return mux, err
}
