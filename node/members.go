package node

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"math/rand/v2"
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
	self  wire.Hello
	name  Name
	creds *wire.Credentials
	serve wire.Handler
	log   *slog.Logger
	moved func() // called after the view or a member's state has changed

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	gossip chan struct{} // of capacity 1: the others have to be told

	view atomic.Pointer[view]

	mu    sync.Mutex
	peers map[Name]*peer          // guarded by mu; this node included
	dials map[Name]*dial          // in progress; guarded by mu
	left  map[departure]time.Time // guarded by mu
}

// A departure is a member that left or was reaped. It is remembered, because members that have not
// heard of it yet still tell of it.
type departure struct {
	name        Name
	incarnation uint64
}

const (
	reapAfter    = 10 * time.Minute
	rememberLeft = 2 * reapAfter
	maxMembers   = 4096 // more in one message is nonsense
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
	done chan struct{}
	err  error
}

func newMembers(self wire.Hello, name Name, creds *wire.Credentials, serve wire.Handler, log *slog.Logger, moved func()) *members {
	m := &members{
		self: self, name: name, creds: creds, serve: serve, log: log, moved: moved,
		gossip: make(chan struct{}, 1),
		peers:  map[Name]*peer{},
		dials:  map[Name]*dial{},
		left:   map[departure]time.Time{},
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
	m.view.Store(newView(slices.Collect(maps.Values(m.peers))))
}

// addLocked returns the peer of that name, which gets a seat and a goroutine if it is new.
func (m *members) addLocked(name Name, addr string, incarnation uint64) *peer {
	p := m.peers[name]
	if p != nil {
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
func (m *members) removeLocked(p *peer) {
	delete(m.peers, p.name)
	now := time.Now()
	m.left[departure{p.name, p.incarnation}] = now
	maps.DeleteFunc(m.left, func(_ departure, at time.Time) bool { return now.Sub(at) > rememberLeft })
	m.publishLocked()
	close(p.gone)
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

// spread has the others told of a change, and the node.
func (m *members) spread() {
	select {
	case m.gossip <- struct{}{}:
	default:
	}
	m.moved()
}

// connect sees to it that there is a session to the node at a.
func (m *members) connect(ctx context.Context, a Addr) error {
	for {
		m.mu.Lock()
		p := m.peers[a.Name]
		if p != nil && (p.self || p.session.Load() != nil) {
			m.mu.Unlock()
			return nil
		}
		d := m.dials[a.Name]
		mine := d == nil
		if mine {
			d = &dial{done: make(chan struct{})}
			m.dials[a.Name] = d
		}
		m.mu.Unlock()
		if mine {
			m.dial(ctx, a, d)
			return d.err
		}
		select {
		case <-d.done:
			if d.err == nil || !errors.Is(d.err, context.Canceled) {
				return d.err
			}
			// Whoever dialled gave up, which says nothing of the peer.
		case <-ctx.Done():
			return &wire.Error{Code: wire.Unreachable, Outcome: wire.NotRun, Text: "no answer from " + a.HostPort()}
		}
	}
}

// dial dials, and ends d.
func (m *members) dial(ctx context.Context, a Addr, d *dial) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(m.ctx, cancel)
	defer stop()
	s, err := wire.Dial(ctx, a.HostPort(), m.creds, m.hello(), m.serve)
	switch {
	case err == nil:
		err = m.joined(s, a)
	case errors.Is(err, wire.AlreadyConnected):
		err = m.awaitSession(ctx, a) // the peer dialled at the same moment
	}
	m.mu.Lock()
	delete(m.dials, a.Name)
	m.mu.Unlock()
	d.err = err
	close(d.done)
}

// awaitSession waits for a session that the peer opens.
func (m *members) awaitSession(ctx context.Context, a Addr) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	for wait := time.Millisecond; ; wait *= 2 {
		m.mu.Lock()
		p := m.peers[a.Name]
		m.mu.Unlock()
		if p != nil && p.session.Load() != nil {
			return nil
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return wire.Errorf(wire.Unreachable, wire.NotRun, "%s says that it is connected already", a.Name)
		}
	}
}

func (m *members) hello() wire.Hello {
	h := m.self
	h.Epoch = m.view.Load().epoch
	return h
}

// joined takes in a session that this side dialled.
func (m *members) joined(s *wire.Session, a Addr) error {
	h := s.Peer()
	name, err := ParseName(h.Name)
	if err != nil || name != a.Name {
		s.Close()
		return wire.Errorf(wire.WrongName, wire.NotRun, "%s is %s", a.HostPort(), h.Name)
	}
	if name == m.name {
		s.Close()
		return wire.Errorf(wire.NameTaken, wire.NotRun, "%s is the node at %s", name, h.Addr)
	}
	return m.register(s, name, a.HostPort())
}

// register makes s the session to its peer. Of two it keeps the one that the smaller name dialled, which
// is what the other side does too.
func (m *members) register(s *wire.Session, name Name, addr string) error {
	h := s.Peer()
	m.mu.Lock()
	if m.ctx.Err() != nil {
		m.mu.Unlock()
		s.Close()
		return wire.Closed
	}
	p := m.addLocked(name, addr, h.Incarnation)
	old := p.session.Load()
	if old != nil && old.Err() == nil {
		if p.incarnation != h.Incarnation {
			m.mu.Unlock()
			s.Close()
			return m.taken(name, old.Peer().Addr)
		}
		if !m.prefers(s, name) {
			m.mu.Unlock()
			s.Close()
			return nil
		}
	}
	p.incarnation, p.addr = h.Incarnation, addr
	delete(m.left, departure{name, h.Incarnation})
	p.session.Store(s)
	p.tried = true
	p.changeLocked()
	m.mu.Unlock()
	if old != nil {
		old.Close()
	}
	m.log.Info("node up", "node", name.String(), "addr", addr)
	m.spread()
	return nil
}

// prefers reports whether s is the session to keep of two to the same peer.
func (m *members) prefers(s *wire.Session, name Name) bool {
	return s.Dialed() == (m.name.Compare(name) < 0)
}

// admit decides on a connection that came in, and serves it.
func (m *members) admit(in *wire.Incoming) {
	h := in.Hello
	name, err := ParseName(h.Name)
	if err != nil {
		in.Refuse(wire.Errorf(wire.BadRequest, wire.NotRun, "%v", err))
		return
	}
	if why := m.refusal(name, h); why != nil {
		m.log.Debug("connection refused", "node", h.Name, "from", in.RemoteAddr(), "why", why.Error())
		in.Refuse(why)
		return
	}
	s, err := in.Accept(m.hello(), m.serve)
	if err != nil {
		m.log.Debug("connection lost in handshake", "node", h.Name, "err", err)
		return
	}
	if err := m.register(s, name, h.Addr); err != nil {
		m.log.Debug("session dropped", "node", h.Name, "err", err)
	}
}

// refusal returns why the node that introduces itself with h cannot have a session, or nil.
func (m *members) refusal(name Name, h wire.Hello) *wire.Error {
	if name == m.name {
		return m.taken(name, m.self.Addr)
	}
	m.mu.Lock()
	var old *wire.Session
	p := m.peers[name]
	if p != nil && !p.tried && p.incarnation != h.Incarnation {
		// Others told of a node of that name. Whether it lives shows when it has been dialled.
		changed := p.changed
		m.mu.Unlock()
		select {
		case <-changed:
		case <-p.gone:
		case <-time.After(connectTimeout):
		}
		m.mu.Lock()
	}
	if p != nil {
		old = p.session.Load()
	}
	dialing := m.dials[name] != nil
	m.mu.Unlock()
	if old != nil {
		// Does it live? If not, this is the same node again.
		if _, err := old.Ping(); err == nil {
			if old.Peer().Incarnation == h.Incarnation {
				return &wire.Error{Code: wire.AlreadyConnected, Outcome: wire.NotRun}
			}
			return m.taken(name, old.Peer().Addr)
		}
		old.Close()
	}
	if dialing && m.name.Compare(name) < 0 {
		return &wire.Error{Code: wire.AlreadyConnected, Outcome: wire.NotRun}
	}
	return nil
}

func (m *members) taken(name Name, addr string) *wire.Error {
	return wire.Errorf(wire.NameTaken, wire.NotRun, "%s is the node at %s; choose another --name", name, addr)
}

// maintain keeps a session to p for as long as it has a seat.
func (m *members) maintain(p *peer) {
	retry := firstRetry
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
			retry = firstRetry
			continue
		}
		ctx, cancel := context.WithTimeout(m.ctx, 3*time.Second)
		err := m.connectAt(ctx, p.name, addr)
		cancel()
		if err == nil {
			continue
		}
		m.failed(p)
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
	s.Close()
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
		m.removeLocked(p)
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
		if s := p.session.Load(); s != nil {
			return s, nil
		}
	}
	return nil, &wire.Error{Code: wire.Unreachable, Outcome: wire.NotRun, Node: p.name.String()}
}

// snapshot returns the members as messages tell them, the departed ones included.
func (m *members) snapshot() []wire.Member {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []wire.Member
	for _, p := range m.view.Load().seats {
		list = append(list, wire.Member{Name: p.name.String(), Addr: p.addr, Incarnation: p.incarnation})
	}
	for d := range m.left {
		list = append(list, wire.Member{Name: d.name.String(), Incarnation: d.incarnation, Left: true})
	}
	return list
}

// learn takes in what a peer says of the members.
func (m *members) learn(list []wire.Member) {
	if len(list) > maxMembers {
		list = list[:maxMembers]
	}
	news := false
	m.mu.Lock()
	for _, w := range list {
		name, err := ParseName(w.Name)
		if err != nil || name == m.name || m.ctx.Err() != nil {
			continue
		}
		d := departure{name, w.Incarnation}
		p := m.peers[name]
		_, departed := m.left[d]
		switch {
		case w.Left && departed:
		case w.Left && p != nil && p.incarnation == w.Incarnation:
			m.log.Info("node left", "node", w.Name)
			m.removeLocked(p)
			news = true
		case w.Left && len(m.left) < maxMembers:
			m.left[d] = time.Now()
			news = true
		case w.Left || departed || p != nil || len(m.peers) >= maxMembers:
		default:
			if _, err := addrOf(name, w.Addr); err == nil {
				m.addLocked(name, w.Addr, w.Incarnation)
				news = true
			}
		}
	}
	m.mu.Unlock()
	if news {
		m.spread()
	}
}

// tell tells all peers of the members after each change.
func (m *members) tell() {
	for {
		select {
		case <-m.gossip:
		case <-m.ctx.Done():
			return
		}
		m.tellAll(m.snapshot())
	}
}

// tellAll sends a list to all peers at once, and waits for them, but not long for a slow one.
func (m *members) tellAll(list []wire.Member) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for _, p := range m.view.Load().seats {
		if s := p.session.Load(); s != nil {
			wg.Go(func() { s.Do(ctx, opTell, list, nil) })
		}
	}
	wg.Wait()
}

// leave tells all peers that this node gives up its seat.
func (m *members) leave() {
	m.tellAll([]wire.Member{{Name: m.self.Name, Incarnation: m.self.Incarnation, Left: true}})
}

// close ends all sessions, after what they have to say has been written, and waits.
func (m *members) close() {
	m.mu.Lock() // register adds no session after this
	m.cancel()
	m.mu.Unlock()
	for _, p := range m.view.Load().seats {
		if s := p.session.Load(); s != nil {
			m.wg.Go(func() {
				s.Flush()
				s.Close()
			})
		}
	}
	m.wg.Wait()
}
