package wire

import (
	"crypto/tls"
	"io"
	"log"
	"sync"
	"time"

	"github.com/hashicorp/yamux"
)

// A mux carries streams on one connection. It is a yamux session that ends the reads of
// its streams before it closes. In yamux v0.1.2, a Read that is blocked when its session
// shuts down spins until the session has closed the stream, which takes long if many
// reads do so.
type mux struct {
	*yamux.Session

	mu      sync.Mutex
	streams map[*stream]bool // that are open; guarded by mu
	ended   bool             // guarded by mu
}

// multiplex starts a mux on an authenticated connection, which the mux closes at the end.
// The caller must watch the signs of life.
func multiplex(conn *tls.Conn, dialed bool) (*mux, *signs, error) {
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
	session, err := start(joined, config)
	if err != nil {
		conn.Close()
		return nil, nil, err
	}
	return &mux{Session: session, streams: map[*stream]bool{}}, &joined.signs, nil
}

// OpenStream opens a stream. It does not wait until the peer accepts it.
func (m *mux) OpenStream() (*stream, error) { return m.add(m.Session.OpenStream()) }

// AcceptStream waits for a stream that the peer opens.
func (m *mux) AcceptStream() (*stream, error) { return m.add(m.Session.AcceptStream()) }

func (m *mux) add(raw *yamux.Stream, err error) (*stream, error) {
	if err != nil {
		return nil, err
	}
	s := &stream{raw, m}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ended {
		raw.Close()
		return nil, yamux.ErrSessionShutdown
	}
	m.streams[s] = true
	return s, nil
}

// Close ends all streams and the connection. It does not wait for the peer.
func (m *mux) Close() error {
	m.mu.Lock()
	m.ended = true
	for s := range m.streams {
		s.Stream.SetReadDeadline(time.Unix(1, 0))
	}
	m.mu.Unlock()
	return m.Session.Close()
}

// A stream is a stream of a mux.
type stream struct {
	*yamux.Stream
	of *mux
}

func (s *stream) Close() error {
	s.of.mu.Lock()
	delete(s.of.streams, s)
	s.of.mu.Unlock()
	return s.Stream.Close()
}

// SetReadDeadline does nothing after the mux has ended the reads of its streams.
func (s *stream) SetReadDeadline(t time.Time) error {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	if s.of.ended {
		return nil
	}
	return s.Stream.SetReadDeadline(t)
}

// SetDeadline sets both deadlines.
func (s *stream) SetDeadline(t time.Time) error {
	if err := s.SetReadDeadline(t); err != nil {
		return err
	}
	return s.SetWriteDeadline(t)
}
