package gossip

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync/atomic"
	"time"
)

const (
	maxLinks     = 256 // in all
	maxPeerLinks = 4   // to one peer
)

// A peer is the transport's state for one name.
type peer struct {
	name  string
	queue chan []byte

	// Guarded by transport.mu:
	links   []*link // the newest is last
	dialing *dialing
	tried   time.Time // when the last dial failed
	sending bool      // its sender runs
}

// A dialing is a dial in progress. All callers that need the link share it.
type dialing struct {
	done chan struct{}
	link *link // link and err are set before done is closed
	err  error
}

// A link is a [Link] of the transport.
type link struct {
	Link
	name    string
	addr    string       // address that was dialed; empty if the peer dialed
	used    atomic.Int64 // time of the last send or receipt, in UnixNano
	reading atomic.Bool  // the peer has opened its stream of packets
	out     net.Conn     // this side's stream of packets, or nil; used by the peer's sender only
}

func (l *link) touch() { l.used.Store(time.Now().UnixNano()) }

// close ends the link, and with it the link's goroutines.
func (l *link) close() { l.Close() }

func (t *transport) peerLocked(name string) *peer {
	p := t.peers[name]
	if p == nil {
		p = &peer{name: name, queue: make(chan []byte, maxQueue)}
		t.peers[name] = p
	}
	return p
}

// forgetLocked drops a peer without links, dials and a sender.
func (t *transport) forgetLocked(p *peer) {
	if len(p.links) == 0 && p.dialing == nil && !p.sending && t.peers[p.name] == p {
		delete(t.peers, p.name)
	}
}

// liveLocked returns the newest link that has not ended, or nil. Older links may lead to
// a former process of the peer.
func (p *peer) liveLocked() *link {
	for _, l := range slices.Backward(p.links) {
		select {
		case <-l.Done():
		default:
			return l
		}
	}
	return nil
}

// connect returns a link to a peer, and dials if there is none. If addr is given, the
// link must have been dialed there, because other links may lead to another process with
// that name.
func (t *transport) connect(ctx context.Context, name, addr string) (*link, error) {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return nil, errClosed
	}
	p := t.peerLocked(name)
	if l := p.liveLocked(); l != nil && (addr == "" || addr == l.addr) {
		t.mu.Unlock()
		return l, nil
	}
	d := p.dialing
	if d == nil {
		d = &dialing{done: make(chan struct{})}
		p.dialing = d
		t.wg.Go(func() { t.dialPeer(p, d) })
	}
	t.mu.Unlock()
	select {
	case <-d.done:
		return d.link, d.err
	case <-ctx.Done():
		return nil, fmt.Errorf("dial %s: %w", name, ctx.Err())
	}
}

// dialPeer is the goroutine of a dial.
func (t *transport) dialPeer(p *peer, d *dialing) {
	ctx, cancel := context.WithTimeout(t.ctx, t.pace.stream)
	defer cancel()
	t.count.dials.Add(1)
	m, ok := t.find(p.name)
	if !ok {
		d.err = fmt.Errorf("dial %s: its address is unknown", p.name)
	} else if raw, err := t.dial(ctx, m); err != nil {
		d.err = fmt.Errorf("dial %s: %w", p.name, err)
	} else if d.link = t.add(p.name, m.Addr, raw); d.link == nil {
		d.err = errClosed
	}
	t.mu.Lock()
	p.dialing = nil
	if d.err != nil {
		p.tried = time.Now()
	}
	t.forgetLocked(p)
	t.mu.Unlock()
	close(d.done)
}

// add takes over a link. If the transport is closed, it closes the link and returns nil.
func (t *transport) add(name, addr string, raw Link) *link {
	l := &link{Link: raw, name: name, addr: addr}
	l.touch()
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		raw.Close()
		return nil
	}
	var extra *link
	if p := t.peers[name]; p != nil && len(p.links) >= maxPeerLinks {
		extra = p.links[0]
	} else if t.links >= maxLinks {
		extra = t.idlestLocked()
	}
	if extra != nil {
		t.dropLocked(extra)
	}
	p := t.peerLocked(name)
	p.links = append(p.links, l)
	t.links++
	t.wg.Go(func() { t.accept(l) })
	t.mu.Unlock()
	if extra != nil {
		extra.close()
	}
	return l
}

// drop forgets a link that has ended.
func (t *transport) drop(l *link) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.dropLocked(l)
}

func (t *transport) dropLocked(l *link) {
	p := t.peers[l.name]
	if p == nil {
		return
	}
	if i := slices.Index(p.links, l); i >= 0 {
		p.links = slices.Delete(p.links, i, i+1)
		t.links--
		t.forgetLocked(p)
	}
}

func (t *transport) idlestLocked() (idlest *link) {
	for _, p := range t.peers {
		for _, l := range p.links {
			if idlest == nil || l.used.Load() < idlest.used.Load() {
				idlest = l
			}
		}
	}
	return idlest
}

// sweep closes idle links.
func (t *transport) sweep() {
	ticker := time.NewTicker(t.pace.idle / 4)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-t.ctx.Done():
			return
		}
		var idle []*link
		t.mu.Lock()
		for _, p := range t.peers {
			for _, l := range p.links {
				if time.Since(time.Unix(0, l.used.Load())) > t.pace.idle {
					idle = append(idle, l)
				}
			}
		}
		t.mu.Unlock()
		for _, l := range idle {
			l.close()
		}
	}
}
