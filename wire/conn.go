package wire

import (
	"crypto/tls"
	"encoding/binary"
)

// joinConn joins the header and the body of a yamux frame into one write. yamux v0.1.2 writes them
// one after the other, which costs a TLS record and a system call more per frame. Only yamux's
// send loop writes, so no lock is needed.
type joinConn struct {
	*tls.Conn
	buf  []byte
	body int // bytes of body still to come for the header in buf
}

// The header of a yamux frame (hashicorp/yamux spec.md): version, type, flags(2), stream(4), length(4).
const yamuxHeader = 12

func (c *joinConn) Write(p []byte) (int, error) {
	if c.body == 0 {
		if len(p) != yamuxHeader || p[1] != 0 /* data */ {
			return c.Conn.Write(p)
		}
		n := int(binary.BigEndian.Uint32(p[8:]))
		if n == 0 {
			return c.Conn.Write(p)
		}
		c.buf, c.body = append(c.buf[:0], p...), n
		return len(p), nil
	}
	c.buf = append(c.buf, p...)
	c.body -= len(p)
	if c.body > 0 {
		return len(p), nil
	}
	c.body = 0
	if _, err := c.Conn.Write(c.buf); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Close closes the connection under TLS, because TLS would first say goodbye to a peer that may not
// read any more, and wait for up to 5 s.
func (c *joinConn) Close() error { return c.NetConn().Close() }
