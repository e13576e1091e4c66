package gateway

import (
	"net"
	"net/netip"
	"time"
)

const (
	strangerTimeout = 10 * time.Second // for the next request of a client that has asked for nothing but health
	writeTimeout    = 10 * time.Second // for a client to read 64 KiB of an answer
	maxPiece        = 64 << 10
	shortWait       = 100 * time.Millisecond // normal between two requests or packets of a busy client
	lingerTimeout   = 500 * time.Millisecond // for a client to finish sending before its connection closes
)

// A wait is something that a connection waits for its client to do.
type wait struct {
	limit time.Duration // for the client
	grace time.Duration // before the connection may be closed for another one
}

var (
	forNothing  = wait{} // the gateway works
	forFirst    = wait{limit: headerTimeout}
	forStranger = wait{limit: strangerTimeout}
	forNext     = wait{limit: idleTimeout, grace: shortWait}
	forBody     = wait{limit: bodyGrace, grace: shortWait}
	forPlace    = wait{limit: placeTimeout, grace: shortWait} // a place for a large body
	forReader   = wait{limit: writeTimeout, grace: 5 * shortWait}
	forClosing  = wait{limit: lingerTimeout, grace: shortWait}
)

// A conn is a connection of a conns. A request of another server has a nil conn, which is
// always busy and never spare.
type conn struct {
	net.Conn
	of    *conns
	from  netip.Prefix
	spare bool

	// of.mu guards:
	begun bool // a request has come
	known bool // the client may use the cluster
	wait  wait
	since time.Time // that it waits
}

// address returns the address of the client.
func (c *conn) address() netip.Prefix {
	if c == nil {
		return netip.Prefix{}
	}
	return c.from
}

// waits records what the connection waits for from now on. It returns the previous wait.
func (c *conn) waits(w wait) (before wait) {
	if c == nil {
		return forNothing
	}
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	if w == forNext && !c.known {
		w = forStranger
	}
	before, c.wait, c.since = c.wait, w, time.Now()
	return before
}

// begin records that a request has come.
func (c *conn) begin() {
	if c == nil {
		return
	}
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	if !c.begun {
		c.begun = true
		c.of.wake()
	}
}

// know records that the client may use the cluster.
func (c *conn) know() {
	if c == nil {
		return
	}
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	c.known = true
}

// served reports whether the connection may ask for more than health. It may not if it is
// spare, or if it was closed in favor of another one.
func (c *conn) served() bool {
	if c == nil {
		return true
	}
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	return !c.spare && c.of.all[c]
}

// SetReadDeadline shortens the server's deadline for the next request if the client is a
// stranger.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.of.mu.Lock()
	stranger := c.wait == forStranger
	c.of.mu.Unlock()
	if soon := time.Now().Add(strangerTimeout); stranger && t.After(soon) {
		t = soon
	}
	return c.Conn.SetReadDeadline(t)
}

// Write gives the client writeTimeout for each 64 KiB. An answer as a whole may take
// longer.
func (c *conn) Write(b []byte) (n int, err error) {
	before := c.waits(forReader)
	defer func() { c.waits(before) }()
	for {
		piece := b[n:min(len(b), n+maxPiece)]
		if err = c.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
			return n, err
		}
		m, err := c.Conn.Write(piece)
		if n += m; err != nil || n == len(b) {
			return n, err
		}
		c.waits(forReader)
	}
}

// CloseWrite is called by the server before it closes a connection with unread data.
func (c *conn) CloseWrite() error {
	c.waits(forClosing)
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Close closes the connection and frees its place.
func (c *conn) Close() error {
	c.of.mu.Lock()
	c.of.removeLocked(c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}
