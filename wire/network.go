package wire

import (
	"context"
	"net"
)

// A Network makes the connections on which sessions and links run. Its errors should be
// those of package net. Tests have one in memory.
type Network interface {
	Listen(addr string) (net.Listener, error) // addr is host:port
	Dial(ctx context.Context, addr string) (net.Conn, error)
}

// tcp is the network of the system.
type tcp struct{}

func (tcp) Listen(addr string) (net.Listener, error) { return net.Listen("tcp", addr) }

func (tcp) Dial(ctx context.Context, addr string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", addr)
}

func (c *Credentials) network() Network {
	if c.Network == nil {
		return tcp{}
	}
	return c.Network
}
