// Package peers keeps one session to each peer of a node, and what calls tell of a peer.
package peers

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/wire"
)

// A Pool has the session to each peer. Either side dials it when it is first needed, and
// it is closed when it has long been idle. While a peer cannot be reached the Pool dials
// it again and again, so that requests to it fail over at once and return to it when it
// is back. All methods may be called from any number of goroutines.
type Pool struct {
	Config
	host Host

	linger     time.Duration // grace period before an idle session is closed; tests shorten it
	trialEvery time.Duration // between two calls to a stuck peer; tests shorten it

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu    sync.Mutex
	peers map[placement.Name]*Peer // guarded by mu
	ended bool                     // no session comes in any more; guarded by mu
}

// Config says whose pool it is. No field may be left out.
type Config struct {
	Self     placement.Name // of this node
	RetireOp wire.Op        // tells a peer to make no more calls on a session
	Logger   *slog.Logger
}

// A Host is what a Pool needs of its node. The Pool calls it without a lock held unless
// it says so.
type Host interface {
	// Hello returns what this node says of itself at the start of a session. It may be
	// called with a lock of the Pool held.
	Hello() wire.Hello

	// Dial makes a session with the node at an address. It says Hello.
	Dial(ctx context.Context, addr string) (*wire.Session, error)

	// Changed is called after a peer was lost, is back, or is stuck or no longer so.
	Changed()

	// Met is called with each new session, on a goroutine of its own.
	Met(context.Context, *Peer, *wire.Session)

	// DialFailed is called with the reason for which a dial failed.
	DialFailed(error)

	// CallTimeout returns how long a call of that kind may take at most.
	CallTimeout(kind string) time.Duration
}

const (
	dialTimeout = 2 * time.Second
	idleAfter   = 5 * time.Minute
)

// New returns a pool without peers. It lasts until [Pool.Close].
func New(c Config, h Host) *Pool {
	pool := &Pool{Config: c, host: h, linger: time.Second, trialEvery: time.Second, peers: map[placement.Name]*Peer{}}
	pool.ctx, pool.cancel = context.WithCancel(context.Background())
	pool.wg.Go(pool.closeIdle)
	return pool
}

// Context returns a context that ends when the pool is closed.
func (pool *Pool) Context() context.Context { return pool.ctx }

// Len returns the number of peers that the pool knows of.
func (pool *Pool) Len() int {
	pool.mu.Lock()
	defer pool.mu.Unlock()
	return len(pool.peers)
}

// Peer returns the peer of that name.
func (pool *Pool) Peer(name placement.Name) *Peer {
	pool.mu.Lock()
	defer pool.mu.Unlock()
	return pool.peerLocked(name)
}

func (pool *Pool) peerLocked(name placement.Name) *Peer {
	p := pool.peers[name]
	if p == nil {
		p = &Peer{Name: name, Text: name.String(), Self: name == pool.Self, again: make(chan struct{}, 1)}
		pool.peers[name] = p
	}
	return p
}

// SetSlot notes what the cluster says of a peer.
func (pool *Pool) SetSlot(p *Peer, addr string, incarnation uint64, alive bool) {
	pool.mu.Lock()
	defer pool.mu.Unlock()
	if p.incarnation != incarnation && p.incarnation != 0 || alive && !p.alive {
		p.redialLocked() // it has started anew, or is back
	}
	p.addr, p.incarnation, p.hasSlot, p.former, p.alive = addr, incarnation, true, false, alive
	if p.lost.Load() && alive && !p.Self {
		pool.startRedialingLocked(p)
	}
	pool.noteLocked(p, "the cluster cannot reach it")
}

// Introduce notes where a peer was found, of which the cluster may not have told yet.
func (pool *Pool) Introduce(p *Peer, addr string) {
	pool.mu.Lock()
	defer pool.mu.Unlock()
	p.former = false
	if p.addr == "" || p.session.Load() == nil {
		p.addr = addr
	}
}

// Slot returns what the cluster says of a peer.
func (pool *Pool) Slot(p *Peer) wire.Member {
	pool.mu.Lock()
	defer pool.mu.Unlock()
	return wire.Member{Name: p.Name.String(), Addr: p.addr, Incarnation: p.incarnation}
}

// Retain forgets the peers that have no slot and no session. Keep are those that have a
// slot.
func (pool *Pool) Retain(keep map[*Peer]bool) {
	pool.mu.Lock()
	defer pool.mu.Unlock()
	for name, p := range pool.peers {
		if keep[p] {
			continue
		}
		p.hasSlot, p.alive, p.up = false, false, false
		if p.session.Load() == nil && p.dial == nil {
			delete(pool.peers, name)
		}
	}
}

// noteLocked logs that a peer went or came.
func (pool *Pool) noteLocked(p *Peer, why string) {
	up := p.alive && !p.lost.Load()
	if p.Self || up == p.up {
		return
	}
	p.up = up
	if up {
		pool.Logger.Info("node up", "node", p.Name.String(), "addr", p.addr)
	} else {
		pool.Logger.Warn("node down", "node", p.Name.String(), "why", why)
	}
}

// Register makes ws the session to its peer, and returns the one that is kept. If there
// is one to the same process already, the newer one is kept, as a peer that dials again
// has lost its session. If both sides have dialled at the same moment, both keep the one
// that the smaller name dialled. The other ends when its calls have.
func (pool *Pool) Register(ws *wire.Session, name placement.Name) (*wire.Session, error) {
	pool.mu.Lock()
	if pool.ended {
		pool.mu.Unlock()
		ws.Close()
		return nil, &wire.Error{Code: wire.Closed, Outcome: wire.NotRun}
	}
	p := pool.peerLocked(name)
	if p.former || ws.Own().Incarnation != pool.host.Hello().Incarnation { // it began before this node left its cluster
		pool.mu.Unlock()
		ws.Close()
		return nil, &wire.Error{Code: wire.Leaving, Outcome: wire.NotRun}
	}
	keep, drop := ws, p.session.Load()
	same := drop != nil && drop.Peer().Incarnation == ws.Peer().Incarnation
	// A dial that crossed the other one began before that succeeded.
	crossed := same && drop.Dialed() != ws.Dialed() && time.Since(p.since) < dialTimeout
	switch {
	case drop == nil || drop.Err() != nil:
	case crossed && drop.Dialed() == (pool.Self.Compare(name) < 0), ws.Peer().Incarnation < drop.Peer().Incarnation:
		keep, drop = drop, ws
	}
	back := p.lost.Swap(false)
	if back {
		p.turn()
	}
	p.refused.Store(false)
	p.Relays.Reset()
	pool.noteLocked(p, "")
	pool.wg.Go(func() { pool.watch(p, ws) })
	if same {
		pool.wg.Go(func() { pool.Retire(p, drop) })
	}
	if keep == ws {
		p.session.Store(ws)
		p.since = time.Now()
		p.health.reset()
		pool.wg.Go(func() { pool.host.Met(pool.ctx, p, ws) })
	}
	pool.mu.Unlock()
	if drop != nil && !same {
		drop.Shut() // to a process that is no more
	}
	if back {
		pool.host.Changed()
	}
	return keep, nil
}

// watch waits until ws has ended. If it was in use, and this side has not closed it, the
// peer is lost.
func (pool *Pool) watch(p *Peer, ws *wire.Session) {
	select {
	case <-ws.Done():
	case <-pool.ctx.Done():
	}
	pool.mu.Lock()
	why := ws.Err()
	changed := p.session.CompareAndSwap(ws, nil) && why != nil && !errors.Is(why, wire.Closed) && pool.loseLocked(p, why)
	if !p.hasSlot && p.session.Load() == nil && p.dial == nil && pool.peers[p.Name] == p {
		delete(pool.peers, p.Name) // should it get a slot it is made anew
	}
	pool.mu.Unlock()
	ws.Close()
	if changed {
		pool.host.Changed()
	}
}

// Strangers returns the number of sessions to nodes without a slot.
func (pool *Pool) Strangers() (n int) {
	pool.mu.Lock()
	defer pool.mu.Unlock()
	for _, p := range pool.peers {
		if !p.hasSlot && p.session.Load() != nil {
			n++
		}
	}
	return n
}

// ToStrangers returns at most limit sessions to nodes without a slot.
func (pool *Pool) ToStrangers(limit int) (list []*wire.Session) {
	pool.mu.Lock()
	defer pool.mu.Unlock()
	for _, p := range pool.peers {
		if ws := p.session.Load(); ws != nil && !p.hasSlot && len(list) < limit {
			list = append(list, ws)
		}
	}
	return list
}

// Live returns the sessions that there are.
func (pool *Pool) Live() map[*Peer]*wire.Session {
	pool.mu.Lock()
	defer pool.mu.Unlock()
	live := map[*Peer]*wire.Session{}
	for _, p := range pool.peers {
		if ws := p.session.Load(); ws != nil {
			live[p] = ws
		}
	}
	return live
}

// Each calls f with all sessions, at the same time, and does not wait.
func (pool *Pool) Each(f func(context.Context, *Peer, *wire.Session)) {
	for p, ws := range pool.Live() {
		pool.mu.Lock()
		if !pool.ended {
			pool.wg.Go(func() { f(pool.ctx, p, ws) })
		}
		pool.mu.Unlock()
	}
}

// Leave retires all sessions. The pool dials no peer any more that is not introduced, or
// has no new slot.
func (pool *Pool) Leave() {
	pool.mu.Lock()
	for _, p := range pool.peers {
		if !p.Self {
			p.former, p.alive = true, false
		}
	}
	pool.mu.Unlock()
	pool.Each(func(_ context.Context, p *Peer, ws *wire.Session) { pool.Retire(p, ws) })
}

// Close ends all sessions, after what they have to say has been written, and waits.
func (pool *Pool) Close() {
	pool.mu.Lock()
	pool.ended = true
	pool.mu.Unlock()
	var flushing sync.WaitGroup
	for _, ws := range pool.Live() {
		flushing.Go(ws.Finish)
	}
	flushing.Wait()
	pool.cancel()
	pool.wg.Wait()
}

// AskAll calls ask for all of these peers at once, with the session to each, or nil for
// this node, and waits for at most that long. It leaves out peers that cannot be reached.
func (pool *Pool) AskAll(ctx context.Context, list []*Peer, wait time.Duration, ask func(ctx context.Context, i int, s *wire.Session)) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	var wg sync.WaitGroup
	for i, p := range list {
		wg.Go(func() {
			if p.Self {
				ask(ctx, i, nil)
			} else if s, err := pool.Get(ctx, p); err == nil {
				ask(ctx, i, s)
			}
		})
	}
	wg.Wait()
}
