package quorum

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// Streams carry raft's messages between voters. Each begins with the identities of both
// ends, so that raft never talks to a node that has the name of a voter and not its disk. It
// implements [raft.StreamLayer].
type streams struct {
	self raft.ServerID
	dial func(ctx context.Context, name string) (net.Conn, error)

	incoming chan net.Conn
	closed   chan struct{}
	once     sync.Once
}

func newStreams(self raft.ServerID, dial func(context.Context, string) (net.Conn, error)) *streams {
	return &streams{self: self, dial: dial, incoming: make(chan net.Conn), closed: make(chan struct{})}
}

// The first bytes of a stream are the identities of both ends, each after its length in two
// bytes; the answer is one byte.
const (
	streamTaken   = 1
	streamRefused = 2
	maxServer     = 1024 // bytes; a name has at most half of it
	greetTime     = 5 * time.Second
)

// Dial implements [raft.StreamLayer].
func (s *streams) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	name := nameOf(raft.ServerID(address))
	conn, err := s.dial(ctx, name)
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	if err := s.greet(conn, string(address), deadline); err != nil {
		conn.Close()
		return nil, fmt.Errorf("voter %s: %w", name, err)
	}
	return conn, nil
}

func (s *streams) greet(conn net.Conn, to string, deadline time.Time) error {
	conn.SetDeadline(deadline)
	defer conn.SetDeadline(time.Time{})
	var hello []byte
	for _, id := range []string{string(s.self), to} {
		hello = append(binary.BigEndian.AppendUint16(hello, uint16(len(id))), id...)
	}
	if _, err := conn.Write(hello); err != nil {
		return err
	}
	var answer [1]byte
	if _, err := io.ReadFull(conn, answer[:]); err != nil {
		return err
	}
	if answer[0] != streamTaken {
		return errors.New("the node has lost the disk that made it this voter, or is no voter any more")
	}
	return nil
}

// serve takes a stream that another node has opened. It reports whether that is a voter who
// means this one.
func (s *streams) serve(conn net.Conn, name string, isVoter func(raft.ServerID) bool) error {
	from, to, err := readGreeting(conn)
	if err == nil && (to != s.self || nameOf(from) != name || !isVoter(from)) {
		conn.SetWriteDeadline(time.Now().Add(greetTime))
		_, _ = conn.Write([]byte{streamRefused}) // the peer has a deadline
		err = fmt.Errorf("%s, as %s, asks for the voter %s, and this is %s", name, from, to, s.self)
	}
	if err == nil {
		_, err = conn.Write([]byte{streamTaken})
	}
	if err != nil {
		conn.Close()
		return err
	}
	conn.SetDeadline(time.Time{})
	select {
	case s.incoming <- conn:
		return nil
	case <-s.closed:
		conn.Close()
		return net.ErrClosed
	}
}

func readGreeting(conn net.Conn) (from, to raft.ServerID, err error) {
	conn.SetDeadline(time.Now().Add(greetTime))
	for _, id := range []*raft.ServerID{&from, &to} {
		var size uint16
		if err := binary.Read(conn, binary.BigEndian, &size); err != nil {
			return "", "", err
		}
		if size > maxServer {
			return "", "", fmt.Errorf("the identity of a voter with %d bytes, limit %d", size, maxServer)
		}
		b := make([]byte, size)
		if _, err := io.ReadFull(conn, b); err != nil {
			return "", "", err
		}
		*id = raft.ServerID(b)
	}
	return from, to, nil
}

// Accept implements [net.Listener].
func (s *streams) Accept() (net.Conn, error) {
	select {
	case conn := <-s.incoming:
		return conn, nil
	case <-s.closed:
		return nil, net.ErrClosed
	}
}

// Close implements [net.Listener].
func (s *streams) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}

// Addr implements [net.Listener].
func (s *streams) Addr() net.Addr { return serverAddr(s.self) }

type serverAddr string

func (serverAddr) Network() string  { return "voter" }
func (a serverAddr) String() string { return string(a) }
