package wire

import (
	"net"
	"sync/atomic"
)

// Traffic counts the bytes of all connections, including those that have ended. It may be
// read at any time.
type Traffic struct {
	In, Out atomic.Uint64 // bytes in TCP, including those of TLS and the handshake
	Refused atomic.Uint64 // connections refused by the handshake or [Incoming.Refuse]; not those that peers closed
}

// counted returns a connection whose bytes t counts, with one addition per system call.
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
