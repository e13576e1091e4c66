package wire

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"time"
)

// joinConn joins the header and the body of a yamux frame into one write. yamux v0.1.2
// writes them separately, which costs one more TLS record and system call per frame. Only
// yamux's send loop writes, so it needs no lock.
type joinConn struct {
	*tls.Conn
	buf   []byte
	body  int // bytes of body still to come for the header in buf
	in    pingGuard
	signs signs
}

// The header of a yamux frame (hashicorp/yamux spec.md): version, type, flags(2),
// stream(4), length(4).
const yamuxHeader = 12

func (c *joinConn) Write(p []byte) (int, error) {
	c.signs.sent.Store(true)
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

// Read is called by yamux's receive loop only.
func (c *joinConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.signs.heard.Store(true)
	}
	if e := c.in.look(p[:n]); e != nil {
		return 0, e
	}
	return n, err
}

// A pingGuard parses incoming frames and counts pings. yamux v0.1.2 starts a goroutine
// for each ping, which lives for up to 2 s if the peer does not read the answer.
type pingGuard struct {
	header [yamuxHeader]byte
	have   int    // bytes of header
	body   uint32 // bytes of body still to come
	pings  int    // in this second
	second int64
}

const maxPings = 1000 // in a second

func (g *pingGuard) look(p []byte) error {
	for len(p) > 0 {
		if g.body > 0 {
			n := min(int64(g.body), int64(len(p)))
			g.body -= uint32(n)
			p = p[n:]
			continue
		}
		n := copy(g.header[g.have:], p)
		p = p[n:]
		if g.have += n; g.have < yamuxHeader {
			return nil
		}
		g.have = 0
		switch g.header[1] {
		case 0: // data
			g.body = binary.BigEndian.Uint32(g.header[8:])
		case 2: // ping
			if g.header[3]&1 == 0 { // no SYN: an answer
				break
			}
			if now := time.Now().Unix(); now != g.second {
				g.second, g.pings = now, 0
			}
			if g.pings++; g.pings > maxPings {
				return errors.New("the peer sends too many pings")
			}
		}
	}
	return nil
}

// Close closes the connection under TLS. Closing TLS itself would send an alert, and wait
// for up to 5 s if the peer does not read.
func (c *joinConn) Close() error { return c.NetConn().Close() }
