package wire

import (
	"crypto/tls"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// A lobby holds the connections in the handshake. It has room for maxPending of them. A
// further one evicts another; see victim.
type lobby struct {
	mu    sync.Mutex
	list  []*newcomer            // by last progress, oldest first; guarded by mu
	hosts map[netip.Prefix]*host // hosts of newcomers without a proof; guarded by mu
}

func newLobby() *lobby { return &lobby{hosts: map[netip.Prefix]*host{}} }

// A host counts the newcomers from one host that have not proved the cookie.
type host struct {
	addr     netip.Prefix
	unproved int // guarded by lobby.mu
}

// A stage is the progress of a newcomer. Each stage costs the peer more work than the one
// before.
type stage uint8

const (
	silent  stage = iota // it has not sent a complete ClientHello yet
	greeted              // it has sent one; an honest peer's proof follows one round trip later
	proved               // it knows the cookie
)

// A newcomer is a connection in the handshake. It fails if the peer sends more bytes than
// a handshake needs, so that a peer without the cookie cannot use much memory.
type newcomer struct {
	net.Conn
	lobby    *lobby
	deadline time.Time // of the handshake
	host     *host
	stage    stage // guarded by lobby.mu

	// Used by the reading goroutine only.
	trusted bool // the peer has proved the cookie
	left    int  // bytes that it may still send without the proof
}

// admit returns conn as a newcomer. The caller must remove it.
func (l *lobby) admit(conn net.Conn, deadline time.Time) *newcomer {
	n := &newcomer{Conn: conn, lobby: l, deadline: deadline, left: maxClientHello}
	conn.SetDeadline(deadline)
	conn.SetReadDeadline(deadline.Add(helloTimeout - handshakeTimeout))
	from := HostOf(conn.RemoteAddr())
	l.mu.Lock()
	defer l.mu.Unlock()
	n.host = l.hosts[from]
	if n.host == nil {
		n.host = &host{addr: from}
		l.hosts[from] = n.host
	}
	n.host.unproved++
	l.list = append(l.list, n)
	if len(l.list) > maxPending {
		l.putOutLocked(victim(l.list))
	}
	return n
}

// makeRoom evicts a newcomer that has not proved the cookie, if there is one.
func (l *lobby) makeRoom() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := victim(l.list); n != nil && n.stage != proved {
		l.putOutLocked(n)
	}
}

// closeAll evicts all newcomers.
func (l *lobby) closeAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.list) > 0 {
		l.putOutLocked(l.list[0])
	}
}

func (l *lobby) putOutLocked(n *newcomer) {
	n.Close()
	l.removeLocked(n)
}

// remove ends the handshake of n. It reports false if n was evicted or removed before.
func (l *lobby) remove(n *newcomer) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.removeLocked(n)
}

func (l *lobby) removeLocked(n *newcomer) bool {
	i := slices.Index(l.list, n)
	if i < 0 {
		return false
	}
	l.list = slices.Delete(l.list, i, i+1)
	if n.stage != proved {
		l.discountLocked(n.host)
	}
	return true
}

func (l *lobby) discountLocked(h *host) {
	if h.unproved--; h.unproved == 0 {
		delete(l.hosts, h.addr)
	}
}

// victim returns the newcomer to evict, or nil if the list is empty. The list is ordered
// by the time of the last progress, oldest first.
//
// If hosts have more than their share, the host with the most newcomers loses one.
// Otherwise the larger of two groups, the silent newcomers and those that have greeted,
// loses the one that has been longest without progress. So neither group can fill the
// lobby, and a peer gets through if it makes progress before half of the lobby is
// replaced. A newcomer that has proved the cookie is evicted last.
func victim(list []*newcomer) *newcomer {
	var crowd *host
	for _, n := range list {
		if h := n.host; h.unproved > hostShare && (crowd == nil || h.unproved > crowd.unproved) {
			crowd = h
		}
	}
	var first [proved + 1]*newcomer
	var count [proved + 1]int
	for _, n := range list {
		if crowd != nil && (n.host != crowd || n.stage == proved) {
			continue
		}
		if first[n.stage] == nil {
			first[n.stage] = n
		}
		count[n.stage]++
	}
	switch {
	case count[silent]+count[greeted] == 0:
		return first[proved]
	case count[silent] >= count[greeted]:
		return first[silent]
	}
	return first[greeted]
}

// advance records that n has made progress.
func (l *lobby) advance(n *newcomer, s stage) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(l.list, n)
	if i < 0 {
		return // it has been evicted
	}
	n.stage = s
	l.list = append(slices.Delete(l.list, i, i+1), n)
	if s == proved {
		l.discountLocked(n.host)
	}
}

// onHello is the GetConfigForClient of [tls.Config], called with each complete
// ClientHello. It does not change the configuration.
func onHello(info *tls.ClientHelloInfo) (*tls.Config, error) {
	if n, ok := info.Conn.(*newcomer); ok {
		n.left = maxUnproved
		n.SetReadDeadline(n.deadline)
		n.lobby.advance(n, greeted)
	}
	return nil, nil
}

// trust lifts the limit of bytes from the peer, because it has proved the cookie.
func (n *newcomer) trust() {
	n.trusted = true
	n.lobby.advance(n, proved)
}

func (n *newcomer) Read(p []byte) (int, error) {
	if n.trusted {
		return n.Conn.Read(p)
	}
	if n.left <= 0 {
		return 0, errTooMuch
	}
	m, err := n.Conn.Read(p[:min(len(p), n.left)])
	n.left -= m
	return m, err
}
