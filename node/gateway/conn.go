package gateway

import (
	"net"
	"net/netip"
	"time"
)

const (
	strangerTimeout = 10 * time.Second // to ask again, for a client that had answers about health only, or none
	writeTimeout    = 10 * time.Second // for a client to take a piece of an answer
	maxPiece        = 64 << 10
	shortWait       = 100 * time.Millisecond // as between two requests or packets of a client that goes on
	lingerTimeout   = 500 * time.Millisecond // to send on what is not read, before the connection closes
)

// A wait is what a connection waits for its client to do.
type wait struct {
	limit time.Duration // that the client has
	grace time.Duration // before the connection may be closed for another one
}

var (
	forNothing  = wait{} // this side works
	forFirst    = wait{limit: headerTimeout}
	forStranger = wait{limit: strangerTimeout}
	forNext     = wait{limit: idleTimeout, grace: shortWait}
	forBody     = wait{limit: bodyGrace, grace: shortWait}
	forPlace    = wait{limit: placeTimeout, grace: shortWait} // a place for a large body
	forReader   = wait{limit: writeTimeout, grace: 5 * shortWait}
	forClosing  = wait{limit: lingerTimeout, grace: shortWait}
)

// A conn is a connection of a conns. A nil conn, of a request that another server received,
// is always at work and never spare.
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

// waits notes what the connection waits for from now on, and returns what it was before.
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

// begin notes that a request has come.
func (c *conn) begin() {
	if c == nil {
		return
	}
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	c.begun = true
}

// know notes that the client may use the cluster.
func (c *conn) know() {
	if c == nil {
		return
	}
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	c.known = true
}

// served reports whether the connection can ask for more than health. It cannot if it is
// spare, or was closed for another one when its request came.
func (c *conn) served() bool {
	if c == nil {
		return true
	}
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	return !c.spare && c.of.all[c]
}

// SetReadDeadline shortens the time that the server gives a stranger for the next request.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.of.mu.Lock()
	stranger := c.wait == forStranger
	c.of.mu.Unlock()
	if soon := time.Now().Add(strangerTimeout); stranger && t.After(soon) {
		t = soon
	}
	return c.Conn.SetReadDeadline(t)
}

// Write gives the client writeTimeout for each piece of 64 KiB. An answer that takes long as
// a whole is fine.
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

// CloseWrite is what the server calls before it closes a connection with something unread.
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
