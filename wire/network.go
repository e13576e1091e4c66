package wire

import (
	"context"
	"errors"
	"net"

	"github.com/distproc/distproc/wire/text"
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

// LookupError describes why name servers did not tell an address. It says the same each
// time, where the text of err may have a port that changes.
func LookupError(err error) string {
	e, ok := errors.AsType[*net.DNSError](err)
	switch {
	case ok && e.IsNotFound:
		return "no such host"
	case ok && e.IsTimeout, errors.Is(err, context.DeadlineExceeded):
		return "the name server does not answer"
	case ok && e.UnwrapErr != nil, ok && e.Server != "" && e.IsTemporary:
		return "the name server cannot be asked, or has no answer now"
	case ok:
		return text.Line(e.Err, maxLogText)
	}
	return text.Line(err.Error(), maxLogText)
}
