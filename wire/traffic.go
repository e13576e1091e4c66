package wire

import (
	"net"
	"sync/atomic"
)

// Traffic counts since the start what crosses connections, those that have ended included. It may be read at any time.
type Traffic struct {
	In, Out atomic.Uint64 // bytes as TCP carries them, so with TLS and the handshake
	Refused atomic.Uint64 // connections turned away, by the handshake or [Incoming.Refuse]; not those that went by themselves
}

// counted returns a connection whose bytes t counts: one addition for each system call.
func (t *Traffic) counted(conn net.Conn) net.Conn { return countedConn{conn, t} }

type countedConn struct {
	net.Conn
	traffic *Traffic
}

func (c countedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.traffic.In.Add(uint64(n))
	return n, err
}

func (c countedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.traffic.Out.Add(uint64(n))
	return n, err
}
