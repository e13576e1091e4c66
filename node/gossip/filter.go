package gossip

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"iter"
	"net"

	"github.com/hashicorp/go-msgpack/v2/codec"
)

// Memberlist and serf accept more from peers than members ever send: compressed messages,
// which can unpack to 40 MB and contain further ones, queries, keys, events, relayed
// messages, and states that allocate room for a million nodes before the first one
// arrives. Peers know the cookie, but a compromised peer should do as little harm as
// possible. So this file rejects all other messages.

// The types of memberlist's messages (net.go), and of serf's messages within a user
// message (messages.go). Their numbers are part of the protocols.
const (
	pingMsg         = 0
	indirectPingMsg = 1
	ackMsg          = 2
	suspectMsg      = 3
	aliveMsg        = 4
	deadMsg         = 5
	pushPullMsg     = 6
	compoundMsg     = 7
	userMsg         = 8
	nackMsg         = 11
	crcMsg          = 12
	errMsg          = 13

	serfLeave = 0
	serfJoin  = 1
)

// wanted reports whether a packet has only messages that members send.
func wanted(b []byte) bool {
	for m := range messages(b) {
		if !wantedMessage(m) {
			return false
		}
	}
	return true
}

// messages yields the messages of a packet, and nil if it is malformed.
func messages(b []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		if len(b) > 5 && b[0] == crcMsg {
			b = b[5:]
		}
		if len(b) < 2 || b[0] != compoundMsg {
			yield(b)
			return
		}
		n := 2 * int(b[1])
		if len(b) < 2+n {
			yield(nil)
			return
		}
		sizes, rest := b[2:2+n], b[2+n:]
		for ; len(sizes) > 0; sizes = sizes[2:] {
			size := int(binary.BigEndian.Uint16(sizes))
			if size > len(rest) {
				yield(nil)
				return
			}
			if !yield(rest[:size]) {
				return
			}
			rest = rest[size:]
		}
	}
}

func wantedMessage(b []byte) bool {
	if len(b) < 2 || len(b) > packetSize {
		return false
	}
	switch b[0] {
	case pingMsg, indirectPingMsg, ackMsg, nackMsg, suspectMsg, aliveMsg, deadMsg:
		return true
	case userMsg:
		return b[1] == serfLeave || b[1] == serfJoin
	}
	return false
}

const (
	maxStateHead  = 256              // bytes of its header
	maxStateNodes = 2 * maxTold      // twice, because memberlist and the table forget at different times
	maxStateUser  = 2 << 20          // bytes that serf adds: a name and a number for each member
	maxState      = 4 * maxStateUser // bytes in total
)

// A stateConn is a stream on which two memberlists exchange their states. It checks the
// header before memberlist reads it.
type stateConn struct {
	net.Conn
	count *counters
	rest  io.Reader // bytes for memberlist; nil until the header has been read
}

func newStateConn(conn net.Conn, count *counters) *stateConn {
	return &stateConn{Conn: conn, count: count}
}

func (c *stateConn) Read(b []byte) (int, error) {
	if c.rest == nil {
		var head bytes.Buffer
		size, err := checkState(io.TeeReader(io.LimitReader(c.Conn, maxStateHead), &head))
		if err != nil {
			return 0, err
		}
		c.rest = io.MultiReader(&head, io.LimitReader(c.Conn, size))
	}
	n, err := c.rest.Read(b)
	c.count.bytesReceived.Add(uint64(n))
	return n, err
}

func (c *stateConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.count.bytesSent.Add(uint64(n))
	return n, err
}

// checkState reads the start of a state, or of an error reply, and returns how many more
// bytes may follow.
func checkState(r io.Reader) (size int64, err error) {
	var kind [1]byte
	if _, err := io.ReadFull(r, kind[:]); err != nil {
		return 0, err
	}
	switch kind[0] {
	case errMsg:
		return maxPacket, nil
	case pushPullMsg:
	default:
		return 0, fmt.Errorf("a message of kind %d where states are compared", kind[0])
	}
	var head struct{ Nodes, UserStateLen int } // memberlist's pushPullHeader
	if err := codec.NewDecoder(r, &codec.MsgpackHandle{}).Decode(&head); err != nil {
		return 0, fmt.Errorf("read the header of a state: %w", err)
	}
	if head.Nodes < 0 || head.Nodes > maxStateNodes || head.UserStateLen < 0 || head.UserStateLen > maxStateUser {
		return 0, fmt.Errorf("a state of %d nodes and %d bytes of serf's", head.Nodes, head.UserStateLen)
	}
	return maxState, nil
}
