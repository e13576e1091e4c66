package node

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/wire"
)

// sessions holds the session to each peer: dialled when it is first needed, by either side, and closed when it
// has long been idle. While a peer cannot be reached it is dialled again and again, so that requests to it fail over
// at once and return to it when it is back.
type sessions struct {
	name  placement.Name // this node's
	hello func() wire.Hello
	creds *wire.Credentials
	serve wire.Handler
	log   *slog.Logger
	moved func() // called after a peer was lost or is back; no locks are held

	patience func(kind string) time.Duration             // that a call of that kind needs
	met      func(context.Context, *peer, *wire.Session) // called with each new session
	failed   func(error)                                 // called with why a dial failed

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu    sync.Mutex
	peers map[placement.Name]*peer // guarded by mu
	ended bool                     // no session comes in any more; guarded by mu
}

// A peer is a member as this node reaches it.
type peer struct {
	name     placement.Name
	text     string // of the name
	self     bool
	session  atomic.Pointer[wire.Session] // nil if there is none
	lost     atomic.Bool                  // the last session broke, or the last dial failed
	refused  atomic.Bool                  // no session has come since the last dial failed
	health   healths
	relays   relays
	exchange *exchange              // guarded by members.mu
	differs  atomic.Pointer[string] // the kinds about which it differs, as the log says

	// Guarded by sessions.mu:
	addr        string
	incarnation uint64
	hasSeat     bool
	former      bool // of a cluster that this node has left, and not met since
	alive       bool // has a seat, and the cluster can reach it
	up          bool // as the log says
	dial        *dial
	redialing   bool
	again       chan struct{} // of capacity 1: dial now
	used        uint64        // calls on the session when it was last looked at
	since       time.Time     // when the session was registered
}

// A dial in progress. All who want a session to that peer wait for the same one.
type dial struct {
	done    chan struct{}
	session *wire.Session // and err are set before done is closed
	err     error
}

const (
	dialTimeout = 2 * time.Second
	idleAfter   = 5 * time.Minute
	linger      = time.Second // that a session without calls is kept, for one that was about to be made
	firstRetry  = 100 * time.Millisecond
	lastRetry   = 2 * time.Second
)

func newSessions(name placement.Name, hello func() wire.Hello, creds *wire.Credentials, serve wire.Handler, log *slog.Logger, moved func()) *sessions {
	s := &sessions{
		name: name, hello: hello, creds: creds, serve: serve, log: log, moved: moved,
		peers: map[placement.Name]*peer{}, failed: func(error) {},
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.wg.Go(s.closeIdle)
	return s
}

// peer returns the peer of that name.
func (s *sessions) peer(name placement.Name) *peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.peerLocked(name)
}

func (s *sessions) peerLocked(name placement.Name) *peer {
	p := s.peers[name]
	if p == nil {
		p = &peer{name: name, text: name.String(), self: name == s.name, again: make(chan struct{}, 1)}
		s.peers[name] = p
	}
	return p
}

// seat notes what the cluster says of a peer.
func (s *sessions) seat(p *peer, addr string, incarnation uint64, alive bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.incarnation != incarnation && p.incarnation != 0 || alive && !p.alive {
		p.redialLocked() // it has started anew, or is back
	}
	p.addr, p.incarnation, p.hasSeat, p.former, p.alive = addr, incarnation, true, false, alive
	if p.lost.Load() && alive && !p.self {
		s.startRedialingLocked(p)
	}
	s.noteLocked(p, "the cluster cannot reach it")
}

// introduce notes where a peer was found, of which the cluster may not have told yet.
func (s *sessions) introduce(p *peer, addr string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.former = false
	if p.addr == "" || p.session.Load() == nil {
		p.addr = addr
	}
}

// seated returns what the cluster says of a peer.
func (s *sessions) seated(p *peer) wire.Member {
	s.mu.Lock()
	defer s.mu.Unlock()
	return wire.Member{Name: p.name.String(), Addr: p.addr, Incarnation: p.incarnation}
}

// retain forgets the peers that have no seat and no session. Keep are those that have a seat.
func (s *sessions) retain(keep map[*peer]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, p := range s.peers {
		if keep[p] {
			continue
		}
		p.hasSeat, p.alive, p.up = false, false, false
		if p.session.Load() == nil && p.dial == nil {
			delete(s.peers, name)
		}
	}
}

// noteLocked logs that a peer went or came.
func (s *sessions) noteLocked(p *peer, why string) {
	up := p.alive && !p.lost.Load()
	if p.self || up == p.up {
		return
	}
	p.up = up
	if up {
		s.log.Info("node up", "node", p.name.String(), "addr", p.addr)
	} else {
		s.log.Warn("node down", "node", p.name.String(), "why", why)
	}
}

// get returns the session to p, which it dials if there is none. If p was lost, or does not answer soon enough
// to leave time for another way, it is Unreachable.
func (s *sessions) get(ctx context.Context, p *peer) (*wire.Session, error) {
	if ws := p.session.Load(); ws != nil {
		return ws, nil
	}
	if p.lost.Load() {
		return nil, &wire.Error{Code: wire.Unreachable, Outcome: wire.NotRun, Node: p.name.String()}
	}
	wait := ctx
	if _, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		wait, cancel = context.WithTimeout(ctx, clock.Left(ctx)/2)
		defer cancel()
	}
	ws, err := s.dial(wait, p)
	if err == nil || errors.Is(err, wire.Leaving) || errors.Is(err, wire.Closed) {
		return ws, err
	}
	e := &wire.Error{Code: wire.Unreachable, Outcome: wire.NotRun, Node: p.name.String(), Text: err.Error()}
	if we, ok := errors.AsType[*wire.Error](err); ok && we.Code == wire.Unreachable {
		e.Text = we.Text
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		e.Code = wire.Canceled
	}
	return nil, e
}

// dial waits for a session to p: the one that is there, that is being dialled, or a new one.
func (s *sessions) dial(ctx context.Context, p *peer) (*wire.Session, error) {
	ws, d := s.begin(p)
	switch {
	case ws != nil:
		return ws, nil
	case d == nil:
		return nil, s.why()
	}
	select {
	case <-d.done:
		return d.session, d.err
	case <-ctx.Done():
		return nil, wire.Errorf(wire.Unreachable, wire.NotRun, "no answer yet")
	}
}

// begin returns the session to p, or the dial in progress, which it starts if there is none. It returns
// neither if no session comes in any more, or if this node has left p's cluster: p may still have it for
// a member, and would take it back.
func (s *sessions) begin(p *peer) (*wire.Session, *dial) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.former {
		return nil, nil
	}
	if ws := p.session.Load(); ws != nil || s.ended {
		return ws, nil
	}
	if p.dial == nil {
		d, addr := &dial{done: make(chan struct{})}, p.addr
		p.dial = d
		s.wg.Go(func() { s.run(p, d, addr) })
	}
	return nil, p.dial
}

// why returns why begin has returned neither.
func (s *sessions) why() *wire.Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return &wire.Error{Code: wire.Closed, Outcome: wire.NotRun}
	}
	return &wire.Error{Code: wire.Leaving, Outcome: wire.NotRun}
}

// run dials, and ends d.
func (s *sessions) run(p *peer, d *dial, addr string) {
	ctx, cancel := context.WithTimeout(s.ctx, dialTimeout)
	defer cancel()
	ws, err := wire.Dial(ctx, addr, s.creds, s.hello(), s.serve)
	if err == nil && ws.Peer().Name != p.name.String() {
		err = wire.Errorf(wire.WrongName, wire.NotRun, "%s is %s", addr, ws.Peer().Name)
		ws.Close()
	}
	if err == nil {
		ws, err = s.register(ws, p.name)
	}
	s.mu.Lock()
	p.dial = nil
	changed := false
	if err != nil && p.session.Load() == nil && !errors.Is(err, wire.Leaving) {
		changed = s.loseLocked(p, err)
	}
	p.refused.Store(err != nil && p.session.Load() == nil)
	s.mu.Unlock()
	d.session, d.err = ws, err
	close(d.done)
	if err != nil {
		s.failed(err)
	}
	if changed {
		s.moved()
	}
}

// register makes ws the session to its peer, and returns the one that is kept. If there is one to the
// same process already, the newer one is kept, as a peer that dials again has lost its session. If both
// sides have dialled at the same moment, both keep the one that the smaller name dialled. The other ends
// when its calls have.
func (s *sessions) register(ws *wire.Session, name placement.Name) (*wire.Session, error) {
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		ws.Close()
		return nil, &wire.Error{Code: wire.Closed, Outcome: wire.NotRun}
	}
	p := s.peerLocked(name)
	if p.former || ws.Own().Incarnation != s.hello().Incarnation { // it began before this node left its cluster
		s.mu.Unlock()
		ws.Close()
		return nil, &wire.Error{Code: wire.Leaving, Outcome: wire.NotRun}
	}
	keep, drop := ws, p.session.Load()
	same := drop != nil && drop.Peer().Incarnation == ws.Peer().Incarnation
	// A dial that crossed the other one began before that succeeded.
	crossed := same && drop.Dialed() != ws.Dialed() && time.Since(p.since) < dialTimeout
	switch {
	case drop == nil || drop.Err() != nil:
	case crossed && drop.Dialed() == (s.name.Compare(name) < 0), ws.Peer().Incarnation < drop.Peer().Incarnation:
		keep, drop = drop, ws
	}
	back := p.lost.Swap(false)
	p.refused.Store(false)
	p.relays.reset()
	s.noteLocked(p, "")
	s.wg.Go(func() { s.watch(p, ws) })
	if same {
		s.wg.Go(func() { s.retire(p, drop) })
	}
	if keep == ws {
		p.session.Store(ws)
		p.since = time.Now()
		p.health.reset()
		s.wg.Go(func() { s.met(s.ctx, p, ws) })
	}
	s.mu.Unlock()
	if drop != nil && !same {
		drop.Shut() // to a process that is no more
	}
	if back {
		s.moved()
	}
	return keep, nil
}

// watch waits until ws has ended. If it was in use, and this side has not closed it, the peer is lost.
func (s *sessions) watch(p *peer, ws *wire.Session) {
	select {
	case <-ws.Done():
	case <-s.ctx.Done():
	}
	s.mu.Lock()
	why := ws.Err()
	changed := p.session.CompareAndSwap(ws, nil) && why != nil && !errors.Is(why, wire.Closed) && s.loseLocked(p, why)
	if !p.hasSeat && p.session.Load() == nil && p.dial == nil && s.peers[p.name] == p {
		delete(s.peers, p.name) // should it get a seat it is made anew
	}
	s.mu.Unlock()
	ws.Close()
	if changed {
		s.moved()
	}
}

// strangers returns the number of sessions to nodes without a seat.
func (s *sessions) strangers() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.peers {
		if !p.hasSeat && p.session.Load() != nil {
			n++
		}
	}
	return n
}

// toStrangers returns at most limit sessions to nodes without a seat.
func (s *sessions) toStrangers(limit int) (list []*wire.Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.peers {
		if ws := p.session.Load(); ws != nil && !p.hasSeat && len(list) < limit {
			list = append(list, ws)
		}
	}
	return list
}

// live returns the sessions that there are.
func (s *sessions) live() map[*peer]*wire.Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	live := map[*peer]*wire.Session{}
	for _, p := range s.peers {
		if ws := p.session.Load(); ws != nil {
			live[p] = ws
		}
	}
	return live
}

// each calls f with all sessions, at the same time, and does not wait.
func (s *sessions) each(f func(context.Context, *peer, *wire.Session)) {
	for p, ws := range s.live() {
		s.mu.Lock()
		if !s.ended {
			s.wg.Go(func() { f(s.ctx, p, ws) })
		}
		s.mu.Unlock()
	}
}

// leave retires all sessions. No peer is dialled any more that is not introduced, or has no new seat.
func (s *sessions) leave() {
	s.mu.Lock()
	for _, p := range s.peers {
		if !p.self {
			p.former, p.alive = true, false
		}
	}
	s.mu.Unlock()
	s.each(func(_ context.Context, p *peer, ws *wire.Session) { s.retire(p, ws) })
}

// close ends all sessions, after what they have to say has been written, and waits.
func (s *sessions) close() {
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	var flushing sync.WaitGroup
	for _, ws := range s.live() {
		flushing.Go(ws.Finish)
	}
	flushing.Wait()
	s.cancel()
	s.wg.Wait()
}
