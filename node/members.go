package node

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/distproc/distproc/wire"
)

// members knows who is in the cluster and keeps one session to each of them: a full mesh. Its
// product is the view. Every member tells the others whom it knows, so who joins one joins all.
//
// A member that cannot be reached keeps its seat, so that its crash moves no other member's ids,
// until it says that it leaves, or until it has been out of reach for reapAfter.
type members struct {
	self    wire.Hello
	name    Name
	routing Routing
	creds   *wire.Credentials
	serve   wire.Handler
	log     *slog.Logger
	moved   func() // called after the view or a member's state has changed

	refused func(net.Addr, error) // called with every newcomer that is turned away

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	gossip chan struct{} // of capacity 1: the others have to be told

	view atomic.Pointer[view]
	told atomic.Pointer[[]wire.Member] // what snapshot returns, or nil if that has changed

	mu    sync.Mutex
	peers map[Name]*peer    // guarded by mu; this node included
	dials map[Name]*dial    // in progress; guarded by mu
	gone  map[Name]farewell // guarded by mu
	ended bool              // no session comes in any more; guarded by mu
}

// A farewell is how a member lost its seat: it left and will not come back, or this node has given it up. It is
// remembered, because members that have not heard of it yet still tell of it.
type farewell struct {
	incarnation uint64
	at          time.Time
	left        bool
}

const (
	reapAfter    = 10 * time.Minute
	rememberGone = 2 * reapAfter
	maxMembers   = 1500 // a message with all of them fits, however long their names are
	tellAgain    = 10 * time.Second
	firstRetry   = 100 * time.Millisecond
	lastRetry    = 2 * time.Second
)

// A peer is one seat of the cluster.
type peer struct {
	name    Name
	self    bool
	session atomic.Pointer[wire.Session] // nil if there is none
	gone    chan struct{}                // closed when it has lost its seat

	// Guarded by members.mu:
	addr        string
	incarnation uint64
	changed     chan struct{} // closed, and made anew, when the session or state has changed
	tried       bool          // the first dial has ended: from now on no session means out of reach
	lost        time.Time     // since when it is out of reach
}

// A dial in progress. All who want a session to that name wait for the same one.
type dial struct {
	addr   string
	done   chan struct{}
	err    error // set before done is closed
	gaveUp bool  // whoever dialled did not wait for the outcome; as err
}

func newMembers(self wire.Hello, name Name, routing Routing, creds *wire.Credentials, serve wire.Handler, log *slog.Logger,
	moved func(), refused func(net.Addr, error),
) *members {
	m := &members{
		self: self, name: name, routing: routing, creds: creds, serve: serve, log: log, moved: moved, refused: refused,
		gossip: make(chan struct{}, 1),
		peers:  map[Name]*peer{},
		dials:  map[Name]*dial{},
		gone:   map[Name]farewell{},
	}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	m.peers[name] = &peer{name: name, self: true, addr: self.Addr, incarnation: self.Incarnation,
		gone: make(chan struct{}), changed: make(chan struct{})}
	m.publishLocked()
	m.wg.Go(m.tell)
	return m
}

// publishLocked makes the view of the members as they are now.
func (m *members) publishLocked() {
	m.told.Store(nil)
	m.view.Store(newView(slices.Collect(maps.Values(m.peers)), m.routing))
}

// addLocked returns the peer of that name, which gets a seat and a goroutine if it is new. It returns nil
// if there is no seat left.
func (m *members) addLocked(name Name, addr string, incarnation uint64) *peer {
	p := m.peers[name]
	if p != nil || len(m.peers) >= maxMembers {
		return p
	}
	p = &peer{name: name, addr: addr, incarnation: incarnation, lost: time.Now(),
		gone: make(chan struct{}), changed: make(chan struct{})}
	m.peers[name] = p
	m.publishLocked()
	m.wg.Go(func() { m.maintain(p) })
	return p
}

// removeLocked takes the peer's seat. Its session stays: who leaves finishes its calls, and closes it.
func (m *members) removeLocked(p *peer, left bool) {
	delete(m.peers, p.name)
	m.rememberLocked(p.name, p.incarnation, left)
	m.publishLocked()
	close(p.gone)
}

// part takes the seat of a member, and ends its session.
func (m *members) part(name Name) {
	m.mu.Lock()
	p := m.peers[name]
	if p != nil && !p.self {
		m.removeLocked(p, false)
	}
	m.mu.Unlock()
	if p == nil || p.self {
		return
	}
	if s := p.session.Load(); s != nil {
		s.Shut()
	}
	m.log.Info("node parted", "node", name.String())
	m.moved()
}

// rememberLocked remembers a farewell for some time. If there are too many, it forgets another.
func (m *members) rememberLocked(name Name, incarnation uint64, left bool) {
	now := time.Now()
	maps.DeleteFunc(m.gone, func(_ Name, f farewell) bool { return now.Sub(f.at) > rememberGone })
	for other := range m.gone {
		if len(m.gone) < maxMembers {
			break
		}
		delete(m.gone, other)
	}
	m.gone[name] = farewell{incarnation, now, left}
	m.told.Store(nil)
}

// reachable reports whether there is a session that lives.
func (p *peer) reachable() bool {
	s := p.session.Load()
	return s != nil && s.Err() == nil
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func (p *peer) changeLocked() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// maintain keeps a session to p for as long as it has a seat.
func (m *members) maintain(p *peer) {
	retry := firstRetry
	why := "" // the last dial failed
	for {
		if isClosed(p.gone) && p.session.Load() == nil {
			return
		}
		m.mu.Lock()
		s, addr, changed := p.session.Load(), p.addr, p.changed
		m.mu.Unlock()
		if s != nil {
			if !m.watch(p, s) {
				return
			}
			retry, why = firstRetry, ""
			continue
		}
		ctx, cancel := context.WithTimeout(m.ctx, 3*time.Second)
		err := m.connectAt(ctx, p.name, addr)
		cancel()
		if err == nil {
			continue
		}
		m.failed(p)
		if last := why; !errors.Is(err, wire.Unreachable) && m.ctx.Err() == nil {
			if why = err.Error(); why != last {
				m.log.Warn("cannot connect, will try again", "node", p.name.String(), "why", why)
			}
		}
		select {
		case <-time.After(retry/2 + rand.N(retry)):
			retry = min(2*retry, lastRetry)
		case <-changed: // it dialled us
		case <-p.gone:
			return
		case <-m.ctx.Done():
			return
		}
	}
}

// connectAt is connect for an address as peers tell it.
func (m *members) connectAt(ctx context.Context, name Name, addr string) error {
	a, err := addrOf(name, addr)
	if err != nil {
		return err
	}
	return m.connect(ctx, a)
}

// watch waits until s has ended, and reports whether p keeps its seat.
func (m *members) watch(p *peer, s *wire.Session) bool {
	select {
	case <-s.Done():
	case <-p.gone:
		// It finishes its calls and closes; if not, it gets the time that it is allowed to take.
		select {
		case <-s.Done():
		case <-time.After(drainTimeout + time.Second):
		case <-m.ctx.Done():
		}
		s.Close()
		return false
	case <-m.ctx.Done():
		return false
	}
	m.mu.Lock()
	down := p.session.CompareAndSwap(s, nil) // not if another one has taken its place
	if down {
		p.lost = time.Now()
		p.changeLocked()
	}
	m.mu.Unlock()
	if down {
		m.log.Warn("node down", "node", p.name.String(), "why", s.Err())
		m.moved()
	}
	s.Close()
	return true
}

// failed notes that a dial has failed, and takes the seat of a peer that has been lost for long.
func (m *members) failed(p *peer) {
	m.mu.Lock()
	if p.session.Load() != nil {
		m.mu.Unlock()
		return
	}
	first := !p.tried
	p.tried = true
	if first {
		p.changeLocked()
	}
	reap := m.peers[p.name] == p && time.Since(p.lost) > reapAfter
	if reap {
		m.removeLocked(p, false)
	}
	m.mu.Unlock()
	if reap {
		m.log.Warn("node given up", "node", p.name.String(), "lost_for", reapAfter)
	}
	if reap || first {
		m.spread()
	}
}

// session returns the session to p. If p is new it waits for the first dial to end; if p is out of reach it
// returns at once.
func (m *members) session(ctx context.Context, p *peer) (*wire.Session, error) {
	if s := p.session.Load(); s != nil {
		return s, nil
	}
	m.mu.Lock()
	tried, changed := p.tried, p.changed
	m.mu.Unlock()
	if !tried {
		select {
		case <-changed:
		case <-p.gone:
		case <-ctx.Done():
		}
	}
	if s := p.session.Load(); s != nil {
		return s, nil
	}
	return nil, &wire.Error{Code: wire.Unreachable, Outcome: wire.NotRun, Node: p.name.String()}
}

// end keeps new sessions out, and returns the dials that run.
func (m *members) end() []*dial {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ended = true
	return slices.Collect(maps.Values(m.dials))
}

// close ends all sessions, after what they have to say has been written, and waits.
func (m *members) close() {
	m.end()
	m.cancel()
	for _, p := range m.view.Load().peers {
		if s := p.session.Load(); s != nil {
			m.wg.Go(func() {
				s.Flush()
				s.Close()
			})
		}
	}
	m.wg.Wait()
}
